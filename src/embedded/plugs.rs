//! The world as the daemon sees it: a [`Source`] and an [`Actuator`] like those of real servers.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;

use super::log::Partition;
use super::runtime::Runtime;
use super::world::{BROKEN, World};
use crate::actuators::{ActuateError, Actuator};
use crate::engine::Change;
use crate::engine::observation::{
    BacklogReading, BatchReading, Fence, GroupState, Meaning, MetricReading, PartitionReading, Price,
    Quality, SourceReading, StreamingReading, TargetHold, TargetReading,
};
use crate::policy::source::SourceSpec;
use crate::policy::units::{records_between, records_covering, records_f64};
use crate::policy::{Replicas, TimeSpan};

/// A world that several hold.
#[derive(Debug, Clone)]
pub struct Shared(Arc<Mutex<World>>);

impl Shared {
    /// Shares `world`.
    pub fn new(world: World) -> Self {
        Self(Arc::new(Mutex::new(world)))
    }

    /// The world, for as long as the guard is kept.
    pub fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The simulated Kafka, and what the consumer itself says of its progress, as one policy's source.
#[derive(Debug)]
pub struct Broker {
    world: Shared,
    name: String,
    topic: String,
    window: TimeSpan,
    last: Mutex<Option<Look>>,
    /// What the group had done, and could have, at the looks of the last minute.
    work: Mutex<VecDeque<(i64, (i64, i64))>>,
}

/// What one look left for the next to count from.
#[derive(Debug, Clone)]
struct Look {
    second: i64,
    offsets: Vec<(Option<i64>, Option<i64>)>,
}

impl Broker {
    /// The source that `spec` describes, where it is one that reads offsets. `window` is the age that it must be able
    /// to tell.
    pub fn new(world: Shared, spec: &SourceSpec, window: TimeSpan) -> Option<Self> {
        let (name, topics) = match spec {
            SourceSpec::KafkaLag(lag) => (format!("{}/{}", lag.cluster, lag.group), &lag.topics),
            SourceSpec::Spark(query) => (format!("{}/{}", query.cluster, query.app), &query.topics),
            SourceSpec::FlinkJob(_)
            | SourceSpec::FlinkResource(_)
            | SourceSpec::Prometheus(_)
            | SourceSpec::SparkRuns(_) => return None,
        };
        let topic = topics.first().unwrap_or(&name).clone();
        Some(Self { world, name, topic, window, last: Mutex::new(None), work: Mutex::default() })
    }

    fn look(&self, now: Timestamp) -> BacklogReading {
        let world = self.world.lock();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let partitions: Vec<PartitionReading> = world
            .partitions()
            .iter()
            .enumerate()
            .map(|(index, partition)| self.read(&world, index, partition, last.as_ref()))
            .collect();
        let look = Look {
            second: world.second(),
            offsets: partitions.iter().map(|p| (p.end, p.committed)).collect(),
        };
        let since = last.replace(look).map(|look| world.second() - look.second);
        BacklogReading {
            source: self.name.clone(),
            sampled_at: now,
            quality: partitions.iter().map(|p| p.quality).max().unwrap_or(Quality::Missing),
            problem: problem(&world, &partitions),
            group: state(&world),
            over_seconds: since.filter(|since| *since > 0).map(seconds),
            window_seconds: self.window.as_secs_f64(),
            partitions,
            streaming: streaming(&world, self.busy_share(&world)),
        }
    }

    /// The share of the last minute that the group was at work for, as a driver's count of its tasks tells it.
    fn busy_share(&self, world: &World) -> Option<f64> {
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        work.push_back((world.second(), world.group().work_milli()));
        while work.get(1).is_some_and(|(next, _)| world.second() - next >= 60) {
            work.pop_front();
        }
        let ((first, then), (last, now)) = work.front().zip(work.back())?;
        let (done, could) = (now.0 - then.0, now.1 - then.1);
        (last - first >= 20 && could > 0).then(|| (seconds(done) / seconds(could)).min(1.0))
    }

