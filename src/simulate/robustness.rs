//! How much worse everybody gets when the world is less kind: one disturbance at a time, each held against
//! its own optimum.

use serde::Serialize;

use super::contest::Contest;
use super::limit::{BUCKET, limit};
use super::race::by_rule;
use super::scorecard::figures;
use super::standing::ratio;
use crate::fluid::course::Course;
use crate::fluid::plant::Plant;
use crate::fluid::run::{Run, by_engine};
use crate::policy::Rules;
use crate::policy::notches::Notches;

/// One way in which the world is less kind.
#[derive(Debug, Clone, Copy)]
pub struct Disturbance {
    /// Its name in reports.
    pub name: &'static str,
    /// What it does to a plant of which one replica processes so many records per second.
    apply: fn(&mut Plant, f64),
}

/// Seconds of the outage.
pub(super) const OUTAGE: f64 = 1800.0;

/// All of them.
pub const DISTURBANCES: [Disturbance; 8] = [
    Disturbance { name: "capacity noise 20 %", apply: |plant, _| plant.capacity_noise = 0.2 },
    Disturbance { name: "skew (Zipf 0.8)", apply: |plant, _| plant.skew = 0.8 },
    Disturbance { name: "metrics 60 s late", apply: |plant, _| plant.delay_seconds = 60.0 },
    Disturbance { name: "5 % of looks lost", apply: |plant, _| plant.gap_share = 0.05 },
    Disturbance { name: "stale for 10 min", apply: |plant, _| plant.stale_seconds = 600.0 },
    Disturbance { name: "120 s to start", apply: |plant, _| plant.start_seconds = 120.0 },
    Disturbance { name: "downstream takes 10 replicas", apply: |plant, one| plant.downstream = 10.0 * one },
    Disturbance { name: "outage of 30 min", apply: |plant, _| plant.outage_seconds = OUTAGE },
];

/// How one policy bears one disturbance.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bearing {
    /// Which.
    pub disturbance: &'static str,
    /// Its cost in parts of the disturbed optimum's.
    pub rho: f64,
    /// By how much that is more than without.
    pub loss_percent: f64,
    /// Moves down at turns at which nothing could be known; must be 0.
    pub lowered_while_blind: u32,
}

/// Who is run: the engine, the same with what it has tuned, or a rival with the nth of its grid.
#[derive(Debug, Clone, Copy)]
pub(super) enum Entrant {
    Engine,
    SelfTuned(Notches),
    Rival { index: usize, choice: usize },
}

/// How each of `entrants`, with what it costs undisturbed, bears each disturbance.
pub(super) fn bearings(contest: &Contest<'_>, entrants: &[(Entrant, f64)]) -> Vec<Vec<Bearing>> {
    let mut all = vec![Vec::new(); entrants.len()];
    for disturbance in DISTURBANCES {
        let mut plant = contest.course.plant.clone();
        (disturbance.apply)(&mut plant, contest.course.capacity);
        let course = contest.course.on(&plant, contest.seed);
        let (begin, end) = (contest.begin(), course.steps());
        let optimum = limit(&course, begin, end, BUCKET).cost;
        for ((entrant, calm), bearings) in entrants.iter().zip(all.iter_mut()) {
            let Some(run) = run(contest, &course, *entrant) else { continue };
            let judged = figures(&course, &run, begin, end);
            let rho = ratio(judged.cost_replica_hours, optimum);
            bearings.push(Bearing {
                disturbance: disturbance.name,
                rho,
                loss_percent: 100.0 * (rho / calm - 1.0),
                lowered_while_blind: judged.lowered_while_blind,
            });
        }
    }
    all
}

/// A course by somebody who knows of nothing that disturbs it.
pub(super) fn run(contest: &Contest<'_>, course: &Course, entrant: Entrant) -> Option<Run> {
    match entrant {
        Entrant::Engine => Some(by_engine(course, contest.rules, contest.seed)),
        Entrant::SelfTuned(notches) => {
            let rules = Rules { notches, ..contest.rules.clone() };
            Some(by_engine(course, &rules, contest.seed))
        }
        Entrant::Rival { index, choice } => {
            // The grid is that of the calm course: nobody is told of the disturbance.
            let mut grid = (contest.rivals.get(index)?.grid)(contest.course);
            Some(by_rule(course, grid.get_mut(choice)?.rule.as_mut(), contest.seed))
        }
    }
}
