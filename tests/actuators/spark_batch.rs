//! A batch whose bounds follow its last runs, turn by turn, against an API server and a history server that answer
//! from a script. The latter's answers are in the shape of a real one's, of Spark 4.2.0.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tidegate::actuators::Actuators;
use tidegate::actuators::owners::Tenure;
use tidegate::daemon::cycle::Workload;
use tidegate::engine::Memory;
use tidegate::engine::observation::{Meaning, Quality, SourceReading};
use tidegate::policy::read::read_policies;
use tidegate::policy::{Mode, TimeSpan};
use tidegate::record::{Outcome, Turn};
use tidegate::sources::Connections;
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::fake::{Fake, Seen};

const GET: &str =
    "GET /apis/sparkoperator.k8s.io/v1beta2/namespaces/batch/scheduledsparkapplications/nightly";
const PATCH: &str =
    "PATCH /apis/sparkoperator.k8s.io/v1beta2/namespaces/batch/scheduledsparkapplications/nightly";
const QUOTAS: &str = "GET /api/v1/namespaces/batch/resourcequotas";
const CHANGES: &str = "tidegate.dev/runs";
const SECOND: i64 = 1_795_259_000;

fn at(second: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(SECOND + second)
}

fn scheduled(version: &str, (lower, initial, upper): (u32, u32, u32), changes: Option<&str>) -> Value {
    let annotations = changes.map_or_else(|| json!({}), |text| json!({CHANGES: text}));
    json!({
        "apiVersion": "sparkoperator.k8s.io/v1beta2", "kind": "ScheduledSparkApplication",
        "metadata": {"name": "nightly", "namespace": "batch", "uid": "u1", "resourceVersion": version, "annotations": annotations},
        "spec": {"schedule": "0 3 * * *", "template": {"dynamicAllocation": {
            "enabled": true, "minExecutors": lower, "initialExecutors": initial, "maxExecutors": upper,
        }}},
    })
}

/// A run that began at a second, took so many, and after two of them ran twelve tasks of five seconds, six at once.
#[derive(Clone, Copy)]
struct Run {
    begun: i64,
    seconds: i64,
    spilled: u64,
    succeeded: bool,
}

fn run(begun: i64) -> Run {
    Run { begun, seconds: 15, spilled: 0, succeeded: true }
}

fn gmt(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.000GMT").to_string()
}

async fn history(runs: &[Run]) -> MockServer {
    let server = MockServer::start().await;
    let mount = async |address: String, body: Value| {
        let answer = ResponseTemplate::new(200).set_body_json(body);
        Mock::given(path(address)).respond_with(answer).mount(&server).await;
    };
    let id = |run: &Run| format!("spark-{}", run.begun);
    let apps: Vec<Value> = runs
        .iter()
        .map(|run| {
            let attempt = json!({"startTimeEpoch": (SECOND + run.begun) * 1000, "duration": run.seconds * 1000, "completed": true});
            json!({"id": id(run), "name": format!("nightly-{}", run.begun), "attempts": [attempt]})
        })
        .chain([json!({"id": "other", "name": "hourly-1", "attempts": [{"startTimeEpoch": 0, "duration": 1, "completed": true}]})])
        .collect();
    mount("/api/v1/applications".to_owned(), apps.into()).await;
    for run in runs {
        let base = format!("/api/v1/applications/{}", id(run));
        let stage = json!({
            "status": "COMPLETE", "numTasks": 12, "executorRunTime": 60_000, "diskBytesSpilled": run.spilled,
            "submissionTime": gmt(at(run.begun + 2)), "completionTime": gmt(at(run.begun + 12)),
            "taskMetricsDistributions": {"executorRunTime": [5000.0]},
        });
        mount(format!("{base}/stages"), json!([stage])).await;
        mount(
            format!("{base}/allexecutors"),
            json!([{"id": "1", "maxTasks": 1}, {"id": "driver", "maxTasks": 0}]),
        )
        .await;
        let status = if run.succeeded { "SUCCEEDED" } else { "FAILED" };
        mount(format!("{base}/jobs"), json!([{"jobId": 0, "status": status}])).await;
    }
    server
}

