//! What foresight is worth: a planner that knows the next so many minutes exactly, and nothing after them.
//!
//! It plans to its horizon by the same search as the limit, goes a fifth of the way, and plans again. The
//! gap from a policy to its planner is decision quality; the gap from there to the limit is foresight.

use super::{BUCKET, search};
use crate::fluid::course::{Course, STEP};
use crate::fluid::numbers::{count, real};
use crate::fluid::run::Run;
use crate::fluid::running::Running;

/// The horizons of the ladder, in seconds.
pub const HORIZONS: [f64; 3] = [300.0, 900.0, 3600.0];

/// The course from step `begin` to `end` with `horizon` seconds of foresight, from the size and with the
/// moves that `first` would begin with.
pub fn foresight(course: &Course, begin: usize, end: usize, horizon: f64, first: u32) -> Run {
    let ahead = count(horizon / STEP).max(course.start_steps + 1);
    let every = (ahead / 5).max(1);
    let mut plant = Running::new(course, begin, first);
    let mut moments = Vec::with_capacity(end - begin);
    let mut plan: Vec<(usize, u32)> = Vec::new();
    let mut planned: Option<usize> = None;
    for step in begin..end {
        if !plant.is_stopped() && planned.is_none_or(|at| step >= at + every) {
            let from = (plant.backlog(), plant.asked());
            plan = search(course, step, (step + ahead).min(end), BUCKET, Some(from)).path;
            planned = Some(step);
        }
        plant.ask(wanted(&plan, step, course.start_steps, plant.asked()));
        moments.push(plant.advance());
    }
    Run { begin, moments, moves: plant.moves().to_vec(), blind_lowers: Vec::new() }
}

/// The plan's size at a step; what is needed once a replica asked for now has started, where that is more.
fn wanted(plan: &[(usize, u32)], step: usize, start_steps: usize, otherwise: u32) -> u32 {
    let now = plan.iter().rev().find(|(from, _)| *from <= step).map_or(otherwise, |(_, size)| *size);
    let soon = plan.iter().filter(|(from, _)| *from > step && *from <= step + start_steps);
    soon.map(|(_, size)| *size).fold(now, u32::max)
}

/// Seconds between two plans of a horizon.
pub fn planned_every(horizon: f64) -> f64 {
    real((count(horizon / STEP) / 5).max(1)) * STEP
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fluid::plant::Plant;
    use crate::fluid::trace::Trace;
    use crate::simulate::limit::limit;
    use crate::simulate::scorecard::figures;

    #[test]
    fn more_foresight_costs_less_and_all_of_it_reaches_the_limit() {
        let rates = (0..480).map(|step| if (160..320).contains(&step) { 90.0 } else { 25.0 }).collect();
        let plant = Plant { capacity: 10.0, ..Plant::preset("consumer-eager").unwrap() };
        let course = Course::new(&Trace { name: "t".to_owned(), step: 15.0, rates }, &plant, 1).unwrap();
        let best = limit(&course, 0, 480, BUCKET);
        let first = best.path[0].1;
        let cost = |horizon: f64| {
            let run = foresight(&course, 0, 480, horizon, first);
            figures(&course, &run, 0, 480).cost_replica_hours
        };
        let [little, some, all] = [60.0, 900.0, 480.0 * 15.0].map(cost);
        assert!(little > some * 1.05, "{little} {some}");
        assert!(some >= all - 1e-9, "{some} {all}");
        assert!((all - best.cost).abs() < 1e-6, "{all} {}", best.cost);
    }

    #[test]
    fn the_next_plan_comes_after_a_fifth_of_the_horizon() {
        assert!(
            HORIZONS.map(planned_every).iter().zip([60.0, 180.0, 720.0]).all(|(a, b)| (a - b).abs() < 1e-9)
        );
    }

    #[test]
    fn what_takes_time_to_start_is_asked_for_in_time() {
        let plan = [(0, 2), (10, 6), (12, 3)];
        assert_eq!([0, 6, 7, 10, 12].map(|step| wanted(&plan, step, 3, 9)), [2, 2, 6, 6, 3]);
        assert_eq!(wanted(&[], 0, 3, 9), 9);
    }
}
