//! Google Cloud Dataproc's autoscaling of a YARN cluster, with work in the place of memory.
//! Source: its documentation, "Autoscaling clusters": at every cooldown the change is the mean of pending
//! less available over it, times `scaleUpFactor` or `scaleDownFactor`.
//!
//! Pending is what the present replicas cannot do within the cooldown: the backlog in replicas. Available
//! are those that were idle.

use super::{Candidate, Rule, Signals, covering};
use crate::fluid::course::Course;

#[derive(Debug)]
struct Dataproc {
    cooldown: f64,
    up: f64,
    down: f64,
    capacity: f64,
    decided: f64,
    sum: f64,
    looks: f64,
}

impl Dataproc {
    fn new(course: &Course, cooldown: f64, up: f64, down: f64) -> Self {
        Self { cooldown, up, down, capacity: course.capacity, decided: 0.0, sum: 0.0, looks: 0.0 }
    }
}

impl Rule for Dataproc {
    fn desired(&mut self, signals: &Signals) -> u32 {
        let Some(seen) = signals.seen else { return signals.asked };
        if seen.stopped || signals.ready != signals.asked {
            return signals.asked;
        }
        let pending = seen.backlog / (self.capacity * self.cooldown);
        let available = f64::from(signals.ready) * (1.0 - seen.busy);
        self.sum += pending - available;
        self.looks += 1.0;
        if signals.second < self.decided + self.cooldown {
            return signals.asked;
        }
        let mean = self.sum / self.looks;
        (self.decided, self.sum, self.looks) = (signals.second, 0.0, 0.0);
        if mean > 0.0 {
            signals.asked.saturating_add(covering(mean * self.up))
        } else {
            // Whole replicas only, and never the last.
            signals.asked.saturating_sub(covering(-mean * self.down + 1e-7 - 1.0)).max(1)
        }
    }
}

pub(super) fn grid(course: &Course) -> Vec<Candidate> {
    let candidate = |cooldown: f64, up: f64, down: f64| {
        let setting = format!("cooldown {cooldown} s, up {up}, down {down}");
        Candidate::new(setting, Dataproc::new(course, cooldown, up, down))
    };
    let mut grid = vec![candidate(120.0, 0.5, 1.0)];
    for cooldown in [120.0, 300.0, 600.0] {
        for down in [0.25, 0.5, 0.8] {
            grid.push(candidate(cooldown, 1.0, down));
        }
    }
    grid
}

#[cfg(test)]
mod tests {
    use super::super::tests::{snapshot, turn};
    use super::*;

    fn after_cooldown(seen: crate::fluid::sight::Snapshot, up: f64, down: f64) -> u32 {
        let mut rule =
            Dataproc { cooldown: 120.0, up, down, capacity: 100.0, decided: 0.0, sum: 0.0, looks: 0.0 };
        assert_eq!(rule.desired(&turn(105.0, 8, Some(seen))), 8);
        rule.desired(&turn(120.0, 8, Some(seen)))
    }

    #[test]
    fn the_mean_of_what_is_pending_is_added() {
        // 48,000 records are 4 replicas for 120 s.
        assert_eq!(after_cooldown(snapshot(8, 800.0, 1.0, 48_000.0), 1.0, 1.0), 12);
        assert_eq!(after_cooldown(snapshot(8, 800.0, 1.0, 48_000.0), 0.5, 1.0), 10);
    }

    #[test]
    fn what_is_idle_goes_in_whole_replicas() {
        assert_eq!(after_cooldown(snapshot(8, 200.0, 0.25, 0.0), 1.0, 1.0), 2);
        assert_eq!(after_cooldown(snapshot(8, 200.0, 0.25, 0.0), 1.0, 0.25), 7);
        assert_eq!(after_cooldown(snapshot(8, 760.0, 0.95, 0.0), 1.0, 1.0), 8);
    }
}
