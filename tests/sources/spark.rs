//! A streaming query's backlog: positions from a checkpoint, ends from librdkafka's in-process brokers, and a
//! driver that answers as told.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use jiff::{SignedDuration, Timestamp};
use rdkafka::config::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _};
use rstest::rstest;
use serde_json::{Value, json};
use tempfile::TempDir;
use tidegate::engine::observation::{BacklogReading, GroupState, Quality, SourceReading};
use tidegate::policy::TimeSpan;
use tidegate::policy::source::SourceSpec;
use tidegate::sources::{Connections, Source};
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

const SECOND: i64 = 1_700_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(SECOND + second)
}

/// Brokers, a checkpoint and a driver.
struct Stage {
    brokers: MockCluster<'static, DefaultProducerContext>,
    checkpoints: TempDir,
    driver: MockServer,
}

impl Stage {
    /// A topic `orders` with 100 records in each of two partitions, and an empty checkpoint `orders`.
    async fn set() -> Self {
        let brokers = MockCluster::new(1).unwrap();
        brokers.create_topic("orders", 2, 1).unwrap();
        let mut config = ClientConfig::new();
        let producer: BaseProducer =
            config.set("bootstrap.servers", brokers.bootstrap_servers()).create().unwrap();
        for record in 0..200 {
            let record: BaseRecord<'_, (), str> = BaseRecord::to("orders").partition(record % 2).payload("x");
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(Duration::from_secs(30)).unwrap();
        let checkpoints = tempfile::tempdir().unwrap();
        for log in ["offsets", "commits"] {
            fs::create_dir_all(checkpoints.path().join("orders").join(log)).unwrap();
        }
        Self { brokers, checkpoints, driver: MockServer::start().await }
    }

    /// Batch `number` is planned up to these offsets.
    fn plan(&self, number: u64, offsets: [i64; 2]) {
        let source = json!({"orders": {"0": offsets[0], "1": offsets[1]}});
        let text = format!("v1\n{{\"batchTimestampMs\":0}}\n{source}");
        fs::write(self.checkpoints.path().join(format!("orders/offsets/{number}")), text).unwrap();
    }

    /// Batch `number` is committed.
    fn commit(&self, number: u64, second: i64) {
        let file = self.checkpoints.path().join(format!("orders/commits/{number}"));
        fs::write(&file, "v1\n{\"nextBatchWatermarkMs\":0}").unwrap();
        let time = UNIX_EPOCH + Duration::from_secs((SECOND + second).try_into().unwrap());
        fs::File::open(file).unwrap().set_modified(time).unwrap();
    }

    async fn answers(&self, address: &str, answer: ResponseTemplate) {
        Mock::given(path(address)).respond_with(answer).with_priority(1).mount(&self.driver).await;
    }

    /// A driver of these executors, as id, whether at work, and milliseconds of finished tasks, that runs `orders`.
    async fn driver(&self, executors: &[(&str, bool, u64)]) {
        self.driver.reset().await;
        let executor = |id: &str, active: bool, worked: u64| json!({"id": id, "isActive": active, "maxTasks": 2, "activeTasks": 1, "totalDuration": worked});
        let mut all = vec![executor("driver", true, 0)];
        all.extend(executors.iter().map(|(id, active, worked)| executor(id, *active, *worked)));
        let json = |body: Value| ResponseTemplate::new(200).set_body_json(body);
        let gauges = json!({"gauges": {
            "app-1.driver.spark.streaming.orders.latency": {"value": 4082},
            "app-1.driver.spark.streaming.orders.processingRate-total": {"value": 146.5},
            "app-1.driver.spark.streaming.orders.eventTime-watermark": {"value": 0},
        }});
        let apps = json!([{"id": "app-1", "attempts": [{"completed": false}]}]);
        for (address, body) in [
            ("/api/v1/applications", apps),
            ("/api/v1/applications/app-1/allexecutors", all.into()),
            ("/metrics/json/", gauges),
        ] {
            Mock::given(path(address)).respond_with(json(body)).mount(&self.driver).await;
        }
    }

    fn source(&self, further: &Value) -> Arc<dyn Source> {
        let settings = json!({
            "kafka": {"main": {"bootstrapServers": [self.brokers.bootstrap_servers()]}},
            "spark": {"shop": {"checkpoints": self.checkpoints.path(), "driver": self.driver.uri()}},
        });
        source(&settings, further)
    }
}

fn source(settings: &Value, further: &Value) -> Arc<dyn Source> {
    let limits = json!({"sourceTimeout": "4s"});
    let mut spec = json!({"app": "shop", "cluster": "main", "topics": ["orders"], "checkpoint": "orders", "query": "orders"});
    spec.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
    let spec: SourceSpec = serde_json::from_value(json!({ "spark": spec })).unwrap();
    let connections = Connections::new(&super::settings(settings, &limits)).unwrap();
    connections.source(&spec, TimeSpan::from_secs(60), TimeSpan::from_secs(15)).unwrap()
}

async fn look(source: &dyn Source, now: Timestamp) -> BacklogReading {
    match source.observe(now).await {
        SourceReading::Backlog(reading) => reading,
        SourceReading::Metric(reading) => panic!("{reading:?}"),
    }
}

fn lags(reading: &BacklogReading) -> Vec<Option<u64>> {
    reading.partitions.iter().map(|one| one.lag).collect()
}

#[tokio::test]
async fn a_backlog_lies_behind_the_last_commit() {
    let stage = Stage::set().await;
    stage.plan(0, [10, 20]);
    stage.commit(0, -20);
    stage.plan(1, [40, 60]);
    stage.driver(&[("0", true, 1000), ("1", true, 1000), ("2", false, 5000)]).await;
    let source = stage.source(&json!({"triggerInterval": "10s"}));
    let reading = look(&*source, at(0)).await;
    assert_eq!(lags(&reading), [Some(90), Some(80)]);
    assert_eq!((reading.quality, reading.problem, reading.group), (Quality::Ok, None, GroupState::Stable));
    assert_eq!(reading.source, "main/shop/orders");
    let streaming = reading.streaming.unwrap();
    assert_eq!(
        (streaming.executors, streaming.slots_per_executor, streaming.active_tasks),
        (Some(2), Some(2), Some(2))
    );
    assert!((streaming.trigger_seconds - 10.0).abs() < 1e-9);
    let batch = streaming.batch.unwrap();
    assert_eq!((batch.number, batch.running), (0, true));
    assert_eq!((batch.records_per_second, batch.seconds), (Some(146.5), Some(4.082)));
    assert!((batch.age_seconds - 20.0).abs() < 1e-6);
}

#[tokio::test]
async fn what_a_batch_did_counts_evenly_over_the_time_that_it_took() {
    let stage = Stage::set().await;
    stage.plan(0, [0, 0]);
    stage.commit(0, -40);
    stage.plan(1, [20, 40]);
    stage.commit(1, 0);
    stage.plan(2, [60, 60]);
    stage.driver(&[("0", true, 0)]).await;
    let source = stage.source(&json!({}));
    look(&*source, at(0)).await;
    let consumed = |reading: &BacklogReading| -> Vec<_> {
        reading.partitions.iter().map(|one| one.consumed.unwrap()).collect()
    };
    // Half a record a second and one, over 20 s: although no position moved.
    let between = look(&*source, at(20)).await;
    assert_eq!((consumed(&between), between.over_seconds), (vec![10, 20], Some(20.0)));
    // The batch runs for 80 s by now: it cannot be as fast as the last one was.
    let slower = look(&*source, at(80)).await;
    assert_eq!((consumed(&slower), slower.over_seconds), (vec![15, 30], Some(60.0)));
    assert_eq!(lags(&slower), [Some(80), Some(60)], "the lag stays what it is");
}

#[tokio::test]
async fn executors_that_come_or_go_count_from_the_next_batch_on() {
    let stage = Stage::set().await;
    stage.plan(0, [10, 20]);
    stage.commit(0, -5);
    stage.plan(1, [40, 60]);
    stage.driver(&[("0", true, 1000)]).await;
    let source = stage.source(&json!({}));
    assert_eq!(look(&*source, at(0)).await.group, GroupState::Stable);
    stage.driver(&[("0", true, 1000), ("1", true, 0)]).await;
    assert_eq!(look(&*source, at(15)).await.group, GroupState::Rebalancing);
    assert_eq!(look(&*source, at(30)).await.group, GroupState::Rebalancing);
    stage.commit(1, 32);
    assert_eq!(look(&*source, at(45)).await.group, GroupState::Stable);
    // Nothing was under way: they are at their places at once.
    stage.driver(&[("1", true, 0)]).await;
    assert_eq!(look(&*source, at(60)).await.group, GroupState::Stable);
    stage.driver(&[]).await;
    assert_eq!(look(&*source, at(75)).await.group, GroupState::Empty);
}

#[tokio::test]
async fn the_share_of_busy_slots_is_told_over_a_minute() {
    let stage = Stage::set().await;
    stage.plan(0, [10, 20]);
    stage.commit(0, 0);
    let source = stage.source(&json!({}));
    let mut shares = Vec::new();
    for (second, worked) in [(0, 0), (15, 0), (30, 45_000)] {
        stage.driver(&[("0", true, worked)]).await;
        shares.push(look(&*source, at(second)).await.streaming.unwrap().busy_share);
    }
    assert_eq!(shares, [None, None, Some(0.75)]);
}

#[tokio::test]
async fn without_a_commit_or_a_topic_nothing_is_known() {
    let stage = Stage::set().await;
    stage.driver(&[("0", true, 0)]).await;
    let source = stage.source(&json!({}));
    let reading = look(&*source, at(0)).await;
    assert_eq!((lags(&reading), reading.quality), (vec![None, None], Quality::Missing));
    assert!(
        reading
            .problem
            .unwrap()
            .ends_with("orders/commits holds no batch yet: nothing is known before the query's first commit")
    );

    stage.plan(0, [10, 20]);
    stage.commit(0, 0);
    let source = stage.source(&json!({"topics": ["payments"]}));
    let reading = look(&*source, at(30)).await;
    let problem = reading.problem.unwrap();
    assert_eq!(reading.quality, Quality::Missing);
    assert!(
        problem.contains(
            "spark shop: the checkpoint knows orders and not payments: check `topics` and `checkpoint`"
        ),
        "{problem}"
    );

    let source = stage.source(&json!({"checkpoint": "elsewhere"}));
    let reading = look(&*source, at(60)).await;
    assert_eq!((lags(&reading), reading.quality), (vec![None, None], Quality::Missing));
    assert!(reading.problem.unwrap().contains("is the checkpoint mounted, and does `checkpoint` name it?"));
}

/// One answer instead of the right one.
fn html() -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_raw("<!DOCTYPE html><html></html>", "text/html;charset=utf-8")
}

