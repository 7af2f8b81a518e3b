//! Every way in which an answer is not a number is a quality of its own, and none is zero.

use std::sync::Arc;

use jiff::Timestamp;
use rstest::rstest;
use serde_json::{Value, json};
use tidegate::engine::observation::{MetricReading, Quality, SourceReading};
use tidegate::policy::TimeSpan;
use tidegate::policy::source::SourceSpec;
use tidegate::sources::{Connections, Source};
use wiremock::matchers::{header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

const SECOND: i64 = 1_700_000_000;

fn now() -> Timestamp {
    Timestamp::from_second(SECOND).unwrap()
}

fn source(connections: &Connections, means: &str) -> Arc<dyn Source> {
    asking(connections, "sum(lag)", means)
}

fn asking(connections: &Connections, query: &str, means: &str) -> Arc<dyn Source> {
    let query = json!({"prometheus": {"server": "main", "query": query, "means": means}});
    let spec: SourceSpec = serde_json::from_value(query).unwrap();
    connections.source(&spec, TimeSpan::from_secs(60), TimeSpan::from_secs(15)).unwrap()
}

fn connections(server: &Value) -> Connections {
    let limits = json!({"sourceTimeout": "2s"});
    Connections::new(&super::settings(&json!({"prometheus": {"main": server}}), &limits)).unwrap()
}

async fn look(source: &dyn Source) -> MetricReading {
    match source.observe(now()).await {
        SourceReading::Metric(reading) => reading,
        SourceReading::Backlog(reading) => panic!("{reading:?}"),
    }
}

/// A server that gives one answer to our query.
async fn server(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .and(path("/api/v1/query"))
        .and(query_param("query", "sum(lag)"))
        .respond_with(answer)
        .mount(&server)
        .await;
    server
}

async fn reading_of(answer: ResponseTemplate, means: &str) -> MetricReading {
    let server = server(answer).await;
    look(&*source(&connections(&json!({"url": server.uri()})), means)).await
}

fn vector(values: &[&str]) -> Value {
    let series = |value: &&str| json!({"metric": {"topic": "t"}, "value": [SECOND, value]});
    let result: Vec<Value> = values.iter().map(series).collect();
    json!({"status": "success", "data": {"resultType": "vector", "result": result}})
}

fn scalar(value: &str, second: i64) -> Value {
    json!({"status": "success", "data": {"resultType": "scalar", "result": [second, value]}})
}

fn warned(mut answer: Value) -> Value {
    answer["warnings"] = json!(["store a is down"]);
    answer
}

fn failed(kind: &str) -> Value {
    json!({"status": "error", "errorType": kind, "error": "1:4: parse error\nhere"})
}

#[rstest]
#[case::one_series(200, vector(&["12.5"]), Some(12.5), Quality::Ok, None)]
#[case::zero_is_a_number(200, vector(&["0"]), Some(0.0), Quality::Ok, None)]
#[case::scalar(200, scalar("7", SECOND), Some(7.0), Quality::Ok, None)]
#[case::empty(200, vector(&[]), None, Quality::Missing, Some("the query yields nothing: does the metric exist, and is its target up?"))]
#[case::nan(200, vector(&["NaN"]), None, Quality::Rejected, Some("the query yields NaN, which is no number"))]
#[case::infinite(
    200,
    scalar("+Inf", SECOND),
    None,
    Quality::Rejected,
    Some("the query yields inf, which is no number")
)]
#[case::negative(200, vector(&["-3"]), None, Quality::Rejected, Some("the query yields -3: a backlog is never negative"))]
#[case::several(200, vector(&["1", "2", "3"]), None, Quality::Rejected, Some("the query yields 3 series, one is wanted: wrap it in sum() or max()"))]
#[case::range(200, json!({"status": "success", "data": {"resultType": "matrix", "result": []}}), None, Quality::Rejected, Some("the query yields a range: wrap it in rate() or a function over time"))]
#[case::text(200, json!({"status": "success", "data": {"resultType": "string", "result": [SECOND, "x"]}}), None, Quality::Rejected, Some("the query yields no number"))]
#[case::warnings(200, warned(vector(&["4"])), Some(4.0), Quality::Partial, Some("the server warns: store a is down"))]
#[case::old_evaluation(200, scalar("7", SECOND - 61), Some(7.0), Quality::Stale, Some("the answer was evaluated 61 s ago: check caches and clocks"))]
#[case::bad_query(
    400,
    failed("bad_data"),
    None,
    Quality::Rejected,
    Some("the query fails (bad_data): 1:4: parse error here")
)]
#[case::server_busy(
    503,
    failed("timeout"),
    None,
    Quality::Missing,
    Some("the query fails (timeout): 1:4: parse error here")
)]
#[case::unavailable(503, json!("no"), None, Quality::Missing, Some("HTTP 503"))]
#[case::unauthorized(401, json!("no"), None, Quality::Missing, Some("HTTP 401: check bearerTokenFile or basicAuth"))]
#[case::another_api(200, json!({"hello": "world"}), None, Quality::Missing, Some("the answer is not that of a query API: check url"))]
#[tokio::test]
async fn quality_of_an_answer(
    #[case] status: u16,
    #[case] answer: Value,
    #[case] value: Option<f64>,
    #[case] quality: Quality,
    #[case] problem: Option<&str>,
) {
    let reading = reading_of(ResponseTemplate::new(status).set_body_json(answer), "backlog").await;
    assert_eq!((reading.value, reading.quality), (value, quality));
    assert_eq!(reading.problem, problem.map(|problem| format!("prometheus main: {problem}")));
    assert_eq!(reading.sampled_at, now());
}

