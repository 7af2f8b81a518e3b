//! The end-to-end suite: the daemon's own binary against a real Kafka, a real Kubernetes control plane and
//! a real Prometheus, with a real consumer process behind every Pod, and against real Flink clusters.
//!
//! `make e2e` installs the servers and starts it; `cargo test --test e2e -- NAME...` runs the scenarios
//! whose names contain one of the given words. Each scenario has a namespace, topics and groups of its own
//! and runs beside others; those that break servers start their own. Scenarios beside the real KEDA are
//! skipped unless it is installed (`make e2e-keda`). `make bench-keda` and
//! `make bench-spark` run a bench instead.

#![expect(clippy::disallowed_methods, reason = "the suite and its servers live in real time")]

mod bench;
mod scenarios;
mod support;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use scenarios::Scenario;
use support::place::Tools;
use support::process::tail;
use support::world::{Case, World};

/// A scenario that takes longer has hung.
const LIMIT: Duration = Duration::from_mins(15);

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// KEDA and Tidegate side by side, measured
    BenchKeda(bench::keda::Args),
    /// Spark's dynamic allocation and Tidegate side by side, measured
    BenchSpark(bench::spark::Args),
}

#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Run only scenarios whose names contain one of these words.
    words: Vec<String>,
    /// List the scenarios.
    #[arg(long)]
    list: bool,
    /// How much load to put on this machine at once; a scenario counts 1 to 4.
    #[arg(long, default_value_t = 6)]
    jobs: u32,
    /// Keep logs and data even when everything passes.
    #[arg(long)]
    keep: bool,
}

#[expect(clippy::print_stdout, reason = "this is the suite's report")]
fn main() -> ExitCode {
    let args = Args::parse();
    let chosen: Vec<Scenario> = scenarios::ALL
        .into_iter()
        .filter(|scenario| {
            // Beside KEDA only by name: it takes minutes to build.
            (args.words.is_empty() && !scenario.by_name)
                || args.words.iter().any(|word| scenario.name.contains(word))
        })
        .collect();
    if args.list {
        for scenario in &chosen {
            println!("{}", scenario.name);
        }
        return ExitCode::SUCCESS;
    }
    let failed = match &args.command {
        None => run(&args, chosen),
        Some(command) => measure(command, args.keep).map(|()| 0),
    };
    match failed {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            println!("e2e: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the scenarios; the number that failed.
#[expect(clippy::print_stdout, reason = "this is the suite's report")]
fn run(args: &Args, chosen: Vec<Scenario>) -> Result<usize> {
    let mut temp = tempfile::Builder::new().prefix("tidegate-e2e-").tempdir()?;
    let tools = Tools::find()?;
    let chosen = installed(chosen, &tools);
    let world = Arc::new(World::new(tools, temp.path().to_owned()));
    let started = Instant::now();
    let outcome = to_the_end(async { Ok(all(&world, chosen, args.jobs).await) });
    // Every process goes with its owner: first the tasks, then the shared servers.
    drop(world);
    let (passed, failed) = outcome?;
    if failed > 0 || args.keep {
        temp.disable_cleanup(true);
        println!("logs and data: {}", temp.path().display());
    }
    println!("e2e took {} s", started.elapsed().as_secs());
    println!("e2e: {passed} passed, {failed} failed");
    Ok(failed)
}

/// Without those that need what is not there.
#[expect(clippy::print_stdout, reason = "this is the suite's report")]
fn installed(chosen: Vec<Scenario>, tools: &Tools) -> Vec<Scenario> {
    let (can, cannot): (Vec<_>, Vec<_>) =
        chosen.into_iter().partition(|scenario| !scenario.needs_keda || tools.has_keda());
    for scenario in cannot {
        println!("skipped {} (make e2e-keda installs KEDA and runs it)", scenario.name);
    }
    can
}

/// Runs the bench.
#[expect(clippy::print_stdout, reason = "this is the bench's report")]
fn measure(command: &Command, keep: bool) -> Result<()> {
    let mut temp = tempfile::Builder::new().prefix("tidegate-e2e-").tempdir()?;
    let tools = Tools::find()?;
    let outcome = to_the_end(async {
        match command {
            Command::BenchKeda(args) => bench::keda::run(args, &tools, temp.path()).await,
            Command::BenchSpark(args) => bench::spark::run(args, &tools, temp.path()).await,
        }
    });
    if outcome.is_err() || keep {
        temp.disable_cleanup(true);
        println!("logs and data: {}", temp.path().display());
    }
    outcome
}

/// Runs `work` on a runtime of its own, until it ends or somebody asks to stop.
fn to_the_end<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| anyhow!("a TLS provider is installed already"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build()?;
    let outcome = runtime.block_on(async {
        let (mut interrupted, mut terminated) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        tokio::select! {
            outcome = work => outcome,
            _ = interrupted.recv() => Err(anyhow!("interrupted")),
            _ = terminated.recv() => Err(anyhow!("terminated")),
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(10));
    outcome
}

/// Runs scenarios side by side, as many as `jobs` allows; how many passed and failed.
async fn all(world: &Arc<World>, chosen: Vec<Scenario>, jobs: u32) -> (usize, usize) {
    let (room, mut running) = (Arc::new(Semaphore::new(jobs as usize)), JoinSet::new());
    for scenario in chosen {
        // Waiting here keeps the order: the longest come first.
        let share = Arc::clone(&room).acquire_many_owned(scenario.weight.min(jobs)).await;
        let world = Arc::clone(world);
        running.spawn(async move {
            let passed = one(&world, scenario).await;
            drop(share);
            passed
        });
    }
    let results = running.join_all().await;
    let passed = results.iter().filter(|passed| **passed).count();
    (passed, results.len() - passed)
}

#[expect(clippy::print_stdout, reason = "this is the suite's report")]
async fn one(world: &Arc<World>, scenario: Scenario) -> bool {
    let started = Instant::now();
    let result = guarded(world, scenario).await;
    let seconds = started.elapsed().as_secs();
    match result {
        Ok(()) => {
            println!("ok      {} ({seconds} s)", scenario.name);
            true
        }
        Err((error, logs)) => {
            println!("FAILED  {} ({seconds} s): {error:#}\n{logs}", scenario.name);
            false
        }
    }
}

async fn guarded(world: &Arc<World>, scenario: Scenario) -> Result<(), (anyhow::Error, String)> {
    let case = Case::new(world, scenario.name).map_err(|error| (error, String::new()))?;
    let logs = case.path("daemon/tidegate.log");
    // A task of its own, so that a panic ends this scenario only.
    let task = tokio::spawn(tokio::time::timeout(LIMIT, (scenario.run)(case)));
    let result = match task.await.context("it panicked") {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(anyhow!("it hung")),
        Err(error) => Err(error),
    };
    result.map_err(|error| (error, tail(&logs, 30)))
}
