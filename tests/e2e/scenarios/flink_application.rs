//! Flink in application mode, as session jobs of the operator, and in reactive mode: the ways that a job is deployed in
//! beside the plain session cluster.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::flink::{COST, NEWEST, OLDER, PARTITIONS, Stage, order};
use crate::support::daemon::at;
use crate::support::flink::{APPLICATION, Flink, Layout, Order};
use crate::support::flink_operator::{OVERRIDES, Operator, Subject};
use crate::support::load::Load;
use crate::support::objects::with;
use crate::support::waiting::{becomes, eventually};
use crate::support::world::Case;

/// What the daemon's log says when a job is given back what it had.
const GIVEN_BACK: &str = "given back what it had before it was started anew";

/// A FlinkDeployment of its own job, as the operator of this line knows it.
fn spec(line: &str) -> Value {
    json!({
        "flinkVersion": format!("v{}", line.replace('.', "_")), "image": "flink", "serviceAccount": "flink",
        "flinkConfiguration": {"jobmanager.scheduler": "adaptive"},
        "jobManager": {"resource": {"cpu": 1, "memory": "1g"}},
        "taskManager": {"resource": {"cpu": 1, "memory": "1g"}},
        "job": {"jarURI": "local:///job.jar", "parallelism": 2, "upgradeMode": "last-state", "state": "running"},
    })
}

/// An application of `line` under load, on a cluster of its own.
async fn application(
    case: &Case,
    line: &str,
    slots: &[u32],
    options: &[(&str, Option<&str>)],
    rate: u64,
) -> Result<Stage> {
    let bootstrap = case.kafka().await?.bootstrap();
    case.kafka().await?.admin()?.create(case.name, PARTITIONS).await?;
    let load = Load::start(&bootstrap, case.name, PARTITIONS, rate)?;
    let order = Order {
        name: case.name,
        bootstrap: &bootstrap,
        topic: case.name,
        cost: COST,
        checkpoint: 2000,
        parallelism: 2,
    };
    let layout = Layout { line, slots, options, application: Some(order) };
    let flink = Flink::start(case.tools(), &case.path("flink"), layout).await?;
    Stage::on(case, flink, APPLICATION.to_owned(), load).await
}

fn operated(case: &Case) -> Value {
    json!({
        "target": {"flinkDeployment": {"name": case.name, "cluster": "main"}},
        "capacityPerReplica": 180, "behavior": {"scaleDown": {"selectPolicy": "Disabled"}},
    })
}

/// Flink 1.20 starts an application anew with what the object keeps.
pub(super) async fn starts_with_what_is_kept(case: Case) -> Result<()> {
    the_jobmanager_is_killed(case, OLDER).await
}

/// Flink 2 does not (FLINK-38770): it is given back.
pub(super) async fn starts_without_what_is_kept(case: Case) -> Result<()> {
    the_jobmanager_is_killed(case, NEWEST).await
}

