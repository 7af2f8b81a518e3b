//! The stages of a decision about a target that may be moved, in order.

use jiff::Timestamp;

use super::damp::stabilization::Side;
use super::decision::Stage;
use super::draft::Draft;
use super::estimate::Belief;
use super::look::Look;
use super::memory::{Memory, lasted, since};
use super::observation::{GroupState, Observation, SourceReading, TargetReading};
use super::trust::{Trust, Word};
use super::up::Objective as Age;
use super::{bounds, by_age, by_lag, damp, rest};
use crate::policy::units::Replicas;
use crate::policy::{Objective, Rules};

/// Takes note of since when the sources have been trusted, and the group calm.
pub(crate) fn note_trust(memory: &mut Memory, seen: &Observation, trust: &Trust, now: Timestamp) {
    since(&mut memory.blind_since, trust.is_blind(), now);
    since(&mut memory.doubtful_since, trust.is_doubtful(), now);
    let rebalancing = seen
        .sources
        .iter()
        .any(|source| matches!(source, SourceReading::Backlog(one) if one.group == GroupState::Rebalancing));
    since(&mut memory.rebalancing_since, rebalancing, now);
    memory.watched_since.get_or_insert(now);
}

/// Runs the stages. Returns the need, before any bound or damper, where it is known.
pub(crate) fn run(
    draft: &mut Draft,
    rules: &Rules,
    memory: &mut Memory,
    belief: &Belief,
    look: &Look,
    trust: &Trust,
    now: Timestamp,
) -> Option<Replicas> {
    rest::watch(rules, memory, look, trust, now);
    if !has_sight(rules, memory, trust, now) {
        memory.highest.push(now, draft.current, rules.down_window_seconds(), Side::High);
        memory.holds.interrupt(now);
    }
    let need = match trust {
        Trust::Hold(word) => {
            draft.hold(Stage::Trust, word.reason, word.detail.clone());
            None
        }
        Trust::Full | Trust::UpOnly(_) => judge(draft, rules, memory, belief, look, trust, now),
    };
    if *trust != Trust::Full {
        bounds::fall_back(draft, rules, memory, now);
    }
    damp::apply(draft, rules, memory, look.in_batches(), now);
    bounds::enforce(draft, rules);
    need
}

/// Whether a turn counts towards a move down. A first turn, one after a long pause, one on doubt, and one that
/// has been blind for longer than a hiccup do not: they recommend what is, so that a move down takes a whole
/// window of sight.
pub(crate) fn has_sight(rules: &Rules, memory: &Memory, trust: &Trust, now: Timestamp) -> bool {
    let hiccup = 3.0 * rules.interval.as_secs_f64();
    let paused = memory.seen_at.is_none() || memory.seconds_since_turn(now) > hiccup;
    let told = match trust {
        Trust::Full => true,
        Trust::UpOnly(_) => false,
        Trust::Hold(_) => trust.is_blind() && lasted(memory.blind_since, now) <= hiccup,
    };
    told && !paused
}

/// A target that must be left alone is recommended as it is.
pub(crate) fn stand_by(rules: &Rules, memory: &mut Memory, target: &TargetReading, now: Timestamp) {
    if let Some(is) = target.current.or(memory.current) {
        memory.highest.push(now, is, rules.down_window_seconds(), Side::High);
    }
    if let Some(is) = target.ceiling.or(memory.ceiling) {
        memory.ceilings.push(now, is, rules.ceiling_window_seconds(), Side::High);
    }
    memory.holds.interrupt(now);
}

fn judge(
    draft: &mut Draft,
    rules: &Rules,
    memory: &mut Memory,
    belief: &Belief,
    look: &Look,
    trust: &Trust,
    now: Timestamp,
) -> Option<Replicas> {
    if rest::decide(draft, rules, memory, belief, trust, now) {
        return Some(draft.to);
    }
    let need = match rules.objective {
        Objective::LagPerReplica { records } => {
            Some(by_lag::decide(draft, rules, memory, belief, look, records, now))
        }
        Objective::MaxLag { max_lag, catch_up } => {
            let age = Age { max_lag: max_lag.as_secs_f64(), catch_up: catch_up.as_secs_f64() };
            by_age::decide(draft, rules, memory, belief, age, now)
        }
    };
    rest::wake(draft, rules, belief);
    if !draft.raises()
        && let Trust::UpOnly(Word { reason, detail }) = trust
    {
        draft.hold(Stage::Trust, *reason, detail.clone());
    }
    need
}