#[rstest]
#[case::html(
    "/api/v1/applications",
    html(),
    "answers HTML instead of JSON: `driver` names a master, a worker or a login page"
)]
#[case::html_unnamed("/api/v1/applications", ResponseTemplate::new(200).set_body_string("\n<html>"), "answers HTML instead of JSON")]
#[case::redirect(
    "/api/v1/applications",
    ResponseTemplate::new(301),
    "redirects (301): name the driver's own UI in `driver`"
)]
#[case::login(
    "/api/v1/applications",
    ResponseTemplate::new(403),
    "asks for a login (403): spark.ui.filters guards the UI"
)]
#[case::failure("/api/v1/applications", ResponseTemplate::new(500), "answers 500")]
#[case::other("/api/v1/applications", ResponseTemplate::new(200).set_body_json(json!({"a": 1})), "answers something else than the driver's UI does")]
#[case::none("/api/v1/applications", ResponseTemplate::new(200).set_body_json(json!([])), "knows no application")]
#[case::ended(
    "/api/v1/applications",
    ResponseTemplate::new(200).set_body_json(json!([{"id": "app-1", "attempts": [{"completed": true}]}])),
    "the application app-1 has ended"
)]
#[case::executors("/api/v1/applications/app-1/allexecutors", html(), "answers HTML instead of JSON")]
#[case::query(
    "/metrics/json/",
    ResponseTemplate::new(200).set_body_json(json!({"gauges": {"x.driver.spark.streaming.other.latency": {"value": 1}}})),
    "the driver runs no query named orders but other: check `query` against its queryName"
)]
#[tokio::test]
async fn a_driver_that_is_none_is_named_with_its_cure(
    #[case] address: &str,
    #[case] answer: ResponseTemplate,
    #[case] problem: &str,
) {
    let stage = Stage::set().await;
    stage.plan(0, [10, 20]);
    stage.commit(0, 0);
    stage.driver(&[("0", true, 0)]).await;
    stage.answers(address, answer).await;
    let source = stage.source(&json!({}));
    // Somebody commits, so something runs, although it cannot be asked.
    let moving = look(&*source, at(30)).await;
    assert_eq!((moving.quality, moving.group), (Quality::Ok, GroupState::Unknown));
    let told = moving.problem.unwrap();
    assert!(told.starts_with("spark shop: ") && told.contains(problem), "{told}");
    // Nobody does any more: the figures are known, and worth nothing.
    let still = look(&*source, at(300)).await;
    assert_eq!(
        (still.quality, still.group, lags(&still)),
        (Quality::Missing, GroupState::Unknown, vec![Some(90), Some(80)])
    );
}

