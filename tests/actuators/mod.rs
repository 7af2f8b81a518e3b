//! Targets against an API server that fails on cue.

pub(crate) mod fake;
mod spark;
mod spark_allocator;
mod spark_batch;
mod spark_workers;

use jiff::{SignedDuration, Timestamp};
use rstest::rstest;
use serde_json::{Value, json};
use tidegate::actuators::hpa;
use tidegate::actuators::owners::Tenure;
use tidegate::actuators::scale::ScaleActuator;
use tidegate::actuators::{ActuateError, Actuator, Actuators};
use tidegate::engine::Change;
use tidegate::engine::observation::{Fence, Quality, TargetHold, TargetReading};
use tidegate::policy::target::{HpaMetric, HpaMetricMeaning, HpaTarget, ScaleTargetRef};
use tidegate::policy::{Replicas, TimeSpan, WorkloadId};

use fake::{Fake, status};

const APPS: &str = "GET /apis/apps/v1";
const ORDERS: &str = "GET /apis/apps/v1/namespaces/shop/deployments/orders";
const SCALE: &str = "PATCH /apis/apps/v1/namespaces/shop/deployments/orders/scale";
const HPAS: &str = "GET /apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers";
const SCALED_OBJECTS: &str = "GET /apis/keda.sh/v1alpha1/namespaces/shop/scaledobjects";
const HPA: &str = "GET /apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers/orders";
const PATCH_HPA: &str = "PATCH /apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers/orders";

const INTERVAL: TimeSpan = TimeSpan::from_secs(15);

fn now() -> Timestamp {
    "2026-11-21T08:00:00Z".parse().unwrap()
}

fn deployment(version: &str, replicas: u32, ready: u32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "orders", "namespace": "shop", "uid": "u1", "resourceVersion": version, "generation": 1 },
        "spec": { "replicas": replicas },
        "status": { "observedGeneration": 1, "replicas": replicas, "updatedReplicas": replicas, "readyReplicas": ready, "availableReplicas": ready },
    })
}

fn hpa_object(version: &str, lower: u32, upper: u32, average: &str) -> Value {
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": { "name": "orders", "namespace": "shop", "uid": "u2", "resourceVersion": version, "annotations": {} },
        "spec": {
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "orders" },
            "minReplicas": lower, "maxReplicas": upper,
            "metrics": [{ "type": "External", "external": {
                "metric": { "name": "lag" }, "target": { "type": "AverageValue", "averageValue": average },
            } }],
        },
        "status": { "currentReplicas": 9, "desiredReplicas": 9 },
    })
}

fn list(items: &[Value]) -> Value {
    json!({ "kind": "List", "apiVersion": "v1", "metadata": {}, "items": items })
}

/// A Deployment without rivals, in a cluster without KEDA.
fn cluster() -> Fake {
    let resource = |name: &str, kind: &str| json!({ "name": name, "singularName": "", "namespaced": true, "kind": kind, "verbs": ["get"] });
    let apps = json!({
        "kind": "APIResourceList", "groupVersion": "apps/v1",
        "resources": [resource("deployments", "Deployment"), resource("deployments/scale", "Scale"), resource("controllerrevisions", "ControllerRevision")],
    });
    Fake::default().on(APPS, 200, apps)
}

fn orders_ref() -> ScaleTargetRef {
    ScaleTargetRef { api_version: "apps/v1".into(), kind: "Deployment".into(), name: "orders".into() }
}

fn orders(fake: &Fake) -> ScaleActuator {
    Actuators::new(fake.client()).for_scale("shop".into(), orders_ref(), INTERVAL, Tenure::default())
}

fn hpa_with_metric(fake: &Fake) -> impl Actuator {
    let metric = HpaMetric { name: "lag".into(), means: HpaMetricMeaning::Backlog, utilization: 80 };
    let id = WorkloadId { namespace: "shop".into(), name: "orders".into() };
    hpa::actuator(&fake.client(), &id, &HpaTarget { name: "orders".into(), metric: Some(metric) })
}

fn to(replicas: u32) -> Change {
    Change { replicas: Replicas(replicas), ceiling: None, metric_target: None }
}

fn bounds(lower: u32, upper: u32, metric_target: f64) -> Change {
    Change { replicas: Replicas(lower), ceiling: Some(Replicas(upper)), metric_target: Some(metric_target) }
}

