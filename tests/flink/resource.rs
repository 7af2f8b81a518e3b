//! The same of an object of the operator: what is written into it, and when not. The API server is a script.

use std::sync::Arc;

use rstest::rstest;
use serde_json::{Value, json};
use tidegate::actuators::owners::Tenure;
use tidegate::actuators::{ActuateError, Actuator, Actuators};
use tidegate::daemon::cycle::Workload;
use tidegate::engine::Memory;
use tidegate::engine::observation::{Quality, TargetHold};
use tidegate::policy::read::read_policies;
use tidegate::policy::{Mode, Policy, Replicas, TimeSpan};
use tidegate::sources::Connections;

use super::{JobManager, SOURCE, WORK, change, now};
use crate::actuators::fake::{Fake, Seen, status};

pub(super) const OVERRIDES: &str = "pipeline.jobvertex-parallelism-overrides";
pub(super) const READ: &str = "GET /apis/flink.apache.org/v1beta1/namespaces/shop/flinkdeployments/orders";
pub(super) const WRITE: &str = "PATCH /apis/flink.apache.org/v1beta1/namespaces/shop/flinkdeployments/orders";

pub(super) fn policy(mode: &str) -> Policy {
    let document = json!({
        "apiVersion": "tidegate.dev/v1alpha1", "kind": "ScalingPolicy",
        "metadata": {"name": "orders", "namespace": "shop"},
        "spec": {
            "mode": mode,
            "target": {"flinkDeployment": {"name": "orders", "cluster": "main"}},
            "sources": [{"kafkaLag": {"cluster": "main", "group": "orders", "topics": ["orders"]}}],
            "objective": {"maxLag": "20s"}, "minReplicas": 1, "maxReplicas": 8,
        },
    });
    read_policies("test", &document.to_string(), None, TimeSpan::from_secs(15)).remove(0).result.unwrap()
}

/// The object, whose job is that of `manager`.
pub(super) fn deployment(manager: &JobManager, version: &str) -> Value {
    json!({
        "apiVersion": "flink.apache.org/v1beta1", "kind": "FlinkDeployment",
        "metadata": {"name": "orders", "namespace": "shop", "uid": "u1", "generation": 3, "resourceVersion": version},
        "spec": {
            "flinkVersion": "v2_2", "job": {"state": "running", "upgradeMode": "last-state"},
            "flinkConfiguration": {"jobmanager.scheduler": "adaptive"},
        },
        "status": {
            "observedGeneration": 3, "lifecycleState": "STABLE", "jobManagerDeploymentStatus": "READY",
            "reconciliationStatus": {"state": "DEPLOYED"},
            "jobStatus": {"state": "RUNNING", "jobId": manager.jid()},
        },
    })
}

/// The same, with what we wrote into it.
pub(super) fn with_ours(mut object: Value, overrides: &str) -> Value {
    object["spec"]["flinkConfiguration"][OVERRIDES] = overrides.into();
    object["metadata"]["managedFields"] = json!([{
        "manager": "tidegate", "operation": "Apply", "apiVersion": "flink.apache.org/v1beta1",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {"f:flinkConfiguration": {format!("f:{OVERRIDES}"): {}}}},
    }]);
    object
}

pub(super) fn actuator(manager: &JobManager, fake: &Fake) -> Arc<dyn Actuator> {
    let connections = Connections::new(&manager.settings()).unwrap();
    let actuators = Actuators::new(fake.client()).with_flink(connections.flink());
    actuators.for_policy(&policy("Apply"), Tenure::default())
}

fn asked(manager: &JobManager, parallelism: u32) -> (String, Value) {
    let one = json!({"parallelism": {"lowerBound": 1, "upperBound": parallelism}});
    (format!("PUT /jobs/{}/resource-requirements", manager.jid()), json!({SOURCE: one, WORK: one}))
}

fn written(manager: &JobManager, version: &str, parallelism: u32) -> Value {
    let object = deployment(manager, version);
    json!({
        "apiVersion": object["apiVersion"], "kind": object["kind"],
        "metadata": {"name": "orders", "namespace": "shop", "uid": "u1", "resourceVersion": version},
        "spec": {"flinkConfiguration": {OVERRIDES: format!("{WORK}:{parallelism},{SOURCE}:{parallelism}")}},
    })
}

#[tokio::test]
async fn the_job_is_moved_first_and_the_object_keeps_it() {
    let manager = JobManager::recorded("2.2").await;
    let fake = Fake::default().on(READ, 200, deployment(&manager, "70")).on(WRITE, 200, json!({}));
    let actuator = actuator(&manager, &fake);
    let reading = actuator.observe(now()).await;
    assert_eq!((reading.quality, reading.hold, reading.problem), (Quality::Ok, None, None));
    assert_eq!((reading.current, reading.settled), (Some(Replicas(2)), true));
    let fence = reading.fence.unwrap();
    assert_eq!(fence.uid, manager.jid());
    assert_eq!(fence.resource_version, format!("{WORK}:1-2,{SOURCE}:1-2@u1/3"));
    assert_eq!(fake.writes(), []);
    actuator.apply(&change(4), &fence).await.unwrap();
    assert_eq!(manager.sent(), [asked(&manager, 4)]);
    let [Seen { call, query, body }] = &fake.writes()[..] else { panic!("{:?}", fake.writes()) };
    assert_eq!((call.as_str(), body), (WRITE, &written(&manager, "70", 4)));
    assert!(query.contains("fieldManager=tidegate"), "{query}");
}

