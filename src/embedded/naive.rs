//! The rule that most people run today, to have something to compare with: a number of unprocessed
//! records per replica, as KEDA hands it to an HPA with its defaults.

use std::collections::VecDeque;

/// Seconds that KEDA and the HPA wait before they go down: both default to this.
const WAIT: i64 = 300;

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

    /// Unprocessed records per replica.
    pub fn threshold(&self) -> u64 {
        self.threshold
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
