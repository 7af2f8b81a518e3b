//! Google Cloud Dataflow's horizontal autoscaling of streaming jobs.
//! Source: its documentation, "Tune Horizontal Autoscaling for streaming pipelines". Up after a couple of
//! minutes of backlog with busy workers, to a size that clears it in about 150 s; down after a couple of
//! minutes with less than 10 s of backlog and idle workers, to a size that is at the utilisation hint.

use super::{Candidate, Rule, Signals, covering};
use crate::fluid::course::Course;

/// Seconds to clear a backlog in.
const CLEAR: f64 = 150.0;
/// Seconds of backlog under which a job keeps up.
const LITTLE: f64 = 10.0;
/// Below this share of CPU more workers are no help.
const BUSY_FROM: f64 = 0.2;

#[derive(Debug)]
struct Dataflow {
    hint: f64,
    patience: f64,
    behind_since: Option<f64>,
    idle_since: Option<f64>,
}

impl Dataflow {
    fn new(hint: f64, patience: f64) -> Self {
        Self { hint, patience, behind_since: None, idle_since: None }
    }
}

impl Rule for Dataflow {
    fn desired(&mut self, signals: &Signals) -> u32 {
        let Some(seen) = signals.seen else { return signals.asked };
        if seen.stopped || signals.ready != signals.asked || seen.busy <= 0.0 {
            return signals.asked;
        }
        let ready = f64::from(signals.ready);
        let able = seen.processing_rate / seen.busy;
        let waiting = seen.backlog / seen.processing_rate.max(1e-9);
        let since = |mark: &mut Option<f64>, holds: bool| {
            *mark = if holds { mark.or(Some(signals.second)) } else { None };
            mark.is_some_and(|began| signals.second - began >= self.patience)
        };
        let behind = since(&mut self.behind_since, waiting > LITTLE && seen.busy > BUSY_FROM);
        let idle = since(&mut self.idle_since, waiting < LITTLE && seen.busy < self.hint);
        let wanted = if behind {
            let rate = seen.arrival_rate + seen.backlog / CLEAR;
            covering(ready * rate / able).max(signals.asked)
        } else if idle {
            covering(ready * seen.busy / self.hint).clamp(1, signals.asked)
        } else {
            return signals.asked;
        };
        if wanted != signals.asked {
            (self.behind_since, self.idle_since) = (None, None);
        }
        wanted
    }
}

pub(super) fn grid(_: &Course) -> Vec<Candidate> {
    let candidate = |hint: f64, patience: f64| {
        Candidate::new(format!("utilisation hint {hint}, after {patience} s"), Dataflow::new(hint, patience))
    };
    let mut grid = vec![candidate(0.75, 120.0)];
    grid.extend([0.5, 0.6, 0.9].map(|hint| candidate(hint, 120.0)));
    for patience in [60.0, 600.0] {
        grid.extend([0.5, 0.6, 0.75, 0.9].map(|hint| candidate(hint, patience)));
    }
    grid
}

#[cfg(test)]
mod tests {
    use super::super::tests::{snapshot, turn};
    use super::*;

    fn after_minutes(seen: crate::fluid::sight::Snapshot, ready: u32) -> [u32; 3] {
        let mut rule = Dataflow::new(0.75, 120.0);
        [0.0, 105.0, 120.0].map(|at| rule.desired(&turn(at, ready, Some(seen))))
    }

    #[test]
    fn a_backlog_is_cleared_in_two_and_a_half_minutes() {
        // 4 workers process 400/s, 30,000 wait: 400 + 200 a second are needed.
        assert_eq!(after_minutes(snapshot(4, 400.0, 1.0, 30_000.0), 4), [4, 4, 6]);
        // Idle workers with a backlog wait for something else.
        assert_eq!(after_minutes(snapshot(4, 40.0, 0.1, 30_000.0), 4), [4, 4, 4]);
    }

    #[test]
    fn idle_workers_go_until_three_quarters_are_busy() {
        assert_eq!(after_minutes(snapshot(10, 300.0, 0.3, 0.0), 10), [10, 10, 4]);
        assert_eq!(after_minutes(snapshot(10, 800.0, 0.8, 0.0), 10), [10, 10, 10]);
    }
}