/// The operator writes its status all the time; that alone does not stop us, and what stands there already is not
/// written again.
#[tokio::test]
async fn the_object_is_written_at_the_version_that_it_has() {
    let manager = JobManager::recorded("2.2").await;
    let fake = Fake::default()
        .on(READ, 200, deployment(&manager, "70"))
        .on(READ, 200, deployment(&manager, "71"))
        .on(READ, 200, deployment(&manager, "71"))
        .on(READ, 200, deployment(&manager, "72"))
        .on(WRITE, 409, status(409, "Conflict", "the object has been modified"))
        .on(WRITE, 200, json!({}));
    let target = actuator(&manager, &fake);
    let fence = target.observe(now()).await.fence.unwrap();
    target.apply(&change(4), &fence).await.unwrap();
    let versions: Vec<_> =
        fake.writes().iter().map(|seen| seen.body["metadata"]["resourceVersion"].clone()).collect();
    assert_eq!(versions, ["71", "72"]);

    let kept = with_ours(deployment(&manager, "70"), &format!("{SOURCE}:4,{WORK}:4"));
    let fake = Fake::default().on(READ, 200, kept);
    let target = actuator(&manager, &fake);
    let fence = target.observe(now()).await.fence.unwrap();
    target.tend(now()).await.unwrap();
    target.apply(&change(4), &fence).await.unwrap();
    assert_eq!(fake.writes(), []);
}

#[rstest]
#[case::another_spec("/metadata/generation", 4)]
#[case::another_object("/metadata/uid", "u2")]
#[case::on_its_way("/status/lifecycleState", "UPGRADING")]
#[tokio::test]
async fn an_object_that_changed_meanwhile_stops_the_write(
    #[case] pointer: &str,
    #[case] value: impl Into<Value>,
) {
    let manager = JobManager::recorded("2.2").await;
    let mut later = deployment(&manager, "71");
    *later.pointer_mut(pointer).unwrap() = value.into();
    let fake = Fake::default().on(READ, 200, deployment(&manager, "70")).on(READ, 200, later);
    let actuator = actuator(&manager, &fake);
    let fence = actuator.observe(now()).await.fence.unwrap();
    assert_eq!(actuator.apply(&change(4), &fence).await, Err(ActuateError::Conflict));
    assert_eq!((manager.sent(), fake.writes()), (vec![], vec![]));
}

/// Somebody switches the operator's autoscaler on: it goes before us, and how to change that is said.
#[tokio::test]
async fn the_operators_autoscaler_is_left_to_its_work() {
    let manager = JobManager::recorded("2.2").await;
    let mut theirs = deployment(&manager, "71");
    theirs["spec"]["flinkConfiguration"]["job"] = json!({"autoscaler": {"enabled": true}});
    let fake = Fake::default().on(READ, 200, deployment(&manager, "70")).on(READ, 200, theirs);
    let actuator = actuator(&manager, &fake);
    let fence = actuator.observe(now()).await.fence.unwrap();
    assert_eq!(actuator.advice(), None);
    let owner = "the Flink Kubernetes Operator's autoscaler (job.autoscaler.enabled: true)".to_owned();
    let refused = actuator.apply(&change(4), &fence).await;
    assert_eq!(
        refused,
        Err(ActuateError::Owned { owner: owner.clone(), field: "spec.flinkConfiguration".to_owned() })
    );
    assert_eq!(manager.sent(), []);
    let later = now() + jiff::SignedDuration::from_secs(15);
    assert_eq!(actuator.observe(later).await.hold, Some(TargetHold::Owned { owner }));
    let advice = actuator.advice().unwrap();
    let patch = "kubectl patch FlinkDeployment orders --type merge -p \
                 '{\"spec\":{\"flinkConfiguration\":{\"job.autoscaler.enabled\":\"false\"}}}'";
    assert!(advice.ends_with(patch), "{advice}");
}

/// Anywhere else the operator would restart the job for it.
#[tokio::test]
async fn a_standalone_cluster_is_moved_and_its_object_left_alone() {
    let manager = JobManager::recorded("2.2").await;
    let mut standalone = deployment(&manager, "70");
    standalone["spec"]["mode"] = "standalone".into();
    let fake = Fake::default().on(READ, 200, standalone);
    let actuator = actuator(&manager, &fake);
    let fence = actuator.observe(now()).await.fence.unwrap();
    actuator.apply(&change(4), &fence).await.unwrap();
    assert_eq!((manager.sent(), fake.writes()), (vec![asked(&manager, 4)], vec![]));
}