#[rstest]
#[case::a_bit_extrapolated("1.02", Some(1.02), Quality::Ok)]
#[case::percent("85", None, Quality::Rejected)]
#[tokio::test]
async fn a_busy_share_is_a_share(#[case] text: &str, #[case] value: Option<f64>, #[case] quality: Quality) {
    let answer = ResponseTemplate::new(200).set_body_json(vector(&[text]));
    let reading = reading_of(answer, "busyShare").await;
    assert_eq!((reading.value, reading.quality), (value, quality));
}

#[tokio::test]
async fn an_endless_answer_is_not_read_to_its_end() {
    let answer = ResponseTemplate::new(200).set_body_bytes(vec![b' '; 5 << 20]);
    let reading = reading_of(answer, "backlog").await;
    assert_eq!(reading.quality, Quality::Rejected);
    assert_eq!(
        reading.problem.as_deref(),
        Some("prometheus main: the query yields far too many series: wrap it in sum() or max()")
    );
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let answer = ResponseTemplate::new(302).insert_header("location", "http://127.0.0.1:1/");
    let reading = reading_of(answer, "backlog").await;
    assert_eq!(
        reading.problem.as_deref(),
        Some("prometheus main: HTTP 302: redirects are not followed: correct url")
    );
}

#[tokio::test]
async fn a_server_that_is_gone_or_mute_is_missing_and_says_so() {
    let connections = connections(&json!({"url": "http://127.0.0.1:1"}));
    assert_eq!(connections.status()[0].healthy, None);
    let asked = source(&connections, "backlog");
    let reading = look(&*asked).await;
    assert_eq!((reading.value, reading.quality), (None, Quality::Missing));
    let problem = reading.problem.unwrap();
    assert!(problem.starts_with("prometheus main: http://127.0.0.1:1 cannot be reached"), "{problem}");
    assert_eq!(connections.status()[0].healthy, Some(false));

    let mute = ResponseTemplate::new(200).set_delay(std::time::Duration::from_mins(10));
    let reading = reading_of(mute, "backlog").await;
    assert_eq!(reading.quality, Quality::Missing);
    assert!(reading.problem.unwrap().ends_with("does not answer within 1.5s"));
}

