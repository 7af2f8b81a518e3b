//! The lag of the same groups and partitions, by Tidegate, by Kafka's own command and by KEDA's external
//! metric. Where they differ, `docs/keda.md` says why; this pins by how much.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::support::daemon::{Daemon, at};
use crate::support::keda::{Keda, scaled_object};
use crate::support::objects::{Home, Image, policy};
use crate::support::topics::{Admin, Offsets, Transaction};
use crate::support::waiting::becomes;
use crate::support::world::Case;

const COMMAND: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";

/// What the three must say of one group and one topic.
struct Truth {
    /// The topic, the group, the policy, the ScaledObject.
    name: &'static str,
    /// `offsetResetPolicy`, of both.
    reset: &'static str,
    isolation: &'static str,
    /// Tidegate's, by partition.
    tidegate: &'static [i64],
    /// Kafka's, by partition. Without members it lists only those with a commit.
    kafka: &'static [i64],
    /// KEDA's, of all partitions together.
    keda: i64,
}

const COMMITS: Truth = Truth {
    name: "commits",
    reset: "latest",
    isolation: "readUncommitted",
    tidegate: &[6, 0, 30],
    kafka: &[6, 0, 30],
    keda: 36,
};
/// Nobody has ever committed; of 5 and 7 records, 2 are deleted.
const NOTHING: Truth = Truth {
    name: "nothing-committed",
    reset: "earliest",
    isolation: "readUncommitted",
    tidegate: &[3, 7],
    kafka: &[],
    keda: 10,
};
/// One partition of two has a commit, and consumers would start at the end of the other.
const SOME: Truth = Truth {
    name: "some-committed",
    reset: "latest",
    isolation: "readUncommitted",
    tidegate: &[2, 1],
    kafka: &[2],
    keda: 3,
};
/// Ten records in a transaction and its marker, all but the marker committed by the group; then five
/// records in a transaction that stays open.
const TRANSACTIONS: Truth = Truth {
    name: "transactions",
    reset: "latest",
    isolation: "readCommitted",
    tidegate: &[1],
    kafka: &[6],
    keda: 6,
};
/// Retention has passed the commit: 5 of 30 processed, 20 deleted.
const DELETED: Truth = Truth {
    name: "deleted-records",
    reset: "latest",
    isolation: "readUncommitted",
    tidegate: &[10],
    kafka: &[25],
    keda: 25,
};
/// Two partitions with a commit; two more came later, one of them with 3 records.
const ADDED: Truth = Truth {
    name: "added-partitions",
    reset: "earliest",
    isolation: "readUncommitted",
    tidegate: &[4, 0, 0, 3],
    kafka: &[4, 0],
    keda: 7,
};
/// The commit lies beyond the end, as after a topic was made anew; a second partition has 10 to go.
const BEYOND: Truth = Truth {
    name: "beyond-the-end",
    reset: "earliest",
    isolation: "readUncommitted",
    tidegate: &[8, 10],
    kafka: &[-42, 10],
    keda: 0,
};
const ALL: [&Truth; 7] = [&COMMITS, &NOTHING, &SOME, &TRANSACTIONS, &DELETED, &ADDED, &BEYOND];

/// Prepares every case, then asks all three.
pub(super) async fn three_readers_of_the_same_offsets(case: Case) -> Result<()> {
    let (keda, kafka) = (case.keda().await?, case.kafka().await?);
    let (admin, bootstrap) = (kafka.admin()?, kafka.bootstrap());
    let home = Home::create(keda.cluster().client(), case.name).await?;
    let open = offsets(&admin).await?;
    let daemon = Daemon::start(case.setup_on(keda.cluster()).await?).await?;
    for truth in ALL {
        home.deploy(truth.name, &Image::Pause, 1).await?;
        scaled_object(&home, truth.name, &truth.scaled_object(&bootstrap)).await?;
        daemon.policies(&format!("{}.yaml", truth.name), &truth.policy(case.name))?;
    }
    grow(&admin, &kafka.admin()?).await?;
    for truth in ALL {
        let tidegate = truth.tidegate.iter().map(|lag| Some(*lag)).collect::<Vec<_>>();
        becomes(&format!("{}: Tidegate's lag", truth.name), tidegate, || async {
            ours(&daemon, case.name, truth.name)
        })
        .await?;
        let (_, text) = kafka.ask(COMMAND, &["--describe", "--group", truth.name]).await?;
        let theirs = by_the_command(&text);
        ensure!(theirs == truth.kafka, "{}: Kafka's command says {theirs:?}: {text}", truth.name);
        becomes(&format!("{}: KEDA's lag", truth.name), truth.keda, || by_keda(keda, case.name, truth.name))
            .await?;
        let sum: i64 = truth.tidegate.iter().sum();
        case.figure(&format!("{}: Tidegate {sum}, Kafka {theirs:?}, KEDA {}", truth.name, truth.keda));
    }
    // What comes out of the transaction is backlog to all three.
    open.commit().await?;
    becomes("Tidegate's lag after the commit", vec![Some(7)], || async {
        ours(&daemon, case.name, TRANSACTIONS.name)
    })
    .await?;
    becomes("KEDA's lag after the commit", 7, || by_keda(keda, case.name, TRANSACTIONS.name)).await?;
    let (_, text) = kafka.ask(COMMAND, &["--describe", "--group", TRANSACTIONS.name]).await?;
    ensure!(by_the_command(&text) == [7], "Kafka's command says {text}");
    ensure!(daemon.stop().await?.success());
    Ok(())
}

