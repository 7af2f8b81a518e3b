//! TaskManagers that a Deployment keeps beside a job on a plain cluster. The API server is a script.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tidegate::actuators::owners::Tenure;
use tidegate::actuators::{ActuateError, Actuator, Actuators};
use tidegate::engine::observation::{LimitCause, Quality, TargetHold, TargetLimit};
use tidegate::policy::Replicas;
use tidegate::sources::Connections;

use super::{JobManager, SOURCE, WORK, change, now, policy};
use crate::actuators::fake::Fake;

const KINDS: &str = "GET /apis/apps/v1";
const READ: &str = "GET /apis/apps/v1/namespaces/shop/deployments/tm";
const SCALE: &str = "PATCH /apis/apps/v1/namespaces/shop/deployments/tm/scale";
const HPAS: &str = "GET /apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers";
const OBJECTS: &str = "GET /apis/keda.sh/v1alpha1/namespaces/shop/scaledobjects";
const PODS: &str = "GET /api/v1/namespaces/shop/pods";

fn at(second: i64) -> Timestamp {
    now() + SignedDuration::from_secs(second)
}

/// A Deployment that has settled at so many.
fn deployment(replicas: u32) -> Value {
    json!({
        "metadata": {"name": "tm", "namespace": "shop", "uid": "u1", "resourceVersion": "7", "generation": 1},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "tm"}}},
        "status": {"observedGeneration": 1, "replicas": replicas, "readyReplicas": replicas,
            "updatedReplicas": replicas, "availableReplicas": replicas},
    })
}

fn pod(name: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "shop", "uid": name, "resourceVersion": "1", "labels": {"app": "tm"}},
        "status": {"phase": "Running", "podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]},
    })
}

fn list(items: &[Value]) -> Value {
    json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items})
}

fn cluster(first: Value) -> Fake {
    let resource = |name: &str, kind: &str| json!({"name": name, "singularName": "", "namespaced": true, "kind": kind, "verbs": ["get"]});
    let kinds = json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "apps/v1",
        "resources": [resource("deployments", "Deployment"), resource("deployments/scale", "Scale")]});
    let none = list(&[]);
    let pods = list(&[pod("one"), pod("two")]);
    let scale = json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {"name": "tm", "namespace": "shop"}, "spec": {"replicas": 0}});
    Fake::default()
        .on(KINDS, 200, kinds)
        .on(HPAS, 200, none.clone())
        .on(OBJECTS, 200, none)
        .on(PODS, 200, pods)
        .on(READ, 200, first)
        .on(SCALE, 200, scale)
        .on("PATCH /api/v1/namespaces/shop/pods/one", 200, pod("one"))
        .on("PATCH /api/v1/namespaces/shop/pods/two", 200, pod("two"))
}

fn actuator(manager: &JobManager, fake: &Fake) -> Arc<dyn Actuator> {
    let mut policy = policy();
    let target =
        json!({"flinkCluster": {"cluster": "main", "job": "orders", "taskManagers": {"name": "tm"}}});
    policy.target = serde_json::from_value(target).unwrap();
    let connections = Connections::new(&manager.settings()).unwrap();
    Actuators::new(fake.client()).with_flink(connections.flink()).for_policy(&policy, Tenure::default())
}

/// What was asked of the Deployment.
fn asked(fake: &Fake) -> Vec<u64> {
    let writes = fake.writes();
    let scales = writes.iter().filter(|write| write.call == SCALE);
    scales.map(|write| write.body["spec"]["replicas"].as_u64().unwrap()).collect()
}

/// The recorded cluster: two TaskManagers of four slots.
fn taken(manager: &JobManager, first: u32, second: u32) {
    let one = |id: &str, taken: u32| json!({"id": id, "path": "pekko.tcp://flink@10.0.0.1:1/user/rpc/x", "slotsNumber": 4, "freeSlots": 4 - taken});
    manager.on("/taskmanagers", 200, json!({"taskmanagers": [one("one", first), one("two", second)]}));
}

