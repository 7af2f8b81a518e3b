//! Each row of what must hold before the job of an object is moved.

use rstest::rstest;
use serde_json::{Value, json};

use super::*;

/// A FlinkDeployment that runs its job, as the operator leaves it.
pub(crate) fn deployment() -> Value {
    json!({
        "apiVersion": "flink.apache.org/v1beta1", "kind": "FlinkDeployment",
        "metadata": {"name": "orders", "namespace": "shop", "uid": "u1", "generation": 3, "resourceVersion": "70"},
        "spec": {
            "flinkVersion": "v1_20", "job": {"state": "running", "upgradeMode": "last-state", "parallelism": 2},
            "flinkConfiguration": {"jobmanager.scheduler": "adaptive"},
        },
        "status": {
            "observedGeneration": 3, "lifecycleState": "STABLE", "jobManagerDeploymentStatus": "READY",
            "reconciliationStatus": {"state": "DEPLOYED"},
            "jobStatus": {"state": "RUNNING", "jobId": "a1"},
        },
    })
}

fn session_job() -> Value {
    let mut job = deployment();
    job["kind"] = "FlinkSessionJob".into();
    job["metadata"]["name"] = "enrich".into();
    job["spec"] = json!({"deploymentName": "session", "job": {"state": "running"}});
    job["status"].as_object_mut().unwrap().remove("jobManagerDeploymentStatus");
    job
}

fn of(object: &Value) -> Resource {
    let read = |value: &Value| serde_json::from_value(value.clone()).unwrap();
    Resource { kind: FlinkKind::FlinkDeployment, object: read(object), cluster: None, snapshots: Vec::new() }
}

fn on(job: &Value, cluster: Option<&Value>) -> Resource {
    let cluster = cluster.map(|cluster| serde_json::from_value(cluster.clone()).unwrap());
    Resource { kind: FlinkKind::FlinkSessionJob, cluster, ..of(job) }
}

/// Sets what a pointer names, with all above it.
fn set(object: &mut Value, pointer: &str, value: Value) {
    let (holder, field) = pointer.rsplit_once('/').unwrap();
    let holder = holder.split('/').skip(1).fold(object, |at, name| &mut at[name]);
    holder[field] = value;
}

fn with(changes: &[(&str, Value)]) -> Resource {
    let mut object = deployment();
    for (pointer, value) in changes {
        set(&mut object, pointer, value.clone());
    }
    of(&object)
}

#[test]
fn a_job_that_runs_may_be_moved() {
    let resource = of(&deployment());
    assert_eq!(resource.obstacle(), None);
    assert_eq!((resource.job_id(), resource.version().as_deref()), (Some("a1"), Some("u1/3")));
    assert!(resource.keeps_overrides_in_place());
    assert_eq!(with(&[("/status/lifecycleState", "DEPLOYED".into())]).obstacle(), None);
    let running = json!([{"type": "Running", "status": "True"}]);
    assert_eq!(with(&[("/status/conditions", running)]).obstacle(), None);
}

