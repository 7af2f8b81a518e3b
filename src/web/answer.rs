//! Errors as JSON, and the headers that every answer carries.

use axum::Json;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// The paths to name when one is not found.
const PATHS: [&str; 8] = [
    "/healthz",
    "/readyz",
    "/metrics",
    "/api/v1/workloads",
    "/api/v1/workloads/{namespace}/{name}",
    "/api/v1/policies",
    "/api/v1/connections",
    "/api/v1/log-level",
];

/// Every error's body.
#[derive(Serialize)]
struct Problem<'a> {
    error: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    nearby: Vec<String>,
}

/// An error.
pub(super) fn error(status: StatusCode, error: &str) -> Response {
    (status, Json(Problem { error, nearby: Vec::new() })).into_response()
}

/// Something that is not there, with what is.
pub(super) fn not_found(error: &str, nearby: Vec<String>) -> Response {
    (StatusCode::NOT_FOUND, Json(Problem { error, nearby })).into_response()
}

/// The answer to any other path.
pub(super) async fn no_such_path(uri: Uri) -> Response {
    not_found(&format!("no such path: {}", uri.path()), PATHS.map(str::to_owned).to_vec())
}

/// The answer to any other method.
pub(super) async fn no_such_method(method: Method, uri: Uri) -> Response {
    error(StatusCode::METHOD_NOT_ALLOWED, &format!("{method} is not answered at {}", uri.path()))
}

/// Answers are for programs: never cached, sniffed, framed, or run.
pub(super) async fn guard(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    );
    response
}
