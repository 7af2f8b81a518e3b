//! Palo Alto Networks' rule for their Beam jobs on Flink.
//! Source: Apache Beam's case study of it. Up from 120 s of backlog or 90 % CPU: to what the growth of the
//! backlog asks for, and what clears it within a minute on top; down below 70 % CPU with less than 10 s
//! of backlog that does not grow: by CPU.

use super::{Candidate, Rule, Signals, covering};
use crate::fluid::course::Course;

#[derive(Debug)]
struct PaloAlto {
    behind: f64,
    idle: f64,
    cooldown: f64,
    moved: f64,
    backlog: Option<f64>,
}

impl PaloAlto {
    fn new(behind: f64, idle: f64, cooldown: f64) -> Self {
        Self { behind, idle, cooldown, moved: -cooldown, backlog: None }
    }
}

impl Rule for PaloAlto {
    fn desired(&mut self, signals: &Signals) -> u32 {
        let Some(seen) = signals.seen else { return signals.asked };
        let grown = self.backlog.replace(seen.backlog).is_some_and(|before| seen.backlog > before + 1e-6);
        let is_early = signals.second < self.moved + self.cooldown;
        if seen.stopped || signals.ready != signals.asked || is_early || seen.processing_rate <= 0.0 {
            return signals.asked;
        }
        let (size, rate) = (f64::from(signals.ready), seen.processing_rate);
        let waiting = seen.backlog / rate;
        let wanted = if waiting > self.behind || seen.busy > 0.9 {
            let growth = (seen.arrival_rate - rate).max(0.0);
            covering(size * (growth + rate) / rate + size * waiting / 60.0).max(signals.asked)
        } else if seen.busy < self.idle && waiting < 10.0 && !grown {
            covering(size * seen.busy / self.idle).clamp(1, signals.asked)
        } else {
            signals.asked
        };
        if wanted != signals.asked {
            self.moved = signals.second;
        }
        wanted
    }
}

pub(super) fn grid(_: &Course) -> Vec<Candidate> {
    let candidate = |behind: f64, idle: f64, cooldown: f64| {
        let setting = format!("up from {behind} s, down under {idle} CPU, {cooldown} s between moves");
        Candidate::new(setting, PaloAlto::new(behind, idle, cooldown))
    };
    let mut grid = vec![candidate(120.0, 0.7, 60.0)];
    for cooldown in [60.0, 300.0, 900.0] {
        for idle in [0.5, 0.6, 0.8] {
            grid.push(candidate(30.0, idle, cooldown));
        }
    }
    grid
}

#[cfg(test)]
mod tests {
    use super::super::tests::{snapshot, turn};
    use super::*;

    #[test]
    fn a_backlog_is_met_by_its_growth_and_its_length() {
        // 600 arrive where 400 are processed: 6 workers; two minutes of backlog ask for 8 more.
        let mut seen = snapshot(4, 400.0, 1.0, 48_400.0);
        seen.arrival_rate = 600.0;
        let wanted = PaloAlto::new(120.0, 0.7, 60.0).desired(&turn(0.0, 4, Some(seen)));
        assert_eq!(wanted, 15);
    }

    #[test]
    fn idle_workers_go_by_cpu() {
        let mut rule = PaloAlto::new(120.0, 0.7, 60.0);
        assert_eq!(rule.desired(&turn(0.0, 10, Some(snapshot(10, 350.0, 0.35, 0.0)))), 5);
        // Not again within a minute.
        assert_eq!(rule.desired(&turn(45.0, 5, Some(snapshot(5, 100.0, 0.2, 0.0)))), 5);
        assert_eq!(rule.desired(&turn(60.0, 5, Some(snapshot(5, 100.0, 0.2, 0.0)))), 2);
    }
}