/// One turn of the daemon's, with all that it remembers coming from the objects alone: what it did, and wrote.
async fn turn(runs: &[Run], object: &Value, second: i64, mode: Mode) -> (Turn, Vec<Seen>) {
    let server = history(runs).await;
    let fake = Fake::default()
        .on(GET, 200, object.clone())
        .on(
            QUOTAS,
            200,
            json!({"kind": "ResourceQuotaList", "apiVersion": "v1", "metadata": {}, "items": []}),
        )
        .on(PATCH, 200, object.clone());
    let settings = json!({
        "apiVersion": "tidegate.dev/v1alpha1", "kind": "Settings",
        "connections": {"sparkHistory": {"main": {"url": server.uri()}}},
        "limits": {"httpRequestsPerSecond": 1000},
    });
    let connections = Connections::new(&serde_json::from_value(settings).unwrap()).unwrap();
    let document = json!({
        "apiVersion": "tidegate.dev/v1alpha1", "kind": "ScalingPolicy",
        "metadata": {"name": "nightly", "namespace": "batch"},
        "spec": {
            "target": {"scheduledSparkApplication": {"name": "nightly"}},
            "sources": [{"sparkRuns": {"history": "main", "app": "nightly-*"}}],
            "objective": {"lagPerReplica": 1}, "minReplicas": 1, "maxReplicas": 50,
        },
    });
    let policy =
        read_policies("test", &document.to_string(), None, TimeSpan::from_secs(15)).remove(0).result.unwrap();
    let source =
        connections.source(&policy.sources[0], policy.rules.window(), policy.rules.interval).unwrap();
    let target =
        Actuators::new(fake.client()).with_spark(connections.spark()).for_policy(&policy, Tenure::default());
    let mut workload = Workload { policy, mode, sources: vec![source], target, memory: Memory::default() };
    // Long enough to have warmed up, and for whatever a move down waits for.
    let mut last = workload.turn(at(second), Duration::from_secs(10)).await;
    for later in 1..=60 {
        if last.outcome != Outcome::Held || !fake.writes().is_empty() {
            break;
        }
        last = workload.turn(at(second + 15 * later), Duration::from_secs(10)).await;
    }
    (last, fake.writes())
}

fn bounds(writes: &[Seen]) -> Vec<Value> {
    let bounds = |write: &Seen| write.body["spec"]["template"]["dynamicAllocation"].clone();
    writes.iter().map(bounds).collect()
}

/// Twelve tasks on one slot each: twelve executors make the best time, 2 s + 5 s + 3 s; so does no fewer. A step is
/// thirty percent at most.
#[tokio::test]
async fn bounds_go_towards_what_runs_need_step_by_step() {
    let runs = [run(0), run(1000), run(2000)];
    let few = scheduled("1", (1, 1, 4), None);
    let (shown, writes) = turn(&runs, &few, 5000, Mode::Recommend).await;
    assert_eq!((shown.outcome, writes), (Outcome::Recommended, vec![]));
    let plan = shown.plan.unwrap();
    assert!(
        plan.starts_with("rung nextRun, by what its last runs needed") && plan.contains("\"maxExecutors\":6"),
        "{plan}"
    );
    let (_, writes) = turn(&runs, &few, 5000, Mode::Apply).await;
    assert_eq!(bounds(&writes), [json!({"minExecutors": 0, "initialExecutors": 6, "maxExecutors": 6})]);
    let near = scheduled("1", (0, 6, 10), None);
    let (_, writes) = turn(&runs, &near, 5000, Mode::Apply).await;
    assert_eq!(bounds(&writes), [json!({"minExecutors": 0, "initialExecutors": 12, "maxExecutors": 12})]);
    let many = scheduled("1", (0, 6, 40), None);
    let (_, writes) = turn(&runs, &many, 5000, Mode::Apply).await;
    assert_eq!(bounds(&writes), [json!({"minExecutors": 0, "initialExecutors": 12, "maxExecutors": 28})]);
}

#[tokio::test]
async fn nothing_is_changed_before_three_runs_or_where_the_history_is_silent() {
    let object = scheduled("1", (1, 1, 4), None);
    let (held, writes) = turn(&[run(0), run(1000)], &object, 5000, Mode::Apply).await;
    assert_eq!(writes, []);
    let sentence = &held.decision.sentence;
    assert!(sentence.contains("2 runs that ended well are known, and 3 are needed"), "{sentence}");
    let (held, writes) = turn(&[], &object, 5000, Mode::Apply).await;
    assert_eq!(writes, []);
    let [SourceReading::Metric(reading)] = &held.observation.sources[..] else {
        panic!("{:?}", held.observation)
    };
    assert_eq!((reading.means, reading.quality, reading.value), (Meaning::Backlog, Quality::Missing, None));
    let problem = reading.problem.as_deref().unwrap();
    assert_eq!(problem, "spark history main: it remembers no run of nightly-* that ended well");
}

