//! How many records arrive, and how many were processed, over the last minute or so.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::engine::memory::seconds_between;

/// The most samples that are kept.
const KEPT: usize = 16;
/// Samples older than so many seconds are dropped, the latest four excepted.
const OLDEST: f64 = 90.0;
/// Rates are averaged over the last so many seconds at most.
pub(crate) const WINDOW: f64 = 60.0;

/// The time constant of what is usual.
const USUAL_SECONDS: f64 = 1800.0;
/// A load that is so many times what it was has taken a step.
const STEP: f64 = 1.5;
/// The load rises where it is so many times the usual.
const RISING: f64 = 1.1;

/// Recent samples, and what is best remembered of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RateMemory {
    /// Oldest first.
    samples: VecDeque<Sample>,
    /// The busiest partition's share of the arrivals, smoothed.
    pub(crate) share: Option<f64>,
    /// Records per second that have arrived over the last [`USUAL_SECONDS`] or so, smoothed.
    usual: Option<f64>,
}

/// What was counted from one look to the next.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sample {
    /// When it ended.
    pub(crate) at: Timestamp,
    /// Seconds.
    pub(crate) seconds: f64,
    /// Records that arrived.
    pub(crate) arrived: f64,
    /// Records per ready replica that were processed; only where the group was stable on a settled target
    /// at both ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) per_replica: Option<f64>,
}

impl RateMemory {
    /// Adds a sample.
    pub(crate) fn push(&mut self, sample: Sample) {
        let (rate, weight) = (sample.arrived / sample.seconds, 1.0 - (-sample.seconds / USUAL_SECONDS).exp());
        self.usual = Some(self.usual.map_or(rate, |usual| usual + weight * (rate - usual)));
        self.samples.push_back(sample);
        while self.samples.len() > 4
            && (self.samples.len() > KEPT
                || self.samples.front().is_some_and(|old| seconds_between(old.at, sample.at) > OLDEST))
        {
            self.samples.pop_front();
        }
    }

    /// Records per second that arrive: the mean of the last `window` seconds, which neither bursts nor gaps
    /// of batching producers mislead; or the lesser of the last two samples where both are above it, for
    /// that is a step that the mean has not caught up with.
    pub(crate) fn arrivals(&self, window: f64, now: Timestamp) -> Option<f64> {
        let last = self.samples.back()?;
        let mut newest = self.samples.iter().rev();
        let (mut arrived, mut seconds) = (0.0, 0.0);
        for sample in newest.by_ref() {
            if seconds > 0.0 && seconds_between(sample.at, now) >= window {
                break;
            }
            arrived += sample.arrived;
            seconds += sample.seconds;
        }
        let mean = arrived / seconds;
        let before = self.samples.iter().rev().nth(1);
        let step =
            before.map_or(0.0, |before| (before.arrived / before.seconds).min(last.arrived / last.seconds));
        Some(mean.max(step))
    }

    /// Records per second over the latest samples that make up at least `least` seconds.
    pub(crate) fn latest_arrivals(&self, least: f64) -> Option<f64> {
        let (mut records, mut seconds) = (0.0, 0.0);
        for sample in self.samples.iter().rev() {
            records += sample.arrived;
            seconds += sample.seconds;
            if seconds >= least {
                return Some(records / seconds);
            }
        }
        None
    }

    /// Records by which the arrivals have exceeded `serving` records per second since `from`, in the latest samples
    /// without a break, and what they exceed it by each second, the lesser of the last two. `None` where not both of
    /// these have, for a single sample may be a batch; and where they are no new height, for what swings comes down
    /// again by itself.
    pub(crate) fn excess(&self, serving: f64, from: Option<Timestamp>) -> Option<(f64, f64)> {
        let rate = |sample: &Sample| sample.arrived / sample.seconds;
        let since = |sample: &&Sample| from.is_none_or(|from| sample.at > from);
        let run = self.samples.iter().rev().take_while(|sample| since(sample) && rate(sample) > serving);
        let steady = run.clone().take(2).map(rate).reduce(f64::min)?;
        let mut before = self.samples.iter().rev().skip(run.clone().count()).map(rate).peekable();
        let is_new = before.peek().is_some() && before.all(|before| STEP * before < steady);
        let waits = run.clone().map(|sample| sample.arrived - serving * sample.seconds).sum();
        (is_new && run.count() >= 2).then_some((waits, steady - serving))
    }

    /// The latest sample's rate, where nothing like it has been seen lately: perhaps a step, of which
    /// the mean knows little yet. Batches that come again and again are none.
    pub(crate) fn surge(&self) -> Option<f64> {
        let mut newest = self.samples.iter().rev().map(|sample| sample.arrived / sample.seconds);
        let latest = newest.next()?;
        newest.next()?;
        newest.all(|before| before < 0.8 * latest).then_some(latest)
    }

    /// Records per second by which the arrivals grow each second: the least of the last three increases,
    /// so that a step or a single burst is no trend. 0 where they do not grow.
    pub(crate) fn drift(&self) -> f64 {
        let mut newest = self.samples.iter().rev();
        let (Some(d), Some(c), Some(b), Some(a)) =
            (newest.next(), newest.next(), newest.next(), newest.next())
        else {
            return 0.0;
        };
        let rise = |from: &Sample, to: &Sample| {
            let apart = f64::midpoint(from.seconds, to.seconds).max(1e-3);
            (to.arrived / to.seconds - from.arrived / from.seconds) / apart
        };
        rise(a, b).min(rise(b, c)).min(rise(c, d)).max(0.0)
    }

    /// Whether more arrives than has lately been usual.
    pub(crate) fn rises(&self, now: Timestamp) -> bool {
        self.arrivals(WINDOW, now).zip(self.usual).is_some_and(|(rate, usual)| rate > RISING * usual)
    }

