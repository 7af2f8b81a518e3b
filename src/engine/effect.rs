//! Stage 8: whether more replicas did more.
//!
//! What every size processes while all of it is busy is remembered as measured. Where a larger size does not
//! bring half of what was promised for it, time and again, something else is the limit: what lies downstream, one
//! hot partition, shared memory. The size that does as much is enough then, and larger ones are left alone
//! for a while, and for twice as long each time that they prove useless again (Dhalion's list of actions that
//! did not help, Floratou et al. 2017, with the back-off of a retry).

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::memory::seconds_between;
use crate::policy::units::Replicas;

/// Seconds of busy work that make a measurement: consumers commit in batches.
const MEASURED_FROM: f64 = 30.0;
/// Measurements in a row under half of the promise that make a verdict.
const STRIKES: u32 = 4;
/// A promise of less than this is not judged.
const WORTH_JUDGING: f64 = 1.3;
/// The share of a promised gain that has to be seen.
const LEAST_GAIN: f64 = 0.5;
/// A size that does this share of the most does as much.
const AS_MUCH: f64 = 0.9;
/// So many seconds are larger sizes left alone at first, and at the most.
const FIRST_REST: f64 = 1800.0;
const LONGEST_REST: f64 = 86_400.0;
/// Seconds that a larger size is tried again for.
const TRIAL: f64 = 600.0;
/// A size that does so much of what the verdict says is held back by it.
const HELD_BACK: f64 = 0.9;
/// Seconds that a measurement counts for, and its weight against what was measured before.
const COUNTS_FOR: f64 = 86_400.0;
const WEIGHT: f64 = 0.3;
/// The most sizes that are remembered.
const KEPT: usize = 8;

/// What sizes were seen to do, and what followed from that.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Effect {
    /// By size, rising.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    done: Vec<Done>,
    /// The size that is being measured, its busy seconds and what it processed in them.
    size: u32,
    seconds: f64,
    records: f64,
    /// Measurements in a row that were under half of the promise.
    strikes: u32,
    /// Seconds that larger sizes are left alone for the next time; 0 for the first.
    rest: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<Bound>,
    /// Since when larger sizes are tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    tried: Option<Timestamp>,
}

/// What a size processed while it was busy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Done {
    size: u32,
    /// Records per second.
    rate: f64,
    at: Timestamp,
}

/// More than `useful` replicas do no more than `rate` records per second.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Bound {
    /// The least size that does as much as any.
    pub(crate) useful: Replicas,
    /// Records per second.
    pub(crate) rate: f64,
    /// Until when larger sizes are left alone.
    pub(crate) until: Timestamp,
}

impl Effect {
    /// What holds by now of what was found out.
    pub(crate) fn bound(&self, now: Timestamp) -> Option<Bound> {
        self.verdict.filter(|bound| now < bound.until)
    }

