//! The rules that most people run today, to have something to compare with: a number of unprocessed records per
//! replica, as KEDA hands it to an HPA with its defaults; and Spark's dynamic allocation.

use std::collections::VecDeque;

/// Seconds that KEDA and the HPA wait before they go down: both default to this.
const WAIT: i64 = 300;

/// What sizes the rival's copy of a world.
#[derive(Debug, Clone)]
pub enum Rule {
    /// Unprocessed records per replica.
    Lag(LagRule),
    /// Spark's own.
    Allocation(Allocation),
}

impl Rule {
    /// What the rule is.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Lag(_) => "lag rule",
            Self::Allocation(_) => "dynamic allocation",
        }
    }

    /// The same in a sentence.
    pub fn in_words(&self) -> &'static str {
        match self {
            Self::Lag(_) => "the lag rule",
            Self::Allocation(_) => "Spark's own",
        }
    }

    /// The same, with its settings.
    pub fn settings(&self) -> String {
        match self {
            Self::Lag(rule) => format!("{} (1 per {})", self.name(), rule.threshold),
            Self::Allocation(_) => self.name().to_owned(),
        }
    }

    /// The replicas to ask for at `second`, where `lag` records are not processed as far as a lag exporter knows, and
    /// `tasks` wait or run.
    pub fn desired(&mut self, second: i64, current: u32, lag: Option<u64>, tasks: u32) -> u32 {
        match self {
            Self::Lag(rule) => rule.desired(second, current, lag),
            Self::Allocation(rule) => rule.desired(second, current, tasks),
        }
    }
}

/// Spark's dynamic allocation at its defaults (`ExecutorAllocationManager`): an executor for every task that waits or
/// runs, in rounds of 1, 2, 4 and so on a second apart, so that any number is reached between two turns; one that was
/// idle for a minute goes. A batch gives every executor a task, so that none is idle for so long while anything comes.
#[derive(Debug, Clone)]
pub struct Allocation {
    min: u32,
    max: u32,
    busy_at: i64,
}

/// `spark.dynamicAllocation.executorIdleTimeout`, in seconds.
const IDLE: i64 = 60;

impl Allocation {
    /// Between `minExecutors` and `maxExecutors`.
    pub fn new(min: u32, max: u32) -> Self {
        Self { min, max, busy_at: 0 }
    }

    fn desired(&mut self, second: i64, current: u32, tasks: u32) -> u32 {
        if tasks > 0 {
            self.busy_at = second;
            return tasks.clamp(self.min, self.max).max(current);
        }
        if second - self.busy_at >= IDLE { self.min } else { current }
    }
}

/// One replica for every `threshold` unprocessed records, with an HPA's damping.
#[derive(Debug, Clone)]
pub struct LagRule {
    threshold: u64,
    min: u32,
    max: u32,
    /// Recommendations of the last [`WAIT`] seconds.
    recommended: VecDeque<(i64, u32)>,
    active_at: i64,
}

impl LagRule {
    /// A rule. `max` is the partition count at most: KEDA never asks for idle consumers.
    pub fn new(threshold: u64, min: u32, max: u32) -> Self {
        Self { threshold: threshold.max(1), min, max, recommended: VecDeque::new(), active_at: 0 }
    }

    /// The replicas to ask for at `second`. On an error (`lag` is `None`) everything stays.
    pub fn desired(&mut self, second: i64, current: u32, lag: Option<u64>) -> u32 {
        let Some(lag) = lag else { return current };
        if lag > 0 {
            self.active_at = second;
        }
        if self.min == 0 {
            if current == 0 {
                return u32::from(lag > 0);
            }
            if second - self.active_at >= WAIT {
                self.recommended.clear();
                return 0;
            }
        }
        let asked = if self.tolerable(current, lag) {
            current
        } else {
            u32::try_from(lag.div_ceil(self.threshold)).unwrap_or(u32::MAX)
        };
        self.damp(second, current, asked.clamp(self.min.max(1), self.max))
    }

    /// Within a tenth of the threshold the HPA leaves things as they are.
    fn tolerable(&self, current: u32, lag: u64) -> bool {
        let wanted = self.threshold.saturating_mul(current.into());
        lag.saturating_mul(10) >= wanted.saturating_mul(9)
            && lag.saturating_mul(10) <= wanted.saturating_mul(11)
    }

    /// Up at once, by four Pods or to twice as many in one period of 15 s; down to the highest
    /// recommendation of the window.
    fn damp(&mut self, second: i64, current: u32, asked: u32) -> u32 {
        if self.recommended.is_empty() {
            // An HPA takes what it finds at its start as its first recommendation.
            self.recommended.push_back((second, current));
        }
        self.recommended.push_back((second, asked));
        while self.recommended.front().is_some_and(|(at, _)| second - at >= WAIT) {
            self.recommended.pop_front();
        }
        if asked > current {
            return asked.min(current.saturating_mul(2).max(current.saturating_add(4)));
        }
        self.recommended.iter().map(|(_, asked)| *asked).max().unwrap_or(asked).min(current)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_over_the_threshold_adds_replicas_at_once_within_the_step_limit() {
        let mut rule = LagRule::new(1000, 1, 24);
        assert_eq!(rule.desired(15, 3, Some(5_500)), 6);
        assert_eq!(rule.desired(30, 6, Some(90_000)), 12);
        assert_eq!(rule.desired(45, 12, Some(90_000)), 24);
    }

    #[test]
    fn a_tenth_is_tolerated() {
        let mut rule = LagRule::new(1000, 1, 24);
        assert_eq!(rule.desired(15, 5, Some(5_500)), 5);
        assert_eq!(rule.desired(30, 5, Some(5_501)), 6);
    }

    #[test]
    fn it_goes_down_to_the_highest_of_five_minutes() {
        let mut rule = LagRule::new(1000, 1, 24);
        assert_eq!(rule.desired(0, 8, Some(0)), 8);
        assert_eq!(rule.desired(15, 8, Some(6_000)), 8);
        assert_eq!(rule.desired(30, 8, Some(0)), 8);
        assert_eq!(rule.desired(300, 8, Some(0)), 6);
        assert_eq!(rule.desired(315, 6, Some(0)), 1);
    }

    #[test]
    fn dynamic_allocation_shrinks_in_silence_alone() {
        let mut rule = Allocation::new(1, 8);
        let turns = [(10, 4, 12), (20, 8, 0), (69, 8, 0)];
        assert_eq!(turns.map(|(at, now, tasks)| rule.desired(at, now, tasks)), [8, 8, 8]);
        assert_eq!((rule.desired(70, 8, 0), rule.desired(90, 1, 3)), (1, 3));
    }

    #[test]
    fn an_error_holds() {
        assert_eq!(LagRule::new(1000, 0, 24).desired(900, 7, None), 7);
    }

    #[test]
    fn to_zero_and_back() {
        let mut rule = LagRule::new(1000, 0, 6);
        assert_eq!(rule.desired(15, 0, Some(0)), 0);
        assert_eq!(rule.desired(30, 0, Some(1)), 1);
        assert_eq!(rule.desired(45, 1, Some(0)), 1);
        assert_eq!(rule.desired(330, 1, Some(0)), 0);
    }
}