    fn read(&self, world: &World, index: usize, log: &Partition, last: Option<&Look>) -> PartitionReading {
        let end = world.has_leader(index).then(|| log.end());
        let committed = position(world, log);
        let (end_then, committed_then) =
            last.and_then(|look| look.offsets.get(index)).copied().unwrap_or_default();
        let both = end.zip(committed);
        let consumed = committed_then.zip(committed).map(|(then, now)| records_between(then, now));
        let since = last.map_or(0, |look| world.second() - look.second);
        let behind = both.is_some_and(|(end, committed)| committed < end);
        let window = i64::try_from(self.window.0.as_secs()).unwrap_or(i64::MAX);
        let end_before = log.end_at(world.second().saturating_sub(window));
        PartitionReading {
            topic: self.topic.clone(),
            partition: i32::try_from(index).unwrap_or(i32::MAX),
            start: end.map(|_| 0),
            end,
            committed,
            uncommitted: false,
            lag: both.map(|(end, committed)| records_between(committed, end)),
            persistent: false,
            arrived: end_then.zip(end).map(|(then, now)| records_between(then, now)),
            consumed: if behind && in_batches(world) { steady(world, index, since) } else { consumed },
            arrived_in_window: end.map(|end| records_between(end_before, end)),
            overdue: both.map(|(_, committed)| committed < end_before),
            age_seconds: both.map(|(_, committed)| {
                log.arrived_at(committed).map_or(0.0, |arrived| seconds(world.second() - arrived))
            }),
            quality: match (end, committed) {
                (Some(_), Some(_)) => Quality::Ok,
                (None, None) => Quality::Missing,
                (None, Some(_)) | (Some(_), None) => Quality::Partial,
            },
        }
    }
}

impl crate::sources::Source for Broker {
    fn observe(&self, now: Timestamp) -> BoxFuture<'_, SourceReading> {
        async move { SourceReading::Backlog(self.look(now)) }.boxed()
    }
}

/// How far the consumer has come, as far as it can be told: by its commits, by what the job's source says of itself,
/// by the query's checkpoint.
fn position(world: &World, log: &Partition) -> Option<i64> {
    match world.group().runtime() {
        Runtime::Consumers => world.has_coordinator().then(|| log.committed()),
        Runtime::FlinkJob if !world.group().rebalancing(world.second()) => Some(log.position()),
        Runtime::FlinkJob | Runtime::SparkQuery => Some(log.committed()),
    }
}

fn in_batches(world: &World) -> bool {
    world.group().runtime() == Runtime::SparkQuery
}

/// What a query counts as processed of a partition in `over` seconds: as much as its last batch did in as much time.
/// `None` where that was done by others than its workers of now.
fn steady(world: &World, index: usize, over: i64) -> Option<u64> {
    let batches = world.group().batches();
    let (before, last) = batches.before().zip(batches.last())?;
    if before.number < world.group().settled_by() {
        return None;
    }
    let took = (last.second - before.second).max(world.second() - last.second);
    let done = records_between(*before.offsets.get(index)?, *last.offsets.get(index)?);
    records_covering((records_f64(done) * seconds(over) / seconds(took) - 0.5).max(0.0))
}

/// What the driver says of the query.
fn streaming(world: &World, busy_share: Option<f64>) -> Option<StreamingReading> {
    let group = world.group();
    in_batches(world).then(|| StreamingReading {
        trigger_seconds: seconds(group.runtime().commit_interval()),
        executors: u32::try_from(group.members()).ok(),
        slots_per_executor: Some(1),
        busy_share,
        batch: group.batches().last().map(|last| BatchReading {
            number: last.number,
            age_seconds: seconds(world.second() - last.second),
            records_per_second: None,
            seconds: Some(seconds(last.seconds)),
            running: group.batches().running(),
        }),
        ..StreamingReading::default()
    })
}

fn problem(world: &World, partitions: &[PartitionReading]) -> Option<String> {
    let silent = partitions.iter().filter(|p| p.end.is_none()).count();
    if !world.has_coordinator() && world.group().runtime() == Runtime::Consumers {
        Some(format!("broker {BROKEN} is down: the group has no coordinator, {silent} partitions no leader"))
    } else if silent > 0 {
        Some(format!("broker {BROKEN} is down: {silent} of {} partitions have no leader", partitions.len()))
    } else {
        None
    }
}

fn state(world: &World) -> GroupState {
    if !world.has_coordinator() && world.group().runtime() == Runtime::Consumers {
        GroupState::Unknown
    } else if world.group().rebalancing(world.second()) || world.group().disturbed() {
        GroupState::Rebalancing
    } else if world.group().members() == 0 {
        GroupState::Empty
    } else {
        GroupState::Stable
    }
}

