//! Spark applications against an API server and a driver that answer from a script.

use std::fs;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use jiff::{SignedDuration, Timestamp};
use rstest::rstest;
use serde_json::{Value, json};
use tempfile::TempDir;
use tidegate::actuators::owners::Tenure;
use tidegate::actuators::{ActuateError, Actuator, Actuators};
use tidegate::engine::Change;
use tidegate::engine::observation::{LimitCause, Price, Quality, TargetHold, TargetLimit};
use tidegate::policy::read::read_policies;
use tidegate::policy::{Replicas, TimeSpan};
use tidegate::sources::Connections;
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::fake::Fake;

const GET: &str = "GET /apis/sparkoperator.k8s.io/v1beta2/namespaces/shop/sparkapplications/orders";
const PATCH: &str = "PATCH /apis/sparkoperator.k8s.io/v1beta2/namespaces/shop/sparkapplications/orders";
const QUOTAS: &str = "GET /api/v1/namespaces/shop/resourcequotas";
const RESTARTS: &str = "tidegate.dev/restarts";
/// When the driver was started.
const SECOND: i64 = 1_795_259_000;

fn at(second: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(SECOND + second)
}

/// An application at a version, in a state, with bounds, and with what is known of its restarts.
fn application(version: &str, state: &str, (lower, upper): (u32, u32), restarts: &Value) -> Value {
    let mut annotations = json!({});
    if !restarts.is_null() {
        annotations[RESTARTS] = restarts.to_string().into();
    }
    json!({
        "apiVersion": "sparkoperator.k8s.io/v1beta2", "kind": "SparkApplication",
        "metadata": {"name": "orders", "namespace": "shop", "uid": "u1", "resourceVersion": version, "annotations": annotations},
        "spec": {
            "type": "Python", "executor": {"cores": 1, "memory": "1g"},
            "dynamicAllocation": {"enabled": true, "minExecutors": lower, "maxExecutors": upper},
        },
        "status": {"applicationState": {"state": state}, "executorState": {"exec-1": "RUNNING", "exec-2": "RUNNING"}},
    })
}

fn quotas(hard: &Value) -> Value {
    let items = if hard.is_null() {
        vec![]
    } else {
        vec![json!({"metadata": {"name": "team"}, "spec": {"hard": hard}})]
    };
    json!({"kind": "ResourceQuotaList", "apiVersion": "v1", "metadata": {}, "items": items})
}

/// A driver, a checkpoint, and an API server.
struct Stage {
    driver: MockServer,
    checkpoints: TempDir,
}

impl Stage {
    async fn set() -> Self {
        let checkpoints = tempfile::tempdir().unwrap();
        for log in ["offsets", "commits"] {
            fs::create_dir_all(checkpoints.path().join("orders").join(log)).unwrap();
        }
        Self { driver: MockServer::start().await, checkpoints }
    }

    /// The driver of `app` runs with these bounds.
    async fn runs(&self, app: &str, (lower, upper): (u32, u32)) {
        self.driver.reset().await;
        let apps = json!([{"id": app, "attempts": [{"completed": false, "startTimeEpoch": SECOND * 1000}]}]);
        let environment = json!({
            "sparkProperties": [
                ["spark.dynamicAllocation.enabled", "true"],
                ["spark.dynamicAllocation.minExecutors", lower.to_string()],
                ["spark.dynamicAllocation.maxExecutors", upper.to_string()],
            ],
            "resourceProfiles": [{"id": 0, "executorResources": {}, "taskResources": {}}],
        });
        let address = format!("/api/v1/applications/{app}/environment");
        for (address, body) in [("/api/v1/applications".to_owned(), apps), (address, environment)] {
            let answer = ResponseTemplate::new(200).set_body_json(body);
            Mock::given(path(address)).respond_with(answer).mount(&self.driver).await;
        }
    }

    fn write(&self, file: &str, text: &str, second: i64) {
        let file = self.checkpoints.path().join("orders").join(file);
        fs::write(&file, text).unwrap();
        let time = UNIX_EPOCH + Duration::from_secs((SECOND + second).try_into().unwrap());
        fs::File::open(Path::new(&file)).unwrap().set_modified(time).unwrap();
    }

    fn plan(&self, batch: u64) {
        self.write(&format!("offsets/{batch}"), "v1\n{}\n{\"orders\":{\"0\":5}}", 0);
    }

    fn commit(&self, batch: u64, second: i64) {
        self.plan(batch);
        self.write(&format!("commits/{batch}"), "v1\n{}", second);
    }

    fn target(&self, fake: &Fake) -> std::sync::Arc<dyn Actuator> {
        let settings = json!({
            "apiVersion": "tidegate.dev/v1alpha1", "kind": "Settings",
            "connections": {"spark": {"app": {"checkpoints": self.checkpoints.path(), "driver": self.driver.uri()}}},
        });
        let connections = Connections::new(&serde_json::from_value(settings).unwrap()).unwrap();
        let document = json!({
            "apiVersion": "tidegate.dev/v1alpha1", "kind": "ScalingPolicy",
            "metadata": {"name": "orders", "namespace": "shop"},
            "spec": {
                "target": {"sparkApplication": {"name": "orders", "maxRung": "restart"}},
                "sources": [{"spark": {"app": "app", "cluster": "main", "topics": ["orders"], "checkpoint": "orders"}}],
                "objective": {"maxLag": "60s"}, "minReplicas": 1, "maxReplicas": 8,
            },
        });
        let policy = read_policies("test", &document.to_string(), None, TimeSpan::from_secs(15)).remove(0);
        let makes = Actuators::new(fake.client()).with_spark(connections.spark());
        makes.for_policy(&policy.result.unwrap(), Tenure::default())
    }
}

