//! Executors of a running application whose Pods a Deployment or a StatefulSet keeps, against an API server and a driver
//! that answer from a script.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rstest::rstest;
use serde_json::{Value, json};
use tidegate::actuators::owners::Tenure;
use tidegate::actuators::{ActuateError, Actuator, Actuators};
use tidegate::engine::Change;
use tidegate::engine::observation::{LimitCause, Quality, TargetHold, TargetLimit, TargetReading};
use tidegate::policy::read::read_policies;
use tidegate::policy::{Replicas, TimeSpan};
use tidegate::sources::Connections;
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::fake::Fake;

const APP: &str = "GET /apis/sparkoperator.k8s.io/v1beta2/namespaces/shop/sparkapplications/orders";
const APACHE: &str = "GET /apis/spark.apache.org/v1/namespaces/shop/sparkapplications/orders";
const APPS: &str = "GET /apis/apps/v1";
const DEPLOYMENT: &str = "GET /apis/apps/v1/namespaces/shop/deployments/spark-d-spark-1-0";
const SCALE_D: &str = "PATCH /apis/apps/v1/namespaces/shop/deployments/spark-d-spark-1-0/scale";
const STATEFUL_SET: &str = "GET /apis/apps/v1/namespaces/shop/statefulsets/spark-s-spark-1-0";
const SCALE_S: &str = "PATCH /apis/apps/v1/namespaces/shop/statefulsets/spark-s-spark-1-0/scale";
const HPAS: &str = "GET /apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers";
const QUOTAS: &str = "GET /api/v1/namespaces/shop/resourcequotas";
const PODS: &str = "GET /api/v1/namespaces/shop/pods";
const PATCH_A: &str = "PATCH /api/v1/namespaces/shop/pods/exec-a";
const PATCH_B: &str = "PATCH /api/v1/namespaces/shop/pods/exec-b";
const COST: &str = "controller.kubernetes.io/pod-deletion-cost";

fn now() -> Timestamp {
    "2026-11-21T08:00:00Z".parse().unwrap()
}

fn application(over: &Value, state: &str) -> Value {
    let mut object = json!({
        "apiVersion": "sparkoperator.k8s.io/v1beta2", "kind": "SparkApplication",
        "metadata": {"name": "orders", "namespace": "shop", "uid": "u1", "resourceVersion": "3", "labels": {}},
        "spec": {"type": "Python", "executor": {"cores": 1, "instances": 3}},
        "status": {"applicationState": {"state": state}, "sparkApplicationId": "spark-1"},
    });
    for (pointer, value) in over.as_object().unwrap() {
        *object.pointer_mut(pointer).unwrap() = value.clone();
    }
    object
}

/// The set that keeps the executors, of which so many are there.
fn set(kind: &str, replicas: u32, ready: u32) -> Value {
    let letter = if kind == "Deployment" { "d" } else { "s" };
    json!({
        "apiVersion": "apps/v1", "kind": kind,
        "metadata": {"name": format!("spark-{letter}-spark-1-0"), "namespace": "shop", "uid": "u2", "resourceVersion": "7", "generation": 1},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"spark-app-selector": "spark-1", "spark-role": "executor"}},
            "template": {"spec": {"containers": [{"resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}]}},
        },
        "status": {
            "observedGeneration": 1, "replicas": replicas, "updatedReplicas": replicas, "readyReplicas": ready,
            "availableReplicas": ready,
        },
    })
}

/// An executor's Pod, created some seconds ago.
fn pod(name: &str, executor: &str, age: i64, cost: &str) -> Value {
    let created = now() - SignedDuration::from_secs(age);
    json!({
        "metadata": {
            "name": name, "namespace": "shop", "uid": name, "resourceVersion": "5", "creationTimestamp": created,
            "labels": {"spark-exec-id": executor}, "annotations": {COST: cost},
        },
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    })
}

fn list(items: &[Value]) -> Value {
    json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items})
}

