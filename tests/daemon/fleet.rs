//! One task per workload: pace, isolation, change, removal and stop.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tidegate::daemon::fleet::Fleet;
use tidegate::daemon::memories::{Kept, Memories};
use tidegate::policy::Mode;
use tidegate::record::{Outcome, Turn};
use tokio::time::sleep;

use super::support::{INTERVAL, Manner, START, Stage, policy};

/// Runs a fleet of these for so many seconds of paused time.
async fn run(stage: &Stage, names: &[&str], seconds: u64) -> Fleet {
    let mut fleet = Fleet::new(stage.base(Memories::default()));
    let policies: Vec<_> = names.iter().map(|name| policy(name, &json!({}))).collect();
    fleet.muster(&policies, Some(BTreeSet::new()));
    sleep(Duration::from_secs(seconds)).await;
    fleet
}

#[tokio::test(start_paused = true)]
async fn turns_come_once_an_interval() {
    let stage = Stage::default();
    run(&stage, &["orders"], 151).await;
    let ends = stage.ends("orders");
    assert!(ends[0] <= 5.0, "the first turn comes soon: {ends:?}");
    let gaps: Vec<_> = ends.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.len() >= 8 && gaps.iter().all(|gap| (13.4..16.6).contains(gap)), "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_source_delays_nobody_else() {
    let stage = Stage::default().manner("slow", Manner::Slow(Duration::from_hours(1)));
    run(&stage, &["orders", "slow"], 120).await;
    let (others, slow) = (stage.ends("orders"), stage.ends("slow"));
    assert!(others.len() >= 7, "{others:?}");
    assert!(others.windows(2).all(|pair| pair[1] - pair[0] < 16.6), "{others:?}");
    assert!(slow.len() >= 6, "it is given up, not waited for: {slow:?}");
    let problem = serde_json::to_value(&stage.last("slow").observation.sources[0]).unwrap();
    assert_eq!(problem["backlog"]["problem"], "no answer within 10s");
}

#[tokio::test(start_paused = true)]
async fn turns_that_a_slow_one_ran_into_are_left_out() {
    // Longer than an interval, within the patience given here.
    let stage = Stage::default().manner("slow", Manner::Slow(Duration::from_secs(40)));
    let mut base = stage.base(Memories::default());
    base.patience = Duration::from_mins(1);
    let mut fleet = Fleet::new(base);
    fleet.muster(&[policy("slow", &json!({}))], Some(BTreeSet::new()));
    sleep(Duration::from_secs(206)).await;
    let ends = stage.ends("slow");
    assert_eq!(ends.len(), 5, "{ends:?}");
    assert!(ends.windows(2).all(|pair| (39.9..40.1).contains(&(pair[1] - pair[0]))), "{ends:?}");
}

#[tokio::test(start_paused = true)]
async fn a_bug_in_one_workload_leaves_the_others_alone() {
    let stage = Stage::default().manner("broken", Manner::Panics);
    run(&stage, &["broken", "orders"], 60).await;
    assert!(stage.ends("broken").is_empty());
    assert!(stage.ends("orders").len() >= 3);
}

#[tokio::test(start_paused = true)]
async fn the_ceiling_caps_the_mode() {
    let stage = Stage::default();
    run(&stage, &["orders"], 6).await;
    let turn = stage.last("orders");
    assert_eq!((turn.mode, turn.outcome), (Mode::Recommend, Outcome::Held));
}

#[tokio::test(start_paused = true)]
async fn a_changed_policy_counts_at_once_and_keeps_what_it_can() {
    let stage = Stage::default();
    let mut fleet = run(&stage, &["orders"], 6).await;
    assert_eq!(stage.equipped(), ["sources orders", "target orders"]);

    fleet.muster(&[policy("orders", &json!({"paused": true}))], Some(BTreeSet::new()));
    sleep(Duration::from_millis(1)).await;
    assert_eq!(stage.ends("orders").len(), 2, "a turn at once");
    assert!(stage.last("orders").rules.paused);
    assert_eq!(stage.equipped().len(), 2, "the same source goes on: it knows what it saw last");

    let other = json!({"sources": [{"kafkaLag": {"cluster": "main", "group": "other"}}]});
    fleet.muster(&[policy("orders", &other)], Some(BTreeSet::new()));
    sleep(Duration::from_millis(1)).await;
    assert_eq!(stage.equipped(), ["sources orders", "target orders", "sources orders"]);

    let unchanged = policy("orders", &other);
    fleet.muster(&[unchanged], Some(BTreeSet::new()));
    sleep(Duration::from_millis(1)).await;
    assert_eq!(stage.ends("orders").len(), 3, "the same policy again is no change");
}

