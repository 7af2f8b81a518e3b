//! HPAs (autoscaling/v2): `minReplicas`, `maxReplicas`, and one metric's target.

use kube::Client;
use kube::ResourceExt as _;
use kube::api::{ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use serde_json::Value;

use super::api::ReadError;
use super::bounds::{BoundsActuator, Shape};
use super::rivals::{KEDA, KEDA_LABEL, part};
use super::{owners, quantity};
use crate::policy::target::HpaTarget;
use crate::policy::{Replicas, WorkloadId};

/// Metrics that name a metric of their own; the others name a resource of a Pod.
const NAMED: [&str; 3] = ["external", "pods", "object"];

/// An actuator for the bounds of the HPA that `policy` names. Asks nothing yet.
pub fn actuator(client: &Client, policy: &WorkloadId, target: &HpaTarget) -> BoundsActuator {
    let shape = Shape {
        resource,
        lower: ("minReplicas", Replicas(1)),
        upper: ("maxReplicas", None),
        hold: belongs_to,
        target: |hpa| {
            let to = hpa.data.pointer("/spec/scaleTargetRef")?;
            Some((part(to, "apiVersion").unwrap_or("apps/v1"), part(to, "kind")?, part(to, "name")?))
        },
    };
    let metric = target.metric.as_ref().map(|metric| metric.name.as_str());
    BoundsActuator::new(client, policy, &target.name, metric, shape)
}

fn resource() -> ApiResource {
    ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("autoscaling", "v2", "HorizontalPodAutoscaler"),
        "horizontalpodautoscalers",
    )
}

/// KEDA writes the bounds of its HPAs again and again, from those of the ScaledObject.
fn belongs_to(hpa: &DynamicObject) -> Option<String> {
    let parent = match owners::controller(&hpa.metadata) {
        Some((KEDA, "ScaledObject", name)) => Some(name),
        _ => hpa.labels().get(KEDA_LABEL).map(String::as_str),
    }?;
    let namespace = hpa.namespace().unwrap_or_default();
    Some(format!("ScaledObject {namespace}/{parent} (target the ScaledObject instead of its HPA)"))
}

/// One metric's target in an HPA.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct MetricTarget {
    index: usize,
    source: &'static str,
    pub(super) value: f64,
}

impl MetricTarget {
    /// The one metric called `name`.
    pub(super) fn find(hpa: &DynamicObject, name: &str) -> Result<Self, ReadError> {
        let metrics = hpa.data.pointer("/spec/metrics").and_then(Value::as_array);
        let named: Vec<_> = metrics.into_iter().flatten().enumerate().filter_map(named).collect();
        let mut fitting = named.iter().filter(|(_, _, metric)| metric_name(metric) == Some(name));
        let Some((index, source, metric)) = fitting.next() else {
            let has: Vec<_> = named.iter().filter_map(|(_, _, metric)| metric_name(metric)).collect();
            let has = if has.is_empty() { "none".to_owned() } else { has.join(", ") };
            return Err(ReadError::Unfit(format!(
                "no external, pods or object metric `{name}` (it has: {has})"
            )));
        };
        if fitting.next().is_some() {
            return Err(ReadError::Unfit(format!("more than one metric `{name}`")));
        }
        let value = metric.pointer("/target/averageValue").and_then(Value::as_str).and_then(quantity::read);
        let value = value.ok_or_else(|| {
            ReadError::Unfit(format!("its metric `{name}` has no averageValue, a target per replica"))
        })?;
        Ok(Self { index: *index, source, value })
    }

    /// The HPA's metrics with this target's value replaced.
    pub(super) fn set(&self, hpa: &DynamicObject, value: &str) -> Value {
        let mut metrics = hpa.data.pointer("/spec/metrics").cloned().unwrap_or_default();
        let at = format!("/{}/{}/target/averageValue", self.index, self.source);
        if let Some(target) = metrics.pointer_mut(&at) {
            *target = value.into();
        }
        metrics
    }
}

