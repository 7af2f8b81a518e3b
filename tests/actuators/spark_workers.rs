//! Workers of standalone clusters, plain ones and the Apache operator's, against an API server and a master that answer
//! from a script.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rstest::rstest;
use serde_json::{Value, json};
use tidegate::actuators::owners::Tenure;
use tidegate::actuators::{ActuateError, Actuator, Actuators};
use tidegate::engine::Change;
use tidegate::engine::observation::{Fence, Quality, TargetHold};
use tidegate::policy::read::read_policies;
use tidegate::policy::{Replicas, TimeSpan};
use tidegate::sources::Connections;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::fake::{Fake, status};

const CLUSTER: &str = "GET /apis/spark.apache.org/v1/namespaces/shop/sparkclusters/orders";
const HPA: &str = "GET /apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers/orders-worker-hpa";
const PATCH_HPA: &str =
    "PATCH /apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers/orders-worker-hpa";
const HPAS: &str = "GET /apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers";
const APPS: &str = "GET /apis/apps/v1";
const STATEFUL_SET: &str = "GET /apis/apps/v1/namespaces/shop/statefulsets/orders-worker";
const SCALE_S: &str = "PATCH /apis/apps/v1/namespaces/shop/statefulsets/orders-worker/scale";
const DEPLOYMENT: &str = "GET /apis/apps/v1/namespaces/shop/deployments/orders-worker";
const SCALE_D: &str = "PATCH /apis/apps/v1/namespaces/shop/deployments/orders-worker/scale";
const PODS: &str = "GET /api/v1/namespaces/shop/pods";
const PATCH_1: &str = "PATCH /api/v1/namespaces/shop/pods/orders-worker-1";

fn at(second: i64) -> Timestamp {
    "2026-11-21T08:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(second)
}

fn set(kind: &str, replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": kind,
        "metadata": {"name": "orders-worker", "namespace": "shop", "uid": "u2", "resourceVersion": "7", "generation": 1},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"role": "worker"}}},
        "status": {
            "observedGeneration": 1, "replicas": replicas, "updatedReplicas": replicas, "readyReplicas": replicas,
            "availableReplicas": replicas,
        },
    })
}

fn pod(number: u32) -> Value {
    let name = format!("orders-worker-{number}");
    json!({
        "metadata": {"name": name, "namespace": "shop", "uid": name, "resourceVersion": "5", "creationTimestamp": at(-900)},
        "status": {
            "phase": "Running", "podIP": format!("10.0.0.{number}"), "conditions": [{"type": "Ready", "status": "True"}],
        },
    })
}

fn list(items: &[Value]) -> Value {
    json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items})
}

fn scaled() -> Value {
    json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {"name": "s"}, "spec": {"replicas": 2}, "status": {"replicas": 3}})
}

/// Three workers that a StatefulSet or a Deployment keeps.
fn api() -> Fake {
    let resource = |name: &str, kind: &str| json!({"name": name, "singularName": "", "namespaced": true, "kind": kind, "verbs": ["get"]});
    let kinds = [("deployments", "Deployment"), ("statefulsets", "StatefulSet")];
    let resources: Vec<Value> = kinds
        .iter()
        .flat_map(|(name, kind)| [resource(name, kind), resource(&format!("{name}/scale"), "Scale")])
        .collect();
    let apps = json!({"kind": "APIResourceList", "groupVersion": "apps/v1", "resources": resources});
    Fake::default()
        .on(APPS, 200, apps)
        .on(HPAS, 200, list(&[]))
        .on(PODS, 200, list(&[pod(0), pod(1), pod(2)]))
        .on(STATEFUL_SET, 200, set("StatefulSet", 3))
        .on(DEPLOYMENT, 200, set("Deployment", 3))
        .on(SCALE_S, 200, scaled())
        .on(SCALE_D, 200, scaled())
        .on(PATCH_1, 200, pod(1))
}

