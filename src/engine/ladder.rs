//! The replica counts that make a difference.

use super::look::Look;
use super::observation::Division;
use crate::policy::rules::PartitionRule;
use crate::policy::units::Replicas;
use crate::policy::{Objective, Rules};

/// So much more is worth having where it is paid for already.
const FILLS: f64 = 1.1;

/// The counts worth having. For P partitions only those n at which the busiest replica's share, ceil(P / n),
/// changes: with 12 partitions 7 replicas leave it at two partitions, exactly as 6 do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ladder {
    /// Any count: no partitions are known, or the policy allows idle consumers.
    Free,
    /// Any but those with which a unit of so many is nearly filled, and paid for as a whole.
    Filling(u32),
    /// These, rising; never empty.
    Rungs {
        /// Partitions.
        partitions: u32,
        /// The counts.
        rungs: Vec<u32>,
        /// They are not partitions, but tasks that a batch is split into.
        tasks: bool,
    },
}

impl Ladder {
    /// The ladder for a look, by the policy's rule where the work is divided as the partitions are. An objective in
    /// records asks for KEDA's counts: any up to the partitions.
    pub(crate) fn of(rules: &Rules, look: &Look, division: Division) -> Self {
        let by_lag = matches!(rules.objective, Objective::LagPerReplica { .. });
        match division {
            Division::Even if !by_lag => return Self::Free,
            Division::Parts(parts) if parts > 0 && !by_lag => {
                return Self::Rungs { partitions: parts, rungs: shares(parts), tasks: false };
            }
            Division::Even | Division::Parts(_) | Division::Partitions => {}
        }
        let Some(partitions) = look.partitions().filter(|partitions| *partitions > 0) else {
            return Self::Free;
        };
        let tasks = look.tasks().filter(|tasks| *tasks > partitions);
        let (partitions, tasks) = (tasks.unwrap_or(partitions), tasks.is_some());
        // With several slots each, n replicas work on partitions as n x slots of one slot would.
        let slots = look.slots();
        let rungs = match rules.partitions {
            PartitionRule::AllowIdleConsumers => return Self::Free,
            PartitionRule::EvenDistribution => divisors(partitions.div_ceil(slots)),
            PartitionRule::Ladder | PartitionRule::LimitToPartitionsWithLag if by_lag => {
                (1..=partitions.div_ceil(slots)).collect()
            }
            PartitionRule::Ladder => shares(partitions.div_ceil(slots)),
            PartitionRule::LimitToPartitionsWithLag => {
                let most = look.active().unwrap_or(partitions).max(1).div_ceil(slots);
                let mut rungs = shares(partitions.div_ceil(slots));
                rungs.retain(|rung| *rung <= most);
                rungs
            }
        };
        Self::Rungs { partitions, rungs, tasks }
    }

    /// Whether the counts come from tasks, and not from partitions.
    pub(crate) fn is_of_tasks(&self) -> bool {
        matches!(self, Self::Rungs { tasks: true, .. })
    }

    /// The same without the counts that have another within a tenth above them and the same units of `fill`: what is
    /// paid for anyway is used.
    pub(crate) fn filling(self, fill: Option<u32>) -> Self {
        match (fill.filter(|fill| *fill > 1), self) {
            (Some(fill), Self::Free) => Self::Filling(fill),
            (Some(fill), Self::Rungs { partitions, mut rungs, tasks }) => {
                let all = rungs.clone();
                let better = |rung: u32| {
                    let most = filled(rung, fill);
                    all.iter().any(|other| (rung + 1..=most).contains(other))
                };
                rungs.retain(|rung| !better(*rung));
                Self::Rungs { partitions, rungs, tasks }
            }
            (_, same) => same,
        }
    }

    /// The least rung of at least `count`, or the top.
    pub(crate) fn at_least(&self, count: Replicas) -> Replicas {
        match self {
            Self::Free => count,
            Self::Filling(fill) => Replicas(filled(count.0, *fill)),
            Self::Rungs { .. } if count.0 == 0 => count,
            Self::Rungs { .. } => self.least(|rung| rung >= count.0).unwrap_or_else(|| self.top()),
        }
    }

