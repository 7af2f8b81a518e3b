//! Many traces on many plants, a cell at a time on every core: what the scorecard is made of.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::contest::Contest;
use super::limit::foresight::{HORIZONS, foresight};
use super::limit::{BUCKET, limit};
use super::rivals::Rival;
use super::scorecard::cost;
use super::standing::{Outcome, Standing, ratio};
use crate::fluid::course::{Course, STEP};
use crate::fluid::error::FluidError;
use crate::fluid::numbers::{count, real};
use crate::fluid::plant::Plant;
use crate::fluid::run::default_rules;
use crate::fluid::trace::Trace;

/// Loads that ship with the project: name, how it is made, and hours of it.
pub const LOADS: [(&str, &str, u64); 7] = [
    ("daily", "daily:mean=800,swing=500+noise:deviation=0.05", 72),
    ("weekly", "weekly:mean=1000,swing=600,weekend=0.5+noise:deviation=0.1", 336),
    ("spikes", "daily:mean=600,swing=300+spike:height=2500,width=10m,every=5h+noise:deviation=0.1", 72),
    ("sawtooth", "sawtooth:low=200,high=2000,period=2h+noise:deviation=0.05", 48),
    ("onoff", "constant:rate=200+onoff:rate=1200,on=30m,off=50m+noise:deviation=0.1", 72),
    ("noisy", "constant:rate=1000+noise:deviation=0.25", 48),
    ("step", "step:before=500,after=1500,at=36h+noise:deviation=0.05", 48),
];

/// Seconds of the judged part over which foresight is priced: a planner plans all the time, and months of
/// planning show nothing that two days do not.
const PRICED: f64 = 172_800.0;

/// What is to be run.
#[derive(Debug)]
pub struct Grid<'a> {
    /// The traces.
    pub traces: &'a [Trace],
    /// The plants.
    pub plants: &'a [Plant],
    /// Everybody else.
    pub rivals: &'a [Rival],
    /// Names the chance.
    pub seed: u64,
    /// The share of each trace that is for learning.
    pub judge_from: f64,
    /// Whether to run disturbances too.
    pub robustness: bool,
    /// Whether to price foresight.
    pub foresight: bool,
    /// How many cells are run at once.
    pub threads: usize,
}

/// One trace on one plant.
#[derive(Debug, Clone)]
pub struct Cell {
    /// The trace, by its place in the grid.
    pub trace: usize,
    /// The plant, by its place in the grid.
    pub plant: usize,
    /// What came of it.
    pub outcome: Outcome,
    /// What each horizon of the ladder costs in parts of the optimum's; empty where not asked for.
    pub foresight: Vec<f64>,
}

impl Grid<'_> {
    /// Runs every cell, the longest first, and returns them by trace and plant. `progress` is told how many of
    /// how many are done.
    pub fn run(&self, progress: impl Fn(usize, usize) + Sync) -> Result<Vec<Cell>, FluidError> {
        let mut places: Vec<(usize, usize)> = (0..self.traces.len())
            .flat_map(|trace| (0..self.plants.len()).map(move |plant| (trace, plant)))
            .collect();
        let length = |trace: usize| self.traces.get(trace).map_or(0.0, Trace::seconds);
        places.sort_by(|a, b| length(b.0).total_cmp(&length(a.0)));
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let cells = Mutex::new(Vec::with_capacity(places.len()));
        std::thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                scope.spawn(|| {
                    while let Some((trace, plant)) = places.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let cell = self.cell(*trace, *plant);
                        progress(done.fetch_add(1, Ordering::Relaxed) + 1, places.len());
                        cells.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(cell);
                    }
                });
            }
        });
        let cells = cells.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut cells: Vec<Cell> =
            cells.into_iter().collect::<Result<Option<Vec<_>>, _>>()?.unwrap_or_default();
        cells.sort_by_key(|cell| (cell.plant, cell.trace));
        Ok(cells)
    }

    fn cell(&self, trace: usize, plant: usize) -> Result<Option<Cell>, FluidError> {
        let (Some(load), Some(kind)) = (self.traces.get(trace), self.plants.get(plant)) else {
            return Ok(None);
        };
        let course = Course::new(load, kind, self.seed)?;
        let rules = default_rules(&course);
        let contest = Contest {
            course: &course,
            rules: &rules,
            seed: self.seed,
            judge_from: self.judge_from,
            rivals: self.rivals,
            self_tuning: false,
            foresight: false,
            recovery: self.robustness,
            robustness: self.robustness,
            weights: false,
            plots: false,
        };
        let outcome = contest.run(|_, _, _| {});
        let foresight = if self.foresight { priced(&course, contest.begin()) } else { Vec::new() };
        Ok(Some(Cell { trace, plant, outcome, foresight }))
    }
}