fn scale() -> Value {
    json!({ "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": { "name": "orders" }, "spec": { "replicas": 3 }, "status": { "replicas": 2 } })
}

fn stale() -> Value {
    status(
        409,
        "Conflict",
        "the object has been modified; please apply your changes to the latest version and try again",
    )
}

#[tokio::test]
async fn a_write_carries_uid_version_and_our_name() {
    let fake =
        cluster().on(ORDERS, 200, deployment("7", 2, 2)).on(HPAS, 200, list(&[])).on(SCALE, 200, scale());
    let target = orders(&fake);
    let reading = target.observe(now()).await;
    assert_eq!((reading.current, reading.ready), (Some(Replicas(2)), Some(Replicas(2))));
    assert_eq!((reading.settled, reading.hold, reading.quality), (true, None, Quality::Ok));
    let fence = reading.fence.unwrap();
    assert_eq!(fence, Fence { uid: "u1".into(), resource_version: "7".into() });
    assert_eq!(target.apply(&to(3), &fence).await, Ok(()));
    let [write] = &fake.writes()[..] else { panic!("one write expected: {:?}", fake.writes()) };
    assert_eq!((write.call.as_str(), write.query.trim_start_matches('&')), (SCALE, "fieldManager=tidegate"));
    assert_eq!(
        write.body,
        json!({ "metadata": { "uid": "u1", "resourceVersion": "7" }, "spec": { "replicas": 3 } })
    );
}

#[tokio::test]
async fn looking_writes_nothing() {
    let fake = cluster().on(ORDERS, 200, deployment("7", 2, 2)).on(HPAS, 200, list(&[]));
    orders(&fake).observe(now()).await;
    let mut calls = fake.calls();
    calls.sort();
    assert_eq!(calls, [APPS, ORDERS, HPAS, SCALED_OBJECTS]);
}

#[tokio::test]
async fn a_change_of_status_alone_does_not_stop_a_write() {
    let fake = cluster()
        .on(ORDERS, 200, deployment("7", 2, 2))
        .on(ORDERS, 200, deployment("8", 2, 1))
        .on(HPAS, 200, list(&[]))
        .on(SCALE, 409, stale())
        .on(SCALE, 200, scale());
    let target = orders(&fake);
    let fence = target.observe(now()).await.fence.unwrap();
    assert_eq!(target.apply(&to(3), &fence).await, Ok(()));
    let versions: Vec<_> =
        fake.writes().iter().map(|w| w.body["metadata"]["resourceVersion"].clone()).collect();
    assert_eq!(versions, ["7", "8"]);
}

#[rstest]
#[case::other_replicas(deployment("8", 5, 2))]
#[case::made_anew({ let mut anew = deployment("8", 2, 2); anew["metadata"]["uid"] = json!("u9"); anew })]
#[tokio::test]
async fn any_other_change_stops_it(#[case] fresh: Value) {
    let fake = cluster()
        .on(ORDERS, 200, deployment("7", 2, 2))
        .on(ORDERS, 200, fresh)
        .on(HPAS, 200, list(&[]))
        .on(SCALE, 409, stale());
    let target = orders(&fake);
    let fence = target.observe(now()).await.fence.unwrap();
    assert_eq!(target.apply(&to(3), &fence).await, Err(ActuateError::Conflict));
    assert_eq!(fake.writes().len(), 1);
}

#[tokio::test]
async fn a_status_that_never_rests_ends_in_a_conflict() {
    let fake =
        cluster().on(ORDERS, 200, deployment("7", 2, 2)).on(HPAS, 200, list(&[])).on(SCALE, 409, stale());
    let target = orders(&fake);
    let fence = target.observe(now()).await.fence.unwrap();
    assert_eq!(target.apply(&to(3), &fence).await, Err(ActuateError::Conflict));
    assert_eq!(fake.writes().len(), 3);
}

#[tokio::test]
async fn a_fence_never_seen_is_tried_once() {
    let fake = cluster().on(ORDERS, 200, deployment("9", 2, 2)).on(SCALE, 409, stale());
    let fence = Fence { uid: "u1".into(), resource_version: "3".into() };
    assert_eq!(orders(&fake).apply(&to(3), &fence).await, Err(ActuateError::Conflict));
    assert_eq!(fake.writes().len(), 1);
}

