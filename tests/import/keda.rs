//! Realistic objects, one file each, and the options of the command.

use rstest::rstest;
use serde_json::json;
use tidegate::cli::import::{Choices, Report, Style, import, import_cluster};
use tidegate::cli::validate::Input;
use tidegate::policy::source::{Meaning, SourceSpec};
use tidegate::policy::{Objective, Replicas, TimeSpan};

use super::{of_text, policies, settings};
use crate::actuators::fake::Fake;

fn object(name: &str) -> Input {
    let path = format!("{}/tests/import/objects/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    Input { file: format!("{name}.yaml"), text: std::fs::read_to_string(path).unwrap() }
}

fn imported(name: &str, choices: &Choices) -> Report {
    import(&[object(name)], choices).unwrap()
}

/// All that is printed; the code is 0 only where nothing is lost or refused.
#[rstest]
#[case("simple", 0, 1)]
#[case("secured", 0, 1)]
#[case("several", 1, 2)]
#[case("prometheus", 1, 1)]
#[case("paused", 1, 2)]
#[case("behavior", 1, 1)]
#[case("refused", 1, 0)]
#[case("scheduled", 1, 1)]
fn an_object_becomes_a_policy_and_the_rest_is_said(
    #[case] name: &str,
    #[case] code: u8,
    #[case] carried: usize,
) {
    let report = imported(name, &Choices::default());
    assert_eq!((report.code, policies(&report).len()), (code, carried));
    for source in policies(&report).iter().flat_map(|policy| &policy.sources) {
        let connections = settings(&report).connections;
        match source {
            SourceSpec::KafkaLag(kafka) => assert!(connections.kafka.contains_key(&kafka.cluster)),
            SourceSpec::Prometheus(query) => assert!(connections.prometheus.contains_key(&query.server)),
            SourceSpec::FlinkJob(_)
            | SourceSpec::FlinkResource(_)
            | SourceSpec::Spark(_)
            | SourceSpec::SparkRuns(_) => {
                unreachable!("KEDA has no such trigger")
            }
        }
    }
    insta::assert_snapshot!(name, format!("{}\n{}", report.messages.join("\n"), report.documents));
}

#[rstest]
#[case("secured")]
#[case("prometheus")]
fn no_secret_is_repeated(#[case] name: &str) {
    let Report { documents, messages, .. } = imported(name, &Choices::default());
    assert!(object(name).text.contains("hunter"));
    assert!(!documents.contains("hunter") && !messages.join("\n").contains("hunter"));
}

#[test]
fn what_has_the_wrong_type_is_named_and_not_repeated() {
    let text = object("simple").text.replace("minReplicaCount: 1", "minReplicaCount: hunter2");
    let report = of_text(&text, &Choices::default());
    let expected = "keda.yaml:9: refused: ScaledObject shop/orders: spec.minReplicaCount: not as KEDA spells \
                    it: invalid type: string ..., expected u32";
    assert_eq!(report.messages.first().unwrap(), expected);
}

#[test]
fn beside_a_living_keda_its_object_is_the_target_and_other_triggers_stay() {
    let choices = Choices { target: Style::ScaledObject, ..Choices::default() };
    let report = imported("refused", &choices);
    let names: Vec<_> = policies(&report).into_iter().map(|one| one.target.name().to_owned()).collect();
    assert_eq!(names, ["mixed", "formula"]);
    assert!(report.documents.contains("note: spec.triggers[1].type: stays with KEDA alone: `cpu`"));

    let paused = imported("paused", &choices);
    assert!(policies(&paused).iter().all(|policy| !policy.rules.paused), "the annotation does it");
}

#[test]
fn a_part_is_carried_over_only_when_asked_for() {
    let report = imported("refused", &Choices { partial: true, ..Choices::default() });
    let names: Vec<_> = policies(&report).into_iter().map(|one| one.id.to_string()).collect();
    assert_eq!((names, report.code), (vec!["shop/mixed".to_owned()], 1));
}

#[test]
fn an_age_may_take_the_place_of_the_threshold() {
    let report =
        imported("simple", &Choices { max_lag: Some(TimeSpan::from_secs(60)), ..Choices::default() });
    let (max_lag, catch_up) = (TimeSpan::from_secs(60), TimeSpan::from_secs(300));
    assert_eq!(policies(&report)[0].rules.objective, Objective::MaxLag { max_lag, catch_up });
}

#[test]
fn servers_get_the_names_asked_for() {
    let connections = vec![
        "main=kafka-1.kafka:9093".parse().unwrap(),
        "metrics=http://prometheus.monitoring:9090/".parse().unwrap(),
    ];
    let connections =
        settings(&imported("several", &Choices { connections, ..Choices::default() })).connections;
    assert_eq!(connections.kafka["main"].bootstrap_servers, ["kafka-1.kafka:9093", "kafka-0.kafka:9093"]);
    assert_eq!(connections.prometheus["metrics"].url, "http://prometheus.monitoring:9090");
}

#[rstest]
#[case(Meaning::Demand, None, Some("(sum(mail_queue_length)) / 40"), None)]
#[case(Meaning::ArrivalRate, Some(30), Some("sum(mail_queue_length)"), Some(40.0))]
#[case(Meaning::BacklogAge, Some(30), None, None)]
#[case(Meaning::ArrivalRate, None, None, None)]
fn a_query_means_what_it_is_said_to_mean(
    #[case] means: Meaning,
    #[case] max_lag: Option<u64>,
    #[case] query: Option<&str>,
    #[case] capacity: Option<f64>,
) {
    let max_lag = max_lag.map(TimeSpan::from_secs);
    let report =
        imported("prometheus", &Choices { prometheus_means: Some(means), max_lag, ..Choices::default() });
    let policy = policies(&report).pop();
    assert_eq!(policy.as_ref().and_then(|policy| policy.rules.capacity_per_replica), capacity);
    let source = policy.and_then(|mut policy| policy.sources.pop());
    let found = source.map(|source| match source {
        SourceSpec::Prometheus(found) => (found.means, found.query),
        SourceSpec::KafkaLag(_)
        | SourceSpec::FlinkJob(_)
        | SourceSpec::FlinkResource(_)
        | SourceSpec::Spark(_)
        | SourceSpec::SparkRuns(_) => unreachable!(),
    });
    assert_eq!(found, query.map(|query| (means, query.to_owned())));
}

#[test]
fn a_broken_document_leaves_its_neighbours_alone() {
    let text = format!("a: [\n---\n{}", object("simple").text);
    let report = of_text(&text, &Choices::default());
    assert_eq!((report.code, policies(&report).len()), (2, 1));
    assert!(report.messages[0].starts_with("keda.yaml:"), "{}", report.messages[0]);
}

#[test]
fn the_same_object_once_more_is_refused() {
    let all = [object("simple"), object("simple")];
    let report = import(&all, &Choices::default()).unwrap();
    assert_eq!((report.code, policies(&report).len()), (1, 1));
}

#[test]
fn a_place_without_scaled_objects_is_said_to_be_one() {
    let report = of_text("apiVersion: v1\nkind: Service\nmetadata: {name: a}\n", &Choices::default());
    assert_eq!((report.code, report.messages), (1, vec!["no ScaledObject found".to_owned()]));
}

#[tokio::test]
async fn a_cluster_is_only_read() {
    let mut item: serde_json::Value = serde_saphyr::from_str(&object("simple").text).unwrap();
    // As in a list: without its kind.
    item.as_object_mut().unwrap().retain(|name, _| name == "metadata" || name == "spec");
    item["spec"]["triggers"][0]["metadata"]["partitionLimitation"] = json!("1,2");
    let list = json!({"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObjectList", "metadata": {}, "items": [item]});
    let fake = Fake::default().on("GET /apis/keda.sh/v1alpha1/namespaces/shop/scaledobjects", 200, list);
    let choices = Choices { namespace: Some("shop".to_owned()), ..Choices::default() };
    let report = import_cluster(&fake.client(), &choices).await.unwrap();
    assert_eq!(policies(&report)[0].rules.max_replicas, Replicas(12));
    let expected = "lost: ScaledObject shop/orders: spec.triggers[0].metadata.partitionLimitation: all partitions \
                    of the topic count: the backlog may be larger than KEDA's";
    assert!(report.messages.iter().any(|line| line == expected), "{:?}", report.messages);
    assert_eq!(fake.writes(), []);

    let problem = import_cluster(&Fake::default().client(), &choices).await.unwrap_err().to_string();
    assert_eq!(problem, "the cluster serves no ScaledObjects: KEDA is not there");
}
