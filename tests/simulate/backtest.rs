//! `tidegate backtest`: a policy against what Prometheus remembers, and nothing made up where it does not.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

const UNTIL: i64 = 1_700_000_000 / 60 * 60;

/// Answers range queries with 100 records/s and 200 for every second hour, but for what it has lost.
struct Past {
    lost: std::ops::Range<i64>,
}

impl Respond for Past {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let asked = |name: &str| {
            let mut pairs = request.url.query_pairs();
            pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
        };
        let number = |name: &str| asked(name).parse::<i64>().unwrap();
        let (start, end, step) = (number("start"), number("end"), number("step"));
        if (end - start) / step >= 11_000 {
            let body =
                json!({"status": "error", "errorType": "bad_data", "error": "exceeded maximum resolution"});
            return ResponseTemplate::new(400).set_body_json(body);
        }
        let times =
            (start..=end).step_by(usize::try_from(step).unwrap()).filter(|at| !self.lost.contains(at));
        let rate = |at: i64| if (at / 3600) % 2 == 0 { "100" } else { "200" };
        let values: Vec<Value> = times.map(|at| json!([at, rate(at)])).collect();
        let series = json!({"metric": {}, "values": values});
        let result = match asked("query").as_str() {
            "sum(rate(orders[2m]))" => json!([series]),
            "rate(orders[2m])" => json!([series, series]),
            _ => json!([]),
        };
        let body = json!({"status": "success", "data": {"resultType": "matrix", "result": result}});
        ResponseTemplate::new(200).set_body_json(body)
    }
}

struct Place {
    directory: tempfile::TempDir,
    server: MockServer,
}

impl Place {
    async fn with(lost: std::ops::Range<i64>) -> Self {
        let server = MockServer::start().await;
        let mock = Mock::given(method("GET")).and(path("/api/v1/query_range")).respond_with(Past { lost });
        mock.mount(&server).await;
        let directory = tempfile::tempdir().unwrap();
        let settings = format!(
            "apiVersion: tidegate.dev/v1alpha1\nkind: Settings\nconnections:\n  prometheus:\n    main: {{url: \"{}\"}}\n",
            server.uri()
        );
        std::fs::write(directory.path().join("settings.yaml"), settings).unwrap();
        let policy = "apiVersion: tidegate.dev/v1alpha1\nkind: ScalingPolicy\nmetadata: {name: orders, namespace: shop}\nspec:\n  \
            target: {scaleTargetRef: {kind: Deployment, name: orders}}\n  sources:\n    \
            - prometheus: {server: main, query: 'sum(rate(orders[2m]))', means: arrivalRate}\n    \
            - prometheus: {server: main, query: 'sum(lag)', means: backlog}\n  \
            objective: {maxLag: 90s}\n  maxReplicas: 9\n  capacityPerReplica: 40\n";
        std::fs::write(directory.path().join("policy.yaml"), policy).unwrap();
        Self { directory, server }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    async fn backtest(&self, arguments: &[&str]) -> Output {
        let (policy, settings) = (self.path("policy.yaml"), self.path("settings.yaml"));
        let arguments: Vec<String> = arguments.iter().map(|one| (*one).to_owned()).collect();
        let run = move || {
            let until = jiff::Timestamp::from_second(UNTIL).unwrap().to_string();
            Command::new(env!("CARGO_BIN_EXE_tidegate"))
                .arg("backtest")
                .arg(&policy)
                .arg("--settings")
                .arg(&settings)
                .args(["--until", &until, "--quick", "--rivals", "none", "--format", "json"])
                .args(arguments)
                .output()
                .expect("the binary runs")
        };
        tokio::task::spawn_blocking(run).await.unwrap()
    }
}

fn report(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn rows(file: &Path) -> Vec<String> {
    std::fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policys_own_query_is_run_over_its_past() {
    let place = Place::with(0..0).await;
    let saved = place.path("past.csv");
    // Ten days at a minute are more steps than one request may ask for.
    let output = place.backtest(&["--since", "10d", "--save", saved.to_str().unwrap()]).await;
    let report = report(&output);
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(report["trace"]["name"], "sum(rate(orders[2m]))");
    assert_eq!(report["trace"]["step_seconds"], 60.0);
    assert_eq!(report["trace"]["peak_events_per_second"], 200.0);
    assert_eq!(
        (&report["plant"]["max_replicas"], &report["plant"]["objective_seconds"]),
        (&json!(9), &json!(90.0))
    );
    assert_eq!(
        (&report["policies"][0]["name"], &report["plant"]["capacity"]),
        (&json!("tidegate"), &json!(40.0))
    );
    let requests = place.server.received_requests().await.unwrap();
    assert_eq!(requests.len(), 2);
    let rows = rows(&saved);
    assert_eq!(rows.len(), 1 + 10 * 24 * 60 + 1);
    assert_eq!(rows[0], "t_seconds,events_per_second");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_known_is_bridged_or_left_out_and_never_zero() {
    let hour_ago = UNTIL - 3600;
    let place = Place::with(hour_ago..hour_ago + 300).await;
    let short = report(&place.backtest(&["--since", "6h"]).await);
    assert_eq!(short["trace"]["seconds"], f64::from(6 * 3600 + 60));
    let place = Place::with(hour_ago..hour_ago + 1800).await;
    let output = place.backtest(&["--since", "6h"]).await;
    assert_eq!(report(&output)["trace"]["seconds"], f64::from(5 * 3600));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.starts_with("61 of 361 values lie before or after a stretch"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_is_said_with_a_cure() {
    let place = Place::with(0..0).await;
    let said = async |arguments: &[&str]| {
        let output = place.backtest(arguments).await;
        assert!(!output.status.success() && output.stdout.is_empty());
        String::from_utf8(output.stderr).unwrap()
    };
    let several = said(&["--query", "rate(orders[2m])"]).await;
    assert!(
        several.contains("prometheus main: the query yields 2 series, one is wanted: wrap it in sum()"),
        "{several}"
    );
    let nothing = said(&["--query", "sum(order)"]).await;
    assert!(nothing.contains("`sum(order)` yields nothing in that time"), "{nothing}");
    let nobody = said(&["--server", "other"]).await;
    assert!(nobody.contains("prometheus other: the settings have no connection of that name"), "{nobody}");
}
