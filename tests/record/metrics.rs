//! What Prometheus sees.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use tidegate::engine::schedule::Scheduled;
use tidegate::policy::notches::SelfTuning;
use tidegate::policy::schedule::Window;
use tidegate::policy::{Mode, Replicas};
use tidegate::record::board::{AcceptedPolicy, Board, ConnectionStatus, PolicyReport};
use tidegate::record::metrics::Metrics;
use tidegate::record::{Recorder, Turn};

use super::turn;

/// Metrics with a series in every family.
fn busy() -> Metrics {
    let metrics = Metrics::new();
    let recorder = Recorder::new(Board::new(Timestamp::UNIX_EPOCH), metrics.clone());
    recorder.record(&scheduled());
    recorder.connections(vec![ConnectionStatus {
        kind: "kafka".into(),
        name: "main".into(),
        healthy: Some(true),
        problem: None,
    }]);
    metrics.swept("kafka", "main", 1, 7, Duration::from_millis(250));
    metrics.turn_took(Duration::from_millis(2));
    metrics
}

/// A turn while a schedule holds, under self-tuning, of a target with rungs.
fn scheduled() -> Turn {
    let mut scheduled = turn("orders");
    let window = Window {
        schedule: "office-hours".to_owned(),
        min_replicas: Replicas(6),
        from: scheduled.at,
        until: scheduled.at,
        time_zone: "UTC".parse().unwrap(),
    };
    scheduled.rules.tuning = SelfTuning::Auto;
    scheduled.rung = Some("rung workers: replicas of the StatefulSet spark-worker".to_owned());
    scheduled.decision.schedule = Some(Scheduled { holds: Some(window), next: None });
    scheduled
}

#[derive(Debug, Default)]
struct Shape {
    kind: String,
    help: String,
    labels: BTreeSet<String>,
    samples: usize,
}

/// Families by their full name, as a query would spell it.
fn families(text: &str) -> BTreeMap<String, Shape> {
    let mut families: BTreeMap<String, Shape> = BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            families.entry(name.into()).or_default().help = help.trim_end_matches('.').into();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            families.entry(name.into()).or_default().kind = kind.into();
        } else if !line.starts_with('#') {
            let (series, _) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let candidates = families.iter_mut().filter(|(family, _)| name.starts_with(family.as_str()));
            let family = candidates.max_by_key(|(family, _)| family.len()).expect(line).1;
            family.samples += 1;
            for label in labels.trim_end_matches('}').split(',').filter_map(|pair| pair.split_once('=')) {
                family.labels.insert(label.0.to_owned());
            }
        }
    }
    families.into_iter().map(|(name, shape)| (format!("{name}{}", suffix(&shape.kind)), shape)).collect()
}

fn suffix(kind: &str) -> &'static str {
    match kind {
        "counter" => "_total",
        "info" => "_info",
        _ => "",
    }
}

#[test]
fn the_documentation_lists_exactly_the_families_there_are() {
    let families = families(&busy().text().unwrap());
    let row = |(name, shape): (&String, &Shape)| {
        let labels = shape.labels.iter().filter(|label| *label != "le").map(|label| format!("`{label}`"));
        let labels: Vec<_> = labels.collect();
        format!("| `{name}` | {} | {} | {} |", shape.kind, labels.join(", "), shape.help)
    };
    let expected: Vec<_> = families.iter().map(row).collect();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
    let documentation = std::fs::read_to_string(file).unwrap();
    let is_row = |line: &&str| line.starts_with("| `");
    let rows: Vec<_> = documentation.lines().filter(is_row).collect();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(file, documentation.replace(&rows.join("\n"), &expected.join("\n"))).unwrap();
    } else {
        assert!(rows == expected, "docs/metrics.md differs: `make golden` writes its table");
    }
    for (name, shape) in &families {
        assert!(shape.samples > 0, "{name} has no sample to take its labels from");
    }
}

