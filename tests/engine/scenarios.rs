//! Decision tables: what is decided over time in the situations that matter, reason by reason.

use jiff::SignedDuration;
use tidegate::engine::observation::{
    GroupState, LimitCause, Meaning, MetricReading, Observation, PartitionReading, Quality, SourceReading,
    StreamingReading, TargetHold, TargetLimit,
};
use tidegate::engine::{Reason, Verdict};
use tidegate::policy::behavior::{ScalingRules, SelectPolicy, StepKind, StepPolicy};
use tidegate::policy::rules::Fallback;
use tidegate::policy::{Replicas, Rules, TimeSpan};

use super::plant::{Plant, Run, World, lag_rules, max_lag_rules, run, run_edited, run_on};

const HINTED: f64 = 200.0;

pub(super) fn hinted() -> Rules {
    Rules { capacity_per_replica: Some(HINTED), ..max_lag_rules(60) }
}

pub(super) fn backlog(seen: &mut Observation, edit: impl Fn(&mut PartitionReading)) {
    for source in &mut seen.sources {
        if let SourceReading::Backlog(reading) = source {
            reading.partitions.iter_mut().for_each(&edit);
        }
    }
}

pub(super) fn quality(seen: &mut Observation, to: Quality) {
    for source in &mut seen.sources {
        if let SourceReading::Backlog(reading) = source {
            reading.quality = to;
            if to != Quality::Partial {
                reading.partitions.clear();
            }
        }
    }
}

pub(super) fn group(seen: &mut Observation, to: GroupState) {
    for source in &mut seen.sources {
        if let SourceReading::Backlog(reading) = source {
            reading.group = to;
        }
    }
}

pub(super) fn metric(seen: &mut Observation, means: Meaning, value: f64) {
    seen.sources.push(SourceReading::Metric(MetricReading {
        source: "prometheus".to_owned(),
        means,
        sampled_at: seen.target.sampled_at,
        value: Some(value),
        quality: Quality::Ok,
        problem: None,
    }));
}

pub(super) fn edited(
    replicas: usize,
    rules: &Rules,
    seconds: u64,
    load: impl Fn(u64) -> u64,
    edit: impl Fn(u64, &mut Observation),
) -> Run {
    let mut run = Run::default();
    run_edited(&mut run, &mut Plant::new(World::default(), replicas), rules, seconds, load, edit);
    run
}

fn steady() -> Run {
    run(&mut Plant::new(World::default(), 4), &hinted(), 3600, |_| 500)
}

fn step() -> Run {
    run(
        &mut Plant::new(World::default(), 2),
        &max_lag_rules(60),
        3600,
        |second| {
            if second < 600 { 300 } else { 1200 }
        },
    )
}

fn spike() -> Run {
    run(&mut Plant::new(World::default(), 3), &hinted(), 5400, |second| {
        if (1200..1260).contains(&second) { 1800 } else { 400 }
    })
}

fn ramp() -> Run {
    run(&mut Plant::new(World::default(), 2), &hinted(), 5400, |second| 300 + second.min(3600) / 4)
}

/// The consumers were away for ten minutes.
fn drain() -> Run {
    let mut plant = Plant::new(World::default(), 0);
    for _ in 0..600 {
        plant.step(300, 60);
    }
    plant.scale(Replicas(2));
    run(&mut plant, &hinted(), 3600, |_| 300)
}

fn rest_and_wake() -> Run {
    let rules = Rules { min_replicas: Replicas(0), ..hinted() };
    run(&mut Plant::new(World::default(), 1), &rules, 3600, |second| {
        if (600..1800).contains(&second) { 0 } else { 100 }
    })
}

fn blind() -> Run {
    let fallback = Fallback { after: TimeSpan::from_secs(600), replicas: Replicas(8) };
    let rules = Rules { fallback: Some(fallback), ..hinted() };
    edited(
        4,
        &rules,
        3600,
        |_| 500,
        |second, seen| {
            if (600..1800).contains(&second) {
                quality(seen, Quality::Missing);
            }
        },
    )
}

