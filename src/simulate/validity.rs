//! The plant held against somebody else's cluster: what it makes of two rules whose real runs were measured.
//!
//! Source: dos-group/demeter (Apache-2.0), raw results of its 18-hour runs: the ads load at four times its speed, a
//! Flink job on task managers of one CPU, 24 at the most, three repetitions each. A task manager that lags
//! processes 2,500 to 3,000 records/s there (median); the operator's restarts stop 61 to 71 s, those of the
//! reactive mode under 10 s but for a few.

use serde::Serialize;

use super::race::by_rule;
use super::rivals::measured;
use super::scorecard::figures;
use crate::fluid::course::Course;
use crate::fluid::error::FluidError;
use crate::fluid::plant::Plant;
use crate::fluid::trace::Trace;

/// The trace that the runs were made with goes so many times as fast.
pub const SPEED: f64 = 4.0;

/// A range of repeated measurements.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Range {
    /// The least.
    pub from: f64,
    /// The greatest.
    pub to: f64,
}

/// One rule, there and here.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// Which.
    pub policy: &'static str,
    /// Task managers on average, as measured.
    pub mean_replicas: Range,
    /// The same, as simulated.
    pub simulated_mean_replicas: f64,
    /// Changes of size, as measured.
    pub rescales: Range,
    /// The same, as simulated.
    pub simulated_rescales: u32,
    /// Share of the time with records older than ten seconds, in percent, as measured.
    pub late_percent: Range,
    /// The same, as simulated.
    pub simulated_late_percent: f64,
}

impl Check {
    /// Whether the mean lies within 15 % of what was measured.
    pub fn has_mean(&self) -> bool {
        near(self.simulated_mean_replicas, self.mean_replicas, 1.15)
    }

    /// Whether the changes of size lie within a factor of two of what was measured.
    pub fn has_rescales(&self) -> bool {
        near(f64::from(self.simulated_rescales), self.rescales, 2.0)
    }

    /// Whether the time over ten seconds lies within a factor of two of what was measured.
    pub fn has_lateness(&self) -> bool {
        near(self.simulated_late_percent, self.late_percent, 2.0)
    }
}

fn near(value: f64, range: Range, factor: f64) -> bool {
    (range.from / factor..=range.to * factor).contains(&value)
}

/// Seconds of a stop and of re-reading for each rule, and what was measured of it.
struct Measured {
    policy: &'static str,
    stop: f64,
    reread: f64,
    mean_replicas: Range,
    rescales: Range,
    late_percent: Range,
}

const RUNS: [Measured; 2] = [
    Measured {
        policy: "HPA, CPU at 35 %, reactive mode",
        stop: 8.0,
        reread: 5.0,
        mean_replicas: Range { from: 14.5, to: 14.9 },
        rescales: Range { from: 92.0, to: 103.0 },
        late_percent: Range { from: 1.0, to: 1.1 },
    },
    Measured {
        policy: "Flink operator autoscaler, target 0.35",
        stop: 66.0,
        reread: 5.0,
        mean_replicas: Range { from: 21.0, to: 21.5 },
        rescales: Range { from: 37.0, to: 43.0 },
        late_percent: Range { from: 12.5, to: 18.8 },
    },
];

/// The rules on the plant of those runs, with so many records per second and task manager.
pub fn checks(ads: &Trace, capacity: f64, seed: u64) -> Result<Vec<Check>, FluidError> {
    let trace = Trace { step: ads.step / SPEED, ..ads.clone() };
    let check = |(at, run): (usize, &Measured)| {
        let flink = Plant::of("demeter", [run.stop, run.reread, 0.0, 10.0, 0.0]);
        let plant = Plant { capacity, capacity_noise: 0.1, ..flink };
        let course = Course::new(&trace, &plant, seed)?;
        let mut rules = measured(&course);
        let rule = rules.get_mut(at).map(|candidate| &mut candidate.rule);
        let Some(rule) = rule else { return Ok(None) };
        let found = figures(&course, &by_rule(&course, rule.as_mut(), seed), 0, course.steps());
        Ok(Some(Check {
            policy: run.policy,
            mean_replicas: run.mean_replicas,
            simulated_mean_replicas: found.mean_replicas,
            rescales: run.rescales,
            simulated_rescales: found.rescales,
            late_percent: run.late_percent,
            simulated_late_percent: 100.0 * found.violation_share,
        }))
    };
    let all: Result<Option<Vec<Check>>, FluidError> = RUNS.iter().enumerate().map(check).collect();
    Ok(all?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_is_within_a_factor_of_the_measured_range() {
        let range = Range { from: 10.0, to: 20.0 };
        assert!(near(5.0, range, 2.0) && near(40.0, range, 2.0));
        assert!(!near(4.9, range, 2.0) && !near(40.1, range, 2.0));
    }

    #[test]
    fn both_rules_run_on_their_plant() {
        let ads = Trace { name: "t".to_owned(), step: 20.0, rates: vec![14_000.0; 2000] };
        let checks = checks(&ads, 2750.0, 1).unwrap();
        assert_eq!(checks.len(), 2);
        assert!(checks.iter().all(|check| check.simulated_mean_replicas > 10.0), "{checks:?}");
    }
}
