//! One trace on one plant: the engine, the rules in use elsewhere, and the clairvoyant optimum.

use serde::Serialize;

use super::course::Course;
use super::limit::foresight::{HORIZONS, foresight};
use super::limit::{BUCKET, Limit, limit, work_bound};
use super::numbers::{count, real};
use super::race::{Run, by_engine, by_path, by_rule};
use super::rivals::Rival;
use super::scorecard::{Figures, duels, figures};
use crate::policy::Rules;

/// What the engine is called in reports.
pub const OURS: &str = "tidegate";

/// What is to be run.
#[derive(Debug)]
pub struct Contest<'a> {
    /// The trace on the plant.
    pub course: &'a Course,
    /// What the engine decides by.
    pub rules: &'a Rules,
    /// Names the chance of scrape gaps.
    pub seed: u64,
    /// The share of the trace that is for learning and tuning; what follows is judged.
    pub judge_from: f64,
    /// The rules that take part.
    pub rivals: &'a [Rival],
    /// Whether to find out what foresight is worth. It takes many times as long as the limit alone.
    pub foresight: bool,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// The optimum.
    pub limit: LimitReport,
    /// Everybody, the engine first.
    pub policies: Vec<Standing>,
}

/// The optimum over the judged part.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LimitReport {
    /// `J*`, as the search has it.
    pub cost_replica_hours: f64,
    /// What its path costs when the plant is run along it.
    pub achieved_cost_replica_hours: f64,
    /// Its replica-hours.
    pub replica_hours: f64,
    /// Its minutes over the objective.
    pub violation_minutes: f64,
    /// Its rescales.
    pub rescales: u32,
    /// Replica-hours of the bare work, if nothing had to be whole and nothing could wait.
    pub work_bound_replica_hours: f64,
    /// What it costs with less foresight; empty where not asked for.
    pub foresight: Vec<Foresight>,
}

/// What a planner with exact but bounded foresight pays.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Foresight {
    /// How far it sees.
    pub horizon_seconds: f64,
    /// Its cost.
    pub cost_replica_hours: f64,
    /// The same in parts of the optimum's.
    pub rho: f64,
}

/// How one policy did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Standing {
    /// Its name.
    pub name: String,
    /// Whether its settings are the best of its grid on the learning part, instead of its defaults.
    pub tuned: bool,
    /// Its settings, in words.
    pub setting: String,
    /// Its cost in parts of the optimum's.
    pub rho: f64,
    /// Its replica-hours in parts of the optimum's.
    pub replica_hours_ratio: f64,
    /// Its rescales in parts of the optimum's; of one, where the optimum has none.
    pub rescales_ratio: f64,
    /// The share of duels won against everybody else.
    pub kappa: f64,
    /// All other rows.
    #[serde(flatten)]
    pub figures: Figures,
}

impl Contest<'_> {
    /// Runs everybody. `progress` is told what is done, of how many.
    pub fn run(&self, mut progress: impl FnMut(usize, usize, &str)) -> Outcome {
        let grids: Vec<_> = self.rivals.iter().map(|rival| (rival.name, (rival.grid)(self.course))).collect();
        let all = grids.iter().map(|(_, grid)| grid.len()).sum::<usize>() + 2;
        let mut done = 0;
        let mut tell = |name: &str| {
            progress(done, all, name);
            done += 1;
        };
        tell("clairvoyant optimum");
        let optimum = self.limit();
        tell(OURS);
        let ours = self.judge(&by_engine(self.course, self.rules, self.seed));
        let mut policies = vec![standing(OURS, false, String::new(), ours.judged, &optimum)];
        for (name, grid) in grids {
            let mut runs = Vec::with_capacity(grid.len());
            for mut candidate in grid {
                tell(name);
                let run = by_rule(self.course, candidate.rule.as_mut(), self.seed);
                runs.push((candidate.setting, self.judge(&run)));
            }
            // The first of equals: the defaults win a draw.
            let best = runs.iter().min_by(|(_, a), (_, b)| a.learning.total_cmp(&b.learning)).cloned();
            for (tuned, chosen) in [(false, runs.into_iter().next()), (true, best)] {
                policies.extend(
                    chosen.map(|(setting, verdict)| standing(name, tuned, setting, verdict.judged, &optimum)),
                );
            }
        }
        let sides: Vec<(&str, &Figures)> =
            policies.iter().map(|one| (one.name.as_str(), &one.figures)).collect();
        for (kappa, policy) in duels(&sides).into_iter().zip(policies.iter_mut()) {
            policy.kappa = kappa;
        }
        Outcome { limit: optimum, policies }
    }

    /// The step from which is judged.
    pub fn begin(&self) -> usize {
        count((real(self.course.steps()) * self.judge_from).floor()).min(self.course.steps() - 1)
    }

    fn limit(&self) -> LimitReport {
        let (begin, end) = (self.begin(), self.course.steps());
        let optimum = limit(self.course, begin, end, BUCKET);
        let run = by_path(self.course, &optimum.path, begin);
        let reached = figures(self.course, &run, begin, end);
        LimitReport {
            cost_replica_hours: optimum.cost,
            achieved_cost_replica_hours: reached.cost_replica_hours,
            replica_hours: reached.replica_hours,
            violation_minutes: reached.violation_minutes,
            rescales: reached.rescales,
            work_bound_replica_hours: work_bound(self.course, begin, end),
            foresight: self.ladder(&optimum, begin, end),
        }
    }

    fn ladder(&self, optimum: &Limit, begin: usize, end: usize) -> Vec<Foresight> {
        let first = optimum.path.first().map_or(self.course.plant.min_replicas, |(_, size)| *size);
        let rung = |horizon_seconds: &f64| {
            let run = foresight(self.course, begin, end, *horizon_seconds, first);
            let cost_replica_hours = figures(self.course, &run, begin, end).cost_replica_hours;
            Foresight {
                horizon_seconds: *horizon_seconds,
                cost_replica_hours,
                rho: cost_replica_hours / optimum.cost,
            }
        };
        HORIZONS.iter().filter(|_| self.foresight).map(rung).collect()
    }

    fn judge(&self, run: &Run) -> Verdict {
        let (begin, end) = (self.begin(), self.course.steps());
        // With nothing to learn from, the judged part has to do.
        let learning = if begin == 0 { end } else { begin };
        Verdict {
            learning: figures(self.course, run, 0, learning).cost_replica_hours,
            judged: figures(self.course, run, begin, end),
        }
    }
}

/// What a run cost before it was judged, and how it did from there on.
#[derive(Debug, Clone)]
struct Verdict {
    learning: f64,
    judged: Figures,
}

fn standing(name: &str, tuned: bool, setting: String, figures: Figures, optimum: &LimitReport) -> Standing {
    Standing {
        name: name.to_owned(),
        tuned,
        setting,
        rho: figures.cost_replica_hours / optimum.cost_replica_hours,
        replica_hours_ratio: figures.replica_hours / optimum.replica_hours,
        rescales_ratio: f64::from(figures.rescales) / f64::from(optimum.rescales.max(1)),
        kappa: 0.0,
        figures,
    }
}
