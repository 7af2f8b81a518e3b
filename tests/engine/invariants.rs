//! I1 to I4 and I7 to I10: what holds whatever is seen, in any order.

use jiff::Timestamp;
use proptest::prelude::*;
use tidegate::engine::observation::{GroupState, Observation, Quality, SourceReading};
use tidegate::engine::{Decision, Memory, Reason, Verdict, evaluate};
use tidegate::policy::{Replicas, Rules};

use super::arbitrary::{Turn, a_target, at, later, rules, source, turns};
use super::plant::start;

/// Runs arbitrary turns; `follow`: the target does what is decided instead of what is drawn.
fn play(
    rules: &Rules,
    turns: Vec<Turn>,
    follow: bool,
    mut check: impl FnMut(&Memory, &Observation, Timestamp, bool, &Decision) -> Result<(), TestCaseError>,
) -> Result<(), TestCaseError> {
    let (mut now, mut memory, mut latest) = (start(), Memory::default(), Timestamp::UNIX_EPOCH);
    let bounded = turns.first().is_some_and(|turn| turn.2.target.ceiling.is_some());
    let (mut current, mut ceiling) = (rules.min_replicas, rules.max_replicas);
    for (step, age, seen) in turns {
        // Further back than this the memory is forgotten.
        now = later(now, step).max(later(latest, -300));
        let mut seen = at(seen, later(now, -age));
        if follow {
            seen.target.current = Some(current);
            seen.target.ceiling = bounded.then_some(ceiling);
        }
        let (after, decision) = evaluate(rules, memory.clone(), &seen, now);
        check(&memory, &seen, now, now >= latest, &decision)?;
        if let Some(change) = decision.change.filter(|_| follow) {
            current = change.replicas;
            ceiling = change.ceiling.unwrap_or(ceiling);
        }
        (memory, latest) = (after, latest.max(now));
    }
    Ok(())
}

fn is_free(rules: &Rules, seen: &Observation, now: Timestamp) -> bool {
    let target = &seen.target;
    let age = now.duration_since(target.sampled_at).as_secs().abs();
    !rules.paused && target.hold.is_none() && target.quality == Quality::Ok && age <= 45
}

