//! DS2, bare: at every interval the size at which the true rate of each instance covers the source's.
//! Source: Kalavri et al., "Three steps is all you need", OSDI 2018. There is no damping in it, and no
//! backlog; a decision needs an activation period of measurements after a change.

use super::{Candidate, Rule, Signals, covering};
use crate::fluid::course::Course;

#[derive(Debug)]
struct Ds2 {
    interval: f64,
    /// The source's rate is multiplied by so much, as `target.rate.ratio` does it.
    ratio: f64,
    decided: f64,
    arrived: f64,
    processed: f64,
    busy: f64,
    looks: f64,
}

impl Ds2 {
    fn new(interval: f64, ratio: f64) -> Self {
        Self { interval, ratio, decided: 0.0, arrived: 0.0, processed: 0.0, busy: 0.0, looks: 0.0 }
    }

    fn begin(&mut self, second: f64) {
        *self = Self { decided: second, ..Self::new(self.interval, self.ratio) };
    }
}

impl Rule for Ds2 {
    fn desired(&mut self, signals: &Signals) -> u32 {
        let Some(seen) = signals.seen else { return signals.asked };
        if seen.stopped || signals.ready != signals.asked {
            self.begin(signals.second);
            return signals.asked;
        }
        self.arrived += seen.arrival_rate;
        self.processed += seen.processing_rate;
        self.busy += seen.busy;
        self.looks += 1.0;
        if signals.second < self.decided + self.interval || self.busy <= 0.0 {
            return signals.asked;
        }
        // Records per second of useful time, of all instances; their number is proportional.
        let true_rate = self.processed / self.busy;
        let share = self.ratio * self.arrived / self.looks / true_rate;
        self.begin(signals.second);
        if share.is_finite() { covering(f64::from(signals.ready) * share).max(1) } else { signals.asked }
    }
}

pub(super) fn grid(_: &Course) -> Vec<Candidate> {
    let candidate = |interval: f64, ratio: f64| {
        Candidate::new(format!("every {interval} s, for {ratio} x the rate"), Ds2::new(interval, ratio))
    };
    let mut grid = vec![candidate(60.0, 1.0)];
    grid.extend([1.2, 1.5].map(|ratio| candidate(60.0, ratio)));
    for interval in [30.0, 300.0, 900.0] {
        grid.extend([1.0, 1.2, 1.5].map(|ratio| candidate(interval, ratio)));
    }
    grid
}

#[cfg(test)]
mod tests {
    use super::super::tests::{snapshot, turn};
    use super::*;

    #[test]
    fn one_step_reaches_the_size_that_covers_the_source() {
        let mut rule = Ds2::new(60.0, 1.0);
        // 2 instances at their limit process 200/s of the 700/s that arrive: 7 will do.
        let mut seen = snapshot(2, 200.0, 1.0, 5000.0);
        seen.arrival_rate = 700.0;
        let asked = [0.0, 15.0, 30.0, 45.0, 60.0].map(|at| rule.desired(&turn(at, 2, Some(seen))));
        assert_eq!(asked, [2, 2, 2, 2, 7]);
        // Half of the time idle: 4 of 8 are enough, backlog or not.
        let half = snapshot(8, 400.0, 0.5, 1e6);
        let asked = [75.0, 90.0, 105.0, 120.0].map(|at| rule.desired(&turn(at, 8, Some(half))));
        assert_eq!(asked, [8, 8, 8, 4]);
    }
}
