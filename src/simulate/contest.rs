//! One trace on one plant: the engine, the rules in use elsewhere, and the clairvoyant optimum.

use serde::Serialize;

use super::course::Course;
use super::limit::foresight::{HORIZONS, foresight};
use super::limit::{BUCKET, Limit, limit, work_bound};
use super::numbers::{count, real};
use super::race::{Run, by_engine, by_path, by_rule};
use super::rivals::Rival;
use super::robustness::{Bearing, Entrant, bearings};
use super::scorecard::{Figures, cost, duels, figures};
use super::series::{Series, arrivals};
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
    /// Whether to run everybody again under each disturbance. It takes many times as long as the rest.
    pub robustness: bool,
    /// Whether to keep what plots show.
    pub plots: bool,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// The optimum.
    pub limit: LimitReport,
    /// Everybody, the engine first.
    pub policies: Vec<Standing>,
    /// What plots show; nothing where they were not asked for.
    #[serde(skip)]
    pub plots: Plots,
}

/// The judged part over time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plots {
    /// Records per second that arrive.
    pub arrivals: Vec<f64>,
    /// The optimum, the engine, and everybody else, by their titles.
    pub series: Vec<Series>,
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
    /// How it bears disturbances; empty where not asked for.
    pub robustness: Vec<Bearing>,
    /// All other rows.
    #[serde(flatten)]
    pub figures: Figures,
}

impl Standing {
    /// Its name, and whether it is tuned.
    pub fn title(&self) -> String {
        if self.tuned { format!("{} tuned", self.name) } else { self.name.clone() }
    }
}

impl Contest<'_> {
    /// Runs everybody. `progress` is told what is done, of how many.
    pub fn run(&self, mut progress: impl FnMut(usize, usize, &str)) -> Outcome {
        let grids: Vec<_> = self.rivals.iter().map(|rival| (rival.name, (rival.grid)(self.course))).collect();
        let all = grids.iter().map(|(_, grid)| grid.len()).sum::<usize>() + 2 + usize::from(self.robustness);
        let mut done = 0;
        let mut tell = |name: &str| {
            progress(done, all, name);
            done += 1;
        };
        tell("clairvoyant optimum");
        let mut plots = Plots::default();
        let optimum = self.limit(&mut plots);
        tell(OURS);
        let run = by_engine(self.course, self.rules, self.seed);
        let ours = figures(self.course, &run, self.begin(), self.course.steps());
        self.plot(OURS, &run, &mut plots);
        let mut policies = vec![standing(OURS, false, String::new(), ours, &optimum)];
        let mut entrants = vec![Entrant::Engine];
        for (index, (name, grid)) in grids.into_iter().enumerate() {
            let [mut default, mut best]: [Option<Verdict>; 2] = [None, None];
            for (choice, mut candidate) in grid.into_iter().enumerate() {
                tell(name);
                let run = by_rule(self.course, candidate.rule.as_mut(), self.seed);
                let learning = self.learning_cost(&run);
                // The first of equals: the defaults win a draw.
                if best.as_ref().is_none_or(|best| learning < best.learning) {
                    let verdict = self.judge(&run, choice, candidate.setting, learning);
                    default.get_or_insert_with(|| verdict.clone());
                    best = Some(verdict);
                }
            }
            for (tuned, verdict) in [(false, default), (true, best)] {
                let Some(verdict) = verdict else { continue };
                let standing = standing(name, tuned, verdict.setting, verdict.judged, &optimum);
                let titled = |series| Series { name: standing.title(), ..series };
                plots.series.extend(verdict.series.map(titled));
                policies.push(standing);
                entrants.push(Entrant::Rival { index, choice: verdict.choice });
            }
        }
        if self.robustness {
            tell("disturbances");
            let calm = policies.iter().map(|policy| policy.rho);
            let entrants: Vec<_> = entrants.into_iter().zip(calm).collect();
            for (policy, bearings) in policies.iter_mut().zip(bearings(self, &entrants)) {
                policy.robustness = bearings;
            }
        }
        let sides: Vec<(&str, &Figures)> =
            policies.iter().map(|one| (one.name.as_str(), &one.figures)).collect();
        for (kappa, policy) in duels(&sides).into_iter().zip(policies.iter_mut()) {
            policy.kappa = kappa;
        }
        Outcome { limit: optimum, policies, plots }
    }

    /// The step from which is judged.
    pub fn begin(&self) -> usize {
        count((real(self.course.steps()) * self.judge_from).floor()).min(self.course.steps() - 1)
    }

    fn plot(&self, name: &str, run: &Run, plots: &mut Plots) {
        if self.plots {
            plots.series.push(Series::of(name, run, self.begin(), self.course.steps()));
        }
    }

    fn limit(&self, plots: &mut Plots) -> LimitReport {
        let (begin, end) = (self.begin(), self.course.steps());
        let optimum = limit(self.course, begin, end, BUCKET);
        let run = by_path(self.course, &optimum.path, begin);
        let reached = figures(self.course, &run, begin, end);
        if self.plots {
            plots.arrivals = arrivals(self.course, begin, end);
        }
        self.plot("optimum", &run, plots);
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

    /// What a run cost before it is judged; with nothing to learn from, the judged part has to do.
    fn learning_cost(&self, run: &Run) -> f64 {
        let begin = self.begin();
        cost(self.course, run, 0, if begin == 0 { self.course.steps() } else { begin })
    }

    fn judge(&self, run: &Run, choice: usize, setting: String, learning: f64) -> Verdict {
        let (begin, end) = (self.begin(), self.course.steps());
        Verdict {
            choice,
            setting,
            learning,
            judged: figures(self.course, run, begin, end),
            series: self.plots.then(|| Series::of("", run, begin, end)),
        }
    }
}

/// One choice of a rival's settings: what it cost before it was judged, and how it did from there on.
#[derive(Debug, Clone)]
struct Verdict {
    choice: usize,
    setting: String,
    learning: f64,
    judged: Figures,
    series: Option<Series>,
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
        robustness: Vec::new(),
        figures,
    }
}
