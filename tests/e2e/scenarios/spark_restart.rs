//! A streaming application with dynamic allocation whose bounds only a restart can change.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::patiently;
use super::spark_bounds::{create, define, objects};
use crate::support::cluster::User;
use crate::support::daemon::{Daemon, at};
use crate::support::load::Load;
use crate::support::objects::{Home, policy, with};
use crate::support::spark::{Driver, Line, Master, Query};
use crate::support::spark_operator::Operator;
use crate::support::waiting::{becomes, eventually};
use crate::support::world::Case;

const PARTITIONS: i32 = 4;
/// Milliseconds of a core per record: one executor processes fewer than 100 a second.
const COST: u32 = 10;
/// Records per second: that one executor is enough for, that take two, and that take four.
const LOW: u64 = 12;
const MORE: u64 = 130;
const MOST: u64 = 300;
/// The application.
const APP: &str = "orders";
/// Turns that would be enough for another restart, were there no reason to hold.
const TEMPTED: usize = 15;

/// The application may have one executor, the load asks for more, and the policy allows two. A dry run shows the
/// restart and writes nothing. A change that the operator has missed is told, and nothing is written on it. A live one
/// restarts it once, and proves it: the new bounds are in force, and batches are committed again, from where the
/// checkpoint was. Then the policy allows four, and the driver does not come up with
/// them: they are taken back once, and the application is left alone. Every record was processed once.
pub(super) async fn proved_or_rolled_back(case: Case) -> Result<()> {
    let (name, home, dir) = (case.name, case.home().await?, case.path("spark"));
    define(&case, &home).await?;
    let (master, kafka) = tokio::try_join!(Master::start(case.tools(), Line::Four, &dir), case.kafka())?;
    kafka.admin()?.create(name, PARTITIONS).await?;
    let load = Load::start(&kafka.bootstrap(), name, PARTITIONS, LOW)?;
    home.deploy("workers", &master.worker(), 2).await?;
    let one = json!({"enabled": true, "initialExecutors": 1, "minExecutors": 1, "maxExecutors": 1});
    create(&home, APP, "SparkApplication", &json!({"dynamicAllocation": one}), &json!({}), "").await?;
    let query = Query::new(name, &kafka.bootstrap(), COST, 1500);
    let driver = Driver::prepare(case.tools(), &dir, &master, &query)?;
    let (connection, counts) = (driver.connection(), driver.counting());
    let operator = Operator::start(objects(&home, "SparkApplication"), APP, driver);
    patiently(|| becomes("submissions", 1, || async { Ok(operator.submissions()) })).await?;
    patiently(|| {
        eventually("a batch was committed", || async { Ok((counts.read()?.batches() > 0).then_some(())) })
    })
    .await?;
    let mut setup = case.setup().await?;
    setup.connections = with(&setup.connections, &json!({"spark": {"app": connection}}));
    let daemon = Daemon::start(setup).await?;
    let decide = |mode: &str, most: u32| {
        daemon.policies("spark.yaml", &policy(Some(name), APP, &spec(name, mode, most)))
    };

    decide("Recommend", 2)?;
    load.set(MORE);
    let shown =
        patiently(|| eventually("a restart is shown", || async { recommended(&daemon, name).await })).await?;
    ensure!(
        writes(&case).await?.is_empty() && operator.submissions() == 1,
        "a recommendation wrote something"
    );

    missed(&home, &daemon, &operator).await?;
    ensure!(
        writes(&case).await?.is_empty() && operator.submissions() == 1,
        "a change that was missed was carried out"
    );

    decide("Apply", 2)?;
    patiently(|| becomes("phase", "proved".to_owned(), || phase(&home))).await?;
    let bounds = bounds(&home).await?;
    ensure!(at(&bounds, "/minExecutors") == 2 && at(&bounds, "/initialExecutors") == 2, "{bounds}");
    let lower = operator.in_force("spark.dynamicAllocation.minExecutors").await?;
    ensure!(lower.as_deref() == Some("2"), "the driver runs with {lower:?}");
    patiently(|| becomes("executors", 2, || operator.executors())).await?;
    ensure!(operator.submissions() == 2, "restarted {} times", operator.submissions() - 1);
    let seconds = ledger(&home).await?;
    let seconds = at(&seconds, "/past/0/seconds").as_f64().context("no cost was measured")?;
    case.figure(&format!("{shown}; proved after {seconds:.0} s"));

    operator.break_next();
    load.set(MOST);
    decide("Apply", 4)?;
    patiently(|| becomes("submissions", 3, || async { Ok(operator.submissions()) })).await?;
    // What comes now would only have to be worked off afterwards.
    load.set(0);
    patiently(|| becomes("what became of it", "undone".to_owned(), || phase(&home))).await?;
    let back = self::bounds(&home).await?;
    ensure!(back == bounds, "rolled back to {back} instead of {bounds}");
    ensure!(operator.submissions() == 4, "submitted {} times", operator.submissions());
    daemon.turns_pass(name, APP, TEMPTED).await?;
    let frozen = daemon.workload(name, APP).await?;
    ensure!(frozen.sentence.contains("frozen until") && frozen.sentence.contains("FAILED"), "{frozen:?}");
    ensure!(operator.submissions() == 4, "restarted while frozen");
    let produced = load.produced();
    patiently(|| becomes("records processed", produced, || async { Ok(counts.read()?.records()) })).await?;
    let counted = counts.read()?;
    counted.exact()?;
    let written = writes(&case).await?;
    // Two restarts, one way back, and what became of either.
    ensure!(written == vec![("patch".to_owned(), 200); 5], "{written:?}");
    case.figure(&format!(
        "{produced} records in {} batches, each processed once, over three restarts; {}",
        counted.batches(),
        frozen.sentence
    ));
    daemon.alive()?;
    daemon.replays().await
}

