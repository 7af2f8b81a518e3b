//! KEDA's `kafka` scaler: the group's lag as an external metric with an average value, on an HPA.
//! Source: kedacore/keda, `pkg/scalers/kafka_scaler.go`; for the HPA's part see [`super::hpa`].
//! `lagThreshold` is given in seconds of one replica's work, so that it suits any trace; its default of 10 records
//! suits none.

use super::hpa::Behavior;
use super::{Candidate, Rule, Signals, covering};
use crate::fluid::course::Course;

/// Seconds without lag after which nothing is left: the default of `cooldownPeriod`.
const COOLDOWN: f64 = 300.0;

/// One replica for every `threshold` records.
#[derive(Debug)]
struct KedaLag {
    threshold: f64,
    partitions: u32,
    behavior: Behavior,
    /// Whether it may rest at zero, which is KEDA's part and not the HPA's.
    rests: bool,
    /// Since when there has been no lag.
    idle_since: Option<f64>,
}

impl KedaLag {
    /// At zero there is no HPA: the first lag wakes one replica. Without lag for a `cooldownPeriod` all go,
    /// however many there are.
    fn rest(&mut self, second: f64, asked: u32, lag: f64) -> Option<u32> {
        if lag > 0.0 {
            self.idle_since = None;
            return (asked == 0).then_some(1);
        }
        let since = *self.idle_since.get_or_insert(second);
        (asked == 0 || (self.rests && second >= since + COOLDOWN)).then_some(0)
    }
}

impl Rule for KedaLag {
    fn desired(&mut self, signals: &Signals) -> u32 {
        let Some(seen) = signals.seen else { return signals.asked };
        if let Some(size) = self.rest(signals.second, signals.asked, seen.backlog) {
            return size;
        }
        // Never more than the partitions, by a cap on the lag itself, as the scaler does it.
        let lag = match self.partitions {
            0 => seen.backlog,
            partitions => seen.backlog.min(self.threshold * f64::from(partitions)),
        };
        let ratio = lag / (self.threshold * f64::from(signals.asked.max(1)));
        let asked =
            if (ratio - 1.0).abs() <= 0.1 { signals.asked } else { covering(lag / self.threshold).max(1) };
        self.behavior.damp(signals.second, signals.asked, asked)
    }
}

pub(super) fn grid(course: &Course) -> Vec<Candidate> {
    let candidate = |seconds: f64, window: f64| {
        let rule = KedaLag {
            threshold: seconds * course.capacity,
            partitions: course.plant.partitions,
            behavior: Behavior::new(window),
            rests: course.plant.min_replicas == 0,
            idle_since: None,
        };
        Candidate::new(format!("lag of {seconds} s a replica, down after {window} s"), rule)
    };
    let mut grid = vec![candidate(30.0, 300.0)];
    grid.extend([2.0, 5.0, 10.0, 60.0].map(|seconds| candidate(seconds, 300.0)));
    for window in [900.0, 3600.0] {
        grid.extend([2.0, 5.0, 10.0, 30.0, 60.0].map(|seconds| candidate(seconds, window)));
    }
    grid
}

#[cfg(test)]
mod tests {
    use super::super::tests::{snapshot, turn};
    use super::*;

    fn rule() -> KedaLag {
        let behavior = Behavior::new(300.0);
        KedaLag { threshold: 1000.0, partitions: 24, behavior, rests: false, idle_since: None }
    }

    #[test]
    fn the_lag_over_the_threshold_is_the_size() {
        let seen = |lag: f64| Some(snapshot(3, 100.0, 1.0, lag));
        assert_eq!(rule().desired(&turn(0.0, 3, seen(5500.0))), 6);
        assert_eq!(rule().desired(&turn(0.0, 12, seen(1e9))), 24);
        // Within a tenth nothing happens: 22 of 24 is where the last replicas are never asked for.
        assert_eq!(rule().desired(&turn(0.0, 22, seen(1e9))), 22);
    }

    #[test]
    fn a_cooldown_without_lag_ends_at_zero_from_any_size_and_the_first_lag_wakes_one() {
        let mut rule = KedaLag { rests: true, ..rule() };
        let idle = Some(snapshot(8, 0.0, 0.0, 0.0));
        assert_eq!([0.0, 285.0, 300.0].map(|at| rule.desired(&turn(at, 8, idle))), [8, 8, 0]);
        assert_eq!(rule.desired(&turn(315.0, 0, idle)), 0);
        assert_eq!(rule.desired(&turn(330.0, 0, Some(snapshot(0, 0.0, 1.0, 1.0)))), 1);
    }

    #[test]
    fn no_lag_ends_at_one_replica_after_the_window() {
        let mut rule = rule();
        assert_eq!(rule.desired(&turn(0.0, 8, Some(snapshot(8, 100.0, 0.9, 0.0)))), 8);
        assert_eq!(rule.desired(&turn(300.0, 8, Some(snapshot(8, 100.0, 0.9, 0.0)))), 8);
        assert_eq!(rule.desired(&turn(315.0, 8, Some(snapshot(8, 100.0, 0.9, 0.0)))), 1);
    }
}
