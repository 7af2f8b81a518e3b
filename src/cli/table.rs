//! Workloads as a table: a line of figures, and below it the sentence that says why.

use std::io::{self, IsTerminal};

use comfy_table::{CellAlignment, Table, presets};

use super::output;
use crate::engine::Verdict;
use crate::engine::explain::{number, seconds};
use crate::policy::Replicas;
use crate::policy::units::records_f64;
use crate::record::report::{WorkloadList, WorkloadReport};

/// What stands for unknown.
const UNKNOWN: &str = "?";
const HEADINGS: [&str; 7] = ["WORKLOAD", "TARGET", "NOW", "WANTED", "BACKLOG", "AGE", "RATE"];
/// The columns from here on are figures.
const FIGURES: usize = 2;

/// What the output may look like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    /// Columns that sentences are wrapped at.
    width: usize,
    /// Whether moves stand out by colour.
    colour: bool,
}

impl Look {
    /// As standard output has it; without colour where that is not a terminal, or `NO_COLOR` is set.
    pub(super) fn of_this_terminal() -> Self {
        let terminal = io::stdout().is_terminal();
        let size = terminal.then(ratatui::crossterm::terminal::size).and_then(Result::ok);
        let width = size.map_or(100, |(columns, _)| columns.clamp(60, 120)).into();
        Self { width, colour: terminal && output::colour() }
    }
}

