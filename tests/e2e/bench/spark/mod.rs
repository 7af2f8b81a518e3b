//! `bench-spark`: Spark's own dynamic allocation and Tidegate on the same standalone cluster and under the same loads,
//! one after the other. `docs/spark-bench.md` says how, and what came out.

mod arena;
mod contender;
mod course;
mod record;
mod report;
mod witness;

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, ensure};

use super::say;
use super::store::Store;
use crate::support::place::Tools;
use arena::Arena;
use contender::Contender;
use course::Course;
use record::Record;

/// What to run.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these contenders (stock, tidegate, untold) and loads (light, bursts, sawtooth), again even where they have been
    /// measured
    words: Vec<String>,
    /// Two minutes of the light load and of the bursts: for a look. Nothing of it is kept
    #[arg(long)]
    quick: bool,
    /// Forget what was measured before; otherwise it is gone on with
    #[arg(long)]
    fresh: bool,
    /// Only write the report from what was measured before
    #[arg(long)]
    report: bool,
    /// Put the report into docs/spark-bench.md
    #[arg(long)]
    publish: bool,
}

/// Seconds of a course in a quick bench.
const QUICK: u64 = 120;

/// Runs what is asked for and missing, then writes the report.
pub(crate) async fn run(args: &Args, tools: &Tools, temp: &Path) -> Result<()> {
    for word in &args.words {
        let known = Contender::ALL.iter().any(|one| one.name() == word)
            || Course::ALL.iter().any(|one| one.name() == word);
        ensure!(known, "there is no contender and no load named {word}");
    }
    ensure!(!(args.quick && args.publish), "a look is not published");
    let store =
        Store::open(if args.quick { "bench-spark-quick" } else { "bench-spark" }, args.fresh || args.quick)?;
    let plan: Vec<_> = plan(args)
        .into_iter()
        .filter(|(contender, course)| {
            !args.report && (!args.words.is_empty() || kept(&store, *contender, *course).is_none())
        })
        .collect();
    let (started, all, mut arena, mut failed) = (Instant::now(), plan.len(), None, 0);
    for (number, (contender, course)) in (1..).zip(plan) {
        let seconds = if args.quick { QUICK } else { course.seconds() };
        say(&format!(
            "run {number} of {all}: {} on {} for {seconds} s ({} s so far)",
            contender.name(),
            course.name(),
            started.elapsed().as_secs()
        ));
        if arena.is_none() {
            arena = Some(Arena::start(tools, temp).await?);
        }
        let Some(arena) = &arena else { continue };
        match arena.heat(contender, course, seconds).await {
            Ok(record) => {
                say(&report::line(&record));
                store.put(&key(contender, course), &record)?;
            }
            Err(error) => {
                failed += 1;
                say(&format!("FAILED: {} on {}: {error:#}", contender.name(), course.name()));
            }
        }
    }
    report::write(&store, tools, args.publish)?;
    ensure!(failed == 0, "{failed} runs failed; the same command runs them again");
    Ok(())
}

/// Every contender on every course, as far as the words name them.
fn plan(args: &Args) -> Vec<(Contender, Course)> {
    let named = |name: &str| args.words.iter().any(|word| word == name);
    let any_contender = !Contender::ALL.iter().any(|one| named(one.name()));
    let any_course = !Course::ALL.iter().any(|one| named(one.name()));
    let courses = Course::ALL.into_iter().filter(|course| {
        (any_course || named(course.name())) && (!args.quick || *course != Course::Sawtooth)
    });
    courses
        .flat_map(|course| Contender::ALL.map(|contender| (contender, course)))
        .filter(|(contender, course)| {
            // Unless it is asked for, what is not told is seen where its executors are never short of time.
            named(contender.name())
                || any_contender && (*contender != Contender::Untold || *course == Course::Light)
        })
        .collect()
}

fn key(contender: Contender, course: Course) -> String {
    format!("{}-{}", contender.name(), course.name())
}

/// What was measured of the course as it is now.
fn kept(store: &Store, contender: Contender, course: Course) -> Option<Record> {
    store.get(&key(contender, course))
}
