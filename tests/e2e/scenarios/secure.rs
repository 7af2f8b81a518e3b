//! Three brokers, `SASL_SSL`, an authorizer.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::support::daemon::{Daemon, at};
use crate::support::kafka::{Kafka, Layout, WATCHER};
use crate::support::objects::{Image, policy};
use crate::support::waiting::eventually;
use crate::support::world::Case;

const PARTITIONS: i32 = 3;

/// DESCRIBE on topic and group is all that is needed; a wrong password is named, and mends itself once
/// the file is corrected.
pub(super) async fn describe_rights_are_enough(case: Case) -> Result<()> {
    let (topic, group) = (case.name, case.name);
    let layout = Layout { brokers: 3, ..Layout::default() };
    let kafka = Kafka::start(case.tools(), &case.path("kafka"), layout).await?;
    let admin = kafka.admin()?;
    admin.create(topic, PARTITIONS).await?;
    admin.commit_ends(group, topic, PARTITIONS).await?;
    let principal = format!("User:{}", WATCHER.0);
    let home = case.home().await?;
    let image = Image::consumer(&kafka.bootstrap(), group, &[topic], 50).without_commits();
    home.deploy("consumer", &image, 1).await?;

    let mut setup = case.setup().await?;
    fs::write(case.path("username"), WATCHER.0)?;
    fs::write(case.path("password"), "wrong")?;
    setup.connections = connection(&kafka, &case.dir);
    let daemon = Daemon::start(setup).await?;
    let spec = json!({
        "mode": "Apply",
        "target": {"scaleTargetRef": {"kind": "Deployment", "name": "consumer"}},
        "sources": [{"kafkaLag": {"cluster": "main", "group": group, "topics": [topic]}}],
        "objective": {"lagPerReplica": 1}, "minReplicas": 1, "maxReplicas": 3,
    });
    daemon.policies("secure.yaml", &policy(Some(case.name), case.name, &spec))?;

    // A wrong password.
    admin.produce(topic, 0, 3).await?;
    daemon.says(case.name, case.name, "SignalMissing").await?;
    let problem = connection_says(&daemon, "password").await?;
    case.figure(&format!("wrong password: {problem}"));
    ensure!(!problem.contains("wrong\"") && !problem.contains(WATCHER.1), "a secret is told: {problem}");

    // The right one, without any right: still unknown, never zero.
    fs::write(case.path("password"), WATCHER.1)?;
    let problem = connection_or_signal_says(&daemon, &case, "Describe").await?;
    case.figure(&format!("no rights: {problem}"));
    ensure!(daemon.workload(case.name, case.name).await?.backlog.is_none(), "unknown became a number");
    ensure!(home.replicas("consumer").await? == 1, "it moved blindly");

    // DESCRIBE, and nothing else.
    kafka.may_describe(&[&principal], topic, group).await?;
    home.has("consumer", 3).await?;
    ensure!(daemon.workload(case.name, case.name).await?.backlog == Some(3));
    ensure!(daemon.stop().await?.success());
    Ok(())
}

fn connection(kafka: &Kafka, dir: &Path) -> Value {
    let servers: Vec<String> = kafka.secure_bootstrap().split(',').map(str::to_owned).collect();
    json!({"kafka": {"main": {
        "bootstrapServers": servers,
        "tls": {"caFile": kafka.ca()},
        "sasl": {
            "mechanism": "SCRAM-SHA-512",
            "usernameFile": dir.join("username"), "passwordFile": dir.join("password"),
        },
    }}})
}

/// Waits for a problem of the Kafka connection that names `word`.
async fn connection_says(daemon: &Daemon, word: &str) -> Result<String> {
    eventually(&format!("the connection's problem names {word}"), || async {
        let status = daemon.json("/api/v1/connections").await?;
        let problem = at(&status, "/connections/0/problem").as_str().unwrap_or_default().to_owned();
        ensure!(problem.contains(word), "it says: {status}");
        Ok(Some(problem))
    })
    .await
}

/// Waits until the workload's signals or the connection name `word`.
async fn connection_or_signal_says(daemon: &Daemon, case: &Case, word: &str) -> Result<String> {
    eventually(&format!("a problem names {word}"), || async {
        let detail = daemon.json(&format!("/api/v1/workloads/{0}/{0}", case.name)).await?;
        let mut problems: Vec<String> = at(&detail, "/signals")
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|signal| Some(signal["problem"].as_str()?.to_owned()))
            .collect();
        let status = daemon.json("/api/v1/connections").await?;
        problems.extend(at(&status, "/connections/0/problem").as_str().map(str::to_owned));
        let found = problems.iter().find(|problem| problem.to_lowercase().contains(&word.to_lowercase()));
        ensure!(found.is_some(), "they say: {problems:?}");
        Ok(found.cloned())
    })
    .await
}
