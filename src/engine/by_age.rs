//! The objective in seconds of age: sizing by rates, moves up by urgency, moves down by patience.

use jiff::Timestamp;

use super::damp::stabilization::Side;
use super::decision::{CapacityBasis, Stage};
use super::draft::Draft;
use super::estimate::{self, Belief};
use super::explain::{number, seconds};
use super::memory::{Memory, lasted};
use super::reason::Reason;
use super::size::{self, Load, Need};
use super::up::Objective;
use super::{bounds, down, thrift, up};
use crate::policy::Rules;
use crate::policy::units::Replicas;

/// The relative standard deviation of the capacity that a probe goes by.
const PROBE_DEVIATION: f64 = 0.2;

/// How much larger a size is asked for, at least, where what is believed of the present one proves wrong.
const UNSTICK: f64 = 1.25;

/// Sizes, and decides which way to go. Returns the need, where it is known.
pub(crate) fn decide(
    draft: &mut Draft,
    rules: &Rules,
    memory: &mut Memory,
    belief: &Belief,
    objective: Objective,
    now: Timestamp,
) -> Option<Replicas> {
    let Some(rate) = belief.anticipated.or(belief.demand.map(|_| 0.0)) else {
        draft.hold(Stage::Estimate, Reason::WarmingUp, "no rate is known yet".to_owned());
        memory.highest.push(now, draft.current, rules.down_window_seconds(), Side::High);
        return None;
    };
    if belief.raise_seconds + rules.interval.as_secs_f64() >= objective.max_lag {
        let detail = format!(
            "a move up takes {:.0} s and a turn {}, while {:.0} s are allowed",
            belief.raise_seconds, rules.interval, objective.max_lag
        );
        draft.note(Stage::Estimate, Reason::ObjectiveInfeasible, detail);
    }
    if belief.is_spread()
        && belief.bound.is_none()
        && up::slips(belief, objective, estimate::horizon(rules, memory))
        && let Some(working) = belief.working
    {
        memory.capacity.strain(working, now);
    }
    let surge = belief.sizing_rate.unwrap_or(rate);
    let load = Load::of(belief, surge, objective, belief.raise_stop);
    let raised = match belief.capacity.low.or(belief.capacity.demonstrated.filter(|_| draft.current.0 == 0)) {
        Some(low) => raise(draft, rules, memory, belief, (objective, rate, load, low), now),
        None => probe(draft, rules, memory, belief, (objective, rate), now),
    };
    let raised = raised.or_else(|| doubt(draft, rules, memory, belief, (objective, rate), now));
    let raised = raised.or_else(|| unstick(draft, rules, memory, belief, objective, now));
    if let Some(need) = raised {
        let to = draft.to.max(draft.current);
        memory.highest.push(now, to, rules.down_window_seconds(), Side::High);
        return Some(need);
    }
    let load = Load::of(belief, belief.rate.unwrap_or(rate), objective, belief.lower_seconds);
    lower(draft, rules, memory, belief, (objective, load), now)
}

/// `Some` with the need where it lies over what is: decided here then, one way or the other.
fn raise(
    draft: &mut Draft,
    rules: &Rules,
    memory: &mut Memory,
    belief: &Belief,
    (objective, rate, load, low): (Objective, f64, Load, f64),
    now: Timestamp,
) -> Option<Replicas> {
    let need = size::by_age(belief, load, low);
    let (to, _) = bounds::apply(draft, rules, belief, need);
    memory.lowest.push(now, to, rules.up_window_seconds(), Side::Low);
    let needed = need.replicas.max(bounds::demanded(belief));
    // What only the floor asks for is no matter of the load: it has the last word anyway.
    if to <= draft.current || (to == draft.floor.replicas && needed <= draft.current) {
        return None;
    }
    let detail = format_args!("{} records/s to cover", number(need.demand));
    draft.set(Stage::Size, to, Reason::LoadNeedsMore, detail);
    let load = Load { rate: load.rate.max(rate), ..load };
    let worth = thrift::worth(belief, objective, load, (draft.current, to));
    if let Some(worth) = worth.filter(|worth| worth.to > draft.current) {
        draft.set(Stage::Size, worth.to, Reason::LoadNeedsMore, worth.words());
    }
    up::known(draft, rules, memory, belief, (objective, rate, low), need);
    if let Some(worth) = worth.filter(|worth| worth.to <= draft.current && draft.raises()) {
        draft.hold(Stage::Up, Reason::ObjectiveHolds, worth.words());
    }
    meet_demand(draft, rules, belief);
    Some(need.replicas)
}