fn seconds(seconds: i64) -> f64 {
    records_f64(seconds.unsigned_abs())
}

/// How busy the simulated job's tasks are, as the source that a Flink target brings along.
#[derive(Debug)]
pub struct Tasks {
    world: Shared,
    name: String,
    last: Mutex<(i64, i64)>,
}

impl Tasks {
    /// The source of a job named `name`.
    pub fn new(world: Shared, name: String) -> Self {
        Self { world, name, last: Mutex::default() }
    }

    /// The busy share since the last look; `None` where the tasks could not have done anything.
    fn share(&self) -> Option<f64> {
        let work = self.world.lock().group().work_milli();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (done, could) = (work.0 - last.0, work.1 - last.1);
        *last = work;
        (could > 0).then(|| (seconds(done) / seconds(could)).min(1.0))
    }
}

impl crate::sources::Source for Tasks {
    fn observe(&self, now: Timestamp) -> BoxFuture<'_, SourceReading> {
        async move {
            let value = self.share();
            SourceReading::Metric(MetricReading {
                source: self.name.clone(),
                means: Meaning::BusyShare,
                sampled_at: now,
                value,
                quality: if value.is_some() { Quality::Ok } else { Quality::Missing },
                problem: value.is_none().then(|| "its tasks have not told yet how busy they are".to_owned()),
            })
        }
        .boxed()
    }
}

/// Seconds for which Flink's adaptive scheduler rests after a rescale.
const COOLDOWN: i64 = 30;

/// The simulated cluster, as one policy's target.
#[derive(Debug)]
pub struct Cluster {
    world: Shared,
    uid: String,
}

impl Cluster {
    /// The world's Deployment, named `uid`.
    pub fn new(world: Shared, uid: String) -> Self {
        Self { world, uid }
    }

    fn fence(&self, world: &World) -> Fence {
        Fence { uid: self.uid.clone(), resource_version: world.deployment().resource_version() }
    }

    fn write(&self, change: &Change, fence: &Fence) -> Result<(), ActuateError> {
        let mut world = self.world.lock();
        if *fence != self.fence(&world) {
            return Err(ActuateError::Conflict);
        }
        world.deployment_mut().scale(change.replicas.0);
        Ok(())
    }

    fn read(&self, now: Timestamp) -> TargetReading {
        let world = self.world.lock();
        let deployment = world.deployment();
        TargetReading {
            sampled_at: now,
            quality: Quality::Ok,
            current: Some(Replicas(deployment.replicas())),
            ceiling: None,
            metric_target: None,
            ready: u32::try_from(deployment.ready(world.second()).count()).ok().map(Replicas),
            settled: deployment.settled(world.second()),
            hold: hold(&world),
            problem: None,
            fence: Some(self.fence(&world)),
            limit: None,
            price: price(world.group().runtime()),
            binding: None,
        }
    }
}

fn hold(world: &World) -> Option<TargetHold> {
    let rests = COOLDOWN - world.group().rested(world.second());
    if world.deployment().rolling() {
        Some(TargetHold::RollingOut)
    } else if world.group().runtime() == Runtime::FlinkJob && rests > 0 && world.second() > COOLDOWN {
        let what = format!("the adaptive scheduler rests for {rests} s more after its last rescale");
        Some(TargetHold::Unsettled { what })
    } else {
        None
    }
}

/// As the actuator of a real job has it, for a rescale in place: the wait for a checkpoint, and what is read again.
fn price(runtime: Runtime) -> Option<Price> {
    let interval = seconds(runtime.commit_interval());
    (runtime == Runtime::FlinkJob)
        .then(|| Price { raise_seconds: 3.0 + interval, lower_seconds: 1.0 + interval / 2.0 })
}

impl Actuator for Cluster {
    fn observe(&self, now: Timestamp) -> BoxFuture<'_, TargetReading> {
        async move { self.read(now) }.boxed()
    }

    fn apply<'a>(&'a self, change: &'a Change, fence: &'a Fence) -> BoxFuture<'a, Result<(), ActuateError>> {
        async move { self.write(change, fence) }.boxed()
    }
}
