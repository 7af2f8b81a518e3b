//! The world as the daemon sees it: a [`Source`] and an [`Actuator`] like those of real servers.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;

use super::log::Partition;
use super::world::{BROKEN, World};
use crate::actuators::{ActuateError, Actuator};
use crate::engine::Change;
use crate::engine::observation::{
    BacklogReading, Fence, GroupState, PartitionReading, Quality, SourceReading, TargetHold, TargetReading,
};
use crate::policy::source::KafkaLag;
use crate::policy::units::{records_between, records_f64};
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

/// The simulated Kafka, as one policy's source.
#[derive(Debug)]
pub struct Broker {
    world: Shared,
    name: String,
    topic: String,
    window: TimeSpan,
    last: Mutex<Option<Look>>,
}

/// What one look left for the next to count from.
#[derive(Debug, Clone)]
struct Look {
    second: i64,
    offsets: Vec<(Option<i64>, Option<i64>)>,
}

impl Broker {
    /// The source that `spec` describes. `window` is the age that it must be able to tell.
    pub fn new(world: Shared, spec: &KafkaLag, window: TimeSpan) -> Self {
        let topic = spec.topics.first().unwrap_or(&spec.group).clone();
        Self {
            world,
            name: format!("{}/{}", spec.cluster, spec.group),
            topic,
            window,
            last: Mutex::new(None),
        }
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
            streaming: None,
        }
    }

    fn read(&self, world: &World, index: usize, log: &Partition, last: Option<&Look>) -> PartitionReading {
        let end = world.has_leader(index).then(|| log.end());
        let committed = world.has_coordinator().then(|| log.committed());
        let (end_then, committed_then) =
            last.and_then(|look| look.offsets.get(index)).copied().unwrap_or_default();
        let both = end.zip(committed);
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
            consumed: committed_then.zip(committed).map(|(then, now)| records_between(then, now)),
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

fn problem(world: &World, partitions: &[PartitionReading]) -> Option<String> {
    let silent = partitions.iter().filter(|p| p.end.is_none()).count();
    if !world.has_coordinator() {
        Some(format!("broker {BROKEN} is down: the group has no coordinator, {silent} partitions no leader"))
    } else if silent > 0 {
        Some(format!("broker {BROKEN} is down: {silent} of {} partitions have no leader", partitions.len()))
    } else {
        None
    }
}

fn state(world: &World) -> GroupState {
    if !world.has_coordinator() {
        GroupState::Unknown
    } else if world.group().rebalancing(world.second()) {
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
            hold: deployment.rolling().then_some(TargetHold::RollingOut),
            problem: None,
            fence: Some(self.fence(&world)),
            limit: None,
            price: None,
            binding: None,
        }
    }
}

impl Actuator for Cluster {
    fn observe(&self, now: Timestamp) -> BoxFuture<'_, TargetReading> {
        async move { self.read(now) }.boxed()
    }

    fn apply<'a>(&'a self, change: &'a Change, fence: &'a Fence) -> BoxFuture<'a, Result<(), ActuateError>> {
        async move { self.write(change, fence) }.boxed()
    }
}