#[rstest]
#[case::off(json!({"gauges": {"app-1.driver.BlockManager.x": {"value": 1}}}), json!({}), "set spark.sql.streaming.metricsEnabled=true")]
#[case::nameless(json!({"gauges": {}}), json!({"query": null}), "start the query with queryName, and name it in `query`")]
#[tokio::test]
async fn figures_that_are_switched_off_are_no_doubt(
    #[case] metrics: Value,
    #[case] further: Value,
    #[case] problem: &str,
) {
    let stage = Stage::set().await;
    stage.plan(0, [10, 20]);
    stage.commit(0, 0);
    stage.driver(&[("0", true, 0)]).await;
    stage.answers("/metrics/json/", ResponseTemplate::new(200).set_body_json(metrics)).await;
    let reading = look(&*stage.source(&further), at(30)).await;
    assert_eq!((reading.quality, reading.group), (Quality::Ok, GroupState::Stable));
    let told = reading.problem.unwrap();
    assert!(told.ends_with(problem), "{told}");
    assert_eq!(reading.streaming.unwrap().batch.unwrap().seconds, None);
}

#[tokio::test]
async fn without_a_driver_only_commits_tell_that_a_query_is_alive() {
    let stage = Stage::set().await;
    stage.plan(0, [10, 20]);
    stage.commit(0, 0);
    let settings = json!({
        "kafka": {"main": {"bootstrapServers": [stage.brokers.bootstrap_servers()]}},
        "spark": {"shop": {"checkpoints": stage.checkpoints.path()}},
    });
    let source = source(&settings, &json!({}));
    assert_eq!(look(&*source, at(30)).await.group, GroupState::Stable);
    let silent = look(&*source, at(90)).await;
    assert_eq!((silent.quality, silent.group), (Quality::Ok, GroupState::Unknown));
    assert_eq!(
        silent.problem.unwrap(),
        "spark shop: no batch was committed for 90 s: does the query still run?"
    );
    stage.plan(1, [100, 100]);
    stage.commit(1, 95);
    let done = look(&*source, at(900)).await;
    assert_eq!((lags(&done), done.group), (vec![Some(0), Some(0)], GroupState::Stable), "nothing waits");
}

