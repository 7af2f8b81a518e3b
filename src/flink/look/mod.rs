//! One look at a job: the requests, in the order that gets fresh numbers.
//!
//! A JobManager answers with what it last fetched from its tasks, and fetches anew behind the answer. So everything
//! with numbers is asked for twice, a moment apart, and the first answer thrown away. A metric is asked for only if
//! it is listed: one unknown name empties the whole answer.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::answers::{
    CheckpointConfig, Checkpoints, Config, Exceptions, Failure, Greatest, Job, Jobs, Name, Overview,
    Requirements, Spread, Summed, Vertex,
};
use super::rescales::{self, Rescale};
use super::sight::{CLOCKS, Sight, position_of, skew, version};
use super::work::Work;
use super::{Client, FlinkError};

/// How long a JobManager may take to fetch what its tasks have counted.
const FETCH: Duration = Duration::from_millis(700);
/// Bytes of metric names in one request: a JobManager reads 4096 of the first line.
const NAMES: usize = 2500;
/// Of so many vertices, those that have been busy for the longest, it is asked how busy single tasks are.
const HEAVIEST: usize = 3;
/// A checkpoint interval as long as this is Flink's word for none.
const NO_INTERVAL: i64 = i64::MAX / 2;

/// The first Flink whose JobManagers tell of rescales.
const TELLS_OF_RESCALES: (u32, u32) = (2, 3);

/// What is kept of a job for as long as it keeps its id.
#[derive(Debug, Clone)]
pub(super) struct Fixed {
    pub(super) jid: String,
    config: Config,
    interval: Option<i64>,
    /// The last rescale that was asked for, where the JobManager tells of them.
    rescale: Option<Rescale>,
}

/// Which job of a JobManager is looked at.
#[derive(Debug, Clone, Copy)]
pub(super) enum Which<'a> {
    /// The one of this name.
    Named(&'a str),
    /// The one with this id.
    Is(&'a str),
}

/// Looks at a job. `fixed` is kept between the looks.
pub(super) async fn look(
    client: &Client,
    which: Which<'_>,
    fixed: &mut Option<Fixed>,
    now: Timestamp,
) -> Result<Sight, FlinkError> {
    let overview: Overview = client.must_get("/overview").await?;
    let jid = find(client, which).await?;
    let gone = || FlinkError::NoSuchJob(which.to_string());
    let known = match fixed.take().filter(|fixed| fixed.jid == jid) {
        Some(known) => known,
        None => learn(client, &jid).await?,
    };
    let known = fixed.insert(known);
    let path = format!("/jobs/{jid}");
    let primer: Job = client.get(&path, &[]).await?.ok_or_else(gone)?;
    let names = names(client, &primer).await?;
    tokio::time::sleep(FETCH).await;
    let mut job: Job = client.get(&path, &[]).await?.ok_or_else(gone)?;
    if works(&job) {
        complete(client, &path, &mut job).await?;
    }
    let positions = positions(client, &path, &names).await?;
    let skews = if works(&job) { skews(client, &path, &job).await? } else { BTreeMap::new() };
    let failure = if works(&job) { None } else { failure(client, &path).await? };
    let checkpoints: Option<Checkpoints> = optional(client.get(&format!("{path}/checkpoints"), &[]).await)?;
    if version(&overview.flink_version).is_some_and(|version| version >= TELLS_OF_RESCALES) {
        known.rescale = rescales::last(client, &path, known.rescale.take()).await?;
    }
    Ok(Sight {
        at: now,
        fresh_at: now,
        version: overview.flink_version.clone(),
        overview,
        requirements: requirements(client, &jid).await?,
        config: known.config.clone(),
        interval: known.interval,
        failure,
        checkpoints,
        rescale: known.rescale.clone(),
        // Counters of tasks that have been replaced meanwhile say nothing.
        positions: if primer.timestamps == job.timestamps { positions } else { BTreeMap::new() },
        partitions: names
            .iter()
            .filter_map(|(vertex, names)| Some((vertex.clone(), partitions(names)?)))
            .collect(),
        work: Work::default(),
        skews,
        job,
        resource: None,
    })
}

impl std::fmt::Display for Which<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Named(name) | Self::Is(name)) = self;
        f.write_str(name)
    }
}

