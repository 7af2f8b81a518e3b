//! How the age of the oldest record that waits for a working consumer moves, as it was read.
//!
//! What is seen counts for more than what rates and capacities predict: a backlog that lies on some of the
//! partitions only is cleared by some of the replicas only.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::engine::memory::seconds_between;

/// The most readings that are kept, and those that are kept however old.
const KEPT: usize = 6;
const KEPT_LEAST: usize = 3;
/// Seconds that a reading counts for.
const OLDEST: f64 = 75.0;
/// A pace is told over at least so many seconds: consumers commit in batches.
const LEAST_SECONDS: f64 = 30.0;

/// The readings since the last disturbance.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct AgeMemory(VecDeque<(Timestamp, f64)>);

/// Where the age is heading.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Trend {
    /// The latest reading, in seconds.
    pub(crate) age: f64,
    /// The least of the readings.
    pub(crate) least: f64,
    /// Seconds of age per second, over all of them.
    pub(crate) pace: f64,
    /// The same, the least over any of the latest spans.
    pub(crate) climb: f64,
}

impl AgeMemory {
    /// Adds a reading.
    pub(crate) fn push(&mut self, at: Timestamp, age: f64) {
        self.0.push_back((at, age));
        while self.0.len() > KEPT
            || (self.0.len() > KEPT_LEAST
                && self.0.front().is_some_and(|(old, _)| seconds_between(*old, at) > OLDEST))
        {
            self.0.pop_front();
        }
    }

    /// Starts over: a move or a rebalance stops the consumers, and says nothing about their pace.
    pub(crate) fn disturb(&mut self) {
        self.0.clear();
    }

    /// Where the age is heading; `None` before there is enough to tell, and once it is too old.
    pub(crate) fn trend(&self, now: Timestamp) -> Option<Trend> {
        let (&(first, then), &(last, age)) = (self.0.front()?, self.0.back()?);
        let whole = seconds_between(first, last);
        let told = self.0.len() >= KEPT_LEAST && whole >= LEAST_SECONDS;
        if !told || seconds_between(last, now) > OLDEST {
            return None;
        }
        let pace = (age - then) / whole;
        let spans = self.0.iter().map(|(at, before)| (seconds_between(*at, last), *before));
        let climb = spans
            .filter(|(seconds, _)| *seconds >= LEAST_SECONDS)
            .map(|(seconds, before)| (age - before) / seconds)
            .fold(pace, f64::min);
        let least = self.0.iter().map(|(_, age)| *age).fold(age, f64::min);
        Some(Trend { age, least, pace, climb })
    }
}

impl Trend {
    /// The age in `horizon` seconds, if it goes on like this. An age cannot grow faster than time.
    pub(crate) fn ahead(self, horizon: f64) -> f64 {
        self.age + self.climb.clamp(0.0, 1.0) * horizon
    }

    /// Whether the age falls, and fast enough to be under `limit` within `patience` seconds.
    pub(crate) fn recovers(self, limit: f64, patience: f64) -> bool {
        self.pace < 0.0 && self.age + self.pace * patience <= limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trend(ages: &[f64]) -> Option<Trend> {
        let mut memory = AgeMemory::default();
        let mut now = Timestamp::UNIX_EPOCH;
        for (age, second) in ages.iter().zip((0..).step_by(15)) {
            now = Timestamp::from_second(second).unwrap();
            memory.push(now, *age);
        }
        memory.trend(now)
    }

    #[test]
    fn three_readings_tell_a_pace() {
        assert_eq!(trend(&[10.0, 20.0]), None);
        let trend = trend(&[10.0, 19.0, 25.0]).unwrap();
        assert!((trend.pace - 0.5).abs() < 1e-9 && (trend.ahead(60.0) - 55.0).abs() < 1e-9);
        assert!(!trend.recovers(60.0, 600.0));
    }

    #[test]
    fn an_age_that_only_goes_up_and_down_climbs_no_higher() {
        let trend = trend(&[20.0, 5.0, 25.0, 0.0, 20.0]).unwrap();
        assert!((trend.ahead(60.0) - 20.0).abs() < 1e-9, "{trend:?}");
        assert!(trend.least < 1e-9);
    }

    #[test]
    fn an_age_that_falls_recovers_in_time_or_too_late() {
        let trend = trend(&[100.0, 97.0, 94.0]).unwrap();
        assert!((trend.ahead(60.0) - 94.0).abs() < 1e-9);
        assert!(trend.recovers(60.0, 300.0));
        assert!(!trend.recovers(60.0, 100.0));
    }
}
