//! Floors by the clock: cron expressions in a time zone, and the windows that they open.
//!
//! The time zone rules are those that were compiled in: what a schedule means does not depend on the machine.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use croner::parser::{CronParser, Seconds, Year};
use garde::Validate;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::hints::did_you_mean;
use super::names::label;
use super::units::{Replicas, TimeSpan};

/// A floor that comes and goes by the clock. Exactly one of `end` and `duration`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[garde(allow_unvalidated)]
#[schemars(extend("oneOf" = [{"required": ["end"]}, {"required": ["duration"]}]))]
pub struct ScheduleSpec {
    /// Name, unique in the policy: decisions mention it.
    #[garde(custom(label))]
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// IANA name of the time zone that the expressions are in.
    pub time_zone: Zone,
    /// When the floor begins to hold: a cron expression of five fields.
    pub start: Cron,
    /// When it ends: the first time of this cron expression after a start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Cron>,
    /// How long it holds from each start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<TimeSpan>,
    /// The fewest replicas while it holds; the load may ask for more.
    #[schemars(extend("minimum" = 1))]
    pub min_replicas: Replicas,
}

/// A checked schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// Its name.
    pub name: String,
    /// The time zone that the expressions are in.
    pub time_zone: Zone,
    /// When the floor begins to hold.
    pub start: Cron,
    /// When it ends.
    pub lasts: Lasts,
    /// The fewest replicas while it holds.
    pub min_replicas: Replicas,
}

/// How long a floor holds from its start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Lasts {
    /// Until the first such time.
    Until(Cron),
    /// For so long.
    For(TimeSpan),
}

/// One stretch of time in which a schedule holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// The schedule's name.
    pub schedule: String,
    /// The fewest replicas.
    pub min_replicas: Replicas,
    /// When it begins.
    pub from: Timestamp,
    /// When it ends; the end itself is outside.
    pub until: Timestamp,
    /// The schedule's time zone.
    pub time_zone: Zone,
}

/// Whether a schedule may be called so.
pub(crate) fn is_name(name: &str) -> bool {
    label(name, &()).is_ok()
}

impl Schedule {
    /// The window that `now` lies in.
    pub fn window(&self, now: Timestamp) -> Option<Window> {
        // An earlier start whose window is still open ends when the latest one's does, or before.
        self.from(self.start.latest(&self.time_zone, now)?).filter(|window| now < window.until)
    }

    /// The first window that begins after `now`.
    pub fn next(&self, now: Timestamp) -> Option<Window> {
        self.from(self.start.next(&self.time_zone, now)?)
    }

    fn from(&self, from: Timestamp) -> Option<Window> {
        let until = match &self.lasts {
            Lasts::Until(end) => end.next(&self.time_zone, from)?,
            Lasts::For(span) => from.checked_add(SignedDuration::try_from(span.0).ok()?).ok()?,
        };
        let (schedule, min_replicas) = (self.name.clone(), self.min_replicas);
        Some(Window { schedule, min_replicas, from, until, time_zone: self.time_zone.clone() })
    }
}

impl Window {
    /// A moment as the schedule's own clock shows it: `Mon 2026-01-05 18:00 CET`.
    pub fn clock(&self, at: Timestamp) -> String {
        at.to_zoned(self.time_zone.0.clone()).strftime("%a %Y-%m-%d %H:%M %Z").to_string()
    }
}

/// A cron expression of five fields: minute, hour, day of month, month, day of week.
///
/// A time of day that the clocks skip counts as the first moment after the gap, and one that they repeat as the
/// first of the two. Only an expression with `*` or a step for its hours or minutes means both.
#[derive(Clone, PartialEq)]
pub struct Cron {
    text: String,
    pattern: Arc<croner::Cron>,
}

impl Cron {
    /// The JSON Schema format that marks a cron expression.
    pub(crate) const FORMAT: &str = "cron";

    /// The latest time that is not after `now`.
    pub fn latest(&self, zone: &Zone, now: Timestamp) -> Option<Timestamp> {
        // Whole seconds: what is left of one would make the result start in its middle.
        let now = Timestamp::from_second(now.as_second()).ok()?.to_zoned(zone.0.clone());
        self.pattern.find_previous_occurrence(&now, true).ok().map(|at| at.timestamp())
    }

