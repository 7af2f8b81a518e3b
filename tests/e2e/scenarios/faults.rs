//! One thing breaks at a time: the daemon says so by name, never moves down for it, and goes on by itself
//! once the thing is whole again.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};

use super::steady::{PARTITIONS, Steady, consumers, lag_source, spec};
use crate::support::cluster::{Cluster, Timers, User};
use crate::support::daemon::{Daemon, at};
use crate::support::kafka::{Kafka, Layout};
use crate::support::objects::{Home, Image, policy, with};
use crate::support::prometheus::Prometheus;
use crate::support::replicas::ReplicaLog;
use crate::support::waiting::eventually;
use crate::support::world::Case;

const ONE: Layout = Layout { brokers: 1, log_requests: false, log_groups: false, properties: &[] };

/// kube-apiserver stops, and comes back.
pub(super) async fn the_api_server_stops(case: Case) -> Result<()> {
    let cluster = Cluster::start(case.tools(), &case.path("cluster"), Timers::default()).await?;
    let home = Home::create(cluster.client(), case.name).await?;
    let mut setup = case.setup().await?;
    setup.kubeconfig = cluster.kubeconfig(User::Tidegate);
    let steady = Steady::start_with(&case, case.kafka().await?, home, setup, &json!({})).await?;
    cluster.stop_api();
    steady.says("TargetUnreadable").await?;
    steady.turns_pass(5).await?;
    ensure!(steady.daemon.get("/healthz").await.is_ok(), "healthz depends on the outside");
    cluster.start_api().await?;
    steady.says("AtNeed").await?;
    steady.rises_by_one().await?;
    steady.end(&case).await
}

/// The only broker stops and comes back, then freezes and thaws.
pub(super) async fn the_broker_stops(case: Case) -> Result<()> {
    let kafka = Kafka::start(case.tools(), &case.path("kafka"), ONE).await?;
    let steady = Steady::start(&case, &kafka).await?;
    kafka.kill(1)?;
    steady.says("SignalMissing").await?;
    steady.turns_pass(5).await?;
    kafka.revive(1).await?;
    steady.says("AtNeed").await?;
    steady.rises_by_one().await?;
    kafka.freeze(1)?;
    steady.says("SignalMissing").await?;
    steady.turns_pass(5).await?;
    kafka.thaw(1)?;
    steady.says("AtNeed").await?;
    steady.rises_by_one().await?;
    steady.end(&case).await
}

/// A Prometheus that the policy also asks goes, and comes back with another answer.
pub(super) async fn prometheus_goes(case: Case) -> Result<()> {
    let rules = "groups:\n- {name: demand, rules: [{record: demand, expr: 'vector(2)'}]}\n";
    let prometheus = Prometheus::start(case.tools(), &case.path("prometheus"), rules).await?;
    let mut setup = case.setup().await?;
    setup.connections = with(&setup.connections, &json!({"prometheus": {"main": {"url": prometheus.url()}}}));
    let over = json!({"sources": [
        lag_source(case.name),
        {"prometheus": {"server": "main", "query": "demand", "means": "demand"}},
    ]});
    let steady = Steady::start_with(&case, case.kafka().await?, case.home().await?, setup, &over).await?;
    prometheus.kill();
    let said = steady.says("SignalMissing").await?;
    case.figure(&said.sentence);
    steady.turns_pass(5).await?;
    prometheus.launch().await?;
    steady.says("AtNeed").await?;
    steady.rises_by_one().await?;
    steady.end(&case).await
}

/// The daemon is killed between two steps up. Started again it goes on from there, and still keeps to the
/// step limit, which it can only know from its memory; killed at rest it moves nothing.
pub(super) async fn the_daemon_is_killed_mid_change(case: Case) -> Result<()> {
    const PERIOD: Duration = Duration::from_secs(12);
    let steps = json!({"behavior": {
        "scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": PERIOD.as_secs()}]},
        "scaleDown": {"stabilizationWindowSeconds": 0},
    }});
    let (home, setup) = (case.home().await?, case.setup().await?);
    let steady = Steady::start_with(&case, case.kafka().await?, home, setup, &steps).await?;
    steady.admin.produce(case.name, 0, 4).await?;
    eventually("the first step up", || async {
        Ok((steady.home.replicas("consumer").await? > 3).then_some(()))
    })
    .await?;
    steady.says("GroupRebalancing").await?;
    steady.daemon.kill();
    steady.daemon.launch().await?;
    steady.home.has("consumer", 5).await?;
    ensure!(steady.log.moves() == [(3, 4), (4, 5)], "moves {:?}", steady.log.moves());
    let sizes = steady.log.sizes();
    let times: Vec<_> = sizes.iter().skip(1).map(|(at, _)| *at).collect();
    if let [first, second] = times.as_slice() {
        // Two seconds for what the watch may lag.
        let between = *second - *first;
        ensure!(
            between + Duration::from_secs(2) > PERIOD,
            "the second step came {between:?} after the first"
        );
    }
    steady.daemon.kill();
    steady.daemon.launch().await?;
    steady.turns_pass(6).await?;
    ensure!(steady.log.moves().len() == 2, "a restart moved it: {:?}", steady.log.moves());
    steady.end(&case).await
}