fn cluster() -> Fake {
    let resource = |name: &str, kind: &str| json!({"name": name, "singularName": "", "namespaced": true, "kind": kind, "verbs": ["get"]});
    let kinds = [("deployments", "Deployment"), ("statefulsets", "StatefulSet")];
    let resources: Vec<Value> = kinds
        .iter()
        .flat_map(|(name, kind)| [resource(name, kind), resource(&format!("{name}/scale"), "Scale")])
        .collect();
    let apps = json!({"kind": "APIResourceList", "groupVersion": "apps/v1", "resources": resources});
    Fake::default().on(APPS, 200, apps).on(HPAS, 200, list(&[]))
}

fn scaled() -> Value {
    json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {"name": "s"}, "spec": {"replicas": 2}, "status": {"replicas": 3}})
}

/// A driver that was started with these settings, and whose executors run so many tasks each.
async fn driver(settings: &[(&str, &str)], profiles: usize, tasks: &[(&str, u32)]) -> MockServer {
    let server = MockServer::start().await;
    let apps = json!([{"id": "spark-1", "attempts": [{"completed": false, "startTimeEpoch": 1_795_259_000_000_i64}]}]);
    let profile = json!({"id": 0, "executorResources": {}, "taskResources": {}});
    let environment = json!({"sparkProperties": settings, "resourceProfiles": vec![profile; profiles]});
    let executor = |(id, tasks): &(&str, u32)| json!({"id": id, "isActive": true, "maxTasks": 1, "activeTasks": tasks, "totalDuration": 9, "rddBlocks": 0});
    let executors: Vec<Value> = tasks.iter().map(executor).collect();
    let answers =
        [("", apps), ("/spark-1/environment", environment), ("/spark-1/allexecutors", json!(executors))];
    for (tail, body) in answers {
        let answer = ResponseTemplate::new(200).set_body_json(body);
        Mock::given(path(format!("/api/v1/applications{tail}"))).respond_with(answer).mount(&server).await;
    }
    server
}

const DEPLOYED: (&str, &str) = ("spark.kubernetes.allocation.pods.allocator", "deployment");
const STATEFUL: (&str, &str) = ("spark.kubernetes.allocation.pods.allocator", "statefulset");
const DRAINS: (&str, &str) = ("spark.decommission.enabled", "true");

fn target(fake: &Fake, driver: &MockServer, api: &str, rung: &str) -> Arc<dyn Actuator> {
    let settings = json!({
        "apiVersion": "tidegate.dev/v1alpha1", "kind": "Settings",
        "connections": {"spark": {"app": {"checkpoints": "/nonexistent", "driver": driver.uri()}}},
    });
    let connections = Connections::new(&serde_json::from_value(settings).unwrap()).unwrap();
    let document = json!({
        "apiVersion": "tidegate.dev/v1alpha1", "kind": "ScalingPolicy",
        "metadata": {"name": "orders", "namespace": "shop"},
        "spec": {
            "target": {"sparkApplication": {"apiVersion": api, "name": "orders", "maxRung": rung}},
            "sources": [{"spark": {"app": "app", "cluster": "main", "topics": ["orders"], "checkpoint": "orders"}}],
            "objective": {"maxLag": "60s"}, "minReplicas": 1, "maxReplicas": 8,
        },
    });
    let policy = read_policies("test", &document.to_string(), None, TimeSpan::from_secs(15)).remove(0);
    let makes = Actuators::new(fake.client()).with_spark(connections.spark());
    makes.for_policy(&policy.result.unwrap(), Tenure::default())
}

const KUBEFLOW: &str = "sparkoperator.k8s.io/v1beta2";

fn to(replicas: u32) -> Change {
    Change { replicas: Replicas(replicas), ceiling: None, metric_target: None }
}

fn runs(fake: Fake) -> Fake {
    fake.on(APP, 200, application(&json!({}), "RUNNING")).on(QUOTAS, 200, list(&[]))
}

