//! The loads, in records per second over time. Time here is uncompressed.

use serde::{Deserialize, Serialize};

/// A load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Shape {
    /// 300, then 1200, then 200.
    Step,
    /// From 200 up to 1200 in a straight line, then down at once; three times.
    Sawtooth,
    /// About 700, another rate within 45 % of it every 10 s.
    Noise,
    /// Up and down between 300 and 1100 in straight lines: what KEDA is tuned on, and nobody judged by.
    Waves,
}

impl Shape {
    /// What consumers are judged by.
    pub(crate) const CONSUMERS: [Self; 3] = [Self::Step, Self::Sawtooth, Self::Noise];

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::Sawtooth => "sawtooth",
            Self::Noise => "noise",
            Self::Waves => "waves",
        }
    }

    /// How long it takes, in seconds.
    pub(crate) fn seconds(self) -> u64 {
        match self {
            Self::Step => 1100,
            Self::Sawtooth => 750,
            Self::Noise => 600,
            Self::Waves => 800,
        }
    }

    /// Records per second after so many seconds.
    pub(crate) fn rate(self, second: u64) -> u64 {
        match self {
            Self::Step if second < 150 => 300,
            Self::Step if second < 400 => 1200,
            Self::Step => 200,
            Self::Sawtooth => 200 + 4 * (second % 250),
            Self::Noise => 385 + scrambled(second / 10) % 631,
            Self::Waves => 300 + 4 * (200 - (second % 400).abs_diff(200)),
        }
    }
}

/// The same noise in every run (the finalizer of `SplitMix64`).
fn scrambled(place: u64) -> u64 {
    let mut word = place.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}
