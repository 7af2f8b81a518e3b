//! One trace on one plant: the engine, the rules in use elsewhere, and the clairvoyant optimum.

use super::limit::foresight::{HORIZONS, foresight};
use super::limit::{BUCKET, Limit, limit, unhindered, work_bound};
use super::race::{by_path, by_rule, sums, sums_by_rule};
use super::rivals::Rival;
use super::robustness::{Entrant, OUTAGE, bearings, run};
use super::scorecard::{Figures, duels, figures, recovery};
use super::series::{Series, arrivals};
use super::standing::{Foresight, LimitReport, Outcome, Plots, Recovery, Standing, ratio};
use super::tuned::{by_tuned_engine, tuned_rules};
use super::weights::{Halves, limits, weighted};
use crate::fluid::course::{Course, STEP};
use crate::fluid::numbers::{count, real};
use crate::fluid::plant::Plant;
use crate::fluid::run::{Run, by_engine};
use crate::policy::Rules;

/// What the engine is called in reports.
pub const OURS: &str = "tidegate";
/// What it is called with self-tuning.
pub const SELF_TUNED: &str = "tidegate-tuned";

/// What is to be run.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is an extra that somebody may do without")]
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
    /// Whether the engine takes part a second time, tuned on its own history of the learning part.
    pub self_tuning: bool,
    /// Whether to find out what foresight is worth. It takes many times as long as the limit alone.
    pub foresight: bool,
    /// Whether to find out what everybody makes of an outage. It takes as long again as running them once.
    pub recovery: bool,
    /// Whether to run everybody again under each disturbance. It takes many times as long as the rest.
    pub robustness: bool,
    /// Whether to find out how everybody does by other weights. It takes a dozen times as long as the limit.
    pub weights: bool,
    /// Whether to keep what plots show.
    pub plots: bool,
}

/// One policy under way to its standing.
#[derive(Debug)]
struct Side {
    standing: Standing,
    entrant: Entrant,
    /// The sums of all settings that it could have been given.
    settings: Vec<Halves>,
}

