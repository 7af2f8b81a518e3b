//! What a reader of our errors gets to see.

use proptest::prelude::*;
use tidegate::policy::document::PolicyDocument;
use tidegate::policy::preset::{Knobs, Preset};
use tidegate::policy::problem::Problem;
use tidegate::policy::read::{read_policies, read_settings};
use tidegate::policy::rules::Objective;
use tidegate::policy::{Replicas, TimeSpan};

use super::INTERVAL;

fn problems_of(text: &str, home: Option<&str>) -> Vec<Problem> {
    let parsed = read_policies("orders.yaml", text, home, INTERVAL);
    parsed.into_iter().filter_map(|document| document.result.err()).flatten().collect()
}

fn shown(problems: &[Problem]) -> String {
    let shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
    shown.join("\n") + "\n"
}

/// `GOOD` with one line replaced.
fn with(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from));
    GOOD.replace(from, to)
}

const GOOD: &str = "\
apiVersion: tidegate.dev/v1alpha1
kind: ScalingPolicy
metadata: {name: orders, namespace: shop}
spec:
  target:
    scaleTargetRef: {kind: Deployment, name: orders}
  sources:
    - kafkaLag: {cluster: main, group: orders, topics: [orders]}
  objective:
    maxLag: 60s
  minReplicas: 2
  maxReplicas: 24
";

#[test]
fn five_lines_of_intent_are_enough() {
    let parsed = read_policies("orders.yaml", GOOD, None, INTERVAL);
    assert_eq!(parsed.len(), 1);
    let policy = parsed[0].result.as_ref().unwrap();
    assert_eq!(policy.id.to_string(), "shop/orders");
    assert_eq!((policy.rules.min_replicas, policy.rules.max_replicas), (Replicas(2), Replicas(24)));
    let (max_lag, catch_up) = (TimeSpan::from_secs(60), TimeSpan::from_secs(300));
    assert_eq!(policy.rules.objective, Objective::MaxLag { max_lag, catch_up });
    assert_eq!(policy.rules.interval, INTERVAL);
}

#[test]
fn three_slips_are_three_errors_with_their_cures() {
    let text = with("maxReplicas", "maxReplica").replace("60s", "60").replace("clus", "clsu");
    insta::assert_snapshot!(shown(&problems_of(&text, None)));
}

#[test]
fn a_rich_broken_document() {
    let text = r#"# Everything that a hurried person may get wrong.
apiVersion: tidegate.dev/v1
kind: ScalingPolicy
metadata:
  name: Orders_Consumer
spec:
  mode: apply
  paused: yes
  target:
    scaleTarget: {kind: Deployment, nmae: orders}
  sources:
    - kafka: {bootstrapServers: [kafka:9092], consumerGroup: orders, topic: orders}
    - prometheus:
        server: main
        query: sum(rate(orders_total[1m]))
        means: rate
    - prometheus: {server: main}
      weight: 2
  objective: {maxLag: 1 minute, lagPerReplica: 0}
  minReplicas: "2"
  maxReplicas: -1
  cooldownPeriod: 300
  pollingInterval: 30
  behavior:
    scaleDown:
      stabilizationWindowSeconds: 7200
      selectPolicy: Median
      policies: [{type: Pod, value: 1, periodSeconds: 2000}]
      tolerance: 10
  budget:
  fallback: {replicas: 3.5}
  capacityPerReplica: 0
  partitions: [even]
"#;
    insta::assert_snapshot!(shown(&problems_of(text, None)));
}

#[test]
fn rules_between_fields_are_checked_beside_misspelt_ones() {
    let text = with("minReplicas: 2", "minReplica: 30").replace("60s", "60s, lagPerReplica: 5").replace(
        "  objective:\n    maxLag: 60s, lagPerReplica: 5\n",
        "  objective: {maxLag: 60s, lagPerReplica: 5}\n  fallback: {afterSeconds: 60, replicas: 25}\n",
    );
    insta::assert_snapshot!(shown(&problems_of(&text, None)));
}

