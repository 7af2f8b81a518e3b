//! What transactions leave behind, for a policy with readUncommitted.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::support::daemon::{Daemon, Workload, at};
use crate::support::kafka::Kafka;
use crate::support::objects::{Image, policy, with};
use crate::support::waiting::becomes;
use crate::support::world::Case;

const RECORDS: usize = 5;
/// Partition 0 ends with a committed transaction, 1 with an aborted one, 2 with plain records.
const PARTITIONS: i32 = 3;

/// A consumer of librdkafka that has read everything stays one offset short of each transaction's end, until
/// a record follows; the Java client's commit passes the marker. Under readUncommitted that offset stays
/// backlog, since it may as well be a record; but once it has rested it is not taken for late.
pub(super) async fn a_marker_stays_behind_a_consumer_of_librdkafka(case: Case) -> Result<()> {
    let (kafka, home) = (case.kafka().await?, case.home().await?);
    let (admin, topic) = (kafka.admin()?, case.name);
    admin.create(topic, PARTITIONS).await?;
    admin.transact(topic, 0, RECORDS, true).await?;
    admin.transact(topic, 1, RECORDS, false).await?;
    admin.produce(topic, 2, RECORDS).await?;
    let consumer = Image::consumer(&kafka.bootstrap(), "librdkafka", &[topic], 500);
    home.deploy("consumer", &consumer.set("isolation.level=read_uncommitted"), 1).await?;
    home.deploy("java", &Image::Pause, 1).await?;
    java_reads(kafka, topic).await?;

    let daemon = Daemon::start(case.setup().await?).await?;
    let spec = |deployment: &str, group: &str, objective: &Value| {
        let base = json!({
            "target": {"scaleTargetRef": {"kind": "Deployment", "name": deployment}},
            "sources": [{"kafkaLag": {"cluster": "main", "group": group, "topics": [topic]}}],
            "minReplicas": 1, "maxReplicas": PARTITIONS,
        });
        policy(Some(case.name), group, &with(&base, objective))
    };
    let age = json!({"objective": {"maxLag": "5s"}, "capacityPerReplica": 500});
    daemon.policies("librdkafka.yaml", &spec("consumer", "librdkafka", &age))?;
    let end = i64::try_from(RECORDS)?;
    let marked = [(Some(end), Some(end + 1), Some(1)), (Some(end), Some(end + 1), Some(1))];
    let plain = (Some(end), Some(end), Some(0));
    becomes("(committed, end, lag) of librdkafka", vec![marked[0], marked[1], plain], || {
        offsets(&daemon, &case, "librdkafka")
    })
    .await?;

    let passed = (Some(end + 1), Some(end + 1), Some(0));
    daemon.policies("java.yaml", &spec("java", "java", &json!({"objective": {"lagPerReplica": 1}})))?;
    becomes("(committed, end, lag) of Java", vec![passed, passed, plain], || offsets(&daemon, &case, "java"))
        .await?;

    // At first it may be a record that is late; after a rest of a minute in the hands of a member it is
    // nothing that more replicas would help with, whatever it is.
    for late in [json!(true), Value::Null] {
        becomes("whether records are overdue", late, || async {
            let detail = daemon.json(&format!("/api/v1/workloads/{}/librdkafka", case.name)).await?;
            Ok(at(&detail, "/decision/estimate/overdue").clone())
        })
        .await?;
    }
    daemon.turns_pass(case.name, "librdkafka", 5).await?;
    let rests: Workload = daemon.workload(case.name, "librdkafka").await?;
    ensure!(rests.backlog == Some(2), "a tail is hidden: {:?}", rests.backlog);
    ensure!(rests.desired == Some(1), "tails ask for replicas: {}", rests.sentence);
    case.figure(&format!("librdkafka stays 1 behind each transaction, Java 0: {}", rests.sentence));

    // A record that follows takes the marker before it along.
    admin.produce(topic, 0, 1).await?;
    becomes("the backlog after one record more", Some(1), || async {
        Ok(daemon.workload(case.name, "librdkafka").await?.backlog)
    })
    .await?;
    ensure!(daemon.stop().await?.success());
    Ok(())
}

/// The Java client reads everything once and leaves.
async fn java_reads(kafka: &Kafka, topic: &str) -> Result<()> {
    let args = [
        "--topic",
        topic,
        "--group",
        "java",
        "--from-beginning",
        "--timeout-ms",
        "8000",
        "--isolation-level",
        "read_uncommitted",
    ];
    kafka.tool("org.apache.kafka.tools.consumer.ConsoleConsumer", &args).await
}

type Place = (Option<i64>, Option<i64>, Option<i64>);

/// What each partition has committed, where it ends, and the lag.
async fn offsets(daemon: &Daemon, case: &Case, name: &str) -> Result<Vec<Place>> {
    let detail = daemon.json(&format!("/api/v1/workloads/{}/{name}", case.name)).await?;
    let partitions = at(&detail, "/partitions").as_array().context("no partitions")?;
    let number = |one: &Value, field: &str| at(one, field).as_i64();
    Ok(partitions
        .iter()
        .map(|one| (number(one, "/committed"), number(one, "/end"), number(one, "/lag")))
        .collect())
}
