//! The closing figures, as they came out.

use std::io::{self, Write};

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{CellAlignment, Table};

use super::story::span;
use crate::embedded::day::{Day, Lane, RIVALS};
use crate::embedded::score::Score;
use crate::policy::units::records_f64;

/// Prints one table per workload and what to read from it.
pub(super) fn print(out: &mut impl Write, day: &Day) -> io::Result<()> {
    let hours = records_f64(day.second().unsigned_abs()) / 3600.0;
    writeln!(
        out,
        "\nAfter {hours:.0} simulated hours, with the same load and the same faults for everybody:"
    )?;
    writeln!(out, "Lag rule: 1 replica per so many unprocessed records, with an HPA's defaults.")?;
    writeln!(out, "Dynamic allocation: Spark's own, at its defaults.")?;
    for lane in day.lanes() {
        let objective = span(lane.max_lag());
        writeln!(out, "\nshop/{}: no record older than {objective}", lane.name())?;
        writeln!(out, "{}", table(lane))?;
        for line in reading(lane) {
            writeln!(out, "{line}")?;
        }
    }
    writeln!(out, "\nOn a real cluster, without writing anything: tidegate recommend --help")
}

fn table(lane: &Lane) -> Table {
    let scores = lane.scores();
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY);
    let [ours, _, fixed] = RIVALS;
    table.set_header([
        String::new(),
        ours.to_owned(),
        lane.rule().settings(),
        format!("{fixed} ({})", lane.fixed()),
    ]);
    let mut row = |name: &str, figure: &dyn Fn(&Score) -> String| {
        let figures = scores.map(figure);
        table.add_row(std::iter::once(name.to_owned()).chain(figures));
    };
    row("replica-hours", &|score| format!("{:.1}", hours(score.replica_seconds)));
    row("objective broken, min", &|score| minutes(score.late_seconds));
    row("  in the outage, min", &|score| minutes(score.late_in_outage));
    row("oldest record", &|score| span(score.worst_age));
    row("moves up / down", &|score| format!("{} / {}", score.raised, score.lowered));
    row("moves undone in 30m", &|score| score.reversals.to_string());
    row("standing still, min", &|score| minutes(score.stopped_seconds));
    row("most replicas", &|score| score.most.to_string());
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// What the table says, in two sentences that can come out either way.
fn reading(lane: &Lane) -> [String; 2] {
    let [ours, rule, _] = lane.scores();
    let name = lane.rule().in_words();
    if ours.replica_seconds + rule.replica_seconds == 0 {
        return ["Nothing arrived: both stayed at 0 replicas.".into(), lateness(name, ours, rule)];
    }
    [
        format!(
            "Tidegate: {} than {name}, and {} moves to its {}.",
            compared(ours.replica_seconds, rule.replica_seconds),
            ours.moves(),
            rule.moves(),
        ),
        lateness(name, ours, rule),
    ]
}

fn lateness(name: &str, ours: &Score, rule: &Score) -> String {
    let (mine, theirs) = (minutes(ours.late_seconds), minutes(rule.late_seconds));
    match ours.late_seconds.cmp(&rule.late_seconds) {
        std::cmp::Ordering::Equal if ours.late_seconds == 0 => "Both held the objective all the time.".into(),
        std::cmp::Ordering::Equal => format!("Both broke the objective for {mine} minutes."),
        std::cmp::Ordering::Less => {
            format!("It broke the objective for {mine} minutes, {name} for {theirs}.")
        }
        std::cmp::Ordering::Greater => {
            format!("Better at the objective was {name}: {theirs} minutes broken, Tidegate {mine}.")
        }
    }
}

/// `a` beside `b`, in words.
fn compared(a: u64, b: u64) -> String {
    if b == 0 {
        return format!("{:.1} replica-hours more", hours(a));
    }
    let percent = (records_f64(a) / records_f64(b) - 1.0) * 100.0;
    if percent <= 0.0 {
        format!("{:.0} % fewer replica-hours", -percent)
    } else {
        format!("{percent:.0} % more replica-hours")
    }
}

fn hours(seconds: u64) -> f64 {
    records_f64(seconds) / 3600.0
}

fn minutes(seconds: u64) -> String {
    format!("{:.1}", records_f64(seconds) / 60.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reading_says_so_when_we_lose() {
        let late = |late_seconds: u64| {
            let mut score = Score::default();
            score.late_seconds = late_seconds;
            score
        };
        assert_eq!(lateness("the lag rule", &late(0), &late(0)), "Both held the objective all the time.");
        assert_eq!(
            lateness("the lag rule", &late(120), &late(60)),
            "Better at the objective was the lag rule: 1.0 minutes broken, Tidegate 2.0."
        );
        assert_eq!(compared(150, 100), "50 % more replica-hours");
        assert_eq!(compared(50, 100), "50 % fewer replica-hours");
    }
}