#[tokio::test]
async fn no_such_object_is_a_certain_answer() {
    let fake = cluster().on(HPAS, 200, list(&[]));
    let reading = orders(&fake).observe(now()).await;
    assert_eq!(
        (reading.quality, reading.hold, reading.current),
        (Quality::Ok, Some(TargetHold::NotFound), None)
    );
    assert_eq!(reading.problem.as_deref(), Some("Deployment shop/orders: there is no such object"));
}

#[rstest]
#[case::get(ORDERS, "deployments.apps \"orders\" is forbidden: cannot get resource \"deployments\"")]
#[case::list(HPAS, "horizontalpodautoscalers.autoscaling is forbidden: cannot list resource")]
#[tokio::test]
async fn what_may_not_be_read_is_unknown(#[case] call: &'static str, #[case] message: &str) {
    let fake = match call {
        ORDERS => cluster().on(HPAS, 200, list(&[])),
        _ => cluster().on(ORDERS, 200, deployment("7", 2, 2)),
    };
    let reading = orders(&fake.on(call, 403, status(403, "Forbidden", message))).observe(now()).await;
    assert_eq!((reading.quality, reading.current, reading.ready), (Quality::Missing, None, None));
    assert_eq!(reading.problem, Some(format!("Deployment shop/orders: {message}")));
}

#[tokio::test]
async fn keda_may_be_out_of_sight() {
    let fake = cluster().on(ORDERS, 200, deployment("7", 2, 2)).on(HPAS, 200, list(&[])).on(
        SCALED_OBJECTS,
        403,
        status(403, "Forbidden", "no"),
    );
    let reading = orders(&fake).observe(now()).await;
    assert_eq!((reading.quality, reading.hold), (Quality::Ok, None));
}

#[rstest]
#[case::hpa(hpa_object("1", 1, 5, "100"), json!({}), "HorizontalPodAutoscaler shop/orders")]
#[case::keda(json!({ "metadata": { "name": "other" }, "spec": { "scaleTargetRef": { "kind": "Deployment", "name": "x" } } }), json!({ "metadata": { "name": "so" }, "spec": { "scaleTargetRef": { "name": "orders" } } }), "ScaledObject shop/so")]
#[tokio::test]
async fn another_autoscaler_is_named(
    #[case] mut hpa: Value,
    #[case] scaled_object: Value,
    #[case] owner: &str,
) {
    hpa["spec"]["maxReplicas"] = json!(5);
    let scaled_objects = if scaled_object == json!({}) { vec![] } else { vec![scaled_object] };
    let fake = cluster().on(ORDERS, 200, deployment("7", 2, 2)).on(HPAS, 200, list(&[hpa])).on(
        SCALED_OBJECTS,
        200,
        list(&scaled_objects),
    );
    let target = orders(&fake);
    let reading = target.observe(now()).await;
    assert_eq!(reading.hold, Some(TargetHold::Owned { owner: owner.to_owned() }));
    assert_eq!(reading.current, Some(Replicas(2)));
    let refused = ActuateError::Owned { owner: owner.to_owned(), field: "orders".to_owned() };
    assert_eq!(target.apply(&to(3), &reading.fence.unwrap()).await, Err(refused));
    assert_eq!(fake.writes(), []);
}

/// Many targets in one namespace must not cost three requests each at every turn.
#[tokio::test]
async fn the_targets_of_a_namespace_share_their_looks_at_other_autoscalers() {
    let fake = cluster().on(ORDERS, 200, deployment("7", 2, 2)).on(HPAS, 200, list(&[])).on(
        HPAS,
        200,
        list(&[hpa_object("1", 1, 5, "100")]),
    );
    let makes = Actuators::new(fake.client());
    let targets: Vec<_> =
        (0..20).map(|_| makes.for_scale("shop".into(), orders_ref(), INTERVAL, Tenure::default())).collect();
    let count = |call: &str| fake.calls().iter().filter(|seen| *seen == call).count();
    let observe = |at: Timestamp| futures::future::join_all(targets.iter().map(move |t| t.observe(at)));

    let holds = |readings: Vec<TargetReading>| readings.into_iter().filter(|r| r.hold.is_some()).count();
    assert_eq!(holds(observe(now()).await), 0);
    assert_eq!((count(ORDERS), count(HPAS), count(SCALED_OBJECTS)), (20, 1, 1));
    assert_eq!(holds(observe(now() + SignedDuration::from_millis(9_999)).await), 0);
    assert_eq!((count(ORDERS), count(HPAS), count(SCALED_OBJECTS)), (40, 1, 1));
    assert_eq!(holds(observe(now() + SignedDuration::from_secs(10)).await), 20, "an HPA has come");
    assert_eq!((count(ORDERS), count(HPAS), count(SCALED_OBJECTS)), (60, 2, 2));
}

