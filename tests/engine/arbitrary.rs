//! Arbitrary policies and readings, for properties.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use strum::IntoEnumIterator;
use tidegate::engine::observation::{
    BacklogReading, Fence, GroupState, Meaning, MetricReading, Observation, PartitionReading, Quality,
    SourceReading, TargetHold, TargetReading,
};
use tidegate::policy::behavior::{Behavior, ScalingRules, SelectPolicy, StepKind, StepPolicy};
use tidegate::policy::notches::{Knob, Notches, SelfTuning};
use tidegate::policy::preset::{Knobs, Preset};
use tidegate::policy::rules::{Fallback, MetricTarget, PartitionRule};
use tidegate::policy::schedule::{Lasts, Schedule};
use tidegate::policy::target::HpaMetricMeaning;
use tidegate::policy::{Objective, Replicas, Rules, TimeSpan};

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

pub(super) fn rules() -> impl Strategy<Value = Rules> {
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
pub(super) fn source() -> impl Strategy<Value = SourceReading> {
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

pub(super) fn a_target() -> impl Strategy<Value = TargetReading> {
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
            binding: None,
        },
    )
}

/// Seconds since the turn before, how old the readings are, and what is seen.
pub(super) type Turn = (i64, i64, Observation);

pub(super) fn turns(length: usize) -> impl Strategy<Value = Vec<Turn>> {
    let step = prop_oneof![20 => 1_i64..60, 1 => Just(0), 1 => -100_i64..0, 1 => 60_i64..100_000];
    let age = prop_oneof![20 => 0_i64..10, 1 => 10_i64..200, 1 => -200_i64..0];
    let seen = (a_target(), prop::collection::vec(source(), 0..3))
        .prop_map(|(target, sources)| Observation { target, sources });
    prop::collection::vec((step, age, seen), 1..length)
}

pub(super) fn at(mut seen: Observation, sampled: Timestamp) -> Observation {
    seen.target.sampled_at = sampled;
    for source in &mut seen.sources {
        match source {
            SourceReading::Backlog(reading) => reading.sampled_at = sampled,
            SourceReading::Metric(reading) => reading.sampled_at = sampled,
        }
    }
    seen
}

pub(super) fn later(now: Timestamp, seconds: i64) -> Timestamp {
    now.checked_add(SignedDuration::from_secs(seconds)).unwrap()
}
