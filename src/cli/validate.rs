//! `tidegate validate`: every problem of policies and settings, before a cluster sees them.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use serde::Serialize;

use super::output;
use crate::daemon::reload::files::is_document;
use crate::policy::TimeSpan;
use crate::policy::admit::{Admission, Candidate, Origin, admit};
use crate::policy::problem::Problem;
use crate::policy::read::{documents, read_settings};
use crate::policy::settings::Settings;

/// Check policies and settings: all errors at once, with line, column and cure.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code: 0 all is well, 1 problems found or wrong usage, 2 something could not\nbe read."
)]
pub struct Args {
    /// Files, directories (their .yaml, .yml and .json files, not those of sub-directories), or - for
    /// standard input.
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
    /// Settings to check the policies against: connections, and two policies on one target.
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Namespace of the ConfigMap that the policies are meant for: they may then leave it out.
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    /// How to report.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// How to report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

/// A text and what to call it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Its file name, or `-`.
    pub file: String,
    /// What it says.
    pub text: String,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Files read.
    pub files: usize,
    /// Policy documents among them, good or bad.
    pub policies: usize,
    /// Settings documents among them, good or bad.
    pub settings: usize,
    /// All that is wrong.
    pub problems: Vec<Problem>,
    /// What could not be read.
    pub unreadable: Vec<String>,
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { paths, settings, namespace, format } = args;
    let (mut inputs, mut unreadable) = (Vec::new(), Vec::new());
    for path in &paths {
        if let Err(error) = gather(path, &mut inputs) {
            unreadable.push(format!("{error:#}"));
        }
    }
    let mut context = None;
    if let Some(path) = &settings {
        match read(path) {
            Ok(input) => context = Some(input),
            Err(error) => unreadable.push(format!("{error:#}")),
        }
    }
    let report = Report { unreadable, ..check(&inputs, context.as_ref(), namespace.as_deref()) };
    let stdout = io::stdout();
    let colours = stdout.is_terminal() && output::colour();
    let mut out = stdout.lock();
    let written = match format {
        Format::Text => write_text(&report, colours, &mut out),
        Format::Json => serde_json::to_string_pretty(&report)
            .map_err(io::Error::from)
            .and_then(|json| writeln!(out, "{json}")),
    };
    match written {
        // A reader such as `head` that has seen enough is no failure.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        Ok(()) | Err(_) => Ok(ExitCode::from(report.exit_code())),
    }
}

impl Report {
    /// The command's exit code.
    pub fn exit_code(&self) -> u8 {
        match (self.unreadable.is_empty(), self.problems.is_empty()) {
            (false, _) => 2,
            (true, false) => 1,
            (true, true) => 0,
        }
    }
}

/// Checks texts by themselves and, given settings, against those and each other. `namespace` is that of
/// the ConfigMap that they are meant for.
pub fn check(inputs: &[Input], settings: Option<&Input>, namespace: Option<&str>) -> Report {
    let mut report = Report { files: inputs.len(), ..Report::default() };
    let settings = settings.and_then(|Input { file, text }| match read_settings(file, text) {
        Ok(settings) => Some(settings),
        Err(problems) => {
            report.problems.extend(problems);
            None
        }
    });
    let interval = settings.as_ref().map_or(TimeSpan::from_secs(15), |settings| settings.interval);
    let mut candidates = Vec::new();
    for Input { file, text } in inputs {
        for document in documents(file, text) {
            if document.is_settings() {
                report.settings += 1;
                report.problems.extend(document.settings().err().into_iter().flatten());
            } else {
                report.policies += 1;
                let origin = Origin::File { path: file.clone() };
                candidates.push(Candidate { origin, parsed: document.into_policy(namespace, interval) });
            }
        }
    }
    if report.settings + report.policies == 0 {
        report.problems.extend(inputs.first().map(|input| Problem::whole(&input.file, "no document found")));
    }
    report.problems.extend(problems_of(&candidates, settings.as_ref()));
    report.problems.sort();
    report.problems.dedup();
    report
}

fn problems_of(candidates: &[Candidate], settings: Option<&Settings>) -> Vec<Problem> {
    match settings {
        Some(settings) => {
            let admission = admit(candidates, settings, &Admission::default());
            admission.rejections.into_iter().flat_map(|rejection| rejection.problems).collect()
        }
        None => candidates
            .iter()
            .filter_map(|each| each.parsed.result.as_ref().err())
            .flatten()
            .cloned()
            .collect(),
    }
}

/// Reads a file, a directory's files or standard input.
pub(super) fn gather(path: &Path, inputs: &mut Vec<Input>) -> anyhow::Result<()> {
    if !path.is_dir() {
        inputs.push(read(path)?);
        return Ok(());
    }
    let before = inputs.len();
    let named = |path: &Path| path.display().to_string();
    let entries = path.read_dir().with_context(|| named(path))?.collect::<Result<Vec<_>, _>>()?;
    let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    files.sort();
    for file in files.iter().filter(|file| is_document(file) && file.is_file()) {
        inputs.push(read(file)?);
    }
    anyhow::ensure!(inputs.len() > before, "{}: no .yaml, .yml or .json file in this directory", named(path));
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<Input> {
    let file = path.display().to_string();
    let text = if file == "-" {
        let mut text = String::new();
        io::stdin().lock().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    let text = text.with_context(|| file.clone())?;
    Ok(Input { file, text })
}

/// Writes the report for people.
pub fn write_text(report: &Report, colours: bool, out: &mut impl Write) -> io::Result<()> {
    for problem in &report.problems {
        writeln!(out, "{}\n", painted(&problem.to_string(), colours))?;
    }
    for problem in &report.unreadable {
        writeln!(out, "cannot read {problem}")?;
    }
    let Report { files, policies, settings, problems, unreadable } = report;
    let bad: BTreeSet<&str> = problems.iter().map(|problem| problem.file.as_str()).collect();
    write!(out, "{}, {}, {settings} settings: ", count(*files, "file"), count(*policies, "policy"))?;
    match problems.len() {
        0 => write!(out, "no problems")?,
        found => write!(out, "{} in {}", count(found, "problem"), count(bad.len(), "file"))?,
    }
    match unreadable.len() {
        0 => writeln!(out),
        number => writeln!(out, "; {number} could not be read"),
    }
}

fn count(number: usize, noun: &str) -> String {
    match (number, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) => format!("{number} {stem}ies"),
        (_, None) => format!("{number} {noun}s"),
    }
}

/// The headline bold, the carets red, the cures green.
fn painted(problem: &str, colours: bool) -> String {
    if !colours {
        return problem.to_owned();
    }
    let paint = |(index, line): (usize, &str)| match line.trim_start() {
        _ if index == 0 => format!("\x1b[1m{line}\x1b[0m"),
        rest if rest.starts_with('|') => format!("\x1b[31m{line}\x1b[0m"),
        rest if rest.starts_with('=') => format!("\x1b[32m{line}\x1b[0m"),
        _ => line.to_owned(),
    };
    problem.lines().enumerate().map(paint).collect::<Vec<_>>().join("\n")
}
