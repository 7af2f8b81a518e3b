//! I1 to I10: what holds whatever is seen, in any order.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use strum::IntoEnumIterator;
use tidegate::engine::observation::{
    BacklogReading, Fence, GroupState, Meaning, MetricReading, Observation, PartitionReading, Quality,
    SourceReading, TargetHold, TargetReading,
};
use tidegate::engine::{Decision, Memory, Reason, Verdict, evaluate};
use tidegate::policy::behavior::{Behavior, ScalingRules, SelectPolicy, StepKind, StepPolicy};
use tidegate::policy::notches::{Knob, Notches, SelfTuning};
use tidegate::policy::preset::{Knobs, Preset};
use tidegate::policy::rules::{Fallback, MetricTarget, PartitionRule};
use tidegate::policy::schedule::{Lasts, Schedule};
use tidegate::policy::target::HpaMetricMeaning;
use tidegate::policy::{Objective, Replicas, Rules, TimeSpan};

use super::plant::{Plant, World, after, max_lag_rules, run, start};

fn direction() -> impl Strategy<Value = ScalingRules> {
    let kinds = prop_oneof![Just(StepKind::Pods), Just(StepKind::Percent)];
    let policy = (kinds, 1_u32..150, 1_u32..1800).prop_map(|(kind, value, period_seconds)| StepPolicy {
        kind,
        value,
        period_seconds,
    });
    let select = prop_oneof![
        4 => Just(SelectPolicy::Max),
        2 => Just(SelectPolicy::Min),
        1 => Just(SelectPolicy::Disabled)
    ];
    (
        proptest::option::of(0_u32..900),
        prop::collection::vec(policy, 0..3),
        select,
        proptest::option::of(0.0..1.0),
    )
        .prop_map(|(window, policies, select_policy, tolerance)| ScalingRules {
            stabilization_window_seconds: window,
            policies,
            select_policy,
            tolerance,
        })
}

fn rules() -> impl Strategy<Value = Rules> {
    let objective = prop_oneof![
        (1_u64..600, 1_u64..3000).prop_map(|(max_lag, catch_up)| Objective::MaxLag {
            max_lag: TimeSpan::from_secs(max_lag),
            catch_up: TimeSpan::from_secs(catch_up),
        }),
        (0_u64..5000).prop_map(|records| Objective::LagPerReplica { records }),
    ];
    let partitions = prop_oneof![
        Just(PartitionRule::Ladder),
        Just(PartitionRule::EvenDistribution),
        Just(PartitionRule::LimitToPartitionsWithLag),
        Just(PartitionRule::AllowIdleConsumers),
    ];
    let metric = prop_oneof![Just(HpaMetricMeaning::Rate), Just(HpaMetricMeaning::Backlog)];
    let bounds = (0_u32..4, 1_u32..30, 0_u64..50, 0_u64..600, 1_u32..8);
    (
        objective,
        partitions,
        bounds,
        (direction(), direction()),
        proptest::option::of((1_u64..600, 0_u32..40)),
        proptest::option::of(0.1..5000.0),
        proptest::option::of((metric, 1_u32..100)),
        (prop::bool::weighted(0.02), weighing(), schedules(), notches()),
    )
        .prop_map(|(objective, partitions, bounds, (up, down), fallback, hint, metric, other)| {
            let (paused, (preset, knobs), schedules, notches) = other;
            let (min, more, activation_lag, cooldown, changes_per_hour) = bounds;
            Rules {
                objective,
                preset,
                knobs,
                tuning: SelfTuning::Auto,
                notches,
                min_replicas: Replicas(min),
                max_replicas: Replicas(min + more),
                schedules,
                activation_lag,
                cooldown: TimeSpan::from_secs(cooldown),
                behavior: Behavior { scale_up: up, scale_down: down },
                changes_per_hour,
                fallback: fallback.map(|(after, replicas)| Fallback {
                    after: TimeSpan::from_secs(after),
                    replicas: Replicas(replicas),
                }),
                capacity_per_replica: hint,
                partitions,
                interval: TimeSpan::from_secs(15),
                paused,
                metric_target: metric.map(|(means, utilization)| MetricTarget { means, utilization }),
            }
        })
}

/// Floors that come and go within minutes, some of them over `maxReplicas`.
fn schedules() -> impl Strategy<Value = Vec<Schedule>> {
    let one = (2_u32..30, 30_u64..1200, 1_u32..40).prop_map(|(every, seconds, least)| Schedule {
        name: format!("every-{every}"),
        time_zone: "Europe/Berlin".parse().unwrap(),
        start: format!("*/{every} * * * *").parse().unwrap(),
        lasts: Lasts::For(TimeSpan::from_secs(seconds)),
        min_replicas: Replicas(least),
    });
    prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(one, 1..3)]
}

fn weighing() -> impl Strategy<Value = (Preset, Knobs)> {
    let preset = prop_oneof![Just(Preset::Latency), Just(Preset::Balanced), Just(Preset::Cost)];
    let percent = || proptest::option::of(10_u32..=100);
    let others = (proptest::option::of(0_u64..7200), proptest::option::of(0.0..100.0));
    (preset, percent(), percent(), others).prop_map(|(preset, target_utilization, usable_lag, others)| {
        let (rescale_cost, payback) = (others.0.map(TimeSpan::from_secs), others.1);
        (preset, Knobs { target_utilization, usable_lag, rescale_cost, payback })
    })
}

