//! Records per second that one replica processes, with its uncertainty.
//!
//! A scalar Kalman filter on the logarithm, for errors are multiplicative (Kalman 1960), with the variance of its
//! measurements as their innovations show it (Mehra 1970). It only learns while consumption *is* capacity: a stable
//! group on a settled target, with work waiting at both ends of the look. What a replica did while it was not
//! busy is only a lower bound, and kept apart. Sizes that are larger than needed are never busy, and so would
//! never be corrected: what was measured last therefore fades into what has been measured on average.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::engine::decision::CapacityBasis;
use crate::engine::memory::seconds_between;

/// Variance of a policy's hint.
const HINT_VARIANCE: f64 = 0.25 * 0.25;
/// Growth of the variance per second: a tenth in an hour.
const DRIFT_PER_SECOND: f64 = 0.01 / 3600.0;
/// The variance never grows past this by time alone.
const WIDEST: f64 = 0.25 * 0.25;
/// The least standard deviation that the lower estimate allows for.
const LEAST_DEVIATION: f64 = 0.05;
/// Consumption is averaged over at least so many seconds: consumers commit in batches.
const LEAST_SECONDS: f64 = 30.0;
/// Seconds of work that a commit may still hide, for the noise of a measurement.
const COMMIT_SECONDS: f64 = 2.5;

/// Seconds that it is remembered for what the group fell behind at.
const STRAINED_FOR: f64 = 86_400.0;
/// Where only a few partitions fall behind, the others make the average tell too little: from this share of
/// what is believed on it tells something.
pub(crate) const LEAST_STRAINED: f64 = 0.7;

/// The weight of a measurement in what is usual, and in how far measurements lie apart.
const USUAL_WEIGHT: f64 = 0.1;
const SPREAD_WEIGHT: f64 = 0.1;
/// The variance of measurements is never believed to be more than this.
const WIDEST_SPREAD: f64 = 0.4 * 0.4;
/// The filter's gain over which so little has been measured that what is usual follows what is believed.
const STILL_GUESSING: f64 = 0.25;
/// Seconds in which two thirds of the way back to what is usual are gone, where nothing is measured: one bad minute
/// must not size a workload for a day.
const BACK_SECONDS: f64 = 900.0;
/// The same for what the group fell behind at: not so soon that a size which has just been too small is tried again.
const FORGIVEN_SECONDS: f64 = 7200.0;

/// The filter's state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct CapacityMemory {
    /// Mean and variance of the logarithm of records per second; `None` before the first measurement.
    belief: Option<Belief>,
    /// Logarithm of what it has been over many measurements; the mean goes back there where nothing is measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    usual: Option<f64>,
    /// Variance of measurements of the same capacity, as seen.
    spread: f64,
    /// Whether the last measurement was one that nobody would have expected: above, or below.
    #[serde(skip_serializing_if = "Option::is_none")]
    doubted: Option<bool>,
    /// The most that a replica was seen to process.
    demonstrated: Option<f64>,
    /// What a replica processed on average when the group last fell behind, and when that was.
    strained: Option<(f64, Timestamp)>,
    /// Seconds and records per replica of the busy looks since the last measurement.
    seconds: f64,
    records: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Belief {
    mean: f64,
    variance: f64,
}

/// What is believed of one replica's capacity, in records per second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Capacity {
    /// Where it comes from.
    pub(crate) basis: CapacityBasis,
    /// The mean.
    pub(crate) mean: Option<f64>,
    /// The mean less one standard deviation: what a move up counts on.
    pub(crate) low: Option<f64>,
    /// A lower bound: the most that was seen, busy or not.
    pub(crate) demonstrated: Option<f64>,
    /// The same, as batches with time to spare show it.
    pub(crate) spare: Option<f64>,
    /// What is not enough, whatever the mean says: so much was processed while the group fell behind.
    pub(crate) strained: Option<f64>,
}

impl Capacity {
    /// A lower bound, by all that has been seen.
    pub(crate) fn at_least(self) -> Option<f64> {
        self.demonstrated.into_iter().chain(self.spare).reduce(f64::max)
    }

    /// What a move down counts on: the mean, or what was seen; and no more than has been too little.
    pub(crate) fn for_less(self) -> Option<f64> {
        let counted = self.mean.or(self.at_least())?;
        let strained = self.strained.filter(|strained| *strained >= LEAST_STRAINED * counted);
        Some(strained.map_or(counted, |strained| counted.min(strained)))
    }
}