fn to(replicas: u32, ceiling: u32) -> Change {
    Change { replicas: Replicas(replicas), ceiling: Some(Replicas(ceiling)), metric_target: None }
}

/// The restart at second 1000, from 1..2 to 4..6.
fn restarted(phase: &Value) -> Value {
    json!({
        "past": [{"at": at(1000), "lower": false}],
        "last": {
            "at": at(1000), "from": {"lower": 1, "upper": 2}, "to": {"lower": 4, "upper": 6},
            "app": "app-1", "batch": 7, "phase": phase,
        },
    })
}

#[tokio::test]
async fn a_restart_is_one_fenced_patch_right_after_a_batch() {
    let stage = Stage::set().await;
    stage.runs("app-1", (1, 2)).await;
    stage.commit(6, 900);
    stage.commit(7, 950);
    stage.plan(8);
    let object = application("7", "RUNNING", (1, 2), &Value::Null);
    let fake = Fake::default()
        .on(GET, 200, object.clone())
        .on(QUOTAS, 200, quotas(&Value::Null))
        .on(PATCH, 200, object);
    let target = stage.target(&fake);
    let reading = target.observe(at(1000)).await;
    assert_eq!((reading.quality, &reading.hold, reading.limit), (Quality::Ok, &None, None));
    assert_eq!((reading.current, reading.ceiling), (Some(Replicas(1)), Some(Replicas(2))));
    assert_eq!(reading.price, Some(Price { raise_seconds: 90.0, lower_seconds: 90.0 }));
    assert!(target.rung().unwrap().starts_with("rung restart: "), "{:?}", target.rung());

    let fence = reading.fence.unwrap();
    let late = target.apply(&to(4, 6), &fence).await;
    assert_eq!(
        late,
        Err(ActuateError::Deferred { problem: "batch 8 is under way: a restart waits for its end".into() })
    );
    let enough = target.apply(&to(2, 2), &fence).await;
    let problem =
        "not worth a restart: with 1 to 2 executors, dynamic allocation gets 2 by itself".to_owned();
    assert_eq!(enough, Err(ActuateError::Deferred { problem }));
    assert_eq!(fake.writes(), []);

    stage.commit(8, 1000);
    target.observe(at(1001)).await;
    assert_eq!(target.apply(&to(4, 6), &fence).await, Ok(()));
    let [write] = fake.writes().try_into().unwrap();
    let mut expected = restarted(&json!("asked"));
    expected["past"][0]["at"] = json!(at(1001));
    expected["last"]["at"] = json!(at(1001));
    expected["last"]["batch"] = 8.into();
    let annotations = &write.body["metadata"]["annotations"];
    let ledger: Value = serde_json::from_str(annotations[RESTARTS].as_str().unwrap()).unwrap();
    assert_eq!((write.call.as_str(), &ledger), (PATCH, &expected));
    assert_eq!(annotations["tidegate.dev/policy"], "shop/orders");
    assert_eq!(
        (&write.body["metadata"]["uid"], &write.body["metadata"]["resourceVersion"]),
        (&json!("u1"), &json!("7"))
    );
    assert_eq!(write.body["spec"], json!({"dynamicAllocation": {"minExecutors": 4, "maxExecutors": 6}}));
}

/// What the daemon does once a turn with an application that it has restarted.
async fn followed(stage: &Stage, object: Value, second: i64) -> (Option<TargetHold>, Vec<Value>) {
    let answer = object.clone();
    let fake =
        Fake::default().on(GET, 200, object).on(QUOTAS, 200, quotas(&Value::Null)).on(PATCH, 200, answer);
    let target = stage.target(&fake);
    let reading = target.observe(at(second)).await;
    assert_eq!(target.tend(at(second)).await, Ok(()));
    assert_eq!(target.tend(at(second)).await, Ok(()), "only once");
    (reading.hold, fake.writes().into_iter().map(|write| write.body).collect())
}

fn phase(body: &Value) -> Value {
    let text = body["metadata"]["annotations"][RESTARTS].as_str().unwrap();
    serde_json::from_str::<Value>(text).unwrap()["last"]["phase"].clone()
}

fn unsettled(what: &str) -> TargetHold {
    TargetHold::Unsettled { what: what.to_owned() }
}

