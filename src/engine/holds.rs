//! How long each size would do: what tells a bursty load from a smooth one.
//!
//! For every size worth having, a queue is kept as if that size alone had been running since it last caught
//! up (a leaky bucket). The size does while its queue stays younger than the age at which more would be
//! asked for, and has failed until it is empty again. From how long sizes used to do follows how long one
//! can be expected to do that has done for a while already: the mean residual life, with one observation
//! added that knows nothing but the present ("what has lasted so long lasts as long again"). Where nothing
//! is known that is the ski rental of online algorithms; with every burst that is seen it gets better.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::memory::seconds_between;
use crate::policy::units::Replicas;

/// The most sizes that are watched.
pub(crate) const SIZES: u32 = 24;
/// The most endings that are remembered of a size.
const KEPT: usize = 8;
/// A size starts afresh with no more waiting than this share of what may.
const CLEARED: f64 = 0.25;

/// All sizes that are watched, rising.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Holds(Vec<Hold>);

/// One size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Hold {
    /// Replicas.
    size: u32,
    /// Records that would wait.
    waits: f64,
    /// Since when it has done.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
    /// Whether what waited after the stop is still being cleared.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    clearing: bool,
    /// For how many seconds it did before, the latest last.
    #[serde(skip_serializing_if = "VecDeque::is_empty", default)]
    past: VecDeque<u32>,
}

/// What has arrived since the last look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Arrived {
    /// Seconds.
    pub(crate) seconds: f64,
    /// Records.
    pub(crate) records: f64,
    /// Seconds of arrivals that may wait before more would be asked for.
    pub(crate) allowed: f64,
    /// Records that really wait, at the size that there is.
    pub(crate) backlog: f64,
    /// Seconds of arrivals that wait after the stop of a move.
    pub(crate) stop: f64,
    /// Seconds of arrivals that may wait while those of the stop are cleared.
    pub(crate) usable: f64,
}

impl Holds {
    /// Takes in what has arrived. `sizes` are those worth watching, rising, with the records per second they
    /// process.
    pub(crate) fn note(&mut self, now: Timestamp, arrived: Arrived, sizes: impl Iterator<Item = (u32, f64)>) {
        let mut at = 0;
        for (size, capacity) in sizes {
            // Almost always the same sizes as at the last look.
            while self.0.get(at).is_some_and(|one| one.size < size) {
                self.0.remove(at);
            }
            if self.0.get(at).is_none_or(|one| one.size != size) {
                self.0.insert(at, Hold::new(size));
            }
            if let Some(one) = self.0.get_mut(at) {
                one.note(now, arrived, capacity);
            }
            at += 1;
        }
        self.0.truncate(at);
    }

    /// Nobody has looked for too long: what does now, does from now on.
    pub(crate) fn interrupt(&mut self, now: Timestamp) {
        for one in &mut self.0 {
            if one.since.is_some() {
                one.since = Some(now);
            }
        }
    }

    /// The sizes that are watched.
    pub(crate) fn sizes(&self) -> impl Iterator<Item = Replicas> {
        self.0.iter().map(|one| Replicas(one.size))
    }

    /// Seconds for which a size can be expected to do from now on; 0 where it does not do now.
    pub(crate) fn expected(&self, size: u32, now: Timestamp) -> f64 {
        let watched = self.0.iter().rev().find(|one| one.size <= size);
        watched.map_or(0.0, |one| one.expected(now))
    }

    /// Seconds for which a size has done.
    pub(crate) fn lasted(&self, size: u32, now: Timestamp) -> f64 {
        let watched = self.0.iter().rev().find(|one| one.size <= size);
        watched.and_then(|one| one.since).map_or(0.0, |since| seconds_between(since, now).max(0.0))
    }
}

impl Hold {
    fn new(size: u32) -> Self {
        Self { size, waits: 0.0, since: None, clearing: false, past: VecDeque::new() }
    }

