//! Batches that are run to their end, and the history server that remembers them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::place::{Tools, free_port};
use super::process::{Process, tail};
use super::spark::{Line, Master, app, conf, get, java, submit};
use super::waiting::eventually;

/// A history server.
#[derive(Debug)]
pub(crate) struct History {
    dir: PathBuf,
    url: String,
    _process: Process,
}

impl History {
    /// Starts one that remembers nothing, and waits until it answers.
    pub(crate) async fn start(tools: &Tools, dir: &Path) -> Result<Self> {
        let (port, events) = (free_port()?, dir.join("events"));
        fs::create_dir_all(&events)?;
        let properties = dir.join("history.conf");
        fs::write(
            &properties,
            format!(
                "spark.history.fs.logDirectory file://{}\nspark.history.ui.port {port}\n\
                 spark.history.fs.update.interval 1s\n",
                events.display()
            ),
        )?;
        let class = "org.apache.spark.deploy.history.HistoryServer";
        let process = java(tools, Line::Four, &dir.join("history.log"), "-Xmx256m", class)
            .args(["--properties-file".to_owned(), properties.display().to_string()])
            .start()?;
        let url = format!("http://127.0.0.1:{port}");
        eventually("the history server answers", || async {
            process.check()?;
            get(&format!("{url}/api/v1/applications")).await.map(Some)
        })
        .await?;
        Ok(Self { dir: dir.to_owned(), url, _process: process })
    }

    /// The settings' connection to it.
    pub(crate) fn connection(&self) -> Value {
        json!({"url": self.url})
    }

    /// Runs a batch to its end, so many times.
    pub(crate) async fn remembers(
        &self,
        tools: &Tools,
        master: &Master,
        batch: &Batch,
        settings: BTreeMap<String, String>,
    ) -> Result<()> {
        let Batch { name, first, runs, tasks, task_ms } = batch;
        let log = self.dir.join(format!("{name}-{first}.log"));
        let events = [
            ("spark.eventLog.enabled", "true".to_owned()),
            ("spark.eventLog.dir", format!("file://{}", self.dir.join("events").display())),
            ("spark.ui.enabled", "false".to_owned()),
        ];
        let numbers = [first, runs, tasks, task_ms].map(u32::to_string);
        let process = submit(tools, &log, master, name)
            .args(conf(events))
            .args(conf(settings))
            .arg(app("batch.py").display().to_string())
            .arg(*name)
            .args(numbers)
            .start()?;
        let status = process.ended(Duration::from_mins(6)).await?;
        ensure!(status.success(), "the batch ended with {status}:\n{}", tail(&log, 20));
        Ok(())
    }
}

/// What `batch.py` is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Batch {
    pub(crate) name: &'static str,
    /// Number of the first run.
    pub(crate) first: u32,
    pub(crate) runs: u32,
    /// Tasks of its wide stage, and how long each of them takes.
    pub(crate) tasks: u32,
    pub(crate) task_ms: u32,
}