/// An edit breaks a policy: the last good version stays in force, and the rejection is told everywhere.
/// A document that was never good does not harm its neighbours in the same file.
pub(super) async fn a_policy_is_broken_by_an_edit(case: Case) -> Result<()> {
    let (home, kafka) = (case.home().await?, case.kafka().await?);
    consumers(&case, kafka, &home).await?;
    home.deploy("neighbour", &Image::Pause, 0).await?;
    let log = ReplicaLog::follow(&home, "consumer").await?;
    let good = policy(None, case.name, &spec(case.name, &json!({})));
    home.policies("policies", &good).await?;
    let daemon = Daemon::start(case.setup().await?).await?;
    let beside = json!({
        "target": {"scaleTargetRef": {"kind": "Deployment", "name": "neighbour"}},
        "minReplicas": 0, "maxReplicas": 2,
    });
    let neighbour = policy(Some(case.name), "neighbour", &spec(case.name, &beside));
    let broken = neighbour.replace("\"neighbour\"", "\"broken\"").replace("lagPerReplica", "lagPerReplicas");
    daemon.policies("neighbours.yaml", &format!("{broken}\n---\n{neighbour}\n"))?;
    let steady = Steady { name: case.name, home, admin: kafka.admin()?, daemon, log };
    steady.says("AtNeed").await?;
    steady.daemon.turns_pass(case.name, "neighbour", 1).await?;
    let told = rejection(&steady.daemon, "broken").await?.context("it is not refused")?;
    ensure!(told.contains("neighbours.yaml:1:") && told.contains("lagPerReplica"), "no hint: {told}");

    steady.home.policies("policies", &good.replace("\"maxReplicas\"", "\"maxReplica\"")).await?;
    let told = eventually("the rejection is listed", || rejection(&steady.daemon, case.name)).await?;
    ensure!(told.contains("maxReplicas"), "no hint at the right name: {told}");
    ensure!(told.contains("policies.yaml:1:"), "no hint at the place: {told}");
    case.figure(told.lines().next().unwrap_or_default());
    let refused = steady.daemon.metric("tidegate_policies", &[("state", "rejected")]).await?;
    ensure!((refused - 2.0).abs() < 1e-9, "the metric counts {refused} refused policies");
    let events: Api<Event> = Api::namespaced(steady.home.client.clone(), case.name);
    eventually("the namespace has an event about it", || async {
        let events = events.list(&ListParams::default()).await?;
        let notes = events.items.iter().filter_map(|event| event.note.as_deref());
        Ok(notes.into_iter().any(|note| note.contains("maxReplicas")).then_some(()))
    })
    .await?;
    steady.rises_by_one().await.context("under the last good version")?;

    steady.home.policies("policies", &good).await?;
    eventually("the rejection is gone", || async {
        Ok(rejection(&steady.daemon, case.name).await?.is_none().then_some(()))
    })
    .await?;
    steady.rises_by_one().await?;
    steady.end(&case).await
}

/// What `/api/v1/policies` says of a refused policy, if it is refused.
async fn rejection(daemon: &Daemon, name: &str) -> Result<Option<String>> {
    let policies = daemon.json("/api/v1/policies").await?;
    let rejected = at(&policies, "/rejected").as_array().context("no list of rejections")?;
    let named = rejected.iter().find(|rejected| *at(rejected, "/id/name") == name);
    Ok(named.and_then(|rejected| at(rejected, "/problems/0").as_str()).map(str::to_owned))
}

/// The topic is deleted, and made again.
pub(super) async fn a_topic_is_deleted_and_recreated(case: Case) -> Result<()> {
    let (home, setup) = (case.home().await?, case.setup().await?);
    // With the topic go the group's commits: everything in the new one counts. It is empty at first, so
    // a move down would be right in the end: not within this window.
    let mut source = lag_source(case.name);
    if let Some(source) = source.pointer_mut("/kafkaLag").and_then(Value::as_object_mut) {
        source.insert("offsetResetPolicy".to_owned(), "earliest".into());
    }
    let over = json!({"behavior": {}, "sources": [source]});
    let steady = Steady::start_with(&case, case.kafka().await?, home, setup, &over).await?;
    steady.admin.delete(case.name).await?;
    let said = steady.says("SignalMissing").await?;
    case.figure(&said.sentence);
    ensure!(said.backlog.is_none(), "a topic that is gone has a backlog of {:?}", said.backlog);
    steady.turns_pass(5).await?;
    steady.admin.create(case.name, PARTITIONS).await?;
    for partition in 0..4 {
        steady.admin.produce(case.name, partition, 2).await?;
    }
    steady.home.has("consumer", 4).await?;
    steady.end(&case).await
}

/// Retention deletes what was never processed.
pub(super) async fn retention_passes_the_commit(case: Case) -> Result<()> {
    let (home, setup) = (case.home().await?, case.setup().await?);
    let over = json!({"behavior": {}});
    let steady = Steady::start_with(&case, case.kafka().await?, home, setup, &over).await?;
    // Six records are left, in three partitions; one of each goes.
    steady.admin.truncate(case.name, &(0..3).map(|partition| (partition, 1)).collect()).await?;
    steady.sees(3).await.context("records that are gone do not count")?;
    steady.says("DownStabilizing").await?;
    steady.admin.produce(case.name, 0, 3).await?;
    steady.sees(6).await?;
    steady.rises_by_one().await?;
    steady.end(&case).await
}