/// Neither hides the other, and nothing is said anew at each turn.
#[tokio::test]
async fn a_query_that_fails_beside_a_good_one_does_not_make_the_server_ill() {
    let server = server(ResponseTemplate::new(200).set_body_json(vector(&["1"]))).await;
    Mock::given(query_param("query", "slow"))
        .respond_with(ResponseTemplate::new(503).set_body_json(failed("timeout")))
        .mount(&server)
        .await;
    let connections = connections(&json!({"url": server.uri()}));
    let (good, slow) = (source(&connections, "backlog"), asking(&connections, "slow", "backlog"));
    let timeout = Some("the query fails (timeout): 1:4: parse error here".to_owned());
    for _ in 0..2 {
        assert_eq!(look(&*slow).await.quality, Quality::Missing);
        assert_eq!(look(&*good).await.quality, Quality::Ok);
        let [status] = &connections.status()[..] else { panic!("{:?}", connections.status()) };
        assert_eq!((status.healthy, &status.problem), (Some(true), &timeout));
    }
    look(&*slow).await;
    assert_eq!(connections.status()[0].healthy, Some(true), "whichever answered last");
    drop(good);
    assert_eq!(connections.status()[0].healthy, Some(false), "nobody is left whom it answers");
    drop(slow);
    assert_eq!((connections.status()[0].healthy, connections.status()[0].problem.as_ref()), (None, None));
}

#[tokio::test]
async fn a_rotated_token_is_used_at_once_and_never_shown() {
    let files = tempfile::tempdir().unwrap();
    let token = files.path().join("token");
    std::fs::write(&token, "first-secret\n").unwrap();
    let server = MockServer::start().await;
    Mock::given(header("authorization", "Bearer second-secret"))
        .respond_with(ResponseTemplate::new(200).set_body_json(vector(&["5"])))
        .mount(&server)
        .await;
    Mock::given(header("authorization", "Bearer first-secret"))
        .respond_with(ResponseTemplate::new(401).set_body_string("first-secret is not welcome"))
        .mount(&server)
        .await;
    let connections = connections(&json!({"url": server.uri(), "bearerTokenFile": token}));
    let source = source(&connections, "arrivalRate");

    let refused = look(&*source).await;
    assert_eq!(
        refused.problem.as_deref(),
        Some("prometheus main: HTTP 401: check bearerTokenFile or basicAuth")
    );
    std::fs::write(&token, "second-secret\n").unwrap();
    let welcome = look(&*source).await;
    assert_eq!((welcome.value, welcome.quality), (Some(5.0), Quality::Ok));
    assert_eq!(connections.status()[0].problem, None);

    std::fs::remove_file(&token).unwrap();
    let lost = look(&*source).await;
    assert_eq!(lost.quality, Quality::Missing);
    assert!(lost.problem.unwrap().contains("cannot read"));
}

#[tokio::test]
async fn a_user_and_a_password_are_sent_as_they_stand_in_their_files() {
    let files = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = files.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let server = MockServer::start().await;
    // The example of RFC 7617, section 2.
    Mock::given(header("authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="))
        .respond_with(ResponseTemplate::new(200).set_body_json(vector(&["5"])))
        .mount(&server)
        .await;
    let (user, password) = (file("user", "Aladdin\n"), file("password", "open sesame\r\n"));
    let basic = json!({"usernameFile": user, "passwordFile": password});
    let connections = connections(&json!({"url": server.uri(), "basicAuth": basic}));
    let welcome = look(&*source(&connections, "arrivalRate")).await;
    assert_eq!((welcome.value, welcome.quality), (Some(5.0), Quality::Ok));
}

#[test]
fn only_connections_of_the_settings_can_be_named() {
    let connections = Connections::new(&super::settings(&json!({}), &json!({}))).unwrap();
    for (spec, error) in [
        (
            json!({"prometheus": {"server": "x", "query": "up", "means": "backlog"}}),
            "the settings have no prometheus connection named x",
        ),
        (
            json!({"kafkaLag": {"cluster": "y", "group": "g"}}),
            "the settings have no kafka connection named y",
        ),
    ] {
        let spec: SourceSpec = serde_json::from_value(spec).unwrap();
        let refused = connections.source(&spec, TimeSpan::from_secs(60), TimeSpan::from_secs(15));
        assert_eq!(refused.err().map(|error| error.to_string()).as_deref(), Some(error));
    }
}