    /// The first time after `now`.
    pub fn next(&self, zone: &Zone, now: Timestamp) -> Option<Timestamp> {
        let now = Timestamp::from_second(now.as_second()).ok()?.to_zoned(zone.0.clone());
        self.pattern.find_next_occurrence(&now, false).ok().map(|at| at.timestamp())
    }
}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cron").field(&self.text).finish()
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A text is no cron expression of five fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cron expression of five fields, such as 0 8 * * MON-FRI")]
pub struct NotACron;

impl FromStr for Cron {
    type Err = NotACron;

    fn from_str(text: &str) -> Result<Self, NotACron> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let pattern = parser.parse(text).map_err(|_| NotACron)?;
        Ok(Self { text: text.to_owned(), pattern: Arc::new(pattern) })
    }
}

impl Serialize for Cron {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Cron {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Cron {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Cron".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "format": Self::FORMAT,
            "description": "A cron expression of five fields: minute, hour, day of month, month, day of week.",
        })
    }
}

/// The time zones that are known, whatever the machine has installed.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// A time zone of the IANA database, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

impl Zone {
    /// The JSON Schema format that marks the name of a time zone.
    pub(crate) const FORMAT: &str = "time-zone";

    /// What may have been meant by a name that is none.
    pub(crate) fn meant(name: &str) -> Option<String> {
        let names: Vec<String> = ZONES.available().map(|zone| zone.to_string()).collect();
        did_you_mean(name, &names.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.iana_name().unwrap_or("UTC"))
    }
}

/// A text names no time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the IANA name of a time zone, such as Europe/Berlin")]
pub struct NotAZone;

impl FromStr for Zone {
    type Err = NotAZone;

    fn from_str(name: &str) -> Result<Self, NotAZone> {
        ZONES.get(name).map(Self).map_err(|_| NotAZone)
    }
}

impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Zone {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Zone".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "format": Self::FORMAT,
            "description": "IANA name of a time zone, such as Europe/Berlin or UTC.",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn schedule(start: &str, end: &str) -> Schedule {
        Schedule {
            name: "hours".to_owned(),
            time_zone: "Europe/Berlin".parse().unwrap(),
            start: start.parse().unwrap(),
            lasts: end.parse().map_or_else(|_| Lasts::For(end.parse().unwrap()), Lasts::Until),
            min_replicas: Replicas(6),
        }
    }

    /// From when to when the window lies that is open at a moment.
    fn open(schedule: &Schedule, now: &str) -> Option<(String, String)> {
        let window = schedule.window(at(now))?;
        Some((window.from.to_string(), window.until.to_string()))
    }

    fn hours(from: &str, until: &str) -> (String, String) {
        (from.to_owned(), until.to_owned())
    }

    #[test]
    fn a_window_begins_at_its_start_and_is_over_at_its_end() {
        for schedule in [schedule("0 8 * * MON-FRI", "0 18 * * *"), schedule("0 8 * * 1-5", "10h")] {
            let monday = hours("2026-01-05T07:00:00Z", "2026-01-05T17:00:00Z");
            assert_eq!(open(&schedule, "2026-01-05T06:59:59.999Z"), None);
            assert_eq!(open(&schedule, "2026-01-05T07:00:00Z"), Some(monday.clone()));
            assert_eq!(open(&schedule, "2026-01-05T16:59:59.999Z"), Some(monday.clone()));
            assert_eq!(open(&schedule, "2026-01-05T17:00:00Z"), None);
            assert_eq!(open(&schedule, "2026-01-10T12:00:00Z"), None, "a Saturday");
            let next = schedule.next(at("2026-01-09T17:00:00Z")).unwrap();
            assert_eq!(next.clock(next.from), "Mon 2026-01-12 08:00 CET");
        }
    }

    #[test]
    fn a_window_may_last_over_midnight_and_over_the_next_start() {
        let night = schedule("0 22 * * *", "0 6 * * *");
        assert_eq!(
            open(&night, "2026-01-05T03:00:00Z"),
            Some(hours("2026-01-04T21:00:00Z", "2026-01-05T05:00:00Z"))
        );
        let often = schedule("0 * * * *", "90m");
        assert_eq!(
            open(&often, "2026-01-05T10:59:00Z"),
            Some(hours("2026-01-05T10:00:00Z", "2026-01-05T11:30:00Z"))
        );
        let one = schedule("0 8,12 * * *", "0 18 * * *");
        assert_eq!(open(&one, "2026-01-05T12:00:00Z").unwrap().1, "2026-01-05T17:00:00Z");
    }

    #[test]
    fn a_start_that_the_clocks_skip_is_the_first_moment_after_the_gap() {
        // On 29 March 2026 Berlin goes from 02:00 to 03:00.
        let skipped = schedule("30 2 * * *", "1h");
        assert_eq!(open(&skipped, "2026-03-29T00:59:59Z"), None);
        assert_eq!(
            open(&skipped, "2026-03-29T01:00:00Z"),
            Some(hours("2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"))
        );
        let ended = schedule("0 1 * * *", "30 2 * * *");
        assert_eq!(open(&ended, "2026-03-29T00:30:00Z").unwrap().1, "2026-03-29T01:00:00Z");
        assert_eq!(open(&ended, "2026-03-29T01:00:00Z"), None);
    }

    #[test]
    fn a_time_that_the_clocks_repeat_is_the_first_of_the_two() {
        // On 25 October 2026 Berlin goes from 03:00 back to 02:00.
        let repeated = schedule("30 2 * * *", "30m");
        let first = hours("2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z");
        assert_eq!(open(&repeated, "2026-10-25T00:30:00Z"), Some(first));
        assert_eq!(open(&repeated, "2026-10-25T01:30:00Z"), None, "02:30 again");
        let over = schedule("0 1 * * *", "30 3 * * *");
        assert_eq!(open(&over, "2026-10-25T02:29:00Z").unwrap().1, "2026-10-25T02:30:00Z", "an hour longer");
    }

    #[test]
    fn office_hours_keep_to_the_wall_clock_over_the_year() {
        let office = schedule("0 8 * * *", "0 18 * * *");
        for (winter_or_summer, from) in [
            ("2026-03-28T12:00:00Z", "2026-03-28T07:00:00Z"),
            ("2026-03-29T12:00:00Z", "2026-03-29T06:00:00Z"),
        ] {
            assert_eq!(open(&office, winter_or_summer).unwrap().0, from);
        }
    }

    #[test]
    fn at_every_minute_around_a_gap_a_window_holds_what_it_says() {
        // By two ways: the window that is open, and the windows one after the other.
        for schedule in [
            schedule("30 2 * * *", "45 3 * * *"),
            schedule("0 22 * * 5,6", "9h"),
            schedule("*/20 1-3 * * *", "7m"),
        ] {
            let (mut now, end) = (at("2026-03-20T00:00:00Z"), at("2026-04-05T00:00:00Z"));
            let mut ahead = schedule.next(at("2026-03-19T21:00:00Z")).unwrap();
            let mut held: Option<Window> = None;
            while now < end {
                while now >= ahead.from {
                    let next = schedule.next(ahead.from).unwrap();
                    assert!(next.from > ahead.from);
                    held = Some(std::mem::replace(&mut ahead, next));
                }
                held = held.filter(|window| now < window.until);
                assert_eq!(schedule.window(now), held, "{now}");
                now = now.checked_add(SignedDuration::from_mins(1)).unwrap();
            }
        }
    }

    #[test]
    fn five_fields_and_names_of_zones() {
        for text in ["0 8 * * *", "*/5 0-6 1,15 JAN-MAR SUN", "@daily", "0 0 L * *"] {
            assert!(text.parse::<Cron>().is_ok(), "{text}");
        }
        for text in ["", "0 8 * *", "0 0 8 * * *", "60 8 * * *", "0 24 * * *", "soon", "0 8 * * MOO"] {
            assert_eq!(text.parse::<Cron>().map(|_| ()), Err(NotACron), "{text}");
        }
        assert_eq!("europe/berlin".parse::<Zone>().unwrap().to_string(), "Europe/Berlin");
        for text in ["", "Berlin", "CEST", "+02:00", "Local"] {
            assert_eq!(text.parse::<Zone>().map(|_| ()), Err(NotAZone), "{text}");
        }
        assert_eq!(Zone::meant("Berlin").unwrap(), "did you mean `Europe/Berlin`?");
    }

    #[test]
    fn a_schedule_reads_back_what_it_writes() {
        for one in [schedule("0 8 * * MON-FRI", "0 18 * * *"), schedule("0 8 * * 1-5", "10h")] {
            let text = serde_json::to_string(&one).unwrap();
            assert_eq!(serde_json::from_str::<Schedule>(&text).unwrap(), one, "{text}");
        }
    }

    #[test]
    fn a_time_that_never_comes_is_no_time() {
        let never: Cron = "0 0 30 2 *".parse().unwrap();
        let zone: Zone = "UTC".parse().unwrap();
        assert_eq!(
            (never.next(&zone, at("2026-01-05T00:00:00Z")), never.latest(&zone, at("2026-01-05T00:00:00Z"))),
            (None, None)
        );
    }
}