/// A master's workers: host, state and cores that executors have.
async fn says(master: &MockServer, workers: &[(&str, &str, u32)], code: u16) {
    master.reset().await;
    let worker = |(host, state, used): &(&str, &str, u32)| json!({"id": host, "host": host, "state": state, "cores": 2, "coresused": used});
    let workers: Vec<Value> = workers.iter().map(worker).collect();
    let told = json!({"workers": workers, "activeapps": [], "status": "ALIVE"});
    Mock::given(method("GET"))
        .and(path("/json/"))
        .respond_with(ResponseTemplate::new(200).set_body_json(told))
        .mount(master)
        .await;
    Mock::given(method("POST"))
        .and(path("/workers/kill/"))
        .respond_with(ResponseTemplate::new(code))
        .mount(master)
        .await;
}

async fn decommissioned(master: &MockServer) -> Vec<String> {
    let requests = master.received_requests().await.unwrap();
    let posts = requests.iter().filter(|request| request.method.as_str() == "POST");
    posts.map(|request| request.url.query().unwrap_or_default().to_owned()).collect()
}

fn target(fake: &Fake, master: &str, target: &Value) -> Arc<dyn Actuator> {
    let settings = json!({
        "apiVersion": "tidegate.dev/v1alpha1", "kind": "Settings",
        "connections": {"spark": {"app": {"checkpoints": "/nonexistent", "master": master}}},
    });
    let connections = Connections::new(&serde_json::from_value(settings).unwrap()).unwrap();
    let document = json!({
        "apiVersion": "tidegate.dev/v1alpha1", "kind": "ScalingPolicy",
        "metadata": {"name": "orders", "namespace": "shop"},
        "spec": {
            "target": target,
            "sources": [{"spark": {"app": "app", "cluster": "main", "topics": ["orders"], "checkpoint": "orders"}}],
            "objective": {"maxLag": "60s"}, "minReplicas": 1, "maxReplicas": 8,
        },
    });
    let policy = read_policies("test", &document.to_string(), None, TimeSpan::from_secs(15)).remove(0);
    let makes = Actuators::new(fake.client()).with_spark(connections.spark());
    makes.for_policy(&policy.result.unwrap(), Tenure::default())
}

fn plain(kind: &str) -> Value {
    json!({"scaleTargetRef": {"kind": kind, "name": "orders-worker"}})
}

fn to(replicas: u32) -> Change {
    Change { replicas: Replicas(replicas), ceiling: None, metric_target: None }
}

fn calls(fake: &Fake) -> Vec<String> {
    fake.writes().into_iter().map(|write| write.call).collect()
}

async fn seen(target: &dyn Actuator, second: i64) -> Fence {
    let reading = target.observe(at(second)).await;
    assert_eq!((reading.quality, &reading.hold), (Quality::Ok, &None), "{reading:?}");
    reading.fence.unwrap()
}

const ALIVE: &str = "ALIVE";
const GONE: &str = "DECOMMISSIONED";

