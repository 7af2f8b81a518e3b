//! Whatever a ScaledObject says: what comes out is sound, or it is said why nothing does.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tidegate::cli::import::{Choices, Style};
use tidegate::policy::TimeSpan;
use tidegate::policy::settings::Connections;
use tidegate::policy::source::Meaning;

use super::{of_text, policies, settings};

fn option_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!("")),
        Just(json!("true")),
        Just(json!(true)),
        Just(json!("enable")),
        Just(json!("earliest")),
        Just(json!("plaintext")),
        Just(json!("gssapi")),
        Just(json!("1.5")),
        (0..2000_u32).prop_map(|number| json!(number.to_string())),
        "[a-z.:, #\n\u{2028}-]{1,12}".prop_map(|text| json!(text)),
    ]
}

fn options(names: &'static [&'static str]) -> impl Strategy<Value = Map<String, Value>> {
    vec((0..names.len(), option_value()), 0..8).prop_map(|chosen| {
        chosen.into_iter().map(|(index, value)| (names[index].to_owned(), value)).collect()
    })
}

fn trigger() -> impl Strategy<Value = Value> {
    let kafka = options(&[
        "topic",
        "lagThreshold",
        "activationLagThreshold",
        "offsetResetPolicy",
        "allowIdleConsumers",
        "limitToPartitionsWithLag",
        "ensureEvenDistributionOfPartitions",
        "excludePersistentLag",
        "scaleToZeroOnInvalidOffset",
        "version",
        "sasl",
        "tls",
        "ca",
        "cert",
        "key",
        "unsafeSsl",
        "username",
        "partitionLimitation",
        "bootstrapServers",
        "consumerGroup",
        "other",
    ]);
    let prometheus = options(&[
        "threshold",
        "activationThreshold",
        "ignoreNullValues",
        "authModes",
        "namespace",
        "serverAddress",
        "query",
        "unsafeSsl",
        "timeout",
    ]);
    let with = |kind: &str, base: Value, more: Map<String, Value>| {
        let mut metadata = base.as_object().cloned().unwrap_or_default();
        metadata.extend(more);
        json!({ "type": kind, "metadata": metadata })
    };
    prop_oneof![
        4 => kafka.prop_map(move |more| {
            with("kafka", json!({"bootstrapServers": "k:9092", "consumerGroup": "g", "topic": "t"}), more)
        }),
        2 => prometheus.prop_map(move |more| {
            with("prometheus", json!({"serverAddress": "http://p:9090", "query": "up", "threshold": "3"}), more)
        }),
        1 => Just(json!({ "type": "cpu", "metadata": { "value": "50" } })),
    ]
}

fn rules() -> impl Strategy<Value = Value> {
    let policy = (0..3_u32, 0..2500_u32)
        .prop_map(|(value, period)| json!({ "type": "Pods", "value": value, "periodSeconds": period }));
    (option::of(0..4000_u32), vec(policy, 0..3), option::of("0\\.[0-9]|[0-9]{2}m|x")).prop_map(
        |(window, policies, tolerance)| {
            json!({ "stabilizationWindowSeconds": window, "policies": policies, "tolerance": tolerance })
        },
    )
}

fn scaled_object() -> impl Strategy<Value = Value> {
    let count = || option::of(0..20_u32);
    let bounds = (count(), count(), option::of(0..2_u32), option::of(0..400_u32));
    let fallback = option::of((0..5_u32, 0..30_u32, option::of("static|currentReplicas(IfHigher|IfLower)?")));
    let annotation = option::of(("paused(-replicas|-scale-in|-scale-out)?", "true|false|3"));
    ("[a-z]{1,8}|A", bounds, fallback, rules(), annotation, vec(trigger(), 0..4)).prop_map(
        |(name, (min, max, idle, cooldown), fallback, rules, annotation, triggers)| {
            let fallback = fallback.map(|(failures, replicas, behavior)| {
                json!({ "failureThreshold": failures, "replicas": replicas, "behavior": behavior })
            });
            let annotations: Map<String, Value> = annotation
                .map(|(name, value)| (format!("autoscaling.keda.sh/{name}"), json!(value)))
                .into_iter()
                .collect();
            json!({
                "apiVersion": "keda.sh/v1alpha1",
                "kind": "ScaledObject",
                "metadata": { "name": name, "namespace": "shop", "annotations": annotations },
                "spec": {
                    "scaleTargetRef": { "name": name },
                    "minReplicaCount": min,
                    "maxReplicaCount": max,
                    "idleReplicaCount": idle,
                    "cooldownPeriod": cooldown,
                    "fallback": fallback,
                    "advanced": { "horizontalPodAutoscalerConfig": { "behavior": { "scaleDown": rules } } },
                    "triggers": triggers,
                },
            })
        },
    )
}

fn choices() -> impl Strategy<Value = Choices> {
    let meaning = prop_oneof![
        Just(Meaning::ArrivalRate),
        Just(Meaning::Backlog),
        Just(Meaning::BacklogAge),
        Just(Meaning::BusyShare),
        Just(Meaning::Demand),
    ];
    (any::<bool>(), any::<bool>(), option::of(meaning), option::of(0..100_u64)).prop_map(
        |(stays, partial, prometheus_means, max_lag)| Choices {
            target: if stays { Style::ScaledObject } else { Style::Scale },
            partial,
            prometheus_means,
            max_lag: max_lag.map(TimeSpan::from_secs),
            ..Choices::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn what_comes_out_is_sound(object in scaled_object(), choices in choices()) {
        let report = of_text(&object.to_string(), &choices);
        let policies = policies(&report);
        let carried = report.messages.iter().any(|line| line.starts_with("1 of 1 carried over"));
        prop_assert_eq!(policies.len(), usize::from(carried), "{}", report.documents);
        prop_assert!(carried || report.messages.iter().any(|line| line.contains(": refused: ")));
        let broken = report.messages.iter().find(|line| line.contains(['\n', '\u{2028}']));
        prop_assert_eq!(broken, None);
        for policy in policies {
            prop_assert!(settings(&report).connections != Connections::default(), "{}", policy.id);
        }
    }
}