#[test]
fn labels_are_names_from_configuration_and_closed_sets() {
    let families = families(&busy().text().unwrap());
    let labels: BTreeSet<_> = families.values().flat_map(|shape| shape.labels.clone()).collect();
    let allowed = [
        "bound",
        "connection",
        "direction",
        "kind",
        "knob",
        "le",
        "name",
        "namespace",
        "outcome",
        "quality",
        "reason",
        "rung",
        "stage",
        "state",
        "verdict",
        "version",
    ];
    assert_eq!(labels.iter().map(String::as_str).collect::<Vec<_>>(), allowed);
}

#[test]
fn more_partitions_do_not_make_more_series_and_a_workload_has_at_most_sixty_eight() {
    let count = |metrics: &Metrics| {
        metrics.text().unwrap().lines().filter(|line| line.contains("namespace=")).count()
    };
    let few = busy();
    let many = Metrics::new();
    let recorder = Recorder::new(Board::new(Timestamp::UNIX_EPOCH), many.clone());
    let mut wide = scheduled();
    let tidegate::engine::observation::SourceReading::Backlog(backlog) = &mut wide.observation.sources[0]
    else {
        panic!("the recorded turn has a backlog")
    };
    let one = backlog.partitions[0].clone();
    backlog.partitions.extend((2..2000).map(|partition| {
        let mut more = one.clone();
        more.partition = partition;
        more.topic = format!("topic-{partition}");
        more
    }));
    recorder.record(&wide);
    assert_eq!(count(&many), count(&few));
    assert!(count(&few) <= 68, "{} series", count(&few));
    assert!(!many.text().unwrap().contains("topic"));
}

#[test]
fn values_are_exact_and_unknown_has_no_series() {
    let metrics = Metrics::new();
    let recorder = Recorder::new(Board::new(Timestamp::UNIX_EPOCH), metrics.clone());
    let mut blind = turn("orders");
    blind.decision.estimate.backlog = None;
    recorder.record(&blind);
    let text = metrics.text().unwrap();
    assert!(!text.contains("tidegate_backlog_records{"));
    for line in [
        r#"tidegate_current_replicas{namespace="shop",name="orders"} 2.0"#,
        r#"tidegate_needed_replicas{namespace="shop",name="orders"} 6.0"#,
        r#"tidegate_desired_replicas{namespace="shop",name="orders"} 4.0"#,
        r#"tidegate_decisions_total{namespace="shop",name="orders",reason="LoadNeedsMore",verdict="raise"} 1.0"#,
        r#"tidegate_writes_total{namespace="shop",name="orders",outcome="Applied"} 1.0"#,
        r#"tidegate_stage_changes_total{namespace="shop",name="orders",stage="damp"} 1.0"#,
        r#"tidegate_signal_quality{namespace="shop",name="orders",kind="kafkaLag",quality="partial"} 1.0"#,
        r#"tidegate_signal_age_seconds{namespace="shop",name="orders",kind="kafkaLag"} 2.0"#,
        r#"tidegate_last_turn_timestamp_seconds{namespace="shop",name="orders"} 1772366400.0"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn a_workload_without_policy_has_no_series_and_a_late_turn_does_not_bring_it_back() {
    let metrics = Metrics::new();
    let recorder = Recorder::new(Board::new(Timestamp::UNIX_EPOCH), metrics.clone());
    let policy = AcceptedPolicy {
        id: turn("orders").workload,
        origin: "policies.yaml".into(),
        target: "Deployment/orders".into(),
        mode: Mode::Apply,
        last_good: false,
    };
    recorder.policies(PolicyReport { accepted: vec![policy], rejected: vec![] });
    recorder.record(&turn("orders"));
    assert!(metrics.text().unwrap().contains("name=\"orders\""));
    assert!(metrics.text().unwrap().contains("tidegate_policies{state=\"accepted\"} 1\n"));
    recorder.policies(PolicyReport::default());
    recorder.record(&turn("orders"));
    assert!(!metrics.text().unwrap().contains("name=\"orders\""));
    assert!(metrics.text().unwrap().contains("tidegate_policies{state=\"accepted\"} 0\n"));
}
