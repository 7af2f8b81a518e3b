//! How long a finished run would have taken with another number of executors. Pure.
//!
//! Its stages are scheduled anew, as a list: in the order in which they were submitted, every task to the slot that is
//! free first. A stage waits for those that had ended when it was submitted, and then for as long as the driver took.
//! A stage's longest task is taken as it was, and the others as equally long.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use jiff::Timestamp;

use crate::policy::units::Replicas;

/// A run may take so much longer than the best, in percent, for the sake of fewer executors.
const SLOWER: u64 = 10;
/// Tasks of a stage that are told apart; of more, several are taken as one.
const TOLD_APART: u64 = 4000;
/// Executors that are tried at most.
const MOST: u32 = 2000;

/// One finished run. Times are in milliseconds since it began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    /// The application's id.
    pub(crate) app: String,
    /// When it began.
    pub(crate) begun: Timestamp,
    /// How long it took.
    pub(crate) took: u64,
    /// Tasks that one executor ran at once.
    pub(crate) slots: u32,
    /// Its stages that ran, in the order of their submission.
    pub(crate) stages: Vec<Stage>,
    /// What went wrong.
    pub(crate) failed: Option<String>,
    /// Bytes that were spilled to disk.
    pub(crate) spilled: u64,
}

/// One stage of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stage {
    pub(crate) begun: u64,
    pub(crate) ended: u64,
    pub(crate) tasks: u64,
    /// Of all tasks together.
    pub(crate) worked: u64,
    /// Of the longest task.
    pub(crate) longest: u64,
}

/// Bounds that follow from runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) lower: Replicas,
    pub(crate) upper: Replicas,
    pub(crate) initial: Replicas,
}

/// Bounds for the next run: what almost every one of these runs needed; `None` without any.
pub(crate) fn sizes(runs: &[&Run]) -> Option<Sizes> {
    let all = |of: fn(&Run) -> u32| -> Vec<u32> {
        let mut all: Vec<u32> = runs.iter().map(|run| of(run)).collect();
        all.sort_unstable();
        all
    };
    let upper = Replicas(quantile(&all(enough), 95)?);
    let lower = Replicas(quantile(&all(always_busy), 50)?).min(upper);
    let initial = Replicas(quantile(&all(first_wide), 50)?).clamp(lower, upper);
    Some(Sizes { lower, upper, initial })
}

/// The value that so many percent of the sorted values do not exceed (nearest rank).
pub(crate) fn quantile<T: Copy>(sorted: &[T], percent: usize) -> Option<T> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

/// The fewest executors with which it takes no more than a tenth longer than with any number.
fn enough(run: &Run) -> u32 {
    let widest =
        run.stages.iter().map(|stage| stage.tasks).sum::<u64>().div_ceil(u64::from(run.slots.max(1)));
    let most = u32::try_from(widest).unwrap_or(MOST).clamp(1, MOST);
    let limit = replay(run, most) * (100 + SLOWER) / 100;
    let (mut low, mut high) = (1, most);
    while low < high {
        let middle = low + (high - low) / 2;
        if replay(run, middle) <= limit { high = middle } else { low = middle + 1 }
    }
    low
}

/// Milliseconds that it takes with so many executors.
pub(crate) fn replay(run: &Run, executors: u32) -> u64 {
    let slots = executors.saturating_mul(run.slots.max(1));
    let mut free: BinaryHeap<Reverse<u64>> = (0..slots).map(|_| Reverse(0)).collect();
    let mut ends: Vec<u64> = Vec::with_capacity(run.stages.len());
    for stage in &run.stages {
        let before = run.stages.iter().zip(&ends).filter(|(earlier, _)| earlier.ended <= stage.begun);
        let (was, is) =
            before.fold((0, 0), |(was, is), (earlier, end)| (earlier.ended.max(was), is.max(*end)));
        let ready = is + (stage.begun - was.min(stage.begun));
        ends.push(schedule(stage, ready, &mut free));
    }
    let was = run.stages.iter().map(|stage| stage.ended).max().unwrap_or(0);
    ends.into_iter().max().unwrap_or(0) + run.took.saturating_sub(was)
}

/// Puts a stage's tasks into slots; when the last of them ends.
fn schedule(stage: &Stage, ready: u64, free: &mut BinaryHeap<Reverse<u64>>) -> u64 {
    let others = stage.tasks.saturating_sub(1);
    let group = others.div_ceil(TOLD_APART).max(1);
    let pieces = others.div_ceil(group);
    let rest = stage.worked.saturating_sub(stage.longest);
    let mut end = ready;
    for piece in 0..=pieces {
        let long = match piece {
            0 => stage.longest,
            _ => rest / pieces,
        };
        let Some(Reverse(slot)) = free.pop() else { break };
        let done = slot.max(ready) + long;
        free.push(Reverse(done));
        end = end.max(done);
    }
    end
}

