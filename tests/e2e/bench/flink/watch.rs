//! What a job does, seen from outside, twice a second: how large it is, what slots it holds, when it was restarted.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::support::daemon::at;
use crate::support::flink::Flink;

/// One look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) at: Instant,
    /// Parallelism of the vertex that does the work.
    pub(super) parallelism: u32,
    /// Slots in use.
    pub(super) slots: u32,
    /// When this attempt of the job began to run, by its JobManager's clock: another one after every rescale.
    pub(super) born: i64,
    /// Whether every task does its work.
    pub(super) works: bool,
}

/// Looks until dropped.
pub(super) struct Watch {
    moments: Arc<Mutex<Vec<Moment>>>,
    task: JoinHandle<()>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watch {
    /// Begins to look.
    pub(super) fn start(url: &str, job: &str) -> Self {
        let moments = Arc::new(Mutex::new(Vec::new()));
        let (kept, url, job) = (Arc::clone(&moments), url.to_owned(), job.to_owned());
        let task = tokio::spawn(async move {
            loop {
                // A JobManager that is busy: the next look sees.
                if let Ok(moment) = look(&url, &job).await {
                    kept.lock().unwrap_or_else(PoisonError::into_inner).push(moment);
                }
                sleep(Duration::from_millis(500)).await;
            }
        });
        Self { moments, task }
    }

    /// Everything so far.
    pub(super) fn moments(&self) -> Vec<Moment> {
        self.moments.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn look(url: &str, job: &str) -> Result<Moment> {
    let (details, overview) =
        (Flink::ask(&format!("{url}/jobs/{job}")).await?, Flink::ask(&format!("{url}/overview")).await?);
    let vertices = at(&details, "/vertices").as_array().context("no vertices")?;
    let number = |value: &Value| -> Result<u32> { Ok(u32::try_from(value.as_u64().context("no number")?)?) };
    let largest = vertices.iter().filter_map(|vertex| at(vertex, "/parallelism").as_u64()).max();
    let running = |value: &Value| *value == "RUNNING";
    Ok(Moment {
        at: Instant::now(),
        parallelism: u32::try_from(largest.context("no parallelism")?)?,
        slots: number(at(&overview, "/slots-total"))? - number(at(&overview, "/slots-available"))?,
        born: at(&details, "/timestamps/RUNNING").as_i64().context("no birth")?,
        works: running(at(&details, "/state"))
            && vertices.iter().all(|vertex| running(at(vertex, "/status"))),
    })
}
