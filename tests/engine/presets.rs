//! Knobs that stand in for a preset's constants, and what is said of them.

use tidegate::engine::{Reason, Verdict};
use tidegate::policy::preset::{Knobs, Preset};
use tidegate::policy::{Replicas, Rules, TimeSpan};

use super::plant::{Plant, Run, World, max_lag_rules, run};

fn with(preset: Preset, knobs: Knobs) -> Rules {
    Rules { capacity_per_replica: Some(200.0), preset, knobs, ..max_lag_rules(60) }
}

/// Half an hour at a load that needs eight, then one that needs two.
fn fall(knobs: Knobs) -> Run {
    let load = |second| if second < 1800 { 1500 } else { 300 };
    run(&mut Plant::new(World::default(), 8), &with(Preset::Balanced, knobs), 9000, load)
}

/// The second of the first move down.
fn lowered(run: &Run) -> Option<i64> {
    let first = run.decisions.iter().find(|one| one.verdict == Verdict::Lower)?;
    Some(first.at.duration_since(super::plant::start()).as_secs())
}

#[test]
fn a_dearer_move_is_waited_for_longer() {
    let cost = |seconds| Knobs { rescale_cost: Some(TimeSpan::from_secs(seconds)), ..Knobs::default() };
    let (free, dear, forbidding) = (fall(cost(0)), fall(cost(3600)), fall(cost(100_000)));
    let (early, late) = (lowered(&free).unwrap(), lowered(&dear).unwrap());
    assert!(early + 600 < late, "{early} s, {late} s");
    assert_eq!(lowered(&forbidding), None);
    assert!(forbidding.decisions.iter().any(|one| one.reason == Reason::NotPaidBack));
}

#[test]
fn a_move_down_may_have_to_pay_for_itself_more_than_once() {
    let times = |payback| Knobs { payback: Some(payback), ..Knobs::default() };
    let (once, often) = (lowered(&fall(times(1.0))).unwrap(), lowered(&fall(times(10.0))).unwrap());
    assert!(once < often, "{once} s, {often} s");
}

#[test]
fn a_size_is_chosen_for_the_utilization_that_is_asked_for() {
    let ready = |percent| {
        let knobs = Knobs { target_utilization: Some(percent), ..Knobs::default() };
        let rules = with(Preset::Balanced, knobs);
        let load = |second| if second < 600 { 300 } else { 900 };
        run(&mut Plant::new(World::default(), 2), &rules, 1800, load).decisions.last().unwrap().desired
    };
    assert!(ready(50).unwrap() > ready(95).unwrap());
    assert_eq!(ready(50), Some(Replicas(12)));
}

#[test]
fn what_is_unusual_is_said() {
    let words = |preset, knobs| {
        let run = run(&mut Plant::new(World::default(), 2), &with(preset, knobs), 60, |_| 300);
        run.decisions.last().unwrap().counterfactual.clone()
    };
    assert!(words(Preset::Balanced, Knobs::default()).ends_with("Looked at again in 15s."));
    assert!(words(Preset::Cost, Knobs::default()).ends_with("in 15s. Weighed by preset cost."));
    let knobs = Knobs {
        target_utilization: Some(80),
        usable_lag: Some(50),
        rescale_cost: Some(TimeSpan::from_secs(300)),
        payback: Some(2.0),
    };
    assert!(words(Preset::Latency, knobs).ends_with(
        "Weighed by preset latency with targetUtilization 80 %, usableLag 50 %, rescaleCost 5m, payback 2."
    ));
}