#[tokio::test]
async fn a_restart_is_proved_in_the_annotation_alone() {
    let stage = Stage::set().await;
    stage.runs("app-2", (4, 6)).await;
    stage.commit(7, 990);
    let open = || application("9", "RUNNING", (4, 6), &restarted(&json!("asked")));
    let (hold, writes) = followed(&stage, open(), 1070).await;
    assert_eq!(hold, Some(unsettled("restarted for 4 to 6 executors: no batch was committed after 7")));
    assert_eq!(writes, Vec::<Value>::new());
    stage.commit(8, 1079);
    let (hold, writes) = followed(&stage, open(), 1080).await;
    assert_eq!(hold, Some(unsettled("proved: it runs with 4 to 6 executors after 80 s")));
    assert_eq!((writes.len(), phase(&writes[0]), writes[0].get("spec")), (1, json!("proved"), None));
}

/// A failed application is never written to, but for taking back what we did to it ourselves, once.
#[tokio::test]
async fn a_restart_that_fails_is_undone_once() {
    let stage = Stage::set().await;
    stage.commit(7, 990);
    let failed = |bounds, restarts: &Value| application("9", "FAILED", bounds, restarts);
    let (hold, writes) = followed(&stage, failed((4, 6), &restarted(&json!("asked"))), 1030).await;
    assert_eq!(hold, Some(unsettled("it is FAILED with 4 to 6 executors")));
    assert_eq!((writes.len(), phase(&writes[0])), (1, json!({"undoing": {"since": at(1030)}})));
    assert_eq!(writes[0]["spec"], json!({"dynamicAllocation": {"minExecutors": 1, "maxExecutors": 2}}));
    assert_eq!(writes[0]["metadata"]["resourceVersion"], "9");

    let undoing = restarted(&json!({"undoing": {"since": at(1030)}}));
    let (_, writes) = followed(&stage, failed((1, 2), &undoing), 1100).await;
    assert_eq!(writes, Vec::<Value>::new(), "not twice");
    let (_, writes) = followed(&stage, failed((1, 2), &undoing), 1330).await;
    assert_eq!(
        (writes.len(), phase(&writes[0]), writes[0].get("spec")),
        (1, json!({"givenUp": {"at": at(1330)}}), None)
    );
    let given_up = restarted(&json!({"givenUp": {"at": at(1330)}}));
    let (_, writes) = followed(&stage, failed((1, 2), &given_up), 90_000).await;
    assert_eq!(writes, Vec::<Value>::new(), "and never again");
}

#[rstest]
#[case::completed("COMPLETED", &json!(null), "it has ended (COMPLETED): any change would run it again")]
#[case::foreign_annotation("RUNNING", &json!({"last": 1}), "its annotation tidegate.dev/restarts is not ours")]
#[tokio::test]
async fn what_is_refused_is_never_written(#[case] state: &str, #[case] restarts: &Value, #[case] why: &str) {
    let stage = Stage::set().await;
    stage.runs("app-1", (1, 2)).await;
    stage.commit(7, 990);
    let fake = Fake::default().on(GET, 200, application("7", state, (1, 2), restarts)).on(
        QUOTAS,
        200,
        quotas(&Value::Null),
    );
    let target = stage.target(&fake);
    let reading = target.observe(at(1000)).await;
    let hold = match &reading.hold {
        Some(TargetHold::Unfit { problem }) => Some(problem),
        _ => reading.problem.as_ref(),
    };
    assert!(hold.is_some_and(|told| told.contains(why)), "{reading:?}");
    assert_eq!(target.tend(at(1000)).await, Ok(()));
    assert_eq!(fake.writes(), []);
}

/// Two executors run; the quota is full with what else there is.
#[tokio::test]
async fn a_quota_is_a_reason_to_refuse_and_else_a_limit() {
    let stage = Stage::set().await;
    stage.runs("app-1", (1, 2)).await;
    stage.commit(7, 1000);
    let with = |hard: Value| {
        let object = application("7", "RUNNING", (1, 2), &Value::Null);
        Fake::default().on(GET, 200, object.clone()).on(PATCH, 200, object).on(QUOTAS, 200, quotas(&hard))
    };
    let roomy = with(json!({"pods": "3"}));
    let target = stage.target(&roomy);
    let reading = target.observe(at(1000)).await;
    assert_eq!(reading.limit, Some(TargetLimit { most: Replicas(5), cause: LimitCause::Quota }));
    assert_eq!(target.apply(&to(5, 8), &reading.fence.unwrap()).await, Ok(()));
    assert_eq!(
        roomy.writes()[0].body["spec"]["dynamicAllocation"],
        json!({"minExecutors": 5, "maxExecutors": 5})
    );

    let mut large = application("7", "RUNNING", (1, 6), &Value::Null);
    large["status"]["executorState"] = json!({"exec-1": "RUNNING"});
    let tight = Fake::default().on(GET, 200, large).on(QUOTAS, 200, quotas(&json!({"requests.cpu": "3"})));
    let target = stage.target(&tight);
    let reading = target.observe(at(1000)).await;
    let why = "SparkApplication shop/orders: the ResourceQuota team (requests.cpu) leaves room for 4 executors of 6: \
               Spark asks for the rest until its driver ends; lower maxExecutors or raise the quota";
    assert_eq!((reading.quality, reading.problem.as_deref()), (Quality::Rejected, Some(why)));
    assert_eq!(tight.writes(), []);
}
