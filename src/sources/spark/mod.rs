//! Spark Structured Streaming over Kafka: where a query stands from its checkpoint, its executors from the
//! driver's UI, and its backlog from the brokers, as for any consumer.
//!
//! A query moves on in batches. Its lag is therefore a staircase, which [`steady`] takes the steps out of
//! where they would be taken for rest and haste; and executors that come or go count from the next batch on.

mod busy;
mod runs;
mod steady;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;

use self::busy::Busy;
pub(super) use self::runs::Runs;
use super::Source;
use super::kafka::{Cluster, Commit, Group, View};
use crate::engine::observation::{
    BacklogReading, BatchReading, GroupState, Quality, SourceReading, StreamingReading,
};
use crate::policy::TimeSpan;
use crate::policy::source::{KafkaLag, OffsetResetPolicy, SparkQuery};
use crate::spark::App;
use crate::spark::checkpoint::Standing;
use crate::spark::driver::Told;
use crate::spark::trouble::Trouble;

/// A query without a commit for so many of its batches, and at least so many seconds, may have stopped.
const PATIENT_BATCHES: f64 = 3.0;
const PATIENT_SECONDS: f64 = 60.0;

/// A source for one of an application's queries, which reads topics of `cluster`.
pub(super) fn source(
    app: Arc<App>,
    query: &SparkQuery,
    cluster: &Arc<Cluster>,
    window: TimeSpan,
    interval: TimeSpan,
) -> Arc<dyn Source> {
    let view = cluster.positionless(&as_reader(query), window, interval);
    Arc::new(SparkSource { app, query: query.clone(), view, interval, seen: Mutex::default() })
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
            let standing = self.app.standing(&self.query.checkpoint, self.interval.0);
            let told = self.app.ask(self.query.query.as_deref());
            let (standing, told) = futures::join!(standing, told);
            let mut problems = Vec::new();
            problems.extend(self.cluster(told.as_ref()).await);
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

    /// What the cluster's master knows, where the driver does not answer or has no executors.
    async fn cluster(&self, told: Option<&Result<Told, Trouble>>) -> Option<String> {
        let master = self.app.master()?;
        let app = match told {
            Some(Ok(told)) if told.executors.iter().any(|executor| executor.is_active) => return None,
            Some(Ok(told)) => Some(told.app.as_str()),
            Some(Err(_)) | None => None,
        };
        Some(master.look().await.map_or_else(|problem| problem, |told| told.of_app(app)))
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
        let tasks = self.tasks(reading.partitions.len(), standing.and_then(|standing| standing.pinned));
        let mut streaming = StreamingReading { trigger_seconds, tasks, ..StreamingReading::default() };
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

    /// Tasks of the widest stage of a batch, where they are more than the topics have partitions: those that read are
    /// as many as partitions unless `minPartitions` splits them, those with state as many as its first batch had.
    fn tasks(&self, partitions: usize, pinned: Option<u32>) -> Option<u32> {
        let widest = self.query.min_partitions.max(pinned)?;
        (usize::try_from(widest).is_ok_and(|widest| widest > partitions)).then_some(widest)
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
