//! The log level, changed while running.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::{Api, answer};

/// Changes what is logged, by a `tracing` filter such as `info` or `info,tidegate::sources=debug`.
pub type SetLevel = Box<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// Takes the filter as plain text. Only from this machine (in a cluster: through `kubectl
/// port-forward`), for a daemon that logs everything or nothing serves an attacker either way.
pub(super) async fn put(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    filter: String,
) -> Response {
    if !peer.ip().to_canonical().is_loopback() {
        return answer::error(
            StatusCode::FORBIDDEN,
            "the log level can be changed from this machine only: use `kubectl port-forward`",
        );
    }
    let Some(set_level) = &api.set_level else {
        return answer::error(StatusCode::NOT_IMPLEMENTED, "the log level is fixed in this process");
    };
    match set_level(filter.trim()) {
        Ok(()) => {
            tracing::info!(filter = filter.trim(), "log level changed over HTTP");
            StatusCode::NO_CONTENT.into_response()
        }
        Err(problem) => answer::error(StatusCode::BAD_REQUEST, &problem),
    }
}
