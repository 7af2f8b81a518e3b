//! A Flink job as the target, against a JobManager that gives the recorded answers of a real one, and faults that a
//! real one cannot be made to have on cue.
//!
//! What Flink and its operator are known to do to an autoscaler, and where it is held against what Tidegate does. Scenarios
//! of the end-to-end suite, against real servers, are in quotes; the rest is in this folder or beside the code.
//!
//! | trap | test | what is asserted |
//! |---|---|---|
//! | an answer is one fetch old | `flink::look::tests::the_first_answer_is_thrown_away` | the second answer counts |
//! | one unknown name empties the answer | `..::names_are_listed_before_they_are_asked_for`, `sight::tests::one_unknown_name_..` | no position is zero |
//! | zeros that are not complete, right after a start (FLINK-39925) | `traps::zeros_of_new_tasks_are_unknown`, `sight::tests::zeros_of_a_job_..` | `SignalMissing`, nothing sent |
//! | RUNNING while tasks are made anew | `traps::a_job_that_is_being_rescaled_is_left_alone` | `TargetNotSettled`: which vertex is what |
//! | counters begin anew, names vanish | `flink::look::tests::positions_of_replaced_tasks_say_nothing`, `busy_shares_..` | unknown |
//! | accepted is not carried out | `traps::accepted_is_not_carried_out` | not settled until it runs so |
//! | a wait in the scheduler's rest | `traps::the_schedulers_rest_is_not_fought` | `TargetNotSettled`: for how long |
//! | a stall for slots that are missing | `traps::no_more_is_asked_for_than_there_are_slots`, "flink-slots" | `SlotsMissing` |
//! | a lower bound survives no lost TaskManager | `traps::no_lower_bound_is_raised` | the bounds sent |
//! | parallelism lost by a restart (FLINK-38770) | `resource::a_job_that_begins_anew_..`, "flink-application", "flink-application-older" | given back once |
//! | a TaskManager is killed in a rescale | "flink-taskmanager", `sight::tests::a_failure_of_late_..` | never down, all counted once |
//! | the JobManager is killed in a rescale | "flink-jobmanager", "flink-application" | `TargetUnreadable`, `TargetNotFound` |
//! | no checkpoint to go back to | `traps::a_job_with_nothing_to_go_back_to_is_left_alone` | `TargetUnfit`, `TargetNotSettled` |
//! | failures, or failing checkpoints, since a move | `trials::*` | taken back, `Quarantined` |
//! | more that do less | `engine::cheap::more_that_do_less_are_taken_back` | `NoGain` |
//! | moves upon moves | `engine::cheap::moves_are_budgeted_..`, `..::a_step_takes_few_moves` | `BudgetExhausted`, the last kept for one up |
//! | what the operator's object must say, row by row | `flink::resource::tests::*` | the reason of each |
//! | the operator's autoscaler, in each spelling | `flink::resource::tests::the_operators_autoscaler_..`, `resource::the_operators_..`, "flink-deployment", "flink-session-job" | `OwnedByOther`, the one patch |
//! | a JobManager's own preconditions | `what_is_in_the_way_is_named` | the reason of each |

mod resource;
mod routes;
mod taskmanagers;
mod traps;
mod trials;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use jiff::Timestamp;
use kube::client::Body;
use rstest::rstest;
use serde_json::{Value, json};
use tidegate::actuators::owners::Tenure;
use tidegate::actuators::{ActuateError, Actuator, Actuators};
use tidegate::daemon::cycle::Workload;
use tidegate::engine::observation::{
    Division, Fence, LimitCause, Meaning, Quality, SourceReading, TargetHold, TargetLimit, TargetReading,
};
use tidegate::engine::{Change, Memory};
use tidegate::policy::read::read_policies;
use tidegate::policy::settings::Settings;
use tidegate::policy::{Mode, Policy, Replicas, TimeSpan};
use tidegate::record::Outcome;
use tidegate::sources::{Connections, Source};

const SOURCE: &str = "e5a72f353fc1e6bbf3bd96a41384998c";
const WORK: &str = "674df9b0384c0348e0b9d1034a44c46c";

/// A JobManager: what it answers by path, and what was sent to it.
#[derive(Clone, Default)]
struct JobManager {
    answers: Arc<Mutex<BTreeMap<String, (u16, Value)>>>,
    sent: Arc<Mutex<Vec<(String, Value)>>>,
    url: String,
}

