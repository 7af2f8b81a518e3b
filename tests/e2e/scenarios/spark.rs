//! A Structured Streaming query on a standalone cluster whose workers are a Deployment.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::patiently;
use crate::support::cluster::User;
use crate::support::daemon::{Daemon, at};
use crate::support::load::Load;
use crate::support::objects::{policy, with};
use crate::support::replicas::ReplicaLog;
use crate::support::spark::{Driver, Line, Master, Query};
use crate::support::waiting::{becomes, eventually};
use crate::support::world::Case;

const PARTITIONS: i32 = 4;
/// Milliseconds of a core per record: one worker processes fewer than 50 a second.
const COST: u32 = 20;
/// Records per second that one worker is enough for, and that take all four.
const LOW: u64 = 15;
const HIGH: u64 = 90;
/// Turns that would be enough for a move down, were there no reason to hold.
const TEMPTED: usize = 20;

/// The load goes up: a dry run recommends more workers and writes nothing; a live one adds them, their
/// executors join, and the backlog is cleared. The load goes down while the driver is gone, and then while
/// something else answers in its place: no worker leaves. The driver is back: they leave, decommissioned through the
/// cluster's master, for nothing else drains them. Every record was processed once.
pub(super) async fn workers_follow_a_streaming_query(case: Case) -> Result<()> {
    follow(case, Line::Four).await
}

/// The same with Spark 3.5, and workers that drain themselves before their Pods are stopped.
pub(super) async fn on_the_older_line(case: Case) -> Result<()> {
    let installed = case.tools().spark(Line::Three);
    ensure!(installed.exists(), "{} is missing: run tests/e2e/install.sh spark-3.5", installed.display());
    follow(case, Line::Three).await
}

async fn follow(case: Case, line: Line) -> Result<()> {
    let (name, home, dir) = (case.name, case.home().await?, case.path("spark"));
    let (master, kafka) = tokio::try_join!(Master::start(case.tools(), line, &dir), case.kafka())?;
    kafka.admin()?.create(name, PARTITIONS).await?;
    let load = Load::start(&kafka.bootstrap(), name, PARTITIONS, LOW)?;
    let by_master = line == Line::Four;
    let worker = if by_master { master.worker_of_its_own() } else { master.worker() };
    home.deploy("workers", &worker, 1).await?;
    let log = ReplicaLog::follow(&home, "workers").await?;
    let query = Query::new(name, &kafka.bootstrap(), COST, 1500);
    let mut driver = Driver::start(case.tools(), &dir, &master, &query).await?;
    eventually("the query has committed a batch", || async { Ok(driver.committed().then_some(())) }).await?;
    let mut setup = case.setup().await?;
    let further = if by_master { json!({"master": master.web()}) } else { json!({}) };
    let connection = with(&driver.connection(), &further);
    setup.connections = with(&setup.connections, &json!({"spark": {"app": connection}}));
    let daemon = Daemon::start(setup).await?;
    let decide = |mode: &str| daemon.policies("spark.yaml", &policy(Some(name), name, &spec(name, mode)));

    decide("Recommend")?;
    keeps_up(&daemon, name).await?;
    let raised = Instant::now();
    load.set(HIGH);
    eventually("more workers are recommended", || async {
        Ok(daemon.workload(name, name).await?.desired.filter(|desired| *desired > 1))
    })
    .await?;
    ensure!(writes(&case).await? == 0 && log.moves().is_empty(), "a recommendation wrote something");

    decide("Apply")?;
    becomes("workers", PARTITIONS, || home.replicas("workers")).await?;
    home.has("workers", PARTITIONS).await?;
    patiently(|| becomes("executors", 4, || driver.executors())).await?;
    let joined = raised.elapsed();
    keeps_up(&daemon, name).await?;
    case.figure(&format!(
        "from {LOW}/s to {HIGH}/s: four executors after {:.0} s, the backlog cleared after {:.0} s; moves {:?}",
        joined.as_secs_f64(),
        raised.elapsed().as_secs_f64(),
        log.moves()
    ));

    load.set(LOW);
    driver.kill();
    gone(&case, &daemon, "cannot be reached").await?;
    let stranger = stranger(driver.port()).await?;
    gone(&case, &daemon, "answers HTML instead of JSON").await?;
    daemon.turns_pass(name, name, TEMPTED).await?;
    ensure!(log.moves().iter().all(|(from, to)| to > from), "moved while blind: {:?}", log.moves());
    stranger.abort();
    let (Ok(()) | Err(_)) = stranger.await;

    driver.launch().await?;
    patiently(|| becomes("workers", 1, || home.replicas("workers"))).await?;
    home.has("workers", 1).await?;
    becomes("executors", 1, || driver.executors()).await?;
    load.set(0);
    let produced = load.produced();
    patiently(|| becomes("records processed", produced, || async { Ok(driver.counts()?.records()) })).await?;
    let counts = driver.counts()?;
    counts.exact()?;
    let all = driver.executors_ever().await?;
    let gone: Vec<_> = all.iter().filter(|one| *at(one, "/isActive") == json!(false)).collect();
    ensure!(gone.iter().all(|one| *at(one, "/failedTasks") == json!(0)), "tasks were lost: {gone:#?}");
    let reasons: Vec<_> = gone.iter().map(|one| at(one, "/removeReason").to_string()).collect();
    ensure!(reasons.iter().all(|why| why.contains("ecommission")), "left otherwise: {reasons:?}");
    case.figure(&format!(
        "{produced} records in {} batches, each processed once; {} executors left, drained; moves {:?}",
        counts.batches(),
        gone.len(),
        log.moves()
    ));
    daemon.alive()?;
    daemon.replays().await
}

