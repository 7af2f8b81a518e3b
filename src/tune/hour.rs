//! One hour of a history: a byte for every minute's rate, and what else a replay needs, once.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};

use crate::policy::units::records_covering;

/// Minutes of an hour.
pub(super) const MINUTES: usize = 60;
/// The byte of the highest rate of the hour; lower ones are in proportion.
const FULL: u8 = 250;
/// The byte of a minute of which nothing is known.
const UNKNOWN: u8 = 255;

/// What held over an hour, beside the rates. `None` is unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Level {
    pub(super) capacity: Option<f64>,
    pub(super) raise_seconds: Option<f64>,
    pub(super) lower_seconds: Option<f64>,
    pub(super) partitions: Option<u32>,
    pub(super) busiest_share: Option<f64>,
    /// Replicas on average, and minutes over the objective per hour, while decisions were carried out.
    pub(super) replicas: Option<f64>,
    pub(super) late_minutes: Option<f64>,
}

/// An hour that is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(into = "Packed", try_from = "Packed")]
pub(super) struct Hour {
    /// Hours since 1970.
    pub(super) at: i64,
    /// The highest rate.
    most: f64,
    minutes: [u8; MINUTES],
    pub(super) level: Level,
}

impl Hour {
    /// Of the mean rates of its minutes.
    pub(super) fn of(at: i64, rates: &[Option<f64>; MINUTES], level: Level) -> Self {
        let most = short(rates.iter().flatten().copied().fold(0.0, f64::max));
        let byte = |rate: &Option<f64>| match rate {
            None => UNKNOWN,
            Some(_) if most <= 0.0 => 0,
            Some(rate) => {
                let part = (rate / most * f64::from(FULL)).round().clamp(0.0, f64::from(FULL));
                records_covering(part).and_then(|part| u8::try_from(part).ok()).unwrap_or(UNKNOWN)
            }
        };
        let mut minutes = [UNKNOWN; MINUTES];
        minutes.iter_mut().zip(rates).for_each(|(minute, rate)| *minute = byte(rate));
        let level = Level {
            capacity: level.capacity.map(short),
            raise_seconds: level.raise_seconds.map(short),
            lower_seconds: level.lower_seconds.map(short),
            busiest_share: level.busiest_share.map(short),
            replicas: level.replicas.map(short),
            late_minutes: level.late_minutes.map(short),
            partitions: level.partitions,
        };
        Self { at, most, minutes, level }
    }

    /// Every minute's rate, in records per second.
    pub(super) fn rates(&self) -> impl Iterator<Item = Option<f64>> {
        let one = self.most / f64::from(FULL);
        self.minutes.iter().map(move |byte| (*byte <= FULL).then(|| one * f64::from(*byte)))
    }

    /// Minutes of which the rate is known.
    pub(super) fn known(&self) -> usize {
        self.minutes.iter().filter(|byte| **byte <= FULL).count()
    }
}

/// To four digits: that is all that was measured, and it is short in writing.
fn short(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}

/// As it is written: hour, highest rate, minutes in base64, and the level's figures in their order.
#[derive(Debug, Serialize, Deserialize)]
struct Packed(i64, f64, String, [Option<f64>; 6], Option<u32>);

impl From<Hour> for Packed {
    fn from(hour: Hour) -> Self {
        let Level {
            capacity,
            raise_seconds,
            lower_seconds,
            partitions,
            busiest_share,
            replicas,
            late_minutes,
        } = hour.level;
        let figures = [capacity, raise_seconds, lower_seconds, busiest_share, replicas, late_minutes];
        Self(hour.at, hour.most, BASE64.encode(hour.minutes), figures, partitions)
    }
}

impl TryFrom<Packed> for Hour {
    type Error = String;

    fn try_from(Packed(at, most, text, figures, partitions): Packed) -> Result<Self, String> {
        let bytes = BASE64.decode(text).map_err(|error| format!("an hour's minutes: {error}"))?;
        let minutes = bytes.try_into().map_err(|_| format!("an hour has not {MINUTES} minutes"))?;
        let fits = |value: &f64| value.is_finite() && *value >= 0.0;
        if !fits(&most) || !figures.iter().flatten().all(fits) {
            return Err("an hour holds a figure that cannot be".to_owned());
        }
        let [capacity, raise_seconds, lower_seconds, busiest_share, replicas, late_minutes] = figures;
        let level = Level {
            capacity,
            raise_seconds,
            lower_seconds,
            partitions,
            busiest_share,
            replicas,
            late_minutes,
        };
        Ok(Self { at, most, minutes, level })
    }
}
