//! An API server that answers from a script, for faults that a real one cannot be made to have on cue.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::body::to_bytes;
use axum::http::{Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

/// One request as it arrived.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    pub(crate) call: String,
    pub(crate) query: String,
    pub(crate) body: Value,
}

type Script = BTreeMap<&'static str, VecDeque<(u16, Value)>>;

/// Answers `METHOD /path` with the script's next answer for it, the last one again and again, and with
/// 404 what the script does not know.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fake {
    script: Arc<Mutex<Script>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Fake {
    /// Adds an answer.
    pub(crate) fn on(self, call: &'static str, code: u16, body: Value) -> Self {
        self.script.lock().unwrap().entry(call).or_default().push_back((code, body));
        self
    }

    pub(crate) fn client(&self) -> Client {
        let fake = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let fake = fake.clone();
            async move { Ok::<_, Infallible>(fake.answer(request).await) }
        });
        Client::new(service, "shop")
    }

    /// The script's next answer for a call.
    pub(crate) fn answers(&self, call: &str) -> Value {
        self.next(call).1
    }

    /// The writes that arrived.
    pub(crate) fn writes(&self) -> Vec<Seen> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|seen| !seen.call.starts_with("GET ")).cloned().collect()
    }

    /// All calls that arrived.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|seen| seen.call.clone()).collect()
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let call = format!("{} {}", parts.method, parts.uri.path());
        let bytes = to_bytes(axum::body::Body::new(body), usize::MAX).await.unwrap();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        let query = parts.uri.query().unwrap_or_default().to_owned();
        self.seen.lock().unwrap().push(Seen { call: call.clone(), query, body });
        let (code, body) = self.next(&call);
        Response::builder().status(code).body(Body::from(serde_json::to_vec(&body).unwrap())).unwrap()
    }

    fn next(&self, call: &str) -> (u16, Value) {
        let mut script = self.script.lock().unwrap();
        let Some(answers) = script.get_mut(call) else {
            return (404, status(404, "NotFound", "not in the script"));
        };
        if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0].clone() }
    }
}

/// A failure, as the API server words it.
pub(crate) fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message })
}
