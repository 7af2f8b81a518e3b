//! A penalty on reversals that decays, after the route-flap damping of RFC 2439.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::engine::decision::Stage;
use crate::engine::draft::Draft;
use crate::engine::memory::{Memory, Move, seconds_between};
use crate::engine::reason::Reason;
use crate::engine::tuning::Tuning;
use crate::policy::Rules;

/// Seconds in which the penalty halves where a move costs [`USUAL_PRICE`]: in as much less as moves are cheaper.
const HALF_LIFE: f64 = 900.0;
/// Replica-seconds: half a replica-hour, the price of a stop of a minute.
const USUAL_PRICE: f64 = 1800.0;
/// The penalty never halves slower than in so many seconds.
const LONGEST: f64 = 900.0;
/// At or above this penalty moves down are suppressed ...
const SUPPRESS: f64 = 2.0;
/// ... until it has decayed to below this one.
const REUSE: f64 = 0.75;

/// Seconds in which executors of a query that works in batches go back down once: each that comes again starts cold, and
/// the batch under way pays for those that went.
const ONCE_IN: f64 = 3600.0;

/// One point for every reversal, halving with [`HALF_LIFE`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Flap {
    penalty: f64,
    at: Option<Timestamp>,
    suppressing: bool,
}

impl Flap {
    /// Takes note of a move.
    pub(crate) fn note(&mut self, reversed: bool, price: f64, now: Timestamp) {
        self.penalty = self.penalty(price, now) + if reversed { 1.0 } else { 0.0 };
        self.at = Some(now);
        self.suppressing |= self.penalty >= SUPPRESS;
    }

    /// The penalty by now.
    fn penalty(&self, price: f64, now: Timestamp) -> f64 {
        let seconds = self.at.map_or(0.0, |at| seconds_between(at, now).max(0.0));
        self.penalty * (-seconds / half_life(price)).exp2()
    }

    /// Whether moves down are suppressed now; `Some` with the seconds until they are not.
    fn suppressed(&mut self, price: f64, now: Timestamp) -> Option<f64> {
        let penalty = self.penalty(price, now);
        self.suppressing &= penalty >= REUSE;
        self.suppressing.then(|| half_life(price) * (penalty / REUSE).log2())
    }
}

fn half_life(price: f64) -> f64 {
    (HALF_LIFE * price / USUAL_PRICE).min(LONGEST)
}

/// Holds a move down while recent reversals weigh too much. Going to rest has its own cooldown.
pub(crate) fn apply(draft: &mut Draft, rules: &Rules, memory: &mut Memory, in_batches: bool, now: Timestamp) {
    if in_batches
        && draft.lowers()
        && draft.reason != Reason::Idle
        && let Some(seconds) = turned_down(&memory.moves, now)
    {
        let detail = format!(
            "the size has gone down and up again within an hour; executors go down again in {seconds:.0} s"
        );
        draft.hold(Stage::Damp, Reason::FlapPenalty, detail);
    }
    if !memory.flap.suppressing {
        return;
    }
    let suppressed = memory.flap.suppressed(memory.cost.price(&Tuning::of(rules)), now);
    if draft.lowers()
        && draft.reason != Reason::Idle
        && let Some(seconds) = suppressed
    {
        let detail = format!("the size has gone back and forth; moves down rest for another {seconds:.0} s");
        draft.hold(Stage::Damp, Reason::FlapPenalty, detail);
    }
}

/// Where the last of these moves was a move up: seconds until the last move down from before it is an hour ago, the
/// first of those that follow a move up. `None` where it is.
fn turned_down(moves: &VecDeque<Move>, now: Timestamp) -> Option<f64> {
    let up = |made: &Move| made.2 > made.1;
    let mut latest = moves.iter().rev().filter(|made| made.1 != made.2);
    latest.next().filter(|last| up(last))?;
    let down = latest.skip_while(|made| up(made)).take_while(|made| !up(made)).last()?;
    let left = ONCE_IN - down.seconds_ago(now);
    (left > 0.0).then_some(left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Replicas;

    #[test]
    fn executors_turn_back_down_once_an_hour() {
        let moves = |moves: &[(i64, u32, u32)]| {
            moves
                .iter()
                .map(|(at, from, to)| Move(*at, Replicas(*from), Replicas(*to)))
                .collect::<VecDeque<_>>()
        };
        let left = |made: &[(i64, u32, u32)]| turned_down(&moves(made), at(2000));
        assert_eq!(left(&[]), None);
        assert_eq!(left(&[(0, 2, 4)]), None, "it went up, and was not down before");
        assert_eq!(left(&[(0, 4, 3), (600, 3, 2)]), None, "further down is no turn");
        assert_eq!(left(&[(0, 4, 3), (600, 3, 2), (900, 2, 3), (1200, 3, 4)]), Some(1600.0));
        assert_eq!(left(&[(0, 4, 4), (100, 4, 2), (200, 2, 4), (300, 4, 4)]), Some(1700.0));
        assert_eq!(turned_down(&moves(&[(0, 4, 2), (1200, 2, 4)]), at(3600)), None);
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_penalty_suppresses_after_quick_reversals_and_decays() {
        let mut flap = Flap::default();
        flap.note(false, USUAL_PRICE, at(0));
        flap.note(true, USUAL_PRICE, at(60));
        flap.note(true, USUAL_PRICE, at(120));
        assert_eq!(flap.suppressed(USUAL_PRICE, at(120)), None, "two reversals weigh a little under 2");
        flap.note(true, USUAL_PRICE, at(180));
        assert!(flap.suppressed(USUAL_PRICE, at(180)).is_some());
        assert!(flap.suppressed(USUAL_PRICE, at(180 + 900)).is_some(), "half of it is still above re-use");
        assert_eq!(flap.suppressed(USUAL_PRICE, at(180 + 1800)), None);
        assert_eq!(flap.suppressed(USUAL_PRICE, at(180 + 1801)), None, "and it stays released");
    }

    #[test]
    fn cheap_moves_may_follow_each_other() {
        let mut flap = Flap::default();
        for second in [0, 60, 120, 180] {
            flap.note(true, USUAL_PRICE / 20.0, at(second));
        }
        assert_eq!(flap.suppressed(USUAL_PRICE / 20.0, at(180)), None);
    }
}
