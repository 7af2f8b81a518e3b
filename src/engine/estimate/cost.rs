//! What a move costs on this target, as measured, per direction.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::engine::memory::seconds_between;
use crate::engine::observation::Price;
use crate::engine::tuning::Tuning;

/// Seconds without processing that a move costs, before one was seen.
const STOP_PRIOR: f64 = 15.0;
/// Seconds from asking for replicas until they are there, before it was seen.
const START_PRIOR: f64 = 15.0;
/// A move that is not over after so many seconds teaches nothing: something else is wrong.
const GIVE_UP: f64 = 1800.0;
/// The weight of the latest move.
const WEIGHT: f64 = 0.4;

/// Measured seconds per direction, and the move that is being watched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct CostMemory {
    /// Seconds without processing that a move up costs.
    raise: Option<f64>,
    /// The same for a move down.
    lower: Option<f64>,
    /// Seconds from asking for more replicas until they are ready.
    start: Option<f64>,
    /// What is expected of this target until it has been measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<Price>,
    watched: Option<Watched>,
}

/// A move whose end is awaited.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Watched {
    /// When it was asked for, at the earliest: the turn before it was seen.
    asked: Timestamp,
    began: Timestamp,
    up: bool,
    /// Seconds of processing that have been lost to it.
    lost: f64,
    /// Seconds since it was asked for at the last look that found replicas missing.
    starting: f64,
    /// Seconds since it began at the last look at all.
    seen: f64,
}

/// What a look says of a move under way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Glance {
    /// Every replica that was asked for is ready.
    pub(crate) settled: bool,
    /// The group is stable, and work goes on.
    pub(crate) works: bool,
    /// Seconds of processing that were lost since the look before.
    pub(crate) lost: f64,
    /// When the look was taken.
    pub(crate) sampled: Timestamp,
}

impl CostMemory {
    /// Starts to watch a move that was asked for at `asked` and seen now. One that had not ended before the
    /// next began teaches nothing.
    pub(crate) fn begin(&mut self, up: bool, asked: Timestamp, now: Timestamp) {
        self.watched = Some(Watched { asked, began: now, up, lost: 0.0, starting: 0.0, seen: 0.0 });
    }

    /// Takes note of what moves of this target usually cost.
    pub(crate) fn expect(&mut self, price: Option<Price>) {
        let plausible = |price: &Price| {
            let seconds = 0.0..=GIVE_UP;
            seconds.contains(&price.raise_seconds) && seconds.contains(&price.lower_seconds)
        };
        self.expected = price.filter(plausible).or(self.expected);
    }

    /// Whether all of the target stops for a move down, as it says itself.
    pub(crate) fn stops(&self) -> bool {
        self.expected.is_some_and(|price| price.lower_seconds > 0.0)
    }

    /// Watches the move no longer, and learns nothing from it.
    pub(crate) fn give_up(&mut self) {
        self.watched = None;
    }

    /// Whether a move is under way.
    pub(crate) fn under_way(&self) -> bool {
        self.watched.is_some()
    }

    /// Takes note of a look. After a gap of more than `longest` seconds between two looks the end could have
    /// been at any time.
    pub(crate) fn watch(&mut self, glance: Glance, longest: f64) {
        let Some(watched) = &mut self.watched else { return };
        let since_asked = seconds_between(watched.asked, glance.sampled);
        if since_asked <= 0.0 {
            return; // A late look at what was before.
        }
        let elapsed = seconds_between(watched.began, glance.sampled);
        if elapsed > GIVE_UP || elapsed - watched.seen > longest {
            self.watched = None;
            return;
        }
        watched.lost += glance.lost;
        watched.seen = elapsed.max(0.0);
        if !glance.settled {
            watched.starting = since_asked;
        }
        if glance.settled && glance.works && glance.lost <= 0.0 {
            let one = *watched;
            self.watched = None;
            self.learn(one, since_asked);
        }
    }

    fn learn(&mut self, one: Watched, since_asked: f64) {
        let stop = if one.up { &mut self.raise } else { &mut self.lower };
        blend(stop, one.lost);
        if one.up {
            // Between two looks it could have been at any time.
            let start = if one.starting > 0.0 { f64::midpoint(one.starting, since_asked) } else { 0.0 };
            blend(&mut self.start, start);
        }
    }