/// What a driver of that line said, and what its query left behind, as they were recorded.
fn recorded(line: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/spark").join(line)
}

#[rstest]
#[case::four("4.2")]
#[case::three("3.5")]
#[tokio::test]
async fn every_line_of_spark_is_understood(#[case] line: &str) {
    let (stage, told) = (Stage::set().await, recorded(line));
    let answer = |name: &str| -> Value {
        serde_json::from_str(&fs::read_to_string(told.join(format!("{name}.json"))).unwrap()).unwrap()
    };
    let app = answer("applications")[0]["id"].as_str().unwrap().to_owned();
    for (address, name) in [
        ("/api/v1/applications".to_owned(), "applications"),
        (format!("/api/v1/applications/{app}/allexecutors"), "allexecutors"),
        ("/metrics/json/".to_owned(), "metrics"),
    ] {
        stage.answers(&address, ResponseTemplate::new(200).set_body_json(answer(name))).await;
    }
    let mut last = (0, [0, 0]);
    for log in ["offsets", "commits"] {
        for entry in fs::read_dir(told.join("checkpoint").join(log)).unwrap() {
            let entry = entry.unwrap();
            let text = fs::read_to_string(entry.path()).unwrap();
            let number: u64 = entry.file_name().to_str().unwrap().parse().unwrap();
            if let Some(offsets) = text.lines().nth(2).filter(|_| number >= last.0) {
                let offsets: Value = serde_json::from_str(offsets).unwrap();
                last = (number, ["0", "1"].map(|partition| offsets["orders"][partition].as_u64().unwrap()));
            }
            fs::write(stage.checkpoints.path().join("orders").join(log).join(entry.file_name()), text)
                .unwrap();
        }
    }
    let reading = look(&*stage.source(&json!({})), at(0)).await;
    assert_eq!((reading.quality, &reading.problem, reading.group), (Quality::Ok, &None, GroupState::Stable));
    assert_eq!(lags(&reading), last.1.map(|offset| Some(100 - offset)));
    let streaming = reading.streaming.unwrap();
    assert_eq!((streaming.executors, streaming.slots_per_executor), (Some(2), Some(1)));
    let batch = streaming.batch.unwrap();
    assert_eq!((batch.number, batch.running), (last.0, false));
    assert!(batch.seconds.unwrap() > 0.0 && batch.records_per_second.unwrap() > 0.0);
}
