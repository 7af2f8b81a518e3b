//! The command: its contract, its bytes, its complaints.

use std::process::{Command, Output};

pub(super) fn simulate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .arg("simulate")
        .args(arguments)
        .output()
        .expect("the binary runs")
}

const SHORT: [&str; 5] = ["--generate", "daily:mean=500,swing=300+noise", "--length", "4h", "--quick"];

fn keys(value: &serde_json::Value) -> Vec<String> {
    let mut keys: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
    keys.sort();
    keys
}

#[test]
fn the_json_keeps_its_contract() {
    let output = simulate(
        &[&SHORT[..2], &["--length", "1h", "--rivals", "keda-lag", "--format", "json", "--seed", "9"]]
            .concat(),
    );
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "no progress off a terminal");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(keys(&report), ["limit", "plant", "policies", "seed", "trace"]);
    assert_eq!(report["seed"], 9);
    assert_eq!(report["plant"]["name"], "consumer-eager");
    assert!(report["limit"]["cost_replica_hours"].as_f64().unwrap() > 0.0);
    assert_eq!(
        keys(&report["limit"]),
        [
            "achieved_cost_replica_hours",
            "cost_replica_hours",
            "foresight",
            "replica_hours",
            "rescales",
            "unhindered_cost_replica_hours",
            "violation_minutes",
            "weights",
            "work_bound_replica_hours",
        ]
    );
    let horizons: Vec<f64> = report["limit"]["foresight"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rung| rung["horizon_seconds"].as_f64().unwrap())
        .collect();
    assert_eq!(horizons, [300.0, 900.0, 3600.0]);
    let policies = report["policies"].as_array().unwrap();
    assert_eq!(policies.len(), 4);
    assert_eq!((&policies[0]["name"], &policies[3]["tuned"]), (&"tidegate".into(), &true.into()));
    assert_eq!((&policies[1]["name"], &policies[1]["tuned"]), (&"tidegate-tuned".into(), &true.into()));
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
                "recovery_decisions",
                "recovery_first_decision_off_replicas",
                "recovery_minutes",
                "recovery_overshoot_replicas",
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
                "weights",
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
    assert_eq!(
        said(&["--trace", path]),
        format!(
            "error: {path}:3: `x` is no rate: a rate that is not known has to be filled in, with that before \
             it for example\n"
        )
    );
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

#[test]
fn a_plant_is_a_yaml_file_and_its_mistakes_have_places() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ours.yaml");
    let path = file.to_str().unwrap();
    let run = || {
        simulate(
            &[&SHORT[..], &["--rivals", "none", "--format", "json", "--plant", path, "--set", "skew=0.5"]]
                .concat(),
        )
    };
    std::fs::write(&file, "preset: flink\nstop_seconds: 22\nstart_seconds: 45s\nmin_replicas: 0\n").unwrap();
    let output = run();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let plant = &report["plant"];
    assert_eq!((&plant["name"], &plant["objective_seconds"]), (&"ours".into(), &120.0.into()));
    assert_eq!((&plant["stop_seconds"], &plant["start_seconds"]), (&22.0.into(), &45.0.into()));
    assert_eq!((&plant["min_replicas"], &plant["skew"]), (&0.into(), &0.5.into()));
    std::fs::write(&file, "preset: flink\nstop_second: 22\n").unwrap();
    let said = String::from_utf8(run().stderr).unwrap();
    assert!(said.contains("ours.yaml:2:1: a plant has no figure `stop_second`"), "{said}");
    assert!(said.contains("did you mean `stop_seconds`?"), "{said}");
}
