//! Numbers with their units, and the only conversions between floats and integers in the crate.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number of replicas (Pods of one workload).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Replicas(pub u32);

impl Replicas {
    /// The least whole number of replicas that covers `share`; `None` for NaN or infinity.
    /// Negative shares need none; shares past `u32::MAX` saturate.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "range is checked first")]
    pub fn covering(share: f64) -> Option<Self> {
        if !share.is_finite() {
            return None;
        }
        // Ten parts in a billion forgive rounding: 3.0000000001 replicas are 3.
        let whole = (share - 1e-8 * share.abs().max(1.0)).ceil();
        Some(Self(if whole <= 0.0 {
            0
        } else if whole >= f64::from(u32::MAX) {
            u32::MAX
        } else {
            whole as u32
        }))
    }

    /// As a float, exactly.
    pub fn as_f64(self) -> f64 {
        f64::from(self.0)
    }
}

impl fmt::Display for Replicas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A count of records as a float. Exact below 2^53, which no backlog reaches.
#[expect(clippy::cast_precision_loss, reason = "offsets stay below 2^53")]
pub fn records_f64(records: u64) -> f64 {
    records as f64
}

/// Whole seconds as a float. Exact for all that timestamps can lie apart.
#[expect(clippy::cast_precision_loss, reason = "three hundred centuries are less than 2^53 seconds")]
pub fn seconds_f64(seconds: i64) -> f64 {
    seconds as f64
}

/// The least whole number of records that covers `records`; `None` for NaN, infinity, or past 2^53.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "range is checked first")]
pub fn records_covering(records: f64) -> Option<u64> {
    let whole = records.ceil();
    (whole < 9_007_199_254_740_992.0).then(|| whole.max(0.0) as u64).filter(|_| records.is_finite())
}

/// The records between two offsets, `0` where `to` lies before `from`.
pub fn records_between(from: i64, to: i64) -> u64 {
    u64::try_from(to.saturating_sub(from)).unwrap_or(0)
}

/// A length of time, written as people do: `45s`, `5m`, `1h30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct TimeSpan(pub Duration);

impl TimeSpan {
    /// The JSON Schema format that marks a length of time.
    pub(crate) const FORMAT: &str = "time-span";

    /// A span of whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// The span in seconds.
    pub fn as_secs_f64(self) -> f64 {
        self.0.as_secs_f64()
    }
}

impl fmt::Display for TimeSpan {
    /// The shortest spelling that [`TimeSpan`] reads back: `1h30m`, `90ms`, `0s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.0.as_secs(), self.0.subsec_millis());
        let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if minutes > 0 {
            write!(f, "{minutes}m")?;
        }
        if rest > 0 {
            write!(f, "{rest}s")?;
        }
        if millis > 0 {
            write!(f, "{millis}ms")?;
        }
        if seconds == 0 && millis == 0 {
            f.write_str("0s")?;
        }
        Ok(())
    }
}

impl Serialize for TimeSpan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for TimeSpan {
    type Err = NotATimeSpan;

    /// Whole numbers with units, longest first or not: `1h30m`, `90s`, `1d`.
    fn from_str(text: &str) -> Result<Self, NotATimeSpan> {
        let mut total = Duration::ZERO;
        let mut rest = text;
        while !rest.is_empty() {
            let unit_at = rest.find(|c: char| !c.is_ascii_digit()).ok_or(NotATimeSpan)?;
            let (number, tail) = rest.split_at(unit_at);
            let number: u64 = number.parse().map_err(|_| NotATimeSpan)?;
            let unit_ends = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(unit_ends);
            let seconds = |each: u64| number.checked_mul(each).map(Duration::from_secs);
            let part = match unit {
                "ms" => Some(Duration::from_millis(number)),
                "s" => seconds(1),
                "m" => seconds(60),
                "h" => seconds(3600),
                "d" => seconds(86_400),
                _ => None,
            };
            total = part.and_then(|part| total.checked_add(part)).ok_or(NotATimeSpan)?;
            rest = tail;
        }
        if text.is_empty() { Err(NotATimeSpan) } else { Ok(Self(total)) }
    }
}

/// A text is no length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a duration such as 45s, 5m or 1h30m")]
pub struct NotATimeSpan;

impl<'de> Deserialize<'de> for TimeSpan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error| serde::de::Error::custom(format!("`{text}` is {error}")))
    }
}

impl JsonSchema for TimeSpan {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TimeSpan".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "format": Self::FORMAT,
            "description": "A length of time such as 45s, 5m or 1h30m.",
            "pattern": "^([0-9]+(ms|s|m|h|d))+$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_cover_a_share_without_rounding_noise() {
        assert_eq!(Replicas::covering(3.000_000_001), Some(Replicas(3)));
        assert_eq!(Replicas::covering(3.01), Some(Replicas(4)));
        assert_eq!(Replicas::covering(-2.0), Some(Replicas(0)));
        assert_eq!(Replicas::covering(1e300), Some(Replicas(u32::MAX)));
        assert_eq!(Replicas::covering(f64::NAN), None);
        assert_eq!(Replicas::covering(f64::INFINITY), None);
    }

    #[test]
    fn records_are_whole() {
        assert_eq!(records_covering(2.1), Some(3));
        assert_eq!(records_covering(-1.0), Some(0));
        assert_eq!(records_covering(f64::NAN), None);
        assert_eq!(records_covering(f64::NEG_INFINITY), None);
        assert_eq!(records_covering(1e30), None);
    }

    #[test]
    fn a_span_reads_back_what_it_writes() {
        for text in ["45s", "5m", "1h30m", "0s", "250ms", "1h1m1s"] {
            let span: TimeSpan = serde_json::from_value(text.into()).unwrap();
            assert_eq!(span.to_string(), text);
        }
        assert_eq!("1d".parse(), Ok(TimeSpan::from_secs(86_400)));
        assert_eq!("90m".parse::<TimeSpan>().unwrap().to_string(), "1h30m");
        for text in ["", "soon", "-5s", "5", "1.5h", "5 m", "5m ", "s", "99999999999999999999s", "1e3s", "٣s"]
        {
            assert_eq!(text.parse::<TimeSpan>(), Err(NotATimeSpan), "{text:?}");
        }
        for text in [u64::MAX.to_string() + "d", u64::MAX.to_string() + "s" + &u64::MAX.to_string() + "s"] {
            assert_eq!(text.parse::<TimeSpan>(), Err(NotATimeSpan), "{text:?}");
        }
    }
}
