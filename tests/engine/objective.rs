//! The objective comes first: closed loops on plants that are not even, not known, or not constant.

use tidegate::engine::Reason;
use tidegate::policy::{Replicas, Rules};

use super::plant::{Plant, World, max_lag_rules, run};

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