/// For people.
pub(super) fn terminal(list: &WorkloadList, look: Look) -> String {
    if list.workloads.is_empty() {
        return "no workloads\n".to_owned();
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(HEADINGS);
    for report in &list.workloads {
        table.add_row(cells(report));
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if index >= FIGURES {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut lines = table.lines().map(|line| line.trim_end().to_owned());
    let mut text: Vec<String> = lines.next().into_iter().collect();
    for (report, line) in list.workloads.iter().zip(lines) {
        text.push(painted(line, report.verdict, look));
        text.extend(wrapped(&report.sentence, look.width.saturating_sub(2)).map(|line| format!("  {line}")));
        text.extend(report.schedule.iter().flat_map(|scheduled| {
            let words = scheduled.holding(report.at).into_iter().chain(scheduled.coming());
            words.map(|words| format!("  {words}")).collect::<Vec<_>>()
        }));
        // Not wrapped: it is there to be copied.
        text.extend(
            report.rung.iter().filter(|_| report.plan.is_none()).map(|rung| format!("  moved by: {rung}")),
        );
        text.extend(report.plan.iter().map(|plan| format!("  to be written: {plan}")));
    }
    text.join("\n") + "\n"
}

/// For pull requests and tickets.
pub(super) fn markdown(list: &WorkloadList) -> String {
    let escape = |text: &str| text.replace('|', "\\|").replace('\n', " ");
    let row = |report: &WorkloadReport| {
        let cells = cells(report).map(|cell| escape(&cell)).join(" | ");
        format!("| {cells} | {} |", escape(&report.sentence))
    };
    let mut lines = vec![
        "| workload | target | now | wanted | backlog | age | rate | why |".to_owned(),
        "|---|---|--:|--:|--:|--:|--:|---|".to_owned(),
    ];
    lines.extend(list.workloads.iter().map(row));
    lines.join("\n") + "\n"
}

fn cells(report: &WorkloadReport) -> [String; HEADINGS.len()] {
    [
        format!("{}/{}", report.namespace, report.name),
        report.target.clone(),
        replicas(report.current),
        wanted(report),
        report.backlog.map_or_else(unknown, |records| number(records_f64(records)).to_string()),
        report.backlog_age_seconds.map_or_else(unknown, |age| seconds(age).to_string()),
        report.arrival_rate.map_or_else(unknown, |rate| format!("{}/s", number(rate))),
    ]
}

fn unknown() -> String {
    UNKNOWN.to_owned()
}

fn replicas(count: Option<Replicas>) -> String {
    count.map_or_else(unknown, |count| count.to_string())
}

/// The size to have; with the upper bound where the target has one.
fn wanted(report: &WorkloadReport) -> String {
    match report.ceiling {
        Some(ceiling) => format!("{}..{ceiling}", replicas(report.desired)),
        None => replicas(report.desired),
    }
}

/// Moves stand out: yellow for more, cyan for fewer.
fn painted(line: String, verdict: Verdict, look: Look) -> String {
    match verdict {
        Verdict::Raise if look.colour => format!("\x1b[33m{line}\x1b[0m"),
        Verdict::Lower if look.colour => format!("\x1b[36m{line}\x1b[0m"),
        Verdict::Raise | Verdict::Lower | Verdict::Hold => line,
    }
}

/// Lines of whole words, each within `width` unless a word is longer.
fn wrapped(text: &str, width: usize) -> impl Iterator<Item = String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::decision::Estimate;
    use crate::record::samples;

    const PLAIN: Look = Look { width: 80, colour: false };

    /// A raise, and a workload of which nothing is known.
    fn list() -> WorkloadList {
        let mut blind = samples::turn("billing");
        blind.decision.current = None;
        blind.decision.desired = None;
        blind.decision.ceiling = None;
        blind.decision.verdict = Verdict::Hold;
        blind.decision.estimate = Estimate::default();
        blind.decision.sentence = "Held: the target | could not be read.".into();
        [&samples::turn("orders"), &blind].into_iter().collect()
    }

    #[test]
    fn unknown_is_a_question_mark_and_never_zero() {
        let list = list();
        let cells = cells(&list.workloads[1]);
        assert_eq!(cells, ["shop/billing", "Deployment/billing", "?", "?", "?", "?", "?"]);
    }

    #[test]
    fn what_the_clock_asks_for_stands_below() {
        use crate::engine::schedule::Scheduled;
        use crate::policy::schedule::Window;
        let mut turn = samples::turn("orders");
        let window = |from: &str, until: &str| Window {
            schedule: "day".to_owned(),
            min_replicas: Replicas(6),
            from: from.parse().unwrap(),
            until: until.parse().unwrap(),
            time_zone: "Europe/Berlin".parse().unwrap(),
        };
        turn.at = "2026-07-06T10:00:00Z".parse().unwrap();
        let holds = Some(window("2026-07-06T06:00:00Z", "2026-07-06T16:00:00Z"));
        let next = Some(window("2026-07-07T06:00:00Z", "2026-07-07T16:00:00Z"));
        turn.decision.schedule = Some(Scheduled { holds, next });
        let text = terminal(&[&turn].into_iter().collect(), PLAIN);
        let below: Vec<&str> = text.lines().skip(3).collect();
        assert_eq!(
            below,
            [
                "  schedule `day` asks for at least 6 until Mon 2026-07-06 18:00 CEST",
                "  schedule `day` asks for at least 6 from Tue 2026-07-07 08:00 CEST",
            ]
        );
    }

    #[test]
    fn figures_stand_in_line_and_sentences_below_them() {
        let text = terminal(&list(), PLAIN);
        assert_eq!(
            text.lines().collect::<Vec<_>>(),
            [
                "WORKLOAD      TARGET              NOW  WANTED  BACKLOG   AGE   RATE",
                "shop/orders   Deployment/orders     2    4..6   16,000  28 s  600/s",
                "  Raise 2 to 4: 600 records/s arrive, 2 replicas process 400.",
                "shop/billing  Deployment/billing    ?       ?        ?     ?      ?",
                "  Held: the target | could not be read.",
            ]
        );
    }

    #[test]
    fn sentences_wrap_between_words() {
        let lines: Vec<_> = wrapped("one two three four", 9).collect();
        assert_eq!(lines, ["one two", "three", "four"]);
    }

    #[test]
    fn only_moves_are_coloured_and_only_where_asked() {
        let coloured = terminal(&list(), Look { colour: true, ..PLAIN });
        assert_eq!(coloured.matches("\x1b[33m").count(), 1);
        assert_eq!(coloured.matches("\x1b[36m").count(), 0);
        assert!(!terminal(&list(), PLAIN).contains('\x1b'));
    }

    #[test]
    fn markdown_has_a_line_for_each_and_survives_bars() {
        let text = markdown(&list());
        assert_eq!(text.lines().count(), 4);
        assert_eq!(
            text.lines().last().unwrap(),
            "| shop/billing | Deployment/billing | ? | ? | ? | ? | ? | Held: the target \\| could not be read. |"
        );
    }
}