/// Half of the partitions have no leader while the load first falls, then rises.
fn partial() -> Run {
    let load = |second| if (600..1500).contains(&second) { 100 } else { 1500 };
    edited(12, &hinted(), 2400, load, |second, seen| {
        if second > 300 {
            quality(seen, Quality::Partial);
            backlog(seen, |one| {
                if one.partition < 6 {
                    (one.lag, one.arrived, one.consumed) = (None, None, None);
                    (one.arrived_in_window, one.overdue, one.age_seconds) = (None, None, None);
                    one.quality = Quality::Missing;
                }
            });
        }
    })
}

fn rebalancing() -> Run {
    edited(
        2,
        &hinted(),
        1800,
        |second| if second < 300 { 300 } else { 1200 },
        |second, seen| {
            if (315..600).contains(&second) {
                group(seen, GroupState::Rebalancing);
            }
        },
    )
}

fn hot_partition() -> Run {
    let mut weights = vec![1; 12];
    weights[3] = 20;
    let mut plant = Plant::new(World { weights, ..World::default() }, 2);
    run(&mut plant, &hinted(), 1800, |_| 500)
}

fn too_few_partitions() -> Run {
    let mut plant = Plant::new(World { weights: vec![1; 3], ..World::default() }, 2);
    run(&mut plant, &hinted(), 900, |_| 900)
}

fn bounded() -> Run {
    let rules = Rules { min_replicas: Replicas(3), max_replicas: Replicas(8), ..hinted() };
    run(&mut Plant::new(World::default(), 4), &rules, 5400, |second| if second < 1800 { 2400 } else { 10 })
}

fn impossible_objective() -> Run {
    let rules = Rules { capacity_per_replica: Some(HINTED), ..max_lag_rules(20) };
    run(&mut Plant::new(World::default(), 2), &rules, 120, |_| 300)
}

fn swinging() -> Run {
    let mut rules = Rules { changes_per_hour: 60, ..lag_rules(1000) };
    rules.behavior.scale_down.stabilization_window_seconds = Some(0);
    edited(
        2,
        &rules,
        1800,
        |_| 10,
        |second, seen| {
            let lag = if second / 60 % 2 == 0 { 100 } else { 800 };
            backlog(seen, |one| one.lag = Some(lag));
        },
    )
}

fn budgeted() -> Run {
    let rules = Rules { changes_per_hour: 2, ..lag_rules(1000) };
    edited(
        2,
        &rules,
        5400,
        |_| 10,
        |second, seen| {
            let lag = [100, 300, 500, 800][usize::try_from(second / 600 % 4).unwrap()];
            backlog(seen, |one| one.lag = Some(lag));
        },
    )
}

fn stepwise() -> Run {
    let mut rules = lag_rules(100);
    let policy = StepPolicy { kind: StepKind::Pods, value: 2, period_seconds: 60 };
    rules.behavior.scale_up = ScalingRules {
        stabilization_window_seconds: Some(60),
        policies: vec![policy],
        ..ScalingRules::default()
    };
    rules.behavior.scale_down.select_policy = SelectPolicy::Disabled;
    edited(
        2,
        &rules,
        1800,
        |_| 10,
        |second, seen| {
            let lag = if (300..900).contains(&second) { 100 } else { 10 };
            backlog(seen, |one| one.lag = Some(lag));
        },
    )
}

fn tolerant() -> Run {
    let mut plant = Plant::new(World { weights: vec![1; 24], ..World::default() }, 20);
    let mut run = Run::default();
    run_edited(
        &mut run,
        &mut plant,
        &lag_rules(100),
        600,
        |_| 10,
        |_, seen| {
            backlog(seen, |one| one.lag = Some(if one.partition < 21 { 100 } else { 0 }));
        },
    );
    run
}

