//! One workload's world: a topic, the group that consumes it, the Deployment behind the group, and what
//! befalls them.

use super::deployment::Deployment;
use super::group::Group;
use super::load::Load;
use super::log::Partition;
use super::runtime::Runtime;
use crate::random::{Random, between, hash};

/// Brokers of the simulated cluster. Partition p is led by broker p modulo these.
pub const BROKERS: usize = 3;

/// The broker that the outage takes: the group's coordinator.
pub const BROKEN: usize = 2;

/// Seconds until the group has another coordinator.
const COORDINATOR_AWAY: i64 = 90;

/// Everything that sets a world up. Equal settings make equal worlds.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Partitions of the topic.
    pub partitions: usize,
    /// What producers send.
    pub load: Load,
    /// Thousandths of a record per second that one replica processes, by version of the consumer.
    pub capacity_milli: Vec<i64>,
    /// What runs in the replicas.
    pub runtime: Runtime,
    /// Replicas at the start.
    pub replicas: u32,
    /// Second of the day at which the world starts.
    pub starts_at: i64,
    /// When a new version is rolled out, in seconds from the start.
    pub deploy_at: Option<i64>,
    /// When one broker is down, in seconds from the start.
    pub outage: Option<(i64, i64)>,
    /// Names the noise.
    pub seed: u64,
}

/// One workload's world.
#[derive(Debug, Clone)]
pub struct World {
    second: i64,
    starts_at: i64,
    load: Load,
    load_milli: i64,
    partitions: Vec<Partition>,
    group: Group,
    deployment: Deployment,
    deploy_at: Option<i64>,
    outage: Option<(i64, i64)>,
}

impl World {
    /// A world at its first moment, with nothing to do yet and every replica ready.
    pub fn new(setup: Setup) -> Self {
        Self {
            second: 0,
            starts_at: setup.starts_at,
            load: setup.load,
            load_milli: 0,
            partitions: partitions(setup.partitions, setup.seed),
            group: Group::new(setup.capacity_milli, setup.runtime, setup.seed),
            deployment: Deployment::new(setup.replicas, setup.runtime.start(), setup.seed),
            deploy_at: setup.deploy_at,
            outage: setup.outage,
        }
    }

    /// Lives one second.
    pub fn step(&mut self) {
        self.second += 1;
        let second = self.second;
        if self.deploy_at == Some(second) {
            self.deployment.roll_out(1);
        }
        self.load_milli = self.load.next_milli(self.starts_at + second);
        self.produce();
        self.deployment.step(second);
        let ready: Vec<_> = self.deployment.ready(second).collect();
        self.group.join(ready.into_iter(), second, &mut self.partitions);
        let (outage, commits) = (self.broker_down(), self.has_coordinator());
        self.group.step(second, &mut self.partitions, |index| outage && led_by_broken(index), commits);
    }

    /// Producers go round a partition without a leader: the others get its records too.
    fn produce(&mut self) {
        let outage = self.broker_down();
        let up = |index: usize| !(outage && led_by_broken(index));
        let shares: i64 =
            self.partitions.iter().enumerate().filter(|(i, _)| up(*i)).map(|(_, p)| p.share()).sum();
        for (index, partition) in self.partitions.iter_mut().enumerate() {
            let milli = if up(index) { self.load_milli * partition.share() / shares.max(1) } else { 0 };
            partition.append(milli);
        }
    }

    /// Seconds since the start.
    pub fn second(&self) -> i64 {
        self.second
    }

    /// Whether a broker is down.
    pub fn broker_down(&self) -> bool {
        self.outage.is_some_and(|(from, until)| (from..until).contains(&self.second))
    }

    /// Whether the leader of partition `index` answers.
    pub fn has_leader(&self, index: usize) -> bool {
        !(self.broker_down() && led_by_broken(index))
    }

    /// Whether the group's coordinator answers.
    pub fn has_coordinator(&self) -> bool {
        !self.outage.is_some_and(|(from, _)| (from..from + COORDINATOR_AWAY).contains(&self.second))
    }

    /// The partitions, in order.
    pub fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    /// The consumer group.
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// The Deployment.
    pub fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// The Deployment, to change it.
    pub fn deployment_mut(&mut self) -> &mut Deployment {
        &mut self.deployment
    }

    /// The load in thousandths of a record per second, as of now.
    pub fn load_milli(&self) -> i64 {
        self.load_milli
    }

    /// What the replicas can process in thousandths of a record per second: nothing while the group
    /// rebalances.
    pub fn capacity_milli(&self) -> i64 {
        if self.group.rebalancing(self.second) { 0 } else { self.group.capacity_milli() }
    }

