//! Stage 5: whether more replicas are needed now.
//!
//! A short deficit inside the objective is cheaper than a move: so a move up is made only once the objective
//! would come into danger before a later move could take effect; then straight to the rung that is needed.

use jiff::Timestamp;

use super::decision::Stage;
use super::draft::Draft;
use super::estimate::{self, Belief};
use super::explain::{number, seconds};
use super::memory::{Memory, lasted};
use super::reason::Reason;
use super::size::{self, Load, Need};
use crate::policy::Rules;
use crate::policy::units::Replicas;

/// Seconds of arrivals that a consumer which keeps up may not have committed yet.
const HIDDEN_SECONDS: f64 = 10.0;

/// The objective in seconds, and what is left of it as the limit for a move.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Objective {
    /// The oldest record's age that is allowed.
    pub(crate) max_lag: f64,
    /// The time to clear a backlog in.
    pub(crate) catch_up: f64,
}

/// A step up without knowing the capacity.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Probe {
    /// The count to ask for.
    pub(crate) to: Replicas,
    /// Records per second that a replica processed while the group fell behind.
    pub(crate) capacity: Option<f64>,
    /// Why.
    pub(crate) detail: String,
}

/// How long a record would wait that arrives after `horizon` seconds, were `serving` records per second
/// processed until then.
pub(crate) fn wait(belief: &Belief, rate: f64, serving: f64, horizon: f64) -> f64 {
    let backlog = (belief.sizing_backlog.unwrap_or(0.0) + (rate - serving) * horizon).max(0.0);
    if backlog <= 0.0 { 0.0 } else { backlog / serving }
}

/// Decides on a move up to `need` where the capacity of a replica is known (`low`).
pub(crate) fn known(
    draft: &mut Draft,
    rules: &Rules,
    memory: &Memory,
    belief: &Belief,
    (objective, rate, low): (Objective, f64, f64),
    need: Need,
) {
    let horizon = estimate::horizon(rules, memory);
    let serving = draft.current.as_f64() * low;
    let wait = wait(belief, rate, serving, horizon);
    let load = format!(
        "{} records/s to be ready for and one replica processes at least {}",
        number(rate),
        number(low)
    );
    let outlook = format!(
        "at {} a record would wait {} of {} allowed in {}",
        draft.current,
        seconds(wait),
        seconds(objective.max_lag),
        seconds(horizon)
    );
    if wait <= objective.max_lag / 2.0 {
        draft.hold(Stage::Up, Reason::ObjectiveHolds, format!("{load}; {outlook}"));
        return;
    }
    if belief.moving {
        // What piles up while the last move takes effect is no reason for another: only the rate is.
        let alone = Load { rate, backlog: 0.0, deepest: 0.0, stop: 0.0, catch_up: objective.catch_up };
        if size::by_age(belief, alone, low).replicas <= draft.current {
            let detail = format!("{load}; the last move is still taking effect");
            draft.hold(Stage::Up, Reason::CatchingUp, detail);
            return;
        }
    }
    let to = draft.to;
    draft.set(
        Stage::Up,
        to,
        Reason::LoadNeedsMore,
        format!("{load}; {outlook}; {to} of {} needed", need.replicas),
    );
}

/// What to ask for where nothing is known of the capacity: one step, if the group visibly falls behind, then
/// wait for what it does. What the replicas process while they fall behind is what they can, so it sizes
/// the step; before that has been counted the step is one rung.
pub(crate) fn probe(
    rules: &Rules,
    memory: &Memory,
    belief: &Belief,
    (objective, rate): (Objective, f64),
    current: Replicas,
    now: Timestamp,
) -> Option<Probe> {
    if belief.moving {
        return None;
    }
    let horizon = estimate::horizon(rules, memory);
    let Some(working) = belief.working.filter(|working| *working > 0.0) else {
        // Two looks in a row at a calm group count its consumption; do not wait for them for ever.
        let behind = lasted(memory.overdue_since, now) > horizon.max(60.0);
        let detail = "overdue, and what a replica processes could not be counted".to_owned();
        return behind.then(|| Probe { to: belief.ladder.above(current), capacity: None, detail });
    };
    let serving = working * current.as_f64();
    let backlog = belief.sizing_backlog.unwrap_or(0.0);
    // Right after a step, commits may hide so much of what has been processed already.
    let hidden = memory.rate.latest_arrivals(HIDDEN_SECONDS).map(|rate| rate * HIDDEN_SECONDS);
    let behind = rate > 1.05 * serving
        && backlog >= serving * estimate::busy_seconds(rules)
        && belief.backlog_before.is_some_and(|before| before > serving * HIDDEN_SECONDS)
        && hidden.is_some_and(|hidden| backlog > hidden);
    if !(belief.overdue || behind) || wait(belief, rate, serving, horizon) <= objective.max_lag / 2.0 {
        return None;
    }
    let capacity = working.max(belief.capacity.demonstrated.unwrap_or(0.0));
    let surge = belief.sizing_rate.unwrap_or(rate);
    let load = Load::of(belief, surge, belief.raise_seconds, objective.max_lag, objective.catch_up);
    let need = size::by_age(belief, load, capacity);
    let detail = format!(
        "{} records/s arrive, one replica processes {} while {} records wait",
        number(rate),
        number(working),
        number(backlog)
    );
    Some(Probe { to: need.replicas.max(belief.ladder.above(current)), capacity: Some(capacity), detail })
}