    /// The least rung that will do; `None` where none does.
    pub(crate) fn least(&self, will_do: impl Fn(u32) -> bool) -> Option<Replicas> {
        match self {
            Self::Free | Self::Filling(_) => None,
            Self::Rungs { rungs, .. } => rungs.iter().copied().find(|rung| will_do(*rung)).map(Replicas),
        }
    }

    /// The next rung above `count`; the top where there is none.
    pub(crate) fn above(&self, count: Replicas) -> Replicas {
        self.at_least(Replicas(count.0.saturating_add(1)))
    }

    /// The next rung below `count`, at least 1.
    pub(crate) fn below(&self, count: Replicas) -> Replicas {
        match self {
            Self::Free => Replicas(count.0.saturating_sub(1).max(1)),
            Self::Filling(fill) => {
                let worth = |count: &u32| filled(*count, *fill) == *count;
                Replicas((1..count.0).rev().find(worth).unwrap_or(1))
            }
            Self::Rungs { rungs, .. } => {
                Replicas(rungs.iter().copied().rev().find(|rung| *rung < count.0).unwrap_or(1))
            }
        }
    }

    /// The greatest rung within `most`; `most` itself where even the first is above it.
    pub(crate) fn within(&self, most: Replicas) -> Replicas {
        match self {
            Self::Free | Self::Filling(_) => most,
            Self::Rungs { rungs, .. } => {
                rungs.iter().copied().rev().find(|rung| *rung <= most.0).map_or(most, Replicas)
            }
        }
    }

    /// At most `most` of the counts from `least` (1 or more) to `greatest`: all, or as many as differ by enough
    /// to be worth telling apart.
    pub(crate) fn sizes(&self, least: u32, greatest: u32, most: u32) -> Vec<u32> {
        let within = |rung: &u32| (least..=greatest).contains(rung);
        if let Self::Rungs { rungs, .. } = self
            && rungs.iter().copied().filter(within).nth(usize::try_from(most).unwrap_or(usize::MAX)).is_none()
        {
            let mut all = Vec::with_capacity(rungs.len());
            all.extend(rungs.iter().copied().filter(within));
            return all;
        }
        let (first, span) = (f64::from(least), f64::from(greatest) / f64::from(least));
        let apart = span.powf(1.0 / f64::from(most.saturating_sub(1).max(1)));
        let mut sizes: Vec<u32> = Vec::new();
        let mut enough = |size: u32, few: bool| {
            let next = sizes.last().is_none_or(|last| few || f64::from(size) >= f64::from(*last) * apart);
            if next && sizes.last() != Some(&size) {
                sizes.push(size);
            }
        };
        let worth = |size: u32| self.at_least(Replicas(size)).0.min(greatest);
        match self {
            Self::Free | Self::Filling(_) if greatest.saturating_sub(least) < most => {
                (least..=greatest).for_each(|size| enough(worth(size), true));
            }
            Self::Free | Self::Filling(_) => {
                let mut size = first;
                for _ in 0..most {
                    enough(worth(Replicas::covering(size).map_or(greatest, |n| n.0.min(greatest))), true);
                    size *= apart;
                }
            }
            Self::Rungs { rungs, .. } => {
                rungs.iter().copied().filter(within).for_each(|rung| enough(rung, false));
            }
        }
        sizes
    }

    /// The greatest rung.
    pub(crate) fn top(&self) -> Replicas {
        match self {
            Self::Free | Self::Filling(_) => Replicas(u32::MAX),
            Self::Rungs { rungs, .. } => Replicas(rungs.last().copied().unwrap_or(1)),
        }
    }

    /// Partitions, where they bound anything.
    pub(crate) fn partitions(&self) -> Option<u32> {
        match self {
            Self::Free | Self::Filling(_) => None,
            Self::Rungs { partitions, .. } => Some(*partitions),
        }
    }
}

/// The count that fills its last unit of `fill`, where that takes little more; the count itself otherwise.
fn filled(count: u32, fill: u32) -> u32 {
    let all = count.checked_next_multiple_of(fill).unwrap_or(count);
    if f64::from(all) <= FILLS * f64::from(count) { all } else { count }
}

/// Counts at which ceil(P / n) changes: about twice the root of P.
fn shares(partitions: u32) -> Vec<u32> {
    let mut rungs = Vec::with_capacity(16);
    let mut count = 1;
    loop {
        rungs.push(count);
        let share = partitions.div_ceil(count);
        if share <= 1 {
            return rungs;
        }
        // The least count whose busiest replica has fewer partitions.
        count = partitions.div_ceil(share - 1);
    }
}

