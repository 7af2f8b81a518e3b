//! What a workload has lived through, small enough to be kept for every workload of a fleet.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::glimpse::Glimpse;
use super::hour::{Hour, Level, MINUTES};

/// The most hours that are kept: four days.
pub const HOURS: usize = 96;
/// The most bytes that an hour takes in writing.
pub const HOUR_BYTES: usize = 180;
/// Between two turns that are further apart nothing is known.
const LONGEST: f64 = 60.0;

/// One rate a minute, over the last [`HOURS`]. What nobody saw is unknown, not zero.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct History {
    hours: VecDeque<Hour>,
    #[serde(skip_serializing_if = "Option::is_none")]
    open: Option<Open>,
}

/// The hour under way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Open {
    at: i64,
    /// The means of the minutes that are over.
    rates: Vec<Option<f64>>,
    /// Rates of the minute under way, and their number.
    sum: f64,
    count: u32,
    last: Timestamp,
    level: Level,
    /// Seconds of which the replicas are known, the sum of these, and how many were over the objective.
    seconds: f64,
    replica_seconds: f64,
    late_seconds: f64,
}

impl History {
    /// Takes in what a turn told at `now`. A clock that stepped back is waited for.
    pub fn note(&mut self, glimpse: &Glimpse, now: Timestamp) {
        let (hour, minute) = place(now);
        if self.open.as_ref().is_some_and(|open| now <= open.last) {
            return;
        }
        if self.open.as_ref().is_some_and(|open| open.at != hour) {
            self.close();
        }
        self.open.get_or_insert_with(|| Open::new(hour, now)).note(glimpse, minute, now);
    }

    fn close(&mut self) {
        let Some(mut open) = self.open.take() else { return };
        open.reach(MINUTES);
        let mut rates = [None; MINUTES];
        rates.iter_mut().zip(&open.rates).for_each(|(rate, mean)| *rate = *mean);
        let hour = Hour::of(open.at, &rates, open.level());
        if hour.known() > 0 && self.hours.back().is_none_or(|last| last.at < hour.at) {
            self.hours.push_back(hour);
        }
        let oldest = self.hours.back().map_or(0, |last| last.at - i64::try_from(HOURS).unwrap_or(0));
        while self.hours.front().is_some_and(|first| first.at <= oldest) {
            self.hours.pop_front();
        }
    }

    /// Keeps the newest hours only, so many of them: where there is no room for all.
    pub fn shorten(&mut self, hours: usize) {
        while self.hours.len() > hours {
            self.hours.pop_front();
        }
    }

    /// Minutes that are known, in hours that are over.
    pub fn known_minutes(&self) -> usize {
        self.hours.iter().map(Hour::known).sum()
    }

    pub(super) fn hours(&self) -> impl DoubleEndedIterator<Item = &Hour> {
        self.hours.iter()
    }
}

impl Open {
    fn new(at: i64, now: Timestamp) -> Self {
        Self {
            at,
            rates: Vec::new(),
            sum: 0.0,
            count: 0,
            last: now,
            level: Level::default(),
            seconds: 0.0,
            replica_seconds: 0.0,
            late_seconds: 0.0,
        }
    }

    fn note(&mut self, glimpse: &Glimpse, minute: usize, now: Timestamp) {
        self.reach(minute);
        if let Some(rate) = glimpse.rate.filter(|rate| rate.is_finite() && *rate >= 0.0) {
            self.sum += rate;
            self.count += 1;
        }
        let seconds = now.duration_since(self.last).as_secs_f64();
        self.last = now;
        let level = &mut self.level;
        level.capacity = plausible(glimpse.capacity).filter(|one| *one > 0.0).or(level.capacity);
        level.raise_seconds = plausible(glimpse.raise_seconds).or(level.raise_seconds);
        level.lower_seconds = plausible(glimpse.lower_seconds).or(level.lower_seconds);
        level.busiest_share = plausible(glimpse.busiest_share).or(level.busiest_share);
        level.partitions = glimpse.partitions.or(level.partitions);
        if let (Some(replicas), Some(overdue)) = (glimpse.replicas, glimpse.overdue)
            && seconds <= LONGEST
        {
            self.seconds += seconds;
            self.replica_seconds += seconds * f64::from(replicas);
            self.late_seconds += if overdue { seconds } else { 0.0 };
        }
    }

    /// Ends every minute before `minute`; those without a turn stay unknown.
    fn reach(&mut self, minute: usize) {
        while self.rates.len() < minute {
            self.rates.push((self.count > 0).then(|| self.sum / f64::from(self.count)));
            (self.sum, self.count) = (0.0, 0);
        }
    }

    fn level(&self) -> Level {
        // Of less than half an hour nothing is said about the whole.
        let known = self.seconds >= 1800.0;
        let late_minutes = known.then(|| self.late_seconds / self.seconds * 60.0);
        Level { replicas: known.then(|| self.replica_seconds / self.seconds), late_minutes, ..self.level }
    }
}

