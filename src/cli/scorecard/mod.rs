//! `tidegate scorecard`: every load on every plant against everybody, as the page that the project keeps.

mod page;
mod plots;

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread::available_parallelism;

use anyhow::{Context, bail};

use self::page::{Edition, Part};
use crate::fluid::plant::{PRESETS, Plant};
use crate::fluid::trace::Trace;
use crate::policy::TimeSpan;
use crate::simulate::generate::generate;
use crate::simulate::grid::{Cell, Grid, LOADS};
use crate::simulate::rivals::RIVALS;
use crate::simulate::validity::{Check, checks};

/// Records per second of one task manager in the measured runs: between their medians while lagging.
const MEASURED: f64 = 2750.0;
/// The trace that the measured runs were made with.
const MEASURED_TRACE: &str = "ads-clicks-3d";

/// Run every load on every plant against everybody, and write the page with the results
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A directory of CSV traces that are run as well
    #[arg(long, value_name = "DIR")]
    traces: Option<PathBuf>,
    /// The page; its plots go beside it
    #[arg(long, value_name = "FILE", default_value = "docs/scorecard.md")]
    output: PathBuf,
    /// What the page says of when it was made
    #[arg(long, value_name = "TEXT", default_value = "an unknown day")]
    date: String,
    /// What the page says of the code that made it
    #[arg(long, value_name = "HASH", default_value = "an unknown commit")]
    commit: String,
    /// Names the chance
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many cells are run at once; as many as there are processors, unless it is said
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Only the figures of the headline: neither foresight nor disturbances
    #[arg(long)]
    quick: bool,
}

/// Runs it all, and writes the page.
#[expect(clippy::needless_pass_by_value, reason = "commands own their arguments")]
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    // Minutes of work are not lost for want of a directory.
    if let Some(directory) = args.output.parent() {
        fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    }
    let plants: Vec<Plant> = PRESETS.into_iter().filter_map(Plant::preset).collect();
    let shipped = LOADS
        .into_iter()
        .map(|(name, spec, hours)| {
            let trace = generate(spec, TimeSpan::from_secs(hours * 3600), args.seed)?;
            Ok(Trace { name: name.to_owned(), ..trace })
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let traces = args.traces.as_deref().map(read).transpose()?.unwrap_or_default();
    let cells = args.grid("shipped loads", &shipped, &plants, !args.quick)?;
    let mut parts = vec![Part { name: "Loads that ship with the project", traces: &shipped, cells }];
    let mut measured = Vec::new();
    if !traces.is_empty() {
        let cells = args.grid("traces", &traces, &plants, false)?;
        parts.push(Part { name: "Recorded traces", traces: &traces, cells });
        measured = validity(&traces, args.seed)?;
    }
    let edition = Edition { date: &args.date, commit: &args.commit, seed: args.seed };
    let text = page::page(&edition, &plants, &parts, &measured);
    write(&args.output, &text)?;
    for (name, drawing) in plots::all(&shipped, &plants, &parts, args.seed)? {
        write(&args.output.with_file_name(name), &drawing)?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Args {
    fn grid(
        &self,
        name: &str,
        traces: &[Trace],
        plants: &[Plant],
        robust: bool,
    ) -> anyhow::Result<Vec<Cell>> {
        let threads = self.threads.or_else(|| available_parallelism().ok().map(Into::into));
        let grid = Grid {
            traces,
            plants,
            rivals: &RIVALS,
            seed: self.seed,
            judge_from: 0.5,
            robustness: robust,
            foresight: !self.quick,
            threads: threads.unwrap_or(1),
        };
        let cells = grid.run(|done, all| bar(name, done, all))?;
        if io::stderr().is_terminal() {
            writeln!(io::stderr())?;
        }
        Ok(cells)
    }
}

/// A bar on a terminal's standard error.
fn bar(name: &str, done: usize, all: usize) {
    const WIDTH: usize = 40;
    let mut err = io::stderr().lock();
    if err.is_terminal() {
        let full = WIDTH * done / all.max(1);
        let (full, rest) = ("#".repeat(full), "-".repeat(WIDTH - full));
        // There is nowhere left to complain to.
        write!(err, "\r\x1b[K[{full}{rest}] {done} of {all} {name}").and_then(|()| err.flush()).ok();
    }
}

/// Every CSV file of a directory, by name.
fn read(directory: &Path) -> anyhow::Result<Vec<Trace>> {
    let entries = fs::read_dir(directory).with_context(|| directory.display().to_string())?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<PathBuf>>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "csv"));
    files.sort();
    if files.is_empty() {
        bail!("{}: no CSV file in this directory", directory.display());
    }
    files
        .iter()
        .map(|file| {
            let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
            let name = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            Ok(Trace { name, ..Trace::read(&file.display().to_string(), &text)? })
        })
        .collect()
}

fn validity(traces: &[Trace], seed: u64) -> anyhow::Result<Vec<Check>> {
    let ads = traces.iter().find(|trace| trace.name == MEASURED_TRACE);
    Ok(ads.map(|ads| checks(ads, MEASURED, seed)).transpose()?.unwrap_or_default())
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(file, text).with_context(|| file.display().to_string())
}