#[tokio::test]
async fn a_target_with_a_short_interval_sees_a_new_look_at_every_turn() {
    let fake = cluster().on(ORDERS, 200, deployment("7", 2, 2)).on(HPAS, 200, list(&[])).on(
        HPAS,
        200,
        list(&[hpa_object("1", 1, 5, "100")]),
    );
    let makes = Actuators::new(fake.client());
    let target = makes.for_scale("shop".into(), orders_ref(), TimeSpan::from_secs(2), Tenure::default());
    assert_eq!(target.observe(now()).await.hold, None);
    assert_eq!(target.observe(now() + SignedDuration::from_millis(1_700)).await.hold, None);
    assert!(target.observe(now() + SignedDuration::from_millis(1_800)).await.hold.is_some());
}

#[tokio::test]
async fn a_failed_look_at_other_autoscalers_serves_only_those_who_waited_for_it() {
    let fake = cluster()
        .on(ORDERS, 200, deployment("7", 2, 2))
        .on(HPAS, 503, status(503, "ServiceUnavailable", "not now"))
        .on(HPAS, 200, list(&[]));
    let target = orders(&fake);
    assert_eq!(target.observe(now()).await.quality, Quality::Missing);
    assert_eq!(target.observe(now()).await.quality, Quality::Ok, "looked again");
}

#[tokio::test]
async fn a_kind_without_scale_is_refused() {
    let target =
        ScaleTargetRef { api_version: "apps/v1".into(), kind: "ControllerRevision".into(), name: "a".into() };
    let reading = Actuators::new(cluster().client())
        .for_scale("shop".into(), target, INTERVAL, Tenure::default())
        .observe(now())
        .await;
    assert_eq!(reading.quality, Quality::Rejected);
    let problem = "ControllerRevision shop/a: ControllerRevision of apps/v1 has no scale sub-resource";
    assert_eq!(reading.problem.as_deref(), Some(problem));
}

#[tokio::test]
async fn an_hpa_is_written_whole_and_its_metric_alone() {
    let fake = cluster()
        .on(ORDERS, 200, deployment("7", 2, 2))
        .on(HPA, 200, hpa_object("20", 1, 5, "100"))
        .on(PATCH_HPA, 200, hpa_object("21", 3, 8, "100"))
        .on(PATCH_HPA, 200, hpa_object("22", 3, 8, "250"));
    let target = hpa_with_metric(&fake);
    let reading = target.observe(now()).await;
    assert_eq!((reading.current, reading.ceiling), (Some(Replicas(1)), Some(Replicas(5))));
    assert_eq!((reading.metric_target, reading.ready), (Some(100.0), Some(Replicas(2))));
    assert_eq!(target.apply(&bounds(3, 8, 250.4), &reading.fence.unwrap()).await, Ok(()));
    let [apply, merge] = &fake.writes()[..] else { panic!("two writes expected: {:?}", fake.writes()) };
    assert!(
        apply.query.contains("fieldManager=tidegate") && !apply.query.contains("force=true"),
        "{}",
        apply.query
    );
    assert_eq!(
        apply.body,
        json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {
                "name": "orders", "namespace": "shop", "uid": "u2", "resourceVersion": "20",
                "annotations": { "tidegate.dev/policy": "shop/orders" },
            },
            "spec": { "minReplicas": 3, "maxReplicas": 8 },
        })
    );
    let mut metrics = hpa_object("21", 3, 8, "100")["spec"]["metrics"].clone();
    metrics[0]["external"]["target"]["averageValue"] = json!("250");
    assert_eq!(
        merge.body,
        json!({
            "metadata": { "uid": "u2", "resourceVersion": "21", "annotations": { "tidegate.dev/metric-target": "lag=250" } },
            "spec": { "metrics": metrics },
        })
    );
}

#[tokio::test]
async fn a_metric_that_is_right_is_left_alone() {
    let fake = cluster()
        .on(ORDERS, 200, deployment("7", 2, 2))
        .on(HPA, 200, hpa_object("20", 1, 5, "250"))
        .on(PATCH_HPA, 200, hpa_object("21", 3, 8, "250"));
    let target = hpa_with_metric(&fake);
    let fence = target.observe(now()).await.fence.unwrap();
    assert_eq!(target.apply(&bounds(3, 8, 250.4), &fence).await, Ok(()));
    assert_eq!(fake.writes().len(), 1);
}

