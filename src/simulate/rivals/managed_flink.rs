//! Amazon Managed Service for Apache Flink: CPU at 75 % for 15 minutes doubles, under 10 % for 6 hours
//! halves. Source: its documentation, "Use automatic scaling".

use super::{Candidate, Rule, Signals};
use crate::fluid::course::Course;

#[derive(Debug)]
struct ManagedFlink {
    high: f64,
    low: f64,
    up_after: f64,
    down_after: f64,
    high_since: Option<f64>,
    low_since: Option<f64>,
}

impl ManagedFlink {
    fn new(high: f64, low: f64, up_after: f64, down_after: f64) -> Self {
        Self { high, low, up_after, down_after, high_since: None, low_since: None }
    }
}

impl Rule for ManagedFlink {
    fn desired(&mut self, signals: &Signals) -> u32 {
        let Some(seen) = signals.seen else { return signals.asked };
        let lasted = |mark: &mut Option<f64>, holds: bool, needed: f64| {
            *mark = if holds { mark.or(Some(signals.second)) } else { None };
            mark.is_some_and(|began| signals.second - began >= needed)
        };
        let up = lasted(&mut self.high_since, seen.busy >= self.high, self.up_after);
        let down = lasted(&mut self.low_since, seen.busy < self.low, self.down_after);
        if up {
            self.high_since = None;
            signals.asked.saturating_mul(2)
        } else if down {
            self.low_since = None;
            (signals.asked / 2).max(1)
        } else {
            signals.asked
        }
    }
}

pub(super) fn grid(_: &Course) -> Vec<Candidate> {
    let candidate = |high: f64, low: f64, up: f64, down: f64| {
        let setting = format!("x2 from {high} for {up} s, /2 under {low} for {down} s");
        Candidate::new(setting, ManagedFlink::new(high, low, up, down))
    };
    let mut grid = vec![candidate(0.75, 0.1, 900.0, 21_600.0)];
    for up in [60.0, 300.0, 900.0] {
        for low in [0.2, 0.3, 0.4] {
            grid.push(candidate(0.85, low, up, 1800.0));
        }
    }
    grid
}

#[cfg(test)]
mod tests {
    use super::super::tests::{snapshot, turn};
    use super::*;

    #[test]
    fn fifteen_minutes_double_and_six_hours_halve() {
        let mut rule = ManagedFlink::new(0.75, 0.1, 900.0, 21_600.0);
        let (busy, idle) = (Some(snapshot(4, 300.0, 0.75, 0.0)), Some(snapshot(8, 40.0, 0.05, 0.0)));
        assert_eq!([0.0, 885.0, 900.0].map(|at| rule.desired(&turn(at, 4, busy))), [4, 4, 8]);
        assert_eq!([1000.0, 22_599.0, 22_600.0].map(|at| rule.desired(&turn(at, 8, idle))), [8, 8, 4]);
    }
}
