//! The whole loop by an age objective: the load goes up and down in steps, real consumers follow.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::support::daemon::Daemon;
use crate::support::load::Load;
use crate::support::objects::{Image, policy};
use crate::support::probe::Probe;
use crate::support::replicas::ReplicaLog;
use crate::support::waiting::eventually;
use crate::support::world::Case;

const PARTITIONS: i32 = 12;
/// What one consumer processes in a second.
const CAPACITY: u32 = 200;
/// The objective.
const MAX_LAG: f64 = 20.0;
/// What the daemon, the consumers' start and the catching up may take after the step up.
const REACTION: Duration = Duration::from_secs(50);
/// Turns, of a second each, until the load's last step must have been followed.
const MOST_TURNS: usize = 480;
/// Replica counts that make a difference to 12 partitions.
const RUNGS: [i32; 6] = [1, 2, 3, 4, 6, 12];

/// 300, then 1200, then 200 records per second: no reversal, at most 2 moves up and 3 down, the objective
/// held except for the reaction time after the step up, the end within one rung of the ideal.
pub(super) async fn load_steps_up_and_down(case: Case) -> Result<()> {
    let (topic, group) = (case.name, case.name);
    let (home, bootstrap) = (case.home().await?, case.kafka().await?.bootstrap());
    case.kafka().await?.admin()?.create(topic, PARTITIONS).await?;
    let load = Load::start(&bootstrap, topic, PARTITIONS, 300)?;
    home.deploy("consumer", &Image::consumer(&bootstrap, group, &[topic], CAPACITY), 2).await?;
    let log = ReplicaLog::follow(&home, "consumer").await?;
    let probe = Probe::start(&bootstrap, group, topic, PARTITIONS)?;
    eventually("the consumers keep up", || async {
        Ok(probe.samples().last().filter(|sample| sample.age < 3.0).map(|_| ()))
    })
    .await?;
    let spec = json!({
        "mode": "Apply",
        "target": {"scaleTargetRef": {"kind": "Deployment", "name": "consumer"}},
        "sources": [{"kafkaLag": {"cluster": "main", "group": group, "topics": [topic]}}],
        "objective": {"maxLag": format!("{MAX_LAG}s"), "catchUp": "40s"},
        "minReplicas": 1, "maxReplicas": 12,
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 20}},
        "budget": {"changesPerHour": 12},
    });
    let daemon = case.daemon().await?;
    daemon.policies("closed-loop.yaml", &policy(Some(case.name), case.name, &spec))?;
    let begin = Instant::now();
    let started = log.sizes().len();

    sleep(Duration::from_secs(30)).await;
    let stepped = Instant::now();
    load.set(1200);
    sleep(Duration::from_secs(75)).await;
    let dropped = Instant::now();
    let high = home.replicas("consumer").await?;
    load.set(200);
    let low = settled(&daemon, case.name, 3).await?;
    let end = Instant::now();

    let moves = log.moves();
    let most = probe.samples().iter().map(|sample| sample.backlog).max().unwrap_or_default();
    let ups = moves.iter().filter(|(from, to)| to > from).count();
    let held = held_again(&probe, stepped)?;
    let replica_seconds = log.replica_seconds();
    case.figure(&format!("moves {moves:?}; {} records, at most {most} unprocessed", load.produced()));
    case.figure(&format!(
        "oldest unprocessed record: {:.1} s at 300/s, {:.1} s after the step to 1200/s \
         (under {MAX_LAG} s again {:.0} s after it), {:.1} s at 200/s",
        probe.worst(begin, stepped)?,
        probe.worst(stepped, dropped)?,
        held.as_secs_f64(),
        probe.worst(dropped, end)?,
    ));
    case.figure(&format!(
        "{replica_seconds:.0} replica-seconds in {:.0} s; always at the peak's size: {:.0}",
        (end - begin).as_secs_f64(),
        f64::from(high) * (end - begin).as_secs_f64(),
    ));
    ensure!(started == 1, "it moved before there was a policy");
    ensure!(log.reversals() <= 1, "it went back and forth: {moves:?}");
    ensure!(ups <= 2 && moves.len() - ups <= 3, "too many moves: {moves:?}");
    ensure!(within_one_rung(high, 1200)?, "at 1200/s it had {high}");
    ensure!(within_one_rung(low, 200)?, "at 200/s it ended with {low}");
    ensure!(probe.worst(begin, stepped)? < MAX_LAG, "the objective was missed at 300/s");
    ensure!(
        probe.worst(stepped + REACTION, dropped)? < MAX_LAG,
        "the objective was still missed {REACTION:?} after the step to 1200/s"
    );
    ensure!(probe.worst(dropped, end)? < MAX_LAG, "the objective was missed at 200/s");
    daemon.alive()
}

/// The size once the daemon has found nothing to do, and nothing to wait for at a size over `spare`, ten times running.
async fn settled(daemon: &Daemon, name: &str, spare: i32) -> Result<i32> {
    let mut quiet = 0;
    for _ in 0..MOST_TURNS {
        daemon.turns_pass(name, name, 0).await?;
        let workload = daemon.workload(name, name).await?;
        let at_rest = match workload.reasons.first().map(String::as_str) {
            Some("AtNeed" | "AtMinReplicas" | "ObjectiveHolds" | "WithinTolerance") => true,
            // The last replica too many may have to wait for minutes until its move pays.
            Some("NotPaidBack") => workload.current.is_some_and(|size| size <= spare),
            _ => false,
        };
        quiet = if at_rest { quiet + 1 } else { 0 };
        if quiet == 10 {
            return workload.current.context("the size is unknown");
        }
        sleep(Duration::from_secs(1)).await;
    }
    bail!("it did not settle within {MOST_TURNS} turns")
}

/// How long after `from` the objective was last missed.
fn held_again(probe: &Probe, from: Instant) -> Result<Duration> {
    let samples = probe.samples();
    ensure!(samples.iter().any(|sample| sample.at > from), "the probe saw nothing");
    let missed = samples.iter().rev().find(|sample| sample.at > from && sample.age >= MAX_LAG);
    Ok(missed.map_or(Duration::ZERO, |sample| sample.at - from))
}

/// Whether a size is the least that processes more than `rate`, or its neighbour on the ladder. A size
/// that just equals the rate never catches up.
fn within_one_rung(size: i32, rate: u32) -> Result<bool> {
    let enough = |rung: &&i32| rung.unsigned_abs() * CAPACITY > rate;
    let ideal = RUNGS.iter().position(|rung| enough(&rung)).context("no size is enough")?;
    let rung = RUNGS.iter().position(|rung| *rung == size);
    Ok(rung.is_some_and(|rung| rung.abs_diff(ideal) <= 1))
}
