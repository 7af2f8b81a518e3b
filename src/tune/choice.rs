//! Which notch to turn, if any: a neighbour of what is in force has to win twice.

use std::fmt;

use serde::{Deserialize, Serialize};
use strum::IntoEnumIterator;

use super::rehearsal::{Bill, Bills, Rehearsal};
use crate::engine::tuning;
use crate::policy::Rules;
use crate::policy::notches::{Knob, Notches};

/// A neighbour has to cost so much less, on the older and on the newer half.
const CLEARLY: f64 = 0.97;
/// No constant is turned further than this from the preset's, either way.
pub const FURTHEST: u8 = 4;

/// One constant, turned by one notch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Turn {
    /// Which.
    pub knob: Knob,
    /// Its notches from the preset before and after.
    pub notches: (i8, i8),
    /// Its value before and after.
    pub values: (f64, f64),
    /// What it saves of the cost of the older and of the newer half; negative where it costs more.
    pub saves: [f64; 2],
}

impl Turn {
    /// Towards the preset.
    pub fn is_back(&self) -> bool {
        self.notches.1.unsigned_abs() < self.notches.0.unsigned_abs()
    }
}

/// What came of a look at the neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Choice {
    /// Too little is known for a run.
    TooLittle,
    /// A run does not resemble what really was: nothing is learnt from it, and what was turned goes back.
    Unlike(Option<Turn>),
    /// Nothing is clearly better.
    Keep,
    /// This is.
    Turn(Turn),
}

impl Choice {
    /// What is turned, if anything.
    pub fn turn(&self) -> Option<Turn> {
        match self {
            Self::TooLittle | Self::Keep | Self::Unlike(None) => None,
            Self::Turn(turn) | Self::Unlike(Some(turn)) => Some(*turn),
        }
    }
}

impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { knob, values: (from, to), saves: [older, newer], .. } = self;
        write!(
            f,
            "{knob} from {from} to {to}: on the older half of its history that saves {:.1} % of the cost, on the newer \
             {:.1} %",
            100.0 * older,
            100.0 * newer
        )
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLittle => f.write_str("the history is too short, or has too many gaps, to be run again"),
            Self::Unlike(None) => f.write_str(
                "the history run again does not resemble what really was, or too little of it was carried out",
            ),
            Self::Unlike(Some(turn)) => write!(
                f,
                "the history run again does not resemble what really was: {} goes back from {} to {}",
                turn.knob, turn.values.0, turn.values.1
            ),
            Self::Keep => f.write_str("no other constant is clearly better on both halves of the history"),
            Self::Turn(turn) => turn.fmt(f),
        }
    }
}

/// Looks at all neighbours of `notches`.
pub fn choose(rehearsal: &Rehearsal, rules: &Rules, notches: Notches) -> Choice {
    let now = rehearsal.bills(notches);
    if !rehearsal.resembles(&now) {
        let furthest = neighbours(rules, notches).filter(Turn::is_back);
        return Choice::Unlike(furthest.max_by_key(|turn| turn.notches.0.unsigned_abs()));
    }
    let mut best: Option<(f64, Turn)> = None;
    for turn in neighbours(rules, notches) {
        let then = rehearsal.bills(notches.with(turn.knob, turn.notches.1));
        let does = if turn.is_back() { should_have(&now, &then) } else { wins(&now, &then) };
        let cost = then.older.cost + then.newer.cost;
        if does && best.is_none_or(|(least, _)| cost < least) {
            let saves = [saved(&now.older, &then.older), saved(&now.newer, &then.newer)];
            best = Some((cost, Turn { saves, ..turn }));
        }
    }
    best.map_or(Choice::Keep, |(_, turn)| Choice::Turn(turn))
}

/// All that is one notch away and makes a difference.
fn neighbours(rules: &Rules, notches: Notches) -> impl Iterator<Item = Turn> {
    Knob::iter().filter(|knob| !tuning::is_stated(&rules.knobs, *knob)).flat_map(move |knob| {
        let from = notches.get(knob);
        [from.saturating_add(1), from.saturating_sub(1)].into_iter().filter_map(move |to| {
            let values = (tuning::value(rules, knob, from), tuning::value(rules, knob, to));
            let differs = (values.0 - values.1).abs() > 1e-9;
            let turn = Turn { knob, notches: (from, to), values, saves: [0.0; 2] };
            (differs && to.unsigned_abs() <= FURTHEST).then_some(turn)
        })
    })
}

