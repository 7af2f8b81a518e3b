//! How answers look: on a terminal, in a file, in a pull request.

use std::io::{self, IsTerminal, Write};

use comfy_table::{Cell, CellAlignment, ColumnConstraint, ContentArrangement, Table, Width, presets};

use crate::engine::observation::Quality;
use crate::policy::Replicas;
use crate::record::report::{WorkloadList, WorkloadReport};

/// What stands for unknown.
const UNKNOWN: &str = "?";

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people
    Table,
    /// The documented contract (docs/api.md)
    Json,
    /// The same as YAML
    Yaml,
    /// For pull requests and tickets
    Markdown,
}

/// Writes to standard output. A reader that has gone away is no error.
pub(super) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Writes one line to standard error.
pub(super) fn say(line: &str) {
    // There is nowhere left to complain to.
    writeln!(io::stderr().lock(), "{line}").ok();
}

/// Writes an error and its causes to standard error, each said once.
pub(super) fn complain(error: &anyhow::Error) {
    say(&chain(error));
}

fn chain(error: &anyhow::Error) -> String {
    let mut text = format!("error: {error}");
    for cause in error.chain().skip(1) {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str("\n  caused by: ");
            text.push_str(&words);
        }
    }
    text
}

/// The workloads in the format asked for.
pub(super) fn render(list: &WorkloadList, format: Format) -> anyhow::Result<String> {
    Ok(match format {
        Format::Table => table(list, width()),
        Format::Json => serde_json::to_string_pretty(list)? + "\n",
        Format::Yaml => serde_saphyr::to_string(list)?,
        Format::Markdown => markdown(list),
    })
}

/// The terminal's width; what fits a log elsewhere.
pub(super) fn width() -> u16 {
    let terminal = io::stdout().is_terminal().then(ratatui::crossterm::terminal::size);
    terminal.and_then(Result::ok).map_or(140, |(columns, _)| columns.clamp(60, 200))
}

const HEADINGS: [&str; 7] = ["WORKLOAD", "TARGET", "NOW", "WANTED", "BACKLOG", "AGE", "RATE"];

fn cells(report: &WorkloadReport) -> [String; 7] {
    [
        format!("{}/{}", report.namespace, report.name),
        report.target.clone(),
        replicas(report.current),
        wanted(report),
        report.backlog.map_or_else(unknown, thousands),
        report.backlog_age_seconds.map_or_else(unknown, seconds),
        report.arrival_rate.map_or_else(unknown, rate),
    ]
}

fn table(list: &WorkloadList, width: u16) -> String {
    if list.workloads.is_empty() {
        return "no workloads\n".to_owned();
    }
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width);
    table.set_header(HEADINGS.into_iter().chain(["WHY"]));
    for report in &list.workloads {
        let [workload, target, rest @ ..] = cells(report);
        let mut row = vec![Cell::new(workload), Cell::new(target)];
        row.extend(rest.into_iter().map(|cell| Cell::new(cell).set_alignment(CellAlignment::Right)));
        row.push(Cell::new(&report.sentence));
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    // Figures keep their line; the sentence takes what is left.
    for index in 2..HEADINGS.len() {
        if let Some(column) = table.column_mut(index) {
            column.set_constraint(ColumnConstraint::ContentWidth);
            if index > 1 {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    if let Some(why) = table.column_mut(HEADINGS.len()) {
        why.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(24)));
    }
    let lines: Vec<_> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n") + "\n"
}

fn markdown(list: &WorkloadList) -> String {
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

/// `1234567` as `1,234,567`.
pub(super) fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A length of time, as short as it makes sense: `4.2s`, `75s`, `12m`, `3h40m`.
pub(super) fn seconds(seconds: f64) -> String {
    if seconds < 10.0 {
        format!("{seconds:.1}s")
    } else if seconds < 120.0 {
        format!("{seconds:.0}s")
    } else if seconds < 7200.0 {
        format!("{:.0}m", seconds / 60.0)
    } else {
        format!("{:.0}h{:02.0}m", (seconds / 3600.0).floor(), (seconds / 60.0) % 60.0)
    }
}

/// Records per second.
pub(super) fn rate(rate: f64) -> String {
    if rate < 10.0 { format!("{rate:.1}/s") } else { format!("{rate:.0}/s") }
}

/// Whether nothing at all could be learnt of a workload.
pub(super) fn blind(report: &WorkloadReport) -> bool {
    report.current.is_none()
        || (!report.partitions.is_empty()
            && report.partitions.iter().all(|partition| partition.quality == Quality::Missing))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::samples;

    fn list() -> WorkloadList {
        let mut blind = samples::turn("billing");
        blind.decision.current = None;
        blind.decision.desired = None;
        blind.decision.estimate = crate::engine::decision::Estimate::default();
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
    fn a_table_stays_within_its_width_and_wraps_the_sentence() {
        for width in [80, 100, 140] {
            let table = table(&list(), width);
            let longest = table.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(longest <= width.into(), "{longest} > {width}\n{table}");
            assert!(table.contains("shop/orders"), "{table}");
        }
    }

    #[test]
    fn markdown_has_a_line_for_each_and_survives_bars() {
        let text = markdown(&list());
        assert_eq!(text.lines().count(), 4);
        let last = text.lines().last().unwrap();
        assert_eq!(
            last,
            "| shop/billing | Deployment/billing | ? | ? | ? | ? | ? | Held: the target \\| could not be read. |"
        );
    }

    #[test]
    fn every_format_of_the_contract_reads_back() {
        let list = list();
        let json = render(&list, Format::Json).unwrap();
        assert_eq!(serde_json::from_str::<WorkloadList>(&json).unwrap(), list);
        let yaml = render(&list, Format::Yaml).unwrap();
        assert_eq!(serde_saphyr::from_str::<WorkloadList>(&yaml).unwrap(), list);
    }

    #[test]
    fn figures_are_as_short_as_they_make_sense() {
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([4.25, 75.0, 720.0, 13_200.0].map(seconds), ["4.2s", "75s", "12m", "3h40m"]);
        assert_eq!([0.31, 1234.4].map(rate), ["0.3/s", "1234/s"]);
    }

    #[test]
    fn an_error_says_each_cause_once() {
        let error = anyhow::anyhow!("no route").context("cannot read it: no route").context("outermost");
        assert_eq!(chain(&error), "error: outermost\n  caused by: cannot read it: no route");
    }
}
