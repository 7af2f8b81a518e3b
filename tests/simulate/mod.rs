//! `tidegate simulate`: the limit is one, the same seed gives the same bytes, and the contract is kept.

use std::process::{Command, Output};

use proptest::prelude::*;
use tidegate::simulate::contest::{Contest, OURS};
use tidegate::simulate::course::Course;
use tidegate::simulate::generate::generate;
use tidegate::simulate::limit::limit;
use tidegate::simulate::plant::{PRESETS, Plant};
use tidegate::simulate::race::{by_engine, by_path, by_rule, default_rules};
use tidegate::simulate::rivals::RIVALS;
use tidegate::simulate::robustness::DISTURBANCES;
use tidegate::simulate::running::Running;
use tidegate::simulate::scorecard::figures;
use tidegate::simulate::sight::Sight;
use tidegate::simulate::trace::Trace;

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
    )
        .prop_map(|(stop, reread, objective, rescale, violation, noise)| Plant {
            stop_seconds: stop,
            reread_seconds: reread,
            objective_seconds: objective,
            rescale_cost: rescale,
            violation_cost: violation,
            capacity_noise: noise,
            partitions: 0,
            max_replicas: 3,
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
    )
        .prop_map(|(name, skew, gap_share, start, capacity_noise)| {
            let plant = preset(name);
            let start_seconds = plant.start_seconds.max(start);
            Plant { skew, gap_share, start_seconds, capacity_noise, ..plant }
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
        prop_assert!(reached.cost_replica_hours >= found.cost - 1e-9);
        if course.start_steps == 0 {
            prop_assert!((reached.cost_replica_hours - found.cost).abs() < 1e-9);
        }
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
    let trace = generate("daily:mean=500,swing=300", "6h".parse().unwrap(), 3).unwrap();
    let course = Course::new(&trace, &Plant::preset("flink").unwrap(), 3).unwrap();
    let rules = default_rules(&course);
    let contest = Contest {
        course: &course,
        rules: &rules,
        seed: 3,
        judge_from: 0.5,
        rivals: &RIVALS[..2],
        foresight: true,
        robustness: true,
        plots: true,
    };
    let mut told = Vec::new();
    let outcome = contest.run(|done, all, name| told.push((done, all, name.to_owned())));
    let names: Vec<_> = outcome.policies.iter().map(|one| (one.name.as_str(), one.tuned)).collect();
    let [first, second] = [RIVALS[0].name, RIVALS[1].name];
    assert_eq!(names, [(OURS, false), (first, false), (first, true), (second, false), (second, true)]);
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
        let (outage, rest) = policy.robustness.split_last().unwrap();
        assert!(rest.iter().all(|one| one.recovery_minutes.is_none()));
        assert_eq!(outage.disturbance, "outage of 30 min");
    }
}

fn simulate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .arg("simulate")
        .args(arguments)
        .output()
        .expect("the binary runs")
}

const SHORT: [&str; 4] = ["--generate", "daily:mean=500,swing=300+noise", "--length", "4h"];