/// A demand that somebody else has worked out is met at once, urgent or not.
fn meet_demand(draft: &mut Draft, rules: &Rules, belief: &Belief) {
    let floor = bounds::demanded(belief).min(rules.max_replicas);
    if floor > draft.to {
        let detail = format!("a metric demands {}", number(belief.demand.unwrap_or(0.0)));
        draft.set(Stage::Up, floor, Reason::LoadNeedsMore, detail);
    }
}

/// As [`raise`], where nothing is known of the capacity.
fn probe(
    draft: &mut Draft,
    rules: &Rules,
    memory: &mut Memory,
    belief: &Belief,
    (objective, rate): (Objective, f64),
    now: Timestamp,
) -> Option<Replicas> {
    let probe = up::probe(rules, memory, belief, (objective, rate), draft.current, now);
    let wanted = probe.as_ref().map_or(draft.current, |probe| probe.to);
    let need = Need { replicas: wanted, quotient: wanted, demand: rate, hot: false };
    let (to, binding) = bounds::apply(draft, rules, belief, need);
    memory.lowest.push(now, to, rules.up_window_seconds(), Side::Low);
    let Some(probe) = probe else {
        meet_demand(draft, rules, belief);
        return draft.raises().then_some(draft.to);
    };
    if let Some(capacity) = probe.capacity.filter(|_| belief.capacity.basis == CapacityBasis::Unknown) {
        // Replicas that fall behind do what they can: a first measurement, for the turns to come.
        memory.capacity.measure(capacity, PROBE_DEVIATION, rules.capacity_per_replica);
    }
    if to <= draft.current {
        draft.hold(Stage::Up, binding.map_or(Reason::Probing, |(reason, _)| reason), probe.detail);
    } else {
        draft.set(Stage::Up, to, Reason::Probing, probe.detail);
    }
    Some(wanted)
}

/// As [`probe`], where the size should be enough by what is known, and plainly is not: the oldest record has
/// stayed over half of the objective, and does not recover. What the replicas do process counts then, slower
/// than they were or unevenly loaded.
fn doubt(
    draft: &mut Draft,
    rules: &Rules,
    memory: &mut Memory,
    belief: &Belief,
    (objective, rate): (Objective, f64),
    now: Timestamp,
) -> Option<Replicas> {
    let late = belief.trend.is_some_and(|trend| trend.least > objective.max_lag / 2.0);
    let hot = is_hot(belief, rate);
    let top = belief.ladder.above(draft.current).min(rules.max_replicas) <= draft.current;
    if hot || top || !(late && belief.is_spread() && up::slips(belief, objective, 0.0)) {
        return None;
    }
    probe(draft, rules, memory, belief, (objective, rate), now)
}

/// Whether one partition alone brings more than one replica processes, or that is not known.
fn is_hot(belief: &Belief, rate: f64) -> bool {
    belief.busiest_share.zip(belief.capacity.mean).is_none_or(|(share, mean)| share * rate > mean)
}