#[rstest]
#[case::deleted("/metadata/deletionTimestamp", "2026-01-01T00:00:00Z", "it is being deleted")]
#[case::changed("/metadata/generation", 4, "the operator has not yet taken up its newest spec")]
#[case::never_seen(
    "/status/observedGeneration",
    Value::Null,
    "the operator has not yet taken up its newest spec"
)]
#[case::created("/status/lifecycleState", "CREATED", "status.lifecycleState is CREATED")]
#[case::upgrading("/status/lifecycleState", "UPGRADING", "status.lifecycleState is UPGRADING")]
#[case::rolling_back("/status/lifecycleState", "ROLLING_BACK", "status.lifecycleState is ROLLING_BACK")]
#[case::silent("/status/lifecycleState", Value::Null, "status.lifecycleState is not said")]
#[case::rolling_its_spec_back(
    "/status/reconciliationStatus/state",
    "ROLLING_BACK",
    "status.reconciliationStatus.state is ROLLING_BACK"
)]
#[case::rolled_its_spec_back(
    "/status/reconciliationStatus/state",
    "ROLLED_BACK",
    "status.reconciliationStatus.state is ROLLED_BACK"
)]
#[case::failing("/status/jobStatus/state", "FAILING", "status.jobStatus.state is FAILING")]
#[case::no_jobmanager(
    "/status/jobManagerDeploymentStatus",
    "MISSING",
    "status.jobManagerDeploymentStatus is MISSING"
)]
#[case::reconciling(
    "/status/reconciliationStatus/state",
    "UPGRADING",
    "status.reconciliationStatus.state is UPGRADING"
)]
#[case::restarting("/status/jobStatus/state", "RESTARTING", "status.jobStatus.state is RESTARTING")]
#[case::starting(
    "/status/jobManagerDeploymentStatus",
    "DEPLOYING",
    "status.jobManagerDeploymentStatus is DEPLOYING"
)]
#[case::condition("/status/conditions", json!([{"type": "Running", "status": "False"}]), "its condition Running is False")]
#[case::savepoint("/status/jobStatus/savepointInfo", json!({"triggerId": "t"}), "the operator waits for a savepoint (status.jobStatus.savepointInfo.triggerId)")]
#[case::checkpoint("/status/jobStatus/checkpointInfo", json!({"triggerId": "t"}), "the operator waits for a checkpoint (status.jobStatus.checkpointInfo.triggerId)")]
fn what_passes_is_waited_for(#[case] pointer: &str, #[case] value: impl Into<Value>, #[case] what: &str) {
    assert_eq!(with(&[(pointer, value.into())]).obstacle(), Some(Obstacle::Passing(what.to_owned())));
}

#[rstest]
#[case::session_cluster(
    "/spec/job",
    Value::Null,
    "it has no job of its own: name a FlinkSessionJob on it instead"
)]
#[case::suspended("/spec/job/state", "suspended", "spec.job.state is suspended")]
#[case::old("/spec/flinkVersion", "v1_17", "spec.flinkVersion is v1_17: v1_18 or later can be rescaled")]
#[case::error(
    "/status/error",
    "{\"type\":\"X\"}\n\tat y",
    "the operator reports an error ({\"type\":\"X\"})"
)]
#[case::suspended_meanwhile("/status/lifecycleState", "SUSPENDED", "status.lifecycleState is SUSPENDED")]
#[case::deleting("/status/lifecycleState", "DELETING", "status.lifecycleState is DELETING")]
#[case::deleted("/status/lifecycleState", "DELETED", "status.lifecycleState is DELETED")]
#[case::ended("/status/lifecycleState", "FAILED", "status.lifecycleState is FAILED")]
#[case::rolled_back("/status/lifecycleState", "ROLLED_BACK", "status.lifecycleState is ROLLED_BACK")]
#[case::nested("/spec/flinkConfiguration/pipeline", json!({"jobvertex-parallelism-overrides": "a:1"}),
    "spec.flinkConfiguration states pipeline.jobvertex-parallelism-overrides as a tree: write it as one flat key")]
fn what_lasts_is_named(#[case] pointer: &str, #[case] value: impl Into<Value>, #[case] what: &str) {
    assert_eq!(with(&[(pointer, value.into())]).obstacle(), Some(Obstacle::Lasting(what.to_owned())));
}

/// Until the operator calls a new spec stable it may go back to the one before, where it is told to.
#[test]
fn a_spec_that_may_yet_be_rolled_back_is_waited_for() {
    let option = "/spec/flinkConfiguration/kubernetes.operator.deployment.rollback.enabled";
    let on =
        |state: &str| with(&[(option, "true".into()), ("/status/lifecycleState", state.into())]).obstacle();
    let what = "status.lifecycleState is DEPLOYED, and the operator may yet roll it back".to_owned();
    assert_eq!(on("DEPLOYED"), Some(Obstacle::Passing(what)));
    assert_eq!(on("STABLE"), None);
}