/// Self-tuning turns by a few; a store may hold anything.
fn notches() -> impl Strategy<Value = Notches> {
    let turned = prop::array::uniform6(any::<i8>()).prop_map(|turned| {
        Knob::iter().zip(turned).fold(Notches::default(), |all, (knob, notches)| all.with(knob, notches))
    });
    prop_oneof![1 => Just(Notches::default()), 1 => turned]
}

fn quality() -> impl Strategy<Value = Quality> {
    prop_oneof![
        12 => Just(Quality::Ok),
        1 => Just(Quality::Partial),
        1 => Just(Quality::Stale),
        1 => Just(Quality::Missing),
        1 => Just(Quality::Rejected),
    ]
}

fn records() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![
        8 => (0_u64..5000).prop_map(Some),
        4 => Just(Some(0)),
        1 => any::<u64>().prop_map(Some),
        1 => Just(None),
    ]
}

fn absurd() -> impl Strategy<Value = f64> {
    prop_oneof![
        20 => 0.0..1000.0,
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        1 => Just(-1.0),
        1 => Just(1e-300),
        1 => Just(1e300),
    ]
}

fn partition() -> impl Strategy<Value = PartitionReading> {
    (
        (records(), records(), records(), records()),
        proptest::option::of(any::<bool>()),
        proptest::option::of(absurd()),
        prop::bool::weighted(0.1),
        quality(),
    )
        .prop_map(|((lag, arrived, consumed, in_window), overdue, age, persistent, quality)| {
            PartitionReading {
                topic: "orders".to_owned(),
                partition: 0,
                start: None,
                end: None,
                committed: None,
                uncommitted: false,
                lag,
                persistent,
                arrived,
                consumed,
                arrived_in_window: in_window,
                overdue,
                age_seconds: age,
                quality,
            }
        })
}

fn group() -> impl Strategy<Value = GroupState> {
    prop_oneof![
        12 => Just(GroupState::Stable),
        2 => Just(GroupState::Rebalancing),
        1 => Just(GroupState::Empty),
        1 => Just(GroupState::Dead),
        1 => Just(GroupState::Unknown),
    ]
}

/// One source, as if sampled at the epoch: [`at`] moves it.
fn source() -> impl Strategy<Value = SourceReading> {
    let over = prop_oneof![10 => Just(Some(15.0)), 1 => Just(None), 1 => absurd().prop_map(Some)];
    let window = prop_oneof![10 => Just(60.0), 1 => absurd()];
    let backlog = (quality(), group(), over, window, prop::collection::vec(partition(), 0..7)).prop_map(
        |(quality, group, over_seconds, window_seconds, partitions)| {
            SourceReading::Backlog(BacklogReading {
                source: "main/orders".to_owned(),
                sampled_at: Timestamp::UNIX_EPOCH,
                quality,
                problem: None,
                group,
                over_seconds,
                window_seconds,
                partitions,
                streaming: None,
            })
        },
    );
    let means = prop_oneof![
        Just(Meaning::ArrivalRate),
        Just(Meaning::Backlog),
        Just(Meaning::BacklogAge),
        Just(Meaning::BusyShare),
        Just(Meaning::Demand),
    ];
    let metric =
        (means, quality(), proptest::option::weighted(0.95, absurd())).prop_map(|(means, quality, value)| {
            SourceReading::Metric(MetricReading {
                source: "prometheus".to_owned(),
                means,
                sampled_at: Timestamp::UNIX_EPOCH,
                value,
                quality,
                problem: None,
            })
        });
    prop_oneof![3 => backlog, 1 => metric]
}

fn a_target() -> impl Strategy<Value = TargetReading> {
    let count = || prop_oneof![12 => (0_u32..30).prop_map(Some), 1 => Just(None), 1 => Just(Some(u32::MAX))];
    let hold = prop_oneof![
        16 => Just(None),
        1 => Just(Some(TargetHold::RollingOut)),
        1 => Just(Some(TargetHold::NotFound)),
        1 => Just(Some(TargetHold::Owned { owner: "somebody".to_owned() })),
    ];
    let ceiling = proptest::option::of(1_u32..60);
    (quality(), count(), count(), ceiling, proptest::option::of(absurd()), any::<bool>(), hold).prop_map(
        |(quality, current, ready, ceiling, metric_target, settled, hold)| TargetReading {
            sampled_at: Timestamp::UNIX_EPOCH,
            quality,
            current: current.map(Replicas),
            ceiling: ceiling.map(Replicas),
            metric_target,
            ready: ready.map(Replicas),
            settled,
            hold,
            problem: None,
            fence: Some(Fence { uid: "u".to_owned(), resource_version: "1".to_owned() }),
            limit: None,
            price: None,
        },
    )
}

/// Seconds since the turn before, how old the readings are, and what is seen.
type Turn = (i64, i64, Observation);

