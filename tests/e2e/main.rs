//! The end-to-end suite: the daemon's own binary against a real Kafka, a real Kubernetes control plane and
//! a real Prometheus, with a real consumer process behind every Pod, and against real Flink clusters.
//!
//! `make e2e` installs the servers and starts it; `cargo test --test e2e -- NAME...` runs the scenarios
//! whose names contain one of the given words. Each scenario has a namespace, topics and groups of its own
//! and runs beside others; those that break servers start their own.

#![expect(clippy::disallowed_methods, reason = "the suite and its servers live in real time")]

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
const LIMIT: Duration = Duration::from_secs(15 * 60);

#[derive(Debug, Parser)]
struct Args {
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
            args.words.is_empty() || args.words.iter().any(|word| scenario.name.contains(word))
        })
        .collect();
    if args.list {
        for scenario in &chosen {
            println!("{}", scenario.name);
        }
        return ExitCode::SUCCESS;
    }
    match run(&args, chosen) {
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
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| anyhow!("a TLS provider is installed already"))?;
    let mut temp = tempfile::Builder::new().prefix("tidegate-e2e-").tempdir()?;
    let world = Arc::new(World::new(Tools::find()?, temp.path().to_owned()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build()?;
    let started = Instant::now();
    let outcome = runtime.block_on(async {
        let (mut interrupted, mut terminated) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        tokio::select! {
            counts = all(&world, chosen, args.jobs) => Ok(counts),
            _ = interrupted.recv() => Err(anyhow!("interrupted")),
            _ = terminated.recv() => Err(anyhow!("terminated")),
        }
    });
    // Every process goes with its owner: first the tasks, then the shared servers.
    runtime.shutdown_timeout(Duration::from_secs(10));
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
