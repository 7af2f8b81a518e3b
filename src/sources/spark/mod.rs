//! Spark Structured Streaming over Kafka: where a query stands from its [`checkpoint`], its executors from the
//! [`driver`]'s UI, and its backlog from the brokers, as for any consumer.
//!
//! A query moves on in batches. Its lag is therefore a staircase, which [`steady`] takes the steps out of
//! where they would be taken for rest and haste; and executors that come or go count from the next batch on.

mod busy;
mod checkpoint;
mod driver;
mod steady;
mod trouble;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;

use self::busy::Busy;
use self::checkpoint::{Standing, Unknown};
use self::driver::{Driver, Told};
use self::trouble::Trouble;
use super::kafka::{Cluster, Commit, Group, View};
use super::{ConnectionStatus, Source};
use crate::engine::observation::{
    BacklogReading, BatchReading, GroupState, Quality, SourceReading, StreamingReading,
};
use crate::policy::TimeSpan;
use crate::policy::settings::{Limits, SparkConnection};
use crate::policy::source::{KafkaLag, OffsetResetPolicy, SparkQuery};

/// A query without a commit for so many of its batches, and at least so many seconds, may have stopped.
const PATIENT_BATCHES: f64 = 3.0;
const PATIENT_SECONDS: f64 = 60.0;

/// One application, shared by the sources that read its queries.
pub(super) struct App {
    name: String,
    checkpoints: PathBuf,
    driver: Option<Driver>,
    /// Whether the driver answered last time, and what is wrong where it did not.
    health: Mutex<Option<Result<(), String>>>,
}

impl App {
    pub(super) fn new(name: &str, connection: &SparkConnection, limits: &Limits) -> Arc<Self> {
        // Earlier than the caller, so that the cause is told; there are two questions in a row.
        let timeout = limits.source_timeout.0.mul_f64(0.35);
        let driver = connection.driver.as_deref().and_then(|url| {
            let driver = Driver::new(url, timeout, limits.http_requests_per_second);
            driver.inspect_err(|error| tracing::error!(app = name, %error, "no HTTP client")).ok()
        });
        let checkpoints = connection.checkpoints.clone();
        Arc::new(Self { name: name.to_owned(), checkpoints, driver, health: Mutex::default() })
    }

    /// A source for one of its queries, which reads topics of `cluster`.
    pub(super) fn source(
        self: &Arc<Self>,
        query: &SparkQuery,
        cluster: &Arc<Cluster>,
        window: TimeSpan,
        interval: TimeSpan,
    ) -> Arc<dyn Source> {
        let view = cluster.positionless(&as_reader(query), window, interval);
        let (app, query) = (Arc::clone(self), query.clone());
        Arc::new(SparkSource { app, query, view, interval, seen: Mutex::default() })
    }

    pub(super) fn status(&self) -> ConnectionStatus {
        let health = self.health.lock().unwrap_or_else(PoisonError::into_inner).clone();
        ConnectionStatus {
            kind: "spark",
            name: self.name.clone(),
            healthy: health.as_ref().map(Result::is_ok),
            problem: health.and_then(Result::err),
        }
    }

    async fn ask(&self, query: Option<&str>) -> Option<Result<Told, Trouble>> {
        let told = self.driver.as_ref()?.ask(query).await;
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let now = told.as_ref().map(drop).map_err(ToString::to_string);
        match (&*health, &now) {
            (Some(Err(before)), Err(problem)) if before == problem => {}
            (_, Err(problem)) => tracing::warn!(app = self.name, "spark {}: {problem}", self.name),
            (Some(Err(_)), Ok(())) => {
                tracing::info!(app = self.name, "spark {}: all is well again", self.name);
            }
            (Some(Ok(())) | None, Ok(())) => {}
        }
        *health = Some(now);
        Some(told)
    }
}

/// The query as a reader of its topics. It begins a partition that its checkpoint does not know at the log's
/// start.
pub(super) fn as_reader(query: &SparkQuery) -> KafkaLag {
    KafkaLag {
        cluster: query.cluster.clone(),
        group: format!("{}/{}", query.app, query.query.as_ref().unwrap_or(&query.checkpoint)),
        topics: query.topics.clone(),
        isolation_level: query.isolation_level,
        offset_reset_policy: OffsetResetPolicy::Earliest,
        scale_to_zero_on_invalid_offset: false,
        exclude_persistent_lag: false,
    }
}

struct SparkSource {
    app: Arc<App>,
    query: SparkQuery,
    view: View,
    interval: TimeSpan,
    seen: Mutex<Seen>,
}

/// What was seen of the executors.
#[derive(Default)]
struct Seen {
    /// The application, and its executors at work.
    members: Option<(String, BTreeSet<String>)>,
    busy: Busy,
    /// The batch that was under way when they last changed, or the last one before.
    since: Option<u64>,
}

impl Source for SparkSource {
    fn observe(&self, now: Timestamp) -> BoxFuture<'_, SourceReading> {
        async move {
            let (standing, told) = futures::join!(self.standing(), self.app.ask(self.query.query.as_deref()));
            let mut problems = Vec::new();
            let standing = standing.map_err(|unknown| problems.push(unknown.to_string())).ok();
            let positions = standing.as_ref().and_then(|standing| self.positions(standing, &mut problems));
            let mut reading = self.view.look(now, Some(&positions)).await;
            self.judge(&mut reading, standing.as_ref(), told, &mut problems, now);
            if let Some(standing) = &standing {
                let since = self.seen.lock().unwrap_or_else(PoisonError::into_inner).since;
                steady::spread(&mut reading, standing, since, now);
            }
            let problems = problems.into_iter().map(|problem| format!("spark {}: {problem}", self.app.name));
            let problems: Vec<_> = reading.problem.take().into_iter().chain(problems).collect();
            reading.problem = (!problems.is_empty()).then(|| problems.join("; "));
            SourceReading::Backlog(reading)
        }
        .boxed()
    }
}

