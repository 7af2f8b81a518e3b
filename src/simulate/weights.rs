//! The same runs by other weights: what a minute late and what a rescale cost are somebody's choice, so
//! nobody is judged by one choice alone.

use serde::Serialize;

use super::limit::{BUCKET, limit};
use super::race::by_path;
use super::scorecard::figures;
use super::standing::ratio;
use crate::fluid::course::{Course, STEP};
use crate::fluid::numbers::real;
use crate::fluid::plant::Plant;
use crate::fluid::running::Moment;

/// What a minute over the objective costs, in replica-hours (`c_v`).
pub const VIOLATION_COSTS: [f64; 3] = [0.1, 1.0, 10.0];
/// What a rescale costs, in replica-hours (`c_s`).
pub const RESCALE_COSTS: [f64; 4] = [0.0, 0.05, 0.5, 2.0];

/// What costs are made of. What it is worth is the weights' affair.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Raw {
    replica_steps: f64,
    late_steps: f64,
    rescales: f64,
}

impl Raw {
    /// Counts a step.
    pub(super) fn note(&mut self, moment: &Moment) {
        self.replica_steps += f64::from(moment.replicas);
        self.late_steps += f64::from(u8::from(moment.is_late));
    }

    /// Counts rescales.
    pub(super) fn moved(&mut self, rescales: usize) {
        self.rescales += real(rescales);
    }

    /// Paid for.
    pub fn replica_hours(&self) -> f64 {
        self.replica_steps * STEP / 3600.0
    }

    /// Minutes over the objective.
    pub fn violation_minutes(&self) -> f64 {
        self.late_steps * STEP / 60.0
    }

    /// By such weights.
    pub fn cost(&self, violation_cost: f64, rescale_cost: f64) -> f64 {
        self.replica_hours() + violation_cost * self.violation_minutes() + rescale_cost * self.rescales
    }
}

/// What one choice of settings brought, before it was judged and from there on.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Halves {
    /// While learning.
    pub learning: Raw,
    /// While judged.
    pub judged: Raw,
}

/// The optimum by one choice of weights.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WeightedLimit {
    /// `c_v`, in replica-hours a minute.
    pub violation_cost: f64,
    /// `c_s`, in replica-hours a rescale.
    pub rescale_cost: f64,
    /// Its cost.
    pub cost_replica_hours: f64,
    /// Its replica-hours.
    pub replica_hours: f64,
    /// Its minutes over the objective.
    pub violation_minutes: f64,
    /// Its rescales.
    pub rescales: f64,
}

/// One policy by one choice of weights.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Weighted {
    /// `c_v`, in replica-hours a minute.
    pub violation_cost: f64,
    /// `c_s`, in replica-hours a rescale.
    pub rescale_cost: f64,
    /// Its cost.
    pub cost_replica_hours: f64,
    /// The same in parts of the optimum's by these weights.
    pub rho: f64,
    /// Its replica-hours.
    pub replica_hours: f64,
    /// Its minutes over the objective.
    pub violation_minutes: f64,
    /// Its rescales.
    pub rescales: f64,
}

/// The optimum by every choice of weights.
pub(super) fn limits(course: &Course, begin: usize, end: usize) -> Vec<WeightedLimit> {
    let every = VIOLATION_COSTS.into_iter().flat_map(|cv| RESCALE_COSTS.map(|cs| (cv, cs)));
    every
        .map(|(violation_cost, rescale_cost)| {
            let plant = Plant { rescale_cost, violation_cost, ..course.plant.clone() };
            let course = course.hindered_by(&plant);
            let optimum = limit(&course, begin, end, BUCKET);
            let reached = figures(&course, &by_path(&course, &optimum.path, begin), begin, end);
            WeightedLimit {
                violation_cost,
                rescale_cost,
                cost_replica_hours: optimum.cost,
                replica_hours: reached.replica_hours,
                violation_minutes: reached.violation_minutes,
                rescales: f64::from(reached.rescales),
            }
        })
        .collect()
}

/// A policy by every choice of weights: of several settings each time those that were the best while
/// learning.
pub(super) fn weighted(limits: &[WeightedLimit], settings: &[Halves]) -> Vec<Weighted> {
    let by = |limit: &WeightedLimit| {
        let (violation_cost, rescale_cost) = (limit.violation_cost, limit.rescale_cost);
        let learnt = |halves: &&Halves| halves.learning.cost(violation_cost, rescale_cost);
        let best = settings.iter().min_by(|a, b| learnt(a).total_cmp(&learnt(b)))?.judged;
        let cost = best.cost(violation_cost, rescale_cost);
        Some(Weighted {
            violation_cost,
            rescale_cost,
            cost_replica_hours: cost,
            rho: ratio(cost, limit.cost_replica_hours),
            replica_hours: best.replica_hours(),
            violation_minutes: best.violation_minutes(),
            rescales: best.rescales,
        })
    };
    limits.iter().filter_map(by).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_choice_of_weights_takes_the_settings_that_learnt_best_for_it() {
        let raw = |replica_steps: f64, late_steps: f64| Raw { replica_steps, late_steps, rescales: 1.0 };
        let dear = Halves { learning: raw(2400.0, 0.0), judged: raw(2640.0, 0.0) };
        let late = Halves { learning: raw(240.0, 40.0), judged: raw(240.0, 80.0) };
        let limit = |violation_cost: f64| WeightedLimit {
            violation_cost,
            rescale_cost: 0.5,
            cost_replica_hours: 1.0,
            replica_hours: 1.0,
            violation_minutes: 0.0,
            rescales: 0.0,
        };
        let found = weighted(&[limit(0.1), limit(10.0)], &[dear, late]);
        let costs: Vec<f64> = found.iter().map(|one| one.rho).collect();
        // 1 h and 20 min late at 0.1; 11 h and never late.
        assert!((costs[0] - (1.0 + 2.0 + 0.5)).abs() < 1e-9 && (costs[1] - 11.5).abs() < 1e-9, "{costs:?}");
    }
}
