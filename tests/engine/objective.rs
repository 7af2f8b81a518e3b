//! The objective comes first: closed loops on plants that are not even, not known, or not constant.

use tidegate::engine::Reason;
use tidegate::policy::{Replicas, Rules};

use super::plant::{Plant, Run, World, max_lag_rules, run, run_on};

/// A batch for a workload at rest, of which nobody knows what one replica can do.
#[test]
fn a_workload_at_rest_wakes_at_once_and_grows_before_it_is_late() {
    let rules = Rules { min_replicas: Replicas(0), max_replicas: Replicas(6), ..max_lag_rules(600) };
    let world = World { capacity: 60, start_seconds: 30, rebalance_seconds: 20, ..World::default() };
    let mut plant = Plant::new(world, 0);
    let run = run(&mut plant, &rules, 3600, |second| if (600..1800).contains(&second) { 200 } else { 0 });
    assert_eq!(run.moves[0], (603, 0, 1), "{}", run.table());
    let woken = run.decisions.iter().find(|one| one.change.is_some()).unwrap();
    assert_eq!(woken.reason, Reason::Activated);
    assert_eq!(plant.late_seconds, 0, "{}", run.table());
}

/// Partitions with up to a fifth more or less than their fair share.
fn uneven(partitions: u64) -> Vec<u64> {
    (0..partitions).map(|number| 80 + number * 23 % 41).collect()
}

/// A topic of 48 partitions: most counts of replicas share them unevenly.
fn wide() -> World {
    World { weights: uneven(48), capacity: 130, start_seconds: 30, rebalance_seconds: 20, ..World::default() }
}

/// 10 replicas with 4 or 5 partitions each: those with 5 fall behind, the others do not.
#[test]
fn some_replicas_that_fall_behind_count_before_the_capacity_is_known() {
    let mut plant = Plant::new(wide(), 10);
    let run = run(&mut plant, &max_lag_rules(120), 7200, |second| 1000 + second.min(4200) / 16);
    assert_eq!(plant.late_seconds, 0, "worst {} s\n{}", plant.worst_age, run.table());
    assert!(run.raises() <= 3, "{}", run.table());
}

/// The same with a capacity that is known, and is enough if all replicas had equal shares.
#[test]
fn some_replicas_that_fall_behind_count_although_all_together_would_keep_up() {
    let rules = Rules { capacity_per_replica: Some(130.0), ..max_lag_rules(120) };
    let mut plant = Plant::new(wide(), 10);
    let run = run(&mut plant, &rules, 10_800, |second| 1000 + second.min(7200) / 24);
    assert_eq!(plant.late_seconds, 0, "worst {} s\n{}", plant.worst_age, run.table());
    assert!(run.raises() <= 3 && run.lowers() <= 1, "{}", run.table());
}

/// A new version that does 25 % less, and nobody says so.
#[test]
fn replicas_that_get_slower_are_noticed_by_what_they_do() {
    let rules = Rules { capacity_per_replica: Some(130.0), ..max_lag_rules(120) };
    let mut plant = Plant::new(wide(), 12);
    let mut whole = Run::default();
    run_on(&mut whole, &mut plant, &rules, 1800, |_| 1150);
    assert_eq!(whole.raises(), 0, "{}", whole.table());
    plant.world.capacity = 97;
    run_on(&mut whole, &mut plant, &rules, 5400, |_| 1150);
    assert_eq!(plant.late_seconds, 0, "worst {} s\n{}", plant.worst_age, whole.table());
    assert!(whole.raises() <= 2 && whole.reversals() <= 1, "{}", whole.table());
}

/// Two partitions that each bring more than a replica processes: nothing helps, and nothing is tried for ever.
#[test]
fn partitions_too_hot_for_any_size_are_not_chased() {
    let mut weights = vec![1; 24];
    (weights[3], weights[17]) = (20, 20);
    let rules = Rules { capacity_per_replica: Some(200.0), ..max_lag_rules(60) };
    let mut plant = Plant::new(World { weights, ..World::default() }, 3);
    let run = run(&mut plant, &rules, 7200, |_| 800);
    assert!(run.raises() <= 2 && run.lowers() == 0, "{}", run.table());
    let last = run.decisions.last().unwrap();
    assert!(last.trail.iter().any(|step| step.reason == Reason::HotPartition), "{last:?}");
}

/// A step down into the unknown waits for a load that does not rise, and is not repeated soon.
#[test]
fn nothing_is_tried_while_the_load_rises() {
    let mut plant = Plant::new(wide(), 10);
    let run = run(&mut plant, &max_lag_rules(120), 7200, |second| 400 + second / 12);
    assert_eq!(run.moves, [], "{}", run.table());
}

/// Batches of which the last records are as old as the objective allows when their end is in sight.
#[test]
fn a_catch_up_is_finished_by_those_who_began_it() {
    let rules = Rules { capacity_per_replica: Some(60.0), ..max_lag_rules(600) };
    let mut plant = Plant::new(World { capacity: 60, ..World::default() }, 0);
    for _ in 0..700 {
        plant.step(200, 600);
    }
    plant.scale(Replicas(6));
    let run = run(&mut plant, &rules, 3600, |_| 0);
    let lowered = run.decisions.iter().find(|one| one.desired < one.current);
    let age = lowered.and_then(|one| one.estimate.backlog_age_seconds);
    assert!(age.is_some_and(|age| age < 300.0), "{}", run.table());
}

/// The most that the operator allows lies between two rungs: it helps all but a few partitions.
#[test]
fn a_bound_between_two_rungs_is_used_when_it_is_needed() {
    let rules = Rules { capacity_per_replica: Some(200.0), max_replicas: Replicas(30), ..max_lag_rules(60) };
    let world = World { weights: uneven(32), ..World::default() };
    let mut plant = Plant::new(world, 16);
    let run = run(&mut plant, &rules, 7200, |second| if second < 600 { 2000 } else { 3050 });
    assert_eq!(run.moves.iter().map(|made| made.2).collect::<Vec<_>>(), [30], "{}", run.table());
    assert_eq!(plant.late_seconds, 0, "worst {} s\n{}", plant.worst_age, run.table());
}