#[rstest]
#[case::pending(json!({"state": "TRIGGER_PENDING"}), true)]
#[case::under_way(json!({"state": "IN_PROGRESS"}), true)]
#[case::new(json!({}), true)]
#[case::done(json!({"state": "COMPLETED"}), false)]
#[case::failed(json!({"state": "FAILED"}), false)]
#[case::abandoned(json!({"state": "ABANDONED"}), false)]
fn a_snapshot_is_waited_for(#[case] status: Value, #[case] waits: bool) {
    let snapshot = |name: &str| {
        json!({
            "apiVersion": "flink.apache.org/v1beta1", "kind": "FlinkStateSnapshot", "metadata": {"name": "s"},
            "spec": {"jobReference": {"kind": "FlinkDeployment", "name": name}}, "status": status,
        })
    };
    let taken = |name: &str| {
        let snapshots = vec![serde_json::from_value(snapshot(name)).unwrap()];
        Resource { snapshots, ..of(&deployment()) }.obstacle()
    };
    let expected = waits.then(|| Obstacle::Passing("FlinkStateSnapshot s is being taken".to_owned()));
    assert_eq!(taken("orders"), expected);
    assert_eq!(taken("others"), None);
}

#[rstest]
#[case::flat(json!({"job.autoscaler.enabled": "true"}), Some("job.autoscaler.enabled"))]
#[case::a_flag(json!({"job.autoscaler.enabled": true}), Some("job.autoscaler.enabled"))]
#[case::old(json!({"kubernetes.operator.job.autoscaler.enabled": "true"}), Some("kubernetes.operator.job.autoscaler.enabled"))]
#[case::a_tree(json!({"job": {"autoscaler": {"enabled": true}}}), Some("job.autoscaler.enabled"))]
#[case::half_a_tree(json!({"job.autoscaler": {"enabled": "TRUE"}}), Some("job.autoscaler.enabled"))]
#[case::the_other_half(json!({"job": {"autoscaler.enabled": " true "}}), Some("job.autoscaler.enabled"))]
#[case::an_old_tree(json!({"kubernetes": {"operator": {"job": {"autoscaler": {"enabled": true}}}}}), Some("kubernetes.operator.job.autoscaler.enabled"))]
#[case::half_an_old_tree(json!({"kubernetes.operator": {"job.autoscaler": {"enabled": "true"}}}), Some("kubernetes.operator.job.autoscaler.enabled"))]
#[case::the_newer_key_counts(json!({"job.autoscaler.enabled": "true", "kubernetes.operator.job.autoscaler.enabled": "false"}), Some("job.autoscaler.enabled"))]
#[case::the_newer_key_counts_for_off(json!({"job.autoscaler.enabled": "false", "kubernetes.operator.job.autoscaler.enabled": "true"}), None)]
#[case::it_does_not_only_advise(json!({"job.autoscaler": {"enabled": true, "scaling.enabled": true}, "kubernetes.operator.job.autoscaler.scaling.enabled": "false"}), Some("job.autoscaler.enabled"))]
#[case::advises_by_the_old_key(json!({"job.autoscaler.enabled": "true", "kubernetes.operator.job.autoscaler.scaling.enabled": "false"}), None)]
#[case::advises(json!({"job.autoscaler.enabled": "true", "job.autoscaler.scaling.enabled": "false"}), None)]
#[case::off(json!({"job.autoscaler.enabled": "false"}), None)]
fn the_operators_autoscaler_is_seen_in_all_spellings(#[case] options: Value, #[case] key: Option<&str>) {
    let owner =
        key.map(|key| Obstacle::Owned(format!("the Flink Kubernetes Operator's autoscaler ({key}: true)")));
    assert_eq!(with(&[("/spec/flinkConfiguration", options.clone())]).obstacle(), owner);
    let mut cluster = deployment();
    cluster["spec"]["flinkConfiguration"] = options;
    cluster["spec"].as_object_mut().unwrap().remove("job");
    assert_eq!(on(&session_job(), Some(&cluster)).obstacle(), owner, "what a session's jobs inherit");
}

