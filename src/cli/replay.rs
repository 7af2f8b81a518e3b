//! `tidegate replay`: recorded decisions, evaluated again.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;

use crate::record::journal::replay::{Replay, Summary};

/// Files below this size are done before anybody wonders.
const BIG: u64 = 32 << 20;

/// Evaluate a journal again: the decisions must come out the same, bit for bit.
///
/// Exit codes: 0 all agree, 1 some differ or wrong usage, 2 the file or some of its lines cannot be read.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The journal; `-` reads standard input.
    file: PathBuf,
    /// How to print the summary.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// How to print the summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { file, format } = args;
    let summary = match read(&file) {
        Ok(summary) => summary,
        Err(error) => {
            writeln!(io::stderr().lock(), "error: {error:#}")?;
            return Ok(ExitCode::from(2));
        }
    };
    let mut out = io::stdout().lock();
    match format {
        Format::Text => text(&mut out, &summary)?,
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(&summary)?)?,
    }
    Ok(verdict(&summary))
}

fn verdict(summary: &Summary) -> ExitCode {
    if summary.differing > 0 {
        ExitCode::from(1)
    } else if summary.broken > 0 || summary.skipped > 0 {
        ExitCode::from(2)
    } else {
        ExitCode::SUCCESS
    }
}

fn read(file: &Path) -> anyhow::Result<Summary> {
    if file.as_os_str() == "-" {
        return replay(io::stdin().lock(), None).context("standard input");
    }
    let name = || file.display().to_string();
    let opened = File::open(file).with_context(name)?;
    let length = opened.metadata().with_context(name)?.len();
    replay(BufReader::new(opened), Some(length)).with_context(name)
}

/// Reads line by line: a journal may be larger than the memory.
fn replay(mut input: impl BufRead, length: Option<u64>) -> io::Result<Summary> {
    let mut progress = Progress::new(length);
    let mut replay = Replay::default();
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let bytes = input.read_until(b'\n', &mut line)?;
        if bytes == 0 {
            break;
        }
        match std::str::from_utf8(&line) {
            Ok(text) => replay.line(number, text),
            Err(error) => replay.broken(number, error.to_string()),
        }
        progress.advance(bytes)?;
    }
    progress.end()?;
    Ok(replay.finish())
}

fn text(out: &mut impl Write, summary: &Summary) -> io::Result<()> {
    for broken in &summary.broken_lines {
        writeln!(out, "line {}: {}", broken.line, broken.problem)?;
    }
    if summary.broken > summary.broken_lines.len().try_into().unwrap_or(u64::MAX) {
        writeln!(out, "... {} lines in all cannot be read", summary.broken)?;
    }
    for workload in &summary.workloads {
        if let Some(first) = &workload.first {
            writeln!(out, "{}: {} of {} differ", workload.id, workload.differing, turns(workload.turns))?;
            writeln!(out, "  first at {} (line {}), in {}:", first.at, first.line, first.field)?;
            writeln!(out, "    recorded {}\n    now      {}", first.recorded, first.now)?;
        }
    }
    if summary.skipped > 0 {
        writeln!(out, "{} skipped: no start line before tells the memory", turns(summary.skipped))?;
    }
    let agreement = match (summary.turns, summary.differing) {
        (0, _) => "nothing to compare".to_owned(),
        (_, 0) => "all decided as recorded".to_owned(),
        (_, differing) => format!("{} decided as recorded, {differing} not", summary.agreed),
    };
    let workloads = match summary.workloads.len() {
        1 => "1 workload".to_owned(),
        count => format!("{count} workloads"),
    };
    writeln!(out, "{} of {workloads}: {agreement}", turns(summary.turns))
}

fn turns(count: u64) -> String {
    if count == 1 { "1 turn".to_owned() } else { format!("{count} turns") }
}

/// Percent on standard error, for big files on a terminal.
struct Progress {
    length: Option<u64>,
    done: u64,
    percent: u64,
}

impl Progress {
    fn new(length: Option<u64>) -> Self {
        let length = length.filter(|length| *length >= BIG && io::stderr().is_terminal());
        Self { length, done: 0, percent: 0 }
    }

    fn advance(&mut self, bytes: usize) -> io::Result<()> {
        let Some(length) = self.length else { return Ok(()) };
        self.done = self.done.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        let percent = self.done.saturating_mul(100) / length;
        if percent > self.percent {
            self.percent = percent;
            write!(io::stderr().lock(), "\rreplaying: {percent}%")?;
        }
        Ok(())
    }

    fn end(&self) -> io::Result<()> {
        if self.percent > 0 { write!(io::stderr().lock(), "\r\x1b[K") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::journal::Line;
    use crate::record::samples;

    fn replayed(journal: &str) -> (String, ExitCode) {
        let summary = replay(journal.as_bytes(), None).unwrap();
        let mut out = Vec::new();
        text(&mut out, &summary).unwrap();
        (String::from_utf8(out).unwrap(), verdict(&summary))
    }

    #[test]
    fn broken_and_unstarted_lines_are_named() {
        let turn = serde_json::to_string(&Line::turn(&samples::turn("orders"))).unwrap();
        let (text, code) = replayed(&format!("{turn}\n\n{{\"turn\": 1}}\n"));
        insta::assert_snapshot!(text, @r"
        line 3: invalid type: integer `1`, expected struct variant Line::Turn, column 10
        1 turn skipped: no start line before tells the memory
        0 turns of 0 workloads: nothing to compare
        ");
        assert_eq!(code, ExitCode::from(2));
    }

    #[test]
    fn a_difference_is_shown_with_its_place() {
        let mut turn = samples::turn("orders");
        turn.decision.at = "2026-03-01T11:00:00Z".parse().unwrap();
        let lines = [Line::start(&turn), Line::turn(&turn)].map(|line| serde_json::to_string(&line).unwrap());
        let (text, code) = replayed(&lines.join("\n"));
        insta::assert_snapshot!(text, @r#"
        shop/orders: 1 of 1 turn differ
          first at 2026-03-01T12:00:00Z (line 2), in at:
            recorded "2026-03-01T11:00:00Z"
            now      "2026-03-01T12:00:00Z"
        1 turn of 1 workload: 0 decided as recorded, 1 not
        "#);
        assert_eq!(code, ExitCode::from(1));
    }
}
