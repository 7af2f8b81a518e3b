//! Jobs of the Flink Kubernetes Operator, by its own definitions in the real API server. The job and its cluster are
//! real; the operator is a double.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::flink::{OLDER, Stage, order};
use crate::support::cluster::User;
use crate::support::daemon::command;
use crate::support::flink::Flink;
use crate::support::flink_operator::{OVERRIDES, Operator};
use crate::support::objects::with;
use crate::support::waiting::{becomes, eventually};
use crate::support::world::Case;

/// A FlinkDeployment in native mode; the definitions that are tested with know no later Flink.
fn spec() -> Value {
    json!({
        "flinkVersion": "v1_20", "image": "flink:1.20", "serviceAccount": "flink",
        "flinkConfiguration": {"jobmanager.scheduler": "adaptive"},
        "jobManager": {"resource": {"cpu": 1, "memory": "1g"}},
        "taskManager": {"resource": {"cpu": 1, "memory": "1g"}},
        "job": {"jarURI": "local:///job.jar", "parallelism": 2, "upgradeMode": "last-state", "state": "running"},
    })
}

/// Moved in place, and kept in the object without a redeploy; left alone while the operator is at work; given back when
/// a redeploy has lost it; handed over by the operator's own autoscaler in one patch.
pub(super) async fn in_place(case: Case) -> Result<()> {
    let mut stage = Stage::start(&case, OLDER, &[4, 4], (2, 700)).await?;
    let operator = Operator::deploy(&case, &stage.home, stage.flink.url(), &stage.job, &spec()).await?;
    let target = json!({
        "target": {"flinkDeployment": {"name": case.name, "cluster": "main"}},
        "capacityPerReplica": 180, "behavior": {"scaleDown": {"selectPolicy": "Disabled"}},
    });
    stage.policy(&target)?;
    stage.runs_above(2).await?;
    let asked = stage.flink.asked(&stage.job).await?;
    becomes("what the object keeps", asked.clone(), || operator.kept()).await?;
    stage.daemon.turns_pass(case.name, case.name, 3).await?;
    let doing = operator.doing();
    ensure!((doing.redeploys, doing.rescales) == (0, 0), "the operator acted: {doing:?}");
    ensure!(ours(&operator).await? == [format!("f:{OVERRIDES}")], "{:?}", ours(&operator).await?);
    case.figure(&format!("moves {:?}, kept {asked:?}, the operator did nothing", stage.moves()?));

    operator.set(|doing| doing.lifecycle = Some("UPGRADING"));
    // The rescale may not be over yet, which is the same reason for something else.
    eventually("it says that the operator is at work", || async {
        let said = stage.daemon.says(case.name, case.name, "TargetNotSettled").await?.sentence;
        Ok(said.contains("status.lifecycleState is UPGRADING").then_some(()))
    })
    .await?;
    operator.set(|doing| doing.lifecycle = None);
    stage.nothing_was_lost().await?;

    // A redeploy that starts without what the object keeps, as Flink 2 in application mode does.
    let moves = stage.moves()?.len();
    stage.flink.cancel(&stage.job).await?;
    stage.job = stage.flink.submit(&order(case.name, &case.kafka().await?.bootstrap(), 2)).await?;
    operator.set(|doing| doing.job.clone_from(&stage.job));
    becomes("what the new job is asked for", asked.clone(), || stage.flink.asked(&stage.job)).await?;
    ensure!(stage.moves()?.len() == moves, "the engine moved it: {:?}", stage.moves()?);

    operator.patch(&json!({"spec": {"flinkConfiguration": {"job.autoscaler.enabled": "true"}}})).await?;
    stage.daemon.says(case.name, case.name, "OwnedByOther").await?;
    let (workload, settings) = (format!("{0}/{0}", case.name), stage.daemon.settings().display().to_string());
    let kubeconfig = case.cluster().await?.kubeconfig(User::Tidegate);
    let explain = ["explain", &workload, "--settings", &settings, "--look"];
    let (code, output) = command(&case.dir, &kubeconfig, &explain).await?;
    ensure!(code == 0, "explain, {code}: {output}");
    let patch = output.split_once("--type merge -p '").and_then(|(_, rest)| rest.split_once('\''));
    let (patch, _) = patch.with_context(|| format!("no patch: {output}"))?;
    case.figure(&format!("the hand-over: {patch}"));
    operator.patch(&serde_json::from_str(patch)?).await?;
    eventually("the job is ours again", || async {
        let workload = stage.daemon.workload(case.name, case.name).await?;
        Ok((!workload.reasons.iter().any(|said| said == "OwnedByOther")).then_some(()))
    })
    .await?;
    let (doing, kept) = (operator.doing(), operator.kept().await?);
    ensure!((doing.redeploys, doing.rescales) == (0, 0) && kept == asked, "{doing:?} {kept:?}");
    stage.daemon.alive()
}

/// Without the adaptive scheduler the operator is asked to deploy the job anew: once, to the right size, with its state.
/// While it does, the job is left alone.
pub(super) async fn redeploy(case: Case) -> Result<()> {
    let mut stage = Stage::start_with(&case, OLDER, &[4, 4], (2, 450), "default").await?;
    let spec = with(&spec(), &json!({"flinkConfiguration": {}}));
    let operator = Operator::deploy(&case, &stage.home, stage.flink.url(), &stage.job, &spec).await?;
    let bootstrap = case.kafka().await?.bootstrap();
    let request = Flink::run_request(&order(case.name, &bootstrap, 2));
    operator.set(|doing| doing.run = Some((stage.flink.run_url(), request)));
    stage.policy(&json!({
        "target": {"flinkDeployment": {"name": case.name, "cluster": "main"}},
        "capacityPerReplica": 180, "behavior": {"scaleDown": {"selectPolicy": "Disabled"}},
    }))?;
    let high = eventually("the job runs with more", || async {
        let job = operator.doing().job;
        ensure!(job != stage.job, "it is the first deployment still");
        Ok(Some(stage.flink.parallelism(&job).await?).filter(|parallelism| *parallelism > 2))
    })
    .await?;
    eventually("it is settled", || async {
        let workload = stage.daemon.workload(case.name, case.name).await?;
        let passing = workload.reasons.iter().any(|said| said.starts_with("Target"));
        Ok((!passing && workload.current == i32::try_from(high).ok()).then_some(()))
    })
    .await?;
    stage.daemon.turns_pass(case.name, case.name, 3).await?;
    let (doing, moves) = (operator.doing(), stage.moves()?);
    case.figure(&format!("moves {moves:?}, redeploys {}, at {high}", doing.redeploys));
    ensure!(doing.redeploys == 1 && moves.len() == 1, "{doing:?} {moves:?}");
    stage.job = doing.job;
    stage.nothing_was_lost().await?;
    stage.daemon.alive()
}

/// The options that we own.
async fn ours(operator: &Operator) -> Result<Vec<String>> {
    let object = operator.object().await?;
    let entries = object.metadata.managed_fields.unwrap_or_default();
    let ours = entries.into_iter().filter(|entry| entry.manager.as_deref() == Some("tidegate"));
    let fields = ours.filter_map(|entry| entry.fields_v1).map(|fields| fields.0);
    let options = fields.filter_map(|fields| fields.pointer("/f:spec/f:flinkConfiguration").cloned());
    let keys = options.filter_map(|options| Some(options.as_object()?.keys().cloned().collect::<Vec<_>>()));
    Ok(keys.flatten().collect())
}