impl JobManager {
    /// One that answers as that of `line` did when it was recorded.
    async fn recorded(line: &str) -> Self {
        let manager = Self::default();
        let read = |name: &str| -> Value {
            let path = format!("{}/tests/fixtures/flink/{line}/{name}.json", env!("CARGO_MANIFEST_DIR"));
            serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
        };
        let jid = read("job")["jid"].as_str().unwrap().to_owned();
        for (path, name) in [
            ("/overview", "overview"),
            ("/jobs/overview", "jobs"),
            ("/jobmanager/config", "jobmanager-config"),
        ] {
            manager.on(path, 200, read(name));
        }
        for (path, name) in [
            ("", "job"),
            ("/jobmanager/config", "job-jobmanager-config"),
            ("/checkpoints/config", "checkpoint-config"),
            ("/checkpoints", "checkpoints"),
            ("/resource-requirements", "requirements"),
        ] {
            manager.on(&format!("/jobs/{jid}{path}"), 200, read(name));
        }
        let metrics = format!("/jobs/{jid}/vertices/{SOURCE}/subtasks/metrics");
        manager.on(&metrics, 200, read("names"));
        manager.on(&format!("{metrics}?"), 200, read("offsets"));
        manager.serve().await
    }

    async fn serve(mut self) -> Self {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        self.url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        self
    }

    fn on(&self, path: &str, code: u16, answer: Value) {
        self.answers.lock().unwrap().insert(path.to_owned(), (code, answer));
    }

    /// Changes what a path answers.
    fn change(&self, path: &str, change: impl FnOnce(&mut Value)) {
        change(&mut self.answers.lock().unwrap().get_mut(path).unwrap().1);
    }

    /// What a path answers.
    fn answer(&self, path: &str) -> Value {
        self.answers.lock().unwrap()[path].1.clone()
    }

    fn jid(&self) -> String {
        self.answers.lock().unwrap()["/jobs/overview"].1["jobs"][0]["jid"].as_str().unwrap().to_owned()
    }

    fn sent(&self) -> Vec<(String, Value)> {
        self.sent.lock().unwrap().clone()
    }

    fn settings(&self) -> Settings {
        serde_json::from_value(json!({
            "apiVersion": "tidegate.dev/v1alpha1", "kind": "Settings",
            "connections": {"flink": {"main": {"url": self.url}}, "kafka": {"main": {"bootstrapServers": ["127.0.0.1:1"]}}},
            "limits": {"httpRequestsPerSecond": 1000, "sourceTimeout": "60s"},
        }))
        .unwrap()
    }

    fn actuator(&self, policy: &Policy) -> Arc<dyn Actuator> {
        let connections = Connections::new(&self.settings()).unwrap();
        Self::actuators().with_flink(connections.flink()).for_policy(policy, Tenure::default())
    }

    /// Without a cluster.
    fn actuators() -> Actuators {
        let no_cluster = tower::service_fn(|_: axum::http::Request<Body>| async {
            Ok::<_, Infallible>(axum::http::Response::new(Body::empty()))
        });
        Actuators::new(kube::Client::new(no_cluster, "shop"))
    }

    async fn reading(&self) -> TargetReading {
        self.actuator(&policy()).observe(now()).await
    }
}