fn divisors(partitions: u32) -> Vec<u32> {
    (1..=partitions).filter(|count| partitions.is_multiple_of(*count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_counts_that_lower_the_busiest_share_are_rungs() {
        assert_eq!(shares(12), [1, 2, 3, 4, 6, 12]);
        assert_eq!(shares(24), [1, 2, 3, 4, 5, 6, 8, 12, 24]);
        assert_eq!(shares(1), [1]);
        for partitions in 1_u32..200 {
            let brute: Vec<u32> = (1..=partitions)
                .filter(|n| *n == 1 || partitions.div_ceil(*n) < partitions.div_ceil(*n - 1))
                .collect();
            assert_eq!(shares(partitions), brute, "{partitions} partitions");
        }
    }

    #[test]
    fn only_so_many_sizes_are_told_apart() {
        assert_eq!(Ladder::Free.sizes(2, 5, 24), [2, 3, 4, 5]);
        let many = Ladder::Free.sizes(1, u32::MAX, 24);
        assert!(many.len() <= 24 && many[0] == 1 && many.is_sorted_by(|a, b| a < b), "{many:?}");
        let wide = Ladder::Rungs { partitions: 3000, rungs: shares(3000), tasks: false }.sizes(1, 2000, 24);
        assert!((12..=24).contains(&wide.len()) && wide.is_sorted_by(|a, b| a < b), "{wide:?}");
        assert_eq!(
            Ladder::Rungs { partitions: 12, rungs: shares(12), tasks: false }.sizes(2, 6, 24),
            [2, 3, 4, 6]
        );
    }

    #[test]
    fn a_unit_is_filled_where_that_takes_a_tenth_more_at_the_most() {
        assert_eq!(
            [1, 3, 10, 11, 12, 19, 37, 0].map(|count| filled(count, 4)),
            [1, 3, 10, 12, 12, 20, 40, 0]
        );
        assert_eq!(filled(u32::MAX, 4), u32::MAX);
        let ladder = Ladder::Free.filling(Some(4));
        assert_eq!([10, 11].map(|count| ladder.at_least(Replicas(count)).0), [10, 12]);
        assert_eq!([12, 10, 1].map(|count| ladder.below(Replicas(count)).0), [10, 9, 1]);
        assert_eq!(ladder.above(Replicas(10)), Replicas(12));
        assert_eq!(ladder.within(Replicas(11)), Replicas(11), "what may be had is had");
        assert_eq!(ladder.sizes(9, 13, 24), [9, 10, 12, 13]);
        assert_eq!(ladder.sizes(9, 11, 24), [9, 10, 11]);
        assert_eq!(Ladder::Free.filling(None), Ladder::Free);
        assert_eq!(Ladder::Free.filling(Some(1)), Ladder::Free);
        let Ladder::Rungs { rungs, .. } =
            (Ladder::Rungs { partitions: 120, rungs: shares(120), tasks: false }).filling(Some(4))
        else {
            panic!("of key groups")
        };
        assert_eq!(rungs[8..14], [9, 10, 12, 14, 15, 18], "11 goes, for 12 fill the third");
    }

    #[test]
    fn divisors_share_evenly() {
        assert_eq!(divisors(10), [1, 2, 5, 10]);
    }

    #[test]
    fn counts_find_their_rung() {
        let ladder = Ladder::Rungs { partitions: 12, rungs: shares(12), tasks: false };
        assert_eq!(ladder.at_least(Replicas(5)), Replicas(6));
        assert_eq!(ladder.at_least(Replicas(40)), Replicas(12));
        assert_eq!(ladder.at_least(Replicas(0)), Replicas(0));
        assert_eq!(ladder.above(Replicas(6)), Replicas(12));
        assert_eq!(ladder.below(Replicas(6)), Replicas(4));
        assert_eq!(ladder.below(Replicas(1)), Replicas(1));
        assert_eq!(ladder.within(Replicas(8)), Replicas(6));
        assert_eq!(Ladder::Free.above(Replicas(u32::MAX)), Replicas(u32::MAX));
    }
}
