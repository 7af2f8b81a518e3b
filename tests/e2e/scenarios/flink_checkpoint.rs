//! The checkpoint next to a move of a real job, and what a JobManager tells of the move itself.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::flink::{NEWEST, OLDER, PARTITIONS, Stage, order};
use crate::support::daemon::at;
use crate::support::flink::{Flink, Layout, Order};
use crate::support::load::Load;
use crate::support::waiting::eventually;
use crate::support::world::Case;

/// The line whose JobManagers keep a history.
const WITH_HISTORY: &str = "2.3";

/// Flink 2 rescales with the next checkpoint, which would be ten minutes away.
pub(super) async fn comes_at_once(case: Case) -> Result<()> {
    a_checkpoint_is_taken(case, NEWEST).await
}

/// Flink 1 rescales at once, and would do all again since the last checkpoint.
pub(super) async fn comes_first(case: Case) -> Result<()> {
    a_checkpoint_is_taken(case, OLDER).await
}

/// Checkpoints lie ten minutes apart. Before the first the job is left alone, though the policy asks for more; then a move
/// brings the next one about, and the new tasks start from that. The job keeps up: behind a backlog a checkpoint may take
/// longer than a move waits for one.
async fn a_checkpoint_is_taken(case: Case, line: &'static str) -> Result<()> {
    let bootstrap = case.kafka().await?.bootstrap();
    case.kafka().await?.admin()?.create(case.name, PARTITIONS).await?;
    let options = &[("jobmanager.adaptive-scheduler.rescale-trigger.max-delay", None)];
    let layout = Layout { line, slots: &[4, 4], options, application: None };
    let flink = Flink::start(case.tools(), &case.path("flink"), layout).await?;
    let load = Load::start(&bootstrap, case.name, PARTITIONS, 200)?;
    let job = flink.submit(&Order { checkpoint: 600_000, ..order(case.name, &bootstrap, 2) }).await?;
    let stage = Stage::on(&case, flink, job, load).await?;
    let policy = |mode: &str| {
        stage.policy(&json!({
            "mode": mode, "minReplicas": 4, "capacityPerReplica": 180,
            "behavior": {"scaleDown": {"selectPolicy": "Disabled"}},
        }))
    };
    policy("Apply")?;
    eventually("it says that there is no checkpoint", || async {
        let said = stage.daemon.says(case.name, case.name, "TargetNotSettled").await?.sentence;
        Ok(said.contains("no checkpoint is completed yet").then_some(()))
    })
    .await?;
    stage.daemon.turns_pass(case.name, case.name, 3).await?;
    ensure!(stage.moves()?.is_empty(), "it moved with nothing to go back to: {:?}", stage.moves()?);
    let checkpoints = format!("/jobs/{}/checkpoints", stage.job);
    policy("Recommend")?;
    stage.flink.take_checkpoint(&stage.job).await?;
    eventually("the checkpoint is old enough for another one to pay", || async {
        let (all, job) = (stage.flink.get(&checkpoints).await?, format!("/jobs/{}", stage.job));
        let last = at(&all, "/latest/completed");
        let (began, took) =
            (at(last, "/trigger_timestamp").as_i64(), at(last, "/end_to_end_duration").as_i64());
        let (began, took) = began.zip(took).context("no checkpoint")?;
        let now = at(&stage.flink.get(&job).await?, "/now").as_i64().context("no time")?;
        Ok((now - began > 6000 + 5 * took).then_some(()))
    })
    .await?;
    policy("Apply")?;
    let asked = Instant::now();
    stage.runs_above(2).await?;
    let seconds = asked.elapsed().as_secs_f64();
    let told = stage.flink.get(&checkpoints).await?;
    let restored = at(&told, "/latest/restored/id").as_u64().context("nothing was restored")?;
    case.figure(&format!(
        "Flink {line}: {seconds:.1} s from the policy to more tasks, which started from checkpoint {restored}; \
         moves {:?}",
        stage.moves()?
    ));
    ensure!(restored >= 2, "the tasks went back to the first checkpoint: {told}");
    stage.nothing_was_lost().await?;
    stage.daemon.alive()
}

/// What the JobManager says that a move took is told.
pub(super) async fn history(case: Case) -> Result<()> {
    let stage = Stage::start(&case, WITH_HISTORY, &[4, 4], (2, 700)).await?;
    stage.policy(&json!({
        "capacityPerReplica": 180, "behavior": {"scaleDown": {"selectPolicy": "Disabled"}},
    }))?;
    stage.runs_above(2).await?;
    let told = eventually("the log tells of the rescale", || async {
        let log = fs::read_to_string(case.path("daemon/tidegate.log"))?;
        let line = log.lines().find(|line| line.contains("the JobManager says that it took"));
        Ok(line.map(str::to_owned))
    })
    .await?;
    let history: Value = stage.flink.get(&format!("/jobs/{}/rescales/overview", stage.job)).await?;
    ensure!(*at(&history, "/latest/completed/triggerCause") == "UPDATE_REQUIREMENT", "{history}");
    case.figure(&told);
    stage.nothing_was_lost().await?;
    stage.daemon.alive()
}
