//! Health, metrics and the JSON API over HTTP. Read-only but for the log level, which only a peer on
//! this machine may change. `docs/api.md` describes every answer.

mod answer;
mod level;
mod workloads;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router, middleware};
use tokio_util::sync::CancellationToken;

use crate::record::board::Board;
use crate::record::metrics::{CONTENT_TYPE, Metrics};
pub use level::SetLevel;

/// How long open requests may take to end once the daemon stops.
const PATIENCE: Duration = Duration::from_secs(3);

/// What the handlers read.
#[derive(Clone)]
struct Api {
    board: Board,
    metrics: Metrics,
    set_level: Option<Arc<SetLevel>>,
}

/// Every endpoint. Without `set_level` the log level cannot be changed.
pub fn router(board: Board, metrics: Metrics, set_level: Option<SetLevel>) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_text))
        .route("/api/v1/workloads", get(workloads::list))
        .route("/api/v1/workloads/{namespace}/{name}", get(workloads::one))
        .route("/api/v1/policies", get(policies))
        .route("/api/v1/connections", get(connections))
        .route("/api/v1/log-level", put(level::put))
        .fallback(answer::no_such_path)
        .method_not_allowed_fallback(answer::no_such_method)
        .layer(middleware::map_response(answer::guard))
        .with_state(Api { board, metrics, set_level: set_level.map(Arc::new) })
}

/// Serves until `shutdown`, and then until the open requests have ended or three seconds have passed.
pub async fn serve(
    listener: tokio::net::TcpListener,
    router: Router,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, service).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let deadline = async {
        shutdown.cancelled().await;
        tokio::time::sleep(PATIENCE).await;
    };
    tokio::select! {
        result = server => result,
        () = deadline => Ok(()),
    }
}

/// The process answers: nothing outside of it is asked.
async fn healthz() -> &'static str {
    "ok\n"
}

async fn readyz(State(api): State<Api>) -> Response {
    let readiness = api.board.readiness();
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

async fn metrics_text(State(api): State<Api>) -> Response {
    match api.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(_) => answer::error(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be written"),
    }
}

async fn policies(State(api): State<Api>) -> Response {
    Json(api.board.policies().as_ref()).into_response()
}

async fn connections(State(api): State<Api>) -> Response {
    Json(serde_json::json!({ "connections": api.board.connections().as_ref() })).into_response()
}