/// What each horizon costs in parts of the optimum's, over the first two days of the judged part.
fn priced(course: &Course, begin: usize) -> Vec<f64> {
    let end = course.steps().min(begin + count(PRICED / STEP));
    let optimum = limit(course, begin, end, BUCKET);
    let first = optimum.path.first().map_or(course.plant.min_replicas, |(_, size)| *size);
    let price = |horizon: f64| {
        let run = foresight(course, begin, end, horizon, first);
        ratio(cost(course, &run, begin, end), optimum.cost)
    };
    HORIZONS.map(price).to_vec()
}

/// The geometric mean and the greatest of some ratios.
pub fn geo_and_worst(ratios: impl Iterator<Item = f64>) -> (f64, f64) {
    let ratios: Vec<f64> = ratios.collect();
    let logs = ratios.iter().map(|ratio| ratio.ln()).sum::<f64>();
    let worst = ratios.iter().copied().fold(0.0, f64::max);
    ((logs / real(ratios.len()).max(1.0)).exp(), worst)
}

/// One policy's standings on one plant, by trace.
pub fn on_plant(cells: &[Cell], plant: usize, policy: usize) -> impl Iterator<Item = &Standing> {
    cells
        .iter()
        .filter(move |cell| cell.plant == plant)
        .filter_map(move |cell| cell.outcome.policies.get(policy))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fluid::plant::PRESETS;
    use crate::policy::TimeSpan;
    use crate::simulate::generate::generate;
    use crate::simulate::rivals::RIVALS;

    #[test]
    fn the_mean_of_a_half_and_a_double_is_one() {
        let (geo, worst) = geo_and_worst([0.5, 2.0].into_iter());
        assert!((geo - 1.0).abs() < 1e-12 && (worst - 2.0).abs() < 1e-12);
    }

    #[test]
    fn every_load_that_ships_can_be_made() {
        for (name, spec, hours) in LOADS {
            let trace = generate(spec, TimeSpan::from_secs(hours * 3600), 1);
            assert!(trace.is_ok_and(|trace| trace.mean() > 0.0), "{name}");
        }
    }

    #[test]
    fn threads_change_nothing_but_the_time() {
        let traces =
            [240, 120].map(|minutes| generate(LOADS[2].1, TimeSpan::from_secs(minutes * 60), 1).unwrap());
        let plants = [PRESETS[0], PRESETS[2]].map(|name| Plant::preset(name).unwrap());
        let rhos = |threads: usize| {
            let grid = Grid {
                traces: &traces,
                plants: &plants,
                rivals: &RIVALS[..1],
                seed: 1,
                judge_from: 0.5,
                robustness: false,
                foresight: true,
                threads,
            };
            let cells = grid.run(|_, _| {}).unwrap();
            let places: Vec<_> = cells.iter().map(|cell| (cell.plant, cell.trace)).collect();
            assert_eq!(places, [(0, 0), (0, 1), (1, 0), (1, 1)]);
            let all = cells.iter().flat_map(|cell| {
                cell.outcome.policies.iter().map(|one| one.rho).chain(cell.foresight.clone())
            });
            all.map(f64::to_bits).collect::<Vec<_>>()
        };
        assert_eq!(rhos(1), rhos(3));
    }
}
