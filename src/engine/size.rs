//! Stage 4: the replicas needed. One small function per objective.

use std::fmt::{self, Display};

use super::estimate::Belief;
use super::explain::number;
use super::ladder::Ladder;
use super::look::Look;
use super::up::Objective;
use crate::policy::Rules;
use crate::policy::rules::PartitionRule;
use crate::policy::units::{Replicas, records_f64};

/// What the load needs, before any bound or damper.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Need {
    /// On the ladder.
    pub(crate) replicas: Replicas,
    /// The plain quotient, off the ladder.
    pub(crate) quotient: Replicas,
    /// Records per second that had to be covered.
    pub(crate) demand: f64,
    /// One partition alone brings more than one replica processes.
    pub(crate) hot: bool,
}

/// The load that a move under `maxLag` is sized for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Load {
    /// Records per second to be ready for.
    pub(crate) rate: f64,
    /// Records to clear.
    pub(crate) backlog: f64,
    /// The share of them that lies in one partition, 0 to 1.
    pub(crate) deepest: f64,
    /// Seconds to clear the backlog in.
    pub(crate) catch_up: f64,
}

impl Load {
    /// The load by the objective: what arrives, and what waits once a move has been made that stops everything
    /// for `stop` seconds. What would not be too old for yet another move needs nobody, half of it, unless
    /// the objective is breached already.
    pub(crate) fn of(belief: &Belief, rate: f64, objective: Objective, stop: f64) -> Self {
        let backlog = belief.sizing_backlog.unwrap_or(0.0);
        let deepest = if backlog > 0.0 { (belief.deepest / backlog).min(1.0) } else { 0.0 };
        let standing = if belief.overdue { 0.0 } else { belief.ready_age / 2.0 };
        // A catch-up time under half the objective would make a higher rate forgive more than it adds.
        let catch_up = objective.catch_up.max(objective.max_lag / 2.0);
        Self { rate, backlog: (backlog + rate * (stop - standing)).max(0.0), deepest, catch_up }
    }

    /// Records per second: what arrives, and what has piled up or will while the move is made.
    pub(crate) fn demand(self) -> f64 {
        self.rate + self.backlog / self.catch_up
    }

    /// The busiest partition's part of the demand: its arrivals, and the deepest backlog of one partition.
    /// Where these are two partitions, they are sized as if they were one: both wait for one replica.
    fn of_busiest(self, share: f64) -> f64 {
        share * self.rate + self.backlog * self.deepest / self.catch_up
    }
}

/// Records per second that so many replicas process together, where one processes `capacity`: as many as the
/// one with the busiest share lets them.
pub(crate) fn together(belief: &Belief, count: u32, capacity: f64) -> f64 {
    match &belief.ladder {
        _ if count == 0 => 0.0,
        Ladder::Free | Ladder::Filling(_) => f64::from(count) * capacity,
        Ladder::Rungs { partitions, .. } => {
            let (all, most) = (f64::from(*partitions), f64::from(partitions.div_ceil(count)));
            let rate = belief.rate.unwrap_or(0.0);
            // A partition that is too hot for any replica is no reason to count the others as slow.
            let busiest = belief.busiest_share.filter(|share| share * rate <= capacity).unwrap_or(0.0);
            let rest = if *partitions > 1 { (1.0 - busiest) / (all - 1.0) } else { 0.0 };
            capacity / (most / all).max(busiest + (most - 1.0) * rest)
        }
    }
}

/// The least count on the ladder whose busiest replica keeps up, where one processes `capacity`.
///
/// All replicas together must cover the demand at the utilization asked for, and so must the one with ceil(P / n) of P
/// average partitions. The one with the busiest partition must at least not be overloaded. A partition that
/// alone is too much for a replica counts as what a replica can take: no count of replicas does more for it.
pub(crate) fn by_age(belief: &Belief, load: Load, capacity: f64) -> Need {
    let demand = load.demand();
    let usable = capacity * belief.tuning.utilization;
    let busiest = load.of_busiest(belief.busiest_share.unwrap_or(0.0)).min(demand);
    let taken = busiest.min(usable);
    let covered = demand - busiest + taken;
    let quotient = Replicas::covering(covered / usable).unwrap_or(Replicas(u32::MAX));
    let replicas = match &belief.ladder {
        Ladder::Free | Ladder::Filling(_) => belief.ladder.at_least(quotient),
        Ladder::Rungs { partitions, .. } => {
            let all = f64::from(*partitions);
            let other = if *partitions > 1 { (demand - busiest) / (all - 1.0) } else { 0.0 };
            belief
                .ladder
                .least(|count| {
                    let share = f64::from(partitions.div_ceil(count));
                    count >= quotient.0
                        && share * covered / all <= usable * (1.0 + 1e-9)
                        && (busiest > usable || taken + (share - 1.0) * other <= capacity * (1.0 + 1e-9))
                })
                .unwrap_or_else(|| belief.ladder.top())
        }
    };
    let hot = belief.busiest_share.is_some_and(|share| share * load.rate > capacity);
    Need { replicas, quotient, demand, hot }
}

/// How the present size and the load compare, in words.
pub(crate) fn fit(belief: &Belief, current: Replicas, load: Load) -> impl Display {
    let (rate, capacity) = (belief.rate, belief.capacity);
    fmt::from_fn(move |to| {
        let noun = if current.0 == 1 { "replica" } else { "replicas" };
        let load = match rate {
            // What there is beside the arrivals is told where it matters.
            Some(rate) if load.demand() <= 1.1 * rate => format!("{} arrive", number(rate)),
            _ => format!("{} are to be covered", number(load.demand())),
        };
        match (capacity.mean, capacity.at_least()) {
            (Some(capacity), _) => {
                let most = number(capacity * current.as_f64());
                write!(to, "{current} {noun} can process about {most} records/s; {load}")
            }
            (None, Some(least)) => {
                let least = number(least * current.as_f64());
                write!(to, "{current} {noun} can process at least {least} records/s; {load}")
            }
            (None, None) => write!(to, "{load} each second; what a replica can process is not known yet"),
        }
    })
}

