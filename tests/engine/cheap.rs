//! What follows from moves that cost little, as those of a Flink job in place: when they are made, how often, and what of
//! them is taken back.

use rstest::rstest;
use serde_json::json;
use tidegate::engine::observation::{Binding, Division, Meaning, Observation, Price};
use tidegate::engine::{Reason, Verdict};
use tidegate::policy::read::read_policies;
use tidegate::policy::units::records_f64;
use tidegate::policy::{Rules, TimeSpan};

use super::plant::{Plant, Run, World, max_lag_rules, run_edited};
use super::scenarios::metric;

/// A load that steps up to four times as much, on a target whose moves stop it for so long, and that says how busy it
/// is. What comes after the step.
fn step(stop: u64, price: f64, parts: Option<u32>) -> (Run, Plant) {
    let world = World {
        weights: vec![1; 24],
        capacity: 100,
        start_seconds: 1,
        rebalance_seconds: stop,
        commit_every: 1,
        ..World::default()
    };
    let mut plant = Plant::new(world, 4);
    let rules = Rules { interval: TimeSpan::from_secs(5), ..max_lag_rules(60) };
    let mut run = Run::default();
    let load = |second| if second < 900 { 300 } else { 1200 };
    run_edited(&mut run, &mut plant, &rules, 1800, load, |second, seen| {
        let rate = if second < 900 { 3.0 } else { 12.0 };
        let ready = seen.target.ready.map_or(1.0, |ready| f64::from(ready.0.max(1)));
        metric(seen, Meaning::BusyShare, (rate / ready).min(1.0));
        seen.target.price = Some(Price { raise_seconds: price + 1.0, lower_seconds: price });
        seen.target.binding = parts.map(|parts| Binding {
            name: "work".to_owned(),
            division: Division::Parts(parts),
            fill: None,
            limited_by: None,
        });
    });
    run.moves.retain(|(second, ..)| *second >= 900);
    (run, plant)
}

/// The sentence of the first move.
fn said(run: &Run) -> &str {
    let (_, from, to) = run.moves[0];
    let made = |one: &&tidegate::engine::Decision| {
        one.current.is_some_and(|current| current.0 == from)
            && one.change.is_some_and(|change| change.replicas.0 == to)
    };
    &run.decisions.iter().rfind(made).unwrap().sentence
}

#[test]
fn a_step_is_answered_at_once_where_that_costs_little_and_late_where_it_costs_much() {
    let (cheap, plant) = step(1, 1.0, None);
    let (first, from, to) = cheap.moves[0];
    assert!(first <= 915 && to > from, "{:?}", cheap.moves);
    assert_eq!(cheap.moves.len(), 1, "the right size at once: {:?}", cheap.moves);
    assert!(plant.worst_age < 20, "{}", plant.worst_age);
    assert!(said(&cheap).contains("replica-seconds of work will have been left"), "{}", said(&cheap));

    let (dear, _) = step(20, 20.0, None);
    assert!(dear.moves[0].0 >= first + 10, "{:?} after {:?}", dear.moves, cheap.moves);
}

/// Twenty-four partitions leave nothing between twelve replicas and all of them; the key groups of the vertex that binds
/// do.
#[test]
fn what_binds_says_which_sizes_make_a_difference() {
    let (by_partitions, _) = step(1, 1.0, None);
    let (by_parts, _) = step(1, 1.0, Some(120));
    assert_eq!(by_partitions.moves[0].2, 24);
    assert!((13..=18).contains(&by_parts.moves[0].2), "1200 of 100 each: {:?}", by_parts.moves);
    assert!(said(&by_parts).contains("(work binds)"), "{}", said(&by_parts));
}

/// What a policy for a Flink job comes to where it states no more than it must.
fn flink_rules() -> Rules {
    let document = json!({
        "apiVersion": "tidegate.dev/v1alpha1", "kind": "ScalingPolicy",
        "metadata": {"name": "orders", "namespace": "shop"},
        "spec": {
            "target": {"flinkCluster": {"cluster": "main", "job": "orders"}},
            "sources": [{"kafkaLag": {"cluster": "main", "group": "orders", "topics": ["orders"]}}],
            "objective": {"maxLag": "60s"}, "minReplicas": 1, "maxReplicas": 24,
        },
    });
    let interval = TimeSpan::from_secs(5);
    read_policies("test", &document.to_string(), None, interval).remove(0).result.unwrap().rules
}

