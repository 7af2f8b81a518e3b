//! What the engine remembers of a workload between calls.
//!
//! Everything here is bounded, finite, and written out exactly: a restart or a fail-over that reads it
//! back changes nothing.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::anticipate::Margin;
use super::damp::fall::Fall;
use super::damp::flap::Flap;
use super::damp::stabilization::Window;
use super::effect::Effect;
use super::estimate::age::AgeMemory;
use super::estimate::batches::BatchMemory;
use super::estimate::capacity::CapacityMemory;
use super::estimate::cost::CostMemory;
use super::estimate::rate::RateMemory;
use super::holds::Holds;
use super::observation::{LimitCause, Quality, TargetLimit, TargetReading};
use super::tuning::Tuning;
use crate::policy::units::{Replicas, TimeSpan, seconds_f64};

/// The most moves that are remembered; a larger `changesPerHour` counts as this many.
pub(crate) const MOVES_KEPT: usize = 64;

/// Answers that are later than so many seconds are stale however regularly they come.
const LATEST: f64 = 300.0;

/// For so many seconds a size that the target did not bear is left alone.
const QUARANTINED: f64 = 3600.0;

/// A clock that steps back by so many seconds is waited for; by more, it was wrong before.
const FAR_AHEAD: f64 = 300.0;

/// Damping state and learnt figures of one workload. Written out and read back it changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Memory {
    /// The last turn.
    pub(crate) seen_at: Option<Timestamp>,
    /// When the newest complete look was sampled: the same look again teaches nothing.
    pub(crate) looked_at: Option<Timestamp>,
    /// How late each source's answers come, by the policy's order.
    pub(crate) late: Vec<Late>,
    /// The replicas that were asked for when last seen.
    pub(crate) current: Option<Replicas>,
    /// The upper bound that was asked for when last seen, where the target has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ceiling: Option<Replicas>,
    /// Moves of the last hour, oldest first.
    pub(crate) moves: VecDeque<Move>,
    /// The latest move, however old.
    pub(crate) last_move: Option<Move>,
    /// Since when the workload has been watched.
    pub(crate) watched_since: Option<Timestamp>,
    /// Since when the sources have told nothing that can be trusted.
    pub(crate) blind_since: Option<Timestamp>,
    /// Since when they have been silent or doubtful.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) doubtful_since: Option<Timestamp>,
    /// When the schedule begins whose floor is held already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) early: Option<Timestamp>,
    /// Since when there has been nothing to do.
    pub(crate) idle_since: Option<Timestamp>,
    /// Since when the group has been rebalancing.
    pub(crate) rebalancing_since: Option<Timestamp>,
    /// Since when replicas that were asked for have not been ready.
    pub(crate) unsettled_since: Option<Timestamp>,
    /// Since when the oldest record has been too old.
    pub(crate) overdue_since: Option<Timestamp>,
    /// Consecutive looks at a stable group on a settled target of the same size.
    pub(crate) steady_looks: u32,
    /// Ready replicas at the last look.
    pub(crate) ready: Option<Replicas>,
    /// Recent arrivals and consumption.
    pub(crate) rate: RateMemory,
    /// The oldest record's age, as it was read since the last disturbance.
    pub(crate) age: AgeMemory,
    /// What one replica processes.
    pub(crate) capacity: CapacityMemory,
    /// What one replica could do, as batches with time to spare show it.
    #[serde(skip_serializing_if = "BatchMemory::is_empty")]
    pub(crate) batches: BatchMemory,
    /// What each size was seen to do.
    pub(crate) effect: Effect,
    /// What a move costs.
    pub(crate) cost: CostMemory,
    /// How far the load has lately run ahead of what was expected.
    pub(crate) margin: Margin,
    /// Recommendations over the scale-down window.
    pub(crate) highest: Window,
    /// Recommendations over the scale-up window.
    pub(crate) lowest: Window,
    /// Recommended upper bounds over the scale-down window.
    pub(crate) ceilings: Window,
    /// How long each size would do.
    pub(crate) holds: Holds,
    /// Reversals, decaying.
    pub(crate) flap: Flap,
    /// What has been enough lately, while less is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fall: Option<Fall>,
    /// What the target did not bear, since when that has been known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) quarantine: Option<(Replicas, Timestamp)>,
}

/// How late a source's answers come. Lateness that stays the same is no staleness.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Late {
    /// When the newest answer was sampled.
    sampled: Timestamp,
    /// How many seconds old it was when it was first seen.
    pub(crate) seconds: f64,
}

/// One change of the replicas asked for, whoever made it: second of the epoch, from, to. The same twice is a
/// change of the upper bound alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Move(pub(crate) i64, pub(crate) Replicas, pub(crate) Replicas);

impl Move {
    /// Whether it was a move up.
    pub(crate) fn is_raise(self) -> bool {
        self.2 > self.1
    }

    /// Whole seconds since it was seen.
    pub(crate) fn seconds_ago(self, now: Timestamp) -> f64 {
        Timestamp::from_second(self.0).map_or(f64::INFINITY, |at| seconds_between(at, now).floor())
    }
}

impl Memory {
    /// Of a workload of which nothing is known but what one replica processes, in records per second: that as well as
    /// if it had been measured again and again.
    pub fn knowing(capacity: f64) -> Self {
        Self { capacity: CapacityMemory::known(capacity), ..Self::default() }
    }

    /// Forgets what `now` makes void. A memory from far ahead was written under a wrong clock: waiting for it
    /// could take days. All of it that lies in time is forgotten, and what a replica can do is kept.
    pub(crate) fn wake(&mut self, interval: TimeSpan, now: Timestamp) {
        let ahead = self.seen_at.map_or(0.0, |seen| seconds_between(now, seen));
        if ahead > FAR_AHEAD.max(10.0 * interval.as_secs_f64()) {
            *self = Self { capacity: self.capacity, ..Self::default() };
        }
    }