impl Contest<'_> {
    /// Runs everybody. `progress` is told what is done, of how many.
    pub fn run(&self, mut progress: impl FnMut(usize, usize, &str)) -> Outcome {
        let grids: Vec<_> = self.rivals.iter().map(|rival| (rival.name, (rival.grid)(self.course))).collect();
        let extras =
            [self.recovery, self.robustness, self.weights].into_iter().map(usize::from).sum::<usize>();
        let own = 2 + usize::from(self.self_tuning);
        let all = grids.iter().map(|(_, grid)| grid.len()).sum::<usize>() + own + extras;
        let mut done = 0;
        let mut tell = |name: &str| {
            progress(done, all, name);
            done += 1;
        };
        tell("clairvoyant optimum");
        let mut plots = Plots::default();
        let mut optimum = self.limit(&mut plots);
        tell(OURS);
        let run = by_engine(self.course, self.rules, self.seed);
        let ours = self.standing(OURS, false, String::new(), &run, &optimum, &mut plots);
        let mut sides =
            vec![Side { standing: ours, entrant: Entrant::Engine, settings: vec![sums(&run, self.begin())] }];
        drop(run);
        if self.self_tuning {
            tell(SELF_TUNED);
            sides.push(self.self_tuned(&optimum, &mut plots));
        }
        // What all settings do while judged only matters by other weights.
        let until = if self.weights || self.begin() == 0 { self.course.steps() } else { self.begin() };
        for (index, (name, mut grid)) in grids.into_iter().enumerate() {
            let mut settings = Vec::with_capacity(grid.len());
            for candidate in &mut grid {
                tell(name);
                let rule = candidate.rule.as_mut();
                settings.push(sums_by_rule(self.course, rule, self.seed, self.begin(), until));
            }
            // The first of equals: the defaults win a draw.
            let plant = &self.course.plant;
            let learnt = |halves: &Halves| halves.learning.cost(plant.violation_cost, plant.rescale_cost);
            let best = (0..settings.len()).min_by(|a, b| {
                let cost = |choice: &usize| settings.get(*choice).map_or(f64::INFINITY, learnt);
                cost(a).total_cmp(&cost(b))
            });
            for (tuned, choice) in [(false, Some(0)), (true, best)] {
                let entrant = Entrant::Rival { index, choice: choice.unwrap_or(0) };
                let Some((setting, run)) = self.rerun(entrant) else { continue };
                let standing = self.standing(name, tuned, setting, &run, &optimum, &mut plots);
                let own = if tuned { settings.clone() } else { settings.iter().take(1).copied().collect() };
                sides.push(Side { standing, entrant, settings: own });
            }
        }
        if self.recovery {
            tell("an outage");
            self.recover(&mut sides);
        }
        if self.robustness {
            tell("disturbances");
            let calm = sides.iter().map(|side| (side.entrant, side.standing.rho)).collect::<Vec<_>>();
            for (side, bearings) in sides.iter_mut().zip(bearings(self, &calm)) {
                side.standing.robustness = bearings;
            }
        }
        if self.weights {
            tell("other weights");
            optimum.weights = limits(self.course, self.begin(), self.course.steps());
            for side in &mut sides {
                side.standing.weights = weighted(&optimum.weights, &side.settings);
            }
        }
        Outcome { limit: optimum, policies: ranked(sides), plots }
    }

    /// The engine as it would have tuned itself by the time that it is judged from.
    fn self_tuned(&self, optimum: &LimitReport, plots: &mut Plots) -> Side {
        let (run, tuner) = by_tuned_engine(self.course, self.rules, self.seed, self.begin());
        let setting = tuner.turns().iter().map(|turned| turned.turn.to_string()).collect::<Vec<_>>();
        let setting = if setting.is_empty() { "nothing was turned".to_owned() } else { setting.join("; ") };
        let standing = self.standing(SELF_TUNED, true, setting, &run, optimum, plots);
        let notches = tuner.notches(&tuned_rules(self.rules));
        Side { standing, entrant: Entrant::SelfTuned(notches), settings: vec![sums(&run, self.begin())] }
    }

    /// The step from which is judged.
    pub fn begin(&self) -> usize {
        count((real(self.course.steps()) * self.judge_from).floor()).min(self.course.steps() - 1)
    }

    /// One choice of a rival's settings over the whole course, with all that happens.
    fn rerun(&self, entrant: Entrant) -> Option<(String, Run)> {
        let Entrant::Rival { index, choice } = entrant else { return None };
        let mut grid = (self.rivals.get(index)?.grid)(self.course);
        let candidate = grid.get_mut(choice)?;
        let run = by_rule(self.course, candidate.rule.as_mut(), self.seed);
        Some((candidate.setting.clone(), run))
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
            plots.seconds = real(end - begin) * STEP;
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
            unhindered_cost_replica_hours: self.foresight.then(|| unhindered(self.course, begin, end)),
            foresight: self.ladder(&optimum, begin, end),
            weights: Vec::new(),
        }
    }

    fn ladder(&self, optimum: &Limit, begin: usize, end: usize) -> Vec<Foresight> {
        let first = optimum.path.first().map_or(self.course.plant.min_replicas, |(_, size)| *size);
        let rung = |horizon_seconds: &f64| {
            let run = foresight(self.course, begin, end, *horizon_seconds, first);
            let cost_replica_hours = figures(self.course, &run, begin, end).cost_replica_hours;
            let rho = ratio(cost_replica_hours, optimum.cost);
            Foresight { horizon_seconds: *horizon_seconds, cost_replica_hours, rho }
        };
        HORIZONS.iter().filter(|_| self.foresight).map(rung).collect()
    }

    fn recover(&self, sides: &mut [Side]) {
        let plant = Plant { outage_seconds: OUTAGE, ..self.course.plant.clone() };
        let course = self.course.on(&plant, self.seed);
        for side in sides {
            if let Some(run) = run(self, &course, side.entrant) {
                side.standing.recovery = recovery(&course, &run);
            }
        }
    }

    fn standing(
        &self,
        name: &str,
        tuned: bool,
        setting: String,
        run: &Run,
        optimum: &LimitReport,
        plots: &mut Plots,
    ) -> Standing {
        let figures = figures(self.course, run, self.begin(), self.course.steps());
        let standing = Standing {
            name: name.to_owned(),
            tuned,
            setting,
            rho: ratio(figures.cost_replica_hours, optimum.cost_replica_hours),
            replica_hours_ratio: ratio(figures.replica_hours, optimum.replica_hours),
            rescales_ratio: f64::from(figures.rescales) / f64::from(optimum.rescales.max(1)),
            kappa: 0.0,
            recovery: Recovery::default(),
            robustness: Vec::new(),
            weights: Vec::new(),
            figures,
        };
        self.plot(&standing.title(), run, plots);
        standing
    }
}

/// The standings, with their duels. Nobody meets itself, tuned or not.
fn ranked(sides: Vec<Side>) -> Vec<Standing> {
    let mut policies: Vec<Standing> = sides.into_iter().map(|side| side.standing).collect();
    for (own, other) in [(SELF_TUNED, OURS), (OURS, SELF_TUNED)] {
        let met: Vec<(&str, &Figures)> = policies
            .iter()
            .filter(|one| one.name != other)
            .map(|one| (one.name.as_str(), &one.figures))
            .collect();
        let kappas = duels(&met);
        let meeting = policies.iter_mut().filter(|one| one.name != other);
        for (kappa, policy) in kappas.into_iter().zip(meeting) {
            // The others only meet the engine as it is: the second time is theirs.
            if own == OURS || policy.name == own {
                policy.kappa = kappa;
            }
        }
    }
    policies
}
