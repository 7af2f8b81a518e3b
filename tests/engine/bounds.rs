//! Targets that are bounds: an HPA's or a ScaledObject's.

use tidegate::engine::observation::{GroupState, Observation, Quality, SourceReading};
use tidegate::engine::{Decision, Memory, Reason, evaluate, explain};
use tidegate::policy::rules::MetricTarget;
use tidegate::policy::target::HpaMetricMeaning;
use tidegate::policy::{Replicas, Rules};

use super::plant::{Plant, World, after, max_lag_rules};

fn hinted() -> Rules {
    Rules { capacity_per_replica: Some(200.0), ..max_lag_rules(60) }
}

#[test]
fn the_upper_bound_follows_the_need_and_the_metric_the_capacity() {
    let rules = Rules {
        metric_target: Some(MetricTarget { means: HpaMetricMeaning::Rate, utilization: 80 }),
        ..hinted()
    };
    let mut plant = Plant::new(World::default(), 4);
    let mut memory = Memory::default();
    let (mut ceiling, mut metric, mut writes) = (Replicas(24), 50.0, 0);
    for second in 1..=3600_u64 {
        plant.step(700, 60);
        if second.is_multiple_of(15) {
            let mut seen = plant.observe(60);
            seen.target.ceiling = Some(ceiling);
            seen.target.metric_target = Some(metric);
            let (next, decision) = evaluate(&rules, memory, &seen, after(second));
            memory = next;
            if let Some(change) = decision.change {
                assert!(change.ceiling.unwrap() >= change.replicas);
                (ceiling, metric) = (change.ceiling.unwrap(), change.metric_target.unwrap());
                writes += 1;
            }
        }
    }
    assert_eq!(ceiling, Replicas(12), "twelve partitions bound what can be of use");
    assert!((metric - 160.0).abs() < 1e-9, "80 % of 200: {metric}");
    assert!(writes <= 2, "{writes} writes");
}

#[test]
fn the_rendered_decision_tells_every_stage() {
    let mut plant = Plant::new(World::default(), 2);
    let mut memory = Memory::default();
    let mut rendered = String::new();
    for second in 1..=60_u64 {
        plant.step(1200, 60);
        if second.is_multiple_of(15) {
            let (next, decision) = evaluate(&hinted(), memory, &plant.observe(60), after(second));
            memory = next;
            if decision.change.is_some() && rendered.is_empty() {
                rendered = explain::render(&decision);
            }
        }
    }
    insta::assert_snapshot!(rendered);
}

/// Looks every 15 s at an HPA of 4..40 with 20 replicas ready that needs few of them; `edit` may spoil what is
/// seen. The decisions are not carried out.
fn looked_at(rules: &Rules, seconds: u64, edit: impl Fn(u64, &mut Observation)) -> Vec<Decision> {
    let mut plant = Plant::new(World { weights: vec![1; 48], ..World::default() }, 4);
    let mut memory = Memory::default();
    let mut decisions = Vec::new();
    for second in 1..=seconds {
        plant.step(500, 60);
        if second.is_multiple_of(15) {
            let mut seen = plant.observe(60);
            (seen.target.ceiling, seen.target.ready) = (Some(Replicas(40)), Some(Replicas(20)));
            edit(second, &mut seen);
            let (next, decision) = evaluate(rules, memory, &seen, after(second));
            memory = next;
            decisions.push(decision);
        }
    }
    decisions
}

fn with_backlog(seen: &mut Observation, edit: impl Fn(&mut tidegate::engine::observation::BacklogReading)) {
    for source in &mut seen.sources {
        if let SourceReading::Backlog(reading) = source {
            edit(reading);
        }
    }
}

fn forty() -> Rules {
    Rules { min_replicas: Replicas(4), max_replicas: Replicas(40), ..hinted() }
}

/// The second at which the upper bound is first asked to be lower than it is.
fn falls_at(decisions: &[Decision]) -> Option<u64> {
    let falls = |one: &Decision| one.ceiling < Some(Replicas(40));
    let index = decisions.iter().position(falls)?;
    Some(15 * (u64::try_from(index).unwrap() + 1))
}

#[test]
fn the_upper_bound_falls_after_a_whole_window_of_sight_only() {
    let rules = forty();
    let first = falls_at(&looked_at(&rules, 900, |_, _| {}));
    assert_eq!(first, Some(315), "the first look is at 15 s, and the window 300 s long");
    let doubts: [fn(&mut Observation); 3] = [
        |seen| with_backlog(seen, |reading| reading.group = GroupState::Rebalancing),
        |seen| with_backlog(seen, |reading| reading.group = GroupState::Unknown),
        |seen| {
            with_backlog(seen, |reading| {
                reading.quality = Quality::Partial;
                reading.partitions[0].lag = None;
            });
        },
    ];
    for doubt in doubts {
        let falls = falls_at(&looked_at(&rules, 1500, |second, seen| {
            if (200..600).contains(&second) {
                doubt(seen);
            }
        }));
        assert_eq!(falls, Some(885), "the last doubt is at 585 s");
    }
}

#[test]
fn the_upper_bound_stays_while_a_backlog_is_cleared() {
    let falls = falls_at(&looked_at(&forty(), 900, |second, seen| {
        if (100..400).contains(&second) {
            with_backlog(seen, |reading| reading.partitions[0].overdue = Some(true));
        }
    }));
    assert_eq!(falls, Some(690), "the last overdue record is seen at 390 s");
}

#[test]
fn the_upper_bound_stays_once_half_of_the_hours_changes_are_made() {
    let rules = Rules { changes_per_hour: 1, ..forty() };
    let decisions = looked_at(&rules, 900, |second, seen| {
        let bound = if second < 60 { 41 } else { 40 };
        seen.target.ceiling = Some(Replicas(bound));
    });
    assert_eq!(falls_at(&decisions), None);
}

#[test]
fn an_upper_bound_above_the_policys_is_cut_however_little() {
    let decisions = looked_at(&forty(), 15, |_, seen| seen.target.ceiling = Some(Replicas(44)));
    assert_eq!(decisions[0].change.unwrap().ceiling, Some(Replicas(40)));
}

#[test]
fn a_lower_bound_of_zero_is_no_rest_while_replicas_run() {
    let rules = Rules { min_replicas: Replicas(0), ..hinted() };
    let told = |ready: Option<u32>, load: u64| {
        let mut plant = Plant::new(World::default(), 5);
        let mut memory = Memory::default();
        let mut last = None;
        for second in 1..=60_u64 {
            plant.step(load, 60);
            if second.is_multiple_of(15) {
                let mut seen = plant.observe(60);
                with_backlog(&mut seen, |reading| reading.group = GroupState::Stable);
                seen.target.current = Some(Replicas(0));
                (seen.target.ceiling, seen.target.ready) = (Some(Replicas(20)), ready.map(Replicas));
                let (next, decision) = evaluate(&rules, memory, &seen, after(second));
                (memory, last) = (next, Some(decision));
            }
        }
        let last = last.unwrap();
        (last.reason, last.desired.unwrap().0, last.sentence)
    };
    for ready in [Some(5), None] {
        let (reason, to, sentence) = told(ready, 500);
        assert!(reason == Reason::LoadNeedsMore && to >= 3, "{sentence}");
        assert!(!sentence.contains("at rest"), "{sentence}");
        assert_eq!(told(ready, 0).0, Reason::AtNeed, "and nothing is woken for nothing");
    }
    assert_eq!(told(Some(0), 500).0, Reason::Activated);
    assert_eq!(told(Some(0), 0).0, Reason::Idle);
}