/// A change is followed: kept where the next run is no worse, and else taken back, both without any further change.
#[tokio::test]
async fn the_next_run_decides_whether_a_change_stays() {
    let before = [run(0), run(1000), run(2000)];
    let (_, writes) = turn(&before, &scheduled("1", (0, 6, 10), None), 5000, Mode::Apply).await;
    let text = writes[0].body["metadata"]["annotations"][CHANGES].as_str().unwrap().to_owned();
    assert_eq!((&writes[0].body["metadata"]["resourceVersion"], bounds(&writes).len()), (&json!("1"), 1));
    let object = scheduled("2", (0, 12, 12), Some(&text));

    let (waits, writes) = turn(&before, &object, 6000, Mode::Apply).await;
    assert_eq!(writes, []);
    assert!(
        waits.decision.sentence.contains("no run has ended with 0 to 12 executors yet"),
        "{}",
        waits.decision.sentence
    );

    let after = |next: Run| [run(0), run(1000), run(2000), next];
    let good = after(run(8000));
    let (_, writes) = turn(&good, &object, 9000, Mode::Apply).await;
    assert_eq!((writes.len(), writes[0].body.get("spec")), (1, None), "kept");
    let slow = after(Run { seconds: 18, ..run(8000) });
    let (_, writes) = turn(&slow, &object, 9000, Mode::Apply).await;
    assert_eq!(bounds(&writes), [json!({"minExecutors": 0, "initialExecutors": 6, "maxExecutors": 10})]);
    for worse in [Run { succeeded: false, ..run(8000) }, Run { spilled: 1, ..run(8000) }] {
        let (_, writes) = turn(&after(worse), &object, 9000, Mode::Apply).await;
        assert_eq!(bounds(&writes).len(), 1);
        assert_eq!(bounds(&writes)[0]["maxExecutors"], 10);
        let text = writes[0].body["metadata"]["annotations"][CHANGES].as_str().unwrap();
        let (_, again) =
            turn(&after(worse), &scheduled("3", (0, 6, 10), Some(text)), 10_000, Mode::Apply).await;
        assert_eq!(again, [], "left alone for five runs");
    }
}

/// What a real history server told of a real run on three executors: twelve tasks and four after a shuffle, then six.
#[tokio::test]
async fn a_recorded_history_server_is_understood() {
    let server = MockServer::start().await;
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/spark-history");
    let app = "/api/v1/applications/app-20261121145748-0000";
    for (address, file) in [
        ("/api/v1/applications".to_owned(), "applications"),
        (format!("{app}/stages"), "stages"),
        (format!("{app}/allexecutors"), "allexecutors"),
        (format!("{app}/jobs"), "jobs"),
    ] {
        let text = std::fs::read_to_string(directory.join(format!("{file}.json"))).unwrap();
        let answer = ResponseTemplate::new(200).set_body_raw(text, "application/json");
        Mock::given(path(address)).respond_with(answer).mount(&server).await;
    }
    let settings = json!({
        "apiVersion": "tidegate.dev/v1alpha1", "kind": "Settings",
        "connections": {"sparkHistory": {"main": {"url": server.uri()}}},
    });
    let connections = Connections::new(&serde_json::from_value(settings).unwrap()).unwrap();
    let spec = serde_json::from_value(json!({"sparkRuns": {"history": "main", "app": "nightly-1700000000"}}))
        .unwrap();
    let source: Arc<dyn tidegate::sources::Source> =
        connections.source(&spec, TimeSpan::from_secs(60), TimeSpan::from_secs(15)).unwrap();
    let SourceReading::Metric(reading) = source.observe(at(0)).await else { panic!("a backlog") };
    assert_eq!((reading.quality, reading.problem), (Quality::Ok, None));
    // 107 s of work on three slots, of which a cold first task took 34 s: three were not far from enough.
    assert!(reading.value.is_some_and(|demand| (3.0..=6.0).contains(&demand)), "{:?}", reading.value);
}
