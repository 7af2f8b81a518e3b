//! The HTTP endpoints, through the router.
#![expect(clippy::unwrap_used, reason = "helpers of tests, where a panic is a failure")]

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::{Method, Request, StatusCode, header};
use axum::response::Response;
use jiff::Timestamp;
use serde_json::{Value, json};
use tidegate::policy::Mode;
use tidegate::record::board::{AcceptedPolicy, Board, PolicyReport, RejectedPolicy};
use tidegate::record::metrics::Metrics;
use tidegate::record::report::WorkloadDetail;
use tidegate::web::{router, serve};
use tower::ServiceExt as _;

use crate::record::turn;

fn board() -> Board {
    let board = Board::new(Timestamp::UNIX_EPOCH);
    let accepted = ["orders", "billing"].map(|name| AcceptedPolicy {
        id: turn(name).workload,
        origin: "policies.yaml".into(),
        target: format!("Deployment/{name}"),
        mode: Mode::Apply,
        last_good: false,
    });
    let rejected = RejectedPolicy {
        origin: "ConfigMap shop/broken".into(),
        id: Some(turn("broken").workload),
        problems: vec!["broken.yaml:3:5: unknown field `maxlag`".into()],
    };
    board.set_policies(Arc::new(PolicyReport { accepted: accepted.into(), rejected: vec![rejected] }));
    board.record(Arc::new(turn("orders")));
    board
}

async fn ask(board: Board, method: Method, path: &str, peer: [u8; 4], body: &'static str) -> Response {
    let set_level: tidegate::web::SetLevel = Box::new(|filter| match filter {
        "debug" => Ok(()),
        other => Err(format!("`{other}` is not a filter")),
    });
    let mut request = Request::builder().method(method).uri(path).body(Body::from(body)).unwrap();
    request.extensions_mut().insert(ConnectInfo(SocketAddr::from((peer, 40000))));
    router(board, Metrics::new(), Some(set_level)).oneshot(request).await.unwrap()
}

async fn get(board: Board, path: &str) -> Response {
    ask(board, Method::GET, path, [10, 0, 0, 9], "").await
}

async fn json_of(response: Response) -> Value {
    serde_json::from_slice(&to_bytes(response.into_body(), usize::MAX).await.unwrap()).unwrap()
}

#[tokio::test]
async fn health_asks_nobody_and_readiness_says_what_is_missing() {
    assert_eq!(get(Board::new(Timestamp::UNIX_EPOCH), "/healthz").await.status(), StatusCode::OK);

    let board = board();
    let waiting = get(board.clone(), "/readyz").await;
    assert_eq!(waiting.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        json_of(waiting).await,
        json!({"ready": false, "missing": [
            "the memory of earlier runs has not been read yet",
            "no turn of shop/billing yet",
        ]})
    );
    board.set_memory_loaded();
    board.record(Arc::new(turn("billing")));
    let ready = get(board, "/readyz").await;
    assert_eq!(ready.status(), StatusCode::OK);
    assert_eq!(json_of(ready).await, json!({"ready": true, "missing": []}));
}

#[tokio::test]
async fn the_list_keeps_its_contract() {
    let list = json_of(get(board(), "/api/v1/workloads").await).await;
    assert_eq!(
        list,
        json!({"workloads": [{
            "namespace": "shop", "name": "orders", "target": "Deployment/orders", "mode": "Apply",
            "at": "2026-03-01T12:00:00Z", "current": 2, "desired": 4, "ceiling": 6, "verdict": "raise",
            "backlog": 16000, "backlogAgeSeconds": 27.5, "arrivalRate": 600.0, "capacityPerReplica": 200.0,
            "partitions": [
                {"source": "main/orders", "topic": "orders", "partition": 0, "committed": 75000, "end": 91000,
                 "lag": 16000, "quality": "ok"},
                {"source": "main/orders", "topic": "orders", "partition": 1, "committed": 60000, "end": null,
                 "lag": null, "quality": "missing"},
            ],
            "reasons": ["LoadNeedsMore", "StepLimited"],
            "sentence": "Raise 2 to 4: 600 records/s arrive, 2 replicas process 400.",
        }]})
    );
    let other = json_of(get(board(), "/api/v1/workloads?namespace=bank").await).await;
    assert_eq!(other, json!({"workloads": []}));
    assert_eq!(get(board(), "/api/v1/workloads?namspace=shop").await.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn one_workload_comes_with_its_trail_and_an_absent_one_with_its_neighbours() {
    let response = get(board(), "/api/v1/workloads/shop/orders").await;
    let detail: WorkloadDetail = serde_json::from_value(json_of(response).await).unwrap();
    assert_eq!(detail, WorkloadDetail::from(&turn("orders")));

    let absent = get(board(), "/api/v1/workloads/shop/order").await;
    assert_eq!(absent.status(), StatusCode::NOT_FOUND);
    assert_eq!(json_of(absent).await, json!({"error": "no workload shop/order", "nearby": ["shop/orders"]}));
    let early = json_of(get(board(), "/api/v1/workloads/shop/billing").await).await;
    assert_eq!(early["error"], "shop/billing has a policy, but no turn yet");
    let broken = json_of(get(board(), "/api/v1/workloads/shop/broken").await).await;
    assert_eq!(broken["error"], "the policy of shop/broken was refused: see /api/v1/policies");
}

#[tokio::test]
async fn refused_policies_are_listed_with_their_problems() {
    let policies = json_of(get(board(), "/api/v1/policies").await).await;
    assert_eq!(
        policies["rejected"],
        json!([{
            "origin": "ConfigMap shop/broken", "id": {"namespace": "shop", "name": "broken"},
            "problems": ["broken.yaml:3:5: unknown field `maxlag`"],
        }])
    );
    assert_eq!(
        policies["accepted"][0],
        json!({"namespace": "shop", "name": "orders", "origin": "policies.yaml",
            "target": "Deployment/orders", "mode": "Apply", "lastGood": false})
    );
}

#[tokio::test]
async fn the_log_level_is_changed_from_this_machine_only() {
    let put = |peer, body| ask(board(), Method::PUT, "/api/v1/log-level", peer, body);
    assert_eq!(put([127, 0, 0, 1], "debug\n").await.status(), StatusCode::NO_CONTENT);
    assert_eq!(put([10, 0, 0, 9], "debug").await.status(), StatusCode::FORBIDDEN);
    let bad = put([127, 0, 0, 1], "loud").await;
    assert_eq!(bad.status(), StatusCode::BAD_REQUEST);
    assert_eq!(json_of(bad).await, json!({"error": "`loud` is not a filter"}));
}

#[tokio::test]
async fn every_answer_carries_the_headers_and_every_error_is_json() {
    for (path, status) in
        [("/healthz", 200), ("/metrics", 200), ("/nowhere", 404), ("/api/v1/log-level", 405)]
    {
        let response = get(board(), path).await;
        assert_eq!(response.status().as_u16(), status, "{path}");
        assert_eq!(response.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff", "{path}");
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store", "{path}");
        if status >= 400 {
            assert!(json_of(response).await["error"].is_string(), "{path}");
        }
    }
    let metrics = get(board(), "/metrics").await;
    assert_eq!(
        metrics.headers()[header::CONTENT_TYPE],
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
}

#[tokio::test]
async fn serving_ends_with_the_token() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = tokio_util::sync::CancellationToken::new();
    let server = tokio::spawn(serve(listener, router(board(), Metrics::new(), None), shutdown.clone()));
    let answer = reqwest::get(format!("http://{address}/healthz")).await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "ok\n");
    shutdown.cancel();
    server.await.unwrap().unwrap();
}
