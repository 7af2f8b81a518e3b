//! The ways that lead through the operator's object: a redeploy with other overrides, and TaskManagers of reactive mode.

use rstest::rstest;
use serde_json::{Value, json};
use tidegate::actuators::owners::Tenure;
use tidegate::actuators::{ActuateError, Actuators};
use tidegate::engine::observation::{LimitCause, TargetHold, TargetLimit};
use tidegate::policy::Replicas;
use tidegate::sources::Connections;

use super::resource::{OVERRIDES, READ, WRITE, actuator, deployment, policy, with_ours};
use super::{JobManager, SOURCE, WORK, change, now};
use crate::actuators::fake::Fake;

/// A session job is found by its own object and its cluster's, moved in place, and kept in its own.
#[tokio::test]
async fn a_session_job_is_moved_on_its_cluster() {
    let manager = JobManager::recorded("2.2").await;
    let all = "/apis/flink.apache.org/v1beta1/namespaces/shop";
    let mut cluster = deployment(&manager, "60");
    cluster["metadata"]["name"] = "session".into();
    cluster["spec"].as_object_mut().unwrap().remove("job");
    cluster["status"].as_object_mut().unwrap().remove("jobStatus");
    let mut job = deployment(&manager, "70");
    job["kind"] = "FlinkSessionJob".into();
    job["spec"] = json!({"deploymentName": "session", "job": {"state": "running"}});
    job["status"].as_object_mut().unwrap().remove("jobManagerDeploymentStatus");
    let [job_at, cluster_at] = ["flinksessionjobs/orders", "flinkdeployments/session"]
        .map(|path| -> &'static str { format!("GET {all}/{path}").leak() });
    let write: &'static str = format!("PATCH {all}/flinksessionjobs/orders").leak();
    let fake = Fake::default().on(job_at, 200, job).on(cluster_at, 200, cluster).on(write, 200, json!({}));
    let mut policy = policy("Apply");
    policy.target =
        serde_json::from_value(json!({"flinkSessionJob": {"name": "orders", "cluster": "main"}})).unwrap();
    let connections = Connections::new(&manager.settings()).unwrap();
    let actuators = Actuators::new(fake.client()).with_flink(connections.flink());
    let target = actuators.for_policy(&policy, Tenure::default());
    let reading = target.observe(now()).await;
    assert_eq!((reading.current, reading.hold, reading.problem), (Some(Replicas(2)), None, None));
    target.apply(&change(4), &reading.fence.unwrap()).await.unwrap();
    assert_eq!(manager.sent().len(), 1);
    let writes = fake.writes();
    assert_eq!((writes.len(), writes[0].call.as_str()), (1, write));
    let spec = json!({"flinkConfiguration": {OVERRIDES: format!("{WORK}:4,{SOURCE}:4")}});
    assert_eq!((&writes[0].body["kind"], &writes[0].body["spec"]), (&json!("FlinkSessionJob"), &spec));
}

/// A JobManager of Flink 1.20 with these options, which takes no requirements.
async fn without_requirements(options: &[(&str, &str)]) -> JobManager {
    let manager = JobManager::recorded("1.20").await;
    let job = format!("/jobs/{}", manager.jid());
    let options: Vec<_> = options.iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
    manager.on(&format!("{job}/jobmanager/config"), 200, options.into());
    let errors = json!({"errors": ["The scheduler does not support this"]});
    manager.on(&format!("{job}/resource-requirements"), 500, errors);
    manager
}

/// Its object, with changes.
fn object(manager: &JobManager, changes: &[(&str, Value)]) -> Value {
    let mut object = deployment(manager, "70");
    object["spec"]["flinkVersion"] = "v1_20".into();
    object["spec"]["flinkConfiguration"] = json!({});
    for (pointer, value) in changes {
        let (holder, field) = pointer.rsplit_once('/').unwrap();
        let holder = holder.split('/').skip(1).fold(&mut object, |at, name| &mut at[name]);
        holder[field] = value.clone();
    }
    object
}

#[tokio::test]
async fn a_redeploy_is_asked_for_by_overrides_alone() {
    let manager = without_requirements(&[]).await;
    let fake = Fake::default().on(READ, 200, object(&manager, &[])).on(WRITE, 200, json!({}));
    let target = actuator(&manager, &fake);
    let reading = target.observe(now()).await;
    assert_eq!((reading.current, reading.settled, reading.hold), (Some(Replicas(2)), true, None));
    let most = TargetLimit { most: Replicas(120), cause: LimitCause::MaxParallelism };
    assert_eq!(reading.limit, Some(most), "the operator starts TaskManagers as needed");
    assert!(reading.price.is_some_and(|price| price.raise_seconds > 120.0 && price.lower_seconds > 120.0));
    let fence = reading.fence.unwrap();
    assert_eq!(fence.resource_version, "Redeploy@u1/3");
    target.apply(&change(4), &fence).await.unwrap();
    assert_eq!(manager.sent(), []);
    let writes = fake.writes();
    let spec = json!({"flinkConfiguration": {OVERRIDES: format!("{WORK}:4,{SOURCE}:4")}});
    assert_eq!((writes.len(), &writes[0].body["spec"]), (1, &spec));

    let kept = with_ours(object(&manager, &[]), &format!("{WORK}:4,{SOURCE}:4"));
    let fake = Fake::default().on(READ, 200, kept);
    let reading = actuator(&manager, &fake).observe(now()).await;
    assert_eq!((reading.current, reading.ready), (Some(Replicas(4)), Some(Replicas(2))));
    assert!(!reading.settled, "it does not run with them yet");
}

#[tokio::test]
async fn a_redeploy_of_another_spec_is_not_asked_for() {
    let manager = without_requirements(&[]).await;
    let changed =
        object(&manager, &[("/metadata/generation", 4.into()), ("/status/observedGeneration", 4.into())]);
    let fake = Fake::default().on(READ, 200, object(&manager, &[])).on(READ, 200, changed);
    let target = actuator(&manager, &fake);
    let fence = target.observe(now()).await.fence.unwrap();
    assert_eq!(target.apply(&change(4), &fence).await, Err(ActuateError::Conflict));
    assert_eq!(fake.writes(), []);
}

#[rstest]
#[case::state_lost(
    "/spec/job/upgradeMode",
    "stateless",
    "spec.job.upgradeMode stateless would throw its state away"
)]
#[case::ignored(
    "/spec/flinkVersion",
    "v2_2",
    "Flink 2 in application mode ignores overrides (FLINK-38770): set jobmanager.scheduler: adaptive"
)]
#[case::standalone("/spec/mode", "standalone", "in standalone mode its TaskManagers would have to follow")]
#[tokio::test]
async fn a_redeploy_that_would_not_do_is_refused(
    #[case] pointer: &str,
    #[case] value: &str,
    #[case] why: &str,
) {
    let manager = without_requirements(&[]).await;
    let fake = Fake::default().on(READ, 200, object(&manager, &[(pointer, value.into())]));
    let hold = actuator(&manager, &fake).observe(now()).await.hold;
    let problem = format!("its scheduler is not adaptive, so that only a redeploy moves it, and {why}");
    assert_eq!(hold, Some(TargetHold::Unfit { problem }));
}

