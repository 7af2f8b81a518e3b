//! Many groups and partitions on real brokers.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};
use rdkafka::admin::{NewTopic, TopicReplication};
use serde_json::json;

use crate::support::cluster::User;
use crate::support::daemon::{Daemon, plain_kafka};
use crate::support::kafka::{Kafka, Layout};
use crate::support::objects::{Image, policy};
use crate::support::waiting::eventually;
use crate::support::world::Case;

const TOPICS: usize = 100;
const PARTITIONS: i32 = 20;
const LAG: u64 = 5;
/// Requests for one sweep over everything, whatever the number of groups. One broker and one reset
/// policy: metadata, list of groups, coordinators, one fetch of all groups' offsets, and ends, starts
/// and times in chunks of partitions.
const REQUESTS: f64 = 20.0;

/// 100 groups with 2,000 partitions: what one sweep costs, counted by the broker itself.
pub(super) async fn two_thousand_partitions_and_a_hundred_groups(case: Case) -> Result<()> {
    let layout = Layout { brokers: 1, log_requests: true, ..Layout::default() };
    let kafka = Kafka::start(case.tools(), &case.path("kafka"), layout).await?;
    let admin = kafka.admin()?;
    let names: Vec<String> = (0..TOPICS).map(|index| format!("fleet-{index:03}")).collect();
    for chunk in names.chunks(25) {
        let topics: Vec<_> =
            chunk.iter().map(|name| NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(1))).collect();
        admin.create_all(&topics).await?;
    }
    kafka.whole().await?;
    let start: BTreeMap<i32, i64> = (0..PARTITIONS).map(|partition| (partition, 0)).collect();
    for name in &names {
        admin.produce(name, 0, usize::try_from(LAG)?).await?;
        admin.commit(name, name, &start).await?;
    }

    let home = case.home().await?;
    home.deploy("consumer", &Image::Pause, 1).await?;
    let mut policies = String::new();
    for name in &names {
        home.deploy(name, &Image::Pause, 0).await?;
        let spec = json!({
            "target": {"scaleTargetRef": {"kind": "Deployment", "name": name}},
            "sources": [{"kafkaLag": {"cluster": "main", "group": name, "topics": [name]}}],
            "objective": {"lagPerReplica": 1}, "minReplicas": 0, "maxReplicas": 20,
        });
        writeln!(policies, "---\n{}", policy(Some(case.name), name, &spec))?;
    }
    let mut setup = case.setup().await?;
    setup.kubeconfig = case.cluster().await?.kubeconfig(User::DryTidegate);
    setup.connections = plain_kafka(&kafka.bootstrap());
    setup.mode = "Recommend";
    setup.further = json!({
        "interval": "5s", "limits": {"kubernetesRequestsPerSecond": 500, "sourceTimeout": "20s"},
    });
    let daemon = Daemon::prepare(setup)?;
    daemon.policies("fleet.yaml", &policies)?;
    daemon.launch().await?;
    eventually("every workload is decided on", || async {
        let workloads = daemon.workloads().await?;
        let known = workloads.iter().filter(|workload| workload.backlog == Some(LAG)).count();
        ensure!(known == TOPICS, "{known} of {} workloads know their backlog", workloads.len());
        Ok(Some(()))
    })
    .await?;
    measure(&case, &kafka, &daemon, names.first().context("no topics")?).await?;
    ensure!(daemon.stop().await?.success());
    Ok(())
}

/// Requests per sweep as the broker logged them, and what the daemon says of itself.
async fn measure(case: &Case, kafka: &Kafka, daemon: &Daemon, name: &str) -> Result<()> {
    let own = async |family: &str| daemon.metric(family, &[("kind", "kafka"), ("connection", "main")]).await;
    let (before, swept) = (requests(kafka)?, own("tidegate_sweeps_total").await?);
    daemon.turns_pass(case.name, name, 4).await?;
    let (after, sweeps) = (requests(kafka)?, own("tidegate_sweeps_total").await? - swept);
    let counted: BTreeMap<_, _> = after
        .iter()
        .map(|(kind, count)| (kind, count - before.get(kind).copied().unwrap_or_default()))
        .filter(|(_, count)| *count > 0)
        .collect();
    let per_sweep = f64::from(counted.values().sum::<u32>()) / sweeps;
    let seconds = own("tidegate_sweep_seconds_total").await? / own("tidegate_sweeps_total").await?;
    case.figure(&format!(
        "{TOPICS} groups, {} partitions: {per_sweep:.1} requests and {seconds:.3} s a sweep \
         ({counted:?} in {sweeps} sweeps); resident memory {} MiB",
        TOPICS * usize::try_from(PARTITIONS)?,
        daemon.resident_bytes()? >> 20,
    ));
    ensure!(sweeps >= 3.0 && !counted.is_empty(), "{sweeps} sweeps, {counted:?}");
    ensure!(per_sweep <= REQUESTS, "{per_sweep} requests a sweep are too many");
    Ok(())
}

/// Requests of the daemon's by kind, as the broker logged them.
fn requests(kafka: &Kafka) -> Result<BTreeMap<String, u32>> {
    let log = kafka.log(1)?;
    let mut counts = BTreeMap::new();
    for line in log.lines().filter(|line| line.contains("\"clientId\":\"tidegate")) {
        let kind = line.split("\"requestApiKeyName\":\"").nth(1).and_then(|rest| rest.split('"').next());
        *counts.entry(kind.context("a request without a name")?.to_owned()).or_default() += 1;
    }
    Ok(counts)
}