    /// Whether the latest measurement was under half of its promise.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.strikes > 0
    }

    /// Takes note of the size that is asked for. One that was tried again and has not done more for a while goes
    /// the way of the last.
    pub(crate) fn watch(&mut self, now: Timestamp, current: Replicas) {
        let Some(bound) = self.verdict.filter(|bound| current > bound.useful && now >= bound.until) else {
            self.tried = None;
            return;
        };
        let since = *self.tried.get_or_insert(now);
        if seconds_between(since, now) >= TRIAL {
            self.leave_alone(now, bound);
        }
    }

    fn leave_alone(&mut self, now: Timestamp, bound: Bound) {
        self.rest = (2.0 * self.rest).clamp(FIRST_REST, LONGEST_REST);
        let rest = SignedDuration::try_from_secs_f64(self.rest).unwrap_or(SignedDuration::from_hours(1));
        self.verdict = now.checked_add(rest).ok().map(|until| Bound { until, ..bound });
        (self.tried, self.strikes) = (None, 0);
    }

    /// A look that was not busy ends a measurement.
    pub(crate) fn not_busy(&mut self) {
        (self.seconds, self.records) = (0.0, 0.0);
    }

    /// A rollout may change anything.
    pub(crate) fn unsettle(&mut self) {
        *self = Self::default();
    }

    /// Takes note of a busy look at `size` replicas. `sizes` are those worth having with what is promised for
    /// them, in records per second. Whether what a replica can do may be learnt from it: not where more of them
    /// do no more.
    pub(crate) fn busy(
        &mut self,
        now: Timestamp,
        size: Replicas,
        (seconds, records): (f64, f64),
        sizes: &[(u32, f64)],
    ) -> bool {
        if self.size != size.0 {
            (self.size, self.strikes) = (size.0, 0);
            self.not_busy();
        }
        self.seconds += seconds;
        self.records += records;
        if self.seconds >= MEASURED_FROM {
            let rate = self.records / self.seconds;
            self.not_busy();
            self.judge(now, size.0, rate, sizes);
        }
        let held_back = |bound: Bound| size > bound.useful || records >= HELD_BACK * bound.rate * seconds;
        self.strikes == 0 && !self.verdict.is_some_and(held_back)
    }

    fn judge(&mut self, now: Timestamp, size: u32, rate: f64, sizes: &[(u32, f64)]) {
        if !(rate.is_finite() && rate > 0.0) {
            return;
        }
        self.done.retain(|one| seconds_between(one.at, now) < COUNTS_FOR);
        let promised = |size: u32| sizes.iter().rev().find(|(one, _)| *one <= size).map(|(_, rate)| *rate);
        let best =
            self.done.iter().filter(|one| one.size < size).max_by(|a, b| a.rate.total_cmp(&b.rate)).copied();
        let promise = best.and_then(|best| Some((best, promised(size)? / promised(best.size)?)));
        let beyond = self.verdict.is_some_and(|bound| size > bound.useful.0);
        if let Some((best, promise)) = promise.filter(|(_, promise)| *promise >= WORTH_JUDGING) {
            if rate < best.rate * (1.0 + LEAST_GAIN * (promise - 1.0)) {
                self.strikes += 1;
            } else {
                self.strikes = 0;
                if beyond {
                    (self.rest, self.verdict) = (0.0, None);
                }
            }
        }
        self.note(now, size, rate);
        if self.strikes >= if beyond { 1 } else { STRIKES } {
            self.find(now, size, sizes);
        } else if let Some(bound) = self.verdict
            && (size <= bound.useful.0 && rate > 1.15 * bound.rate
                || size == bound.useful.0 && rate < 0.8 * bound.rate)
        {
            // It was something else.
            self.verdict = None;
        }
    }

    fn note(&mut self, now: Timestamp, size: u32, rate: f64) {
        match self.done.iter_mut().find(|one| one.size == size) {
            Some(one) => (one.rate, one.at) = (one.rate + WEIGHT * (rate - one.rate), now),
            None => self.done.push(Done { size, rate, at: now }),
        }
        self.done.sort_by_key(|one| one.size);
        if self.done.len() > KEPT
            && let Some(oldest) = self.done.iter().enumerate().min_by_key(|(_, one)| one.at).map(|(at, _)| at)
        {
            self.done.remove(oldest);
        }
    }

    /// The verdict: the least size that does as much as any was seen to do.
    fn find(&mut self, now: Timestamp, size: u32, sizes: &[(u32, f64)]) {
        self.strikes = 0;
        let seen = |size: u32| self.done.iter().find(|one| one.size == size).map(|one| one.rate);
        let most = self.done.iter().map(|one| one.rate).fold(0.0, f64::max);
        let enough = |(one, promised): &&(u32, f64)| seen(*one).unwrap_or(*promised) >= AS_MUCH * most;
        let Some((useful, _)) = sizes.iter().find(enough).filter(|(one, _)| *one < size) else { return };
        self.leave_alone(now, Bound { useful: Replicas(*useful), rate: most, until: now });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: [(u32, f64); 4] = [(6, 600.0), (8, 800.0), (12, 1200.0), (24, 2400.0)];

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// Busy looks of 30 s each; whether the last of them told of one replica.
    fn seen(effect: &mut Effect, second: &mut i64, size: u32, rate: f64, looks: u32) -> bool {
        let mut learnt = true;
        for _ in 0..looks {
            *second += 30;
            effect.watch(at(*second), Replicas(size));
            learnt = effect.busy(at(*second), Replicas(size), (30.0, 30.0 * rate), &SIZES);
        }
        learnt
    }

    fn useful(effect: &Effect, second: i64) -> Option<u32> {
        effect.bound(at(second)).map(|bound| bound.useful.0)
    }

    #[test]
    fn more_that_do_no_more_are_left_alone_and_for_longer_each_time() {
        let (mut effect, mut now) = (Effect::default(), 0);
        assert!(seen(&mut effect, &mut now, 12, 1000.0, 4));
        assert!(!seen(&mut effect, &mut now, 24, 1000.0, 3), "nothing is learnt of one replica there");
        assert_eq!(useful(&effect, now), None);
        seen(&mut effect, &mut now, 24, 1000.0, 1);
        assert_eq!(useful(&effect, now), Some(12));
        assert_eq!(useful(&effect, now + 1801), None);
        // Tried again, one measurement is enough.
        now += 1801;
        seen(&mut effect, &mut now, 24, 1010.0, 1);
        assert_eq!(useful(&effect, now + 3599), Some(12));
        assert_eq!(useful(&effect, now + 3601), None);
        // And where the larger size is never busy, that it did not do more for a while.
        now += 3601;
        effect.watch(at(now), Replicas(24));
        effect.watch(at(now + 600), Replicas(24));
        assert_eq!(useful(&effect, now + 600), Some(12));
    }

    #[test]
    fn more_that_do_more_are_welcome() {
        let (mut effect, mut now) = (Effect::default(), 0);
        seen(&mut effect, &mut now, 12, 1000.0, 4);
        assert!(seen(&mut effect, &mut now, 24, 1600.0, 10));
        assert_eq!(useful(&effect, now), None);
    }

    #[test]
    fn one_bad_minute_is_no_verdict() {
        let (mut effect, mut now) = (Effect::default(), 0);
        seen(&mut effect, &mut now, 12, 1000.0, 4);
        seen(&mut effect, &mut now, 24, 900.0, 2);
        seen(&mut effect, &mut now, 24, 2000.0, 1);
        seen(&mut effect, &mut now, 24, 900.0, 3);
        assert_eq!(useful(&effect, now), None);
    }

    #[test]
    fn a_verdict_falls_with_what_it_was_found_by() {
        for rate in [700.0, 1160.0] {
            let (mut effect, mut now) = (Effect::default(), 0);
            seen(&mut effect, &mut now, 12, 1000.0, 4);
            seen(&mut effect, &mut now, 24, 1000.0, 4);
            assert!(!seen(&mut effect, &mut now, 12, 1000.0, 4), "held back: it could do more");
            assert_eq!(useful(&effect, now), Some(12));
            seen(&mut effect, &mut now, 12, rate, 1);
            assert_eq!(useful(&effect, now), None, "{rate}");
        }
    }

    #[test]
    fn a_size_in_between_is_found() {
        let (mut effect, mut now) = (Effect::default(), 0);
        seen(&mut effect, &mut now, 6, 600.0, 4);
        seen(&mut effect, &mut now, 24, 780.0, 4);
        assert_eq!(useful(&effect, now), Some(8));
    }
}
