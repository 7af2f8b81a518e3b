//! The stabilization windows: down takes the highest recommendation within its window, up the lowest.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::engine::decision::Stage;
use crate::engine::draft::Draft;
use crate::engine::memory::Memory;
use crate::engine::reason::Reason;
use crate::policy::Rules;
use crate::policy::units::Replicas;

/// The most entries of a window. A full window forgets *when* rather than *how much*.
const KEPT: usize = 24;

/// Which recommendation of a window counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// The highest.
    High,
    /// The lowest.
    Low,
}

/// A sliding extreme over time: a monotone queue, so that its front is always the answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Window(VecDeque<(i64, Replicas)>);

impl Window {
    /// Adds a recommendation and returns the extreme of the last `seconds`, this one included.
    pub(crate) fn push(&mut self, now: Timestamp, value: Replicas, seconds: u32, side: Side) -> Replicas {
        let second = now.as_second();
        let oldest = second.saturating_sub(i64::from(seconds));
        self.0.retain(|&(at, _)| at > oldest && at <= second);
        let beaten = |&(_, held): &(i64, Replicas)| match side {
            Side::High => held <= value,
            Side::Low => held >= value,
        };
        while self.0.back().is_some_and(beaten) {
            self.0.pop_back();
        }
        self.0.push_back((second, value));
        if self.0.len() > KEPT {
            self.merge_closest();
        }
        self.0.front().map_or(value, |&(_, extreme)| extreme)
    }

    /// The extreme of what was added so far.
    pub(crate) fn extreme(&self) -> Option<Replicas> {
        self.0.front().map(|&(_, value)| value)
    }

    /// Joins the two neighbours that differ least: the more cautious value, for as long as the later.
    fn merge_closest(&mut self) {
        let gaps = self.0.iter().zip(self.0.iter().skip(1)).map(|(a, b)| a.1.0.abs_diff(b.1.0));
        if let Some((index, _)) = gaps.enumerate().min_by_key(|&(_, gap)| gap)
            && let Some((later, _)) = self.0.remove(index + 1)
            && let Some(kept) = self.0.get_mut(index)
        {
            kept.0 = later;
        }
    }
}

/// Limits a move by its window. The windows have seen this turn's recommendation already.
pub(crate) fn apply(draft: &mut Draft, rules: &Rules, memory: &Memory) {
    if draft.lowers() && draft.reason != Reason::Idle {
        let highest = memory.highest.extreme().unwrap_or(draft.current);
        if highest > draft.to {
            let seconds = rules.down_window_seconds();
            let detail = format!("{highest} was needed within the last {seconds} s");
            draft.set(Stage::Damp, highest.min(draft.current), Reason::DownStabilizing, detail);
        }
    } else if draft.raises() && rules.up_window_seconds() > 0 {
        let lowest = memory.lowest.extreme().unwrap_or(draft.to);
        if lowest < draft.to {
            let seconds = rules.up_window_seconds();
            let detail = format!("{lowest} was enough within the last {seconds} s");
            draft.set(Stage::Damp, lowest.max(draft.current), Reason::UpStabilizing, detail);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn push(window: &mut Window, second: i64, value: u32, side: Side) -> u32 {
        window.push(at(second), Replicas(value), 60, side).0
    }

    #[test]
    fn the_highest_of_the_window_counts_until_it_is_too_old() {
        let mut window = Window::default();
        assert_eq!(push(&mut window, 0, 5, Side::High), 5);
        assert_eq!(push(&mut window, 15, 3, Side::High), 5);
        assert_eq!(push(&mut window, 30, 4, Side::High), 5);
        assert_eq!(push(&mut window, 60, 1, Side::High), 4, "the 5 is 60 s old");
        assert_eq!(push(&mut window, 90, 1, Side::High), 1);
    }

    #[test]
    fn the_lowest_of_the_window_counts_for_up() {
        let mut window = Window::default();
        assert_eq!(push(&mut window, 0, 2, Side::Low), 2);
        assert_eq!(push(&mut window, 30, 6, Side::Low), 2);
        assert_eq!(push(&mut window, 61, 6, Side::Low), 6);
    }

    #[test]
    fn a_full_window_never_forgets_its_extreme() {
        let mut window = Window::default();
        for second in 0..200 {
            let value = Replicas(1000 - u32::try_from(second).unwrap());
            window.push(at(second), value, 3600, Side::High);
        }
        assert!(window.0.len() <= KEPT);
        assert_eq!(window.extreme(), Some(Replicas(1000)));
    }
}
