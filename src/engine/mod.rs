//! What we decide: one pure function for the daemon, the dry run, `explain`, `replay` and the demo.
//!
//! No clock, no I/O, no randomness and no error return: missing, stale or impossible input is data and
//! ends in a hold with a reason. The same arguments give the same bytes.
//!
//! [`evaluate`] runs the stages in order: trust, estimate, anticipate, size, up or down, damp, explain; what became of
//! a move is looked at as the next look comes in.
//! Each leaves its word in the decision's trail.

mod anticipate;
mod bounds;
mod by_age;
mod by_lag;
mod damp;
pub mod decision;
mod down;
mod draft;
mod effect;
mod estimate;
pub mod explain;
mod holds;
mod ladder;
mod look;
pub mod memory;
pub mod observation;
mod overdue;
pub mod reason;
mod rest;
pub mod schedule;
mod size;
mod stages;
mod steer;
mod thrift;
mod trust;
pub mod tuning;
mod up;

use jiff::Timestamp;

pub use decision::{Change, Decision, Verdict};
pub use memory::Memory;
pub use observation::Observation;
pub use reason::Reason;

use self::decision::{Estimate, Stage, Step};
use self::draft::Draft;
use self::estimate::Belief;
use self::look::Look;
use self::observation::SourceReading;
use self::schedule::Floor;
use self::trust::{Trust, Word};
use self::tuning::Tuning;
use crate::policy::Rules;
use crate::policy::units::{Replicas, records_covering};

/// Decides about one workload, now.
///
/// `memory` is what the last call returned, or [`Memory::default`] for a workload never seen. What
/// became of earlier decisions is learnt from `observation` alone, so that a dry run, a crash between
/// deciding and writing, and a change by somebody else all need no special case.
pub fn evaluate(
    rules: &Rules,
    memory: Memory,
    observation: &Observation,
    now: Timestamp,
) -> (Memory, Decision) {
    let (memory, decision) = decide(rules, memory, observation, now, true);
    let ahead = memory.seen_at.filter(|seen| now < *seen);
    (memory, in_words(decision, rules, ahead))
}

/// [`evaluate`] for closed loops of which nobody reads every turn: the same memory and the same decision, with
/// an empty trail and no sentences.
pub fn evaluate_wordless(
    rules: &Rules,
    memory: Memory,
    observation: &Observation,
    now: Timestamp,
) -> (Memory, Decision) {
    decide(rules, memory, observation, now, false)
}

fn decide(
    rules: &Rules,
    memory: Memory,
    observation: &Observation,
    now: Timestamp,
    words: bool,
) -> (Memory, Decision) {
    let mut memory = memory.by(rules.interval, now);
    if let Some(seen) = memory.seen_at.filter(|seen| now < *seen) {
        // Nothing can be learnt from a clock that ran backwards, and nothing is forgotten for it.
        let word = Word {
            reason: Reason::InputRejected,
            detail: format!("the clock says {now:.0}, and the last turn was at {seen:.0}"),
        };
        return (memory, untouched(observation, now, word, Estimate::default()));
    }
    memory.note_target(&observation.target, &Tuning::of(rules), now);
    memory.note_late(observation.sources.iter().map(SourceReading::sampled_at), now);
    let complete = trust::is_complete(rules, &memory, observation, now);
    let look = Look::of(observation, complete, estimate::busy_seconds(rules));
    let trust = trust::sources(rules, &memory, observation, now).heeding(&look);
    stages::note_trust(&mut memory, observation, &trust, now);
    let belief = estimate::believe(rules, &mut memory, observation, &look, &trust, now);
    let overdue = overdue::known(rules, observation, complete, &trust);
    let held = trust::target(rules, &observation.target, now);
    let scheduled = schedule::now(rules, &mut memory, now);

    let mut decision = match (held, observation.target.current) {
        (None, Some(current)) => {
            let mut draft = Draft::new(&observation.target, current, words);
            draft.floor = Floor::of(rules, scheduled.as_ref(), now);
            let sight = stages::has_sight(rules, &memory, &trust, now) && trust == Trust::Full;
            let need = stages::run(&mut draft, rules, &mut memory, &belief, &look, &trust, now);
            let target = &observation.target;
            let ceiling = target
                .ceiling
                .map(|is| steer::ceiling(rules, &mut memory, &belief, (&draft, is), sight, now));
            let change =
                steer::change(rules, target, draft.to, ceiling, steer::metric_target(rules, &belief));
            finish(draft, ceiling, change, summary(&belief, &look, need, overdue), now)
        }
        (held, _) => {
            stages::stand_by(rules, &mut memory, &observation.target, now);
            let word = held.unwrap_or_else(|| Word {
                reason: Reason::TargetUnreadable,
                detail: "its replicas are unknown".to_owned(),
            });
            untouched(observation, now, word, summary(&belief, &look, None, overdue))
        }
    };

    decision.schedule = scheduled;
    estimate::learn(rules, &mut memory, (observation, &look), &belief, &trust, now);
    memory.seen_at = Some(now);
    (memory, decision)
}

/// The decision about a target that must be left alone.
fn untouched(observation: &Observation, now: Timestamp, word: Word, estimate: Estimate) -> Decision {
    let current = observation.target.current;
    let step =
        Step { stage: Stage::Trust, from: current, to: current, reason: word.reason, detail: word.detail };
    Decision {
        at: now,
        current,
        desired: current,
        ceiling: observation.target.ceiling,
        verdict: Verdict::Hold,
        change: None,
        reason: step.reason,
        trail: vec![step],
        estimate,
        schedule: None,
        sentence: String::new(),
        counterfactual: String::new(),
    }
}

/// The decision that a draft amounts to, without its words.
fn finish(
    draft: Draft,
    ceiling: Option<Replicas>,
    change: Option<Change>,
    estimate: Estimate,
    now: Timestamp,
) -> Decision {
    Decision {
        at: now,
        current: Some(draft.current),
        desired: Some(draft.to),
        ceiling,
        verdict: explain::verdict(draft.current, draft.to),
        change,
        reason: draft.reason,
        trail: draft.trail.unwrap_or_default(),
        estimate,
        schedule: None,
        sentence: String::new(),
        counterfactual: String::new(),
    }
}

/// `ahead`: the last turn, where it lies after this one.
fn in_words(mut decision: Decision, rules: &Rules, ahead: Option<Timestamp>) -> Decision {
    decision.sentence = explain::sentence(&decision);
    decision.counterfactual =
        ahead.map_or_else(|| explain::counterfactual(&decision, rules), |seen| explain::clock(seen, rules));
    decision
}

fn summary(belief: &Belief, look: &Look, need: Option<Replicas>, overdue: Option<bool>) -> Estimate {
    Estimate {
        arrival_rate: belief.rate,
        anticipated_rate: belief.anticipated,
        backlog: belief.backlog.and_then(records_covering),
        backlog_age_seconds: belief.age,
        overdue,
        capacity_per_replica: belief.capacity.mean,
        capacity_basis: belief.capacity.basis,
        raise_seconds: Some(belief.raise_seconds),
        lower_seconds: Some(belief.lower_seconds),
        partitions: look.partitions(),
        busiest_share: belief.busiest_share,
        need,
    }
}
