//! Finished runs, as a history server remembers them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use tokio::sync::Mutex;

use super::replay::{Run, Stage};
use super::trouble::Trouble;
use super::web::Web;
use crate::policy::settings::{Limits, SparkHistoryConnection};
use crate::policy::units::records_covering;

/// Runs that count.
pub(crate) const RUNS: usize = 20;
/// What an executor's end sounds like when it ran out of memory.
const OUT_OF_MEMORY: [&str; 3] = ["OOMKilled", "OutOfMemory", "137"];

/// One history server.
pub(crate) struct History {
    web: Option<Web>,
    /// Runs by id: what has ended does not change. And what is wrong, where it did not answer.
    known: Mutex<BTreeMap<String, Run>>,
    health: std::sync::Mutex<Option<Result<(), String>>>,
}

#[derive(Deserialize)]
struct Application {
    id: String,
    name: String,
    attempts: Vec<Attempt>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Attempt {
    #[serde(rename = "attemptId")]
    id: Option<String>,
    start_time_epoch: i64,
    duration: u64,
    completed: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StageTold {
    status: String,
    num_tasks: u64,
    executor_run_time: u64,
    submission_time: Option<String>,
    completion_time: Option<String>,
    #[serde(default)]
    disk_bytes_spilled: u64,
    task_metrics_distributions: Option<Distributions>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Distributions {
    executor_run_time: Vec<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Executor {
    id: String,
    max_tasks: u32,
    remove_reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Job {
    job_id: u64,
    status: String,
}

impl History {
    pub(crate) fn new(name: &str, connection: &SparkHistoryConnection, limits: &Limits) -> Self {
        // Earlier than the caller, so that the cause is told. The first look at a long log takes seconds.
        let timeout = limits.source_timeout.0.mul_f64(0.8);
        let web = Web::new(&connection.url, timeout, limits.http_requests_per_second);
        let web = web.inspect_err(|error| tracing::error!(server = name, %error, "no HTTP client")).ok();
        Self { web, known: Mutex::default(), health: std::sync::Mutex::default() }
    }

    /// Whether it answered last time, and what is wrong where it did not.
    pub(crate) fn health(&self) -> Option<Result<(), String>> {
        self.health.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// The last runs of the application of that name, the latest first; a `*` at its end stands for anything.
    pub(crate) async fn runs(&self, app: &str) -> Result<Vec<Run>, String> {
        let runs = self.ask(app).await.map_err(|trouble| told(&trouble));
        let health = runs.as_ref().map(drop).map_err(Clone::clone);
        *self.health.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(health);
        runs
    }

    async fn ask(&self, app: &str) -> Result<Vec<Run>, Trouble> {
        let Some(web) = &self.web else {
            return Err(Trouble::NoApplication { url: String::new() });
        };
        let mut known = self.known.lock().await;
        let all: Vec<Application> = web.get("/api/v1/applications?status=completed").await?;
        let named = all.into_iter().filter(|one| match app.strip_suffix('*') {
            Some(prefix) => one.name.starts_with(prefix),
            None => one.name == app,
        });
        let mut ended: Vec<(String, Attempt)> = named
            .filter_map(|one| Some((one.id, one.attempts.into_iter().next().filter(|last| last.completed)?)))
            .collect();
        ended.sort_by_key(|(_, attempt)| std::cmp::Reverse(attempt.start_time_epoch));
        ended.truncate(RUNS);
        let mut runs = Vec::with_capacity(ended.len());
        for (id, attempt) in ended {
            let run = match known.get(&id) {
                Some(run) => run.clone(),
                None => read(web, &id, &attempt).await?,
            };
            known.insert(id, run.clone());
            runs.push(run);
        }
        // Of several names, each keeps what it needs: what was forgotten is read again.
        while known.len() > 50 * RUNS {
            known.pop_first();
        }
        Ok(runs)
    }
}

async fn read(web: &Web, id: &str, attempt: &Attempt) -> Result<Run, Trouble> {
    let base = match &attempt.id {
        Some(attempt) => format!("/api/v1/applications/{id}/{attempt}"),
        None => format!("/api/v1/applications/{id}"),
    };
    let (stages, executors, jobs) = (
        format!("{base}/stages?withSummaries=true&quantiles=1.0"),
        format!("{base}/allexecutors"),
        format!("{base}/jobs"),
    );
    let (stages, executors, jobs) = futures::try_join!(
        web.get::<Vec<StageTold>>(&stages),
        web.get::<Vec<Executor>>(&executors),
        web.get::<Vec<Job>>(&jobs)
    )?;
    let begun = attempt.start_time_epoch;
    let spilled = stages.iter().map(|stage| stage.disk_bytes_spilled).sum();
    let mut ran: Vec<Stage> = stages.iter().filter_map(|stage| stage.ran(begun)).collect();
    ran.sort_by_key(|stage| (stage.begun, stage.ended));
    let memory = executors.iter().filter_map(|one| one.remove_reason.as_ref());
    let memory = memory.filter(|reason| OUT_OF_MEMORY.iter().any(|word| reason.contains(word))).count();
    let failed = jobs.iter().max_by_key(|job| job.job_id).is_some_and(|job| job.status == "FAILED");
    let failed = match (failed, memory) {
        (true, _) => Some("its last job failed".to_owned()),
        (false, 0) => None,
        (false, executors) => Some(format!("{executors} of its executors ran out of memory")),
    };
    let slots = executors.iter().filter(|one| one.id != "driver").map(|one| one.max_tasks).min();
    let begun = Timestamp::from_millisecond(begun).unwrap_or(Timestamp::MIN);
    let (app, took, slots) = (id.to_owned(), attempt.duration, slots.unwrap_or(1));
    Ok(Run { app, begun, took, slots, stages: ran, failed, spilled })
}

impl StageTold {
    /// As it ran; `None` where it was skipped.
    fn ran(&self, begun: i64) -> Option<Stage> {
        let since = |time: &Option<String>| {
            let time: Timestamp = time.as_ref()?.replace("GMT", "Z").parse().ok()?;
            u64::try_from(time.as_millisecond() - begun).ok()
        };
        let longest = self.task_metrics_distributions.as_ref();
        let longest = longest.and_then(|told| records_covering(*told.executor_run_time.last()?));
        let mean = self.executor_run_time / self.num_tasks.max(1);
        (self.status == "COMPLETE").then_some(Stage {
            begun: since(&self.submission_time)?,
            ended: since(&self.completion_time)?,
            tasks: self.num_tasks,
            worked: self.executor_run_time,
            longest: longest.unwrap_or(mean),
        })
    }
}

/// The same troubles as a driver's have other cures.
fn told(trouble: &Trouble) -> String {
    match trouble {
        Trouble::Unreachable { url, cause } => {
            format!("the history server at {url} cannot be reached ({cause})")
        }
        Trouble::Silent { url, timeout } => {
            format!("the history server at {url} does not answer within {timeout:?}")
        }
        Trouble::Html { url } => {
            format!(
                "{url} answers HTML instead of JSON: the history server listens on spark.history.ui.port (18080 unless set)"
            )
        }
        Trouble::Redirected { url, code } => {
            format!("{url} redirects ({code}): name the history server itself")
        }
        Trouble::NoApplication { .. } => "there is no HTTP client to ask the history server with".to_owned(),
        Trouble::Login { .. }
        | Trouble::Status { .. }
        | Trouble::Strange { .. }
        | Trouble::Ended { .. }
        | Trouble::QueryMissing { .. } => trouble.to_string(),
    }
}
