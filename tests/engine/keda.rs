//! The end states of KEDA's ten Kafka scenarios, reached with `lagPerReplica`: a threshold of one record, no
//! cooldown, and the backlog as the source reads it. Each state is given time to be left again.

use tidegate::engine::observation::{
    BacklogReading, GroupState, Observation, PartitionReading, Quality, SourceReading,
};
use tidegate::engine::{Memory, Reason, evaluate};
use tidegate::policy::behavior::{Behavior, ScalingRules};
use tidegate::policy::rules::PartitionRule;
use tidegate::policy::{Replicas, Rules, TimeSpan};

use super::plant::{after, lag_rules, target};

struct Keda {
    rules: Rules,
    memory: Memory,
    replicas: usize,
    second: u64,
    /// Whether the pods are members of the group that is looked at.
    members: bool,
    reason: Reason,
}

impl Keda {
    fn new(activation_lag: u64, partitions: PartitionRule) -> Self {
        let down = ScalingRules { stabilization_window_seconds: Some(15), ..ScalingRules::default() };
        Self {
            rules: Rules {
                min_replicas: Replicas(0),
                max_replicas: Replicas(100),
                activation_lag,
                cooldown: TimeSpan::from_secs(0),
                behavior: Behavior { scale_down: down, ..Behavior::default() },
                partitions,
                interval: TimeSpan::from_secs(5),
                ..lag_rules(1)
            },
            memory: Memory::default(),
            replicas: 0,
            second: 0,
            members: true,
            reason: Reason::WarmingUp,
        }
    }

    /// The replicas after two minutes with this lag per partition.
    fn settle(&mut self, lags: &[u64]) -> usize {
        let partitions: Vec<_> = lags.iter().map(|lag| (*lag, false)).collect();
        self.settle_on(&partitions)
    }

    /// As [`Self::settle`], with what is persistent.
    fn settle_on(&mut self, partitions: &[(u64, bool)]) -> usize {
        let mut counts = Vec::new();
        for _ in 0..24 {
            self.second += 5;
            let seen = self.observe(partitions);
            let now = after(self.second);
            let (memory, decision) = evaluate(&self.rules, std::mem::take(&mut self.memory), &seen, now);
            (self.memory, self.reason) = (memory, decision.reason);
            let known = decision.estimate.partitions.and_then(|count| usize::try_from(count).ok());
            assert_eq!(known, Some(partitions.len()), "also where they do not bound the replicas");
            if let Some(change) = decision.change {
                self.replicas = usize::try_from(change.replicas.0).unwrap();
            }
            counts.push(self.replicas);
        }
        assert!(counts[12..].windows(2).all(|pair| pair[0] == pair[1]), "not settled: {counts:?}");
        self.replicas
    }

    fn observe(&self, partitions: &[(u64, bool)]) -> Observation {
        let now = after(self.second);
        let group = if self.replicas > 0 && self.members { GroupState::Stable } else { GroupState::Empty };
        let reading = |(number, (lag, persistent)): (usize, &(u64, bool))| PartitionReading {
            topic: "t".to_owned(),
            partition: i32::try_from(number).unwrap(),
            start: Some(0),
            end: None,
            committed: None,
            uncommitted: false,
            lag: Some(*lag),
            persistent: *persistent,
            arrived: Some(0),
            consumed: Some(0),
            arrived_in_window: Some(0),
            overdue: None,
            age_seconds: None,
            quality: Quality::Ok,
        };
        Observation {
            target: target(now, self.replicas, self.replicas),
            sources: vec![SourceReading::Backlog(BacklogReading {
                source: "main/g".to_owned(),
                sampled_at: now,
                quality: Quality::Ok,
                problem: None,
                group,
                over_seconds: Some(5.0),
                window_seconds: 60.0,
                partitions: partitions.iter().enumerate().map(reading).collect(),
                streaming: None,
            })],
        }
    }
}

#[test]
fn one_and_two_the_reset_policies_scale_alike_past_activation() {
    let mut keda = Keda::new(1, PartitionRule::Ladder);
    assert_eq!(keda.settle(&[0, 0, 0]), 0);
    assert_eq!(keda.reason, Reason::Idle);
    assert_eq!(keda.settle(&[1, 0, 0]), 0, "one record is not more than one");
    assert_eq!(keda.settle(&[1, 1, 0]), 2);
    assert_eq!(keda.settle(&[3, 2, 2]), 3, "never more than partitions");
    assert_eq!(keda.reason, Reason::ClampedToPartitions);
}

#[test]
fn three_every_topic_of_the_group_counts() {
    let mut keda = Keda::new(0, PartitionRule::Ladder);
    assert_eq!(keda.settle(&[0, 0, 0, 0, 0, 0]), 0);
    assert_eq!(keda.settle(&[1, 0, 0, 0, 0, 0]), 1);
    assert_eq!(keda.settle(&[1, 0, 0, 1, 0, 0]), 2);
}

#[test]
fn four_and_five_an_invalid_offset_that_counts_nothing_stays_at_zero() {
    let mut keda = Keda::new(0, PartitionRule::Ladder);
    assert_eq!(keda.settle(&[0]), 0);
    assert_eq!(keda.reason, Reason::Idle);
}

#[test]
fn six_and_seven_an_invalid_offset_keeps_one_until_it_is_committed() {
    let mut keda = Keda::new(0, PartitionRule::Ladder);
    assert_eq!(keda.settle(&[1]), 1);
    assert_eq!(keda.settle(&[0]), 0);
    assert_eq!(keda.reason, Reason::Idle);
}

#[test]
fn eight_persistent_lag_keeps_one_and_no_more() {
    let mut keda = Keda::new(0, PartitionRule::Ladder);
    assert_eq!(keda.settle(&[1]), 1);
    keda.members = false;
    assert_eq!(keda.settle_on(&[(6, true)]), 1);
}

#[test]
fn nine_only_partitions_with_lag_count() {
    let mut keda = Keda::new(1, PartitionRule::LimitToPartitionsWithLag);
    assert_eq!(keda.settle(&[1, 0, 0]), 0);
    assert_eq!(keda.settle(&[5, 0, 0]), 1);
    assert_eq!(keda.settle(&[5, 5, 0]), 2);
}

#[test]
fn ten_partitions_are_shared_evenly() {
    let mut keda = Keda::new(1, PartitionRule::EvenDistribution);
    let lag = |records| {
        let mut lags = [0; 10];
        lags[0] = records;
        lags
    };
    assert_eq!(keda.settle(&lag(1)), 0);
    assert_eq!(keda.settle(&lag(5)), 5);
    assert_eq!(keda.settle(&lag(8)), 10);
}

#[test]
fn beyond_keda_the_last_replica_to_the_cap_is_reached() {
    let mut keda = Keda::new(0, PartitionRule::Ladder);
    let lagging = |count: usize| [vec![1; count], vec![0; 64 - count]].concat();
    keda.rules.max_replicas = Replicas(64);
    assert_eq!(keda.settle(&lagging(63)), 63);
    assert_eq!(keda.settle(&lagging(64)), 64, "HPA's tolerance would stay at 63");
}