/// A quarter more, and at least one rung, where the objective has been breached for longer than the present size should have taken to
/// catch up: then what is believed is wrong. Not where all of it waits in one partition.
fn unstick(
    draft: &mut Draft,
    rules: &Rules,
    memory: &Memory,
    belief: &Belief,
    objective: Objective,
    now: Timestamp,
) -> Option<Replicas> {
    let patience = objective.catch_up.max(4.0 * belief.raise_seconds);
    let since_move = memory.last_move.map_or(f64::INFINITY, |last| last.seconds_ago(now));
    let more = Replicas::covering(draft.current.as_f64() * UNSTICK).unwrap_or_default();
    let to = belief.ladder.above(draft.current).max(belief.ladder.at_least(more)).min(rules.max_replicas);
    let to = belief.bound.map_or(to, |bound| to.min(bound.useful));
    let breached = lasted(memory.overdue_since, now);
    if is_hot(belief, belief.rate.unwrap_or(0.0)) {
        return None;
    }
    if breached.min(since_move) <= patience || belief.moving || !belief.is_spread() || to <= draft.current {
        return None;
    }
    let detail = format!("overdue for {} although {} should be enough", seconds(breached), draft.current);
    draft.set(Stage::Up, to, Reason::StillOverdue, detail);
    Some(to)
}

/// Where no more are needed: whether fewer are.
fn lower(
    draft: &mut Draft,
    rules: &Rules,
    memory: &mut Memory,
    belief: &Belief,
    (objective, load): (Objective, Load),
    now: Timestamp,
) -> Option<Replicas> {
    let need = belief.capacity.for_less().map(|capacity| size::by_age(belief, load, capacity));
    // Where the load is falling, what the latest look alone asks for is where it is heading.
    let latest = memory.rate.latest_sample().map_or(load.rate, |(over, records)| records / over);
    let falling = Load { rate: load.rate.min(latest), ..load };
    let heading = belief.capacity.for_less().map(|capacity| size::by_age(belief, falling, capacity).replicas);
    let known = need.map(|need| need.replicas);
    let wanted = down::recommendation(rules, memory, belief, objective, (draft.current, known), now);
    let (hot, quotient) = need.map_or((false, wanted), |need| (need.hot, need.quotient));
    let asked = Need { replicas: wanted, quotient: quotient.min(wanted), demand: load.demand(), hot };
    let (to, binding) = bounds::apply(draft, rules, belief, asked);
    let candidate = memory.highest.push(now, to, rules.down_window_seconds(), Side::High);
    let covered = format_args!("{} records/s to cover", number(load.demand()));
    if to < draft.current {
        let fewer = known.is_some_and(|known| known < draft.current);
        if fewer || belief.capacity.basis != CapacityBasis::Unknown {
            let detail = format_args!("{covered}: {to} would do");
            draft.set(Stage::Size, to, Reason::LoadNeedsFewer, detail);
        } else {
            let detail = format_args!("{covered} have been no trouble for long: one step down, to learn");
            draft.set(Stage::Size, to, Reason::Probing, detail);
        }
        if let Some(bound) =
            belief.bound.filter(|bound| draft.current > bound.useful && !belief.moving && !belief.unsettled)
        {
            draft.set(Stage::Down, to.max(bound.useful), Reason::NoGain, bounds::no_gain(bound));
            return known;
        }
        let heading = heading.unwrap_or(to).min(to);
        let learns = down::to_learn(rules, memory, belief, objective, draft.current, now);
        down::judge(draft, memory, belief, objective, (candidate, known, heading), (learns, now));
        if let Some((Reason::HotPartition, detail)) = binding
            && draft.reason == Reason::CatchingUp
        {
            // What piles up behind one hot partition is not being caught up with.
            draft.hold(Stage::Down, Reason::HotPartition, detail);
        }
    } else {
        let fit = size::fit(belief, draft.current, load);
        match binding {
            Some((reason, detail)) => draft.hold(Stage::Size, reason, detail),
            None if belief.overdue => {
                let detail = format_args!("{covered}, and records are overdue");
                draft.hold(Stage::Size, Reason::CatchingUp, detail);
            }
            None => draft.hold(Stage::Size, Reason::AtNeed, fit),
        }
    }
    known
}
