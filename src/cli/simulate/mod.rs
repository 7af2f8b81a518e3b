//! `tidegate simulate`: what the engine would make of a trace, beside everybody else and beside the best
//! that anybody could have done.

mod html;
mod report;

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};

use self::report::Report;
use super::output;
use crate::policy::read::read_policies;
use crate::policy::{Objective, Replicas, Rules, TimeSpan};
use crate::simulate::contest::Contest;
use crate::simulate::course::{Course, STEP};
use crate::simulate::generate::generate;
use crate::simulate::plant::{PRESETS, Plant};
use crate::simulate::race::default_rules;
use crate::simulate::rivals::{RIVALS, Rival};
use crate::simulate::trace::Trace;

/// Run a trace against simulated plants: Tidegate, the rules in use elsewhere, and the clairvoyant optimum
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A CSV file with the header `t_seconds,events_per_second` and a fixed step
    #[arg(long, value_name = "FILE", required_unless_present = "generate", conflicts_with = "generate")]
    trace: Option<PathBuf>,
    /// A load made up of shapes, such as `daily:mean=800+spike:height=2000,every=6h+noise:deviation=0.1`;
    /// an unknown shape is answered with all there are
    #[arg(long, value_name = "SPEC")]
    generate: Option<String>,
    /// How long the generated load lasts
    #[arg(long, value_name = "TIME", default_value = "2d", requires = "generate")]
    length: TimeSpan,
    /// What is scaled: consumer-eager, consumer-cooperative, flink, flink-in-place, flink-heavy, spark, or a
    /// file of NAME=VALUE lines, of which `preset=` names what it starts from
    #[arg(long, value_name = "NAME|FILE", default_value = "consumer-eager")]
    plant: String,
    /// Changes a figure of the plant, such as `start_seconds=30` or `skew=0.8`; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// A policy whose bounds, objective and damping Tidegate decides by; the first of the file
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Names the chance; the same seed gives the same output
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The share of the trace that is for learning and tuning; what follows is judged
    #[arg(long, value_name = "SHARE", default_value_t = 0.5, value_parser = share)]
    judge_from: f64,
    /// Who else takes part: all, none, or names with commas
    #[arg(long, value_name = "NAMES", default_value = "all", value_parser = rivals)]
    rivals: Rivals,
    /// Leave out what 5 minutes, 15 minutes and an hour of perfect foresight would be worth: on months of
    /// trace it takes most of the time
    #[arg(long)]
    no_foresight: bool,
    /// Run everybody again under capacity noise, skew, late, lost and stale metrics, slow starts, a narrow
    /// downstream and an outage
    #[arg(long)]
    robustness: bool,
    /// How to write the answer
    #[arg(long, short, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// How the scorecard is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Table,
    /// One object: trace, plant, seed, limit, policies
    Json,
    /// For pull requests and tickets
    Markdown,
    /// One page with plots
    Html,
}

#[derive(Debug, Clone)]
struct Rivals(Vec<Rival>);

/// Runs the trace, and writes the scorecard.
#[expect(clippy::needless_pass_by_value, reason = "commands own their arguments")]
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let trace = args.load()?;
    let mut plant = load_plant(&args.plant)?;
    for assignment in &args.set {
        plant.set(assignment)?;
    }
    let policy = args.policy.as_deref().map(read_rules).transpose()?;
    if let Some(rules) = &policy {
        bounds(rules, &mut plant);
    }
    let course = Course::new(&trace, &plant, args.seed)?;
    let rules = policy.unwrap_or_else(|| default_rules(&course));
    let contest = Contest {
        course: &course,
        rules: &rules,
        seed: args.seed,
        judge_from: args.judge_from,
        rivals: &args.rivals.0,
        foresight: !args.no_foresight,
        robustness: args.robustness,
        plots: args.format == Format::Html,
    };
    let outcome = contest.run(progress);
    progress_ends()?;
    let (report, plots) = Report::new(&trace, &contest, outcome);
    output::print(&match args.format {
        Format::Table => report.table(),
        Format::Json => serde_json::to_string_pretty(&report)? + "\n",
        Format::Markdown => report.markdown(),
        Format::Html => html::page(&report, &plots),
    })?;
    Ok(ExitCode::SUCCESS)
}

impl Args {
    fn load(&self) -> anyhow::Result<Trace> {
        match (&self.trace, &self.generate) {
            (Some(file), _) => {
                let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
                Ok(Trace::read(&file.display().to_string(), &text)?)
            }
            (None, Some(spec)) => Ok(generate(spec, self.length, self.seed)?),
            (None, None) => bail!("either --trace or --generate is needed"),
        }
    }
}

fn load_plant(name: &str) -> anyhow::Result<Plant> {
    if let Some(plant) = Plant::preset(name) {
        return Ok(plant);
    }
    let text = fs::read_to_string(name)
        .with_context(|| format!("`{name}` is neither a file nor one of {}", PRESETS.join(", ")))?;
    let stem = Path::new(name).file_stem().map_or(name.into(), |stem| stem.to_string_lossy());
    Plant::read(&stem, &text).with_context(|| name.to_owned())
}

fn read_rules(file: &Path) -> anyhow::Result<Rules> {
    let name = file.display().to_string();
    let text = fs::read_to_string(file).with_context(|| name.clone())?;
    let interval = TimeSpan(std::time::Duration::from_secs_f64(STEP));
    let parsed = read_policies(&name, &text, Some("default"), interval).into_iter().next();
    match parsed.map(|parsed| parsed.result) {
        Some(Ok(policy)) => Ok(policy.rules),
        Some(Err(problems)) => {
            bail!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        }
        None => bail!("{name}: no policy in this file"),
    }
}

/// The policy's bounds and objective are the plant's too: everybody is held to them.
fn bounds(rules: &Rules, plant: &mut Plant) {
    plant.min_replicas = rules.min_replicas.max(Replicas(1)).0;
    plant.max_replicas = rules.max_replicas.0;
    if let Objective::MaxLag { max_lag, .. } = rules.objective {
        plant.objective_seconds = max_lag.as_secs_f64();
    }
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| (0.0..1.0).contains(share));
    share.ok_or_else(|| format!("`{text}` is no share: expected 0 or more and below 1"))
}

fn rivals(text: &str) -> Result<Rivals, String> {
    let find = |name: &str| {
        let known = || RIVALS.map(|rival| rival.name).join(", ");
        let found = RIVALS.into_iter().find(|rival| rival.name == name);
        found.ok_or_else(|| format!("`{name}` is no rival: expected all, none, or some of {}", known()))
    };
    match text {
        "all" => Ok(Rivals(RIVALS.to_vec())),
        "none" => Ok(Rivals(Vec::new())),
        names => names.split(',').map(|name| find(name.trim())).collect::<Result<_, _>>().map(Rivals),
    }
}

/// One line on a terminal's standard error.
fn progress(done: usize, all: usize, name: &str) {
    let mut err = io::stderr().lock();
    if err.is_terminal() {
        // There is nowhere left to complain to.
        write!(err, "\r\x1b[K{done} of {all}: {name}").and_then(|()| err.flush()).ok();
    }
}

fn progress_ends() -> io::Result<()> {
    let mut err = io::stderr().lock();
    if err.is_terminal() { write!(err, "\r\x1b[K") } else { Ok(()) }
}
