//! HPA on CPU utilisation, the first autoscaler that anybody tries. A replica's CPU is the share of its
//! capacity that it processes; in a stop it is idle.

use super::hpa::{Behavior, proportional};
use super::{Candidate, Rule, Signals};
use crate::fluid::course::Course;

/// An HPA with a `Resource` metric.
#[derive(Debug)]
struct HpaCpu {
    target: f64,
    capacity: f64,
    behavior: Behavior,
}

impl Rule for HpaCpu {
    fn desired(&mut self, signals: &Signals) -> u32 {
        let Some(seen) = signals.seen else { return signals.asked };
        let cpu = seen.processing_rate / (f64::from(seen.members.max(1)) * self.capacity);
        // Replicas that are not ready yet count as idle on the way up, and as at their target on the way
        // down: neither direction may be taken on their account.
        let ratio = cpu / self.target;
        let waiting = f64::from(signals.asked.saturating_sub(signals.ready));
        let ready = f64::from(signals.ready);
        let counted = if ratio > 1.0 {
            (ready * ratio / (ready + waiting)).max(1.0)
        } else {
            ((ready * ratio + waiting) / (ready + waiting)).min(1.0)
        };
        // Without a cluster's feature gate an HPA never asks for none.
        let asked = proportional(signals.asked, signals.asked, counted).max(1);
        self.behavior.damp(signals.second, signals.asked, asked)
    }
}

/// At a target share of CPU, with so many seconds until it goes down.
pub(super) fn at(course: &Course, target: f64, window: f64) -> Candidate {
    let rule = HpaCpu { target, capacity: course.capacity, behavior: Behavior::new(window) };
    Candidate::new(format!("CPU at {target}, down after {window} s"), rule)
}

pub(super) fn grid(course: &Course) -> Vec<Candidate> {
    let candidate = |target: f64, window: f64| at(course, target, window);
    let mut grid = vec![candidate(0.7, 300.0)];
    grid.extend([0.5, 0.6, 0.8, 0.85].map(|target| candidate(target, 300.0)));
    for window in [900.0, 1800.0] {
        grid.extend([0.5, 0.6, 0.7, 0.8, 0.85].map(|target| candidate(target, window)));
    }
    grid
}

#[cfg(test)]
mod tests {
    use super::super::tests::{snapshot, turn};
    use super::*;

    #[test]
    fn load_over_the_target_scales_in_proportion() {
        let mut rule = HpaCpu { target: 0.5, capacity: 100.0, behavior: Behavior::new(300.0) };
        assert_eq!(rule.desired(&turn(0.0, 4, Some(snapshot(4, 300.0, 0.75, 0.0)))), 6);
        // At 0.54 of 0.5 nothing happens.
        assert_eq!(rule.desired(&turn(15.0, 6, Some(snapshot(6, 324.0, 0.54, 0.0)))), 6);
        assert_eq!(rule.desired(&turn(30.0, 6, None)), 6);
    }

    #[test]
    fn replicas_that_are_starting_count_as_idle_on_the_way_up() {
        let mut rule = HpaCpu { target: 0.5, capacity: 100.0, behavior: Behavior::new(300.0) };
        let signals = Signals { second: 0.0, asked: 8, ready: 4, seen: Some(snapshot(4, 400.0, 1.0, 0.0)) };
        assert_eq!(rule.desired(&signals), 8);
    }
}