/// Whatever can be wrong with a target or a source, one after the other.
fn troubles() -> Run {
    edited(
        4,
        &hinted(),
        1800,
        |_| 500,
        |second, seen| match second / 60 {
            3 => {
                seen.target.hold =
                    Some(TargetHold::Owned { owner: "HorizontalPodAutoscaler shop/orders".into() });
            }
            5 => seen.target.hold = Some(TargetHold::NotFound),
            7 => seen.target.hold = Some(TargetHold::RollingOut),
            9 => seen.target.quality = Quality::Missing,
            11 => quality(seen, Quality::Stale),
            13 => quality(seen, Quality::Rejected),
            15 => group(seen, GroupState::Empty),
            17 => metric(seen, Meaning::ArrivalRate, 5000.0),
            19 => metric(seen, Meaning::ArrivalRate, f64::NAN),
            21 => {
                let ahead = SignedDuration::from_secs(600);
                if let Some(SourceReading::Backlog(reading)) = seen.sources.first_mut() {
                    reading.sampled_at = reading.sampled_at.checked_add(ahead).unwrap();
                }
            }
            23 => group(seen, GroupState::Unknown),
            _ => {}
        },
    )
}

/// A target that cannot have all that the load needs: four of anything at first, then six for one reason or another, and for a
/// minute each it is in no state to be moved.
fn limited() -> Run {
    let limit = |most, cause| Some(TargetLimit { most: Replicas(most), cause });
    edited(
        2,
        &hinted(),
        1200,
        |second| if second < 120 { 300 } else { 2000 },
        |second, seen| {
            seen.target.limit = match second {
                0..480 => limit(4, LimitCause::Slots),
                480..600 => limit(6, LimitCause::MaxParallelism),
                600..660 => limit(6, LimitCause::Vertex),
                660..690 => limit(6, LimitCause::Quota),
                690..720 => limit(6, LimitCause::Pending),
                _ => limit(6, LimitCause::Quarantine),
            };
            seen.target.hold = match second / 60 {
                14 => Some(TargetHold::Unfit { problem: "its scheduler moves nothing".to_owned() }),
                15 => Some(TargetHold::Unsettled { what: "it is restarting".to_owned() }),
                _ => None,
            };
        },
    )
}

/// What lies downstream takes no more than six of them bring: twelve do no more, and are taken back.
fn held_back() -> Run {
    let world = World { downstream: 1200, ..World::default() };
    run(&mut Plant::new(world, 6), &hinted(), 3600, |second| match second {
        0..300 => 1100,
        300..1500 => 1350,
        _ => 700,
    })
}

fn paused() -> Run {
    run(&mut Plant::new(World::default(), 2), &Rules { paused: true, ..hinted() }, 60, |_| 300)
}

fn first_looks() -> Run {
    edited(
        2,
        &hinted(),
        60,
        |_| 300,
        |second, seen| {
            if second < 10 {
                backlog(seen, |one| one.arrived_in_window = None);
            }
        },
    )
}

/// All of the load is on the partitions that the first replicas hold.
fn lopsided() -> Run {
    let mut weights = vec![0; 12];
    weights[..6].fill(1);
    let mut plant = Plant::new(World { weights, ..World::default() }, 2);
    run(&mut plant, &hinted(), 3600, |_| 250)
}

/// A Spark query whose batches are split into more tasks than its topic has partitions, and not into enough.
fn batched() -> Run {
    edited(
        2,
        &hinted(),
        1200,
        |second| if second < 120 { 300 } else { 4000 },
        |_, seen| {
            for source in &mut seen.sources {
                if let SourceReading::Backlog(reading) = source {
                    reading.streaming =
                        Some(StreamingReading { tasks: Some(16), ..StreamingReading::default() });
                }
            }
        },
    )
}

/// Some records stay overdue although the figures say that the size is enough.
fn stuck() -> Run {
    let edit = |second, seen: &mut Observation| {
        if (300..1200).contains(&second) {
            backlog(seen, |one| one.overdue = Some(one.partition < 2));
        }
    };
    edited(4, &hinted(), 2400, |_| 300, edit)
}

fn demanded() -> Run {
    edited(
        2,
        &hinted(),
        1800,
        |_| 300,
        |second, seen| {
            metric(seen, Meaning::Demand, if (300..900).contains(&second) { 4.0 } else { 0.0 });
        },
    )
}

fn scheduled() -> Run {
    let rules = Rules { schedules: vec![super::schedules::peak()], ..hinted() };
    run(&mut Plant::new(World::default(), 2), &rules, 7200, |_| 300)
}

