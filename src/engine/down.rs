//! Stage 6: whether fewer replicas may be had now.

use jiff::Timestamp;

use super::decision::{CapacityBasis, Stage};
use super::draft::Draft;
use super::estimate::Belief;
use super::explain::{number, seconds};
use super::memory::{Memory, seconds_between};
use super::reason::Reason;
use super::up::Objective;
use crate::policy::Rules;
use crate::policy::units::Replicas;

/// Replica-seconds that a move down must have been wasted before it is made, on top of what it stops: a
/// twentieth of a replica-hour, the price of a rebalance for those who wait for it.
const MOVE_COST: f64 = 180.0;
/// Seconds after which an overshoot is given back although the load it was made for persists.
const GIVE_BACK: f64 = 3600.0;
/// The load has fallen since the last move up once the demand is below this share of that move's.
const FALLEN: f64 = 2.0 / 3.0;
/// Seconds between steps down into what nobody has demonstrated.
const PROBE_EVERY: f64 = 1800.0;

/// Whether a backlog is being cleared: it takes the present replicas more than a quarter of the objective
/// to work off. A record per partition may always wait.
pub(crate) fn catching_up(belief: &Belief, objective: Objective, current: Replicas) -> bool {
    let capacity = belief.capacity.mean.or(belief.capacity.demonstrated).unwrap_or(0.0);
    let partitions = f64::from(belief.ladder.partitions().unwrap_or(0));
    let quick = capacity * current.as_f64() * objective.max_lag / 4.0 + partitions;
    belief.overdue || belief.sizing_backlog.is_none_or(|backlog| backlog > quick)
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
    if let Some(need) = need
        && (need < current || belief.capacity.basis != CapacityBasis::Unknown)
    {
        return need;
    }
    let window = f64::from(rules.down_window_seconds());
    let calm_for = memory
        .last_move
        .map_or(f64::INFINITY, |last| last.seconds_ago(now))
        .min(memory.watched_since.map_or(0.0, |since| seconds_between(since, now)));
    if calm_for >= PROBE_EVERY.max(4.0 * window) - window && !catching_up(belief, objective, current) {
        belief.ladder.below(current)
    } else {
        current
    }
}

/// Holds a move down that must not be made, or has not paid for itself. The draft's number is what would be
/// enough now; `candidate` what was within the window.
pub(crate) fn judge(
    draft: &mut Draft,
    memory: &Memory,
    belief: &Belief,
    (objective, demand): (Objective, f64),
    candidate: Replicas,
    now: Timestamp,
) {
    if catching_up(belief, objective, draft.current) {
        let detail = belief.sizing_backlog.map_or_else(
            || "the backlog is unknown".to_owned(),
            |backlog| format!("{} records are still to be cleared", number(backlog)),
        );
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
    let cost = MOVE_COST + belief.lower_seconds * draft.current.as_f64();
    if memory.waste < cost {
        let saved = draft.current.as_f64() - candidate.as_f64();
        let detail = format!(
            "{candidate} would do; {} of {} replica-seconds that the move costs have been wasted, {} to go",
            number(memory.waste),
            number(cost),
            seconds((cost - memory.waste) / saved)
        );
        draft.hold(Stage::Down, Reason::NotPaidBack, detail);
        return;
    }
    // An overshoot is kept while the load that it was made for persists: giving a replica back only to
    // ask for it again costs two moves.
    if let (Some(raised_for), Some(last)) = (memory.raised_for, memory.last_move)
        && demand > FALLEN * raised_for
        && last.seconds_ago(now) < GIVE_BACK
    {
        let detail = format!(
            "{candidate} would do, but {} of the {} records/s that {} was raised for are still there",
            number(demand),
            number(raised_for),
            draft.current
        );
        draft.hold(Stage::Down, Reason::NotPaidBack, detail);
    }
}