fn spec(name: &str, mode: &str, most: u32) -> Value {
    json!({
        "mode": mode,
        "target": {"sparkApplication": {
            "name": APP, "maxRung": "restart",
            "restart": {"spacing": "1s", "warmup": "1s", "proveWithin": "12m"},
        }},
        "sources": [{"spark": {
            "app": "app", "cluster": "main", "topics": [name], "checkpoint": name, "query": name,
        }}],
        "objective": {"maxLag": "30s", "catchUp": "60s"},
        "minReplicas": 1, "maxReplicas": most,
    })
}

/// The plan, once a restart for two executors is recommended.
async fn recommended(daemon: &Daemon, name: &str) -> Result<Option<String>> {
    let workload = daemon.json(&format!("/api/v1/workloads/{name}/{APP}")).await?;
    let plan = at(&workload, "/plan").as_str().context("no plan yet")?;
    ensure!(plan.starts_with("rung restart: ") && !plan.contains("not worth"), "{plan}");
    ensure!(plan.contains("\"minExecutors\":2"), "{plan}");
    Ok(Some(plan.split("; kubectl").next().unwrap_or_default().to_owned()))
}

/// Somebody changes the bounds while the operator is away: the daemon says within a minute that the driver runs with
/// others, for the next restart would carry out both changes. It is taken back in the same way.
async fn missed(home: &Home, daemon: &Daemon, operator: &Operator) -> Result<()> {
    const WHY: &str = "its spec says 1 to 3 executors, and its driver runs with 1 to 1 executors";
    operator.is_away(true);
    let changed = Instant::now();
    state(home, 3).await?;
    eventually("the change that was missed is told", || async {
        let workload = daemon.workload(&home.name, APP).await?;
        ensure!(workload.sentence.contains(WHY), "{workload:?}");
        Ok(Some(()))
    })
    .await?;
    ensure!(changed.elapsed() < Duration::from_mins(1), "told after {:?}", changed.elapsed());
    state(home, 1).await?;
    eventually("it is free again", || async {
        let workload = daemon.workload(&home.name, APP).await?;
        ensure!(!workload.sentence.contains("its driver runs with"), "{workload:?}");
        Ok(Some(()))
    })
    .await?;
    operator.is_away(false);
    Ok(())
}

/// States an upper bound, as a person would.
async fn state(home: &Home, upper: u32) -> Result<()> {
    let patch = Patch::Merge(json!({"spec": {"dynamicAllocation": {"maxExecutors": upper}}}));
    objects(home, "SparkApplication").patch(APP, &PatchParams::default(), &patch).await?;
    Ok(())
}

async fn bounds(home: &Home) -> Result<Value> {
    let object = objects(home, "SparkApplication").get(APP).await?;
    Ok(at(&object.data, "/spec/dynamicAllocation").clone())
}

async fn ledger(home: &Home) -> Result<Value> {
    let object = objects(home, "SparkApplication").get(APP).await?;
    let text = object.metadata.annotations.unwrap_or_default().remove("tidegate.dev/restarts");
    Ok(serde_json::from_str(&text.context("no restart is known")?)?)
}

/// How far the last restart is.
async fn phase(home: &Home) -> Result<String> {
    let ledger = ledger(home).await?;
    let phase = at(&ledger, "/last/phase");
    let named = phase.as_object().and_then(|phase| phase.keys().next().cloned());
    named.or_else(|| phase.as_str().map(str::to_owned)).context("no phase")
}

/// What the daemon wrote to applications: verb and answer.
async fn writes(case: &Case) -> Result<Vec<(String, u16)>> {
    let audit = case.cluster().await?.audit()?;
    let ours = audit.into_iter().filter(|write| {
        write.user == User::Tidegate.name()
            && write.namespace == case.name
            && write.resource == "sparkapplications"
    });
    Ok(ours.map(|write| (write.verb, write.code)).collect())
}