async fn answer(
    State(manager): State<JobManager>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> (StatusCode, String) {
    if method != Method::GET {
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        manager.sent.lock().unwrap().push((format!("{method} {}", uri.path()), body));
    }
    let key = if uri.query().is_some() { format!("{}?", uri.path()) } else { uri.path().to_owned() };
    let answers = manager.answers.lock().unwrap();
    let put = answers.get(&format!("{method} {key}"));
    let unknown = (404, json!({"errors": ["Not found."]}));
    let (code, answer) = match put {
        Some(put) => put,
        None if method == Method::PUT => &(200, json!({})),
        None => answers.get(&key).unwrap_or(&unknown),
    };
    (StatusCode::from_u16(*code).unwrap(), answer.to_string())
}

fn now() -> Timestamp {
    Timestamp::from_second(1_795_259_000).unwrap()
}

fn policy() -> Policy {
    let document = json!({
        "apiVersion": "tidegate.dev/v1alpha1", "kind": "ScalingPolicy",
        "metadata": {"name": "orders", "namespace": "shop"},
        "spec": {
            "target": {"flinkCluster": {"cluster": "main", "job": "orders"}},
            "sources": [{"kafkaLag": {"cluster": "main", "group": "orders", "topics": ["orders"]}}],
            "objective": {"maxLag": "20s"}, "minReplicas": 4, "maxReplicas": 8,
        },
    });
    read_policies("test", &document.to_string(), None, TimeSpan::from_secs(15)).remove(0).result.unwrap()
}

fn change(replicas: u32) -> Change {
    Change { replicas: Replicas(replicas), ceiling: None, metric_target: None }
}

#[rstest]
#[case::older("1.20")]
#[case::newer("2.2")]
#[tokio::test]
async fn a_job_is_read_as_it_stands(#[case] line: &str) {
    let manager = JobManager::recorded(line).await;
    let reading = manager.reading().await;
    assert_eq!((reading.quality, reading.problem, reading.hold), (Quality::Ok, None, None));
    assert_eq!(
        (reading.current, reading.ready, reading.settled),
        (Some(Replicas(2)), Some(Replicas(2)), true)
    );
    assert_eq!(reading.limit, Some(TargetLimit { most: Replicas(8), cause: LimitCause::Slots }));
    let fence = reading.fence.unwrap();
    assert_eq!(fence.uid, manager.jid());
    assert_eq!(fence.resource_version, format!("{WORK}:1-2,{SOURCE}:1-2"));
    assert_eq!(manager.sent(), []);
}

#[tokio::test]
async fn every_vertex_is_written_in_one_go() {
    let manager = JobManager::recorded("2.2").await;
    let actuator = manager.actuator(&policy());
    let fence = actuator.observe(now()).await.fence.unwrap();
    actuator.apply(&change(4), &fence).await.unwrap();
    let asked = json!({"parallelism": {"lowerBound": 1, "upperBound": 4}});
    let path = format!("PUT /jobs/{}/resource-requirements", manager.jid());
    assert_eq!(manager.sent(), [(path, json!({SOURCE: asked, WORK: asked}))]);
}

/// Half a minute of work shows which vertex binds: it gets what is asked for, and the others what they take beside it.
#[tokio::test]
async fn the_whole_job_follows_the_vertex_that_binds() {
    let manager = JobManager::recorded("2.2").await;
    let actuator = manager.actuator(&policy());
    let at = |second: i64| now() + jiff::SignedDuration::from_secs(second);
    assert_eq!(actuator.observe(now()).await.binding, None, "nothing is known by one look");
    assert_eq!(actuator.rung().as_deref(), Some("rescaled in place"));
    manager.change(&format!("/jobs/{}", manager.jid()), |job| {
        for (vertex, busy) in job["vertices"].as_array_mut().unwrap().iter_mut().zip([600.0, 45_000.0]) {
            let metrics = &mut vertex["metrics"];
            for (name, more) in [("accumulated-busy-time", busy), ("accumulated-idle-time", 60_000.0 - busy)]
            {
                metrics[name] = (metrics[name].as_f64().unwrap() + more).into();
            }
            for name in ["read-records", "write-records"] {
                metrics[name] = (metrics[name].as_u64().unwrap() + 9000).into();
            }
        }
    });
    let reading = actuator.observe(at(30)).await;
    let binding = reading.binding.unwrap();
    assert_eq!((binding.name.as_str(), binding.division), ("work -> sink: Writer", Division::Parts(120)));
    assert_eq!(binding.fill, Some(4), "slots of a TaskManager");
    assert_eq!(binding.limited_by.as_deref(), Some("work -> sink: Writer: maxParallelism is 120"));
    let known = "rescaled in place; of the time that the vertex takes which binds: work -> sink: Writer 100 % (200 \
                 records per busy second), Source: orders 1 % (15000 records per busy second)";
    assert_eq!(actuator.rung().as_deref(), Some(known));
    let plan = "rescaled in place: Source: orders 2 -> 2 (it takes 1 % of what binds), work -> sink: Writer 2 -> 8 (it \
                binds)";
    assert_eq!(actuator.plan(&change(8)).as_deref(), Some(plan));
    actuator.apply(&change(8), &reading.fence.unwrap()).await.unwrap();
    let bounds = |upper: u32| json!({"parallelism": {"lowerBound": 1, "upperBound": upper}});
    assert_eq!(manager.sent()[0].1, json!({SOURCE: bounds(2), WORK: bounds(8)}));
}

/// What was learnt of a job outlives the daemon, as far as it is stored.
#[tokio::test]
async fn what_binds_is_known_after_a_restart() {
    let manager = JobManager::recorded("2.2").await;
    let spent = |busy: f64| json!({"seconds": 100.0, "busy": busy, "records": 9000.0});
    let kept = json!({"learnt": {"vertices": {SOURCE: spent(1.0), WORK: spent(90.0)}}});
    let tenure: Tenure = serde_json::from_value(kept.clone()).unwrap();
    assert_eq!(tenure.clone().urgent(), Tenure::default(), "it may wait to be stored");
    let connections = Connections::new(&manager.settings()).unwrap();
    let actuator = JobManager::actuators().with_flink(connections.flink()).for_policy(&policy(), tenure);
    let binding = actuator.observe(now()).await.binding.unwrap();
    assert_eq!(binding.name, "work -> sink: Writer");
    let again = serde_json::to_value(actuator.tenure()).unwrap();
    assert_eq!(again["learnt"]["vertices"], kept["learnt"]["vertices"]);
    assert_eq!(again["learnt"]["partitions"][SOURCE], 4);
    let nothing: Tenure = serde_json::from_value(json!({})).unwrap();
    assert_eq!(serde_json::to_value(nothing).unwrap(), json!({}));
}

/// Where the policy says so all vertices get the same, and nothing is said of one that binds.
#[tokio::test]
async fn all_vertices_alike_where_that_is_asked_for() {
    let manager = JobManager::recorded("2.2").await;
    let mut policy = policy();
    let target = json!({"flinkCluster": {"cluster": "main", "job": "orders", "vertices": "Uniform"}});
    policy.target = serde_json::from_value(target).unwrap();
    let actuator = manager.actuator(&policy);
    let fence = actuator.observe(now()).await.fence.unwrap();
    let plan = actuator.plan(&change(8)).unwrap();
    assert!(plan.contains("Source: orders 2 -> 8 (as all of them)"), "{plan}");
    actuator.apply(&change(8), &fence).await.unwrap();
    let asked = json!({"parallelism": {"lowerBound": 1, "upperBound": 8}});
    assert_eq!(manager.sent()[0].1, json!({SOURCE: asked, WORK: asked}));
}

#[tokio::test]
async fn what_somebody_else_changed_meanwhile_is_left_as_it_is() {
    let manager = JobManager::recorded("2.2").await;
    let actuator = manager.actuator(&policy());
    let fence = actuator.observe(now()).await.fence.unwrap();
    let path = format!("/jobs/{}/resource-requirements", manager.jid());
    manager.change(&path, |asked| asked[WORK]["parallelism"]["upperBound"] = 3.into());
    assert_eq!(actuator.apply(&change(4), &fence).await, Err(ActuateError::Conflict));
    let stranger = Fence { uid: "0".repeat(32), ..fence };
    assert_eq!(actuator.apply(&change(4), &stranger).await, Err(ActuateError::Conflict), "another job");
    assert_eq!(manager.sent(), []);
}

#[tokio::test]
async fn a_refusal_is_passed_on_without_its_stack() {
    let manager = JobManager::recorded("2.2").await;
    let actuator = manager.actuator(&policy());
    let fence = actuator.observe(now()).await.fence.unwrap();
    let path = format!("PUT /jobs/{}/resource-requirements", manager.jid());
    let errors = json!({"errors": ["Caused by: java.lang.Exception: Cannot do that\n\tat org.apache.X.y(X.java:1)\n"]});
    manager.on(&path, 500, errors);
    let Err(ActuateError::Failed { problem }) = actuator.apply(&change(4), &fence).await else {
        panic!("written")
    };
    assert_eq!(
        problem,
        format!("{} answers HTTP 500: Caused by: java.lang.Exception: Cannot do that", manager.url)
    );
}

/// Each row of what must hold before a job is moved.
#[tokio::test]
async fn what_is_in_the_way_is_named() {
    let held = async |change: &dyn Fn(&JobManager, &str)| {
        let manager = JobManager::recorded("2.2").await;
        change(&manager, &format!("/jobs/{}", manager.jid()));
        let reading = manager.reading().await;
        assert_eq!(manager.sent(), []);
        reading.hold
    };
    let unfit = |problem: &str| Some(TargetHold::Unfit { problem: problem.to_owned() });
    let unsettled = |what: &str| Some(TargetHold::Unsettled { what: what.to_owned() });
    let old =
        held(&|manager, _| manager.change("/overview", |it| it["flink-version"] = "1.17.2".into())).await;
    assert_eq!(old, unfit("Flink 1.17.2 cannot rescale a running job: 1.18 or later can"));
    let config = |scheduler: &'static str| {
        move |manager: &JobManager, job: &str| {
            let config = json!([{"key": "jobmanager.scheduler", "value": scheduler}]);
            manager.on(&format!("{job}/jobmanager/config"), 200, config);
        }
    };
    let default = held(&config("default")).await;
    assert_eq!(default, unfit("jobmanager.scheduler is default: only adaptive rescales a running job"));
    let resting = held(&|manager, job| {
        config("adaptive")(manager, job);
        manager.change(job, |it| it["now"] = (it["timestamps"]["RUNNING"].as_i64().unwrap() + 18_000).into());
    })
    .await;
    assert_eq!(resting, unsettled("the adaptive scheduler rests for 12 s more after its last rescale"));
    let starting =
        held(&|manager, job| manager.change(job, |it| it["vertices"][1]["status"] = "INITIALIZING".into()))
            .await;
    assert_eq!(starting, unsettled("work -> sink: Writer is INITIALIZING"));
    let failing = held(&|manager, job| manager.change(job, |it| it["state"] = "RESTARTING".into())).await;
    assert_eq!(failing, unsettled("the job is RESTARTING"));
    let stopping = held(&|manager, job| manager.change(job, |it| it["state"] = "CANCELLING".into())).await;
    assert_eq!(stopping, unfit("the job is CANCELLING"));
    let twins = held(&|manager, _| {
        manager.change("/jobs/overview", |it| {
            let twin = it["jobs"][0].clone();
            it["jobs"].as_array_mut().unwrap().push(twin);
        });
    })
    .await;
    assert_eq!(twins, unfit("it runs 2 jobs named `orders`: give them names of their own"));
    let ended =
        held(&|manager, _| manager.change("/jobs/overview", |it| it["jobs"][0]["state"] = "FINISHED".into()))
            .await;
    assert_eq!(ended, Some(TargetHold::NotFound));
    let scheduler = held(&|manager, job| {
        let errors = json!({"errors": ["The scheduler does not support this"]});
        manager.on(&format!("{job}/resource-requirements"), 500, errors);
    })
    .await;
    let Some(TargetHold::Unfit { problem }) = scheduler else { panic!("fit") };
    assert!(problem.ends_with("answers HTTP 500: The scheduler does not support this"), "{problem}");
}