#[tokio::test]
async fn missing_slots_are_made_before_the_job_is_asked_to_use_them() {
    let manager = JobManager::recorded("2.2").await;
    let fake = cluster(deployment(2)).on(READ, 200, deployment(3));
    let target = actuator(&manager, &fake);
    let reading = target.observe(now()).await;
    let most = TargetLimit { most: Replicas(120), cause: LimitCause::MaxParallelism };
    assert_eq!(
        (reading.hold, reading.problem, reading.limit),
        (None, None, Some(most)),
        "slots are no limit"
    );
    let rung = "rescaled in place; TaskManagers follow by the Deployment tm: 2 of 2 are there";
    assert_eq!(target.rung().as_deref(), Some(rung));
    let plan = target.plan(&change(9)).unwrap();
    assert!(plan.ends_with("; first TaskManagers 2 -> 3"), "{plan}");
    let fence = reading.fence.unwrap();
    let waits = Err(ActuateError::Deferred {
        problem: "2 TaskManagers are there of 3 that it takes: the job is asked to use them once they are"
            .to_owned(),
    });
    assert_eq!(target.apply(&change(9), &fence).await, waits);
    assert_eq!((asked(&fake), manager.sent().len()), (vec![3], 0));
    let write = fake.writes().remove(0);
    assert_eq!(write.body["metadata"], json!({"uid": "u1", "resourceVersion": "7"}), "fenced");

    let fence = target.observe(at(15)).await.fence.unwrap();
    assert_eq!(target.apply(&change(9), &fence).await, waits, "they are on their way");
    assert_eq!((asked(&fake), manager.sent().len()), (vec![3], 0), "asked for once");
    manager.change("/overview", |it| it["taskmanagers"] = 3.into());
    let reading = target.observe(at(30)).await;
    assert_eq!(reading.limit, Some(most), "it is there, and has told of no slots yet");
    let waits = target.apply(&change(9), &reading.fence.unwrap()).await;
    assert!(matches!(waits, Err(ActuateError::Deferred { .. })), "{waits:?}");
    manager.change("/overview", |it| {
        (it["taskmanagers"], it["slots-total"], it["slots-available"]) = (3.into(), 12.into(), 10.into());
    });
    let fence = target.observe(at(45)).await.fence.unwrap();
    assert_eq!(target.apply(&change(9), &fence).await, Ok(()));
    let upper = |upper: u32| json!({"parallelism": {"lowerBound": 1, "upperBound": upper}});
    assert_eq!(
        manager.sent()[0].1,
        json!({SOURCE: upper(4), WORK: upper(9)}),
        "the source has four partitions"
    );
}

/// TaskManagers that do not come do not keep the job from the slots that there are.
#[tokio::test]
async fn after_two_minutes_the_job_makes_do_with_the_slots_there_are() {
    let manager = JobManager::recorded("2.2").await;
    let fake = cluster(deployment(3));
    let target = actuator(&manager, &fake);
    let slots =
        |reading: tidegate::engine::observation::TargetReading| reading.limit.map(|limit| limit.cause);
    assert_eq!(slots(target.observe(now()).await), Some(LimitCause::MaxParallelism));
    assert_eq!(slots(target.observe(at(120)).await), Some(LimitCause::MaxParallelism));
    let late = target.observe(at(121)).await;
    assert_eq!(late.limit, Some(TargetLimit { most: Replicas(8), cause: LimitCause::Slots }));
}

#[tokio::test]
async fn taskmanagers_go_once_they_are_idle_and_have_been_too_many_for_a_while() {
    let manager = JobManager::recorded("2.2").await;
    taken(&manager, 0, 2);
    let fake = cluster(deployment(2));
    let target = actuator(&manager, &fake);
    target.observe(now()).await;
    target.tend(now()).await.unwrap();
    target.observe(at(15)).await;
    target.tend(at(15)).await.unwrap();
    assert_eq!(fake.writes(), [], "the load may come back");
    target.observe(at(30)).await;
    target.tend(at(30)).await.unwrap();
    let writes: Vec<String> = fake.writes().into_iter().map(|write| write.call).collect();
    assert_eq!(writes, ["PATCH /api/v1/namespaces/shop/pods/one", SCALE], "the idle one is told first");
    assert_eq!(asked(&fake), [1]);
    assert_eq!(manager.sent(), [], "the job is not touched");
}

#[tokio::test]
async fn a_taskmanager_that_works_or_is_not_known_stays() {
    let manager = JobManager::recorded("2.2").await;
    let fake = cluster(deployment(2));
    let target = actuator(&manager, &fake);
    let tended = async |second: i64| {
        target.observe(at(second)).await;
        target.tend(at(second)).await
    };
    taken(&manager, 1, 1);
    tended(0).await.unwrap();
    tended(40).await.unwrap();
    manager.on("/taskmanagers", 200, json!({"taskmanagers": []}));
    tended(80).await.unwrap();
    manager.on("/taskmanagers", 500, json!({"errors": ["no"]}));
    assert!(matches!(tended(120).await, Err(ActuateError::Failed { .. })));
    assert_eq!(fake.writes(), []);
}