#[tokio::test]
async fn workers_are_decommissioned_before_they_are_taken_away() {
    let (master, fake) = (MockServer::start().await, api());
    says(&master, &[("10.0.0.0", ALIVE, 1), ("10.0.0.1", ALIVE, 1), ("10.0.0.2", ALIVE, 2)], 200).await;
    let target = target(&fake, &master.uri(), &plain("StatefulSet"));
    let fence = seen(&*target, 0).await;
    let waits = target.apply(&to(2), &fence).await;
    let problem = "decommissioned for 0 s, of 120 s at most: the executors on 10.0.0.2 end their tasks";
    assert_eq!(waits, Err(ActuateError::Deferred { problem: problem.to_owned() }));
    assert_eq!(decommissioned(&master).await, ["host=10.0.0.2"], "the highest number goes");

    // It is brought to its end whether or not fewer are still wanted, and nobody is asked twice.
    says(&master, &[("10.0.0.0", ALIVE, 1), ("10.0.0.1", ALIVE, 1), ("10.0.0.2", GONE, 1)], 200).await;
    seen(&*target, 15).await;
    assert_eq!(target.tend(at(15)).await, Ok(()));
    assert_eq!((calls(&fake), decommissioned(&master).await), (vec![], vec![]));
    let rung = target.rung().unwrap();
    assert!(rung.contains("decommissioned since 2026-11-21T08:00:00Z: 2 remain"), "{rung}");
    says(&master, &[("10.0.0.0", ALIVE, 1), ("10.0.0.1", ALIVE, 1), ("10.0.0.2", GONE, 0)], 200).await;
    seen(&*target, 30).await;
    assert_eq!(target.tend(at(30)).await, Ok(()));
    let [write] = fake.writes().try_into().unwrap();
    assert_eq!(write.call, SCALE_S);
    assert_eq!(
        write.body,
        json!({"metadata": {"uid": "u2", "resourceVersion": "7"}, "spec": {"replicas": 2}})
    );
    assert_eq!(target.tend(at(30)).await, Ok(()));
    assert_eq!(fake.writes().len(), 1, "once");
}

/// As a real master and a real worker tell it: the one counts the cores of executors that it has decommissioned on, and
/// the other knows when they have ended.
#[tokio::test]
async fn a_decommissioned_worker_itself_says_when_its_executors_have_ended() {
    let (master, worker, fake) = (MockServer::start().await, MockServer::start().await, api());
    says(&master, &[("10.0.0.2", ALIVE, 1)], 200).await;
    let target = target(&fake, &master.uri(), &plain("StatefulSet"));
    let fence = seen(&*target, 0).await;
    assert!(target.apply(&to(2), &fence).await.is_err());
    for (second, used) in [(10, 1), (20, 0)] {
        let gone = json!({
            "host": "10.0.0.2", "state": GONE, "cores": 2, "coresused": 1, "webuiaddress": worker.uri(),
        });
        let told = json!({"workers": [gone], "activeapps": [], "status": "ALIVE"});
        master.reset().await;
        let answer = ResponseTemplate::new(200).set_body_json(told);
        Mock::given(path("/json/")).respond_with(answer).mount(&master).await;
        worker.reset().await;
        let answer = ResponseTemplate::new(200).set_body_json(json!({"cores": 2, "coresused": used}));
        Mock::given(path("/json/")).respond_with(answer).mount(&worker).await;
        assert_eq!(calls(&fake), Vec::<String>::new(), "not before they have ended");
        seen(&*target, second).await;
        assert_eq!(target.tend(at(second)).await, Ok(()));
    }
    assert_eq!(calls(&fake), [SCALE_S], "as soon as they have");
}

#[tokio::test]
async fn tasks_without_end_are_waited_for_so_long_and_no_longer() {
    let (master, fake) = (MockServer::start().await, api());
    says(&master, &[("10.0.0.2", ALIVE, 2)], 200).await;
    let target = target(&fake, &master.uri(), &plain("StatefulSet"));
    let fence = seen(&*target, 0).await;
    assert!(target.apply(&to(2), &fence).await.is_err());
    says(&master, &[("10.0.0.2", GONE, 2)], 200).await;
    let fence = seen(&*target, 119).await;
    assert!(target.apply(&to(2), &fence).await.is_err());
    let fence = seen(&*target, 120).await;
    assert_eq!(target.apply(&to(2), &fence).await, Ok(()));
    assert_eq!(calls(&fake), [SCALE_S]);
}