#[tokio::test]
async fn more_executors_are_one_fenced_write_of_the_set() {
    let driver = driver(&[DEPLOYED, DRAINS], 1, &[]).await;
    let fake = runs(cluster()).on(DEPLOYMENT, 200, set("Deployment", 3, 3)).on(SCALE_D, 200, scaled());
    let target = target(&fake, &driver, KUBEFLOW, "scaleAllocator");
    let reading = target.observe(now()).await;
    assert_eq!((reading.quality, &reading.hold, reading.limit), (Quality::Ok, &None, None), "{reading:?}");
    assert_eq!(
        (reading.current, reading.ready, reading.settled),
        (Some(Replicas(3)), Some(Replicas(3)), true)
    );
    let rung = target.rung().unwrap();
    assert!(rung.starts_with("rung scaleAllocator: replicas of the Deployment spark-d-spark-1-0"), "{rung}");
    assert_eq!(target.plan(&to(5)).unwrap(), "kubectl scale deployment spark-d-spark-1-0 --replicas=5");
    assert_eq!(target.apply(&to(5), &reading.fence.unwrap()).await, Ok(()));
    let [write] = fake.writes().try_into().unwrap();
    assert_eq!(write.call, SCALE_D);
    assert_eq!(
        write.body,
        json!({"metadata": {"uid": "u2", "resourceVersion": "7"}, "spec": {"replicas": 5}})
    );
}

/// The busy executor is the youngest: left alone, a `ReplicaSet` would take it.
#[tokio::test]
async fn of_a_deployment_idle_executors_go_first() {
    let driver = driver(&[DEPLOYED], 1, &[("1", 0), ("2", 1), ("3", 1)]).await;
    let pods =
        [pod("exec-a", "1", 900, "0"), pod("exec-b", "2", 60, "-1900514"), pod("exec-c", "3", 30, "0")];
    let fake = runs(cluster())
        .on(DEPLOYMENT, 200, set("Deployment", 3, 3))
        .on(PODS, 200, list(&pods))
        .on(PATCH_A, 200, pods[0].clone())
        .on(PATCH_B, 200, pods[1].clone())
        .on(SCALE_D, 200, scaled());
    let target = target(&fake, &driver, KUBEFLOW, "scaleAllocator");
    let fence = target.observe(now()).await.fence.unwrap();
    assert_eq!(target.apply(&to(2), &fence).await, Ok(()));
    let writes = fake.writes();
    let calls: Vec<_> = writes.iter().map(|write| write.call.as_str()).collect();
    assert_eq!(calls, [PATCH_A, PATCH_B, SCALE_D], "b was chosen earlier, and is not to go any more");
    let expected = |pod: &str, cost: &str| json!({"metadata": {"uid": pod, "resourceVersion": "5", "annotations": {COST: cost}}});
    assert_eq!(writes[0].body, expected("exec-a", "-1900514"));
    assert_eq!(writes[1].body, expected("exec-b", "0"));

    let waits = target.apply(&to(1), &fence).await;
    let problem = "1 of the executors that would go are at work, and would lose it: set \
                   spark.decommission.enabled=true, or wait until they are idle";
    assert_eq!(waits, Err(ActuateError::Deferred { problem: problem.to_owned() }));
    assert_eq!(fake.writes().len(), 3, "and nothing is written for it");
}

#[rstest]
#[case::drains(&[STATEFUL, DRAINS], true)]
#[case::kills(&[STATEFUL], false)]
#[tokio::test]
async fn of_a_stateful_set_the_highest_numbers_go(#[case] settings: &[(&str, &str)], #[case] goes: bool) {
    let driver = driver(settings, 1, &[("1", 0), ("2", 1)]).await;
    let pods = [pod("spark-s-spark-1-0-0", "1", 60, "0"), pod("spark-s-spark-1-0-1", "2", 60, "0")];
    let fake = runs(cluster()).on(STATEFUL_SET, 200, set("StatefulSet", 2, 2)).on(PODS, 200, list(&pods)).on(
        SCALE_S,
        200,
        scaled(),
    );
    let target = target(&fake, &driver, KUBEFLOW, "restart");
    let fence = target.observe(now()).await.fence.unwrap();
    let applied = target.apply(&to(1), &fence).await;
    let calls: Vec<_> = fake.writes().into_iter().map(|write| write.call).collect();
    if goes {
        assert_eq!((applied, calls), (Ok(()), vec![SCALE_S.to_owned()]));
    } else {
        assert!(matches!(applied, Err(ActuateError::Deferred { .. })), "{applied:?}");
        assert_eq!(calls, Vec::<String>::new());
    }
}