#[tokio::test]
async fn a_jobmanager_that_does_not_answer_leaves_the_target_unknown() {
    let manager = JobManager { url: "http://127.0.0.1:1".to_owned(), ..JobManager::default() };
    let reading = manager.reading().await;
    assert_eq!((reading.quality, reading.current, reading.hold), (Quality::Missing, None, None));
    let problem = reading.problem.unwrap();
    assert!(problem.starts_with("flink main/orders: http://127.0.0.1:1 cannot be reached ("), "{problem}");
}

/// The busiest vertex's share by the tasks' own clocks; unknown before two looks, and after a restart.
#[tokio::test]
async fn busy_shares_are_told_from_one_look_to_the_next() {
    let manager = JobManager::recorded("2.2").await;
    let connections = Connections::new(&manager.settings()).unwrap();
    let policy = policy();
    let spec = policy.sources.last().unwrap();
    let busy = connections.source(spec, TimeSpan::from_secs(20), TimeSpan::from_secs(15)).unwrap();
    let mut second = 0;
    let mut look = async || {
        second += 15;
        let SourceReading::Metric(reading) =
            busy.observe(now() + jiff::SignedDuration::from_secs(second)).await
        else {
            panic!("no metric")
        };
        assert_eq!(reading.means, Meaning::BusyShare);
        (reading.value, reading.quality, reading.problem)
    };
    let unknown = "flink main/orders: its tasks have not told yet how busy they are".to_owned();
    assert_eq!(look().await, (None, Quality::Missing, Some(unknown.clone())));
    let job = format!("/jobs/{}", manager.jid());
    let add = |milliseconds: [f64; 2]| {
        manager.change(&job, |it| {
            for (name, more) in
                ["accumulated-busy-time", "accumulated-idle-time"].into_iter().zip(milliseconds)
            {
                let time = &mut it["vertices"][1]["metrics"][name];
                *time = (time.as_f64().unwrap() + more).into();
            }
        });
    };
    add([600.0, 200.0]);
    assert_eq!(look().await, (Some(0.75), Quality::Ok, None));
    assert_eq!(look().await, (Some(0.75), Quality::Ok, None), "no counter has moved: the last word counts");
    manager.change(&job, |it| it["timestamps"]["RUNNING"] = 1.into());
    assert_eq!(look().await, (None, Quality::Missing, Some(unknown)), "other tasks");
    manager.change(&job, |it| it["vertices"][1]["metrics"]["accumulated-busy-time"] = "NaN".into());
    assert_eq!(look().await.0, None, "not a number is not zero");
}

