//! Stage 5: whether more replicas are needed now.
//!
//! A short deficit inside the objective is cheaper than a move: so a move up is made only once the objective
//! would come into danger before a later move could take effect; then straight to the rung that is needed.

use std::fmt::{self, Display};

use jiff::Timestamp;

use super::decision::{CapacityBasis, Stage};
use super::draft::Draft;
use super::estimate::capacity::LEAST_STRAINED;
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

/// Whether the oldest record, by its age as it was read, gets past half of the objective within `horizon`
/// seconds, and does not recover by itself in the time for a catch-up.
pub(crate) fn slips(belief: &Belief, objective: Objective, horizon: f64) -> bool {
    let limit = belief.ready_age.max(objective.max_lag / 4.0);
    belief
        .trend
        .is_some_and(|trend| trend.ahead(horizon) > limit && !trend.recovers(limit, objective.catch_up))
}

/// What is seen of the oldest record, in words.
pub(crate) fn observed(belief: &Belief, objective: Objective, horizon: f64) -> impl Display {
    let trend = belief.trend;
    fmt::from_fn(move |to| {
        let Some(trend) = trend else { return Ok(()) };
        write!(
            to,
            "the oldest record is {} old and will be {} old in {} at this pace, with {} allowed",
            seconds(trend.age),
            seconds(trend.ahead(horizon)),
            seconds(horizon),
            seconds(objective.max_lag)
        )
    })
}

/// Whether the objective is breached, and will be for longer than a move costs: a minute over it is worth
/// some replica-hours.
fn stays_late(belief: &Belief, objective: Objective, age: f64, arriving: f64, serving: f64) -> bool {
    if !belief.overdue || serving <= arriving {
        return false; // Kept, or told by the outlook.
    }
    let seconds = (age - objective.max_lag).max(0.0) * arriving / (serving - arriving);
    seconds > 2.0 * belief.raise_seconds && 60.0 * seconds * belief.tuning.late > 2.0 * belief.price
}

/// Whether waiting any longer would cost more than the move: the work that has come in beyond what is processed, and
/// that will have by the end of a move made at the next turn, amounts to more replica-seconds than a move costs (ski
/// rental: Karlin et al. 1988). Where moves are dear the objective is in danger long before. `Some` with both then.
fn outweighs(
    belief: &Belief,
    memory: &Memory,
    (serving, one): (f64, f64),
    horizon: f64,
) -> Option<(f64, f64)> {
    // Even if they did as much more than believed as they may do less, twice over.
    let doubt = belief.capacity.mean? / belief.capacity.low?;
    let from = memory.last_move.and_then(|last| Timestamp::from_second(last.0).ok());
    let (waits, grows) = memory.rate.excess(serving * doubt * doubt, from)?;
    let work = (waits + grows * horizon) / one;
    let known = belief.capacity.basis == CapacityBasis::Measured;
    (known && work > belief.price).then_some((work, belief.price))
}