fn turns(length: usize) -> impl Strategy<Value = Vec<Turn>> {
    let step = prop_oneof![20 => 1_i64..60, 1 => Just(0), 1 => -100_i64..0, 1 => 60_i64..100_000];
    let age = prop_oneof![20 => 0_i64..10, 1 => 10_i64..200, 1 => -200_i64..0];
    let seen = (a_target(), prop::collection::vec(source(), 0..3))
        .prop_map(|(target, sources)| Observation { target, sources });
    prop::collection::vec((step, age, seen), 1..length)
}

fn at(mut seen: Observation, sampled: Timestamp) -> Observation {
    seen.target.sampled_at = sampled;
    for source in &mut seen.sources {
        match source {
            SourceReading::Backlog(reading) => reading.sampled_at = sampled,
            SourceReading::Metric(reading) => reading.sampled_at = sampled,
        }
    }
    seen
}

fn later(now: Timestamp, seconds: i64) -> Timestamp {
    now.checked_add(SignedDuration::from_secs(seconds)).unwrap()
}

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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn i5_a_constant_input_comes_to_rest(
        rules in rules(),
        seen in prop::collection::vec(source(), 1..3),
        current in 0_u32..30,
    ) {
        // One replica an hour would take longer than is looked at here.
        let rules = Rules { changes_per_hour: rules.changes_per_hour.max(8), schedules: Vec::new(), ..rules };
        let mut memory = Memory::default();
        let mut replicas = Replicas(current);
        // The last move up: whoever goes back and forth makes one, and a descent ends by itself.
        let mut last_move = 0;
        for turn in 0..2400_u64 {
            let now = after(turn * 15);
            let target = super::plant::target(now, 0, 0);
            let target = TargetReading { current: Some(replicas), ready: Some(replicas), settled: true, ..target };
            let seen = at(Observation { target, sources: seen.clone() }, now);
            let (next, decision) = evaluate(&rules, memory, &seen, now);
            memory = next;
            if let Some(change) = decision.change
                && change.replicas != replicas
            {
                if change.replicas > replicas {
                    last_move = turn;
                }
                replicas = change.replicas;
            }
        }
        prop_assert!(last_move < 2160, "still moving at turn {last_move}");
    }

    #[test]
    fn i6_more_never_gives_fewer(
        (load, minutes, turn_load, hint) in (10_u64..3000, 1_u64..40, 1_u64..30, proptest::option::of(20.0..400.0)),
        replicas in 1_usize..12,
        (which, more) in (0_usize..12, 1_u64..200_000),
        (arrived, overdue) in (any::<bool>(), any::<bool>()),
        seed in any::<u64>(),
    ) {
        let rules = Rules { capacity_per_replica: hint, ..max_lag_rules(60) };
        let mut plant = Plant::new(World { seed, ..World::default() }, replicas);
        let before = run(&mut plant, &rules, minutes * 60, |second| load * (10 + second / 60 % turn_load) / 10);
        for _ in 0..15 {
            plant.step(load, 60);
        }
        let seen = plant.observe(60);
        let now = after(plant.second);
        let (_, one) = evaluate(&rules, before.memory.clone(), &seen, now);
        let mut larger = seen;
        for source in &mut larger.sources {
            if let SourceReading::Backlog(reading) = source {
                let partition = &mut reading.partitions[which];
                partition.lag = partition.lag.map(|lag| lag + more);
                if overdue {
                    partition.overdue = Some(true);
                }
                if arrived {
                    partition.arrived = partition.arrived.map(|count| count + more);
                    partition.arrived_in_window = partition.arrived_in_window.map(|count| count + more);
                }
            }
        }
        let (_, other) = evaluate(&rules, before.memory, &larger, now);
        prop_assert!(other.desired >= one.desired, "{}\n{}", one.sentence, other.sentence);
    }
}

/// One that I6 has found: a partition barely too hot for a replica, while all of them fall behind.
#[test]
fn a_hot_partition_does_not_hide_what_the_others_need() {
    let rules = Rules { capacity_per_replica: Some(365.0), ..max_lag_rules(60) };
    let mut plant = Plant::new(World { seed: 6_744_898_073_656_645_711, ..World::default() }, 6);
    let before = run(&mut plant, &rules, 37 * 60, |second| 824 * (10 + second / 60 % 14) / 10);
    for _ in 0..15 {
        plant.step(824, 60);
    }
    let seen = plant.observe(60);
    let asked = |more: u64| {
        let mut seen = seen.clone();
        if let Some(SourceReading::Backlog(reading)) = seen.sources.first_mut() {
            let partition = &mut reading.partitions[0];
            let add = |count: Option<u64>| count.map(|count| count + more);
            partition.lag = add(partition.lag);
            partition.arrived = add(partition.arrived);
            partition.arrived_in_window = add(partition.arrived_in_window);
        }
        evaluate(&rules, before.memory.clone(), &seen, after(plant.second)).1.desired
    };
    assert_eq!((asked(0), asked(17_000)), (Some(Replicas(12)), Some(Replicas(12))));
}
