//! Stage 6: whether fewer replicas may be had now.

use jiff::Timestamp;

use super::decision::{CapacityBasis, Stage};
use super::draft::Draft;
use super::estimate::Belief;
use super::explain::{number, seconds};
use super::memory::{Memory, seconds_between};
use super::reason::Reason;
use super::up::Objective;
use super::{season, size};
use crate::policy::Rules;
use crate::policy::units::Replicas;

/// A size is expected to do for no more than so many seconds, whatever it used to.
const LOOKS_AHEAD: f64 = 4.0 * 3600.0;
/// Seconds between steps down into what nobody has demonstrated.
const PROBE_EVERY: f64 = 1800.0;
/// The same where the last such step had to be taken back.
const RETRY_EVERY: f64 = 6.0 * 3600.0;

/// Whether a backlog is being cleared that is old for the objective.
pub(crate) fn catching_up(belief: &Belief, objective: Objective) -> bool {
    let late = belief.trend.is_some_and(|trend| trend.age > objective.max_lag / 2.0);
    belief.overdue || late || belief.sizing_backlog.is_none()
}

/// Whether what waits would, at `to` replicas and after the stop that the move makes, wait for longer than
/// half of the objective. `Some` with the figures then.
fn leaves_late(belief: &Belief, objective: Objective, to: Replicas) -> Option<String> {
    let backlog = belief.sizing_backlog?;
    let serving = size::together(belief, to.0, belief.capacity.for_less()?);
    // A stop that is long for the objective must not forbid every move down.
    let usable = belief.tuning.usable * objective.max_lag;
    let stop = belief.lower_seconds.min(usable * 0.75);
    let wait = backlog / serving + stop;
    (to.0 > 0 && wait > usable).then(|| {
        format!(
            "{to} would take {} for the {} records that wait, and {} are allowed",
            seconds(wait),
            number(backlog),
            seconds(objective.max_lag)
        )
    })
}

/// The count to go down to, before windows: the need; or, where nothing is known of the capacity and the
/// size has long been more than enough, one rung.
///
/// What a replica demonstrated is a lower bound of its capacity, so the need by it is an upper bound.
pub(crate) fn recommendation(
    rules: &Rules,
    memory: &Memory,
    belief: &Belief,
    objective: Objective,
    (current, need): (Replicas, Option<Replicas>),
    now: Timestamp,
) -> Replicas {
    match need {
        Some(need) if need < current || belief.capacity.basis != CapacityBasis::Unknown => need,
        _ => to_learn(rules, memory, belief, objective, current, now).unwrap_or(current),
    }
}

/// One rung down, where nothing is known of the capacity and the size has long been more than enough.
pub(crate) fn to_learn(
    rules: &Rules,
    memory: &Memory,
    belief: &Belief,
    objective: Objective,
    current: Replicas,
    now: Timestamp,
) -> Option<Replicas> {
    if belief.capacity.basis != CapacityBasis::Unknown {
        return None;
    }
    let window = f64::from(rules.down_window_seconds());
    let calm_for = memory
        .last_move
        .map_or(f64::INFINITY, |last| last.seconds_ago(now))
        .min(memory.watched_since.map_or(0.0, |since| seconds_between(since, now)));
    let below = belief.ladder.below(current);
    // What was left upwards before is not tried again soon; and a rising load is no time to try anything.
    let failed = memory.last_move.is_some_and(|last| last.is_raise() && last.1 <= below);
    let patience = if failed { RETRY_EVERY } else { PROBE_EVERY.max(4.0 * window) };
    let calm = calm_for >= patience - window && !memory.rate.rises(now);
    (calm && !catching_up(belief, objective)).then_some(below)
}

