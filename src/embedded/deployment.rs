//! A Deployment: Pods that take their time to start, and rolling updates.

use crate::random::{between, hash};

/// One Pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pod {
    /// Its number, never used again.
    pub serial: u64,
    /// The version of the consumer that it runs.
    pub version: usize,
    /// The second from which it is ready.
    pub ready_at: i64,
}

/// A Deployment with the defaults of its rolling update: a quarter more, a quarter fewer.
#[derive(Debug, Clone)]
pub struct Deployment {
    replicas: u32,
    version: usize,
    rolling: bool,
    resource_version: u64,
    pods: Vec<Pod>,
    next_serial: u64,
    /// Seconds from a Pod's creation until it is ready, at the least and at the most.
    start: (i64, i64),
    seed: u64,
}

impl Deployment {
    /// A Deployment with all replicas ready, whose new Pods take `start` seconds, at the least and at the most.
    pub fn new(replicas: u32, start: (i64, i64), seed: u64) -> Self {
        let pods = (0..u64::from(replicas)).map(|serial| Pod { serial, version: 0, ready_at: 0 }).collect();
        Self {
            replicas,
            version: 0,
            rolling: false,
            resource_version: 1,
            pods,
            next_serial: replicas.into(),
            start,
            seed,
        }
    }

    /// `spec.replicas`.
    pub fn replicas(&self) -> u32 {
        self.replicas
    }

    /// `metadata.resourceVersion`.
    pub fn resource_version(&self) -> String {
        self.resource_version.to_string()
    }

    /// Pods there are, ready or not: what is paid for.
    pub fn pods(&self) -> usize {
        self.pods.len()
    }

    /// The Pods that are ready at `second`.
    pub fn ready(&self, second: i64) -> impl Iterator<Item = Pod> + '_ {
        self.pods.iter().filter(move |pod| pod.ready_at <= second).copied()
    }

    /// Whether a rolling update is under way.
    pub fn rolling(&self) -> bool {
        self.rolling
    }

    /// Whether every replica asked for is ready, and there is no other.
    pub fn settled(&self, second: i64) -> bool {
        !self.rolling && self.pods() == count(self.replicas) && self.ready(second).count() == self.pods()
    }

    /// Asks for another number of replicas.
    pub fn scale(&mut self, replicas: u32) {
        if replicas != self.replicas {
            self.replicas = replicas;
            self.resource_version += 1;
        }
    }

    /// Asks for another version of the consumer.
    pub fn roll_out(&mut self, version: usize) {
        self.version = version;
        self.rolling = true;
        self.resource_version += 1;
    }

    /// Lets the controllers act for one second.
    pub fn step(&mut self, second: i64) {
        if self.rolling {
            self.replace(second);
            self.rolling = self.outdated() > 0
                || self.pods() != count(self.replicas)
                || self.ready(second).count() < self.pods();
        } else {
            let wanted = count(self.replicas);
            self.create(wanted.saturating_sub(self.pods()), second);
            // The youngest go first: what is not ready yet, then what became ready last.
            self.pods.truncate(wanted);
        }
    }

    /// One second of a rolling update: at most a quarter more Pods than asked for, at most a quarter
    /// fewer of them ready.
    fn replace(&mut self, second: i64) {
        let wanted = count(self.replicas);
        let (most, fewest) = (wanted + wanted.div_ceil(4), wanted - wanted / 4);
        let current = self.pods() - self.outdated();
        self.create(wanted.saturating_sub(current).min(most.saturating_sub(self.pods())), second);
        let mut spare = self.ready(second).count().saturating_sub(fewest);
        let version = self.version;
        self.pods.retain(|pod| {
            let outdated = pod.version != version;
            if !outdated || (pod.ready_at <= second && spare == 0) {
                return true;
            }
            spare = spare.saturating_sub(usize::from(pod.ready_at <= second));
            false
        });
        if self.outdated() == 0 {
            self.pods.truncate(wanted);
        }
    }

    fn outdated(&self) -> usize {
        self.pods.iter().filter(|pod| pod.version != self.version).count()
    }

    fn create(&mut self, pods: usize, second: i64) {
        for _ in 0..pods {
            let serial = self.next_serial;
            self.next_serial += 1;
            let ready_at = second + between(hash(self.seed, serial, 0), self.start.0, self.start.1);
            self.pods.push(Pod { serial, version: self.version, ready_at });
        }
    }
}

fn count(replicas: u32) -> usize {
    usize::try_from(replicas).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_replica_takes_its_time_and_a_surplus_one_goes_at_once() {
        let mut deployment = Deployment::new(2, (25, 45), 1);
        deployment.scale(4);
        deployment.step(10);
        assert_eq!((deployment.pods(), deployment.ready(10).count()), (4, 2));
        assert!(!deployment.settled(10));
        (11..=55).for_each(|second| deployment.step(second));
        assert!(deployment.settled(55));
        deployment.scale(1);
        deployment.step(56);
        assert_eq!(deployment.pods(), 1);
        assert!(deployment.settled(56));
    }

    #[test]
    fn a_rolling_update_replaces_every_pod_and_keeps_three_quarters_ready() {
        let mut deployment = Deployment::new(8, (25, 45), 1);
        deployment.roll_out(1);
        let mut ended = None;
        for second in 1..600 {
            deployment.step(second);
            assert!(deployment.ready(second).count() >= 6, "at {second}");
            assert!(deployment.pods() <= 10, "at {second}");
            if !deployment.rolling() {
                ended = Some(second);
                break;
            }
        }
        assert!(ended.is_some_and(|second| second > 50));
        assert!(deployment.ready(600).all(|pod| pod.version == 1));
        assert!(deployment.settled(600));
    }

    #[test]
    fn every_change_moves_the_resource_version() {
        let mut deployment = Deployment::new(1, (25, 45), 1);
        deployment.scale(1);
        assert_eq!(deployment.resource_version(), "1");
        deployment.scale(2);
        deployment.roll_out(1);
        assert_eq!(deployment.resource_version(), "3");
    }
}