/// The share of a cost that is saved.
fn saved(now: &Bill, then: &Bill) -> f64 {
    if now.cost > 0.0 { 1.0 - then.cost / now.cost } else { 0.0 }
}

/// Clearly cheaper on both halves, and late no more often on either.
fn wins(now: &Bills, then: &Bills) -> bool {
    let half = |now: &Bill, then: &Bill| {
        now.cost > 0.0 && then.cost <= CLEARLY * now.cost && then.late_minutes <= now.late_minutes
    };
    half(&now.older, &then.older) && half(&now.newer, &then.newer)
}

/// The way back asks for less than the way there: it would have been cheaper on the newer half, or as cheap and late
/// less often.
fn should_have(now: &Bills, back: &Bills) -> bool {
    let (now, back) = (&now.newer, &back.newer);
    back.cost < now.cost || back.cost <= now.cost && back.late_minutes < now.late_minutes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bills(older: (f64, f64), newer: (f64, f64)) -> Bills {
        let bill = |(cost, late_minutes)| Bill { late_minutes, cost, ..Bill::default() };
        Bills { older: bill(older), newer: bill(newer), lately: Bill::default() }
    }

    #[test]
    fn a_notch_has_to_win_clearly_on_both_halves_and_be_late_no_more_on_either() {
        let now = bills((100.0, 3.0), (50.0, 0.0));
        assert!(wins(&now, &bills((97.0, 3.0), (48.5, 0.0))));
        assert!(!wins(&now, &bills((60.0, 3.0), (48.6, 0.0))), "the newer half hardly wins");
        assert!(!wins(&now, &bills((97.1, 3.0), (30.0, 0.0))), "the older half hardly wins");
        assert!(!wins(&now, &bills((60.0, 3.0), (30.0, 0.25))), "the newer half is late more often");
        assert!(!wins(&now, &bills((60.0, 3.25), (30.0, 0.0))), "the older half is late more often");
        let nothing = bills((0.0, 0.0), (0.0, 0.0));
        assert!(!wins(&nothing, &nothing));
    }

    #[test]
    fn the_way_back_has_to_win_on_the_newer_half_alone() {
        let now = bills((100.0, 0.0), (50.0, 1.0));
        assert!(should_have(&now, &bills((120.0, 9.0), (49.9, 1.0))));
        assert!(should_have(&now, &bills((120.0, 9.0), (50.0, 0.75))));
        assert!(!should_have(&now, &now));
        assert!(!should_have(&now, &bills((60.0, 0.0), (50.1, 0.0))));
    }

    #[test]
    fn neighbours_are_a_notch_away_within_bounds_and_never_what_is_stated() {
        let trace = crate::fluid::trace::Trace { name: "t".to_owned(), step: 15.0, rates: vec![1.0; 8] };
        let plant = crate::fluid::plant::Plant::preset("flink").unwrap();
        let course = crate::fluid::course::Course::new(&trace, &plant, 1).unwrap();
        let mut rules = crate::fluid::run::default_rules(&course);
        let all = |rules: &Rules, notches| neighbours(rules, notches).collect::<Vec<_>>();
        // By `balanced` the share of `maxLag` and the utilization have one notch left upwards.
        assert_eq!(all(&rules, Notches::default()).len(), 2 * Knob::iter().count());
        let up = Notches::default().with(Knob::UsableLag, 1);
        let left = all(&rules, up);
        assert!(left.iter().all(|turn| turn.knob != Knob::UsableLag || turn.notches == (1, 0)), "{left:?}");
        let far = Notches::default().with(Knob::Stays, -4);
        assert!(all(&rules, far).iter().all(|turn| turn.notches.1 >= -3), "{far:?}");
        rules.knobs.usable_lag = Some(80);
        rules.knobs.payback = Some(2.0);
        let free = all(&rules, Notches::default());
        assert_eq!(free.len(), 2 * (Knob::iter().count() - 2));
        assert!(free.iter().all(|turn| ![Knob::UsableLag, Knob::Payback].contains(&turn.knob)), "{free:?}");
        // A store may hold anything.
        all(&rules, Notches::default().with(Knob::Miss, i8::MIN).with(Knob::Stays, i8::MAX));
    }
}