/// Records per second that the busiest partition brings beyond what one replica processes.
fn hot_excess(belief: &Belief, rate: f64, capacity: f64) -> f64 {
    belief.busiest_share.map_or(0.0, |share| (share * rate - capacity).max(0.0))
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
    let mean = belief.capacity.mean.unwrap_or(low);
    let serving = size::together(belief, draft.current.0, mean);
    let (age, stop) = (belief.queue_age(rate), belief.raise_stop);
    let arriving = belief.rate.unwrap_or(rate);
    let ahead = age + (1.0 - serving / rate).max(0.0) * (horizon - stop) + stop;
    let binding = draft.binding.clone();
    let at = binding.map_or_else(String::new, |binding| format!(" ({} binds)", binding.name));
    let load = format_args!(
        "{} records/s to be ready for and one replica processes at least {}{at}",
        number(rate),
        number(low)
    );
    let current = draft.current;
    let outlook = format_args!(
        "at {} the oldest record would get {} old by the end of a move made at the next turn, of {} allowed",
        current,
        seconds(ahead),
        seconds(objective.max_lag),
    );
    // A partition too hot for a replica slips away at any size: only what the others bring is helped by more.
    let hot = need.hot && rate - hot_excess(belief, rate, mean) <= serving;
    let outweighs = if hot { None } else { outweighs(belief, memory, (serving, mean), horizon) };
    let saved = fmt::from_fn(|to: &mut fmt::Formatter<'_>| {
        let Some((work, price)) = outweighs else { return Ok(()) };
        let (work, price) = (number(work), number(price));
        write!(
            to,
            "{work} replica-seconds of work will have been left by {current}, where a move costs {price}"
        )
    });
    // Where nothing is asked to run, there is nobody to wait for.
    let waits = draft.current.0 == 0
        || arriving > serving && ahead > belief.tuning.usable * objective.max_lag
        || !hot && stays_late(belief, objective, age, arriving, serving);
    if !(waits || outweighs.is_some() || slips(belief, objective, horizon - stop) && !hot) {
        draft.hold(Stage::Up, Reason::ObjectiveHolds, format_args!("{load}; {outlook}"));
        return;
    }
    let observed = observed(belief, objective, horizon - stop);
    let outlook: &dyn Display = match (waits, outweighs) {
        (true, _) => &outlook,
        (false, Some(_)) => &saved,
        (false, None) => &observed,
    };
    if belief.moving {
        // What piles up while the last move takes effect is no reason for another: only the rate is.
        let alone = Load { rate, backlog: 0.0, deepest: 0.0, catch_up: objective.catch_up };
        if size::by_age(belief, alone, low).replicas <= draft.current {
            let detail = format_args!("{load}; the last move is still taking effect");
            draft.hold(Stage::Up, Reason::CatchingUp, detail);
            return;
        }
    }
    let to = draft.to;
    draft.set(
        Stage::Up,
        to,
        Reason::LoadNeedsMore,
        format_args!("{load}; {outlook}; {to} of {} needed", need.replicas),
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
        let overdue = lasted(memory.overdue_since, now);
        let since_move = memory.last_move.map_or(f64::INFINITY, |last| last.seconds_ago(now));
        let counted_by = (horizon + 2.0 * rules.interval.as_secs_f64()).max(60.0);
        let detail = format!(
            "records are overdue for {}, and what one replica processes is unknown",
            seconds(overdue)
        );
        let to = belief.ladder.at_least(Replicas(current.0.saturating_mul(2)));
        return (overdue.min(since_move) > counted_by).then_some(Probe { to, capacity: None, detail });
    };
    let serving = working * current.as_f64();
    let backlog = belief.sizing_backlog.unwrap_or(0.0);
    // Right after a step, commits may hide so much of what has been processed already.
    let hidden = memory.rate.latest_arrivals(HIDDEN_SECONDS).map(|rate| rate * HIDDEN_SECONDS);
    let behind = rate > 1.05 * serving
        && backlog >= serving * estimate::busy_seconds(rules)
        && belief.backlog_before.is_some_and(|before| before > serving * HIDDEN_SECONDS)
        && hidden.is_some_and(|hidden| backlog > hidden);
    let waits = (belief.overdue || behind) && wait(belief, rate, serving, horizon) > objective.max_lag / 2.0;
    if !(waits || slips(belief, objective, horizon) && belief.is_spread()) {
        return None;
    }
    let least = match belief.capacity.mean {
        None => belief.capacity.demonstrated,
        Some(mean) => Some(LEAST_STRAINED * mean),
    };
    let capacity = working.max(least.unwrap_or(0.0));
    let surge = belief.sizing_rate.unwrap_or(rate);
    let load = Load::of(belief, surge, objective, belief.raise_stop);
    let need = size::by_age(belief, load, capacity);
    let mut detail = format!(
        "{} records/s arrive, one replica processes {} while {} records wait",
        number(rate),
        number(working),
        number(backlog)
    );
    if !waits {
        detail = format!("{detail}; {}", observed(belief, objective, horizon));
    }
    Some(Probe { to: need.replicas.max(belief.ladder.above(current)), capacity: Some(capacity), detail })
}
