//! I10 at the limits of every type: what a broken source, a reset counter or a wrong clock may hand in.

use jiff::Timestamp;
use proptest::prelude::*;
use tidegate::engine::observation::{
    BatchReading, LimitCause, Observation, Price, SourceReading, StreamingReading, TargetLimit,
};
use tidegate::engine::{Memory, Reason, Verdict, evaluate, evaluate_wordless};
use tidegate::policy::Replicas;

use super::arbitrary::{a_target, at, later, rules, source};
use super::plant::start;

fn figure() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => 0.0..100.0,
        1 => any::<f64>(),
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        1 => Just(f64::NEG_INFINITY),
        1 => Just(f64::MAX),
        1 => Just(f64::MIN_POSITIVE),
        1 => Just(-0.0),
    ]
}

fn counter() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![
        2 => (0_u64..1000).prop_map(Some),
        1 => Just(Some(u64::MAX)),
        1 => Just(Some(1 << 63)),
        1 => Just(Some(0)),
        1 => Just(None),
    ]
}

fn moment() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        6 => (-2000_i64..2000).prop_map(|seconds| later(start(), seconds)),
        2 => (-2_000_000_000_i64..2_000_000_000).prop_map(|millis| later(start(), millis / 1000)),
        1 => Just(Timestamp::MIN),
        1 => Just(Timestamp::MAX),
        1 => Just(Timestamp::UNIX_EPOCH),
    ]
}

fn streaming() -> impl Strategy<Value = StreamingReading> {
    let count = || proptest::option::of(prop_oneof![3 => 0_u32..40, 1 => Just(u32::MAX)]);
    let batch = (any::<u64>(), figure(), proptest::option::of(figure()), any::<bool>()).prop_map(
        |(number, age_seconds, rate, running)| BatchReading {
            number,
            age_seconds,
            records_per_second: rate,
            seconds: rate,
            running,
        },
    );
    let counts = (count(), count(), count(), count());
    (figure(), counts, proptest::option::of(figure()), proptest::option::of(batch)).prop_map(
        |(trigger_seconds, (executors, slots_per_executor, tasks, active_tasks), busy_share, batch)| {
            StreamingReading {
                trigger_seconds,
                executors,
                slots_per_executor,
                tasks,
                active_tasks,
                busy_share,
                batch,
            }
        },
    )
}

fn limits() -> impl Strategy<Value = (Option<TargetLimit>, Option<Price>)> {
    let most = prop_oneof![3 => 0_u32..40, 1 => Just(u32::MAX)];
    let limit = most.prop_map(|most| TargetLimit { most: Replicas(most), cause: LimitCause::Slots });
    let price = (figure(), figure())
        .prop_map(|(raise_seconds, lower_seconds)| Price { raise_seconds, lower_seconds });
    (proptest::option::of(limit), proptest::option::of(price))
}

/// What is seen, and when it is looked at.
fn look() -> BoxedStrategy<(Timestamp, Timestamp, Observation)> {
    let spoilt = (source(), proptest::option::of(streaming()), (counter(), counter(), counter()), figure())
        .prop_map(|(mut source, streaming, (lag, arrived, consumed), age)| {
            match &mut source {
                SourceReading::Backlog(reading) => {
                    reading.streaming = streaming;
                    if let Some(one) = reading.partitions.first_mut() {
                        (one.lag, one.arrived, one.consumed) = (lag, arrived, consumed);
                        (one.arrived_in_window, one.age_seconds) = (arrived, Some(age));
                    }
                }
                SourceReading::Metric(reading) => reading.value = Some(age),
            }
            source
        })
        .boxed();
    (moment(), moment(), a_target(), limits(), prop::collection::vec(spoilt, 0..3))
        .prop_map(|(now, sampled, mut target, (limit, price), sources)| {
            (target.limit, target.price) = (limit, price);
            (now, sampled, Observation { target, sources })
        })
        .boxed()
}

/// Whether a reading holds a figure that no source can have measured.
fn is_impossible(source: &SourceReading) -> bool {
    let absurd = |figure: f64| !(0.0..=1e15).contains(&figure);
    match source {
        SourceReading::Metric(reading) => reading.value.is_some_and(absurd),
        SourceReading::Backlog(reading) => {
            reading.partitions.iter().filter_map(|one| one.age_seconds).any(absurd)
        }
    }
}

/// Values this large, and their shrinking, take more stack than a test's thread has in a debug build.
const STACK: usize = 16 << 20;

#[test]
fn i10_hostile_readings_end_in_a_reason() {
    let cases = || {
        proptest!(ProptestConfig::with_cases(256), |(rules in rules(), looks in prop::collection::vec(look(), 1..20))| {
            let mut memory = Memory::default();
            for (now, sampled, seen) in looks {
                // Most turns look at what was just sampled.
                let sampled = if sampled.as_second() % 3 == 0 { sampled } else { now };
                let seen = at(seen, sampled);
                let (after, decision) = evaluate(&rules, memory.clone(), &seen, now);
                let (same, bare) = evaluate_wordless(&rules, memory, &seen, now);
                prop_assert_eq!(&same, &after);
                prop_assert_eq!((bare.desired, bare.change, bare.reason), (decision.desired, decision.change, decision.reason));
                prop_assert!(!decision.sentence.is_empty() && !decision.counterfactual.is_empty());
                if let Some(change) = decision.change {
                    prop_assert!(change.replicas <= rules.max_replicas, "{:?}", decision);
                }
                let lowers = decision.verdict == Verdict::Lower && decision.reason != Reason::AtMaxReplicas;
                prop_assert!(!(lowers && seen.sources.iter().any(is_impossible)), "{:?}\n{:?}", decision, seen);
                let written = serde_json::to_string(&after).unwrap();
                let read: Memory = serde_json::from_str(&written)
                    .map_err(|error| TestCaseError::fail(format!("{error}: {written}")))?;
                prop_assert_eq!(&read, &after);
                memory = after;
            }
        });
    };
    std::thread::Builder::new().stack_size(STACK).spawn(cases).unwrap().join().unwrap();
}
