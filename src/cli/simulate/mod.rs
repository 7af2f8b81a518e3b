//! `tidegate simulate`: what the engine would make of a trace, beside everybody else and beside the best
//! that anybody could have done.

mod html;
mod report;
pub(crate) mod svg;

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};

use self::report::Report;
use super::output;
use crate::fluid::course::{Course, STEP};
use crate::fluid::plant::{PRESETS, Plant};
use crate::fluid::run::default_rules;
use crate::fluid::trace::Trace;
use crate::policy::read::read_policies;
use crate::policy::{Objective, Policy, Rules, TimeSpan};
use crate::simulate::contest::Contest;
use crate::simulate::generate::generate;
use crate::simulate::plant_file::read_plant;
use crate::simulate::rivals::{RIVALS, Rival};

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
    /// A policy whose bounds, objective and damping Tidegate decides by; the first of the file
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Plays the trace so many times as fast
    #[arg(long, value_name = "TIMES", default_value_t = 1.0, value_parser = speed)]
    speed: f64,
    #[command(flatten)]
    show: Show,
}

/// What a trace is run on, against whom, and how the answer is written.
#[derive(Debug, clap::Args)]
pub(super) struct Show {
    /// What is scaled: consumer-eager, consumer-cooperative, flink, flink-in-place, flink-heavy, spark, or a
    /// YAML file of figures, of which `preset` names what it starts from (see `tidegate schema plant`)
    #[arg(long, value_name = "NAME|FILE", default_value = "consumer-eager")]
    plant: String,
    /// Changes a figure of the plant, such as `start_seconds=30` or `skew=0.8`; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// Names the chance; the same seed gives the same output
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The share of the trace that is for learning and tuning; what follows is judged
    #[arg(long, value_name = "SHARE", default_value_t = 0.5, value_parser = share)]
    judge_from: f64,
    /// Who else takes part: all, none, or names with commas
    #[arg(long, value_name = "NAMES", default_value = "all", value_parser = rivals)]
    rivals: Rivals,
    /// Only the headline: leave out what foresight would be worth, disturbances, and other weights
    #[arg(long)]
    quick: bool,
    /// Run everybody again under each disturbance and by other weights even where the trace is longer than
    /// ten days
    #[arg(long, conflicts_with = "quick")]
    full: bool,
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

/// Steps of a trace on which nobody waits for more than the headline, unless they ask for it: ten days.
const LONG: usize = 57_600;

#[derive(Debug, Clone)]
struct Rivals(Vec<Rival>);

/// Runs the trace, and writes the scorecard.
#[expect(clippy::needless_pass_by_value, reason = "commands own their arguments")]
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut trace = args.load()?;
    trace.step /= args.speed;
    let policy = args.policy.as_deref().map(read_policy).transpose()?;
    args.show.run(&trace, policy.map(|policy| policy.rules))
}

impl Show {
    /// Runs a trace, and writes the scorecard. A policy's bounds and objective hold for everybody.
    pub(super) fn run(&self, trace: &Trace, policy: Option<Rules>) -> anyhow::Result<ExitCode> {
        let mut plant = load_plant(&self.plant)?;
        for assignment in &self.set {
            plant.set(assignment)?;
        }
        if let Some(rules) = &policy {
            bounds(rules, &mut plant);
        }
        let course = Course::new(trace, &plant, self.seed)?;
        let rules = policy.unwrap_or_else(|| default_rules(&course));
        let again = self.full || (!self.quick && course.steps() <= LONG);
        let contest = Contest {
            course: &course,
            rules: &rules,
            seed: self.seed,
            judge_from: self.judge_from,
            rivals: &self.rivals.0,
            self_tuning: !self.quick || course.steps() <= LONG,
            foresight: !self.quick,
            recovery: true,
            robustness: again,
            weights: again,
            plots: self.format == Format::Html,
        };
        let outcome = contest.run(progress);
        progress_ends()?;
        let (report, plots) = Report::new(trace, &contest, outcome);
        output::print(&match self.format {
            Format::Table => report.table(),
            Format::Json => serde_json::to_string_pretty(&report)? + "\n",
            Format::Markdown => report.markdown(),
            Format::Html => html::page(&report, &plots),
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Args {
    fn load(&self) -> anyhow::Result<Trace> {
        match (&self.trace, &self.generate) {
            (Some(file), _) => {
                let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
                Ok(Trace::read(&file.display().to_string(), &text)?)
            }
            (None, Some(spec)) => Ok(generate(spec, self.length, self.show.seed)?),
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
    read_plant(name, &stem, &text).map_err(|problems| {
        anyhow::anyhow!(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    })
}

/// The first policy of a file.
pub(super) fn read_policy(file: &Path) -> anyhow::Result<Policy> {
    let name = file.display().to_string();
    let text = fs::read_to_string(file).with_context(|| name.clone())?;
    let interval = TimeSpan(std::time::Duration::from_secs_f64(STEP));
    let first =
        |home| read_policies(&name, &text, home, interval).into_iter().next().map(|parsed| parsed.result);
    // One without a namespace is as good: nothing is looked up in it.
    let parsed = match first(None) {
        Some(Err(problems)) => first(Some("default")).filter(Result::is_ok).or(Some(Err(problems))),
        parsed => parsed,
    };
    match parsed {
        Some(Ok(policy)) => Ok(policy),
        Some(Err(problems)) => {
            bail!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        }
        None => bail!("{name}: no policy in this file"),
    }
}

fn speed(text: &str) -> Result<f64, String> {
    let speed = text.parse::<f64>().ok().filter(|speed| (0.001..=1000.0).contains(speed));
    speed.ok_or_else(|| format!("`{text}` is no speed: expected 0.001 to 1000"))
}

/// The policy's bounds and objective are the plant's too: everybody is held to them.
fn bounds(rules: &Rules, plant: &mut Plant) {
    plant.min_replicas = rules.min_replicas.0;
    plant.max_replicas = rules.max_replicas.0;
    if let Objective::MaxLag { max_lag, .. } = rules.objective {
        plant.objective_seconds = max_lag.as_secs_f64();
    }
    if let Some(capacity) = rules.capacity_per_replica.filter(|_| plant.capacity <= 0.0) {
        plant.capacity = capacity;
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