    /// Tasks of the batch under way: one for every partition that it has records of.
    pub fn tasks(&self) -> u32 {
        if self.group.batches().running() {
            let open = self.partitions.iter().filter(|partition| partition.open() > 0);
            u32::try_from(open.count()).unwrap_or(u32::MAX)
        } else {
            0
        }
    }

    /// Seconds since the oldest unprocessed record of all partitions arrived.
    pub fn age(&mut self) -> i64 {
        let now = self.second;
        self.partitions.iter_mut().map(|partition| partition.age(now)).max().unwrap_or(0)
    }

    /// Records that were appended, and records that were processed.
    pub fn totals(&self) -> (i64, i64) {
        self.partitions.iter().fold((0, 0), |(in_, out), p| (in_ + p.end(), out + p.position()))
    }

    /// The lag as a lag exporter sums it up; `None` where any partition or the coordinator is silent.
    pub fn committed_lag(&self) -> Option<u64> {
        let complete = !self.broker_down() && self.has_coordinator();
        let lag: i64 = self.partitions.iter().map(|p| p.end() - p.committed()).sum();
        complete.then(|| u64::try_from(lag).unwrap_or(0))
    }
}

fn led_by_broken(index: usize) -> bool {
    index % BROKERS == BROKEN
}

/// Keys are not spread evenly: every partition gets up to a fifth more or less than its fair share.
fn partitions(count: usize, seed: u64) -> Vec<Partition> {
    let mut random = Random::new(hash(seed, 3, 0));
    let weights: Vec<i64> = (0..count).map(|_| between(random.bits(), 800, 1200)).collect();
    let all: i64 = weights.iter().sum();
    weights.into_iter().map(|weight| Partition::new(weight * 1_000_000 / all.max(1))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup(seed: u64) -> Setup {
        Setup {
            partitions: 12,
            load: Load::new([300; 24], Vec::new(), 30, seed),
            capacity_milli: vec![100_000, 80_000],
            runtime: Runtime::Consumers,
            replicas: 4,
            starts_at: 0,
            deploy_at: Some(600),
            outage: Some((1200, 1800)),
            seed,
        }
    }

    fn live(world: &mut World, seconds: i64) {
        (0..seconds).for_each(|_| world.step());
    }

    #[test]
    fn what_arrived_is_processed_or_waits() {
        let mut world = World::new(setup(1));
        for _ in 0..60 {
            live(&mut world, 60);
            let (arrived, processed) = world.totals();
            let waiting: i64 = world.partitions().iter().map(Partition::backlog).sum();
            assert_eq!(arrived, processed + waiting);
        }
        let (arrived, _) = world.totals();
        assert!((900_000..1_260_000).contains(&arrived), "3600 s x 300/s, and {arrived} arrived");
    }

    #[test]
    fn the_load_does_not_depend_on_who_consumes_it() {
        let (mut few, mut many) = (World::new(setup(5)), World::new(Setup { replicas: 9, ..setup(5) }));
        live(&mut few, 3000);
        live(&mut many, 3000);
        assert_eq!(few.totals().0, many.totals().0);
        assert_ne!(few.totals().1, many.totals().1);
    }

    #[test]
    fn the_same_seed_makes_the_same_world() {
        let (mut one, mut two, mut other) =
            (World::new(setup(5)), World::new(setup(5)), World::new(setup(6)));
        for world in [&mut one, &mut two, &mut other] {
            live(world, 2000);
        }
        assert_eq!(format!("{one:?}"), format!("{two:?}"));
        assert_ne!(one.totals(), other.totals());
    }

    #[test]
    fn an_outage_silences_a_third_of_the_partitions_and_loses_nothing() {
        let mut world = World::new(setup(1));
        live(&mut world, 1199);
        assert!(world.committed_lag().is_some());
        let before: Vec<i64> = world.partitions().iter().map(Partition::end).collect();
        live(&mut world, 300);
        assert!(world.committed_lag().is_none() && world.has_coordinator());
        for (index, (partition, before)) in world.partitions().iter().zip(before).enumerate() {
            assert_eq!(partition.end() == before, index % 3 == 2, "partition {index}");
        }
        live(&mut world, 600);
        assert!(world.committed_lag().is_some());
    }

    #[test]
    fn a_deploy_ends_with_every_replica_on_the_new_version() {
        let mut world = World::new(setup(1));
        live(&mut world, 1100);
        assert!(world.deployment().settled(1100));
        assert!(world.group().capacity_milli() < 4 * 86_000);
    }
}