    /// Takes note of the target. Any change of the replicas asked for counts as a move, whoever made it:
    /// so a dry run, a crash between deciding and writing, and a human need no special case.
    pub(crate) fn note_target(&mut self, target: &TargetReading, tuning: &Tuning, now: Timestamp) {
        if target.quality != Quality::Ok {
            return;
        }
        self.cost.expect(target.price);
        self.note_quarantine(target.limit, now);
        let Some(current) = target.current else { return };
        if let Some(before) = self.current {
            let made = Move(now.as_second(), before, current);
            if before != current {
                self.note_move(made, tuning, now);
            } else if self.ceiling.is_some_and(|ceiling| target.ceiling.is_some_and(|is| is != ceiling)) {
                self.count(made);
            }
        }
        self.current = Some(current);
        self.ceiling = target.ceiling.or(self.ceiling);
        since(&mut self.unsettled_since, !target.settled, now);
        while self.moves.front().is_some_and(|oldest| oldest.seconds_ago(now) > 3600.0) {
            self.moves.pop_front();
        }
    }

    /// A size that the target did not bear is left alone for as long as the target would, had nobody been restarted.
    fn note_quarantine(&mut self, limit: Option<TargetLimit>, now: Timestamp) {
        self.quarantine = self.quarantine.filter(|(_, since)| seconds_between(*since, now) < QUARANTINED);
        if let Some(limit) = limit.filter(|limit| limit.cause == LimitCause::Quarantine) {
            let since =
                self.quarantine.filter(|(most, _)| *most == limit.most).map_or(now, |(_, since)| since);
            self.quarantine = Some((limit.most, since));
        }
    }

    /// The limit of a target, or what is remembered where that is less.
    pub(crate) fn limited(&self, limit: Option<TargetLimit>) -> Option<TargetLimit> {
        let barred = self.quarantine.map(|(most, _)| TargetLimit { most, cause: LimitCause::Quarantine });
        limit.into_iter().chain(barred).min_by_key(|limit| limit.most)
    }

    fn note_move(&mut self, made: Move, tuning: &Tuning, now: Timestamp) {
        let reversed = self.last_move.is_some_and(|last| last.is_raise() != made.is_raise());
        self.flap.note(reversed, self.cost.price(tuning), now);
        self.count(made);
        self.last_move = Some(made);
        self.steady_looks = 0;
        self.cost.begin(made.is_raise(), self.seen_at.unwrap_or(now), now);
    }

    /// Takes note of how late the sources' answers come.
    pub(crate) fn note_late(&mut self, sampled: impl Iterator<Item = Timestamp>, now: Timestamp) {
        let mut sources = 0;
        for sampled in sampled {
            match self.late.get_mut(sources) {
                Some(known) if sampled <= known.sampled => {}
                Some(known) => {
                    *known = Late { sampled, seconds: seconds_between(sampled, now).clamp(0.0, LATEST) };
                }
                // A first answer may be old for other reasons.
                None => self.late.push(Late { sampled, seconds: 0.0 }),
            }
            sources += 1;
        }
        self.late.truncate(sources);
    }

    /// Counts a change against the hour's.
    fn count(&mut self, made: Move) {
        if self.moves.len() == MOVES_KEPT {
            self.moves.pop_front();
        }
        self.moves.push_back(made);
    }

    /// Seconds since the last turn; 0 at the first.
    pub(crate) fn seconds_since_turn(&self, now: Timestamp) -> f64 {
        self.seen_at.map_or(0.0, |seen| seconds_between(seen, now).max(0.0))
    }
}

/// Seconds from `then` to `now`, negative where `now` is earlier.
pub(crate) fn seconds_between(then: Timestamp, now: Timestamp) -> f64 {
    if (then.subsec_nanosecond(), now.subsec_nanosecond()) == (0, 0) {
        return seconds_f64(now.as_second() - then.as_second());
    }
    now.duration_since(then).as_secs_f64()
}

/// Keeps in `mark` the moment since which `holds` has been true.
pub(crate) fn since(mark: &mut Option<Timestamp>, holds: bool, now: Timestamp) {
    if holds {
        mark.get_or_insert(now);
    } else {
        *mark = None;
    }
}

/// How long `mark` has been set, in seconds; 0 where it is not.
pub(crate) fn lasted(mark: Option<Timestamp>, now: Timestamp) -> f64 {
    mark.map_or(0.0, |began| seconds_between(began, now).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_target_did_not_bear_is_remembered_for_an_hour_by_whoever_reads_the_memory() {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let limit = |most, cause| Some(TargetLimit { most: Replicas(most), cause });
        let mut memory = Memory::default();
        memory.note_quarantine(limit(3, LimitCause::Quarantine), at(0));
        memory.note_quarantine(limit(3, LimitCause::Quarantine), at(600));
        let written = serde_json::to_string(&memory).unwrap();
        let mut read: Memory = serde_json::from_str(&written).unwrap();
        // A target that knows of nothing any more.
        read.note_quarantine(limit(8, LimitCause::Slots), at(3599));
        assert_eq!(read.limited(limit(8, LimitCause::Slots)), limit(3, LimitCause::Quarantine));
        assert_eq!(
            read.limited(limit(2, LimitCause::Slots)),
            limit(2, LimitCause::Slots),
            "the lesser of both"
        );
        read.note_quarantine(None, at(3600));
        assert_eq!(read.limited(None), None);
    }
}