#[test]
fn a_policy_lives_in_its_configmaps_namespace() {
    let parsed = read_policies("cm", &with(", namespace: shop", ""), Some("shop"), INTERVAL);
    assert_eq!(parsed[0].result.as_ref().unwrap().id.to_string(), "shop/orders");

    let parsed = read_policies("cm", GOOD, Some("other"), INTERVAL);
    assert_eq!(parsed[0].id.as_ref().unwrap().to_string(), "other/orders", "whatever it claims");
    insta::assert_snapshot!(shown(&problems_of(GOOD, Some("other"))));
    insta::assert_snapshot!(shown(&problems_of(&with(", namespace: shop", ""), None)));
}

#[test]
fn a_document_that_does_not_parse_leaves_its_neighbours_alone() {
    let broken = with("maxLag: 60s", "maxLag: [60s");
    let text = format!(
        "# only a comment\n---\n{GOOD}---\n{broken}...\n---\n\n---\n{}",
        with("orders}\n  so", "payments}\n  so")
    );
    let parsed = read_policies("orders.yaml", &text, None, INTERVAL);
    let lines: Vec<_> =
        parsed.iter().map(|each| (each.line, each.result.is_ok(), each.id.is_some())).collect();
    assert_eq!(lines, [(2, true, true), (15, false, false), (31, true, true)]);
    let problems = parsed[1].result.as_ref().unwrap_err();
    assert_eq!(problems.len(), 1);
    insta::assert_snapshot!(problems[0].to_string());
}

#[test]
fn json_is_yaml() {
    let text = r#"{"apiVersion": "tidegate.dev/v1alpha1", "kind": "ScalingPolicy",
        "metadata": {"name": "orders", "namespace": "shop"},
        "spec": {"target": {"scaledObject": {"name": "orders"}}, "objective": {"lagPerReplica": 100},
                 "sources": [{"kafkaLag": {"cluster": "main", "group": "orders"}}], "maxReplicas": 4}}"#;
    let parsed = read_policies("orders.json", text, None, INTERVAL);
    assert_eq!(parsed[0].result.as_ref().unwrap().rules.objective, Objective::LagPerReplica { records: 100 });
}

#[test]
fn empty_documents_are_none() {
    for text in ["", "\n", "---\n---\n# comment\n...\n", "\u{feff}# bom\n", "%YAML 1.2\n---\n"] {
        assert!(read_policies("f", text, None, INTERVAL).is_empty(), "{text:?}");
    }
}

#[test]
fn one_fault_one_message() {
    let cases = [
        with("kind: ScalingPolicy", "kind: ScaledObject"),
        with("kind: ScalingPolicy", "kind: ScalingPolcy"),
        with("group: orders", "group: 7"),
        with("group: orders, ", ""),
        with("[orders]", "orders"),
        with("[orders]", "[a b]"),
        with("kind: Deployment, name: orders", "kind: Deployment, name: Orders"),
        with("minReplicas: 2", "minReplicas: 2\n  minReplicas: 3"),
        with("minReplicas: 2", "minReplicas: 5000000000"),
        with("minReplicas: 2", "minReplicas:"),
        with("minReplicas: 2", "partitions: even"),
        with("maxLag: 60s", "maxLag: 60s\n    catchUp: 0s"),
        with("maxLag: 60s", "catchUp: 60s"),
        with("maxLag: 60s", "lagPerReplica: 5\n    catchUp: 60s"),
        with("    - kafka", "    - kafkaLag: {cluster: main, group: orders}\n    - kafka"),
        "- just\n- a list\n".to_owned(),
        "just text".to_owned(),
        "a: \"unterminated\n".to_owned(),
        "a: *unknown\n".to_owned(),
    ];
    let report: String = cases
        .iter()
        .map(|text| {
            let problems = problems_of(text, None);
            assert!(!problems.is_empty(), "{text}");
            shown(&problems) + "\n"
        })
        .collect();
    insta::assert_snapshot!(report);
}

