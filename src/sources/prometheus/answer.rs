//! What a query API's answer means.

use prometheus_http_query::response::Data;
use reqwest::StatusCode;
use serde::Deserialize;

use crate::engine::observation::Quality;

/// The longest answer that is read: one number takes a few hundred bytes.
const ANSWER_LIMIT: usize = 4 << 20;
/// An empty answer is not zero.
pub(super) const EMPTY: &str = "the query yields nothing: does the metric exist, and is its target up?";

/// A usable number.
pub(super) struct Value {
    pub(super) number: f64,
    /// Seconds since 1970 by the server's clock.
    pub(super) evaluated_at: f64,
    /// The server says that the answer is not complete.
    pub(super) warning: Option<String>,
}

/// Why there is no number.
pub(super) struct Refusal {
    pub(super) quality: Quality,
    pub(super) problem: String,
}

impl Refusal {
    pub(super) fn missing(problem: impl Into<String>) -> Self {
        Self { quality: Quality::Missing, problem: problem.into() }
    }

    pub(super) fn rejected(problem: impl Into<String>) -> Self {
        Self { quality: Quality::Rejected, problem: problem.into() }
    }
}

/// Reads an answer's body, up to a limit.
pub(super) async fn body(mut answer: reqwest::Response) -> Result<Vec<u8>, Refusal> {
    let mut body = Vec::new();
    loop {
        let chunk = answer.chunk().await;
        let chunk = chunk
            .map_err(|error| Refusal::missing(format!("the answer broke off ({})", innermost(&error))))?;
        let Some(chunk) = chunk else { return Ok(body) };
        if body.len() + chunk.len() > ANSWER_LIMIT {
            return Err(Refusal::rejected("the query yields far too many series: wrap it in sum() or max()"));
        }
        body.extend_from_slice(&chunk);
    }
}

/// The envelope of every answer. The query crate's own drops the warnings.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    data: Option<serde_json::Value>,
    #[serde(default)]
    warnings: Vec<String>,
    error_type: Option<String>,
    error: Option<String>,
}

/// The one number of an answer, or why there is none.
pub(super) fn interpret(status: StatusCode, body: &[u8]) -> Result<Value, Refusal> {
    let (data, warning) = open(status, body)?;
    number(data).map(|(number, evaluated_at)| Value { number, evaluated_at, warning })
}

/// The one series of a range's answer: seconds since 1970 and values.
pub(super) fn points(status: StatusCode, body: &[u8]) -> Result<Vec<(f64, f64)>, Refusal> {
    let (data, _) = open(status, body)?;
    match serde_json::from_value::<Data>(data) {
        Ok(Data::Matrix(series)) => match series.as_slice() {
            // Nothing in this part of the past: the steps are unknown.
            [] => Ok(Vec::new()),
            [one] => Ok(one.samples().iter().map(|sample| (sample.timestamp(), sample.value())).collect()),
            several => Err(too_many(several.len())),
        },
        Ok(Data::Scalar(_) | Data::Vector(_)) | Err(_) => Err(Refusal::rejected("the query yields no range")),
    }
}

fn too_many(series: usize) -> Refusal {
    Refusal::rejected(format!("the query yields {series} series, one is wanted: wrap it in sum() or max()"))
}

/// What an answer holds, and what it warns of; or why it holds nothing.
fn open(status: StatusCode, body: &[u8]) -> Result<(serde_json::Value, Option<String>), Refusal> {
    let envelope: Option<Envelope> = serde_json::from_slice(body).ok();
    match (status, envelope) {
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => {
            Err(Refusal::missing(format!("HTTP {}: check bearerTokenFile or basicAuth", status.as_u16())))
        }
        (_, Some(Envelope { error: Some(error), error_type, .. })) => {
            let kind = error_type.unwrap_or_default();
            let problem = format!("the query fails ({kind}): {}", one_line(&error));
            // Only these are about the query; the others are about the server's state.
            let rejected = matches!(kind.as_str(), "bad_data" | "execution");
            Err(if rejected { Refusal::rejected(problem) } else { Refusal::missing(problem) })
        }
        (status, Some(Envelope { data: Some(data), warnings, .. })) if status.is_success() => {
            let warning = (!warnings.is_empty()).then(|| one_line(&warnings.join("; ")));
            Ok((data, warning))
        }
        (status, _) if status.is_success() => {
            Err(Refusal::missing("the answer is not that of a query API: check url"))
        }
        (status, _) if status.is_redirection() => Err(Refusal::missing(format!(
            "HTTP {}: redirects are not followed: correct url",
            status.as_u16()
        ))),
        (status, _) => Err(Refusal::missing(format!("HTTP {}", status.as_u16()))),
    }
}

fn number(data: serde_json::Value) -> Result<(f64, f64), Refusal> {
    match serde_json::from_value::<Data>(data) {
        Ok(Data::Scalar(sample)) => Ok((sample.value(), sample.timestamp())),
        Ok(Data::Vector(series)) => match series.as_slice() {
            [] => Err(Refusal::missing(EMPTY)),
            [one] => Ok((one.sample().value(), one.sample().timestamp())),
            several => Err(too_many(several.len())),
        },
        Ok(Data::Matrix(_)) => {
            Err(Refusal::rejected("the query yields a range: wrap it in rate() or a function over time"))
        }
        Err(_) => Err(Refusal::rejected("the query yields no number")),
    }
}

/// The last cause of an error, in one line.
pub(super) fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    one_line(&cause.to_string())
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect()
}