impl CapacityMemory {
    /// As after many measurements that agree.
    pub(crate) fn known(rate: f64) -> Self {
        if !rate.is_finite() || rate <= 0.0 {
            return Self::default();
        }
        let mean = rate.ln();
        let belief = Belief { mean, variance: LEAST_DEVIATION * LEAST_DEVIATION };
        Self { belief: Some(belief), usual: Some(mean), ..Self::default() }
    }

    /// What is believed now.
    pub(crate) fn capacity(&self, hint: Option<f64>) -> Capacity {
        let hint = hint.filter(|hint| hint.is_finite() && *hint > 0.0);
        let (basis, belief) = match (self.belief, hint) {
            (Some(belief), _) => (CapacityBasis::Measured, Some(belief)),
            (None, Some(hint)) => {
                (CapacityBasis::Hint, Some(Belief { mean: hint.ln(), variance: HINT_VARIANCE }))
            }
            (None, None) => (CapacityBasis::Unknown, None),
        };
        Capacity {
            basis,
            mean: belief.map(|belief| belief.mean.exp()),
            low: belief.map(|b| (b.mean - b.variance.sqrt().max(LEAST_DEVIATION)).exp()),
            demonstrated: self.demonstrated,
            spare: None,
            strained: self.strained.map(|(rate, _)| rate),
        }
    }

    /// Takes note of what a replica processes on average while the group falls behind: together, and as the
    /// partitions are spread, they do no more, however fast one of them may be.
    pub(crate) fn strain(&mut self, per_replica: f64, now: Timestamp) {
        self.strained = Some((per_replica, now));
    }

    /// Takes note of a busy look.
    pub(crate) fn busy(&mut self, seconds: f64, per_replica: f64, hint: Option<f64>) {
        self.seconds += seconds;
        self.records += per_replica;
        if self.seconds < LEAST_SECONDS {
            return;
        }
        let measured = self.records / self.seconds;
        let deviation = 0.05 + COMMIT_SECONDS / self.seconds;
        self.measure(measured, deviation, hint);
    }

    /// A look that was not busy ends a measurement.
    pub(crate) fn not_busy(&mut self) {
        (self.seconds, self.records) = (0.0, 0.0);
    }

    /// Takes in one measurement in records per second, with its relative standard deviation.
    pub(crate) fn measure(&mut self, measured: f64, deviation: f64, hint: Option<f64>) {
        self.not_busy();
        if !measured.is_finite() || measured < 1e-6 {
            return;
        }
        let observed = measured.ln();
        let noise = (deviation * deviation).max(self.spread);
        let prior = self.belief.or_else(|| {
            hint.filter(|hint| hint.is_finite() && *hint > 0.0)
                .map(|hint| Belief { mean: hint.ln(), variance: HINT_VARIANCE })
        });
        let Some(prior) = prior else {
            self.belief = Some(Belief { mean: observed, variance: noise });
            self.usual = Some(observed);
            return;
        };
        let surprise = observed - prior.mean;
        let expected = prior.variance + noise;
        let shocking = surprise * surprise > 9.0 * expected;
        let again = self.doubted == Some(surprise > 0.0);
        self.doubted = shocking.then_some(surprise > 0.0);
        let (variance, noise) = match (shocking, again || self.usual.is_none()) {
            // Twice in a row: the workload has changed, so forget faster.
            (true, true) => (prior.variance + surprise * surprise / 2.0, noise),
            // Once may be chance.
            (true, false) => (prior.variance, noise + surprise * surprise / 2.0),
            (false, _) => {
                let seen = (surprise * surprise - prior.variance).max(0.0);
                self.spread += SPREAD_WEIGHT * (seen.min(WIDEST_SPREAD) - self.spread);
                (prior.variance, noise)
            }
        };
        let gain = variance / (variance + noise);
        self.belief = Some(Belief { mean: prior.mean + gain * surprise, variance: variance * (1.0 - gain) });
        let usual = self.usual.filter(|_| !(shocking && again)).unwrap_or(observed);
        // A first guess must not stay the usual for long.
        let weight = if gain > STILL_GUESSING { gain } else { USUAL_WEIGHT };
        self.usual = Some(usual + weight * (observed - usual));
    }

    /// Takes note of what a replica processed, busy or not.
    pub(crate) fn demonstrate(&mut self, rate: f64, hint: Option<f64>) {
        if !rate.is_finite() || rate <= 0.0 {
            return;
        }
        self.demonstrated = Some(self.demonstrated.map_or(rate, |most| most.max(rate)));
        // Clearly more than was believed possible: it is possible.
        if self.belief.is_some_and(|belief| rate > belief.mean.exp() * 1.2) {
            self.measure(rate, 0.15, hint);
        }
    }

