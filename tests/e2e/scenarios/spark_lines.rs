//! What drivers of each line of Spark answer, and what their queries leave behind: recorded, for tests without servers.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::patiently;
use crate::support::daemon::at;
use crate::support::load::Load;
use crate::support::spark::{Driver, Line, Master, Query, get};
use crate::support::waiting::eventually;
use crate::support::world::Case;

/// The query and its topic.
const NAME: &str = "orders";
const PARTITIONS: i32 = 2;
/// Milliseconds of a core per record.
const COST: u32 = 20;
/// Records: so few that in-process brokers have as many.
const RECORDS: u64 = 120;

/// Records into `tests/fixtures/spark`, by line: the answers that the daemon asks for, without what only holds for this
/// machine, and the last two batches of the checkpoint.
pub(super) async fn record(case: Case) -> Result<()> {
    let (home, kafka) = (case.home().await?, case.kafka().await?);
    kafka.admin()?.create(NAME, PARTITIONS).await?;
    let load = Load::start(&kafka.bootstrap(), NAME, PARTITIONS, 10)?;
    eventually("the topic is filled", || async { Ok((load.produced() >= RECORDS).then_some(())) }).await?;
    drop(load);
    for line in [Line::Four, Line::Three] {
        let installed = case.tools().spark(line);
        ensure!(
            installed.exists(),
            "{} is missing: tests/e2e/install.sh spark-{}",
            installed.display(),
            line.name()
        );
        let (dir, workers) = (case.path(line.name()), format!("workers-{}", line.name().replace('.', "-")));
        let master = Master::start(case.tools(), line, &dir).await?;
        home.deploy(&workers, &master.worker(), 2).await?;
        let query = Query::new(NAME, &kafka.bootstrap(), COST, 30);
        let driver = Driver::start(case.tools(), &dir, &master, &query).await?;
        patiently(|| {
            eventually("three batches were committed", || async {
                Ok((driver.progress()?.len() >= 3).then_some(()))
            })
        })
        .await?;
        let into = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/spark").join(line.name());
        answers(&driver, &into).await?;
        batches(&driver.checkpoint(), &into.join("checkpoint"))?;
        case.figure(&format!("recorded {}", into.display()));
        drop(driver);
        home.scale(&workers, 0).await?;
    }
    Ok(())
}

/// The driver's answers.
async fn answers(driver: &Driver, into: &Path) -> Result<()> {
    fs::create_dir_all(into)?;
    let app = driver.app().await?;
    let address = |path: &str| format!("{}{path}", driver.url());
    let write = |name: &str, value: &Value| {
        fs::write(into.join(name), serde_json::to_string_pretty(value)? + "\n").context("write an answer")
    };
    write("applications.json", &get(&address("/api/v1/applications")).await?)?;
    let mut executors = get(&address(&format!("/api/v1/applications/{app}/allexecutors"))).await?;
    for executor in executors.as_array_mut().context("no list of executors")? {
        // Addresses of logs, with paths of this machine.
        executor["executorLogs"] = json!({});
    }
    write("allexecutors.json", &executors)?;
    let environment = get(&address(&format!("/api/v1/applications/{app}/environment"))).await?;
    let ours = |setting: &&Value| {
        let key = setting.pointer("/0").and_then(Value::as_str).unwrap_or_default();
        ["spark.executor.", "spark.sql.", "spark.decommission."].iter().any(|start| key.starts_with(start))
    };
    let settings = at(&environment, "/sparkProperties").as_array().context("no settings")?;
    let settings: Vec<&Value> = settings.iter().filter(ours).collect();
    let profiles = at(&environment, "/resourceProfiles");
    write("environment.json", &json!({"sparkProperties": settings, "resourceProfiles": profiles}))?;
    let metrics = get(&address("/metrics/json/")).await?;
    let gauges = at(&metrics, "/gauges").as_object().context("no gauges")?;
    let gauges: serde_json::Map<_, _> =
        gauges.clone().into_iter().filter(|(name, _)| name.contains(".spark.streaming.")).collect();
    write("metrics.json", &json!({"version": at(&metrics, "/version"), "gauges": gauges}))
}

/// The last two batches that were committed.
fn batches(checkpoint: &Path, into: &Path) -> Result<()> {
    let number = |entry: fs::DirEntry| entry.file_name().to_str()?.parse::<u64>().ok();
    let committed = fs::read_dir(checkpoint.join("commits"))?;
    let mut committed: Vec<u64> = committed.filter_map(|entry| number(entry.ok()?)).collect();
    committed.sort_unstable();
    for log in ["offsets", "commits"] {
        if into.join(log).exists() {
            fs::remove_dir_all(into.join(log))?;
        }
        fs::create_dir_all(into.join(log))?;
        for batch in committed.iter().rev().take(2) {
            let name = batch.to_string();
            fs::copy(checkpoint.join(log).join(&name), into.join(log).join(&name))?;
        }
    }
    Ok(())
}