#[test]
fn settings_with_every_kind_of_fault() {
    let text = r#"
apiVersion: tidegate.dev/v1alpha1
kind: Settings
interval: 0s
watchNamespaces: ["*", Shop]
connections:
  kafka:
    main:
      bootstrapServers: [kafka, "sasl://kafka:9093"]
      namespaces: [shop]
      tls: {certificateFile: /tls/tls.crt}
      sasl: {mechanism: SCRAM-SHA-265, passwordFile: /sasl/password}
  prometheus:
    main: {url: "http://admin:admin@prometheus:9090"}
web: {listen: localhost}
journal: {stdout: {}}
memory: {shards: 0, namespace: Tidegate}
limits: {kafkaConcurrency: 0, sourceTimeout: 10ms}
policyPath: /policies
"#;
    let problems = read_settings("settings.yaml", text).unwrap_err();
    insta::assert_snapshot!(shown(&problems));
}

#[test]
fn no_message_repeats_a_secret() {
    let text = r#"
apiVersion: tidegate.dev/v1alpha1
kind: Settings
connections:
  kafka:
    main:
      bootstrapServers: ["sasl://user:hunter2@kafka:9093"]
      sasl: {mechanism: PLAIN, username: me, password: hunter2}
  prometheus:
    main: {url: "http://admin:hunter2@prometheus:9090"}
    other: {url: "http://prometheus", bearerToken: [hunter2]}
"#;
    let problems = read_settings("settings.yaml", text).unwrap_err();
    assert!(!serde_json::to_string(&problems).unwrap().contains("hunter2"), "{problems:#?}");
    insta::assert_snapshot!(shown(&problems));
}

#[test]
fn prometheus_gets_a_token_or_a_password() {
    let text = |login: &str| {
        format!(
            "apiVersion: tidegate.dev/v1alpha1\nkind: Settings\nconnections:\n  prometheus:\n    main:\n      \
             url: https://prometheus:9090\n{login}"
        )
    };
    let token = "      bearerTokenFile: /token\n";
    let basic = "      basicAuth: {usernameFile: /user, passwordFile: /password}\n";
    assert!(read_settings("s", &text(token)).is_ok());
    assert!(read_settings("s", &text(basic)).is_ok());
    let problems = shown(&read_settings("s", &text(&format!("{token}{basic}"))).unwrap_err());
    assert!(problems.contains("expected one of the two") && problems.contains("s:7:"), "{problems}");
}

#[test]
fn settings_are_one_document() {
    let one = "apiVersion: tidegate.dev/v1alpha1\nkind: Settings\n";
    assert!(read_settings("s", one).is_ok());
    let problems = read_settings("s", &format!("{one}---\n{one}")).unwrap_err();
    assert_eq!((problems.len(), problems[0].line), (1, 3));
    assert!(read_settings("s", "").unwrap_err()[0].message.starts_with("no document"));
}

#[test]
fn hostile_documents_cost_no_more_than_their_size() {
    let bomb: String = (1..9).fold("a0: &a0 [x, x, x, x, x, x, x, x]\n".to_owned(), |text, level| {
        let aliases = vec![format!("*a{}", level - 1); 8].join(", ");
        format!("{text}a{level}: &a{level} [{aliases}]\n")
    });
    let many: Vec<String> = (0..20_000).map(|key| format!("k{key}:")).collect();
    let many = with("spec:", &many.join("\n"));
    let topics = with("[orders]", &format!("[{}]", vec!["t"; 20_000].join(",")));
    let long = with("60s", &"x".repeat(500_000));
    for (text, expected) in [
        (bomb, "not valid YAML: YAML document too large or too complex"),
        (many, "unknown field `k0` in the document"),
        (topics, "a list is too long"),
        (long, "this text is no duration"),
        ("[".repeat(100_000), "not valid YAML: recursion limit exceeded"),
    ] {
        let problems = problems_of(&text, None);
        assert!(
            problems.iter().any(|each| each.message.starts_with(expected)),
            "{expected}: {:?}",
            problems[0]
        );
        assert!(problems.len() < 120 && shown(&problems).len() < 100_000, "{expected}");
    }
}

