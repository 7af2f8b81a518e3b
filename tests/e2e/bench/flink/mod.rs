//! `bench-flink`: Flink's own autoscaler and Tidegate on the same Flink, the same topic and the same loads, one after
//! the other. `docs/flink-bench.md` says how, and what came out.

mod arena;
mod contender;
mod record;
mod report;
mod watch;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::say;
use super::shape::Shape;
use super::store::Store;
use crate::support::place::Tools;
use arena::Arena;
use contender::{Contender, Peer};
use record::Record;

/// What to run.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these contenders (peer-default, peer-tight, tidegate) and loads (surge, sawtooth, hop), again even where
    /// they have been measured
    words: Vec<String>,
    /// Only a short load, without the peer's defaults: for a look
    #[arg(long)]
    quick: bool,
    /// Forget what was measured before; otherwise it is gone on with
    #[arg(long)]
    fresh: bool,
    /// Only write the report from what was measured before
    #[arg(long)]
    report: bool,
    /// Put the report into docs/flink-bench.md
    #[arg(long)]
    publish: bool,
}

/// Runs what is asked for and missing, then writes the report.
pub(crate) async fn run(args: &Args, tools: &Tools, temp: &Path) -> Result<()> {
    let known = |word: &String| contender_named(word).is_some() || shape_named(word).is_some();
    for word in &args.words {
        ensure!(known(word), "there is no contender and no load named {word}");
    }
    let peer = Peer::find(tools)?;
    if peer.is_none() {
        say("there is no PEER_JAR: Tidegate runs alone (docs/flink-bench.md says where the jar comes from)");
    }
    let store = Store::open("bench-flink", args.fresh)?;
    let left: Vec<_> = plan(args)
        .into_iter()
        .filter(|(contender, _)| *contender == Contender::Tidegate || peer.is_some())
        .filter(|(contender, shape)| {
            !args.report && (!args.words.is_empty() || kept(&store, *contender, *shape).is_none())
        })
        .collect();
    let (started, all, mut failed, mut arena) = (Instant::now(), left.len(), 0, None);
    for (number, (contender, shape)) in (1..).zip(left) {
        let (name, so_far) = (contender.name(), started.elapsed().as_secs());
        say(&format!("run {number} of {all}: {name} under the {} ({so_far} s so far)", shape.name()));
        let servers = match &mut arena {
            Some(servers) => servers,
            None => arena.insert(Arena::start(tools, temp, peer.clone()).await?),
        };
        match servers.heat(contender, shape).await {
            Ok(record) => {
                say(&report::line(&record));
                store.put(&key(contender, shape), &record)?;
            }
            Err(error) => {
                failed += 1;
                say(&format!("FAILED: {name} under the {}: {error:#}", shape.name()));
            }
        }
    }
    report::write(&store, tools, args.publish)?;
    ensure!(failed == 0, "{failed} runs failed; the same command runs them again");
    Ok(())
}

fn contender_named(name: &str) -> Option<Contender> {
    Contender::ALL.into_iter().find(|contender| contender.name() == name)
}

fn shape_named(name: &str) -> Option<Shape> {
    Shape::JOBS.into_iter().find(|shape| shape.name() == name)
}

/// Every contender under every load, as far as the words name them.
fn plan(args: &Args) -> Vec<(Contender, Shape)> {
    let named = |name: &str| args.words.iter().any(|word| word == name);
    let all_shapes = !Shape::JOBS.iter().any(|shape| named(shape.name()));
    let all_contenders = !Contender::ALL.iter().any(|contender| named(contender.name()));
    let shapes = Shape::JOBS.into_iter().filter(|shape| match (args.quick, all_shapes) {
        (true, _) => *shape == Shape::Hop,
        (false, true) => *shape != Shape::Hop,
        (false, false) => named(shape.name()),
    });
    let wanted = |contender: Contender| {
        if all_contenders {
            !args.quick || contender != Contender::PeerDefault
        } else {
            named(contender.name())
        }
    };
    shapes
        .flat_map(|shape| Contender::ALL.map(|contender| (contender, shape)))
        .filter(|(contender, _)| wanted(*contender))
        .collect()
}

/// Under which name a run is kept.
fn key(contender: Contender, shape: Shape) -> String {
    format!("{}-{}", contender.name(), shape.name())
}

/// A run under the load as it is now.
fn kept(store: &Store, contender: Contender, shape: Shape) -> Option<Record> {
    let record: Record = store.get(&key(contender, shape))?;
    let (length, lasted) =
        (Duration::from_secs(shape.seconds()), Duration::from_secs_f64(record.figures.seconds));
    (lasted.abs_diff(length) < Duration::from_secs(5)).then_some(record)
}