/// Flink 2 in application mode starts without what the object keeps. It is given back once in a life of the job, and
/// never less than it has.
#[tokio::test]
async fn a_job_that_begins_anew_is_given_back_what_it_had() {
    let manager = JobManager::recorded("2.2").await;
    let kept = with_ours(deployment(&manager, "70"), &format!("{SOURCE}:1,{WORK}:4"));
    let fake = Fake::default().on(READ, 200, kept);
    let actuator = actuator(&manager, &fake);
    let turn = async |second: i64| {
        let now = now() + jiff::SignedDuration::from_secs(second);
        let hold = actuator.observe(now).await.hold;
        actuator.tend(now).await.unwrap();
        hold
    };
    let job = format!("/jobs/{}", manager.jid());
    manager.change(&job, |it| it["vertices"][0]["status"] = "INITIALIZING".into());
    assert!(matches!(turn(0).await, Some(TargetHold::Unsettled { .. })));
    assert_eq!(manager.sent(), [], "while it is on its way");
    manager.change(&job, |it| it["vertices"][0]["status"] = "RUNNING".into());
    assert_eq!(turn(15).await, None);
    let one = |upper: u32| json!({"parallelism": {"lowerBound": 1, "upperBound": upper}});
    let (path, _) = asked(&manager, 4);
    let given = (path, json!({SOURCE: one(2), WORK: one(4)}));
    assert_eq!(manager.sent(), std::slice::from_ref(&given));
    // The double still says 2: as if somebody had asked for that again.
    turn(30).await;
    assert_eq!(manager.sent(), std::slice::from_ref(&given), "what is asked for later stands");
    manager.change(&job, |it| it["timestamps"]["INITIALIZING"] = 1.into());
    turn(45).await;
    assert_eq!(manager.sent(), [given.clone(), given], "another life");
    assert_eq!(fake.writes(), []);
}

/// What was decided for a job that has lost what it had is not carried out: it is given back first, once.
#[tokio::test]
async fn what_was_lost_is_given_back_before_anything_else_is_asked_for() {
    let manager = JobManager::recorded("2.2").await;
    let kept = with_ours(deployment(&manager, "70"), &format!("{SOURCE}:4,{WORK}:4"));
    let fake = Fake::default().on(READ, 200, kept).on(WRITE, 200, json!({}));
    let actuator = actuator(&manager, &fake);
    let fence = actuator.observe(now()).await.fence.unwrap();
    assert_eq!(actuator.apply(&change(3), &fence).await, Err(ActuateError::Conflict));
    assert_eq!(manager.sent(), [asked(&manager, 4)]);
    actuator.apply(&change(3), &fence).await.unwrap();
    assert_eq!(manager.sent(), [asked(&manager, 4), asked(&manager, 3)]);
}

#[rstest]
#[case::somebody_elses(false, "Apply")]
#[case::dry(true, "Recommend")]
#[tokio::test]
async fn nothing_is_given_back(#[case] ours: bool, #[case] mode: &str) {
    let manager = JobManager::recorded("2.2").await;
    let mut kept = with_ours(deployment(&manager, "70"), &format!("{SOURCE}:4,{WORK}:4"));
    if !ours {
        kept["metadata"]["managedFields"][0]["manager"] = "kubectl".into();
    }
    let fake = Fake::default().on(READ, 200, kept);
    let policy = policy(mode);
    let mode = if mode == "Apply" { Mode::Apply } else { Mode::Recommend };
    let policy = Policy { sources: Vec::new(), ..policy };
    let target = actuator(&manager, &fake);
    let mut workload = Workload { policy, mode, sources: Vec::new(), target, memory: Memory::default() };
    workload.turn(now(), std::time::Duration::from_secs(10)).await;
    assert_eq!((manager.sent(), fake.writes()), (vec![], vec![]));
}

/// While the operator replaces a JobManager, that is the reason, not that nobody answers.
#[tokio::test]
async fn what_the_object_says_goes_before_a_jobmanager_that_does_not_answer() {
    let manager = JobManager::recorded("2.2").await;
    let mut upgrading = deployment(&manager, "70");
    upgrading["status"]["lifecycleState"] = "UPGRADING".into();
    let mut suspended = deployment(&manager, "71");
    suspended["spec"]["job"]["state"] = "suspended".into();
    let fake = Fake::default()
        .on(READ, 200, upgrading)
        .on(READ, 200, suspended)
        .on(READ, 200, deployment(&manager, "72"))
        .on(READ, 404, status(404, "NotFound", "no such object"));
    let gone = JobManager { url: "http://127.0.0.1:1".to_owned(), ..manager };
    let actuator = actuator(&gone, &fake);
    let hold = async |second: i64| {
        let reading = actuator.observe(now() + jiff::SignedDuration::from_secs(second)).await;
        (reading.quality, reading.hold)
    };
    let what = "status.lifecycleState is UPGRADING".to_owned();
    assert_eq!(hold(0).await, (Quality::Ok, Some(TargetHold::Unsettled { what })));
    let problem = "spec.job.state is suspended".to_owned();
    assert_eq!(hold(15).await, (Quality::Ok, Some(TargetHold::Unfit { problem })));
    assert_eq!(hold(30).await, (Quality::Missing, None));
    assert_eq!(hold(45).await, (Quality::Ok, Some(TargetHold::NotFound)));
}
