//! Targets that are bounds: an HPA's or a ScaledObject's.

use tidegate::engine::{Memory, evaluate, explain};
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
        plant.step(500, 60);
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
