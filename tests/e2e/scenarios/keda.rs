//! The ten Kafka scenarios that KEDA tests its own scaler with, each to its exact end state, by
//! `lagPerReplica`. KEDA's consumers commit nothing in them: every record stays unprocessed.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::support::daemon::Daemon;
use crate::support::objects::{Home, Image, policy, with};
use crate::support::replicas::ReplicaLog;
use crate::support::topics::Admin;
use crate::support::world::Case;

/// "Stays" means: through so many more decisions.
const STAYS: usize = 8;
const PARTITIONS: i32 = 3;

/// One scenario's pieces.
struct Ladder {
    case: Case,
    home: Home,
    admin: Admin,
    daemon: Daemon,
    log: ReplicaLog,
}

impl Ladder {
    /// A Deployment that rests at 0, and a policy over it. `source` and `spec` say what is special.
    async fn start(case: Case, topics: &[(&str, i32)], source: &Value, spec: &Value) -> Result<Self> {
        let (admin, home) = (case.kafka().await?.admin()?, case.home().await?);
        for (topic, partitions) in topics {
            admin.create(topic, *partitions).await?;
        }
        let names: Vec<&str> = topics.iter().map(|(topic, _)| *topic).collect();
        let image =
            Image::consumer(&case.kafka().await?.bootstrap(), case.name, &names, 50).without_commits();
        home.deploy("consumer", &image, 0).await?;
        let log = ReplicaLog::follow(&home, "consumer").await?;
        let source = with(&json!({"cluster": "main", "group": case.name}), source);
        let spec = with(
            &json!({
                "mode": "Apply",
                "target": {"scaleTargetRef": {"kind": "Deployment", "name": "consumer"}},
                "sources": [{"kafkaLag": source}],
                "objective": {"lagPerReplica": 1},
                "minReplicas": 0, "maxReplicas": 100, "cooldown": "0s",
                "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
                "budget": {"changesPerHour": 100},
            }),
            spec,
        );
        home.policies("policies", &policy(None, case.name, &spec)).await?;
        let daemon = case.daemon().await?;
        daemon.turns_pass(case.name, case.name, 1).await?;
        Ok(Self { case, home, admin, daemon, log })
    }

    /// Waits for a size, all ready.
    async fn becomes(&self, replicas: i32) -> Result<()> {
        let reached = self.home.has("consumer", replicas).await;
        if reached.is_err() {
            let workload = self.daemon.workload(self.case.name, self.case.name).await?;
            return reached.with_context(|| format!("it says {:?}: {}", workload.reasons, workload.sentence));
        }
        Ok(())
    }

    /// The size is this, and no decision changes it.
    async fn stays(&self, replicas: i32) -> Result<()> {
        let before = self.log.sizes().len();
        self.daemon.turns_pass(self.case.name, self.case.name, STAYS).await?;
        let sizes = self.log.sizes();
        let moved = sizes.get(before..).unwrap_or_default();
        ensure!(moved.is_empty(), "it should have stayed at {replicas} and went to {moved:?}");
        ensure!(self.home.replicas("consumer").await? == replicas, "it is not at {replicas}: {sizes:?}");
        Ok(())
    }

    async fn produce(&self, topic: &str, partition: i32, count: usize) -> Result<()> {
        self.admin.produce(topic, partition, count).await
    }

    /// The daemon must be alive, and the scenario's moves are exactly these.
    async fn end(self, moves: &[(i32, i32)]) -> Result<()> {
        ensure!(self.log.moves() == moves, "expected the moves {moves:?}, saw {:?}", self.log.moves());
        let status = self.daemon.stop().await?;
        ensure!(status.success(), "the daemon ended with {status}");
        self.daemon.replays().await
    }
}

/// Nothing is committed; everything in the log counts.
pub(super) async fn earliest(case: Case) -> Result<()> {
    let topic = case.name;
    let source = json!({"topics": [topic], "offsetResetPolicy": "earliest"});
    let ladder =
        Ladder::start(case, &[(topic, PARTITIONS)], &source, &json!({"activation": {"lag": 1}})).await?;
    zero_zero_two_three(ladder, topic).await
}

/// The group has committed the end of the log.
pub(super) async fn latest(case: Case) -> Result<()> {
    let topic = case.name;
    let admin = case.kafka().await?.admin()?;
    admin.create(topic, PARTITIONS).await?;
    admin.commit_ends(case.name, topic, PARTITIONS).await?;
    let source = json!({"topics": [topic], "offsetResetPolicy": "latest"});
    let ladder = Ladder::start(case, &[], &source, &json!({"activation": {"lag": 1}})).await?;
    zero_zero_two_three(ladder, topic).await
}

/// One record does not activate, the second asks for two replicas, five more for one per partition.
async fn zero_zero_two_three(ladder: Ladder, topic: &str) -> Result<()> {
    ladder.stays(0).await?;
    ladder.produce(topic, 0, 1).await?;
    ladder.stays(0).await?;
    ladder.produce(topic, 1, 1).await?;
    ladder.becomes(2).await?;
    ladder.produce(topic, 2, 5).await?;
    ladder.becomes(3).await?;
    ladder.stays(3).await?;
    ladder.end(&[(0, 2), (2, 3)]).await
}