fn plausible(value: Option<f64>) -> Option<f64> {
    value.filter(|value| value.is_finite() && *value >= 0.0)
}

/// The hour since 1970, and the minute within it.
fn place(now: Timestamp) -> (i64, usize) {
    let (hour, second) = (now.as_second().div_euclid(3600), now.as_second().rem_euclid(3600));
    (hour, usize::try_from(second / 60).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_767_571_200 + second).unwrap()
    }

    fn glimpse(rate: f64) -> Glimpse {
        Glimpse {
            rate: Some(rate),
            capacity: Some(203.456_789),
            raise_seconds: Some(42.123_456),
            lower_seconds: Some(15.0),
            partitions: Some(24),
            busiest_share: Some(0.123_456),
            overdue: Some(false),
            replicas: Some(7),
        }
    }

    /// A turn every 15 s for so many hours.
    fn lived(hours: i64, rate: impl Fn(i64) -> Option<f64>) -> History {
        let mut history = History::default();
        for second in (0..hours * 3600).step_by(15) {
            history.note(&Glimpse { rate: rate(second), ..glimpse(0.0) }, at(second));
        }
        history
    }

    fn rates(history: &History) -> Vec<Option<f64>> {
        history.hours().flat_map(Hour::rates).collect()
    }

    fn written(history: &History) -> String {
        serde_json::to_string(history).unwrap()
    }

    #[test]
    fn a_minute_is_the_mean_of_its_turns_to_a_part_in_five_hundred_of_the_hours_highest() {
        let rate = |second: i64| f64::from(i32::try_from(second % 5000).unwrap());
        let history = lived(3, |second| Some(rate(second)));
        let kept = rates(&history);
        assert_eq!(kept.len(), 120, "the hour under way is not replayed");
        for (minute, kept) in (0..).zip(kept) {
            let mean = (0..4).map(|turn| rate(minute * 60 + turn * 15)).sum::<f64>() / 4.0;
            assert!(
                (kept.unwrap() - mean).abs() <= 5000.0 / 500.0 + 5.0,
                "minute {minute}: {kept:?}, {mean}"
            );
        }
    }

    #[test]
    fn what_nobody_saw_is_unknown_and_nothing_is_nothing() {
        // No turns in the 2nd half of the first hour; turns that could not tell, and then none arriving, in the second.
        let mut history = History::default();
        for second in (0..3 * 3600).step_by(15).filter(|second| !(1800..3600).contains(second)) {
            let rate = match second {
                ..3600 => Some(100.0),
                3600..5400 => None,
                _ => Some(0.0),
            };
            history.note(&Glimpse { rate, ..glimpse(0.0) }, at(second));
        }
        let kept = rates(&history);
        assert!(kept[..30].iter().all(|rate| rate.is_some_and(|rate| (rate - 100.0).abs() < 1e-9)));
        assert!(kept[30..90].iter().all(Option::is_none), "{:?}", &kept[28..92]);
        assert!(kept[90..120].iter().all(|rate| rate.is_some_and(|rate| rate.abs() < 1e-9)));
        assert_eq!(history.known_minutes(), 60);
    }

    #[test]
    fn it_is_bounded_in_hours_and_bytes() {
        let history = lived(150, |second| Some(1234.567 + f64::from(i32::try_from(second).unwrap())));
        assert_eq!(history.hours.len(), HOURS);
        assert_eq!(history.known_minutes(), 60 * HOURS);
        let bytes = written(&history).len();
        assert!(bytes <= (HOURS + 8) * HOUR_BYTES, "{bytes}");
    }

    #[test]
    fn written_out_and_read_back_at_any_moment_it_is_the_same_and_goes_on_the_same() {
        let rate =
            |second: i64| (second % 420 != 0).then(|| 10.0 + f64::from(i32::try_from(second % 977).unwrap()));
        let (mut one, mut other) = (History::default(), History::default());
        for second in (0..5 * 3600).step_by(15) {
            let glimpse = Glimpse { rate: rate(second), ..glimpse(0.0) };
            one.note(&glimpse, at(second));
            other.note(&glimpse, at(second));
            if second % 1995 == 0 {
                other = serde_json::from_str(&written(&other)).unwrap();
            }
            assert_eq!(one, other);
        }
        assert_eq!(one.hours.len(), 4);
    }

    #[test]
    fn a_clock_that_steps_back_is_waited_for() {
        let mut history = lived(2, |_| Some(5.0));
        let before = history.clone();
        history.note(&glimpse(9.0), at(3000));
        assert_eq!(history, before);
    }

    #[test]
    fn figures_that_cannot_be_are_refused() {
        let text = written(&lived(2, |_| Some(5.0)));
        assert!(serde_json::from_str::<History>(&text.replacen("5.0", "-5.0", 1)).is_err(), "{text}");
        let cut = text.replacen("+vr6", "", 1);
        assert!(cut != text && serde_json::from_str::<History>(&cut).is_err(), "{text}");
    }
}