/// The id of the one job that is meant and has not ended.
async fn find(client: &Client, which: Which<'_>) -> Result<String, FlinkError> {
    let all: Jobs = client.must_get("/jobs/overview").await?;
    let ended = |state: &str| matches!(state, "FINISHED" | "CANCELED" | "FAILED");
    let mut live: Vec<String> = all
        .jobs
        .into_iter()
        .filter(|job| !ended(&job.state))
        .filter(|job| match which {
            Which::Named(name) => job.name == name,
            Which::Is(jid) => job.jid == jid,
        })
        .map(|job| job.jid)
        .collect();
    match (live.pop(), live.len()) {
        (None, _) => Err(FlinkError::NoSuchJob(which.to_string())),
        (Some(jid), 0) => Ok(jid),
        (Some(_), others) => Err(FlinkError::Ambiguous(which.to_string(), others + 1)),
    }
}

async fn learn(client: &Client, jid: &str) -> Result<Fixed, FlinkError> {
    let own = optional(client.get(&format!("/jobs/{jid}/jobmanager/config"), &[]).await)?;
    let config = match own {
        Some(config) => config,
        None => client.must_get("/jobmanager/config").await?,
    };
    let checkpoints: Option<CheckpointConfig> =
        optional(client.get(&format!("/jobs/{jid}/checkpoints/config"), &[]).await)?;
    let interval = checkpoints.map(|config| config.interval).filter(|interval| *interval < NO_INTERVAL);
    Ok(Fixed { jid: jid.to_owned(), config, interval, rescale: None })
}

/// Whether every task does its work.
fn works(job: &Job) -> bool {
    job.state == "RUNNING" && job.vertices.iter().all(|vertex| vertex.status == "RUNNING")
}

/// What last restarted the job, if anything has.
async fn failure(client: &Client, path: &str) -> Result<Option<Failure>, FlinkError> {
    let path = format!("{path}/exceptions");
    let answer: Option<Exceptions> = optional(client.get(&path, &[("maxExceptions", "1")]).await)?;
    Ok(answer.and_then(|answer| answer.exception_history.entries.into_iter().next()))
}

/// What may be missing without harm: a refusal is as good as nothing.
pub(super) fn optional<T>(answer: Result<Option<T>, FlinkError>) -> Result<Option<T>, FlinkError> {
    match answer {
        Err(FlinkError::Refused(_)) => Ok(None),
        other => other,
    }
}

/// What is asked for each vertex, or why a JobManager does not tell: it has another scheduler then.
pub(super) async fn requirements(
    client: &Client,
    jid: &str,
) -> Result<Result<Requirements, String>, FlinkError> {
    match client.get(&format!("/jobs/{jid}/resource-requirements"), &[]).await {
        Ok(Some(asked)) => Ok(Ok(asked)),
        Ok(None) => Ok(Err("the JobManager knows no resource requirements of the job".to_owned())),
        Err(FlinkError::Refused(problem)) => Ok(Err(problem)),
        Err(error) => Err(error),
    }
}

/// The metrics of Kafka positions that each source vertex lists.
async fn names(client: &Client, job: &Job) -> Result<BTreeMap<String, Vec<String>>, FlinkError> {
    let mut all = BTreeMap::new();
    for node in job.plan.nodes.iter().filter(|node| node.inputs.is_empty()) {
        let path = format!("/jobs/{}/vertices/{}/subtasks/metrics", job.jid, node.id);
        let listed: Option<Vec<Name>> = optional(client.get(&path, &[]).await)?;
        let listed = listed.unwrap_or_default().into_iter().map(|name| name.id);
        all.insert(node.id.clone(), listed.filter(|name| position_of(name).is_some()).collect());
    }
    Ok(all)
}