#[test]
fn the_json_keeps_its_contract() {
    let output =
        simulate(&[&SHORT[..], &["--rivals", "keda-lag", "--format", "json", "--seed", "9"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "no progress off a terminal");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let keys = |value: &serde_json::Value| {
        let mut keys: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
        keys.sort();
        keys
    };
    assert_eq!(keys(&report), ["limit", "plant", "policies", "seed", "trace"]);
    assert_eq!(report["seed"], 9);
    assert_eq!(report["plant"]["name"], "consumer-eager");
    assert!(report["limit"]["cost_replica_hours"].as_f64().unwrap() > 0.0);
    let policies = report["policies"].as_array().unwrap();
    assert_eq!(policies.len(), 3);
    assert_eq!((&policies[0]["name"], &policies[2]["tuned"]), (&"tidegate".into(), &true.into()));
    for policy in policies {
        assert_eq!(
            keys(policy),
            [
                "cost_replica_hours",
                "deviation_percent",
                "instability_percent",
                "kappa",
                "lowered_while_blind",
                "mean_replicas",
                "name",
                "over_provisioned_percent",
                "over_time_percent",
                "p99_age_seconds",
                "peak_replicas",
                "recovery_minutes",
                "replica_hours",
                "replica_hours_ratio",
                "rescales",
                "rescales_per_day",
                "rescales_ratio",
                "reversals",
                "reversals_per_day",
                "rho",
                "robustness",
                "setting",
                "stopped_seconds",
                "stopped_share",
                "tuned",
                "under_provisioned_percent",
                "under_time_percent",
                "violation_minutes",
                "violation_share",
                "wasted_rescale_share",
                "wasted_rescales",
                "worst_age_seconds",
            ]
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let run = |seed: &str| {
        let set = ["--set", "capacity_noise=0.1", "--set", "gap_share=0.05"];
        let rest = ["--rivals", "hpa-cpu", "--format", "json", "--seed", seed];
        simulate(&[&SHORT[..], &set, &rest].concat()).stdout
    };
    let (one, two, other) = (run("4"), run("4"), run("5"));
    assert!(!one.is_empty());
    assert_eq!(one, two);
    assert_ne!(one, other);
}

#[test]
fn a_policy_gives_bounds_and_objective() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("policy.yaml");
    std::fs::write(
        &file,
        "apiVersion: tidegate.dev/v1alpha1\nkind: ScalingPolicy\nmetadata: {name: orders}\nspec:\n  \
         target: {scaleTargetRef: {kind: Deployment, name: orders}}\n  sources:\n    - kafkaLag: {cluster: main, group: orders}\n  \
         objective: {maxLag: 90s}\n  minReplicas: 2\n  maxReplicas: 6\n",
    )
    .unwrap();
    let policy = file.to_str().unwrap();
    let output =
        simulate(&[&SHORT[..], &["--rivals", "none", "--format", "json", "--policy", policy]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["plant"]["min_replicas"], 2);
    assert_eq!(report["plant"]["max_replicas"], 6);
    assert_eq!(report["plant"]["objective_seconds"], 90.0);
    assert_eq!(report["policies"].as_array().unwrap().len(), 1);
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("trace.csv");
    std::fs::write(&file, "t_seconds,events_per_second\n0,1\n15,x\n").unwrap();
    let path = file.to_str().unwrap();
    let said = |arguments: &[&str]| {
        let output = simulate(arguments);
        assert!(!output.status.success() && output.stdout.is_empty());
        String::from_utf8(output.stderr).unwrap()
    };
    assert_eq!(said(&["--trace", path]), format!("error: {path}:3: `x` is no rate\n"));
    assert!(said(&["--generate", "wave"]).contains("no such shape"));
    assert!(said(&[]).contains("--trace"));
    assert!(said(&[&SHORT[..], &["--rivals", "nobody"]].concat()).contains("expected all, none, or some of"));
    assert!(said(&[&SHORT[..], &["--judge-from", "1"]].concat()).contains("below 1"));
}

#[test]
fn tables_are_for_people_and_pull_requests() {
    let text = |format: &str| {
        let output = simulate(&[&SHORT[..], &["--rivals", "static-peak", "--format", format]].concat());
        String::from_utf8(output.stdout).unwrap()
    };
    let table = text("table");
    assert!(table.contains("The optimum, had all been known"), "{table}");
    assert!(table.lines().any(|line| line.starts_with("POLICY")), "{table}");
    assert!(table.contains("static-peak tuned: peak at"), "{table}");
    let markdown = text("markdown");
    let html = text("html");
    assert!(html.starts_with("<!DOCTYPE html>") && html.matches("<svg").count() == 5, "{html}");
    assert!(!html.contains("<script") && !html.contains("src=") && !html.contains("href="), "loads nothing");
    assert_eq!(markdown.lines().filter(|line| line.starts_with('|')).count(), 2 + 3, "{markdown}");
}