fn is_clear(seen: &Observation, now: Timestamp) -> bool {
    !seen.sources.is_empty()
        && seen.sources.iter().all(|source| {
            let fresh = now.duration_since(source.sampled_at()).as_secs().abs() <= 45;
            fresh
                && source.quality() == Quality::Ok
                && match source {
                    SourceReading::Metric(one) => {
                        one.value.is_some_and(|value| value.is_finite() && value >= 0.0)
                    }
                    SourceReading::Backlog(one) => {
                        let resting = seen.target.ready.or(seen.target.current) == Some(Replicas(0));
                        let calm = match one.group {
                            GroupState::Stable => true,
                            GroupState::Empty | GroupState::Dead => resting,
                            GroupState::Rebalancing | GroupState::Unknown => false,
                        };
                        calm && !one.partitions.is_empty() && one.partitions.iter().all(|p| p.lag.is_some())
                    }
                }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn i1_the_result_is_within_the_hard_bounds(rules in rules(), turns in turns(24)) {
        play(&rules, turns, false, |_, seen, now, forward, decision| {
            let within = |count: Replicas| {
                (count >= rules.min_replicas && count <= rules.max_replicas)
                    || (count.0 == 0 && rules.min_replicas.0 == 0)
            };
            prop_assert_eq!(decision.desired.is_none(), seen.target.current.is_none());
            if let Some(change) = decision.change {
                prop_assert!(within(change.replicas), "{:?}", decision);
                prop_assert_eq!(Some(change.replicas), decision.desired);
                if let Some(ceiling) = change.ceiling {
                    prop_assert!(ceiling >= change.replicas && ceiling <= rules.max_replicas, "{:?}", decision);
                }
            }
            if let Some(desired) = decision.desired
                && forward
                && is_free(&rules, seen, now)
            {
                prop_assert!(within(desired), "{:?}", decision);
                if let Some(ceiling) = decision.ceiling {
                    prop_assert!(ceiling >= desired && ceiling <= rules.max_replicas, "{:?}", decision);
                }
            }
            let held = decision.schedule.as_ref().and_then(|scheduled| scheduled.holds.as_ref());
            if let (Some(window), Some(desired)) = (held, decision.desired)
                && forward
                && is_free(&rules, seen, now)
                && decision.trail.iter().all(|step| step.reason != Reason::BudgetExhausted)
                && seen.target.limit.is_none()
            {
                prop_assert!(desired >= window.min_replicas.min(rules.max_replicas), "{:?}", decision);
            }
            Ok(())
        })?;
    }

    #[test]
    fn i2_nothing_goes_down_on_doubt(rules in rules(), turns in turns(24)) {
        play(&rules, turns, false, |_, seen, now, _, decision| {
            if decision.verdict == Verdict::Lower && decision.reason != Reason::AtMaxReplicas {
                prop_assert!(is_clear(seen, now) && is_free(&rules, seen, now), "{:?}\n{:?}", decision, seen);
            }
            let bounds = seen.target.ceiling.zip(decision.change.and_then(|change| change.ceiling));
            if bounds.is_some_and(|(is, to)| to < is.min(rules.max_replicas)) {
                prop_assert!(is_clear(seen, now) && is_free(&rules, seen, now), "{:?}\n{:?}", decision, seen);
            }
            Ok(())
        })?;
    }

    #[test]
    fn i3_moves_stay_within_the_budget(rules in rules(), turns in turns(120)) {
        let mut moves = Vec::new();
        play(&rules, turns, true, |_, seen, now, _, decision| {
            let is = seen.target.ceiling;
            let bound = decision.change.is_some_and(|change| is.is_some() && change.ceiling != is);
            if bound || (decision.verdict != Verdict::Hold && decision.change.is_some()) {
                moves.push(now);
                let hour = later(now, -3600);
                let within = moves.iter().filter(|made| **made > hour).count();
                prop_assert!(within <= usize::try_from(rules.changes_per_hour).unwrap(), "{within} in an hour");
            }
            Ok(())
        })?;
    }

    #[test]
    fn i4_i7_equal_inputs_decide_equally_also_from_a_memory_read_back(rules in rules(), turns in turns(40)) {
        play(&rules, turns, false, |memory, seen, now, _, decision| {
            let written = serde_json::to_string(memory).unwrap();
            prop_assert!(written.len() < 6 * 1024, "{} bytes: {written}", written.len());
            let read: Memory = serde_json::from_str(&written)
                .map_err(|error| TestCaseError::fail(format!("{error}: {written}")))?;
            prop_assert_eq!(&read, memory);
            let (after, again) = evaluate(&rules, read, seen, now);
            prop_assert_eq!(serde_json::to_string(&again).unwrap(), serde_json::to_string(decision).unwrap());
            let (same, _) = evaluate(&rules, memory.clone(), seen, now);
            prop_assert_eq!(serde_json::to_string(&after).unwrap(), serde_json::to_string(&same).unwrap());
            Ok(())
        })?;
    }

    #[test]
    fn i8_bounds_do_not_follow_ready_replicas(rules in rules(), seen in (a_target(), prop::collection::vec(source(), 1..3)), ready in 1_u32..100) {
        let mut seen = at(Observation { target: seen.0, sources: seen.1 }, start());
        for source in &mut seen.sources {
            if let SourceReading::Backlog(reading) = source {
                reading.group = GroupState::Stable;
            }
        }
        let mut with = |ready| {
            seen.target.ready = Some(Replicas(ready));
            evaluate(&rules, Memory::default(), &seen, start()).1
        };
        let (none, one, more) = (with(0), with(1), with(ready));
        prop_assert_eq!(&one, &more);
        // Whether anything runs is worth a word, and never a number.
        prop_assert_eq!((none.desired, none.change), (one.desired, one.change));
    }

    #[test]
    fn i9_a_fallback_never_lowers(rules in rules(), turns in turns(24)) {
        play(&rules, turns, false, |_, _, _, _, decision| {
            if decision.reason == Reason::Fallback {
                prop_assert!(decision.desired >= decision.current, "{:?}", decision);
            }
            Ok(())
        })?;
    }

    /// Also with absurd figures the words are there, and the memory still is one.
    #[test]
    fn i10_the_impossible_is_a_reason(rules in rules(), turns in turns(24)) {
        play(&rules, turns, false, |_, seen, _, forward, decision| {
            prop_assert!(!decision.sentence.is_empty() && !decision.counterfactual.is_empty());
            let told = decision.reason == Reason::SignalRejected || !decision.sentence.contains("NaN");
            prop_assert!(told, "{}", decision.sentence);
            if !forward {
                prop_assert!(decision.change.is_none(), "{:?} {:?}", decision, seen);
            }
            Ok(())
        })?;
    }
}