/// A job on which a move costs next to nothing.
fn job(replicas: usize) -> Plant {
    let world = World {
        weights: vec![1; 24],
        capacity: 100,
        start_seconds: 1,
        rebalance_seconds: 1,
        commit_every: 1,
        ..World::default()
    };
    Plant::new(world, replicas)
}

/// What such a job says of itself under `rate` records per second.
fn told(rate: u64, seen: &mut Observation) {
    let able = 100 * seen.target.ready.map_or(1, |ready| u64::from(ready.0.max(1)));
    metric(seen, Meaning::BusyShare, records_f64(rate.min(able)) / records_f64(able));
    seen.target.price = Some(Price { raise_seconds: 2.0, lower_seconds: 1.0 });
    seen.target.binding = Some(Binding {
        name: "work".to_owned(),
        division: Division::Parts(120),
        limited_by: None,
        fill: None,
    });
}

/// The load steps up and falls again: up at once, and one move down within five minutes, once it is known how far.
#[rstest]
#[case::fourfold_and_to_less([300, 1200, 200])]
#[case::fivefold_and_back([300, 1500, 300])]
#[case::up_twice([200, 800, 1600])]
fn a_step_takes_few_moves(#[case] load: [u64; 3]) {
    let (rules, mut plant, mut run) = (flink_rules(), job(4), Run::default());
    let load = |second: u64| match second {
        0..600 => load[0],
        600..840 => load[1],
        _ => load[2],
    };
    run_edited(&mut run, &mut plant, &rules, 1200, load, |second, seen| told(load(second), seen));
    let downs: Vec<u64> = run.moves.iter().filter(|(_, from, to)| to < from).map(|made| made.0).collect();
    assert!(downs.windows(2).all(|pair| pair[1] - pair[0] >= 300), "{downs:?}\n{}", run.table());
    let after: Vec<_> = run.moves.iter().filter(|made| made.0 >= 600).collect();
    assert!(after[0].0 <= 615 && after[0].2 > after[0].1 && after.len() <= 3, "{}", run.table());
}

/// However little moves cost: the budget is what stops them, by name, and its last move is kept for one up.
#[rstest]
#[case::as_it_comes(60)]
#[case::stated(6)]
fn moves_are_budgeted_by_the_hour(#[case] allowed: u32) {
    let (mut plant, mut run) = (job(4), Run::default());
    let mut rules = flink_rules();
    assert_eq!(rules.changes_per_hour, 60, "unless it is stated");
    rules.changes_per_hour = allowed;
    rules.behavior.scale_down.stabilization_window_seconds = Some(0);
    let load = |second: u64| if second % 120 < 60 { 1800 } else { 150 };
    run_edited(&mut run, &mut plant, &rules, 2 * 3600, load, |second, seen| told(load(second), seen));
    for (second, ..) in &run.moves {
        let hour = run.moves.iter().filter(|other| (*second..second + 3600).contains(&other.0)).count();
        assert!(hour <= usize::try_from(allowed).unwrap(), "{hour} of {allowed}\n{}", run.table());
    }
    let held = run.decisions.iter().find(|one| one.reason == Reason::BudgetExhausted);
    let held = held.unwrap_or_else(|| panic!("{}", run.table()));
    assert!(
        held.sentence.contains(&format!("of {allowed} changes were made within the last hour")),
        "{held:?}"
    );
}

/// Nothing fails, and the job does less with more: the size that did the most is gone back to, and kept.
#[test]
fn more_that_do_less_are_taken_back() {
    let (rules, mut plant, mut run) = (flink_rules(), job(12), Run::default());
    for from in (0..3600).step_by(15) {
        let rate = if from < 300 { 1100 } else { 1350 };
        plant.world.downstream = if plant.replicas() <= 12 { 1200 } else { 900 };
        run_edited(&mut run, &mut plant, &rules, 15, |_| rate, |_, seen| told(rate, seen));
    }
    let back = run.decisions.iter().find(|one| one.verdict == Verdict::Lower);
    let back = back.unwrap_or_else(|| panic!("{}", run.table()));
    assert_eq!(back.reason, Reason::NoGain, "{}", run.table());
    let lowered: Vec<_> = run.moves.iter().filter(|(_, from, to)| to < from).collect();
    let (raised, (taken_back, _, to)) = (run.moves[0].0, lowered[0]);
    assert!(*to <= 12 && taken_back - raised < 600, "within minutes: {:?}", run.moves);
    let again = run.moves.iter().find(|made| made.0 > *taken_back).map_or(u64::MAX, |made| made.0);
    assert!(again - taken_back > 1700, "left alone for half an hour: {:?}", run.moves);
}
