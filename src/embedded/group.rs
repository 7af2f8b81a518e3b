//! Those who consume a topic: who has which partitions, what they get done, and what every change of them stops.

use super::batches::Batches;
use super::deployment::Pod;
use super::log::Partition;
use super::runtime::Runtime;
use crate::random::{between, hash};

/// A consumer group, or what stands for one.
#[derive(Debug, Clone)]
pub struct Group {
    members: Vec<Member>,
    rebalanced_at: i64,
    runtime: Runtime,
    batches: Batches,
    /// The batch from which on all members of now are at work.
    settled_by: u64,
    /// Thousandths of a record that were processed, and that could have been.
    work: (i64, i64),
    /// Thousandths of a record per second that one replica processes, by version of the consumer.
    capacity_milli: Vec<i64>,
    seed: u64,
}

/// A Pod as a member of the group.
#[derive(Debug, Clone, Copy)]
struct Member {
    serial: u64,
    /// Thousandths of a record per second.
    pace: i64,
    carry: i64,
}

impl Group {
    /// A group without members.
    pub fn new(capacity_milli: Vec<i64>, runtime: Runtime, seed: u64) -> Self {
        Self {
            members: Vec::new(),
            rebalanced_at: 0,
            runtime,
            batches: Batches::default(),
            settled_by: 0,
            work: (0, 0),
            capacity_milli,
            seed,
        }
    }

    /// What its members run.
    pub fn runtime(&self) -> Runtime {
        self.runtime
    }

    /// The batches, where it works in batches.
    pub fn batches(&self) -> &Batches {
        &self.batches
    }

    /// The batch from which on all members of now are at work.
    pub fn settled_by(&self) -> u64 {
        self.settled_by
    }

    /// Whether the batch under way began with other members.
    pub fn disturbed(&self) -> bool {
        self.batches.next() < self.settled_by
    }

    /// Seconds since all of them last stopped for a change.
    pub fn rested(&self, second: i64) -> i64 {
        second - self.rebalanced_at
    }

    /// Records that were processed and that could have been, in thousandths, since the start.
    pub fn work_milli(&self) -> (i64, i64) {
        self.work
    }

    /// Members there are.
    pub fn members(&self) -> usize {
        self.members.len()
    }

    /// Whether partitions are being handed out at `second`.
    pub fn rebalancing(&self, second: i64) -> bool {
        second < self.rebalanced_at
    }

    /// Records per second that the members can process, in thousandths.
    pub fn capacity_milli(&self) -> i64 {
        self.members.iter().map(|member| member.pace).sum()
    }

    /// Takes the ready Pods as members. A change of them starts a rebalance, or starts it again.
    pub fn join(
        &mut self,
        ready: impl Iterator<Item = Pod> + Clone,
        second: i64,
        partitions: &mut [Partition],
    ) {
        if self.members.iter().map(|member| member.serial).eq(ready.clone().map(|pod| pod.serial)) {
            return;
        }
        let first = second == 1;
        self.members = ready.map(|pod| self.member(pod)).collect();
        if first {
            if self.runtime == Runtime::SparkQuery {
                partitions.iter_mut().for_each(Partition::wait_for_batch);
            }
            return;
        }
        match self.runtime {
            // Consumers commit when their partitions are taken away.
            Runtime::Consumers => partitions.iter_mut().for_each(Partition::commit),
            Runtime::FlinkJob => partitions.iter_mut().for_each(|partition| partition.rewind(second)),
            Runtime::SparkQuery => {
                self.settled_by = self.batches.next() + u64::from(self.batches.running());
            }
        }
        let (least, most) = self.runtime.stop();
        self.rebalanced_at = second + between(hash(self.seed, 1, second), least, most);
    }

    fn member(&self, pod: Pod) -> Member {
        let known = self.capacity_milli.get(pod.version).or(self.capacity_milli.last()).copied().unwrap_or(0);
        // Nodes are not alike: 6 % either way, for a Pod's whole life.
        let luck = between(hash(self.seed, pod.serial, -1), -60, 60);
        Member { serial: pod.serial, pace: known + known * luck / 1000, carry: 0 }
    }

    /// Processes for one second. `down` tells partitions that have no leader; `commits` is false while
    /// the group has no coordinator.
    pub fn step(
        &mut self,
        second: i64,
        partitions: &mut [Partition],
        down: impl Fn(usize) -> bool,
        commits: bool,
    ) {
        if self.rebalancing(second) || self.members.is_empty() {
            return;
        }
        let due = second % self.runtime.commit_interval() == 0;
        if self.runtime == Runtime::SparkQuery {
            self.batches.plan(second, due, partitions);
        }
        let (even, odd) = (partitions.len() / self.members.len(), partitions.len() % self.members.len());
        let (mut rest, mut first) = (&mut *partitions, 0);
        for (index, member) in self.members.iter_mut().enumerate() {
            let size = even + usize::from(index < odd);
            let (own, others) = rest.split_at_mut(size);
            // What a record costs varies: 10 % either way, every second.
            let jitter = between(hash(self.seed, member.serial, second), -100, 100);
            let pace = member.pace + member.pace * jitter / 1000;
            let done = member.work(own, pace, |index| down(first + index));
            self.work = (self.work.0 + done, self.work.1 + pace);
            (rest, first) = (others, first + size);
        }
        match self.runtime {
            // A query's checkpoint needs no coordinator.
            Runtime::SparkQuery => self.batches.commit(second, partitions),
            Runtime::Consumers | Runtime::FlinkJob if commits && due => {
                partitions.iter_mut().for_each(Partition::commit);
            }
            Runtime::Consumers | Runtime::FlinkJob => {}
        }
    }
}

