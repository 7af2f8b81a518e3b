//! When the log's end was where: tells the age of a record from its offset.

use std::collections::VecDeque;

use jiff::Timestamp;

use crate::policy::units::{records_between, records_covering, records_f64};

/// Samples kept; past that, every other one of the older half goes.
const CAPACITY: usize = 128;

/// The end offset of one partition over time, oldest first, as far back as the oldest unprocessed record.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Ends {
    samples: VecDeque<(Timestamp, i64)>,
}

impl Ends {
    /// Adds a look. An end that went back makes the past worthless.
    pub(super) fn push(&mut self, at: Timestamp, end: i64) {
        let last = self.samples.back().copied();
        match last {
            Some((time, _)) if at <= time => return,
            Some((_, known)) if end < known => self.samples.clear(),
            _ => {}
        }
        // While nothing arrives, the first and the last such look say it all.
        let resting = self.samples.iter().rev().take(2).filter(|(_, known)| *known == end).count() == 2;
        if resting {
            self.samples.pop_back();
        }
        self.samples.push_back((at, end));
        if self.samples.len() > CAPACITY {
            let mut index = 0;
            self.samples.retain(|_| {
                index += 1;
                index > CAPACITY / 2 || index % 2 == 1
            });
        }
    }

    /// The end as it was seen last.
    pub(super) fn last(&self) -> Option<i64> {
        self.samples.back().map(|(_, end)| *end)
    }

    /// Where the end was at a time, interpolated between two looks; `None` before the first one.
    pub(super) fn end_at(&self, time: Timestamp) -> Option<i64> {
        let later = self.samples.iter().position(|(at, _)| *at >= time)?;
        let (to, last) = *self.samples.get(later)?;
        if to == time {
            return Some(last);
        }
        let (from, first) = *self.samples.get(later.checked_sub(1)?)?;
        let share = time.duration_since(from).as_secs_f64() / to.duration_since(from).as_secs_f64();
        let arrived = records_f64(records_between(first, last)) * share;
        first.checked_add(i64::try_from(records_covering(arrived)?).ok()?)
    }

    /// Forgets what is of no use once everything before `position` has been processed.
    pub(super) fn processed(&mut self, position: i64) {
        while self.samples.get(1).is_some_and(|(_, end)| *end <= position) {
            self.samples.pop_front();
        }
    }

    /// Seconds since the record at `position` arrived, interpolated between two looks; `None` where it
    /// arrived before the first one.
    pub(super) fn age(&self, position: i64, now: Timestamp) -> Option<f64> {
        let later = self.samples.iter().position(|(_, end)| *end > position)?;
        let (from, first) = *self.samples.get(later.checked_sub(1)?)?;
        let (to, last) = *self.samples.get(later)?;
        // The middle of the share of the interval that this record stands for.
        let share = (records_f64(records_between(first, position)) + 0.5)
            / records_f64(records_between(first, last)).max(1.0);
        let since_first_look = now.duration_since(from).as_secs_f64();
        let arrived = to.duration_since(from).as_secs_f64() * share;
        Some((since_first_look - arrived).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    fn ends(samples: &[(i64, i64)]) -> Ends {
        let mut ends = Ends::default();
        for (second, end) in samples {
            ends.push(at(*second), *end);
        }
        ends
    }

    #[test]
    fn age_is_interpolated_between_looks() {
        let ends = ends(&[(0, 0), (10, 100), (20, 100), (30, 200)]);
        assert_eq!(ends.age(49, at(30)), Some(25.05));
        assert_eq!(ends.age(100, at(30)), Some(9.95));
        assert_eq!(ends.age(200, at(30)), None, "there is no such record yet");
    }

    #[test]
    fn what_arrived_before_the_first_look_has_no_age() {
        assert_eq!(ends(&[(0, 50), (10, 100)]).age(49, at(10)), None);
        assert_eq!(ends(&[(0, 50)]).age(10, at(0)), None);
    }

    #[test]
    fn a_rest_takes_two_samples_and_keeps_both_ends_of_it() {
        let ends = ends(&[(0, 5), (10, 5), (20, 5), (30, 5), (40, 6)]);
        assert_eq!(ends.samples, [(at(0), 5), (at(30), 5), (at(40), 6)]);
        assert_eq!(ends.age(5, at(40)), Some(5.0));
    }

    #[test]
    fn an_end_that_goes_back_clears_the_past() {
        assert_eq!(ends(&[(0, 5), (10, 50), (20, 3)]).samples, [(at(20), 3)]);
        assert_eq!(
            ends(&[(10, 5), (10, 6), (5, 7)]).samples,
            [(at(10), 5)],
            "time does not stand or go back"
        );
    }

    #[test]
    fn a_long_past_is_thinned_but_not_cut() {
        let mut ends = Ends::default();
        for second in 0..100_000 {
            ends.push(at(second), second);
        }
        assert!(ends.samples.len() <= CAPACITY);
        assert_eq!(ends.samples.front(), Some(&(at(0), 0)));
        let age = ends.age(50_000, at(99_999)).unwrap();
        assert!((age - 49_999.0).abs() < 2.0, "{age}");
        ends.processed(99_990);
        assert!(ends.samples.front().unwrap().1 <= 99_990);
        assert!(ends.samples.len() < 20);
    }
}
