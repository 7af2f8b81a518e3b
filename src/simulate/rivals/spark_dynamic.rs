//! Spark's stock dynamic allocation (`spark.dynamicAllocation`) under a stream of micro-batches.
//! Source: apache/spark, core `ExecutorAllocationManager`: while tasks are pending for a second, executors are asked for
//! in rounds of 1, 2, 4 and so on, up to one for every running or pending task times
//! `executorAllocationRatio`; one that was idle for `executorIdleTimeout` goes.
//!
//! Every batch has a task for each partition, so the first batch grows to the most, and as the next batch comes
//! before any executor was idle for long, nothing shrinks while anything arrives.

use super::{Candidate, Rule, Signals, covering};
use crate::fluid::course::Course;

#[derive(Debug)]
struct SparkDynamic {
    /// Executors for all tasks of a batch.
    most: u32,
    least: u32,
    idle_timeout: f64,
    idle_since: Option<f64>,
}

impl Rule for SparkDynamic {
    fn desired(&mut self, signals: &Signals) -> u32 {
        let Some(seen) = signals.seen else { return signals.asked };
        if seen.arrival_rate > 0.0 || seen.backlog > 0.0 {
            self.idle_since = None;
            // The rounds of a second each reach any size within one turn.
            return self.most.max(signals.asked);
        }
        let since = *self.idle_since.get_or_insert(signals.second);
        if signals.second >= since + self.idle_timeout { self.least } else { signals.asked }
    }
}

pub(super) fn grid(course: &Course) -> Vec<Candidate> {
    let plant = &course.plant;
    let tasks = if plant.partitions == 0 { plant.max_replicas } else { plant.partitions };
    let candidate = |ratio: f64, idle_timeout: f64| {
        let most = covering(f64::from(tasks) * ratio).clamp(1, plant.max_replicas);
        let rule = SparkDynamic { most, least: plant.min_replicas.max(1), idle_timeout, idle_since: None };
        Candidate::new(format!("allocation ratio {ratio}, idle for {idle_timeout} s"), rule)
    };
    let mut grid = vec![candidate(1.0, 60.0)];
    grid.extend([0.75, 0.5, 0.35, 0.25].map(|ratio| candidate(ratio, 60.0)));
    grid
}

#[cfg(test)]
mod tests {
    use super::super::tests::{snapshot, turn};
    use super::*;

    #[test]
    fn any_work_grows_to_the_most_and_only_silence_shrinks() {
        let mut rule = SparkDynamic { most: 12, least: 1, idle_timeout: 60.0, idle_since: None };
        let (busy, idle) = (Some(snapshot(4, 10.0, 0.02, 0.0)), Some(snapshot(12, 0.0, 0.0, 0.0)));
        assert_eq!(rule.desired(&turn(0.0, 4, busy)), 12);
        assert_eq!([15.0, 60.0, 75.0].map(|at| rule.desired(&turn(at, 12, idle))), [12, 12, 1]);
    }
}