#[test]
fn an_autoscaler_that_is_on_by_default_is_known_by_what_it_keeps() {
    let last = json!({"spec": {"flinkConfiguration": {OVERRIDES: "a:4,b:2"}}}).to_string();
    let path = "/status/reconciliationStatus/lastReconciledSpec";
    let by_default = with(&[(path, last.clone().into())]);
    let Some(Obstacle::Owned(owner)) = by_default.obstacle() else { panic!("free") };
    assert!(owner.contains("on by the operator's defaults"), "{owner}");
    assert_eq!(
        by_default.hand_over().unwrap(),
        "kubectl patch FlinkDeployment orders --type merge -p '{\"spec\":{\"flinkConfiguration\":\
         {\"job.autoscaler.enabled\":\"false\",\"pipeline.jobvertex-parallelism-overrides\":\"a:4,b:2\"}}}'"
    );
    let options = json!({OVERRIDES: "a:4,b:2"});
    let stated = with(&[(path, last.into()), ("/spec/flinkConfiguration", options)]);
    assert_eq!((stated.obstacle(), stated.hand_over()), (None, None), "what the spec states is its owner's");
}

/// What it decides lies over what the spec states, and is nowhere but in the status.
#[test]
fn an_autoscaler_that_is_on_by_default_is_known_beside_our_own_overrides() {
    let path = "/status/reconciliationStatus/lastReconciledSpec";
    let last = json!({"spec": {"flinkConfiguration": {OVERRIDES: "a:4,b:2"}}}).to_string();
    let ours = json!({OVERRIDES: "a:2,b:2"});
    let both = [(path, last.into()), ("/spec/flinkConfiguration", ours)];
    let Some(Obstacle::Owned(owner)) = with(&both).obstacle() else { panic!("free") };
    assert!(owner.contains("on by the operator's defaults"), "{owner}");
    let mut newer = both.to_vec();
    newer.push(("/metadata/generation", 4.into()));
    let what = "the operator has not yet taken up its newest spec".to_owned();
    assert_eq!(with(&newer).obstacle(), Some(Obstacle::Passing(what)), "ours may be on its way");
    let option = |key: &'static str| {
        let mut all = both.to_vec();
        all.push((key, "false".into()));
        with(&all).obstacle()
    };
    assert_eq!(option("/spec/flinkConfiguration/job.autoscaler.enabled"), None);
    let old = option("/spec/flinkConfiguration/kubernetes.operator.job.autoscaler.enabled");
    assert!(matches!(old, Some(Obstacle::Owned(_))), "the defaults' newer key goes before it: {old:?}");
}

/// A session's older key, and the newer one that the hand-over writes into one of its jobs.
#[test]
fn a_session_job_is_handed_over_by_its_own_object() {
    let mut cluster = deployment();
    cluster["spec"] = json!({"flinkConfiguration": {"kubernetes.operator.job.autoscaler.enabled": "true"}});
    let mut job = session_job();
    let taken = on(&job, Some(&cluster));
    assert!(matches!(taken.obstacle(), Some(Obstacle::Owned(_))));
    assert_eq!(
        taken.hand_over().unwrap(),
        "kubectl patch FlinkSessionJob enrich --type merge -p '{\"spec\":{\"flinkConfiguration\":\
         {\"job.autoscaler.enabled\":\"false\"}}}'"
    );
    set(&mut job, "/spec/flinkConfiguration", json!({"job.autoscaler.enabled": "false"}));
    assert_eq!(on(&job, Some(&cluster)).obstacle(), None);
}