fn named((index, metric): (usize, &Value)) -> Option<(usize, &'static str, &Value)> {
    NAMED.iter().find_map(|source| Some((index, *source, metric.get(source)?)))
}

fn metric_name(metric: &Value) -> Option<&str> {
    metric.pointer("/metric/name").and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn hpa(metrics: &Value) -> DynamicObject {
        serde_json::from_value(json!({ "metadata": { "namespace": "shop" }, "spec": { "metrics": metrics } }))
            .unwrap()
    }

    fn metrics() -> Value {
        json!([
            { "type": "Resource", "resource": { "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 80 } } },
            { "type": "External", "external": {
                "metric": { "name": "lag", "selector": { "matchLabels": { "topic": "orders" } } },
                "target": { "type": "AverageValue", "averageValue": "240500m" },
            } },
            { "type": "Pods", "pods": { "metric": { "name": "rate" }, "target": { "type": "AverageValue", "averageValue": "1k" } } },
            { "type": "Object", "object": {
                "describedObject": { "kind": "Service", "name": "s" },
                "metric": { "name": "queue" }, "target": { "type": "Value", "value": "5" },
            } },
        ])
    }

    #[rstest]
    #[case("lag", 1, "external", 240.5)]
    #[case("rate", 2, "pods", 1000.0)]
    fn finds_a_metric_by_name(
        #[case] name: &str,
        #[case] index: usize,
        #[case] source: &'static str,
        #[case] value: f64,
    ) {
        assert_eq!(MetricTarget::find(&hpa(&metrics()), name), Ok(MetricTarget { index, source, value }));
    }

    #[rstest]
    #[case("lagg", "no external, pods or object metric `lagg` (it has: lag, rate, queue)")]
    #[case("cpu", "no external, pods or object metric `cpu` (it has: lag, rate, queue)")]
    #[case("queue", "its metric `queue` has no averageValue, a target per replica")]
    fn says_what_is_wrong_with_a_metric(#[case] name: &str, #[case] problem: &str) {
        let error = MetricTarget::find(&hpa(&metrics()), name).unwrap_err();
        assert_eq!(error, ReadError::Unfit(problem.to_owned()));
    }

    #[test]
    fn two_metrics_of_one_name_are_not_guessed_between() {
        let lag = metrics()[1].clone();
        let error = MetricTarget::find(&hpa(&json!([lag, lag])), "lag").unwrap_err();
        assert_eq!(error, ReadError::Unfit("more than one metric `lag`".to_owned()));
    }

    #[test]
    fn setting_a_target_leaves_everything_else_as_it_was() {
        let hpa = hpa(&metrics());
        let mut expected = metrics();
        expected[1]["external"]["target"]["averageValue"] = json!("300");
        assert_eq!(MetricTarget::find(&hpa, "lag").unwrap().set(&hpa, "300"), expected);
    }

    #[rstest]
    #[case::label(json!({ "labels": { "scaledobject.keda.sh/name": "orders" } }), Some("ScaledObject shop/orders (target the ScaledObject instead of its HPA)"))]
    #[case::reference(json!({ "ownerReferences": [{ "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": "orders", "uid": "u", "controller": true }] }), Some("ScaledObject shop/orders (target the ScaledObject instead of its HPA)"))]
    #[case::another_controller(json!({ "ownerReferences": [{ "apiVersion": "spark.apache.org/v1", "kind": "SparkCluster", "name": "s", "uid": "u", "controller": true }] }), None)]
    #[case::nobody(json!({}), None)]
    fn knows_an_hpa_that_keda_made(#[case] mut metadata: Value, #[case] owner: Option<&str>) {
        metadata["namespace"] = json!("shop");
        let hpa: DynamicObject = serde_json::from_value(json!({ "metadata": metadata })).unwrap();
        assert_eq!(belongs_to(&hpa).as_deref(), owner);
    }
}