impl Member {
    /// Spends one second on its partitions, evenly, and what one leaves on the others. Thousandths of a record that
    /// were processed.
    fn work(&mut self, own: &mut [Partition], milli: i64, down: impl Fn(usize) -> bool) -> i64 {
        let budget = self.carry + milli;
        let mut left = budget / 1000;
        let open = |index: usize, partition: &Partition| partition.open() > 0 && !down(index);
        while left > 0 {
            let waiting = own.iter().enumerate().filter(|(index, partition)| open(*index, partition)).count();
            let Some(slice) = i64::try_from(waiting).ok().and_then(|waiting| left.checked_div(waiting))
            else {
                break;
            };
            for (_, partition) in
                own.iter_mut().enumerate().filter(|(index, partition)| open(*index, partition))
            {
                left -= partition.process(slice.max(1).min(left));
            }
        }
        // An idle second cannot be saved up: only the fraction of a record is.
        self.carry = budget % 1000;
        budget - self.carry - left * 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pods(count: u64) -> Vec<Pod> {
        (0..count).map(|serial| Pod { serial, version: 0, ready_at: 0 }).collect()
    }

    fn backlogged(count: usize, records: i64) -> Vec<Partition> {
        let mut partitions = vec![Partition::new(1); count];
        for partition in &mut partitions {
            partition.append(records * 1000);
        }
        partitions
    }

    #[test]
    fn members_process_at_their_capacity() {
        let mut group = Group::new(vec![100_000], Runtime::Consumers, 1);
        let mut partitions = backlogged(6, 1_000_000);
        group.join(pods(3).into_iter(), 1, &mut partitions);
        (1..=100).for_each(|second| group.step(second, &mut partitions, |_| false, true));
        let done: i64 = partitions.iter().map(Partition::position).sum();
        assert!((28_000..32_000).contains(&done), "3 x 100/s x 100 s, and {done} were done");
        assert_eq!(partitions.iter().map(Partition::committed).sum::<i64>(), done);
    }

    #[test]
    fn a_change_of_members_stops_everybody_for_a_while() {
        let mut group = Group::new(vec![100_000], Runtime::Consumers, 1);
        let mut partitions = backlogged(4, 1_000_000);
        group.join(pods(2).into_iter(), 1, &mut partitions);
        group.join(pods(3).into_iter(), 10, &mut partitions);
        assert!(group.rebalancing(10));
        group.step(11, &mut partitions, |_| false, true);
        assert_eq!(partitions.iter().map(Partition::position).sum::<i64>(), 0);
        assert!(!group.rebalancing(41));
    }

    #[test]
    fn a_partition_without_a_leader_is_left_and_the_others_get_the_time() {
        let mut group = Group::new(vec![100_000], Runtime::Consumers, 1);
        let mut partitions = backlogged(2, 1_000_000);
        group.join(pods(1).into_iter(), 1, &mut partitions);
        (1..=10).for_each(|second| group.step(second, &mut partitions, |index| index == 0, true));
        assert_eq!(partitions[0].position(), 0);
        assert!(partitions[1].position() > 850);
    }

    #[test]
    fn a_job_goes_on_from_its_last_checkpoint() {
        let mut group = Group::new(vec![100_000], Runtime::FlinkJob, 1);
        let mut partitions = backlogged(4, 1_000_000);
        group.join(pods(2).into_iter(), 1, &mut partitions);
        (1..=17).for_each(|second| group.step(second, &mut partitions, |_| false, true));
        let committed: i64 = partitions.iter().map(Partition::committed).sum();
        assert!((1900..2100).contains(&committed), "ten seconds of two hundred: {committed}");
        group.join(pods(4).into_iter(), 17, &mut partitions);
        assert_eq!(partitions.iter().map(Partition::position).sum::<i64>(), committed);
        assert!(group.rebalancing(17) && !group.rebalancing(21));
    }

    #[test]
    fn workers_join_a_query_without_a_stop_and_count_from_the_next_batch_on() {
        let mut group = Group::new(vec![100_000], Runtime::SparkQuery, 1);
        let mut partitions = backlogged(4, 600);
        group.join(pods(2).into_iter(), 1, &mut partitions);
        (1..=12).for_each(|second| group.step(second, &mut partitions, |_| false, true));
        assert_eq!((group.batches().running(), group.disturbed()), (true, false));
        group.join(pods(4).into_iter(), 13, &mut partitions);
        assert_eq!((group.rebalancing(13), group.disturbed()), (false, true));
        (13..=19).for_each(|second| group.step(second, &mut partitions, |_| false, true));
        assert_eq!((group.batches().next(), group.disturbed()), (1, false));
        assert_eq!(partitions.iter().map(Partition::committed).sum::<i64>(), 2400);
    }

    #[test]
    fn more_members_than_partitions_idle() {
        let mut group = Group::new(vec![100_000], Runtime::Consumers, 1);
        let mut partitions = backlogged(2, 1_000_000);
        group.join(pods(8).into_iter(), 1, &mut partitions);
        (1..=10).for_each(|second| group.step(second, &mut partitions, |_| false, true));
        let done: i64 = partitions.iter().map(Partition::position).sum();
        assert!(done < 2300, "two partitions keep two members busy, and {done} were done");
    }
}