fn spec(name: &str, mode: &str) -> Value {
    json!({
        "mode": mode,
        "target": {"scaleTargetRef": {"kind": "Deployment", "name": "workers"}},
        "sources": [{"spark": {
            "app": "app", "cluster": "main", "topics": [name], "checkpoint": name, "query": name,
        }}],
        "objective": {"maxLag": "30s", "catchUp": "60s"},
        // What a move is measured to cost on a busy machine would take minutes to be paid back.
        "knobs": {"rescaleCost": "1m"},
        "minReplicas": 1, "maxReplicas": 4,
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 8}},
    })
}

/// Waits until what waits is no more than a few seconds' worth.
async fn keeps_up(daemon: &Daemon, name: &str) -> Result<()> {
    let path = format!("/api/v1/workloads/{name}/{name}");
    patiently(|| {
        eventually("the query keeps up", || async {
            let workload = daemon.json(&path).await?;
            let seen = at(&workload, "/backlog").as_u64().context("no backlog is known")?;
            ensure!(seen < 12 * HIGH, "{workload:#}");
            Ok(Some(()))
        })
    })
    .await
}

/// Waits until the daemon holds, and says why.
async fn gone(case: &Case, daemon: &Daemon, why: &str) -> Result<()> {
    eventually(&format!("it says that the driver {why}"), || async {
        let workload = daemon.workload(case.name, case.name).await?;
        ensure!(workload.sentence.contains(why), "{workload:?}");
        ensure!(workload.desired == workload.current, "{workload:?}");
        Ok(Some(()))
    })
    .await
}

/// A web server that knows nothing of Spark.
async fn stranger(port: u16) -> Result<JoinHandle<()>> {
    let listener = eventually("the driver's port is free", || async {
        Ok(Some(TcpListener::bind(("127.0.0.1", port)).await?))
    })
    .await?;
    Ok(tokio::spawn(async move {
        const PAGE: &str = "<html>A page.</html>";
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{PAGE}",
                PAGE.len()
            );
            let (Ok(_) | Err(_)) = stream.read(&mut [0; 4096]).await;
            let (Ok(()) | Err(_)) = stream.write_all(answer.as_bytes()).await;
        }
    }))
}

/// What the daemon wrote to targets.
async fn writes(case: &Case) -> Result<usize> {
    let audit = case.cluster().await?.audit()?;
    let ours = |user: &str, namespace: &str| user == User::Tidegate.name() && namespace == case.name;
    let target = |resource: &str| !matches!(resource, "configmaps" | "events" | "leases");
    Ok(audit.iter().filter(|write| ours(&write.user, &write.namespace) && target(&write.resource)).count())
}