    /// Records per second and replica that were processed without a break: the most over any of the
    /// latest spans of `least` to 30 s, for a step makes the older part tell too little. `None` before
    /// that much has been seen.
    pub(crate) fn per_replica(&self, least: f64) -> Option<f64> {
        let (mut records, mut seconds, mut most) = (0.0, 0.0, None);
        for sample in self.samples.iter().rev() {
            let Some(one) = sample.per_replica else { break };
            if seconds >= 30.0_f64.max(least) {
                break;
            }
            records += one;
            seconds += sample.seconds;
            if seconds >= least {
                let mean = records / seconds;
                most = Some(most.map_or(mean, |most: f64| most.max(mean)));
            }
        }
        most
    }

    /// Records per second and replica that were processed without a break: the mean over the last [`WINDOW`], or over
    /// as much of it as there is. `None` before `least` seconds have been seen.
    pub(crate) fn usual_per_replica(&self, least: f64) -> Option<f64> {
        let (mut records, mut seconds) = (0.0, 0.0);
        for sample in self.samples.iter().rev() {
            let Some(one) = sample.per_replica.filter(|_| seconds < WINDOW) else { break };
            records += one;
            seconds += sample.seconds;
        }
        (seconds >= least).then(|| records / seconds)
    }

    /// Seconds and records of the latest sample.
    pub(crate) fn latest_sample(&self) -> Option<(f64, f64)> {
        self.samples.back().map(|sample| (sample.seconds, sample.arrived))
    }

    /// Seconds and records per replica of the latest sample, where it tells of one.
    pub(crate) fn latest(&self) -> Option<(f64, f64)> {
        self.samples.back().and_then(|sample| Some((sample.seconds, sample.per_replica?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fed(rates: &[f64]) -> (RateMemory, Timestamp) {
        let mut memory = RateMemory::default();
        let mut at = Timestamp::UNIX_EPOCH;
        for rate in rates {
            at = at.checked_add(jiff::SignedDuration::from_secs(15)).unwrap();
            memory.push(Sample { at, seconds: 15.0, arrived: rate * 15.0, per_replica: Some(rate * 7.5) });
        }
        (memory, at)
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn a_step_counts_once_two_samples_agree() {
        let (memory, now) = fed(&[300.0, 300.0, 300.0, 1200.0]);
        assert!(close(memory.arrivals(WINDOW, now).unwrap(), 525.0));
        let (memory, now) = fed(&[300.0, 300.0, 300.0, 1200.0, 1200.0]);
        assert!(close(memory.arrivals(WINDOW, now).unwrap(), 1200.0));
    }

    #[test]
    fn a_short_window_forgets_a_fall_sooner() {
        let (memory, now) = fed(&[1200.0, 1200.0, 300.0, 300.0]);
        assert!(close(memory.arrivals(WINDOW, now).unwrap(), 750.0));
        assert!(close(memory.arrivals(30.0, now).unwrap(), 300.0));
    }

    #[test]
    fn an_excess_takes_two_samples_of_a_new_height() {
        let excess = |rates: &[f64], from| fed(rates).0.excess(400.0, from);
        assert_eq!(excess(&[300.0, 1200.0], None), None, "perhaps a batch");
        assert_eq!(excess(&[300.0, 1200.0, 1200.0, 300.0], None), None);
        assert_eq!(excess(&[1200.0, 300.0, 900.0, 1200.0], None), None, "it has been there before");
        let (waits, grows) = excess(&[300.0, 300.0, 900.0, 1200.0], None).unwrap();
        assert!(close(waits, 15.0 * (500.0 + 800.0)) && close(grows, 500.0), "{waits} {grows}");
        let since = Timestamp::from_second(30).ok();
        let (waits, _) = excess(&[300.0, 410.0, 700.0, 700.0], since).unwrap();
        assert!(close(waits, 15.0 * 600.0), "what was before a move was another size's: {waits}");
    }

    #[test]
    fn only_a_new_height_is_a_surge() {
        assert_eq!(fed(&[300.0]).0.surge(), None);
        assert!(close(fed(&[300.0, 300.0, 1200.0]).0.surge().unwrap(), 1200.0));
        assert!(close(fed(&[300.0, 1000.0, 1200.0]).0.surge().unwrap(), 1200.0));
        assert_eq!(fed(&[0.0, 1200.0, 0.0, 0.0, 1200.0]).0.surge(), None);
        assert_eq!(fed(&[300.0, 300.0, 310.0]).0.surge(), None);
    }

    #[test]
    fn batches_count_as_their_mean() {
        let (memory, now) = fed(&[0.0, 0.0, 800.0, 0.0, 0.0, 0.0, 800.0, 0.0]);
        assert!(close(memory.arrivals(WINDOW, now).unwrap(), 200.0));
    }

    #[test]
    fn only_a_ramp_drifts() {
        assert!(close(fed(&[100.0, 100.0, 100.0, 400.0]).0.drift(), 0.0));
        assert!(close(fed(&[400.0, 300.0, 200.0, 100.0]).0.drift(), 0.0));
        assert!(close(fed(&[100.0, 130.0, 160.0, 190.0]).0.drift(), 2.0));
    }

    #[test]
    fn consumption_needs_enough_seconds() {
        let (memory, _) = fed(&[300.0]);
        assert_eq!(memory.per_replica(20.0), None);
        let (memory, _) = fed(&[300.0, 400.0]);
        assert!(close(memory.per_replica(20.0).unwrap(), 175.0));
        assert!(close(memory.per_replica(15.0).unwrap(), 200.0));
    }
}
