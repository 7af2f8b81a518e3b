//! `tidegate backtest` against the past that a real Prometheus remembers.

use std::process::Command;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::support::place::Tools;
use crate::support::prometheus::Prometheus;
use crate::support::waiting::eventually;
use crate::support::world::Case;

/// A load that a rule makes up second by second comes back as a scorecard, and as the CSV that made it.
pub(super) async fn the_past_of_a_real_server(case: Case) -> Result<()> {
    let rules = "groups:\n- {name: load, rules: [{record: arrivals, expr: '100 + 50 * (timestamp(vector(0)) % 2)'}]}\n";
    let prometheus = Prometheus::start(case.tools(), &case.path("prometheus"), rules).await?;
    let settings = json!({
        "apiVersion": "tidegate.dev/v1alpha1", "kind": "Settings",
        "connections": {"prometheus": {"main": {"url": prometheus.url()}}},
    });
    let policy = json!({
        "apiVersion": "tidegate.dev/v1alpha1", "kind": "ScalingPolicy",
        "metadata": {"name": "orders", "namespace": "shop"},
        "spec": {
            "target": {"scaleTargetRef": {"kind": "Deployment", "name": "orders"}},
            "sources": [
                {"prometheus": {"server": "main", "query": "arrivals", "means": "arrivalRate"}},
                {"prometheus": {"server": "main", "query": "arrivals", "means": "backlog"}},
            ],
            "objective": {"maxLag": "60s"}, "maxReplicas": 6,
            "capacityPerReplica": 50,
        },
    });
    let (settings_file, policy_file) = (case.path("settings.yaml"), case.path("policy.yaml"));
    std::fs::write(&settings_file, settings.to_string())?;
    std::fs::write(&policy_file, policy.to_string())?;
    let report = eventually("the server remembers thirty seconds", || async {
        let mut command = Command::new(Tools::tidegate());
        command.arg("backtest").arg(&policy_file).arg("--settings").arg(&settings_file);
        command.args(["--since", "2m", "--step", "1s", "--quick", "--rivals", "hpa-cpu", "--format", "json"]);
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let seconds = report.pointer("/trace/seconds").and_then(Value::as_f64);
        Ok(seconds.filter(|seconds| *seconds >= 30.0).map(|_| report))
    })
    .await?;
    let figure = |pointer: &str| report.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN);
    let (mean, peak) = (figure("/trace/mean_events_per_second"), figure("/trace/peak_events_per_second"));
    // The rule's rates lie from 100 to 200, whenever it was evaluated.
    ensure!((100.0..=200.0).contains(&mean) && (mean..=200.0).contains(&peak), "mean {mean}, peak {peak}");
    ensure!(report.pointer("/plant/max_replicas") == Some(&json!(6)), "{report}");
    let policies = report.pointer("/policies").and_then(Value::as_array).map_or(0, Vec::len);
    ensure!(policies == 4, "{policies} policies: ours and hpa-cpu, as they come and tuned");
    case.figure(&format!("{:.0} s of past, rho {:.2}", figure("/trace/seconds"), figure("/policies/0/rho")));
    Ok(())
}