fn fragments() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "---\n",
        "...\n",
        "spec:",
        "  ",
        "\n",
        "- ",
        "{",
        "}",
        "[",
        "]",
        ": ",
        "&a ",
        "*a",
        "<<",
        "\"",
        "'",
        "|\n",
        "maxReplicas",
        "minReplicas: 2",
        "objective",
        "maxLag: ",
        "60s",
        "99999999999999999999",
        "-1",
        "~",
        "é",
        "\t",
        "kafkaLag",
        "sources:\n",
        "target:",
        "metadata:",
        "name: x",
        "? ",
        "!!int ",
        "# c",
        "\u{feff}",
        "%YAML",
        "\r\n",
        "0x1F",
        ".nan",
    ]);
    prop::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.concat())
}

/// `GOOD` with one line cut, doubled, or with some of its text replaced.
fn mutations() -> impl Strategy<Value = String> {
    (0..GOOD.len(), 0..GOOD.len(), fragments()).prop_map(|(a, b, piece)| {
        let (from, to) = (a.min(b), a.max(b).min(a.min(b) + 12));
        format!("{}{piece}{}", &GOOD[..from], &GOOD[to..])
    })
}

proptest! {
    #[test]
    fn reading_never_panics_and_points_into_the_text(
        text in prop_oneof![any::<String>(), fragments(), mutations()]
    ) {
        for problem in problems_of(&text, Some("shop")) {
            let lines = text.split_inclusive('\n').count().max(1);
            prop_assert!(problem.line >= 1 && problem.line <= lines + 1, "{problem}");
            prop_assert!(problem.column >= 1 && !problem.to_string().is_empty());
        }
        if let Err(problems) = read_settings("settings.yaml", &text) {
            prop_assert!(!problems.is_empty());
        }
    }

    #[test]
    fn what_is_read_is_what_is_written(text in mutations()) {
        // Mending is for messages only: without a fault, a document means what serde alone makes of it.
        for parsed in read_policies("orders.yaml", &text, Some("shop"), INTERVAL) {
            if let Ok(policy) = parsed.result {
                let document: PolicyDocument = serde_saphyr::from_str(&text).unwrap();
                prop_assert_eq!(document.metadata.name, policy.id.name);
                prop_assert_eq!(document.spec.sources, policy.sources);
                prop_assert_eq!(document.spec.target, policy.target);
                prop_assert_eq!(document.spec.max_replicas, policy.rules.max_replicas);
                prop_assert_eq!(document.spec.min_replicas, policy.rules.min_replicas);
            }
        }
    }
}

#[test]
fn what_could_never_scale_is_refused() {
    let metric = |means: &str| format!("    - prometheus: {{server: main, query: q, means: {means}}}\n");
    let by = |metrics: &[&str], more: &str| {
        let sources: String = metrics.iter().map(|means| metric(means)).collect();
        let start = GOOD.find("    - kafkaLag").unwrap();
        let end = start + GOOD[start..].find("  objective").unwrap();
        format!("{}{sources}{}{more}", &GOOD[..start], &GOOD[end..])
    };
    let hpa = "horizontalPodAutoscaler: {name: orders}";
    let for_hpa = with("scaleTargetRef: {kind: Deployment, name: orders}", hpa);
    assert_ne!(for_hpa, GOOD);
    let cases = [
        by(&["backlog"], ""),
        by(&["backlog", "arrivalRate"], ""),
        by(&["busyShare", "arrivalRate"], ""),
        by(&["backlogAge", "demand"], "").replace("minReplicas: 2", "minReplicas: 0"),
        by(&["backlog", "arrivalRate"], "  capacityPerReplica: 20\n"),
        by(&["demand"], ""),
        for_hpa.replace("minReplicas: 2", "minReplicas: 0"),
        for_hpa,
    ];
    let report: String = cases.iter().map(|text| shown(&problems_of(text, None)) + "--\n").collect();
    insta::assert_snapshot!(report);
}