/// Holds a move down that must not be made, or has not paid for itself. The draft's number is what would be
/// enough now; `candidate` what was within the window, and `learns` the step down that is due to learn from.
pub(crate) fn judge(
    draft: &mut Draft,
    memory: &Memory,
    belief: &Belief,
    objective: Objective,
    (candidate, known, heading): (Replicas, Option<Replicas>, Replicas),
    (learns, now): (Option<Replicas>, Timestamp),
) {
    if catching_up(belief, objective) {
        let detail = belief.sizing_backlog.map_or_else(
            || "the backlog is unknown".to_owned(),
            |backlog| format!("{} records are still to be cleared", number(backlog)),
        );
        draft.hold(Stage::Down, Reason::CatchingUp, detail);
        return;
    }
    if let Some(detail) = leaves_late(belief, objective, draft.to) {
        draft.hold(Stage::Down, Reason::CatchingUp, detail);
        return;
    }
    if belief.moving || belief.unsettled {
        let why =
            if belief.moving { "the last move is still taking effect" } else { "not every replica is ready" };
        let detail = why.to_owned();
        draft.hold(Stage::Down, Reason::TargetNotSettled, detail);
        return;
    }
    if candidate >= draft.current {
        return; // The stabilization window holds it, and says so.
    }
    let unknown = belief.capacity.basis == CapacityBasis::Unknown;
    if unknown && known.is_none_or(|known| known >= draft.current) {
        return; // A step down to learn has been waited for long enough.
    }
    let cost = belief.tuning.payback * 2.0 * belief.price;
    let down = |to: Replicas| draft.current.as_f64() - to.as_f64();
    // Less than the last move up has been worth would have made that one a waste.
    let (since_raise, by) =
        memory.last_move.filter(|last| last.is_raise()).map_or((f64::INFINITY, f64::INFINITY), |last| {
            (last.seconds_ago(now), last.2.as_f64() - last.1.as_f64())
        });
    let unpaid = |to: Replicas| {
        let price = belief.price + draft.current.as_f64() * belief.raise_stop;
        down(to).min(by) * since_raise < price
    };
    let saves = |to: Replicas| {
        let expected = memory.holds.expected(to.0, now).min(LOOKS_AHEAD);
        if unpaid(to) { 0.0 } else { down(to) * expected }
    };
    // Less than half of the way to where the load is heading is not worth a move of its own.
    let far = |to: Replicas| 2.0 * down(to) > down(heading.min(to));
    let mut best = (draft.to, if far(draft.to) { saves(draft.to) } else { 0.0 });
    for to in memory.holds.sizes().filter(|to| (draft.to..draft.current).contains(to)) {
        if far(to) && saves(to) > best.1 {
            best = (to, saves(to));
        }
    }
    let (to, saved) = best;
    let detail = format_args!(
        "{to} would do, has done for {} and can be expected to for {}: {} replica-seconds saved, where moving \
         down and up again costs {}",
        seconds(memory.holds.lasted(to.0, now)),
        seconds(memory.holds.expected(to.0, now)),
        number(saved),
        number(cost)
    );
    let past = past_days(memory, belief, (to, cost / down(to)), now).filter(|until| down(to) * until < cost);
    if let Some(step) = learns.filter(|step| *step >= draft.to && (saved < cost || past.is_some())) {
        // A higher load would not have kept it from trying, so neither does this.
        let current = draft.current;
        let detail = format_args!(
            "{to} would do, and {current} have been no trouble for long: one step down, to learn"
        );
        draft.set(Stage::Down, step, Reason::Probing, detail);
    } else if saved < cost {
        draft.hold(Stage::Down, Reason::NotPaidBack, detail);
    } else if let Some(until) = past {
        let detail = format_args!(
            "{to} would do now, and past days needed more in {}: {} replica-seconds saved, where moving down and up \
             again costs {}",
            seconds(until),
            number(down(to) * until),
            number(cost)
        );
        draft.hold(Stage::Down, Reason::PastDaysNeedMore, detail);
    } else {
        draft.set(Stage::Down, to, Reason::LoadNeedsFewer, detail);
    }
}

/// Seconds until past days needed more than `to` replicas bear, where they foretell that soon. Of a move that has paid
/// for itself within `paid` seconds they tell nothing, where that is less than they tell apart.
fn past_days(memory: &Memory, belief: &Belief, (to, paid): (Replicas, f64), now: Timestamp) -> Option<f64> {
    if paid < season::RESOLUTION {
        return None;
    }
    let capacity = belief.capacity.for_less()? * belief.tuning.utilization;
    memory.season.until(now, (belief.rate?, size::together(belief, to.0, capacity)), LOOKS_AHEAD)
}
