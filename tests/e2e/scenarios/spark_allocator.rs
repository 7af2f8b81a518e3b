//! A running application without dynamic allocation whose executors' Pods a Deployment keeps.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::patiently;
use super::spark_bounds::{create, define, objects};
use crate::support::cluster::User;
use crate::support::daemon::{Daemon, at};
use crate::support::load::Load;
use crate::support::objects::{policy, with};
use crate::support::place::free_port;
use crate::support::replicas::ReplicaLog;
use crate::support::spark::{Driver, Line, Master, Query};
use crate::support::waiting::{becomes, eventually};
use crate::support::world::Case;

const PARTITIONS: i32 = 4;
/// Milliseconds of a core per record: one executor processes fewer than 50 a second.
const COST: u32 = 20;
/// Records per second that one executor is enough for, and that take three.
const LOW: u64 = 12;
const HIGH: u64 = 85;
const APP: &str = "orders";

/// The cluster's master has no worker: every executor is a Pod of the Deployment that an allocator would have made, and
/// the driver has asked for none. The load goes up: the Deployment grows, executors that nobody asked for join, and each
/// takes tasks. The load goes down: those that leave have been drained. Every record was processed once. Written were the
/// Deployment's scale and its Pods' deletion costs; the application itself never.
pub(super) async fn executors_that_nobody_asked_for(case: Case) -> Result<()> {
    let (name, home, dir) = (case.name, case.home().await?, case.path("spark"));
    define(&case, &home).await?;
    let (master, kafka) = tokio::try_join!(Master::start(case.tools(), Line::Four, &dir), case.kafka())?;
    kafka.admin()?.create(name, PARTITIONS).await?;
    let load = Load::start(&kafka.bootstrap(), name, PARTITIONS, LOW)?;
    let query = Query::new(name, &kafka.bootstrap(), COST, 1500);
    let (mut driver, port) = (Driver::prepare(case.tools(), &dir, &master, &query)?, free_port()?);
    let settings = [
        ("spark.driver.port", port.to_string()),
        ("spark.kubernetes.allocation.pods.allocator", "deployment".to_owned()),
    ];
    driver.set(settings.map(|(key, value)| (key.to_owned(), value)).into_iter().collect::<BTreeMap<_, _>>());
    driver.launch().await?;
    let app = driver.app().await?;
    let set = format!("spark-d-{app}-0");
    home.deploy(&set, &driver.executor(port).await?, 1).await?;
    let log = ReplicaLog::follow(&home, &set).await?;
    patiently(|| eventually("a batch was committed", || async { Ok(driver.committed().then_some(())) }))
        .await?;
    let off = json!({"dynamicAllocation": {"enabled": false}});
    create(&home, APP, "SparkApplication", &off, &json!({}), "RUNNING").await?;
    let status = Patch::Merge(json!({"status": {"sparkApplicationId": app}}));
    objects(&home, "SparkApplication").patch_status(APP, &PatchParams::default(), &status).await?;
    let mut setup = case.setup().await?;
    setup.connections = with(&setup.connections, &json!({"spark": {"app": driver.connection()}}));
    let daemon = Daemon::start(setup).await?;
    daemon.policies("spark.yaml", &policy(Some(name), APP, &spec(name)))?;

    eventually("the rung is known", || async {
        let workload = daemon.json(&format!("/api/v1/workloads/{name}/{APP}")).await?;
        let rung = at(&workload, "/rung").as_str().context("no rung")?;
        ensure!(rung.starts_with("rung scaleAllocator: ") && rung.contains(&set), "{rung}");
        Ok(Some(()))
    })
    .await?;
    load.set(HIGH);
    patiently(|| {
        eventually("three executors joined, and each took tasks", || async {
            let all = driver.executors_ever().await?;
            let at_work = all.iter().filter(|one| {
                *at(one, "/isActive") == json!(true) && at(one, "/completedTasks").as_u64() > Some(0)
            });
            Ok((at_work.count() >= 3).then_some(()))
        })
    })
    .await?;
    let grown = log.moves();

    load.set(LOW);
    patiently(|| becomes("executors asked for", 1, || home.replicas(&set))).await?;
    home.has(&set, 1).await?;
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
    let written = writes(&case).await?;
    ensure!(written.iter().any(|what| what == "deployments/scale"), "{written:?}");
    ensure!(written.iter().all(|what| what == "deployments/scale" || what == "pods"), "{written:?}");
    case.figure(&format!(
        "executors up {grown:?}, moves in all {:?}; {} left, drained; {produced} records in {} batches, each \
         processed once; {} writes",
        log.moves(),
        gone.len(),
        counts.batches(),
        written.len()
    ));
    daemon.alive()?;
    daemon.replays().await
}

fn spec(name: &str) -> Value {
    json!({
        "mode": "Apply",
        "target": {"sparkApplication": {"name": APP, "maxRung": "scaleAllocator"}},
        "sources": [{"spark": {
            "app": "app", "cluster": "main", "topics": [name], "checkpoint": name, "query": name,
        }}],
        "objective": {"maxLag": "30s", "catchUp": "60s"},
        "knobs": {"rescaleCost": "1m"},
        "minReplicas": 1, "maxReplicas": 4,
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 10}},
    })
}

/// Kinds of objects that the daemon wrote, apart from its own.
async fn writes(case: &Case) -> Result<Vec<String>> {
    let audit = case.cluster().await?.audit()?;
    let ours = |user: &str, namespace: &str| user == User::Tidegate.name() && namespace == case.name;
    let own = |resource: &str| matches!(resource, "configmaps" | "events" | "leases");
    let ours = audit.into_iter().filter(|write| ours(&write.user, &write.namespace) && !own(&write.resource));
    Ok(ours.map(|write| write.resource).collect())
}
