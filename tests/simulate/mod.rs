//! `tidegate simulate`: the limit is one, the same seed gives the same bytes, and the contract is kept.

mod backtest;
mod cli;
mod plants;
mod presets;
mod traces;
mod tuning;
mod words;

use proptest::prelude::*;
use tidegate::fluid::course::Course;
use tidegate::fluid::plant::{PRESETS, Plant};
use tidegate::fluid::run::{by_engine, default_rules};
use tidegate::fluid::running::Running;
use tidegate::fluid::sight::Sight;
use tidegate::fluid::trace::Trace;
use tidegate::simulate::contest::{Contest, OURS, SELF_TUNED};
use tidegate::simulate::generate::generate;
use tidegate::simulate::limit::limit;
use tidegate::simulate::race::{by_path, by_rule};
use tidegate::simulate::rivals::RIVALS;
use tidegate::simulate::robustness::DISTURBANCES;
use tidegate::simulate::scorecard::figures;

fn course(rates: Vec<f64>, plant: &Plant, seed: u64) -> Course {
    let trace = Trace { name: "test".to_owned(), step: 15.0, rates };
    Course::new(&trace, plant, seed).expect("a course")
}

fn preset(name: &str) -> Plant {
    Plant { capacity: 10.0, ..Plant::preset(name).expect("a preset") }
}

/// The least that any sequence of sizes costs, by trying them all.
fn by_force(course: &Course) -> f64 {
    fn explore(plant: &Running<'_>, course: &Course, cost: f64, best: &mut f64) {
        if plant.step() == course.steps() {
            *best = best.min(cost);
            return;
        }
        for replicas in course.plant.min_replicas..=course.plant.max_replicas {
            let mut tried = plant.clone();
            let moved = tried.ask(replicas);
            if !moved && replicas != plant.asked() {
                continue;
            }
            let moment = tried.advance();
            let late = if moment.is_late { course.late_cost() } else { 0.0 };
            let rescale = if moved { course.plant.rescale_cost } else { 0.0 };
            explore(&tried, course, cost + Course::hours(moment.replicas) + late + rescale, best);
        }
    }
    let mut best = f64::INFINITY;
    for replicas in course.plant.min_replicas..=course.plant.max_replicas {
        explore(&Running::new(course, 0, replicas), course, 0.0, &mut best);
    }
    best
}

fn a_small_plant() -> impl Strategy<Value = Plant> {
    (
        prop::sample::select(vec![0.0, 0.5, 15.0, 20.0, 45.0]),
        prop::sample::select(vec![0.0, 4.0]),
        prop::sample::select(vec![15.0, 30.0, 40.0]),
        prop::sample::select(vec![0.0, 0.005, 0.05]),
        prop::sample::select(vec![0.02, 0.2, 1.0]),
        prop::sample::select(vec![0.0, 0.3]),
        prop::sample::select(vec![0.0, 0.0, 25.0]),
        prop::sample::select(vec![0, 1]),
    )
        .prop_map(|(stop, reread, objective, rescale, violation, noise, warmup, least)| Plant {
            warmup_seconds: warmup,
            min_replicas: least,
            stop_seconds: stop,
            reread_seconds: reread,
            objective_seconds: objective,
            rescale_cost: rescale,
            violation_cost: violation,
            capacity_noise: noise,
            partitions: 0,
            max_replicas: least + 2,
            ..preset("consumer-eager")
        })
}

fn a_plant() -> impl Strategy<Value = Plant> {
    (
        prop::sample::select(PRESETS.to_vec()),
        prop::sample::select(vec![0.0, 0.8]),
        prop::sample::select(vec![0.0, 0.1]),
        prop::sample::select(vec![0.0, 45.0]),
        prop::sample::select(vec![0.0, 0.2]),
        prop::sample::select(vec![0.0, 60.0]),
        prop::sample::select(vec![0, 1]),
    )
        .prop_map(|(name, skew, gap_share, start, capacity_noise, warmup_seconds, min_replicas)| {
            let plant = preset(name);
            let start_seconds = plant.start_seconds.max(start);
            Plant { skew, gap_share, start_seconds, capacity_noise, warmup_seconds, min_replicas, ..plant }
        })
}

