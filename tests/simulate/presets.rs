//! The presets lean the way that they say.

use tidegate::fluid::course::Course;
use tidegate::fluid::plant::Plant;
use tidegate::fluid::run;
use tidegate::policy::preset::Preset;
use tidegate::policy::{Rules, TimeSpan};
use tidegate::simulate::generate::generate;
use tidegate::simulate::grid::LOADS;
use tidegate::simulate::scorecard;

/// Replica-hours and minutes over the objective on loads that ship, where a rescale stops for minutes.
fn bill(preset: Preset) -> (f64, f64) {
    let told = ["daily", "spikes", "sawtooth", "onoff", "noisy", "step"];
    let loads = LOADS.iter().filter(|(name, _, _)| told.contains(name));
    let bills = loads.map(|(_, spec, _)| {
        let trace = generate(spec, TimeSpan::from_secs(2 * 86_400), 1).unwrap();
        let course = Course::new(&trace, &Plant::preset("flink-heavy").unwrap(), 1).unwrap();
        let rules = Rules { preset, ..run::default_rules(&course) };
        let run = run::by_engine(&course, &rules, 1);
        let figures = scorecard::figures(&course, &run, course.steps() / 2, course.steps());
        (figures.replica_hours, figures.violation_minutes)
    });
    bills.fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

#[test]
fn latency_is_late_less_for_more_replicas_and_cost_the_contrary() {
    let [latency, balanced, cost] = [Preset::Latency, Preset::Balanced, Preset::Cost].map(bill);
    let all = format!("latency {latency:?}, balanced {balanced:?}, cost {cost:?}");
    assert!(latency.0 > 1.1 * balanced.0 && balanced.0 > 1.02 * cost.0, "replica-hours: {all}");
    assert!(balanced.1 > 1.5 * latency.1 && cost.1 > 2.0 * balanced.1, "minutes late: {all}");
}