    /// Seconds without processing that a move up costs.
    pub(crate) fn raise_stop(&self) -> f64 {
        self.raise.or(self.lower).unwrap_or(self.stop_prior())
    }

    /// Seconds without processing that a move down costs.
    pub(crate) fn lower_seconds(&self) -> f64 {
        self.lower.or(self.raise).unwrap_or(self.stop_prior())
    }

    /// Seconds from asking for more replicas until they are ready.
    pub(crate) fn start_seconds(&self) -> f64 {
        let expected = self.expected.map(|price| (price.raise_seconds - price.lower_seconds).max(0.0));
        self.start.or(expected).unwrap_or(START_PRIOR)
    }

    fn stop_prior(&self) -> f64 {
        self.expected.map_or(STOP_PRIOR, |price| price.lower_seconds)
    }

    /// What a move costs, in replica-seconds: half of what one up and one down cost.
    pub(crate) fn price(&self, tuning: &Tuning) -> f64 {
        tuning.price(f64::midpoint(self.raise_stop(), self.lower_seconds()), self.start_seconds())
    }

    /// Seconds from asking for more replicas until their capacity is there.
    pub(crate) fn raise_seconds(&self) -> f64 {
        self.raise_stop() + self.start_seconds()
    }
}

/// The first measurement counts whole.
fn blend(slot: &mut Option<f64>, seconds: f64) {
    *slot = Some(slot.map_or(seconds, |before| before + WEIGHT * (seconds - before)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tuning::BALANCED;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn glance(second: i64, settled: bool, lost: f64) -> Glance {
        Glance { settled, works: lost <= 0.0, lost, sampled: at(second) }
    }

    #[test]
    fn a_stop_that_fits_between_two_turns_is_measured() {
        let mut cost = CostMemory::default();
        cost.begin(false, at(0), at(15));
        cost.watch(glance(15, true, 15.0), 60.0);
        assert!(cost.under_way());
        cost.watch(glance(30, true, 0.0), 60.0);
        assert!(!cost.under_way());
        assert!((cost.lower_seconds() - 15.0).abs() < 1e-9);
        assert!((cost.raise_stop() - 15.0).abs() < 1e-9, "and stands for the other direction");
    }

    #[test]
    fn starting_is_told_from_standing_still() {
        let mut cost = CostMemory::default();
        cost.begin(true, at(0), at(15));
        cost.watch(glance(15, false, 0.0), 60.0);
        cost.watch(glance(30, false, 0.0), 60.0);
        cost.watch(glance(45, true, 0.0), 60.0);
        assert!((cost.start_seconds() - 37.5).abs() < 1e-9 && cost.raise_stop() < 1e-9);
        // The next one counts for two fifths.
        cost.begin(true, at(100), at(115));
        cost.watch(glance(115, true, 10.0), 60.0);
        cost.watch(glance(130, true, 0.0), 60.0);
        assert!((cost.raise_stop() - 4.0).abs() < 1e-9 && (cost.start_seconds() - 22.5).abs() < 1e-9);
    }

    #[test]
    fn a_late_look_at_what_was_before_ends_nothing() {
        let mut cost = CostMemory::default();
        cost.begin(true, at(100), at(115));
        cost.watch(glance(55, true, 0.0), 60.0);
        assert!(cost.under_way());
    }

    #[test]
    fn a_move_that_never_ends_or_that_nobody_watched_teaches_nothing() {
        let mut cost = CostMemory::default();
        cost.begin(false, at(0), at(15));
        for second in (15..=1830).step_by(15) {
            cost.watch(glance(second, true, 15.0), 60.0);
        }
        cost.begin(true, at(2000), at(2015));
        cost.watch(glance(2600, true, 0.0), 60.0);
        assert!(!cost.under_way());
        assert_eq!(cost, CostMemory::default());
    }

    #[test]
    fn a_move_costs_more_the_longer_it_stops() {
        let hours = |stop, start| BALANCED.price(stop, start) / 3600.0;
        assert!((hours(0.0, 0.0) - 0.02).abs() < 1e-9);
        assert!((hours(60.0, 0.0) - 0.52).abs() < 1e-9);
        assert!((1.9..2.1).contains(&hours(180.0, 0.0)));
        assert!((0.05..0.1).contains(&hours(0.0, 45.0)));
    }
}
