//! How much of their time executors are at work.
//!
//! A driver counts a task's time once the task has ended, so that one look sees nothing and the next one all of
//! it. The share is therefore taken over the last minute.

use std::collections::VecDeque;

use jiff::Timestamp;

/// Seconds that the share is taken over, and the least that it can be told from.
const LONGEST: f64 = 60.0;
const SHORTEST: f64 = 20.0;

/// What was seen of one set of executors.
#[derive(Debug, Default)]
pub(super) struct Busy {
    samples: VecDeque<Sample>,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Timestamp,
    /// Seconds that tasks ran for since the application's start.
    worked: f64,
    /// Slots that there were.
    slots: f64,
}

impl Busy {
    /// Starts over: other executors.
    pub(super) fn forget(&mut self) {
        self.samples.clear();
    }

    /// Takes a look, and tells the share of the slots' time that was used: between 0 and 1.
    pub(super) fn look(&mut self, at: Timestamp, worked: f64, slots: u32) -> Option<f64> {
        let sample = Sample { at, worked, slots: f64::from(slots) };
        match self.samples.back() {
            Some(last) if last.at >= at => {}
            // Executors that are forgotten by the driver take their time with them.
            Some(last) if last.worked > worked => self.forget(),
            _ => {}
        }
        if self.samples.back().is_none_or(|last| last.at < at) {
            self.samples.push_back(sample);
        }
        while self.samples.get(1).is_some_and(|next| seconds(next.at, at) >= LONGEST) {
            self.samples.pop_front();
        }
        let first = self.samples.front()?;
        let span = seconds(first.at, at);
        (span >= SHORTEST && slots > 0)
            .then(|| ((worked - first.worked) / (sample.slots * span)).clamp(0.0, 1.0))
    }
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    #[test]
    fn the_share_is_that_of_the_last_minute() {
        let mut busy = Busy::default();
        assert_eq!(busy.look(at(0), 100.0, 2), None);
        assert_eq!(busy.look(at(10), 100.0, 2), None);
        assert_eq!(busy.look(at(20), 120.0, 2), Some(0.5));
        assert_eq!(busy.look(at(60), 160.0, 2), Some(0.5));
        assert_eq!(busy.look(at(80), 160.0, 2), Some(1.0 / 3.0), "40 s of work of two slots since second 20");
    }

    #[test]
    fn other_executors_or_forgotten_ones_start_over() {
        let mut busy = Busy::default();
        busy.look(at(0), 100.0, 1);
        assert_eq!(busy.look(at(30), 50.0, 1), None);
        assert_eq!(busy.look(at(60), 80.0, 1), Some(1.0));
        busy.forget();
        assert_eq!(busy.look(at(90), 110.0, 1), None);
        assert_eq!(busy.look(at(90), 110.0, 1), None, "the same look twice");
    }
}