/// An application's JobManager is killed in the midst of a rescale, and started anew from the last checkpoint, as the
/// operator does it. The job ends up with at least what it was given, and with its state.
async fn the_jobmanager_is_killed(case: Case, line: &'static str) -> Result<()> {
    let stage = application(&case, line, &[4, 4], &[], 700).await?;
    stage.flink.runs(APPLICATION, 2).await?;
    let operator = Operator::deploy(&case, &stage.home, stage.flink.url(), &stage.job, &spec(line)).await?;
    stage.policy(&operated(&case))?;
    eventually("a checkpoint", || async { stage.flink.checkpoint(APPLICATION).map(Some) }).await?;
    stage.is_asked_for_more().await?;
    eventually("the object keeps what is asked for", || async {
        Ok((operator.kept().await? == stage.flink.asked(APPLICATION).await?).then_some(()))
    })
    .await?;
    operator.has_taken_it_up().await?;
    stage.flink.kill();
    let (asked, kept) = (operator.kept().await?, operator.keeps().await?);
    let said = stage.daemon.says(case.name, case.name, "TargetUnreadable").await?;
    case.figure(&said.sentence);
    let checkpoint = stage.flink.checkpoint(APPLICATION)?;
    let from = if line == NEWEST { "execution.state-recovery.path" } else { "execution.savepoint.path" };
    stage.flink.launch(&[(from, &checkpoint.display().to_string()), (OVERRIDES, &kept)])?;
    let again = eventually("the job has at least what it had", || async {
        let again = stage.flink.asked(APPLICATION).await?;
        Ok(asked.iter().zip(&again).all(|(before, after)| after >= before).then_some(again))
    })
    .await?;
    let most = again.iter().max().copied().context("nothing is asked for")?;
    eventually("the job runs so", || async {
        Ok((u64::from(stage.flink.parallelism(APPLICATION).await?) >= most).then_some(()))
    })
    .await?;
    let given_back = fs::read_to_string(case.path("daemon/tidegate.log"))?.contains(GIVEN_BACK);
    let (moves, doing) = (stage.moves()?, operator.doing());
    ensure!(moves.iter().all(|(from, to)| to > from), "it moved down: {moves:?}");
    ensure!(
        given_back == (line == NEWEST),
        "it was {}given back, by Flink {line}",
        if line == NEWEST { "not " } else { "" }
    );
    ensure!((doing.redeploys, doing.rescales) == (0, 0), "the operator acted: {doing:?}");
    case.figure(&format!("Flink {line}: killed at {asked:?}, moves {moves:?}, at {again:?} again"));
    stage.nothing_was_lost().await?;
    stage.daemon.alive()
}

/// A FlinkSessionJob on a real session cluster: moved in place, kept in the session job's own object, and left alone as
/// soon as somebody switches the operator's autoscaler on for the whole session.
pub(super) async fn session_job(case: Case) -> Result<()> {
    let stage = Stage::start(&case, NEWEST, &[4, 4], (2, 700)).await?;
    let (session, url) = (format!("{}-session", case.name), stage.flink.url().to_owned());
    let mut cluster = spec(NEWEST);
    cluster.as_object_mut().context("a spec")?.remove("job");
    let subject = Subject { kind: "FlinkDeployment", name: &session, spec: &cluster, adaptive: true };
    let owner = Operator::look_after(&case, &stage.home, &url, "", subject).await?;
    let job = json!({
        "deploymentName": session,
        "job": {"jarURI": "http://jars/job.jar", "parallelism": 2, "upgradeMode": "savepoint", "state": "running"},
    });
    let subject = Subject { kind: "FlinkSessionJob", name: case.name, spec: &job, adaptive: true };
    let operator = Operator::look_after(&case, &stage.home, &url, &stage.job, subject).await?;
    let target = json!({"target": {"flinkSessionJob": {"name": case.name, "cluster": "main"}}});
    stage.policy(&with(&operated(&case), &target))?;
    stage.runs_above(2).await?;
    let asked = stage.flink.asked(&stage.job).await?;
    becomes("what the object keeps", asked.clone(), || operator.kept()).await?;
    stage.daemon.turns_pass(case.name, case.name, 3).await?;
    let doing = operator.doing();
    ensure!((doing.redeploys, doing.rescales) == (0, 0), "the operator acted: {doing:?}");
    case.figure(&format!("moves {:?}, kept {asked:?}", stage.moves()?));
    owner.patch(&json!({"spec": {"flinkConfiguration": {"job.autoscaler.enabled": "true"}}})).await?;
    let said = stage.daemon.says(case.name, case.name, "OwnedByOther").await?;
    case.figure(&said.sentence);
    let moves = stage.moves()?;
    stage.load.set(1400);
    stage.daemon.turns_pass(case.name, case.name, 5).await?;
    ensure!(stage.moves()? == moves, "it moved somebody else's job: {:?}", stage.moves()?);
    stage.nothing_was_lost().await?;
    stage.daemon.alive()
}