#[tokio::test]
async fn quotas_and_pods_that_wait_are_limits() {
    let driver = driver(&[DEPLOYED, DRAINS], 1, &[]).await;
    let quota = json!({"metadata": {"name": "team"}, "spec": {"hard": {"requests.cpu": "6"}}, "status": {"hard": {"requests.cpu": "6"}, "used": {"requests.cpu": "4"}}});
    let fake = cluster().on(APP, 200, application(&json!({}), "RUNNING")).on(QUOTAS, 200, list(&[quota])).on(
        DEPLOYMENT,
        200,
        set("Deployment", 3, 3),
    );
    let reading = target(&fake, &driver, KUBEFLOW, "scaleAllocator").observe(now()).await;
    assert_eq!(reading.limit, Some(TargetLimit { most: Replicas(5), cause: LimitCause::Quota }));

    let mut stuck = pod("exec-c", "EXECID", 61, "0");
    stuck["status"] = json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}]});
    let with = |stuck: Value| {
        let pods = list(&[pod("exec-a", "1", 900, "0"), pod("exec-b", "2", 900, "0"), stuck]);
        runs(cluster()).on(DEPLOYMENT, 200, set("Deployment", 3, 2)).on(PODS, 200, pods)
    };
    let fake = with(stuck.clone());
    let waits = target(&fake, &driver, KUBEFLOW, "scaleAllocator");
    let reading = waits.observe(now()).await;
    assert_eq!(reading.limit, Some(TargetLimit { most: Replicas(3), cause: LimitCause::Pending }));
    let rung = waits.rung().unwrap();
    assert!(rung.ends_with("1 Pods have been Pending for over 60 s (0/3 nodes are available)"), "{rung}");
    stuck["metadata"]["creationTimestamp"] = json!(now() - SignedDuration::from_secs(59));
    let fake = with(stuck);
    assert_eq!(target(&fake, &driver, KUBEFLOW, "scaleAllocator").observe(now()).await.limit, None);
}

fn problem(reading: &TargetReading) -> String {
    match &reading.hold {
        Some(TargetHold::Unfit { problem }) => problem.clone(),
        _ => reading.problem.clone().unwrap_or_default(),
    }
}

#[rstest]
#[case::spec_on(&[DEPLOYED], 1, json!({"/spec": {"dynamicAllocation": {"enabled": true, "maxExecutors": 4}}}), "RUNNING", "dynamic allocation is on")]
#[case::conf_on(&[DEPLOYED], 1, json!({"/spec": {"sparkConf": {"spark.dynamicAllocation.enabled": "true"}}}), "RUNNING", "dynamic allocation is on")]
#[case::driver_on(&[DEPLOYED, ("spark.dynamicAllocation.enabled", "true")], 1, json!({}), "RUNNING", "its driver runs with dynamic allocation")]
#[case::direct(&[], 1, json!({}), "RUNNING", "its driver makes every executor's Pod itself: start it with spark.kubernetes.allocation.pods.allocator=deployment")]
#[case::profiles(&[DEPLOYED], 2, json!({}), "RUNNING", "it asks for 2 kinds of executors (resource profiles)")]
#[case::completed(&[DEPLOYED], 1, json!({}), "COMPLETED", "it has ended (COMPLETED)")]
#[case::failed(&[DEPLOYED], 1, json!({}), "FAILED", "it has ended (FAILED)")]
#[case::suspended(&[DEPLOYED], 1, json!({"/spec": {"suspend": true}}), "SUSPENDED", "it is suspended")]
#[case::queued(&[DEPLOYED], 1, json!({"/metadata/labels": {"kueue.x-k8s.io/queue-name": "team"}}), "RUNNING", "the queue team admits it")]
#[case::another(&[DEPLOYED], 1, json!({"/status/sparkApplicationId": "spark-2"}), "RUNNING", "the operator says spark-2 of orders, and the driver that answers is spark-1")]
#[tokio::test]
async fn what_is_refused_is_never_written(
    #[case] settings: &[(&str, &str)],
    #[case] profiles: usize,
    #[case] over: Value,
    #[case] state: &str,
    #[case] why: &str,
) {
    let driver = driver(settings, profiles, &[]).await;
    let fake = cluster().on(APP, 200, application(&over, state)).on(QUOTAS, 200, list(&[])).on(
        DEPLOYMENT,
        200,
        set("Deployment", 3, 3),
    );
    let target = target(&fake, &driver, KUBEFLOW, "scaleAllocator");
    let reading = target.observe(now()).await;
    assert_ne!(reading.quality, Quality::Ok);
    assert!(problem(&reading).contains(why), "{reading:?}");
    assert_eq!(target.tend(now()).await, Ok(()));
    let fence = tidegate::engine::observation::Fence { uid: "u2".into(), resource_version: "7".into() };
    assert!(target.apply(&to(5), &fence).await.is_err(), "not even where it is told to");
    assert_eq!(fake.writes(), []);
}

