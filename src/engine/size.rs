//! Stage 4: the replicas needed. One small function per objective.

use super::estimate::Belief;
use super::explain::number;
use super::ladder::Ladder;
use super::look::Look;
use crate::policy::Rules;
use crate::policy::rules::PartitionRule;
use crate::policy::units::{Replicas, records_f64};

/// The share of a replica's capacity that it is loaded with.
pub(crate) const UTILIZATION: f64 = 0.8;

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
    /// Seconds that nothing is processed while the move is made.
    pub(crate) stop: f64,
    /// Seconds to clear the backlog in.
    pub(crate) catch_up: f64,
}

impl Load {
    /// The load by the objective. A consumer that keeps up has a small standing backlog, which needs nobody:
    /// what arrives within half of the objective does not count, unless the objective is breached already.
    pub(crate) fn of(belief: &Belief, rate: f64, stop: f64, max_lag: f64, catch_up: f64) -> Self {
        let backlog = belief.sizing_backlog.unwrap_or(0.0);
        let deepest = if backlog > 0.0 { (belief.deepest / backlog).min(1.0) } else { 0.0 };
        let standing = if belief.overdue { 0.0 } else { rate * max_lag / 2.0 };
        // A catch-up time under half the objective would make a higher rate forgive more than it adds.
        let (backlog, catch_up) = ((backlog - standing).max(0.0), catch_up.max(max_lag / 2.0));
        Self { rate, backlog, deepest, stop, catch_up }
    }

    /// Records per second: what arrives, what has piled up, and what will while the move is made.
    pub(crate) fn demand(self) -> f64 {
        self.of_arrivals(1.0) + self.backlog / self.catch_up
    }

    /// The part of the demand that a share of the arrivals makes.
    fn of_arrivals(self, share: f64) -> f64 {
        share * self.rate * (1.0 + self.stop / self.catch_up)
    }

    /// The busiest partition's part of the demand: its arrivals, and the deepest backlog of one partition.
    /// Where these are two partitions, they are sized as if they were one: both wait for one replica.
    fn of_busiest(self, share: f64) -> f64 {
        self.of_arrivals(share) + self.backlog * self.deepest / self.catch_up
    }
}

/// The least count on the ladder whose busiest replica keeps up, where one processes `capacity`.
///
/// All replicas together must cover the demand at [`UTILIZATION`], and so must the one with ceil(P / n) of P
/// average partitions. The one with the busiest partition must at least not be overloaded. A partition that
/// alone is too much for a replica counts as what a replica can take: no count of replicas does more for it.
pub(crate) fn by_age(belief: &Belief, load: Load, capacity: f64) -> Need {
    let demand = load.demand();
    let usable = capacity * UTILIZATION;
    let busiest = load.of_busiest(belief.busiest_share.unwrap_or(0.0)).min(demand);
    let taken = busiest.min(usable);
    let covered = demand - busiest + taken;
    let quotient = Replicas::covering(covered / usable).unwrap_or(Replicas(u32::MAX));
    let replicas = match &belief.ladder {
        Ladder::Free => quotient,
        Ladder::Rungs { partitions, .. } => {
            let all = f64::from(*partitions);
            let other = if *partitions > 1 { (demand - busiest) / (all - 1.0) } else { 0.0 };
            belief
                .ladder
                .least(|count| {
                    let share = f64::from(partitions.div_ceil(count));
                    count >= quotient.0
                        && share * covered / all <= usable * (1.0 + 1e-9)
                        && taken + (share - 1.0) * other <= capacity * (1.0 + 1e-9)
                })
                .unwrap_or_else(|| belief.ladder.top())
        }
    };
    let hot = belief.busiest_share.is_some_and(|share| share * load.rate > capacity);
    Need { replicas, quotient, demand, hot }
}

/// How the present size and the load compare, in words.
pub(crate) fn fit(belief: &Belief, current: Replicas, load: Load) -> String {
    let noun = if current.0 == 1 { "replica" } else { "replicas" };
    let load = match belief.rate {
        // What there is beside the arrivals is told where it matters.
        Some(rate) if load.demand() <= 1.1 * rate => format!("{} arrive", number(rate)),
        _ => format!("{} are to be covered", number(load.demand())),
    };
    match (belief.capacity.mean, belief.capacity.demonstrated) {
        (Some(capacity), _) => {
            let most = number(capacity * current.as_f64());
            format!("{current} {noun} can process about {most} records/s; {load}")
        }
        (None, Some(least)) => {
            let least = number(least * current.as_f64());
            format!("{current} {noun} can process at least {least} records/s; {load}")
        }
        (None, None) => format!("{load} each second; what a replica can process is not known yet"),
    }
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
mod tests {
    use super::*;
    use crate::engine::estimate::capacity::Capacity;

    fn belief(partitions: u32, share: Option<f64>) -> Belief {
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
            lower_seconds: 15.0,
            ladder: Ladder::Rungs { partitions, rungs },
            busiest_share: share,
            moving: false,
            unsettled: false,
            demand: None,
            deepest: 0.0,
        }
    }

    fn needs(partitions: u32, share: Option<f64>, rate: f64, capacity: f64) -> (u32, bool) {
        let load = Load { rate, backlog: 0.0, deepest: 0.0, stop: 0.0, catch_up: 300.0 };
        let need = by_age(&belief(partitions, share), load, capacity);
        (need.replicas.0, need.hot)
    }

    #[test]
    fn an_even_load_needs_its_quotient_on_the_ladder() {
        assert_eq!(needs(12, Some(1.0 / 12.0), 300.0, 200.0), (2, false));
        assert_eq!(needs(12, Some(1.0 / 12.0), 1200.0, 200.0), (12, false));
        assert_eq!(needs(12, Some(1.0 / 12.0), 0.0, 200.0), (1, false));
    }

    #[test]
    fn an_uneven_split_needs_room_on_the_busiest_replica() {
        // 4 replicas suffice for 600 together, yet one of them would hold 3 of 10 partitions: 180 of 160.
        assert_eq!(needs(10, Some(0.1), 600.0, 200.0), (5, false));
    }

    #[test]
    fn a_busy_partition_needs_less_company() {
        assert_eq!(needs(12, Some(0.1), 700.0, 200.0), (6, false));
        assert_eq!(needs(12, Some(0.2), 700.0, 200.0), (6, false));
        assert_eq!(needs(12, Some(0.5), 350.0, 200.0), (4, false));
    }

    #[test]
    fn a_hot_partition_is_said_and_not_chased() {
        let (replicas, hot) = needs(100, Some(0.6), 1000.0, 200.0);
        assert!(hot);
        assert!(replicas < 20, "{replicas}");
    }

    #[test]
    fn a_standing_backlog_needs_nobody() {
        let mut belief = belief(12, None);
        belief.sizing_backlog = Some(2900.0);
        assert!((Load::of(&belief, 100.0, 0.0, 60.0, 300.0).demand() - 100.0).abs() < 1e-9);
        belief.sizing_backlog = Some(6000.0);
        assert!((Load::of(&belief, 100.0, 0.0, 60.0, 300.0).demand() - 110.0).abs() < 1e-9);
        belief.overdue = true;
        assert!((Load::of(&belief, 100.0, 30.0, 60.0, 300.0).demand() - 130.0).abs() < 1e-9);
    }
}
