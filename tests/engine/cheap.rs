//! The time of a move up follows what moves cost.

use tidegate::engine::observation::{Binding, Division, Meaning, Price};
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
