//! The scorecard, for people and for programs.

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::engine::explain::{number, seconds};
use crate::fluid::plant::Plant;
use crate::fluid::trace::Trace;
use crate::simulate::contest::{Contest, SELF_TUNED};
use crate::simulate::standing::{Foresight, LimitReport, Outcome, Plots, Standing};
use crate::simulate::weights::WeightedLimit;

/// Everything that a contest brought.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    trace: TraceReport,
    plant: Plant,
    seed: u64,
    limit: LimitReport,
    pub(super) policies: Vec<Standing>,
}

#[derive(Debug, Serialize)]
struct TraceReport {
    name: String,
    seconds: f64,
    step_seconds: f64,
    mean_events_per_second: f64,
    peak_events_per_second: f64,
    judge_from: f64,
}

pub(super) const HEADINGS: [&str; 11] = [
    "POLICY",
    "RHO",
    "COST",
    "REPLICA-H",
    "LATE",
    "WORST AGE",
    "MOVES/DAY",
    "WASTED",
    "BACK",
    "STOPPED",
    "KAPPA",
];

impl Report {
    pub(super) fn new(trace: &Trace, contest: &Contest<'_>, outcome: Outcome) -> (Self, Plots) {
        let mut plant = contest.course.plant.clone();
        plant.capacity = contest.course.capacity;
        let report = Self {
            trace: TraceReport {
                name: trace.name.clone(),
                seconds: trace.seconds(),
                step_seconds: trace.step,
                mean_events_per_second: trace.mean(),
                peak_events_per_second: trace.peak(),
                judge_from: contest.judge_from,
            },
            plant,
            seed: contest.seed,
            limit: outcome.limit,
            policies: outcome.policies,
        };
        (report, outcome.plots)
    }

    pub(super) fn name(&self) -> &str {
        &self.trace.name
    }

    pub(super) fn objective(&self) -> f64 {
        self.plant.objective_seconds
    }

    /// The optimum by other weights.
    pub(super) fn weights(&self) -> &[WeightedLimit] {
        &self.limit.weights
    }

    /// What foresight is worth, to be marked in a chart.
    pub(super) fn foresight_marks(&self) -> Vec<(String, f64)> {
        let rung = self.limit.foresight.iter().find(|rung| rung.horizon_seconds > 600.0);
        let mark = |rung: &Foresight| (format!("{} of foresight", seconds(rung.horizon_seconds)), rung.rho);
        rung.map(mark).into_iter().collect()
    }

    pub(super) fn title(&self) -> [String; 3] {
        let (trace, plant, limit) = (&self.trace, &self.plant, &self.limit);
        [
            format!(
                "{}: {}, {} records/s on average, {} at the peak, on {} ({} records/s a replica), seed {}",
                trace.name,
                seconds(trace.seconds),
                number(trace.mean_events_per_second),
                number(trace.peak_events_per_second),
                plant.name,
                number(plant.capacity),
                self.seed
            ),
            format!(
                "Judged from {:.0} % on. The optimum, had all been known: {:.2} replica-hours with {} moves \
                 and {:.1} min late, at a cost of {:.2}; the bare work is {:.2} replica-hours.",
                100.0 * trace.judge_from,
                limit.replica_hours,
                limit.rescales,
                limit.violation_minutes,
                limit.cost_replica_hours,
                limit.work_bound_replica_hours
            ),
            self.foresight(),
        ]
    }

    fn foresight(&self) -> String {
        let rungs = &self.limit.foresight;
        if rungs.is_empty() {
            return "What foresight is worth was not asked for.".to_owned();
        }
        let rung = |rung: &Foresight| format!("{} {:.2}", seconds(rung.horizon_seconds), rung.rho);
        let ladder: Vec<String> = rungs.iter().map(rung).collect();
        format!("With less foresight, in parts of the optimum's cost: {}.", ladder.join(", "))
    }

    /// For people.
    pub(super) fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(HEADINGS);
        for policy in &self.policies {
            table.add_row(cells(policy));
        }
        for (index, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, 2));
            if index > 0 {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let mut lines = self.title().to_vec();
        lines.push(String::new());
        lines.extend(table.lines().map(|line| line.trim_end().to_owned()));
        lines.push(String::new());
        let tuned = self.policies.iter().filter(|policy| policy.tuned);
        lines.extend(tuned.map(|policy| format!("{}: {}", policy.title(), policy.setting)));
        lines.extend(self.bearings());
        lines.join("\n") + "\n"
    }

    /// How the engine bears each disturbance, beside the best of the others.
    fn bearings(&self) -> Vec<String> {
        let Some((ours, others)) = self.policies.split_first() else { return Vec::new() };
        let others: Vec<&Standing> = others.iter().filter(|one| one.name != SELF_TUNED).collect();
        ours.robustness
            .iter()
            .enumerate()
            .map(|(index, own)| {
                let rivals = others.iter().filter_map(|one| Some((*one, one.robustness.get(index)?)));
                let best = rivals.min_by(|(_, a), (_, b)| a.rho.total_cmp(&b.rho));
                let rival = best.map_or_else(String::new, |(policy, bearing)| {
                    format!("; best of the others: {} with {:.2}", policy.title(), bearing.rho)
                });
                format!(
                    "{}: rho {:.2} ({:+.0} %), {} moves down while blind{rival}",
                    own.disturbance, own.rho, own.loss_percent, own.lowered_while_blind
                )
            })
            .collect()
    }

    /// For pull requests and tickets.
    pub(super) fn markdown(&self) -> String {
        let mut lines: Vec<String> =
            self.title().into_iter().flat_map(|line| [line, String::new()]).collect();
        lines.push(format!("| {} | settings |", HEADINGS.map(str::to_lowercase).join(" | ")));
        lines.push(format!("|---|{}---|", "--:|".repeat(HEADINGS.len() - 1)));
        let row = |policy: &Standing| format!("| {} | {} |", cells(policy).join(" | "), policy.setting);
        lines.extend(self.policies.iter().map(row));
        lines.join("\n") + "\n"
    }
}

pub(super) fn cells(policy: &Standing) -> [String; HEADINGS.len()] {
    let figures = &policy.figures;
    [
        policy.title(),
        format!("{:.2}", policy.rho),
        format!("{:.1}", figures.cost_replica_hours),
        format!("{:.1}", figures.replica_hours),
        format!("{:.1} min", figures.violation_minutes),
        seconds(figures.worst_age_seconds).to_string(),
        format!("{:.1}", figures.rescales_per_day),
        format!("{:.0} %", 100.0 * figures.wasted_rescale_share),
        figures.reversals.to_string(),
        format!("{:.2} %", 100.0 * figures.stopped_share),
        format!("{:.2}", policy.kappa),
    ]
}