    /// Lets the certainty fade.
    pub(crate) fn fade(&mut self, seconds: f64, now: Timestamp) {
        self.strained = self.strained.filter(|(_, at)| seconds_between(*at, now) < STRAINED_FOR);
        if let Some(belief) = &mut self.belief {
            let back = 1.0 - (-seconds.max(0.0) / BACK_SECONDS).exp();
            belief.mean += back * (self.usual.unwrap_or(belief.mean) - belief.mean);
            if let Some((strained, _)) = &mut self.strained {
                let back = 1.0 - (-seconds.max(0.0) / FORGIVEN_SECONDS).exp();
                *strained += back * (belief.mean.exp() - *strained);
            }
        }
        if let Some(belief) = &mut self.belief
            && belief.variance < WIDEST
        {
            belief.variance = (belief.variance + DRIFT_PER_SECOND * seconds.max(0.0)).min(WIDEST);
        }
    }

    /// A rollout may change anything: what was learnt becomes a guess.
    pub(crate) fn unsettle(&mut self) {
        self.not_busy();
        (self.demonstrated, self.strained, self.usual, self.doubted) = (None, None, None, None);
        if let Some(belief) = &mut self.belief {
            belief.variance = belief.variance.max(WIDEST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_is_a_guess_until_measured() {
        let mut memory = CapacityMemory::default();
        let hinted = memory.capacity(Some(500.0));
        assert_eq!(hinted.basis, CapacityBasis::Hint);
        assert!((hinted.mean.unwrap() - 500.0).abs() < 1e-6);
        for _ in 0..4 {
            memory.busy(15.0, 15.0 * 200.0, Some(500.0));
        }
        let measured = memory.capacity(Some(500.0));
        assert_eq!(measured.basis, CapacityBasis::Measured);
        assert!((195.0..240.0).contains(&measured.mean.unwrap()), "{measured:?}");
        assert!(measured.low.unwrap() < measured.mean.unwrap());
    }

    #[test]
    fn short_looks_add_up_and_a_pause_starts_over() {
        let mut memory = CapacityMemory::default();
        memory.busy(20.0, 8000.0, None);
        memory.not_busy();
        memory.busy(20.0, 2000.0, None);
        assert_eq!(memory.capacity(None).basis, CapacityBasis::Unknown);
        memory.busy(20.0, 6000.0, None);
        assert!((memory.capacity(None).mean.unwrap() - 200.0).abs() < 1e-6);
    }

    #[test]
    fn nothing_processed_measures_nothing() {
        let mut memory = CapacityMemory::default();
        memory.busy(30.0, 0.0, None);
        assert_eq!(memory.capacity(None), Capacity::default());
    }

    #[test]
    fn a_changed_workload_is_believed_soon() {
        let mut memory = CapacityMemory::default();
        for _ in 0..20 {
            memory.busy(30.0, 30.0 * 200.0, None);
        }
        for _ in 0..3 {
            memory.busy(30.0, 30.0 * 100.0, None);
        }
        let mean = memory.capacity(None).mean.unwrap();
        assert!((95.0..120.0).contains(&mean), "{mean}");
    }

    #[test]
    fn one_bad_minute_fades_and_two_count() {
        let mut memory = CapacityMemory::default();
        for _ in 0..20 {
            memory.busy(30.0, 30.0 * 200.0, None);
        }
        memory.busy(30.0, 30.0 * 50.0, None);
        let mean = |memory: &CapacityMemory| memory.capacity(None).mean.unwrap();
        assert!(mean(&memory) > 180.0, "{}", mean(&memory));
        memory.busy(30.0, 30.0 * 50.0, None);
        assert!(mean(&memory) < 60.0, "{}", mean(&memory));
    }

    #[test]
    fn what_was_measured_last_fades_into_the_usual() {
        let mut memory = CapacityMemory::default();
        for rate in [200.0, 210.0, 190.0, 205.0, 195.0, 200.0, 210.0, 190.0, 160.0, 160.0] {
            memory.busy(30.0, 30.0 * rate, None);
        }
        memory.strain(150.0, Timestamp::UNIX_EPOCH);
        let before = memory.capacity(None);
        memory.fade(900.0, Timestamp::from_second(900).unwrap());
        let soon = memory.capacity(None);
        assert!(soon.for_less().unwrap() < 160.0, "what was too little a moment ago is too little: {soon:?}");
        memory.fade(30_000.0, Timestamp::from_second(30_900).unwrap());
        let after = memory.capacity(None);
        assert!(
            before.mean.unwrap() < after.mean.unwrap() && after.mean.unwrap() < 210.0,
            "{before:?} {after:?}"
        );
        assert!(after.for_less().unwrap() > 0.95 * after.mean.unwrap(), "{after:?}");
    }
}