fn some_rates(steps: usize) -> impl Strategy<Value = Vec<f64>> {
    // Levels that last a while: noise alone asks for no scaling.
    prop::collection::vec((0.0_f64..200.0, 1_usize..40), 1..20).prop_map(move |levels| {
        let all = levels.into_iter().flat_map(|(rate, length)| vec![rate; length]);
        let mut rates: Vec<f64> = all.take(steps).collect();
        rates.resize(steps, 50.0);
        rates
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_limit_is_what_trying_everything_finds(
        plant in a_small_plant(),
        rates in prop::collection::vec(0.0_f64..35.0, 7),
        seed in 0_u64..100,
    ) {
        let course = course(rates, &plant, seed);
        let found = limit(&course, 0, course.steps(), 0.0);
        let forced = by_force(&course);
        prop_assert!((found.cost - forced).abs() < 1e-9, "{} is not {forced}: {:?}", found.cost, found.path);
        let run = by_path(&course, &found.path, 0);
        let reached = figures(&course, &run, 0, course.steps()).cost_replica_hours;
        prop_assert!((reached - forced).abs() < 1e-9, "the path costs {reached}, not {forced}");
    }

    #[test]
    fn nobody_does_better_than_the_limit(plant in a_plant(), rates in some_rates(160), seed in 0_u64..100) {
        let course = course(rates, &plant, seed);
        let (begin, end) = (60, course.steps());
        let found = limit(&course, begin, end, 0.0);
        let reached = figures(&course, &by_path(&course, &found.path, begin), begin, end);
        let (cost, path) = (reached.cost_replica_hours, &found.path);
        prop_assert!((cost - found.cost).abs() < 1e-9, "{path:?} costs {cost}, not {}", found.cost);
        let ours = by_engine(&course, &default_rules(&course), seed);
        let paid = figures(&course, &ours, begin, end).cost_replica_hours;
        prop_assert!(paid >= found.cost - 1e-9, "the engine paid {paid}, the limit is {}", found.cost);
        for rival in RIVALS {
            for mut candidate in (rival.grid)(&course).into_iter().take(3) {
                let run = by_rule(&course, candidate.rule.as_mut(), seed);
                let paid = figures(&course, &run, begin, end).cost_replica_hours;
                prop_assert!(paid >= found.cost - 1e-9, "{} paid {paid}, the limit is {}", rival.name, found.cost);
            }
        }
    }

    #[test]
    fn nothing_goes_down_in_a_gap(rates in some_rates(160), seed in 0_u64..100) {
        let plant = Plant { gap_share: 0.3, ..preset("consumer-eager") };
        let course = course(rates, &plant, seed);
        let run = by_engine(&course, &default_rules(&course), seed);
        // Which turns are gaps depends on the seed alone.
        let mut sight = Sight::new(&course, seed);
        let mut plant = Running::new(&course, 0, 1);
        for step in 0..course.steps() {
            let is_dark = sight.look(&plant).is_none();
            let lowered = run.moves.iter().any(|moved| moved.step == step && moved.to < moved.from);
            prop_assert!(!(is_dark && lowered), "down at step {step}");
            plant.advance();
        }
    }
}

#[test]
fn buckets_cost_next_to_nothing() {
    let trace = generate(
        "daily:mean=500,swing=300+spike:height=600,every=6h+noise:deviation=0.1",
        "1d".parse().unwrap(),
        5,
    )
    .unwrap();
    for name in PRESETS {
        let course = Course::new(&trace, &Plant::preset(name).unwrap(), 5).unwrap();
        let exact = limit(&course, 0, 2000, 0.0);
        let rounded = limit(&course, 0, 2000, tidegate::simulate::limit::BUCKET);
        let more = rounded.cost / exact.cost;
        assert!((1.0 - 1e-9..1.002).contains(&more), "{name}: {more}");
    }
}

#[test]
fn a_contest_knows_everybody_twice_and_the_engine_once() {
    let trace = generate("daily:mean=500,swing=300", "2h".parse().unwrap(), 3).unwrap();
    let course = Course::new(&trace, &Plant::preset("flink").unwrap(), 3).unwrap();
    let rules = default_rules(&course);
    let contest = Contest {
        course: &course,
        rules: &rules,
        seed: 3,
        judge_from: 0.5,
        rivals: &RIVALS[..2],
        self_tuning: true,
        foresight: true,
        recovery: true,
        robustness: true,
        weights: true,
        plots: true,
    };
    let mut told = Vec::new();
    let outcome = contest.run(|done, all, name| told.push((done, all, name.to_owned())));
    let names: Vec<_> = outcome.policies.iter().map(|one| (one.name.as_str(), one.tuned)).collect();
    let [first, second] = [RIVALS[0].name, RIVALS[1].name];
    let own = [(OURS, false), (SELF_TUNED, true)];
    assert_eq!(names[..2], own);
    assert_eq!(names[2..], [(first, false), (first, true), (second, false), (second, true)]);
    assert!(outcome.policies.iter().all(|one| one.rho >= 1.0 && (0.0..=1.0).contains(&one.kappa)));
    let rhos: Vec<f64> = outcome.limit.foresight.iter().map(|rung| rung.rho).collect();
    assert!(rhos.len() == 3 && rhos.iter().all(|rho| *rho >= 1.0 - 1e-9), "{rhos:?}");
    assert_eq!(told.last().map(|(done, all, _)| done + 1 == *all), Some(true));
    assert_eq!(told[0].2, "clairvoyant optimum");
    for policy in &outcome.policies {
        assert_eq!(policy.robustness.len(), DISTURBANCES.len(), "{}", policy.name);
        let blind = policy.robustness.iter().map(|one| one.lowered_while_blind).sum::<u32>();
        assert!(policy.name != OURS || blind == 0, "the engine went down blind {blind} times");
        assert!(policy.robustness.iter().all(|one| one.rho >= 1.0 - 1e-6), "{:?}", policy.robustness);
        assert!(policy.name != OURS || policy.recovery.recovery_minutes.is_some());
        let weights: Vec<_> =
            policy.weights.iter().map(|one| (one.violation_cost, one.rescale_cost)).collect();
        assert_eq!(weights.len(), 12);
        assert!(policy.weights.iter().all(|one| one.rho >= 1.0 - 1e-6), "{:?}", policy.weights);
        // By the plant's own weights it is the headline.
        let own = policy.weights.iter().find(|one| (one.violation_cost, one.rescale_cost) == (1.0, 0.5));
        assert!((own.unwrap().rho - policy.rho).abs() < 1e-6, "{}", policy.name);
    }
    let least = outcome.limit.unhindered_cost_replica_hours.unwrap();
    assert!(0.0 < least && least < outcome.limit.cost_replica_hours, "{:?}", outcome.limit);
}