impl SparkSource {
    async fn standing(&self) -> Result<Standing, Unknown> {
        let directory = checkpoint::directory(&self.app.checkpoints, &self.query.checkpoint);
        let (shown, back) = (directory.display().to_string(), self.interval.0);
        let read = tokio::task::spawn_blocking(move || checkpoint::read(&directory, back)).await;
        let broken = |_| Unknown::Unreadable { path: shown, cause: "the look was interrupted".to_owned() };
        read.map_err(broken)?
    }

    /// Positions of the policy's topics; unknown where the checkpoint does not know one of them.
    fn positions(&self, standing: &Standing, problems: &mut Vec<String>) -> Option<Group> {
        let mut commits = BTreeMap::new();
        for topic in &self.query.topics {
            let Some(partitions) = standing.offsets.get(topic) else {
                let known: Vec<&str> = standing.offsets.keys().take(5).map(String::as_str).collect();
                let known = if known.is_empty() { "no Kafka topic".to_owned() } else { known.join(", ") };
                problems.push(format!(
                    "the checkpoint knows {known} and not {topic}: check `topics` and `checkpoint`"
                ));
                return None;
            };
            let at = partitions.iter().map(|(partition, offset)| (*partition, Commit::At(*offset)));
            commits.insert(topic.clone(), at.collect());
        }
        Some(Group { state: GroupState::Stable, commits })
    }

    /// What the query is doing, and how far that can be believed.
    fn judge(
        &self,
        reading: &mut BacklogReading,
        standing: Option<&Standing>,
        told: Option<Result<Told, Trouble>>,
        problems: &mut Vec<String>,
        now: Timestamp,
    ) {
        let trigger_seconds = self.query.trigger_interval.as_secs_f64();
        let mut streaming = StreamingReading { trigger_seconds, ..StreamingReading::default() };
        let idle = reading.partitions.iter().all(|one| one.lag == Some(0));
        let quiet = standing.map(|standing| steady::quiet(standing, trigger_seconds, now));
        let moves =
            quiet.is_some_and(|(seconds, usual)| seconds < (PATIENT_BATCHES * usual).max(PATIENT_SECONDS));
        streaming.batch = standing.map(|standing| BatchReading {
            number: standing.batch,
            age_seconds: now.duration_since(standing.at).as_secs_f64().max(0.0),
            records_per_second: None,
            seconds: None,
            running: standing.planned.is_some(),
        });
        reading.group = match told {
            Some(Ok(told)) => {
                problems.extend(told.batch.as_ref().err().map(ToString::to_string));
                if let (Some(batch), Ok(figures)) = (&mut streaming.batch, &told.batch) {
                    batch.records_per_second = figures.records_per_second;
                    batch.seconds = figures.seconds;
                }
                self.executors(&mut streaming, &told, standing, now)
            }
            Some(Err(trouble)) => {
                problems.push(trouble.to_string());
                if !moves {
                    // Neither the driver nor a commit says that anything runs: then nothing is worth a move.
                    reading.quality = reading.quality.max(Quality::Missing);
                }
                GroupState::Unknown
            }
            None if idle || moves => GroupState::Stable,
            None => {
                let seconds = quiet.map_or(0.0, |(seconds, _)| seconds);
                problems
                    .push(format!("no batch was committed for {seconds:.0} s: does the query still run?"));
                GroupState::Unknown
            }
        };
        reading.streaming = Some(streaming);
    }

    /// What the executors are doing. After one has come or gone, what the batch under way does says nothing of
    /// their number: they count as finding their places until it is committed.
    fn executors(
        &self,
        streaming: &mut StreamingReading,
        told: &Told,
        standing: Option<&Standing>,
        now: Timestamp,
    ) -> GroupState {
        let active: Vec<_> = told.executors.iter().filter(|executor| executor.is_active).collect();
        let slots: u32 = active.iter().map(|executor| executor.max_tasks).sum();
        streaming.executors = u32::try_from(active.len()).ok();
        streaming.active_tasks = Some(active.iter().map(|executor| executor.active_tasks).sum());
        streaming.slots_per_executor =
            active.iter().map(|executor| executor.max_tasks).min().filter(|slots| *slots > 0);
        let members: BTreeSet<String> = active.iter().map(|executor| executor.id.clone()).collect();
        let members = Some((told.app.clone(), members));
        let worked: u64 = told.executors.iter().map(|executor| executor.total_duration).sum();
        let worked = crate::policy::units::records_f64(worked) / 1000.0;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.members != members {
            let first = seen.members.is_none();
            seen.members = members;
            seen.busy.forget();
            let under_way = standing.map(|standing| standing.planned.unwrap_or(standing.batch));
            seen.since = under_way.filter(|_| !first);
        }
        streaming.busy_share = seen.busy.look(now, worked, slots);
        let disturbed =
            standing.is_some_and(|standing| seen.since.is_some_and(|since| standing.batch < since));
        match () {
            () if active.is_empty() => GroupState::Empty,
            () if disturbed => GroupState::Rebalancing,
            () => GroupState::Stable,
        }
    }
}