/// An adaptive scheduler that refuses to answer is no reason to start the job anew.
#[tokio::test]
async fn a_refusal_is_no_reason_to_redeploy() {
    let manager = without_requirements(&[("jobmanager.scheduler", "adaptive")]).await;
    let fake = Fake::default().on(READ, 200, object(&manager, &[]));
    let Some(TargetHold::Unfit { problem }) = actuator(&manager, &fake).observe(now()).await.hold else {
        panic!("free to move")
    };
    assert!(problem.ends_with("The scheduler does not support this"), "{problem}");
}

#[tokio::test]
async fn reactive_mode_is_moved_by_its_taskmanagers() {
    let options = [("jobmanager.scheduler", "adaptive"), ("scheduler-mode", "reactive")];
    let manager = without_requirements(&options).await;
    let job = format!("/jobs/{}", manager.jid());
    manager.change(&job, |it| it["now"] = (it["timestamps"]["RUNNING"].as_i64().unwrap() + 60_000).into());
    manager.change("/overview", |it| {
        (it["taskmanagers"], it["slots-total"], it["slots-available"]) = (2.into(), 2.into(), 0.into());
    });
    let standalone = [("/spec/mode", "standalone".into()), ("/spec/taskManager", json!({"replicas": 2}))];
    let standalone = object(&manager, &standalone);
    let fake = Fake::default().on(READ, 200, standalone.clone()).on(WRITE, 200, json!({}));
    let target = actuator(&manager, &fake);
    let reading = target.observe(now()).await;
    assert_eq!((reading.current, reading.ready), (Some(Replicas(2)), Some(Replicas(2))));
    assert_eq!((reading.settled, reading.hold), (true, None));
    assert_eq!(reading.limit.unwrap().most, Replicas(120));
    target.apply(&change(3), &reading.fence.unwrap()).await.unwrap();
    assert_eq!(manager.sent(), []);
    let writes = fake.writes();
    assert_eq!((writes.len(), &writes[0].body["spec"]), (1, &json!({"taskManager": {"replicas": 3}})));

    let mut native = standalone;
    native["spec"]["mode"] = "native".into();
    let fake = Fake::default().on(READ, 200, native);
    let problem = "reactive mode takes all slots there are: move the TaskManagers instead".to_owned();
    assert_eq!(actuator(&manager, &fake).observe(now()).await.hold, Some(TargetHold::Unfit { problem }));
}