/// A job's details may leave tasks out for minutes after a rescale: then the tasks' own metrics are asked.
#[tokio::test]
async fn tasks_are_asked_where_the_jobs_details_leave_them_out() {
    let manager = JobManager::recorded("2.2").await;
    let job = format!("/jobs/{}", manager.jid());
    manager.change(&job, |it| it["vertices"][1]["metrics"]["read-records-complete"] = false.into());
    let connections = Connections::new(&manager.settings()).unwrap();
    let policy = policy();
    let spec = policy.sources.last().unwrap();
    let busy = connections.source(spec, TimeSpan::from_secs(20), TimeSpan::from_secs(15)).unwrap();
    let look = async |second: i64| {
        let SourceReading::Metric(reading) =
            busy.observe(now() + jiff::SignedDuration::from_secs(second)).await
        else {
            panic!("no metric")
        };
        (reading.value, reading.problem)
    };
    let silent = "flink main/orders: not all tasks of work -> sink: Writer have told yet how busy they are";
    assert_eq!(look(0).await, (None, Some(silent.to_owned())));
    let tell = |busy: f64, idle: f64| {
        let clocks = [("Busy", busy), ("Idle", idle), ("BackPressured", 0.0)];
        let one = |(name, sum): (&str, f64)| json!({"id": format!("accumulate{name}TimeMs"), "sum": sum, "avg": sum / 2.0});
        let answer = clocks.into_iter().map(one).collect();
        manager.on(&format!("{job}/vertices/{WORK}/subtasks/metrics?"), 200, answer);
    };
    tell(1000.0, 1000.0);
    assert_eq!(look(15).await.0, None, "one look is no stretch of time");
    tell(1600.0, 1200.0);
    assert_eq!(look(30).await, (Some(0.75), None));
}