/// Executors that were busy for nine tenths of its time.
fn always_busy(run: &Run) -> u32 {
    let mut moments: Vec<u64> =
        run.stages.iter().flat_map(|stage| [stage.begun, stage.ended]).chain([0, run.took]).collect();
    moments.sort_unstable();
    let mut shares: Vec<(u32, u64)> = Vec::new();
    for (from, until) in moments.iter().zip(moments.iter().skip(1)) {
        let at_work = run.stages.iter().filter(|stage| stage.begun <= *from && stage.ended >= *until);
        // Tasks at once, in thousandths: they do not come out even.
        let tasks: u64 = at_work.map(|stage| stage.worked * 1000 / (stage.ended - stage.begun).max(1)).sum();
        let executors = tasks / (1000 * u64::from(run.slots.max(1)));
        shares.push((u32::try_from(executors).unwrap_or(MOST), until - from));
    }
    shares.sort_unstable();
    let all: u64 = shares.iter().map(|(_, long)| long).sum();
    let mut passed = 0;
    let share = shares.into_iter().find(|(_, long)| {
        passed += long;
        10 * passed >= all
    });
    share.map_or(0, |(executors, _)| executors)
}

/// Executors that its first stage with at least half as many tasks as the widest one fills.
fn first_wide(run: &Run) -> u32 {
    let widest = run.stages.iter().map(|stage| stage.tasks).max().unwrap_or(0);
    let first = run.stages.iter().find(|stage| 2 * stage.tasks >= widest).map_or(0, |stage| stage.tasks);
    u32::try_from(first.div_ceil(u64::from(run.slots.max(1)))).unwrap_or(MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(begun: u64, ended: u64, tasks: u64, each: u64) -> Stage {
        Stage { begun, ended, tasks, worked: tasks * each, longest: each }
    }

    /// Executors with one slot.
    fn run(took: u64, stages: Vec<Stage>) -> Run {
        let begun = Timestamp::UNIX_EPOCH;
        Run { app: "app".to_owned(), begun, took, slots: 1, stages, failed: None, spilled: 0 }
    }

    /// Twelve tasks of a second after a second of the driver's, then one of two seconds, then a second more.
    fn two_stages() -> Run {
        run(10_000, vec![stage(1000, 7000, 12, 1000), stage(7000, 9000, 1, 2000)])
    }

    #[test]
    fn stages_that_followed_each_other_do_so_again() {
        let times: Vec<u64> =
            [1, 2, 3, 4, 6, 12, 50].map(|executors| replay(&two_stages(), executors)).to_vec();
        assert_eq!(times, [16_000, 10_000, 8000, 7000, 6000, 5000, 5000]);
        assert_eq!(enough(&two_stages()), 12, "with 11 it takes 6 s, a fifth longer");
    }

    #[test]
    fn stages_that_overlapped_share_the_slots() {
        let both = run(2000, vec![stage(0, 2000, 4, 1000), stage(0, 2000, 4, 1000)]);
        assert_eq!([1, 4, 8, 16].map(|executors| replay(&both, executors)), [8000, 2000, 1000, 1000]);
        assert_eq!(enough(&both), 8);
        let wide = Run { slots: 4, ..both };
        assert_eq!((enough(&wide), replay(&wide, 1)), (2, 2000));
    }

    #[test]
    fn one_long_task_makes_more_executors_useless() {
        let skewed =
            run(11_000, vec![Stage { begun: 0, ended: 11_000, tasks: 11, worked: 20_000, longest: 10_000 }]);
        assert_eq!([1, 2, 11].map(|executors| replay(&skewed, executors)), [20_000, 10_000, 10_000]);
        assert_eq!(enough(&skewed), 2);
    }

    #[test]
    fn many_tasks_are_bundled() {
        let many = run(200_000, vec![stage(0, 100_000, 100_000, 10)]);
        let (one, ten) = (replay(&many, 1), replay(&many, 10));
        assert!((1_090_000..=1_110_000).contains(&one) && (199_000..=201_000).contains(&ten), "{one} {ten}");
    }

    #[test]
    fn the_lower_bound_is_what_was_busy_nearly_always() {
        let busy = run(10_000, vec![stage(0, 9500, 19, 1000), stage(9500, 10_000, 1, 500)]);
        assert_eq!(always_busy(&busy), 2, "one executor alone for a twentieth of the time");
        assert_eq!(always_busy(&two_stages()), 0, "a fifth of it, the driver alone is at work");
        assert_eq!(first_wide(&two_stages()), 12);
    }

    #[test]
    fn sizes_cover_almost_every_run() {
        let small = run(5000, vec![stage(0, 4000, 4, 1000)]);
        let (large, runs) = (two_stages(), vec![&small; 3]);
        assert_eq!(sizes(&[]), None);
        let sizes_of = |runs: &[&Run]| sizes(runs).unwrap();
        assert_eq!(sizes_of(&runs), Sizes { lower: Replicas(0), upper: Replicas(4), initial: Replicas(4) });
        let mixed = [&small, &small, &small, &large];
        assert_eq!(sizes_of(&mixed), Sizes { lower: Replicas(0), upper: Replicas(12), initial: Replicas(4) });
        let rare: Vec<&Run> = vec![&small; 19].into_iter().chain([&large]).collect();
        assert_eq!(sizes_of(&rare).upper, Replicas(4), "one of twenty may be slower");
        assert_eq!((quantile(&[1, 2, 3], 95), quantile::<u32>(&[], 95)), (Some(3), None));
    }
}
