//! What a move costs on this target, as measured, per direction.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::engine::memory::seconds_between;
use crate::engine::observation::Price;

/// Seconds that a move up takes until its capacity is there, before one was seen.
const RAISE_PRIOR: f64 = 30.0;
/// Seconds that a move down stops processing, before one was seen.
const LOWER_PRIOR: f64 = 15.0;
/// A move that is not over after so many seconds teaches nothing: something else is wrong.
const GIVE_UP: f64 = 1800.0;
/// The weight of the latest move.
const WEIGHT: f64 = 0.4;

/// Measured seconds per direction, and the move that is being watched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct CostMemory {
    raise: Option<f64>,
    lower: Option<f64>,
    /// What is expected of this target until it has been measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<Price>,
    watched: Option<Watched>,
}

/// A move whose end is awaited.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Watched {
    began: Timestamp,
    up: bool,
    /// Seconds since then at the last look that still showed its effects.
    troubled: f64,
    /// Seconds since then at the last look at all.
    seen: f64,
}

impl CostMemory {
    /// Starts to watch a move. One that had not ended before the next began teaches nothing.
    pub(crate) fn begin(&mut self, up: bool, now: Timestamp) {
        self.watched = Some(Watched { began: now, up, troubled: 0.0, seen: 0.0 });
    }

    /// Takes note of what moves of this target usually cost.
    pub(crate) fn expect(&mut self, price: Option<Price>) {
        let plausible = |price: &Price| {
            let seconds = 0.0..=GIVE_UP;
            seconds.contains(&price.raise_seconds) && seconds.contains(&price.lower_seconds)
        };
        self.expected = price.filter(plausible).or(self.expected);
    }

    /// Whether a move is under way.
    pub(crate) fn under_way(&self) -> bool {
        self.watched.is_some()
    }

    /// Takes note of a look: `over` says that the target is settled, the group stable, and work goes on.
    /// The end lies between this look and the last one before it that said otherwise: half way.
    /// After a gap of more than `longest` seconds between two looks it could have been at any time.
    pub(crate) fn watch(&mut self, over: bool, longest: f64, now: Timestamp) {
        let before = (self.raise_seconds(), self.lower_seconds());
        let Some(watched) = &mut self.watched else { return };
        let elapsed = seconds_between(watched.began, now);
        if elapsed > GIVE_UP || elapsed - watched.seen > longest {
            self.watched = None;
        } else if !over {
            (watched.troubled, watched.seen) = (elapsed, elapsed);
        } else if elapsed > 0.0 {
            let seconds = f64::midpoint(watched.troubled, elapsed);
            let (slot, before) =
                if watched.up { (&mut self.raise, before.0) } else { (&mut self.lower, before.1) };
            *slot = Some(before + WEIGHT * (seconds - before));
            self.watched = None;
        }
    }

    /// Seconds from asking for more replicas until their capacity is there.
    pub(crate) fn raise_seconds(&self) -> f64 {
        let expected = self.expected.map_or(RAISE_PRIOR, |price| price.raise_seconds);
        self.raise.unwrap_or(expected)
    }

    /// Seconds that processing stops for when replicas leave.
    pub(crate) fn lower_seconds(&self) -> f64 {
        let expected = self.expected.map_or(LOWER_PRIOR, |price| price.lower_seconds);
        self.lower.unwrap_or(expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_move_ends_between_its_last_troubled_look_and_the_first_good_one() {
        let mut cost = CostMemory::default();
        cost.begin(true, at(0));
        cost.watch(false, 60.0, at(0));
        cost.watch(false, 60.0, at(40));
        assert!(cost.under_way());
        cost.watch(true, 60.0, at(60));
        assert!((cost.raise_seconds() - (30.0 + 0.4 * 20.0)).abs() < 1e-9);
        assert!((cost.lower_seconds() - 15.0).abs() < 1e-9);
        assert!(!cost.under_way());
    }

    #[test]
    fn a_move_that_never_ends_teaches_nothing() {
        let mut cost = CostMemory::default();
        cost.begin(false, at(0));
        for second in (15..=1815).step_by(15) {
            cost.watch(false, 60.0, at(second));
        }
        cost.watch(true, 60.0, at(1830));
        assert!((cost.lower_seconds() - 15.0).abs() < 1e-9);
    }

    #[test]
    fn a_move_that_nobody_watched_teaches_nothing() {
        let mut cost = CostMemory::default();
        cost.begin(true, at(0));
        cost.watch(true, 60.0, at(600));
        assert!((cost.raise_seconds() - 30.0).abs() < 1e-9);
        assert!(!cost.under_way());
    }
}