#[tokio::test]
async fn fields_are_taken_from_their_creator_by_force() {
    let mut created = hpa_object("20", 1, 5, "100");
    created["metadata"]["managedFields"] = json!([{
        "manager": "helm", "operation": "Update", "time": "2026-11-21T07:00:00Z", "fieldsType": "FieldsV1",
        "fieldsV1": { "f:spec": { "f:minReplicas": {}, "f:maxReplicas": {}, "f:metrics": {} } },
    }]);
    let fake = cluster().on(ORDERS, 200, deployment("7", 2, 2)).on(HPA, 200, created).on(
        PATCH_HPA,
        200,
        hpa_object("21", 3, 8, "250"),
    );
    let target = hpa_with_metric(&fake);
    let reading = target.observe(now()).await;
    assert_eq!(reading.hold, None);
    assert_eq!(target.apply(&bounds(3, 8, 250.0), &reading.fence.unwrap()).await, Ok(()));
    assert!(fake.writes()[0].query.contains("force=true"));
}

#[tokio::test]
async fn a_field_conflict_names_the_other_manager() {
    let mut conflict = status(409, "Conflict", "Apply failed with 1 conflict");
    conflict["details"] = json!({ "causes": [{
        "reason": "FieldManagerConflict", "field": ".spec.minReplicas",
        "message": "conflict with \"kubectl-patch\" using autoscaling/v2",
    }] });
    let fake = cluster()
        .on(ORDERS, 200, deployment("7", 2, 2))
        .on(HPA, 200, hpa_object("20", 1, 5, "100"))
        .on(PATCH_HPA, 409, conflict);
    let target = hpa_with_metric(&fake);
    let fence = target.observe(now()).await.fence.unwrap();
    let owned = ActuateError::Owned {
        owner: "field manager kubectl-patch".into(),
        field: ".spec.minReplicas".into(),
    };
    assert_eq!(target.apply(&bounds(3, 8, 250.0), &fence).await, Err(owned));
    assert_eq!(fake.writes().len(), 1);
}

#[tokio::test]
async fn bounds_never_follow_the_status() {
    let fake = cluster().on(ORDERS, 200, deployment("7", 9, 9)).on(HPA, 200, hpa_object("20", 2, 6, "100"));
    let reading = hpa_with_metric(&fake).observe(now()).await;
    assert_eq!((reading.current, reading.ceiling), (Some(Replicas(2)), Some(Replicas(6))));
}

#[rstest]
#[case::forbidden(403, "Forbidden", "no patch for you", ActuateError::Forbidden { problem: "no patch for you".into() })]
#[case::invalid(422, "Invalid", "spec.minReplicas: Invalid value: 0", ActuateError::Failed { problem: "spec.minReplicas: Invalid value: 0".into() })]
#[case::gone(404, "NotFound", "gone", ActuateError::Conflict)]
#[tokio::test]
async fn a_refused_write_says_why(
    #[case] code: u16,
    #[case] reason: &str,
    #[case] message: &str,
    #[case] expected: ActuateError,
) {
    let fake = cluster()
        .on(ORDERS, 200, deployment("7", 2, 2))
        .on(HPA, 200, hpa_object("20", 1, 5, "100"))
        .on(HPA, 404, status(404, "NotFound", "gone"))
        .on(PATCH_HPA, code, status(code, reason, message));
    let target = hpa_with_metric(&fake);
    let fence = target.observe(now()).await.fence.unwrap();
    assert_eq!(target.apply(&bounds(3, 8, 250.0), &fence).await, Err(expected));
}

#[tokio::test]
async fn a_value_that_is_no_target_is_not_written() {
    let fake = cluster().on(ORDERS, 200, deployment("7", 2, 2)).on(HPA, 200, hpa_object("20", 3, 8, "100"));
    let target = hpa_with_metric(&fake);
    let fence = target.observe(now()).await.fence.unwrap();
    let failed = ActuateError::Failed { problem: "NaN is no target for a metric".into() };
    assert_eq!(target.apply(&bounds(3, 8, f64::NAN), &fence).await, Err(failed));
    assert_eq!(fake.writes(), []);
}