/// Kafka partitions that the metrics of a source tell of; `None` where they tell of none.
fn partitions(names: &[String]) -> Option<u32> {
    let all: BTreeSet<(String, i32)> = names.iter().filter_map(|name| position_of(name)).collect();
    u32::try_from(all.len()).ok().filter(|count| *count > 0)
}

/// Asks for the clocks of vertices that a job's details are silent about: after a rescale they may stay so for minutes
/// while the tasks' metrics are all there.
async fn complete(client: &Client, path: &str, job: &mut Job) -> Result<(), FlinkError> {
    for vertex in job.vertices.iter_mut().filter(|vertex| !vertex.metrics.are_complete()) {
        let path = format!("{path}/vertices/{}/subtasks/metrics", vertex.id);
        let query = [("get", CLOCKS.join(",")), ("agg", "sum,avg".to_owned())];
        let query = query.each_ref().map(|(key, value)| (*key, value.as_str()));
        let answer: Option<Vec<Summed>> = optional(client.get(&path, &query).await)?;
        vertex.metrics.by_tasks(&answer.unwrap_or_default(), vertex.parallelism);
    }
    Ok(())
}

/// How much busier the busiest task of a vertex is than all of them on average, for the vertices that matter.
async fn skews(client: &Client, path: &str, job: &Job) -> Result<BTreeMap<String, f64>, FlinkError> {
    let mut all: Vec<&Vertex> = job.vertices.iter().filter(|vertex| vertex.parallelism > 1).collect();
    let each = |vertex: &Vertex| {
        vertex.metrics.accumulated_busy_time.unwrap_or_default() / f64::from(vertex.parallelism)
    };
    all.sort_by(|one, other| each(other).total_cmp(&each(one)));
    let mut skews = BTreeMap::new();
    for vertex in all.into_iter().take(HEAVIEST) {
        let path = format!("{path}/vertices/{}/subtasks/metrics", vertex.id);
        let query = [("get", "busyTimeMsPerSecond"), ("agg", "max,avg")];
        let answer: Option<Vec<Spread>> = optional(client.get(&path, &query).await)?;
        let told = answer.unwrap_or_default();
        skews.extend(told.first().and_then(skew).map(|skew| (vertex.id.clone(), skew)));
    }
    Ok(skews)
}

async fn positions(
    client: &Client,
    path: &str,
    names: &BTreeMap<String, Vec<String>>,
) -> Result<BTreeMap<(String, i32), i64>, FlinkError> {
    let mut all = BTreeMap::new();
    for (vertex, names) in names {
        let path = format!("{path}/vertices/{vertex}/subtasks/metrics");
        for part in parts(names) {
            let answer: Option<Vec<Greatest>> =
                optional(client.get(&path, &[("get", part.as_str()), ("agg", "max")]).await)?;
            for Greatest { id, max } in answer.unwrap_or_default() {
                // Below 0 before the first record: it stands where the checkpoint says.
                let next = max.and_then(offset).and_then(|offset| offset.checked_add(1));
                if let (Some(place), Some(next)) = (position_of(&id), next) {
                    all.insert(place, next);
                }
            }
        }
    }
    Ok(all)
}

/// Offsets are whole numbers, which Flink writes with a fraction.
fn offset(value: f64) -> Option<i64> {
    format!("{value:.0}").parse().ok()
}

/// Names joined with commas, in requests of a bearable length.
fn parts(names: &[String]) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for name in names {
        match parts.last_mut().filter(|part| part.len() + name.len() < NAMES) {
            Some(part) => {
                part.push(',');
                part.push_str(name);
            }
            None => parts.push(name.clone()),
        }
    }
    parts
}

#[cfg(test)]
mod tests;
