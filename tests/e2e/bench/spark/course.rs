//! What the query has to do: three loads with the triggers and the patience that stock dynamic allocation is known to
//! fail with.

use serde::{Deserialize, Serialize};

/// Milliseconds of an executor's core per record: one executor processes at most 50 a second.
pub(crate) const COST: u32 = 20;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Course {
    /// Every 2 s six tasks of 0.2 s: no executor is ever idle for long enough to be given back.
    Light,
    /// Every 20 s twelve tasks of 1 s: executors are given back between two batches, and started again.
    Bursts,
    /// From 15 records a second up to 120 in a straight line, then down at once; twice, every 10 s a batch.
    Sawtooth,
}

impl Course {
    pub(crate) const ALL: [Self; 3] = [Self::Light, Self::Bursts, Self::Sawtooth];

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Bursts => "bursts",
            Self::Sawtooth => "sawtooth",
        }
    }

    /// How long it takes, in seconds.
    pub(crate) fn seconds(self) -> u64 {
        match self {
            Self::Light | Self::Bursts => 480,
            Self::Sawtooth => 2 * TOOTH,
        }
    }

    /// Seconds between two triggers.
    pub(crate) fn trigger(self) -> u32 {
        match self {
            Self::Light => 2,
            Self::Bursts => 20,
            Self::Sawtooth => 10,
        }
    }

    /// Partitions of the topic: tasks of a batch.
    pub(crate) fn partitions(self) -> i32 {
        match self {
            Self::Light => 6,
            Self::Bursts | Self::Sawtooth => 12,
        }
    }

    /// `spark.dynamicAllocation.executorIdleTimeout`, in seconds.
    pub(crate) fn idle(self) -> u32 {
        match self {
            Self::Light => 10,
            Self::Bursts | Self::Sawtooth => 5,
        }
    }

    /// Age in seconds that no record should reach unprocessed.
    pub(crate) fn objective(self) -> u32 {
        match self {
            Self::Light => 30,
            Self::Bursts | Self::Sawtooth => 60,
        }
    }

    /// Records per second after so many seconds.
    pub(crate) fn rate(self, second: u64) -> u64 {
        match self {
            Self::Light | Self::Bursts => 30,
            Self::Sawtooth => 15 + (second % TOOTH) * 105 / TOOTH,
        }
    }

    /// Executors that are busy all the time with so many records per second.
    pub(crate) fn busy(rate: u64) -> f64 {
        f64::from(u32::try_from(rate).unwrap_or(u32::MAX)) * f64::from(COST) / 1000.0
    }
}

/// Seconds of one tooth.
const TOOTH: u64 = 300;
