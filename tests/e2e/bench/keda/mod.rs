//! `bench-keda`: KEDA and Tidegate on the same Kafka, the same Deployment and the same loads, one after the
//! other. `docs/keda.md` says how, and what came out.

mod arena;
mod contender;
mod record;
mod report;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::say;
use super::shape::Shape;
use super::store::Store;
use crate::support::place::Tools;
use arena::Arena;
use contender::{Contender, Tuning};
use record::Record;

/// What to run.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these contenders (keda-default, keda-best, tidegate, both) and loads (step, sawtooth, noise),
    /// again even where they have been measured. `tune` tunes KEDA again
    words: Vec<String>,
    /// Only the step, with the tuning that is there, without KEDA's defaults: for a look
    #[arg(long)]
    quick: bool,
    /// Do not tune KEDA: take the tuning that is there, or what the last whole run found
    #[arg(long)]
    tuned: bool,
    /// Forget what was measured before; otherwise it is gone on with
    #[arg(long)]
    fresh: bool,
    /// Only write the report from what was measured before
    #[arg(long)]
    report: bool,
    /// Put the report into docs/keda.md
    #[arg(long)]
    publish: bool,
    /// Tell Tidegate a replica's records per second (`capacityPerReplica`), as people who know it do
    #[arg(long, value_name = "RECORDS")]
    hint: Option<u32>,
    /// How many seconds one second of the bench stands for
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=5))]
    compression: u64,
}

/// Found by the last whole run: what `--quick` and `--tuned` take where nothing has been tuned here.
const TUNED: Tuning =
    Tuning { lag_threshold: 1000, polling_interval: 30, behavior: contender::Behavior::Brisk };

/// KEDA as it comes: known to run at full size all the time.
const DEFAULTS: &str = "keda-default";
const CONTENDERS: [&str; 4] = [DEFAULTS, "keda-best", "tidegate", "both"];
const TUNE: &str = "tune";

fn contender(name: &str, tuned: Tuning) -> Contender {
    match name {
        DEFAULTS => Contender::Keda(Tuning::DEFAULT),
        "keda-best" => Contender::Keda(tuned),
        "tidegate" => Contender::Tidegate,
        _ => Contender::Both(tuned),
    }
}

/// Runs what is asked for and missing, then writes the report.
pub(crate) async fn run(args: &Args, tools: &Tools, temp: &Path) -> Result<()> {
    let known =
        |word: &String| word == TUNE || CONTENDERS.contains(&word.as_str()) || shape_named(word).is_some();
    for word in &args.words {
        ensure!(known(word), "there is no contender and no load named {word}");
    }
    let store = Store::open("bench-keda", args.fresh)?;
    let mut ring = Ring { tools, temp, compression: args.compression, hint: args.hint, arena: None };
    let (plan, started) = (plan(args), Instant::now());
    let again = args.words.iter().any(|word| word == TUNE);
    let wanted = plan.iter().any(|(name, _)| contender(name, TUNED) != contender(name, Tuning::DEFAULT));
    let tuned = match tried(&store).first().map(|(tuning, _)| *tuning) {
        Some(tuned) if !again => tuned,
        _ if !again && (args.quick || args.tuned || args.report || !wanted) => TUNED,
        _ => tune(&store, &mut ring).await?,
    };
    let mut left: Vec<_> = plan
        .into_iter()
        .filter(|(name, shape)| {
            let asked = args.words.iter().any(|word| word != TUNE);
            !args.report && (asked || !measured(&store, name, *shape, contender(name, tuned), args))
        })
        .collect();
    left.reverse();
    let (mut done, all, mut failed) = (0, left.len(), 0);
    while let Some((name, shape)) = left.pop() {
        done += 1;
        say(&format!(
            "run {done} of {all}: {name} under the {} ({} s so far)",
            shape.name(),
            started.elapsed().as_secs()
        ));
        let entry = [(name.to_owned(), contender(name, tuned))];
        match ring.arena().await?.heat(&entry, shape).await {
            Ok(records) => {
                let record = records.into_iter().next().context("a heat without a record")?;
                say(&report::line(name, &record));
                store.put(&key(name, shape), &record)?;
            }
            Err(error) => {
                failed += 1;
                say(&format!("FAILED: {name} under the {}: {error:#}", shape.name()));
            }
        }
    }
    report::write(&store, tools, tuned, args.publish)?;
    ensure!(failed == 0, "{failed} runs failed; the same command runs them again");
    Ok(())
}

