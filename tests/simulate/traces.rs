//! Odd traces: whatever can be read can be run.

use proptest::prelude::*;
use tidegate::fluid::course::Course;
use tidegate::fluid::plant::Plant;
use tidegate::fluid::run::default_rules;
use tidegate::fluid::trace::Trace;
use tidegate::simulate::contest::Contest;
use tidegate::simulate::rivals::RIVALS;
use tidegate::simulate::standing::Outcome;

fn outcome(step: f64, rates: Vec<f64>, plant: &Plant) -> Outcome {
    let trace = Trace { name: "odd".to_owned(), step, rates };
    let course = Course::new(&trace, plant, 1).expect("a course");
    let rules = default_rules(&course);
    Contest {
        course: &course,
        rules: &rules,
        seed: 1,
        judge_from: 0.5,
        rivals: &RIVALS,
        self_tuning: false,
        foresight: true,
        recovery: true,
        robustness: false,
        weights: false,
        plots: true,
    }
    .run(|_, _, _| {})
}

fn is_sound(outcome: &Outcome) {
    let limit = &outcome.limit;
    assert!((limit.achieved_cost_replica_hours - limit.cost_replica_hours).abs() < 1e-6, "{limit:?}");
    for policy in &outcome.policies {
        let figures = &policy.figures;
        assert!(policy.rho >= 1.0 - 1e-6 && policy.rho.is_finite(), "{}: {}", policy.name, policy.rho);
        assert!(figures.cost_replica_hours.is_finite() && figures.worst_age_seconds.is_finite());
    }
}

fn eager() -> Plant {
    Plant::preset("consumer-eager").unwrap()
}

#[test]
fn nothing_at_all_needs_the_fewest_replicas() {
    let found = outcome(15.0, vec![0.0; 400], &eager());
    is_sound(&found);
    // Half of 400 steps, one replica: what rests at one costs as much as the optimum.
    assert!((found.limit.cost_replica_hours - 200.0 * 15.0 / 3600.0).abs() < 1e-9);
    assert!((found.policies[0].rho - 1.0).abs() < 1e-9, "{}", found.policies[0].rho);
    let resting = outcome(15.0, vec![0.0; 400], &Plant { min_replicas: 0, ..eager() });
    assert!(resting.limit.cost_replica_hours.abs() < 1e-9, "{:?}", resting.limit);
    assert!(resting.policies[0].figures.mean_replicas.abs() < 1e-12);
    // Against nothing there is no ratio.
    let never = resting.policies.iter().find(|one| one.name == "hpa-cpu").unwrap();
    assert!(never.rho.is_infinite(), "{}", never.rho);
}

#[test]
fn a_single_spike_is_sized_by_its_height() {
    let mut rates = vec![0.0; 1000];
    rates[700] = 1200.0;
    is_sound(&outcome(15.0, rates, &eager()));
}

#[test]
fn very_short_traces_are_run() {
    for (step, rows) in [(1.0, 2), (1.0, 20), (15.0, 2), (20.0, 3), (3600.0, 2)] {
        is_sound(&outcome(step, vec![120.0; rows], &eager()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10))]

    #[test]
    fn any_step_and_any_scale_runs(
        step in prop::sample::select(vec![1.0, 7.0, 15.0, 20.0, 60.0, 300.0, 1800.0, 3600.0]),
        scale in prop::sample::select(vec![1e-3, 1.0, 1e4, 1e9]),
        levels in prop::collection::vec(0.0_f64..1.0, 4..12),
    ) {
        let rows: usize = f64::ceil(900.0 / step).to_string().parse().unwrap();
        let rates: Vec<f64> = levels.iter().flat_map(|level| vec![level * scale; rows]).collect();
        is_sound(&outcome(step, rates, &eager()));
    }
}

#[test]
fn scaling_a_trace_scales_nothing_else() {
    let made = |scale: f64| {
        let rates = (0..720_u32).map(|row| f64::from(row * 37 % 101 + 50) * scale).collect();
        outcome(15.0, rates, &eager())
    };
    let (one, many) = (made(1e3), made(1e6));
    assert!((one.limit.cost_replica_hours - many.limit.cost_replica_hours).abs() < 1e-6);
    for (a, b) in one.policies.iter().zip(&many.policies).skip(1) {
        assert!((a.rho - b.rho).abs() < 1e-6, "{}: {} and {}", a.name, a.rho, b.rho);
    }
}

#[test]
fn a_trace_of_half_hours_is_joined_between_their_middles() {
    let trace = Trace { name: "taxi".to_owned(), step: 1800.0, rates: vec![100.0, 300.0, 100.0] };
    let course = Course::new(&trace, &Plant { capacity: 50.0, ..eager() }, 1).unwrap();
    let rate = |minute: f64| {
        let from: usize = (minute * 4.0).to_string().parse().unwrap();
        course.arrivals[from] / 15.0
    };
    // Level to the first middle, then straight lines.
    for (minute, expected) in [(5.0, 100.0), (15.0, 100.0), (30.0, 200.0), (45.0, 300.0), (60.0, 200.0)] {
        assert!((rate(minute) - expected).abs() < 2.0, "minute {minute}: {}", rate(minute));
    }
}