#[tokio::test]
async fn more_are_asked_for_at_once_and_after_those_that_go() {
    let (master, fake) = (MockServer::start().await, api());
    says(&master, &[("10.0.0.2", ALIVE, 2)], 200).await;
    let target = target(&fake, &master.uri(), &plain("StatefulSet"));
    let fence = seen(&*target, 0).await;
    assert_eq!(target.apply(&to(5), &fence).await, Ok(()));
    assert_eq!((calls(&fake), decommissioned(&master).await), (vec![SCALE_S.to_owned()], vec![]));

    assert!(target.apply(&to(2), &fence).await.is_err());
    let later = target.apply(&to(6), &fence).await;
    let problem = "decommissioned workers go first, 2 remain: more at the next turn";
    assert_eq!(later, Err(ActuateError::Deferred { problem: problem.to_owned() }));
    assert_eq!(fake.writes()[1].body["spec"]["replicas"], 2);
    assert_eq!(target.apply(&to(6), &fence).await, Ok(()));
    assert_eq!(fake.writes()[2].body["spec"]["replicas"], 6);
}

#[tokio::test]
async fn of_a_deployment_the_idlest_worker_goes() {
    let (master, fake) = (MockServer::start().await, api());
    says(
        &master,
        &[("10.0.0.0", ALIVE, 1), ("orders-worker-1.workers", ALIVE, 0), ("10.0.0.2", ALIVE, 2)],
        200,
    )
    .await;
    let target = target(&fake, &master.uri(), &plain("Deployment"));
    let fence = seen(&*target, 0).await;
    assert!(target.apply(&to(2), &fence).await.is_err());
    assert_eq!(decommissioned(&master).await, ["host=orders-worker-1.workers"]);
    let cost = fake.writes()[0].body["metadata"]["annotations"]["controller.kubernetes.io/pod-deletion-cost"]
        .clone();
    assert_eq!((calls(&fake), cost), (vec![PATCH_1.to_owned()], json!("-1900514")));
}