impl Truth {
    /// Of one record per replica, never capped: what KEDA answers is the lag.
    fn scaled_object(&self, bootstrap: &str) -> Value {
        json!({
            "scaleTargetRef": {"name": self.name}, "minReplicaCount": 1, "maxReplicaCount": 1,
            "triggers": [{"type": "kafka", "metadata": {
                "bootstrapServers": bootstrap, "consumerGroup": self.name, "topic": self.name,
                "lagThreshold": "1", "allowIdleConsumers": "true", "offsetResetPolicy": self.reset,
            }}],
        })
    }

    fn policy(&self, namespace: &str) -> String {
        let source = json!({
            "cluster": "main", "group": self.name, "topics": [self.name],
            "offsetResetPolicy": self.reset, "isolationLevel": self.isolation,
        });
        let spec = json!({
            "mode": "Recommend", "target": {"scaledObject": {"name": self.name}},
            "sources": [{"kafkaLag": source}], "objective": {"lagPerReplica": 1},
            "minReplicas": 1, "maxReplicas": 100,
        });
        policy(Some(namespace), self.name, &spec)
    }
}

/// Topics, records and commits; the transaction that stays open.
async fn offsets(admin: &Admin) -> Result<Transaction> {
    let commit = async |truth: &Truth, offsets: &[(i32, i64)]| {
        let offsets: Offsets = offsets.iter().copied().collect();
        admin.commit(truth.name, truth.name, &offsets).await
    };
    let fill = async |truth: &Truth, records: &[usize]| {
        admin.create(truth.name, i32::try_from(records.len())?).await?;
        for (partition, count) in (0..).zip(records) {
            admin.produce(truth.name, partition, *count).await?;
        }
        anyhow::Ok(())
    };
    fill(&COMMITS, &[10, 20, 30]).await?;
    commit(&COMMITS, &[(0, 4), (1, 20), (2, 0)]).await?;
    fill(&NOTHING, &[5, 7]).await?;
    admin.truncate(NOTHING.name, &[(0, 2)].into()).await?;
    fill(&SOME, &[5, 7]).await?;
    commit(&SOME, &[(0, 3)]).await?;
    fill(&DELETED, &[30]).await?;
    commit(&DELETED, &[(0, 5)]).await?;
    admin.truncate(DELETED.name, &[(0, 20)].into()).await?;
    fill(&ADDED, &[4, 2]).await?;
    commit(&ADDED, &[(0, 0), (1, 2)]).await?;
    fill(&BEYOND, &[8, 10]).await?;
    commit(&BEYOND, &[(0, 50), (1, 0)]).await?;
    admin.create(TRANSACTIONS.name, 1).await?;
    admin.transaction(TRANSACTIONS.name, 0, 10).await?.commit().await?;
    commit(&TRANSACTIONS, &[(0, 10)]).await?;
    admin.transaction(TRANSACTIONS.name, 0, 5).await
}

/// Partitions are added while all three are looking.
async fn grow(admin: &Admin, fresh: &Admin) -> Result<()> {
    admin.grow(ADDED.name, 4).await?;
    // Who has written to the topic before does not know of them yet.
    fresh.produce(ADDED.name, 3, 3).await
}

/// The lag of every partition as the newest line of the journal has it.
fn ours(daemon: &Daemon, namespace: &str, name: &str) -> Result<Vec<Option<i64>>> {
    let text = std::fs::read_to_string(daemon.journal_file())?;
    let mut turns = text.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let workload = json!({"namespace": namespace, "name": name});
    let turn = turns.find(|line| at(line, "/turn/workload") == &workload);
    let turn = turn.context("no turn in the journal yet")?;
    let partitions = at(&turn, "/turn/observation/sources/0/backlog/partitions").as_array();
    let partitions = partitions.context("a turn without partitions")?;
    Ok(partitions.iter().map(|partition| at(partition, "/lag").as_i64()).collect())
}

async fn by_keda(keda: &Keda, namespace: &str, name: &str) -> Result<i64> {
    keda.lag(namespace, name, name).await
}

/// The column LAG by partition; nothing for a group that is none.
fn by_the_command(text: &str) -> Vec<i64> {
    let mut rows = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let Some(header) = rows.find(|row| row.contains(&"LAG")) else { return Vec::new() };
    let column = |name: &str| header.iter().position(|title| *title == name);
    let (Some(partition), Some(lag)) = (column("PARTITION"), column("LAG")) else { return Vec::new() };
    let lags: BTreeMap<i32, i64> = rows
        .filter_map(|row| Some((row.get(partition)?.parse().ok()?, row.get(lag)?.parse().ok()?)))
        .collect();
    lags.into_values().collect()
}