fn all() -> Vec<(&'static str, Run)> {
    vec![
        ("steady", steady()),
        ("step", step()),
        ("spike", spike()),
        ("ramp", ramp()),
        ("drain", drain()),
        ("rest and wake", rest_and_wake()),
        ("blind", blind()),
        ("partial", partial()),
        ("rebalancing", rebalancing()),
        ("hot partition", hot_partition()),
        ("too few partitions", too_few_partitions()),
        ("bounded", bounded()),
        ("impossible objective", impossible_objective()),
        ("swinging", swinging()),
        ("budgeted", budgeted()),
        ("stepwise", stepwise()),
        ("tolerant", tolerant()),
        ("troubles", troubles()),
        ("limited", limited()),
        ("held back", held_back()),
        ("paused", paused()),
        ("first looks", first_looks()),
        ("lopsided", lopsided()),
        ("batched", batched()),
        ("stuck", stuck()),
        ("demanded", demanded()),
        ("scheduled", scheduled()),
    ]
}

#[test]
fn decisions_over_time() {
    for (name, run) in all() {
        insta::assert_snapshot!(name.replace(' ', "_"), run.table());
    }
}

/// A reason that nothing can reach would be a promise that nobody keeps.
#[test]
fn every_reason_occurs() {
    use strum::IntoEnumIterator as _;
    let told: std::collections::BTreeSet<Reason> = all()
        .into_iter()
        .flat_map(|(_, run)| run.decisions)
        .flat_map(|one| one.trail.into_iter().map(|step| step.reason).chain([one.reason]))
        .collect();
    let silent: Vec<Reason> = Reason::iter().filter(|reason| !told.contains(reason)).collect();
    assert_eq!(silent, []);
}

#[test]
fn more_that_do_no_more_are_taken_back() {
    let run = held_back();
    let sizes: Vec<u32> = run.moves.iter().map(|(_, _, to)| *to).collect();
    assert_eq!(sizes.get(..2), Some([12, 6].as_slice()), "{}", run.table());
    let back = run.decisions.iter().find(|one| one.verdict == Verdict::Lower).unwrap();
    assert_eq!(back.reason, Reason::NoGain, "{}", run.table());
    assert_eq!(sizes.iter().filter(|to| **to == 12).count(), 1, "once is enough\n{}", run.table());
}

#[test]
fn a_limit_is_asked_for_and_never_more() {
    let run = limited();
    let raised: Vec<u32> = run.moves.iter().map(|(_, _, to)| *to).collect();
    assert_eq!(raised.get(..2), Some([4, 6].as_slice()), "{}", run.table());
    // Each as soon as it can be had.
    let times: Vec<u64> = run.moves.iter().map(|(second, _, _)| *second).collect();
    assert!(times.len() == 2 && times[0] < 480 && (480..510).contains(&times[1]), "{}", run.table());
}

/// The target itself says nothing of it any more, as after a restart of whoever knew.
#[test]
fn what_was_not_borne_is_asked_for_again_after_an_hour() {
    let run = edited(
        2,
        &hinted(),
        4800,
        |second| if second < 120 { 300 } else { 2000 },
        |second, seen| {
            let limit = TargetLimit { most: Replicas(6), cause: LimitCause::Quarantine };
            seen.target.limit = (120..300).contains(&second).then_some(limit);
        },
    );
    let [(_, _, 6), (second, 6, most)] = run.moves[..2] else { panic!("{}", run.table()) };
    assert!((3720..3800).contains(&second) && most >= 12, "{}", run.table());
}

#[test]
fn a_spike_within_the_objective_moves_nothing_for_long() {
    let mut plant = Plant::new(World::default(), 4);
    let mut run = Run::default();
    run_on(&mut run, &mut plant, &hinted(), 3600, |second| if second % 900 == 450 { 4000 } else { 500 });
    // 3 are enough for all but the spikes, and a spike within the objective is none of their business.
    assert_eq!(run.moves, [(1008, 4, 3)], "{}", run.table());
    assert_eq!(plant.late_seconds, 0);
}