/// Reactive mode: the job takes every slot there is, so it is moved by its TaskManagers, each a Pod of the Deployment
/// that the operator makes of the object. Up for the load, down for a lower bound; the JobManager refuses to be told
/// otherwise.
pub(super) async fn reactive(case: Case) -> Result<()> {
    let options = [("scheduler-mode", Some("reactive"))];
    let stage = application(&case, NEWEST, &[], &options, 300).await?;
    let taskmanagers = format!("{}-taskmanager", case.name);
    stage.home.deploy(&taskmanagers, &stage.flink.image(NEWEST, 2), 1).await?;
    stage.flink.runs(APPLICATION, 2).await?;
    let over = json!({
        "mode": "standalone", "flinkConfiguration": {"scheduler-mode": "reactive"},
        "taskManager": {"resource": {"cpu": 1, "memory": "1g"}, "replicas": 1},
    });
    let spec = with(&spec(NEWEST), &over);
    let operator = Operator::deploy(&case, &stage.home, stage.flink.url(), APPLICATION, &spec).await?;
    operator.set(|doing| doing.taskmanagers = Some(taskmanagers.clone()));
    let policy = |most: u32| {
        stage.policy(&with(&operated(&case), &json!({"capacityPerReplica": 360, "maxReplicas": most})))
    };
    policy(4)?;
    stage.is_trusted().await?;
    stage.load.set(700);
    let up = eventually("more TaskManagers", || async {
        let object = operator.object().await?;
        let count = at(&object.data, "/spec/taskManager/replicas").as_i64().context("no number")?;
        Ok((count > 1).then_some(count))
    })
    .await?;
    stage.flink.runs(APPLICATION, u32::try_from(up)? * 2).await?;
    let refused = stage.flink.require(APPLICATION, 1).await;
    ensure!(refused.is_err(), "reactive mode took other requirements");
    stage.load.set(60);
    policy(1)?;
    becomes("the TaskManagers", 1, || stage.home.replicas(&taskmanagers)).await?;
    stage.flink.runs(APPLICATION, 2).await?;
    case.figure(&format!("TaskManagers 1 -> {up} -> 1; moves {:?}", stage.moves()?));
    stage.nothing_was_lost().await?;
    stage.daemon.alive()
}

/// A plain session cluster whose TaskManagers a Deployment keeps: more of them come before the job is asked to use
/// them, and those that it has left go, the idle ones and no others: the job never fails.
pub(super) async fn on_a_workload_of_taskmanagers(case: Case) -> Result<()> {
    let bootstrap = case.kafka().await?.bootstrap();
    case.kafka().await?.admin()?.create(case.name, PARTITIONS).await?;
    let options = &[("jobmanager.scheduler", Some("adaptive"))];
    let layout = Layout { line: NEWEST, slots: &[], options, application: None };
    let flink = Flink::start(case.tools(), &case.path("flink"), layout).await?;
    let home = case.home().await?;
    home.deploy("workers", &flink.image(NEWEST, 2), 1).await?;
    flink.has_slots(2).await?;
    let load = Load::start(&bootstrap, case.name, PARTITIONS, 200)?;
    let job = flink.submit(&order(case.name, &bootstrap, 2)).await?;
    let stage = Stage::at(&case, home, flink, job, load).await?;
    let target = json!({"cluster": "main", "job": case.name, "taskManagers": {"name": "workers"}});
    let policy = |most: u32| {
        let target = json!({"flinkCluster": target});
        stage.policy(&json!({"target": target, "capacityPerReplica": 180, "maxReplicas": most}))
    };
    policy(8)?;
    stage.is_trusted().await?;
    stage.load.set(700);
    let up = stage.is_asked_for_more().await?;
    let made = stage.home.replicas("workers").await?;
    ensure!(made >= i32::try_from(up.div_ceil(2))?, "{up} slots were asked for, of {made} TaskManagers");
    let turns = stage.daemon.journal(case.name, case.name)?;
    ensure!(
        turns.iter().any(|turn| turn.outcome.get("deferred").is_some()),
        "the job was asked before there were slots"
    );
    stage.runs_above(2).await?;
    stage.load.set(60);
    policy(2)?;
    becomes("the TaskManagers", 1, || stage.home.replicas("workers")).await?;
    stage.nothing_was_lost().await?;
    let failures = stage.flink.get(&format!("/jobs/{}/exceptions", stage.job)).await?;
    let entries = at(&failures, "/exceptionHistory/entries").as_array().map(Vec::len);
    ensure!(entries == Some(0), "the job failed: {failures}");
    case.figure(&format!("TaskManagers 1 -> {made} -> 1; moves {:?}", stage.moves()?));
    stage.daemon.alive()
}