    fn note(&mut self, now: Timestamp, arrived: Arrived, capacity: f64) {
        let rate = arrived.records / arrived.seconds;
        let ready = rate * arrived.allowed;
        let most = if self.clearing { rate * arrived.usable } else { ready };
        self.waits = (self.waits + arrived.records - capacity * arrived.seconds).max(0.0);
        match self.since {
            Some(since) if self.waits > most => self.fail(seconds_between(since, now).max(0.0)),
            Some(_) => self.clearing &= self.waits > CLEARED * ready,
            // Whoever is at work has cleared what waited, and no more comes than this size processes.
            None if rate <= capacity => {
                self.waits = self.waits.min(arrived.backlog);
                if self.waits <= CLEARED * ready {
                    self.since = Some(now);
                    self.waits += arrived.stop * rate;
                    self.clearing = arrived.stop > 0.0;
                }
            }
            None => {}
        }
        // Somebody larger would have cleared the rest.
        self.waits = self.waits.min(most);
    }

    fn fail(&mut self, lasted: f64) {
        self.since = None;
        self.past.push_back(Replicas::covering(lasted).map_or(u32::MAX, |seconds| seconds.0));
        if self.past.len() > KEPT {
            self.past.pop_front();
        }
    }

    fn expected(&self, now: Timestamp) -> f64 {
        let Some(since) = self.since.filter(|_| !self.clearing) else { return 0.0 };
        let lasted = seconds_between(since, now).max(0.0);
        let longer = self.past.iter().map(|past| f64::from(*past) - lasted).filter(|rest| *rest > 0.0);
        let (rest, count) = longer.fold((lasted, 1.0), |(rest, count), one| (rest + one, count + 1.0));
        rest / count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// Ten records a second and replica; 30 s of arrivals may wait; whatever is needed is there.
    fn fed(holds: &mut Holds, from: i64, until: i64, rate: f64) {
        for second in (from..until).step_by(15) {
            let arrived = Arrived {
                seconds: 15.0,
                records: rate * 15.0,
                allowed: 30.0,
                backlog: 0.0,
                stop: 0.0,
                usable: 54.0,
            };
            holds.note(at(second + 15), arrived, [(1, 10.0), (2, 20.0)].into_iter());
        }
    }

    #[test]
    fn what_has_lasted_lasts_as_long_again() {
        let mut holds = Holds::default();
        fed(&mut holds, 0, 600, 5.0);
        assert!((holds.lasted(1, at(600)) - 585.0).abs() < 1e-9);
        assert!((holds.expected(1, at(600)) - 585.0).abs() < 1e-9);
    }

    #[test]
    fn a_size_that_is_short_does_until_too_much_waits() {
        let mut holds = Holds::default();
        fed(&mut holds, 0, 300, 5.0);
        fed(&mut holds, 300, 420, 12.0);
        assert!((holds.lasted(1, at(420)) - 405.0).abs() < 1e-9, "240 records of 360 wait");
        fed(&mut holds, 420, 510, 12.0);
        assert!(holds.lasted(1, at(510)) < 1e-9 && holds.expected(1, at(510)) < 1e-9);
        assert!((holds.lasted(2, at(510)) - 495.0).abs() < 1e-9);
    }

    #[test]
    fn bursts_are_learnt() {
        let mut holds = Holds::default();
        for burst in 0..4 {
            fed(&mut holds, burst * 1000, burst * 1000 + 900, 5.0);
            fed(&mut holds, burst * 1000 + 900, burst * 1000 + 990, 100.0);
        }
        fed(&mut holds, 4000, 4030, 5.0);
        // Right after the burst: it used to last a quarter of an hour.
        assert!((500.0..900.0).contains(&holds.expected(1, at(4030))), "{holds:?}");
        fed(&mut holds, 4030, 4090, 100.0);
        assert!(holds.expected(1, at(4090)) < 1e-9, "not in the burst");
    }

    #[test]
    fn a_pause_starts_over() {
        let mut holds = Holds::default();
        fed(&mut holds, 0, 600, 5.0);
        holds.interrupt(at(700));
        assert!((holds.expected(1, at(720)) - 20.0).abs() < 1e-9);
    }
}