#[test]
fn a_schedule_says_when_until_when_and_where() {
    let lines = |schedules: &str| format!("{GOOD}  schedules:\n{schedules}");
    let good = lines(
        "    - {name: day, timeZone: Europe/Berlin, start: 0 8 * * 1-5, end: 0 18 * * *, minReplicas: 6}\n\
         \x20   - {name: night, timeZone: UTC, start: 0 22 * * *, duration: 8h, minReplicas: 3}\n",
    );
    let rules = read_policies("orders.yaml", &good, None, INTERVAL).remove(0).result.unwrap().rules;
    let names: Vec<&str> = rules.schedules.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["day", "night"]);

    let faulty = lines(
        "    - {name: Day, timezone: Berlin, start: 0 0 8 * * *, end: 0 18 * * *, minReplicas: 0}\n\
         \x20   - {name: a, timeZone: UTC, cron: 0 8 * * *, durationSeconds: 60, desiredReplicas: 5}\n\
         \x20   - {name: b, timeZone: UTC, start: 0 8 * * *, end: 0 8 * * *, minReplicas: 5}\n\
         \x20   - {name: b, timeZone: UTC, start: 0 8 30 2 *, duration: 1h, minReplicas: 50}\n\
         \x20   - {name: c, timeZone: UTC, start: 0 8 * * *, end: 0 9 * * *, duration: 1h, minReplicas: 5}\n\
         \x20   - {name: d, timeZone: UTC, start: 0 8 * * *, minReplicas: 5}\n\
         \x20   - {name: e, timeZone: UTC, start: 0 8 * * *, duration: 0s, minReplicas: 5}\n\
         \x20   - {name: f, timeZone: Europe/Berlim, start: at dawn, end: 0 8 31 4 *, minReplicas: 5}\n\
         \x20   - {name: g, timeZone: UTC, start: 0 8 * * *, end: 0 8 31 4 *, minReplicas: 5}\n",
    );
    insta::assert_snapshot!(shown(&problems_of(&faulty, None)));
}

#[test]
fn a_preset_weighs_an_age_and_knobs_are_changed_one_by_one() {
    let stated = format!("{GOOD}  preset: latency\n  knobs: {{targetUtilization: 70, rescaleCost: 5m}}\n");
    let rules = read_policies("orders.yaml", &stated, None, INTERVAL).remove(0).result.unwrap().rules;
    let knobs = Knobs {
        target_utilization: Some(70),
        rescale_cost: Some(TimeSpan::from_secs(300)),
        ..Knobs::default()
    };
    assert_eq!((rules.preset, rules.knobs), (Preset::Latency, knobs));

    let faulty = [
        format!("{GOOD}  preset: cheap\n  knobs: {{targetUtilization: 120, usableLag: 5, payback: -1}}\n"),
        format!("{GOOD}  preset: Cost\n  targetUtilization: 80\n"),
        with("maxLag: 60s", "lagPerReplica: 100") + "  preset: cost\n  knobs: {payback: 2}\n",
    ];
    let report: String = faulty.iter().map(|text| shown(&problems_of(text, None)) + "--\n").collect();
    insta::assert_snapshot!(report);
}