fn shape_named(name: &str) -> Option<Shape> {
    Shape::CONSUMERS.into_iter().find(|shape| shape.name() == name)
}

/// Every contender under every load, as far as the words name them.
fn plan(args: &Args) -> Vec<(&'static str, Shape)> {
    let named = |name: &str| args.words.iter().any(|word| word == name);
    let all_shapes = !args.words.iter().any(|word| shape_named(word).is_some());
    let all_contenders = !CONTENDERS.iter().any(|name| named(name));
    let only_tune = all_shapes && all_contenders && named(TUNE);
    let shapes = Shape::CONSUMERS
        .into_iter()
        .filter(|shape| if args.quick { *shape == Shape::Step } else { all_shapes || named(shape.name()) });
    let pairs = shapes.flat_map(|shape| CONTENDERS.map(|name| (name, shape)));
    let wanted = |name: &str| if all_contenders { !args.quick || name != DEFAULTS } else { named(name) };
    pairs.filter(|(name, _)| !only_tune && wanted(name)).collect()
}

/// Tries the grid on a load that nobody is judged by; the settings with the least cost.
async fn tune(store: &Store, ring: &mut Ring<'_>) -> Result<Tuning> {
    let mut tried: Vec<(Tuning, Record)> = Vec::new();
    let grid = Tuning::grid();
    let batches = grid.len();
    for (batch, tunings) in (1..).zip(grid) {
        say(&format!("tuning KEDA, batch {batch} of {batches}: {} settings side by side", tunings.len()));
        let entries: Vec<_> = (0..)
            .zip(&tunings)
            .map(|(place, tuning)| (format!("tune-{batch}-{place}"), Contender::Keda(*tuning)))
            .collect();
        let records = ring.arena().await?.heat(&entries, Shape::Waves).await?;
        for (tuning, record) in tunings.into_iter().zip(records) {
            say(&report::line(&tuning.words(), &record));
            tried.push((tuning, record));
        }
    }
    tried.sort_by(|(_, a), (_, b)| a.figures.cost(a.compression).total_cmp(&b.figures.cost(b.compression)));
    let best = tried.first().context("an empty grid")?.0;
    say(&format!("KEDA at its best: {}", best.words()));
    store.put("tuning", &tried)?;
    Ok(best)
}

/// The servers, started when first needed.
struct Ring<'a> {
    tools: &'a Tools,
    temp: &'a Path,
    compression: u64,
    hint: Option<u32>,
    arena: Option<Arena>,
}

impl Ring<'_> {
    async fn arena(&mut self) -> Result<&Arena> {
        if self.arena.is_none() {
            self.arena = Some(Arena::start(self.tools, self.temp, self.compression, self.hint).await?);
        }
        self.arena.as_ref().context("no servers")
    }
}

/// Under which name a run is kept.
fn key(name: &str, shape: Shape) -> String {
    format!("{name}-{}", shape.name())
}

/// A run under the load as it is now.
fn kept(store: &Store, name: &str, shape: Shape) -> Option<Record> {
    let record: Record = store.get(&key(name, shape))?;
    let length = Duration::from_secs(shape.seconds() / record.compression.max(1));
    let lasted = Duration::from_secs_f64(record.figures.seconds);
    (lasted.abs_diff(length) < Duration::from_secs(5)).then_some(record)
}

fn measured(store: &Store, name: &str, shape: Shape, contender: Contender, args: &Args) -> bool {
    kept(store, name, shape).is_some_and(|record| {
        let told = record.hint == args.hint || matches!(contender, Contender::Keda(_));
        told && record.contender == contender && record.compression == args.compression
    })
}

/// Every setting that was tried, the best first.
fn tried(store: &Store) -> Vec<(Tuning, Record)> {
    store.get("tuning").unwrap_or_default()
}