#[tokio::test]
async fn without_its_driver_nothing_is_known() {
    let driver = MockServer::start().await;
    let fake = runs(cluster()).on(DEPLOYMENT, 200, set("Deployment", 3, 3));
    let reading = target(&fake, &driver, KUBEFLOW, "scaleAllocator").observe(now()).await;
    assert_eq!((reading.quality, reading.current), (Quality::Missing, None), "{reading:?}");
}

/// The same rung, whoever runs the application.
#[tokio::test]
async fn an_application_of_the_apache_operator_is_moved_the_same_way() {
    let driver = driver(&[STATEFUL, DRAINS], 1, &[]).await;
    let object = |state: &str, conf: Value| {
        json!({
            "apiVersion": "spark.apache.org/v1", "kind": "SparkApplication",
            "metadata": {"name": "orders", "namespace": "shop", "uid": "u1", "resourceVersion": "3"},
            "spec": {"sparkConf": conf}, "status": {"currentState": {"currentStateSummary": state}},
        })
    };
    let with = |object: Value| {
        cluster()
            .on(APACHE, 200, object)
            .on(QUOTAS, 200, list(&[]))
            .on(STATEFUL_SET, 200, set("StatefulSet", 2, 2))
            .on(SCALE_S, 200, scaled())
    };
    let fake = with(object("RunningHealthy", json!({})));
    let moved = target(&fake, &driver, "spark.apache.org/v1", "scaleAllocator");
    let fence = moved.observe(now()).await.fence.unwrap();
    assert_eq!(moved.apply(&to(3), &fence).await, Ok(()));
    assert_eq!(fake.writes()[0].call, SCALE_S);

    let fake = with(object("Succeeded", json!({})));
    let ended = target(&fake, &driver, "spark.apache.org/v1", "scaleAllocator").observe(now()).await;
    assert!(problem(&ended).contains("it has ended (Succeeded)"), "{ended:?}");

    let dynamic = json!({
        "spark.dynamicAllocation.enabled": "true", "spark.dynamicAllocation.minExecutors": "1",
        "spark.dynamicAllocation.maxExecutors": "4",
    });
    let fake = with(object("RunningHealthy", dynamic));
    let shown = target(&fake, &driver, "spark.apache.org/v1", "recommend");
    let reading = shown.observe(now()).await;
    assert_eq!((reading.current, reading.ceiling), (Some(Replicas(1)), Some(Replicas(4))));
    let rung = shown.rung().unwrap();
    assert!(
        rung.starts_with("rung recommend: Spark takes no new bounds while it runs, and the operator reads"),
        "{rung}"
    );
    let plan = shown.plan(&Change { ceiling: Some(Replicas(6)), ..to(3) }).unwrap();
    let command = r#"kubectl patch sparkapplications.spark.apache.org orders --type merge -p '{"metadata":{"annotations":{"tidegate.dev/policy":"shop/orders"}},"spec":{"sparkConf":{"spark.dynamicAllocation.maxExecutors":"6","spark.dynamicAllocation.minExecutors":"3"}}}'"#;
    assert!(plan.contains(command), "{plan}");
    assert!(shown.apply(&to(3), &reading.fence.unwrap()).await.is_err());
    assert_eq!(fake.writes(), []);
}
