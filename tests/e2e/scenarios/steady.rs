//! A workload that sits exactly at its need, with every damper against moves down taken off: whatever a
//! fault makes the daemon believe shows at once.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::support::daemon::{Daemon, Setup, Workload, plain_kafka};
use crate::support::kafka::Kafka;
use crate::support::objects::{Home, Image, policy, with};
use crate::support::replicas::ReplicaLog;
use crate::support::topics::Admin;
use crate::support::waiting::becomes;
use crate::support::world::Case;

pub(super) const PARTITIONS: i32 = 6;
/// Unprocessed records per replica.
const PER_REPLICA: usize = 2;
/// Where it sits.
const SIZE: i32 = 3;

/// The workload and its daemon.
pub(super) struct Steady {
    pub(super) name: &'static str,
    pub(super) home: Home,
    pub(super) admin: Admin,
    pub(super) daemon: Daemon,
    pub(super) log: ReplicaLog,
}

/// The backlog of the consumers' group.
pub(super) fn lag_source(name: &str) -> Value {
    json!({"kafkaLag": {"cluster": "main", "group": name, "topics": [name]}})
}

/// The policy's spec; `spec` is laid over it.
pub(super) fn spec(name: &str, spec: &Value) -> Value {
    let base = json!({
        "mode": "Apply",
        "target": {"scaleTargetRef": {"kind": "Deployment", "name": "consumer"}},
        "sources": [lag_source(name)],
        "objective": {"lagPerReplica": PER_REPLICA},
        "minReplicas": 0, "maxReplicas": PARTITIONS, "cooldown": "0s",
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
        "budget": {"changesPerHour": 100},
    });
    with(&base, spec)
}

/// Makes the topic, the commits and the consumers, which join the group and commit nothing: the backlog
/// stays.
pub(super) async fn consumers(case: &Case, kafka: &Kafka, home: &Home) -> Result<()> {
    let admin = kafka.admin()?;
    admin.create(case.name, PARTITIONS).await?;
    admin.commit_ends(case.name, case.name, PARTITIONS).await?;
    for partition in 0..SIZE {
        admin.produce(case.name, partition, PER_REPLICA).await?;
    }
    let image = Image::consumer(&kafka.bootstrap(), case.name, &[case.name], 50).without_commits();
    home.deploy("consumer", &image, SIZE).await
}

impl Steady {
    /// The plain case: on `kafka`, the other servers shared.
    pub(super) async fn start(case: &Case, kafka: &Kafka) -> Result<Self> {
        let mut setup = case.setup().await?;
        setup.connections = plain_kafka(&kafka.bootstrap());
        Self::start_with(case, kafka, case.home().await?, setup, &json!({})).await
    }

    /// Starts everything and waits until the daemon finds nothing to do.
    pub(super) async fn start_with(
        case: &Case,
        kafka: &Kafka,
        home: Home,
        setup: Setup,
        over: &Value,
    ) -> Result<Self> {
        consumers(case, kafka, &home).await?;
        let log = ReplicaLog::follow(&home, "consumer").await?;
        let daemon = Daemon::start(setup).await?;
        daemon.policies("steady.yaml", &policy(Some(case.name), case.name, &spec(case.name, over)))?;
        let steady = Self { name: case.name, home, admin: kafka.admin()?, daemon, log };
        steady.says("AtNeed").await?;
        // Ready answers 200 only.
        steady.daemon.get("/readyz").await?;
        Ok(steady)
    }

    /// Waits for a decision for this reason.
    pub(super) async fn says(&self, reason: &str) -> Result<Workload> {
        self.daemon.says(self.name, self.name, reason).await
    }

    /// Waits until so many records are seen as unprocessed.
    pub(super) async fn sees(&self, backlog: u64) -> Result<()> {
        becomes("the backlog that the daemon sees", Some(backlog), || async {
            Ok(self.daemon.workload(self.name, self.name).await?.backlog)
        })
        .await
    }

    /// Takes some turns.
    pub(super) async fn turns_pass(&self, turns: usize) -> Result<()> {
        self.daemon.turns_pass(self.name, self.name, turns).await
    }

    /// It works: more backlog brings one replica more, and that becomes ready.
    pub(super) async fn rises_by_one(&self) -> Result<()> {
        let size = self.home.replicas("consumer").await?;
        self.admin.produce(self.name, 0, PER_REPLICA).await?;
        self.home.has("consumer", size + 1).await.context("it does not work any more")?;
        self.says("AtNeed").await?;
        Ok(())
    }

    /// Never moved down, and alive from the beginning.
    pub(super) async fn end(self, case: &Case) -> Result<()> {
        self.log.never_lowered()?;
        case.figure(&format!("moves {:?}; reasons {:?}", self.log.moves(), self.reasons()?));
        self.daemon.alive()?;
        let status = self.daemon.stop().await?;
        ensure!(status.success(), "the daemon ended with {status}");
        self.daemon.replays().await
    }

    /// Every reason given, in order, each run of equals once.
    pub(super) fn reasons(&self) -> Result<Vec<String>> {
        let turns = self.daemon.journal(self.name, self.name)?;
        let mut reasons: Vec<String> = turns.iter().map(|turn| turn.decision.reason.clone()).collect();
        reasons.dedup();
        Ok(reasons)
    }
}