/// An HPA of their own moves them: then slots are what there are.
#[tokio::test]
async fn taskmanagers_that_somebody_else_moves_are_left_to_them() {
    let manager = JobManager::recorded("2.2").await;
    taken(&manager, 0, 2);
    let hpa = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "h", "namespace": "shop"}, "spec": {"maxReplicas": 9,
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "tm"}}});
    let fake = cluster(deployment(2));
    let hpas = list(&[hpa]);
    let fake = Fake::default()
        .on(HPAS, 200, hpas)
        .on(OBJECTS, 200, list(&[]))
        .on(KINDS, 200, fake.answers(KINDS))
        .on(READ, 200, deployment(2));
    let target = actuator(&manager, &fake);
    for second in [0, 40] {
        let reading = target.observe(at(second)).await;
        let slots = TargetLimit { most: Replicas(8), cause: LimitCause::Slots };
        assert_eq!((reading.hold, reading.limit), (None, Some(slots)));
        target.tend(at(second)).await.unwrap();
    }
    assert_eq!(fake.writes(), []);
    let rung = target.rung().unwrap();
    assert!(rung.ends_with("2 of 2 are there, moved by HorizontalPodAutoscaler shop/h"), "{rung}");
}

#[tokio::test]
async fn a_deployment_that_is_not_there_is_told_and_the_job_moved_without() {
    let manager = JobManager::recorded("2.2").await;
    let fake = cluster(deployment(2));
    let fake = Fake::default().on(KINDS, 200, fake.answers(KINDS)).on(HPAS, 200, list(&[])).on(
        OBJECTS,
        200,
        list(&[]),
    );
    let target = actuator(&manager, &fake);
    let reading = target.observe(now()).await;
    assert_eq!((reading.quality, reading.hold), (Quality::Ok, None));
    let problem = "flink main/orders: its TaskManagers: Deployment shop/tm: there is no such object";
    assert_eq!(reading.problem.as_deref(), Some(problem));
    assert_eq!(target.apply(&change(4), &reading.fence.unwrap()).await, Ok(()));
    assert_eq!(manager.sent().len(), 1);
}

#[tokio::test]
async fn reactive_mode_on_a_plain_cluster_is_moved_by_its_taskmanagers() {
    let manager = JobManager::recorded("2.2").await;
    let job = format!("/jobs/{}", manager.jid());
    let options = [("jobmanager.scheduler", "adaptive"), ("scheduler-mode", "reactive")];
    let options: Vec<_> = options.iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
    manager.on(&format!("{job}/jobmanager/config"), 200, options.into());
    manager.change(&job, |it| it["now"] = (it["timestamps"]["RUNNING"].as_i64().unwrap() + 60_000).into());
    manager.change("/overview", |it| {
        (it["taskmanagers"], it["slots-total"], it["slots-available"]) = (2.into(), 2.into(), 0.into());
    });
    let fake = cluster(deployment(2));
    let target = actuator(&manager, &fake);
    let reading = target.observe(now()).await;
    assert_eq!(
        (reading.current, reading.ready, reading.settled),
        (Some(Replicas(2)), Some(Replicas(2)), true)
    );
    assert_eq!((reading.hold, reading.problem), (None, None));
    target.apply(&change(3), &reading.fence.unwrap()).await.unwrap();
    assert_eq!((asked(&fake), manager.sent().len()), (vec![3], 0));

    let gone = Fake::default().on(KINDS, 200, fake.answers(KINDS));
    let reading = actuator(&manager, &gone).observe(now()).await;
    assert_eq!((reading.quality, reading.current), (Quality::Missing, None), "unknown is not nothing");
}

#[tokio::test]
async fn a_cluster_that_starts_its_own_taskmanagers_needs_no_deployment_of_them() {
    let manager = JobManager::recorded("2.2").await;
    let config = json!([{"key": "kubernetes.cluster-id", "value": "session"}]);
    manager.on(&format!("/jobs/{}/jobmanager/config", manager.jid()), 200, config);
    let hold = actuator(&manager, &cluster(deployment(2))).observe(now()).await.hold;
    let problem = "Flink starts its TaskManagers itself: take taskManagers out of the target".to_owned();
    assert_eq!(hold, Some(TargetHold::Unfit { problem }));
}