/// No topic is named: every topic with a committed offset counts.
pub(super) async fn multi_topic(case: Case) -> Result<()> {
    let (a, b) = ("keda-multi-topic-a", "keda-multi-topic-b");
    let admin = case.kafka().await?.admin()?;
    for topic in [a, b] {
        admin.create(topic, PARTITIONS).await?;
        admin.commit_ends(case.name, topic, PARTITIONS).await?;
    }
    let ladder = Ladder::start(case, &[], &json!({}), &json!({})).await?;
    ladder.stays(0).await?;
    ladder.produce(a, 0, 1).await?;
    ladder.becomes(1).await?;
    ladder.produce(b, 0, 1).await?;
    ladder.becomes(2).await?;
    ladder.stays(2).await?;
    ladder.end(&[(0, 1), (1, 2)]).await
}

async fn zero_on_invalid_offset(case: Case, reset: &str) -> Result<()> {
    let topic = case.name;
    let source = json!({"topics": [topic], "offsetResetPolicy": reset, "scaleToZeroOnInvalidOffset": true});
    let ladder = Ladder::start(case, &[(topic, PARTITIONS)], &source, &json!({})).await?;
    ladder.stays(0).await?;
    ladder.end(&[]).await
}

/// No offset is committed, and that may rest at 0.
pub(super) async fn zero_on_invalid_offset_latest(case: Case) -> Result<()> {
    zero_on_invalid_offset(case, "latest").await
}

/// The same, where everything in the log would count.
pub(super) async fn zero_on_invalid_offset_earliest(case: Case) -> Result<()> {
    zero_on_invalid_offset(case, "earliest").await
}

/// No offset is committed: one consumer is kept to commit, and goes once it has.
async fn one_on_invalid_offset(case: Case, reset: &str, records: usize) -> Result<()> {
    let (topic, group) = (case.name, case.name);
    let admin = case.kafka().await?.admin()?;
    admin.create(topic, 1).await?;
    admin.produce(topic, 0, records).await?;
    let source = json!({"topics": [topic], "offsetResetPolicy": reset, "scaleToZeroOnInvalidOffset": false});
    let ladder = Ladder::start(case, &[], &source, &json!({})).await?;
    ladder.becomes(1).await?;
    ladder.stays(1).await?;
    // A consumer that commits takes over.
    let image = Image::consumer(&ladder.case.kafka().await?.bootstrap(), group, &[topic], 50);
    ladder.home.redeploy("consumer", &image).await?;
    ladder.produce(topic, 0, 1).await?;
    ladder.becomes(0).await?;
    ladder.stays(0).await?;
    ladder.end(&[(0, 1), (1, 0)]).await
}

/// An empty topic, read from its end.
pub(super) async fn one_on_invalid_offset_latest(case: Case) -> Result<()> {
    one_on_invalid_offset(case, "latest", 0).await
}

/// One record, read from the log's start.
pub(super) async fn one_on_invalid_offset_earliest(case: Case) -> Result<()> {
    one_on_invalid_offset(case, "earliest", 1).await
}

/// The group's offset is stuck: more lag does not bring more replicas.
pub(super) async fn persistent_lag(case: Case) -> Result<()> {
    let (topic, group) = (case.name, case.name);
    let admin = case.kafka().await?.admin()?;
    admin.create(topic, 1).await?;
    admin.commit_ends(group, topic, 1).await?;
    let source = json!({"topics": [topic], "excludePersistentLag": true});
    let ladder = Ladder::start(case, &[], &source, &json!({})).await?;
    // The Pods consume, but for another group: this group's offset never moves.
    let image = Image::consumer(&ladder.case.kafka().await?.bootstrap(), "keda-somebody-else", &[topic], 50);
    ladder.home.redeploy("consumer", &image).await?;
    ladder.produce(topic, 0, 1).await?;
    ladder.becomes(1).await?;
    ladder.produce(topic, 0, 5).await?;
    ladder.stays(1).await?;
    ladder.end(&[(0, 1)]).await
}

/// Replicas that would find no lagging partition are not asked for.
pub(super) async fn only_lagging_partitions(case: Case) -> Result<()> {
    let topic = case.name;
    let admin = case.kafka().await?.admin()?;
    admin.create(topic, PARTITIONS).await?;
    admin.commit_ends(case.name, topic, PARTITIONS).await?;
    let spec = json!({"partitions": "limitToPartitionsWithLag", "activation": {"lag": 1}});
    let ladder = Ladder::start(case, &[], &json!({"topics": [topic]}), &spec).await?;
    ladder.produce(topic, 0, 1).await?;
    ladder.stays(0).await?;
    ladder.produce(topic, 0, 5).await?;
    ladder.becomes(1).await?;
    ladder.stays(1).await?;
    ladder.produce(topic, 1, 5).await?;
    ladder.becomes(2).await?;
    ladder.stays(2).await?;
    ladder.end(&[(0, 1), (1, 2)]).await
}

/// Only replica counts that divide the partitions.
pub(super) async fn even_distribution(case: Case) -> Result<()> {
    let topic = case.name;
    let admin = case.kafka().await?.admin()?;
    admin.create(topic, 10).await?;
    admin.commit_ends(case.name, topic, 10).await?;
    let spec = json!({"partitions": "evenDistribution", "activation": {"lag": 1}});
    let ladder = Ladder::start(case, &[], &json!({"topics": [topic]}), &spec).await?;
    ladder.produce(topic, 0, 1).await?;
    ladder.stays(0).await?;
    ladder.produce(topic, 1, 4).await?;
    ladder.becomes(5).await?;
    ladder.stays(5).await?;
    ladder.produce(topic, 2, 3).await?;
    ladder.becomes(10).await?;
    ladder.stays(10).await?;
    ladder.end(&[(0, 5), (5, 10)]).await
}