#[test]
fn the_hand_over_keeps_what_the_autoscaler_decided() {
    let last = json!({"spec": {"flinkConfiguration": {OVERRIDES: "a:4"}}}).to_string();
    let resource = with(&[
        ("/status/reconciliationStatus/lastReconciledSpec", last.into()),
        ("/spec/flinkConfiguration/kubernetes.operator.job.autoscaler.enabled", "true".into()),
        (&format!("/spec/flinkConfiguration/{OVERRIDES}"), "a:2,b:3".into()),
    ]);
    let patch = resource.hand_over().unwrap();
    for part in [
        "\"kubernetes.operator.job.autoscaler.enabled\":\"false\"",
        "\"job.autoscaler.enabled\":\"false\"",
        "\"pipeline.jobvertex-parallelism-overrides\":\"a:4,b:3\"",
    ] {
        assert!(patch.contains(part), "{patch}");
    }
}

#[test]
fn a_child_of_a_blue_green_deployment_is_its_parents() {
    let owner = json!([{"apiVersion": "flink.apache.org/v1beta1", "kind": "FlinkBlueGreenDeployment", "name": "bg", "uid": "x"}]);
    let child = with(&[("/metadata/ownerReferences", owner)]);
    assert_eq!(child.obstacle(), Some(Obstacle::Owned("FlinkBlueGreenDeployment bg".to_owned())));
    assert_eq!(child.hand_over(), None);
}

#[test]
fn a_session_job_is_on_its_cluster() {
    let mut cluster = deployment();
    cluster["metadata"]["name"] = "session".into();
    cluster["spec"].as_object_mut().unwrap().remove("job");
    let job = on(&session_job(), Some(&cluster));
    assert_eq!((job.obstacle(), job.cluster_name()), (None, Some("session")));
    cluster["status"]["jobManagerDeploymentStatus"] = "MISSING".into();
    let missing = Obstacle::Passing("status.jobManagerDeploymentStatus is MISSING".to_owned());
    assert_eq!(on(&session_job(), Some(&cluster)).obstacle(), Some(missing));
    for (pointer, value, what) in [
        ("/metadata/deletionTimestamp", "2026-01-01T00:00:00Z".into(), "it is being deleted"),
        ("/status/lifecycleState", "UPGRADING".into(), "status.lifecycleState is UPGRADING"),
        ("/metadata/generation", Value::from(4), "the operator has not yet taken up its newest spec"),
    ] {
        let mut changing = cluster.clone();
        changing["status"]["jobManagerDeploymentStatus"] = "READY".into();
        set(&mut changing, pointer, value);
        let what = format!("its FlinkDeployment session: {what}");
        assert_eq!(on(&session_job(), Some(&changing)).obstacle(), Some(Obstacle::Passing(what)));
    }
    let gone = "there is no FlinkDeployment session that it could run on".to_owned();
    assert_eq!(on(&session_job(), None).obstacle(), Some(Obstacle::Lasting(gone)));
}

/// Anywhere else the operator would start the job anew for them.
#[rstest]
#[case::standalone("/spec/mode", "standalone")]
#[case::switched_off(
    "/spec/flinkConfiguration/kubernetes.operator.job.upgrade.inplace-scaling.enabled",
    "false"
)]
#[case::unknown_version("/spec/flinkVersion", "newest")]
fn overrides_are_kept_only_where_that_is_free(#[case] pointer: &str, #[case] value: &str) {
    assert!(!with(&[(pointer, value.into())]).keeps_overrides_in_place());
}

#[test]
fn the_jobmanager_is_where_the_operator_puts_it() {
    let finder =
        Finder { kind: FlinkKind::FlinkDeployment, namespace: "shop".to_owned(), name: "orders".to_owned() };
    assert_eq!(finder.address(&of(&deployment())).unwrap(), "http://orders-rest.shop:8081");
    let other = with(&[("/spec/flinkConfiguration/rest.port", 9000.into())]);
    assert_eq!(finder.address(&other).unwrap(), "http://orders-rest.shop:9000");
}
