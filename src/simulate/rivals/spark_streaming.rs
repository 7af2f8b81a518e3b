//! Spark's own dynamic allocation for streams (`spark.streaming.dynamicAllocation`).
//! Source: apache/spark, streaming/scheduler/`ExecutorAllocationManager`: at every scaling interval the
//! mean batch time over the batch interval is looked at; from 0.9 on as many executors are added as the
//! ratio rounds to, up to 0.3 one is killed.

use super::{Candidate, Rule, Signals, covering};
use crate::fluid::course::Course;

#[derive(Debug)]
struct SparkStreaming {
    interval: f64,
    up: f64,
    down: f64,
    capacity: f64,
    decided: f64,
    sum: f64,
    looks: f64,
}

impl SparkStreaming {
    fn new(course: &Course, interval: f64, up: f64, down: f64) -> Self {
        Self { interval, up, down, capacity: course.capacity, decided: 0.0, sum: 0.0, looks: 0.0 }
    }
}

impl Rule for SparkStreaming {
    fn desired(&mut self, signals: &Signals) -> u32 {
        let Some(seen) = signals.seen else { return signals.asked };
        // A batch takes as long as what arrived within its interval: late work shows as a ratio above 1
        // only through what is waiting to be batched, so the busy share is what the ratio is while keeping up.
        let able = self.capacity * f64::from(signals.ready.max(1));
        self.sum += if seen.busy < 1.0 { seen.busy } else { (seen.arrival_rate / able).max(1.0) };
        self.looks += 1.0;
        if signals.second < self.decided + self.interval {
            return signals.asked;
        }
        let ratio = self.sum / self.looks;
        (self.decided, self.sum, self.looks) = (signals.second, 0.0, 0.0);
        if ratio >= self.up {
            // Rounded, and at least one.
            signals.asked.saturating_add(covering((ratio - 0.5).max(1.0)))
        } else if ratio <= self.down {
            signals.asked.saturating_sub(1).max(1)
        } else {
            signals.asked
        }
    }
}

pub(super) fn grid(course: &Course) -> Vec<Candidate> {
    let candidate = |interval: f64, up: f64, down: f64| {
        let setting = format!("every {interval} s, up from {up}, down to {down}");
        Candidate::new(setting, SparkStreaming::new(course, interval, up, down))
    };
    let mut grid = vec![candidate(60.0, 0.9, 0.3)];
    for interval in [30.0, 60.0, 180.0] {
        for (up, down) in [(0.9, 0.5), (0.9, 0.7), (0.8, 0.5)] {
            grid.push(candidate(interval, up, down));
        }
    }
    grid
}

#[cfg(test)]
mod tests {
    use super::super::tests::{snapshot, turn};
    use super::*;

    fn after_interval(busy: f64, arrival_rate: f64) -> u32 {
        let mut rule = SparkStreaming {
            interval: 60.0,
            up: 0.9,
            down: 0.3,
            capacity: 100.0,
            decided: 0.0,
            sum: 0.0,
            looks: 0.0,
        };
        let mut seen = snapshot(4, 400.0 * busy, busy, 0.0);
        seen.arrival_rate = arrival_rate;
        assert_eq!(rule.desired(&turn(45.0, 4, Some(seen))), 4);
        rule.desired(&turn(60.0, 4, Some(seen)))
    }

    #[test]
    fn the_ratio_of_batch_time_and_interval_decides() {
        assert_eq!(after_interval(0.9, 360.0), 5);
        assert_eq!(after_interval(1.0, 1000.0), 6);
        assert_eq!(after_interval(0.6, 240.0), 4);
        assert_eq!(after_interval(0.3, 120.0), 3);
    }
}