#[rstest]
#[case::refused(405, &[("10.0.0.2", ALIVE, 0)], "refuses to decommission workers (405): set spark.decommission.enabled=true and spark.master.ui.decommission.allow.mode=ALLOW")]
#[case::forbidden(403, &[("10.0.0.2", ALIVE, 0)], "refuses to decommission workers (403)")]
#[case::unknown(404, &[("10.0.0.2", ALIVE, 0)], "knows no worker on 10.0.0.2")]
#[case::shared(200, &[("10.0.0.2", ALIVE, 0), ("10.0.0.2", ALIVE, 0)], "several workers are on 10.0.0.2")]
#[tokio::test]
async fn no_worker_goes_that_the_master_does_not_let_go(
    #[case] code: u16,
    #[case] workers: &[(&str, &str, u32)],
    #[case] why: &str,
) {
    let (master, fake) = (MockServer::start().await, api());
    says(&master, workers, code).await;
    let target = target(&fake, &master.uri(), &plain("StatefulSet"));
    let fence = seen(&*target, 0).await;
    match target.apply(&to(2), &fence).await {
        Err(ActuateError::Failed { problem }) => assert!(problem.contains(why), "{problem}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(calls(&fake), Vec::<String>::new());
}

#[rstest]
#[case::html(ResponseTemplate::new(200).set_body_raw("<html>", "text/html"), "answers HTML instead of JSON: `master` names something else")]
#[case::driver(ResponseTemplate::new(200).set_body_json(json!([{"id": "app"}])), "answers something else than a master does")]
#[case::standby(ResponseTemplate::new(200).set_body_json(json!({"workers": [], "status": "STANDBY"})), "is STANDBY: name the one that leads")]
#[tokio::test]
async fn what_is_no_master_is_not_asked(#[case] answer: ResponseTemplate, #[case] why: &str) {
    let (master, fake) = (MockServer::start().await, api());
    Mock::given(path("/json/")).respond_with(answer).mount(&master).await;
    let target = target(&fake, &master.uri(), &plain("StatefulSet"));
    let fence = seen(&*target, 0).await;
    match target.apply(&to(2), &fence).await {
        Err(ActuateError::Deferred { problem }) => assert!(problem.contains(why), "{problem}"),
        other => panic!("{other:?}"),
    }
    assert_eq!((calls(&fake), decommissioned(&master).await), (vec![], vec![]));
}

fn cluster(state: &str) -> Value {
    json!({
        "apiVersion": "spark.apache.org/v1", "kind": "SparkCluster",
        "metadata": {"name": "orders", "namespace": "shop", "uid": "u1", "resourceVersion": "3"},
        "spec": {"clusterTolerations": {"instanceConfig": {"initWorkers": 3, "minWorkers": 3, "maxWorkers": 3}}},
        "status": {"currentState": {"currentStateSummary": state}},
    })
}

fn spark_cluster() -> Value {
    json!({"sparkCluster": {"name": "orders"}})
}

#[tokio::test]
async fn a_cluster_without_an_hpa_is_moved_by_its_stateful_set() {
    let master = MockServer::start().await;
    says(&master, &[("10.0.0.2", GONE, 0)], 200).await;
    let fake = api().on(CLUSTER, 200, cluster("RunningHealthy"));
    let target = target(&fake, &master.uri(), &spark_cluster());
    let fence = seen(&*target, 0).await;
    assert_eq!(fence.uid, "u2", "of the StatefulSet");
    assert_eq!(target.apply(&to(2), &fence).await, Ok(()));
    assert_eq!(calls(&fake), [SCALE_S], "and never the cluster itself");
}

#[tokio::test]
async fn a_cluster_with_an_hpa_is_moved_by_its_bounds() {
    let hpa = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "orders-worker-hpa", "namespace": "shop", "uid": "u3", "resourceVersion": "9"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "orders-worker"},
            "minReplicas": 2, "maxReplicas": 4, "metrics": [],
        },
        "status": {"currentReplicas": 3, "desiredReplicas": 3},
    });
    let fake =
        api().on(CLUSTER, 200, cluster("RunningHealthy")).on(HPA, 200, hpa.clone()).on(PATCH_HPA, 200, hpa);
    let target = target(&fake, "http://127.0.0.1:9", &spark_cluster());
    let reading = target.observe(at(0)).await;
    assert_eq!((reading.current, reading.ceiling), (Some(Replicas(2)), Some(Replicas(4))), "{reading:?}");
    let change = Change { ceiling: Some(Replicas(6)), ..to(4) };
    assert_eq!(target.apply(&change, &reading.fence.unwrap()).await, Ok(()));
    let [write] = fake.writes().try_into().unwrap();
    assert_eq!(
        (write.call.as_str(), &write.body["spec"]),
        (PATCH_HPA, &json!({"minReplicas": 4, "maxReplicas": 6}))
    );
    assert!(
        target
            .rung()
            .unwrap()
            .starts_with("rung workers: bounds of the HorizontalPodAutoscaler orders-worker-hpa")
    );
}

#[rstest]
#[case::starting("Submitted", Some("its operator has not made its workers yet"))]
#[case::failed("Failed", None)]
#[case::unschedulable("SchedulingFailure", None)]
#[case::released("ResourceReleased", None)]
#[tokio::test]
async fn a_cluster_that_does_not_run_is_left_alone(#[case] state: &str, #[case] waits: Option<&str>) {
    let fake = api().on(CLUSTER, 200, cluster(state)).on(HPA, 404, status(404, "NotFound", "no such HPA"));
    let target = target(&fake, "http://127.0.0.1:9", &spark_cluster());
    let reading = target.observe(at(0)).await;
    if let Some(what) = waits {
        assert_eq!(reading.hold, Some(TargetHold::Unsettled { what: what.to_owned() }));
    } else {
        assert_eq!(reading.quality, Quality::Rejected);
        assert!(reading.problem.unwrap().contains(state));
        let fence = Fence { uid: "u2".into(), resource_version: "7".into() };
        assert!(target.apply(&to(2), &fence).await.is_err());
    }
    assert_eq!(target.tend(at(0)).await, Ok(()));
    assert_eq!(fake.writes(), []);
}
