//! What the Kubernetes HPA v2 makes of a recommendation: tolerance, stabilization, step limits.
//! Source: kubernetes/kubernetes, pkg/controller/podautoscaler, and the HPA page of its documentation.

use std::collections::VecDeque;

use super::covering;

/// Damping at the defaults of `behavior`: up 100 % or 4 Pods each 15 s and at once; down to the highest
/// recommendation of a window, then without limit.
#[derive(Debug)]
pub(super) struct Behavior {
    down_window: f64,
    recommended: VecDeque<(f64, u32)>,
}

impl Behavior {
    /// With so many seconds of `scaleDown.stabilizationWindowSeconds`.
    pub(super) fn new(down_window: f64) -> Self {
        Self { down_window, recommended: VecDeque::new() }
    }

    /// The size after damping.
    pub(super) fn damp(&mut self, second: f64, current: u32, asked: u32) -> u32 {
        if self.recommended.is_empty() {
            // What is there at the start counts as the first recommendation.
            self.recommended.push_back((second, current));
        }
        self.recommended.push_back((second, asked));
        while self.recommended.front().is_some_and(|(at, _)| second - at > self.down_window) {
            self.recommended.pop_front();
        }
        if asked >= current {
            return asked.min((2 * current).max(current + 4));
        }
        let highest = self.recommended.iter().map(|(_, asked)| *asked).max().unwrap_or(asked);
        highest.min(current)
    }
}

/// `ceil(replicas x ratio)`, unless the ratio is within a tenth of 1.
pub(super) fn proportional(current: u32, replicas: u32, ratio: f64) -> u32 {
    if (ratio - 1.0).abs() <= 0.1 { current } else { covering(f64::from(replicas) * ratio) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentations_example_doubles_and_halves() {
        // 200 m where 100 m is desired doubles, 50 m halves; 105 m is within the tolerance.
        assert_eq!(proportional(4, 4, 200.0 / 100.0), 8);
        assert_eq!(proportional(4, 4, 50.0 / 100.0), 2);
        assert_eq!(proportional(4, 4, 105.0 / 100.0), 4);
    }

    #[test]
    fn up_is_limited_per_period_and_down_waits_for_its_window() {
        let mut behavior = Behavior::new(300.0);
        assert_eq!(behavior.damp(0.0, 3, 20), 7);
        assert_eq!(behavior.damp(15.0, 7, 20), 14);
        assert_eq!(behavior.damp(30.0, 14, 2), 14);
        assert_eq!(behavior.damp(315.0, 14, 5), 14);
        assert_eq!(behavior.damp(330.0, 14, 2), 5);
    }
}
