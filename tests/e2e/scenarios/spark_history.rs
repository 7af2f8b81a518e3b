//! Bounds of a batch's next run from those before it: real runs, their event logs, and a real history server.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::spark_bounds::{create, define, objects};
use crate::support::cluster::User;
use crate::support::daemon::{Daemon, at};
use crate::support::objects::{Home, policy, with};
use crate::support::spark::{Line, Master};
use crate::support::spark_history::{Batch, History};
use crate::support::spark_operator::bounds;
use crate::support::waiting::eventually;
use crate::support::world::Case;

const APP: &str = "nightly";
/// Its wide stage: with fewer executors than tasks a run takes another whole task's time.
const TASKS: u32 = 8;
const TASK_MS: u32 = 3000;
/// What its maker stated: more than that.
const STATED: u32 = 10;

/// A batch may have ten executors and has eight equally long tasks. As long as no run is known, nothing is written. Once
/// three are, which had two executors, the template has the eight that would have helped. The next run takes twice as
/// long, and what was stated before is back. Two writes, of the template alone.
pub(super) async fn bounds_from_real_runs(case: Case) -> Result<()> {
    let (name, home, dir) = (case.name, case.home().await?, case.path("spark"));
    define(&case, &home).await?;
    let (master, history) =
        tokio::try_join!(Master::start(case.tools(), Line::Four, &dir), History::start(case.tools(), &dir))?;
    home.deploy("workers", &master.worker(), 2).await?;
    let made = json!({"enabled": true, "minExecutors": 1, "initialExecutors": 1, "maxExecutors": STATED});
    let over = json!({"dynamicAllocation": made});
    create(&home, APP, "ScheduledSparkApplication", &over, &json!({}), "").await?;
    let mut setup = case.setup().await?;
    setup.connections = with(&setup.connections, &json!({"sparkHistory": {"main": history.connection()}}));
    let daemon = Daemon::start(setup).await?;
    daemon.policies("batch.yaml", &policy(Some(name), APP, &spec()))?;
    eventually("it says that no run is known", || async {
        let sentence = daemon.workload(name, APP).await?.sentence;
        ensure!(sentence.contains("it remembers no run of nightly-* that ended well"), "{sentence}");
        Ok(Some(()))
    })
    .await?;

    let batch = Batch { name: APP, first: 1, runs: 3, tasks: TASKS, task_ms: TASK_MS };
    let template = template(&home).await?;
    history.remembers(case.tools(), &master, &batch, bounds(&template)).await?;
    let sized = stated(&home, TASKS).await?;
    ensure!(at(&sized, "/initialExecutors") == TASKS, "{sized}");
    let written = notes(&home).await?;
    ensure!(at(&written, "/outcome") == "open" && *at(&written, "/from/upper") == json!(STATED), "{written}");

    let worse = Batch { first: 4, runs: 1, task_ms: 2 * TASK_MS, ..batch };
    let template = self::template(&home).await?;
    history.remembers(case.tools(), &master, &worse, bounds(&template)).await?;
    let back = stated(&home, STATED).await?;
    ensure!(back == made, "taken back to {back} instead of {made}");
    let written = notes(&home).await?;
    let why = at(&written, "/outcome/takenBack/why").as_str().context("no reason")?.to_owned();
    ensure!(why.contains(" s were usual"), "{why}");
    eventually("it is left alone", || async {
        let sentence = daemon.workload(name, APP).await?.sentence;
        ensure!(sentence.contains("left alone for 5 runs"), "{sentence}");
        Ok(Some(()))
    })
    .await?;
    daemon.turns_pass(name, APP, 3).await?;
    let audit = case.cluster().await?.audit()?;
    let ours = audit.into_iter().filter(|write| {
        let spark = write.resource.contains("spark");
        write.user == User::Tidegate.name() && write.namespace == name && spark
    });
    let ours: Vec<_> = ours.map(|write| (write.resource, write.verb, write.code)).collect();
    let patch = ("scheduledsparkapplications".to_owned(), "patch".to_owned(), 200);
    ensure!(ours == vec![patch; 2], "{ours:?}");
    case.figure(&format!("three runs of {TASKS} tasks: {sized}; a run later: {why}"));
    daemon.alive()?;
    daemon.replays().await
}

fn spec() -> Value {
    json!({
        "mode": "Apply",
        "target": {"scheduledSparkApplication": {"name": APP}},
        "sources": [{"sparkRuns": {"history": "main", "app": format!("{APP}-*")}}],
        "objective": {"lagPerReplica": 1}, "minReplicas": 1, "maxReplicas": 50,
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 2}},
    })
}

/// What the next run is made from.
async fn template(home: &Home) -> Result<Value> {
    let object = objects(home, "ScheduledSparkApplication").get(APP).await?;
    Ok(at(&object.data, "/spec/template").clone())
}

/// Waits for an upper bound; all bounds.
async fn stated(home: &Home, upper: u32) -> Result<Value> {
    eventually(&format!("at most {upper} executors"), || async {
        let bounds = at(&template(home).await?, "/dynamicAllocation").clone();
        ensure!(at(&bounds, "/maxExecutors") == upper, "{bounds}");
        Ok(Some(bounds))
    })
    .await
}

/// What was changed, and what came of it.
async fn notes(home: &Home) -> Result<Value> {
    let object = objects(home, "ScheduledSparkApplication").get(APP).await?;
    let text = object.metadata.annotations.unwrap_or_default().remove("tidegate.dev/runs");
    Ok(serde_json::from_str(&text.context("nothing was changed")?)?)
}