#[test]
fn a_restart_needs_to_know_one_query() {
    let target = |rung: &str| format!("sparkApplication: {{name: orders, maxRung: {rung}}}");
    let for_app = |rung: &str| with("scaleTargetRef: {kind: Deployment, name: orders}", &target(rung));
    assert_eq!(problems_of(&for_app("nextRun"), None), []);
    let [problem] = problems_of(&for_app("restart"), None).try_into().unwrap();
    assert_eq!(problem.message, "`maxRung` restart needs to know the query, and 0 `spark` sources tell");
    let source = "spark: {app: app, cluster: main, topics: [orders], checkpoint: orders}";
    let known =
        for_app("restart").replace("kafkaLag: {cluster: main, group: orders, topics: [orders]}", source);
    assert_eq!(problems_of(&known, None), []);
    let never = known.replace("maxRung: restart", "maxRung: restart, restart: {perDay: 0}");
    assert_eq!(problems_of(&never, None).len(), 1);

    let blind = problems_of(&for_app("scaleAllocator"), None).remove(0).message;
    assert_eq!(blind, "`maxRung` scaleAllocator needs to know the query, and 0 `spark` sources tell");
    let apache =
        known.replace("name: orders, maxRung", "name: orders, apiVersion: spark.apache.org/v1, maxRung");
    let never = problems_of(&apache, None).remove(0).message;
    assert_eq!(never, "`maxRung` restart is not for spark.apache.org/v1");
    assert_eq!(problems_of(&apache.replace("maxRung: restart", "maxRung: scaleAllocator"), None), []);
}

#[test]
fn a_spark_cluster_has_a_worker_at_least() {
    let cluster = with("scaleTargetRef: {kind: Deployment, name: orders}", "sparkCluster: {name: orders}");
    assert_eq!(problems_of(&cluster, None), []);
    let resting = problems_of(&cluster.replace("minReplicas: 2", "minReplicas: 0"), None).remove(0).message;
    assert_eq!(resting, "`minReplicas` 0 is not for a `sparkCluster`");
}

#[test]
fn runs_are_counted_in_executors_and_alone() {
    let target = "scheduledSparkApplication: {name: nightly}";
    let source = "sparkRuns: {history: main, app: nightly-*}";
    let batch = with("scaleTargetRef: {kind: Deployment, name: orders}", target)
        .replace("kafkaLag: {cluster: main, group: orders, topics: [orders]}", source);
    let good = batch.replace("maxLag: 60s", "lagPerReplica: 1");
    assert_eq!(problems_of(&good, None), []);
    let message = |text: &str| problems_of(text, None).remove(0).message;
    assert_eq!(message(&batch), "`sparkRuns` counts executors, so one of them is for one");
    let beside =
        good.replace("    - sparkRuns", "    - kafkaLag: {cluster: main, group: orders}\n    - sparkRuns");
    let alone = "`sparkRuns` is for a `scheduledSparkApplication`, and its only source";
    assert_eq!(message(&beside), alone);
    let elsewhere = good.replace(target, "scaleTargetRef: {kind: Deployment, name: orders}");
    assert_eq!(message(&elsewhere), alone);
}

#[test]
fn checkpoints_lie_in_a_directory_or_on_an_object_store() {
    let problems = |checkpoints: &str, store: &str| {
        let text = format!(
            "apiVersion: tidegate.dev/v1alpha1\nkind: Settings\nconnections:\n  spark:\n    app: {{checkpoints: \"{checkpoints}\"{store}}}\n"
        );
        let found = read_settings("test", &text).err().unwrap_or_default();
        found.into_iter().map(|problem| problem.message).collect::<Vec<_>>()
    };
    for good in
        ["/var/lib/checkpoints", "s3://lake/spark", "abfss://c@a.dfs.core.windows.net/spark", "file:///lake"]
    {
        assert_eq!(problems(good, ""), Vec::<String>::new(), "{good}");
    }
    let signed = problems("https://a.blob.core.windows.net/c?sig=hunter2", "");
    assert!(signed.len() == 1 && signed[0].contains("an address with credentials"), "{signed:?}");
    let login = problems("https://admin:hunter2@dav/lake", "");
    assert!(login.len() == 1 && !login[0].contains("hunter2"), "{login:?}");
    let tape = problems("tape://lake", "");
    assert!(tape[0].contains("not an object store"), "{tape:?}");
    let open =
        problems("s3://lake", ", objectStore: {options: {aws_region: x, aws_secret_access_key: hunter2}}");
    assert!(open.len() == 1 && open[0].contains("`aws_secret_access_key` is a secret"), "{open:?}");
    assert!(!open[0].contains("hunter2"));
}
