//! Kubernetes Events, against an API server in memory.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::http::{Request, Response};
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tidegate::engine::Reason;
use tidegate::record::board::{Board, PolicyReport, RejectedPolicy};
use tidegate::record::events::Events;
use tidegate::record::metrics::Metrics;
use tidegate::record::{Outcome, Recorder};
use tower::service_fn;

use super::turn;

/// An API server that takes every Event, or refuses all; each is announced.
fn server(allowed: bool) -> (Client, Arc<Mutex<Vec<Value>>>, tokio::sync::mpsc::UnboundedReceiver<()>) {
    let taken: Arc<Mutex<Vec<Value>>> = Arc::default();
    let (announce, announced) = tokio::sync::mpsc::unbounded_channel();
    let events = Arc::clone(&taken);
    let service = service_fn(move |request: Request<Body>| {
        let (events, announce) = (Arc::clone(&events), announce.clone());
        async move {
            assert_eq!(request.uri().path(), "/apis/events.k8s.io/v1/namespaces/shop/events");
            let body = request.into_body().collect_bytes().await.unwrap();
            let event: Value = serde_json::from_slice(&body).unwrap();
            let answer = if allowed {
                Response::builder().status(201).body(Body::from(body.to_vec()))
            } else {
                let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                    "message": "events.events.k8s.io is forbidden", "reason": "Forbidden", "code": 403});
                Response::builder().status(403).body(Body::from(status.to_string().into_bytes()))
            };
            events.lock().unwrap().push(event);
            announce.send(()).ok();
            Ok::<_, Infallible>(answer.unwrap())
        }
    });
    (Client::new(service, "shop"), taken, announced)
}

#[tokio::test]
async fn two_moves_for_the_same_reason_are_two_events_and_a_repeated_hold_is_one() {
    let (client, taken, mut announced) = server(true);
    let metrics = Metrics::new();
    let events = Events::start(client, "tidegate-0", metrics.events.clone());
    let recorder =
        Recorder::new(Board::new(Timestamp::UNIX_EPOCH), metrics.clone()).with_events(Some(events));
    let mut turn = turn("orders");
    for sentence in ["Raise 4 to 6.", "Raise 6 to 9.", "Hold at 9.", "Still hold at 9."] {
        turn.at += SignedDuration::from_secs(15);
        sentence.clone_into(&mut turn.decision.sentence);
        if sentence.contains("old at") {
            turn.outcome = Outcome::Held;
            turn.decision.reason = Reason::AtNeed;
        }
        recorder.record(&turn);
    }
    for _ in 0..3 {
        announced.recv().await.unwrap();
    }
    drop(recorder);
    assert_eq!(announced.recv().await, None);
    let said: Vec<_> = taken
        .lock()
        .unwrap()
        .iter()
        .map(|event| format!("{} {}: {}", event["action"], event["reason"], event["note"]))
        .collect();
    assert_eq!(
        said,
        [
            r#""Applied" "LoadNeedsMore": "Raise 4 to 6.""#,
            r#""Applied" "LoadNeedsMore": "Raise 6 to 9.""#,
            r#""Held" "AtNeed": "Hold at 9.""#,
        ]
    );
    assert_eq!((metrics.events.written.get(), metrics.events.failed.get()), (3, 0));
}

#[tokio::test]
async fn a_refusal_is_counted_and_stops_nothing() {
    let (client, taken, mut announced) = server(false);
    let metrics = Metrics::new();
    let events = Events::start(client, "tidegate-0", metrics.events.clone());
    for second in 0..2 {
        let mut turn = turn("orders");
        turn.at += SignedDuration::from_secs(second);
        events.record(&turn);
    }
    drop(events);
    while announced.recv().await.is_some() {}
    assert_eq!(taken.lock().unwrap().len(), 2);
    assert_eq!((metrics.events.written.get(), metrics.events.failed.get()), (0, 2));
}

#[tokio::test]
async fn a_full_queue_drops_and_counts() {
    // Nobody takes anything off the queue: on this runtime the task only runs while the test waits.
    let (client, _, _announced) = server(true);
    let metrics = Metrics::new();
    let events = Events::start(client, "tidegate-0", metrics.events.clone());
    for second in 0..300 {
        let mut turn = turn("orders");
        turn.at += SignedDuration::from_secs(second);
        events.record(&turn);
    }
    assert_eq!(metrics.events.dropped.get(), 300 - 256);
}

#[tokio::test]
async fn a_refused_policy_is_told_once_and_again_when_its_problem_changes() {
    let (client, taken, mut announced) = server(true);
    let metrics = Metrics::new();
    let events = Events::start(client, "tidegate-0", metrics.events.clone());
    let recorder = Recorder::new(Board::new(Timestamp::UNIX_EPOCH), metrics).with_events(Some(events));
    let rejected = |key: &str, problem: &str| RejectedPolicy {
        origin: format!("configmap/shop/scaling/{key}"),
        id: None,
        problems: vec![problem.to_owned()],
    };
    let looks = [
        vec![rejected("a.yaml", "no target"), rejected("b.yaml", "no sources")],
        vec![rejected("a.yaml", "no target"), rejected("b.yaml", "no sources")],
        vec![rejected("a.yaml", "no objective")],
        vec![rejected("a.yaml", "no objective"), rejected("b.yaml", "no sources")],
    ];
    for (rejected, second) in looks.into_iter().zip(0..) {
        recorder.policies(PolicyReport { accepted: vec![], rejected });
        recorder.refusals(Timestamp::from_second(second).unwrap());
    }
    drop(recorder);
    while announced.recv().await.is_some() {}
    let taken = taken.lock().unwrap();
    let notes: Vec<_> = taken.iter().map(|event| event["note"].as_str().unwrap()).collect();
    assert_eq!(notes, ["no target", "no sources", "no objective", "no sources"]);
    assert_eq!(
        taken[0]["regarding"],
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "namespace": "shop", "name": "scaling",
        })
    );
    assert_eq!((&taken[0]["type"], &taken[0]["reason"]), (&json!("Warning"), &json!("PolicyRefused")));
    let names: std::collections::BTreeSet<_> =
        taken.iter().map(|event| event["metadata"]["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn closing_waits_for_what_was_taken_and_counts_what_it_leaves() {
    let silent = service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Body>, Infallible>>());
    for (client, left) in [(server(true).0, 0), (Client::new(silent, "shop"), 2)] {
        let metrics = Metrics::new();
        let events = Events::start(client, "tidegate-0", metrics.events.clone());
        for second in 0..2 {
            let mut turn = turn("orders");
            turn.at += SignedDuration::from_secs(second);
            events.record(&turn);
        }
        assert_eq!(events.close(std::time::Duration::from_secs(1)).await, left);
        assert_eq!((metrics.events.written.get(), metrics.events.failed.get()), (2 - left, left));
        events.record(&turn("orders"));
        assert_eq!(metrics.events.dropped.get(), 1, "closed");
    }
}