/// The only difference between a dry turn and a live one is the write.
#[rstest]
#[case::dry(Mode::Recommend, 0)]
#[case::live(Mode::Apply, 1)]
#[tokio::test]
async fn a_dry_run_writes_nothing(#[case] mode: Mode, #[case] writes: usize) {
    let manager = JobManager::recorded("2.2").await;
    let policy = policy();
    let connections = Connections::new(&manager.settings()).unwrap();
    let spec = policy.sources.last().unwrap();
    let busy: Arc<dyn Source> =
        connections.source(spec, TimeSpan::from_secs(20), policy.rules.interval).unwrap();
    let policy = Policy { sources: vec![spec.clone()], ..policy.clone() };
    let target = manager.actuator(&policy);
    let mut workload = Workload { policy, mode, sources: vec![busy], target, memory: Memory::default() };
    let turn = workload.turn(now(), std::time::Duration::from_secs(10)).await;
    assert_eq!(
        (turn.decision.current, turn.decision.desired),
        (Some(Replicas(2)), Some(Replicas(4))),
        "{turn:?}"
    );
    let outcome = if mode == Mode::Apply { Outcome::Applied } else { Outcome::Recommended };
    assert_eq!((turn.outcome, manager.sent().len()), (outcome, writes));
    assert_eq!(turn.target, "FlinkCluster/orders");
}