#[tokio::test(start_paused = true)]
async fn a_removed_policy_takes_no_further_turn() {
    let stage = Stage::default();
    let mut fleet = run(&stage, &["invoices", "orders"], 6).await;
    fleet.muster(&[policy("orders", &json!({}))], Some(BTreeSet::new()));
    sleep(INTERVAL * 4).await;
    assert_eq!(stage.ends("invoices").len(), 1);
    assert!(stage.ends("orders").len() >= 4);
}

#[tokio::test(start_paused = true)]
async fn memory_waits_for_a_policy_that_is_not_there_yet() {
    let stage = Stage::default();
    let id = policy("late", &json!({})).id;
    let memories = Memories::new([(id.clone(), Kept::default())].into());
    let mut fleet = Fleet::new(stage.base(memories.clone()));
    fleet.muster(&[policy("orders", &json!({}))], None);
    assert!(memories.snapshot().contains_key(&id), "not all policies have been read yet");
    fleet.muster(&[policy("orders", &json!({}))], Some([id.clone()].into()));
    assert!(memories.snapshot().contains_key(&id), "its policy is there, and refused for now");
    fleet.muster(&[policy("orders", &json!({}))], Some(BTreeSet::new()));
    assert!(!memories.snapshot().contains_key(&id), "nobody asks for it any more");
}

#[tokio::test(start_paused = true)]
async fn a_stop_lets_the_turn_under_way_finish_and_starts_no_other() {
    // After 5.001 s it is in its first turn: that starts within 5 s and takes 6 s.
    let stage = Stage::default().manner("orders", Manner::Slow(Duration::from_secs(6)));
    let fleet = run(&stage, &["orders"], 5).await;
    sleep(Duration::from_millis(1)).await;
    assert!(stage.ends("orders").is_empty());
    assert!(fleet.disband(Duration::from_secs(7)).await, "all turns finished");
    assert_eq!(stage.ends("orders").len(), 1);
    sleep(INTERVAL * 4).await;
    assert_eq!(stage.ends("orders").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_ever() {
    let stage = Stage::default().manner("orders", Manner::Slow(Duration::from_secs(9)));
    let fleet = run(&stage, &["orders"], 5).await;
    assert!(!fleet.disband(Duration::from_secs(1)).await);
    assert!(stage.ends("orders").is_empty());
}

/// A fleet that may write, five seconds after its start: in the first turn of a workload that has too few
/// replicas.
async fn about_to_write(stage: &Stage) -> Fleet {
    let mut base = stage.base(Memories::default());
    base.ceiling = Mode::Apply;
    let mut fleet = Fleet::new(base);
    fleet.muster(&[policy("orders", &json!({"minReplicas": 5}))], Some(BTreeSet::new()));
    sleep(Duration::from_millis(5001)).await;
    assert!(stage.ends("orders").is_empty(), "it is in its first turn");
    fleet
}

fn slow() -> Stage {
    Stage::default().manner("orders", Manner::Slow(Duration::from_secs(6)))
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_stands_is_carried_out() {
    let stage = slow();
    let _fleet = about_to_write(&stage).await;
    sleep(Duration::from_secs(6)).await;
    assert_eq!(stage.last("orders").outcome, Outcome::Applied);
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_was_paused_during_its_look_is_not_carried_out() {
    let stage = slow();
    let mut fleet = about_to_write(&stage).await;
    fleet.muster(&[policy("orders", &json!({"minReplicas": 5, "paused": true}))], Some(BTreeSet::new()));
    sleep(Duration::from_secs(6)).await;
    assert_eq!(stage.ends("orders").len(), 1);
    assert_eq!(stage.last("orders").outcome, Outcome::Recommended);
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_is_gone_and_back_within_a_look_never_takes_two_turns_at_once() {
    let stage = slow();
    let mut fleet = about_to_write(&stage).await;
    fleet.muster(&[], Some(BTreeSet::new()));
    fleet.muster(&[policy("orders", &json!({"minReplicas": 5}))], Some(BTreeSet::new()));
    sleep(Duration::from_mins(1)).await;
    let turns: Vec<_> = {
        let start: Timestamp = START.parse().unwrap();
        let turns = stage.turns.lock().unwrap();
        let times = |(end, turn): &(f64, Turn)| {
            (turn.at.duration_since(start).as_secs_f64(), *end, turn.outcome.clone())
        };
        turns.iter().map(times).collect()
    };
    assert!(turns.len() >= 3, "{turns:?}");
    assert!(turns.windows(2).all(|pair| pair[1].0 >= pair[0].1 - 0.01), "{turns:?}");
    assert_eq!((&turns[0].2, &turns[1].2), (&Outcome::Recommended, &Outcome::Applied));
}