/// One replica for every `records` unprocessed, as KEDA counts: the most that any group or metric asks for,
/// never more than its partitions, unless the policy allows idle consumers.
pub(crate) fn by_lag(rules: &Rules, look: &Look, belief: &Belief, records: u64) -> Need {
    let per_replica = records_f64(records.max(1));
    let groups = look.groups.iter().filter_map(|group| {
        let quotient = Replicas::covering(records_f64(group.sizing_lag?) / per_replica)?;
        let most = match rules.partitions {
            PartitionRule::AllowIdleConsumers => u32::MAX,
            PartitionRule::LimitToPartitionsWithLag => group.lagging,
            PartitionRule::Ladder | PartitionRule::EvenDistribution => group.partitions,
        };
        Some((belief.ladder.at_least(quotient).min(Replicas(most)), quotient))
    });
    let metric = look
        .metric_backlog
        .and_then(|backlog| Replicas::covering(backlog / per_replica))
        .map(|quotient| (quotient, quotient));
    let (replicas, quotient) = groups.chain(metric).max().unwrap_or_default();
    Need { replicas, quotient, demand: look.sizing_backlog().unwrap_or(0.0), hot: false }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::engine::estimate::capacity::Capacity;
    use crate::engine::tuning::BALANCED;

    /// Nothing but partitions is known.
    pub(crate) fn belief(partitions: u32, share: Option<f64>) -> Belief {
        let rungs = (1..=partitions)
            .filter(|n| *n == 1 || partitions.div_ceil(*n) < partitions.div_ceil(*n - 1))
            .collect();
        Belief {
            rate: None,
            anticipated: None,
            sizing_rate: None,
            backlog: None,
            backlog_before: None,
            sizing_backlog: None,
            age: None,
            trend: None,
            overdue: false,
            capacity: Capacity::default(),
            working: None,
            raise_seconds: 30.0,
            raise_stop: 15.0,
            lower_seconds: 15.0,
            price: 300.0,
            tuning: BALANCED,
            ready_age: 30.0,
            ladder: Ladder::Rungs { partitions, rungs, tasks: false },
            busiest_share: share,
            moving: false,
            unsettled: false,
            bound: None,
            demand: None,
            deepest: 0.0,
        }
    }

    fn needs(partitions: u32, share: Option<f64>, rate: f64, capacity: f64) -> (u32, bool) {
        let load = Load { rate, backlog: 0.0, deepest: 0.0, catch_up: 300.0 };
        let need = by_age(&belief(partitions, share), load, capacity);
        (need.replicas.0, need.hot)
    }

    #[test]
    fn an_even_load_needs_its_quotient_on_the_ladder() {
        assert_eq!(needs(12, Some(1.0 / 12.0), 300.0, 200.0), (2, false));
        assert_eq!(needs(12, Some(1.0 / 12.0), 1100.0, 200.0), (6, false));
        assert_eq!(needs(12, Some(1.0 / 12.0), 0.0, 200.0), (1, false));
    }

    #[test]
    fn an_uneven_split_needs_room_on_the_busiest_replica() {
        // 4 replicas suffice for 700 together, yet one of them would hold 3 of 10 partitions: 210 of 200.
        assert_eq!(needs(10, Some(0.1), 700.0, 200.0), (5, false));
    }

    #[test]
    fn a_busy_partition_needs_less_company() {
        assert_eq!(needs(12, Some(0.1), 700.0, 200.0), (4, false));
        assert_eq!(needs(12, Some(0.2), 700.0, 200.0), (6, false));
        assert_eq!(needs(12, Some(0.5), 350.0, 200.0), (6, false));
    }

    #[test]
    fn a_hot_partition_is_said_and_not_chased() {
        let (replicas, hot) = needs(100, Some(0.6), 1000.0, 200.0);
        assert!(hot);
        assert!(replicas < 20, "{replicas}");
    }

    #[test]
    fn what_is_young_enough_for_another_move_needs_nobody() {
        let objective = Objective { max_lag: 60.0, catch_up: 300.0 };
        let demand = |belief: &Belief, stop| Load::of(belief, 100.0, objective, stop).demand();
        let mut belief = belief(12, None);
        belief.sizing_backlog = Some(1500.0);
        assert!((demand(&belief, 0.0) - 100.0).abs() < 1e-9);
        belief.sizing_backlog = Some(4500.0);
        assert!((demand(&belief, 0.0) - 110.0).abs() < 1e-9);
        assert!((demand(&belief, 30.0) - 120.0).abs() < 1e-9);
        belief.overdue = true;
        assert!((demand(&belief, 30.0) - 125.0).abs() < 1e-9);
    }

    #[test]
    fn together_they_are_as_fast_as_the_busiest_share_lets_them() {
        let even = belief(24, None);
        assert!((together(&even, 5, 100.0) - 480.0).abs() < 1e-9);
        assert!((together(&even, 7, 100.0) - 600.0).abs() < 1e-9);
        // One partition brings a fifth: 24 replicas keep up with five times what one processes.
        assert!((together(&belief(24, Some(0.2)), 24, 100.0) - 500.0).abs() < 1e-9);
    }
}
