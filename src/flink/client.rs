//! One JobManager's REST API over HTTP: who asks, how often, and what went wrong, in words that are safe to log.

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Certificate, Method, RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;

use super::FlinkError;
use crate::policy::settings::{FlinkConnection, Limits};

/// The longest answer that is read: the details of a job of a thousand vertices take one megabyte.
const ANSWER_LIMIT: usize = 16 << 20;
/// Characters of a JobManager's own words that are passed on: the rest is a stack trace.
const WORDS: usize = 300;

/// The way to one JobManager.
pub(super) struct Client {
    connection: FlinkConnection,
    timeout: Duration,
    limiter: DefaultDirectRateLimiter,
    /// The client, and the authorities that it was made with.
    made: Mutex<Option<(Option<Vec<u8>>, reqwest::Client)>>,
}

impl Client {
    pub(super) fn new(connection: &FlinkConnection, limits: &Limits) -> Self {
        let quota =
            Quota::per_second(NonZeroU32::new(limits.http_requests_per_second).unwrap_or(NonZeroU32::MIN));
        Self {
            connection: connection.clone(),
            // Earlier than the caller, so that the cause is told.
            timeout: limits.source_timeout.0.mul_f64(0.5),
            limiter: DefaultDirectRateLimiter::direct(quota),
            made: Mutex::default(),
        }
    }

    /// What a path answers; `None` where there is no such thing.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Option<T>, FlinkError> {
        let (status, body) = self.send(Method::GET, path, |request| request.query(query)).await?;
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        if !status.is_success() {
            return Err(self.refusal(status, &body));
        }
        let answer = serde_json::from_slice(&body);
        answer.map(Some).map_err(|error| {
            FlinkError::Unreachable(format!(
                "{path} answers something else than Flink does ({error}): check url"
            ))
        })
    }

    /// As [`Client::get`], where a JobManager always has an answer.
    pub(super) async fn must_get<T: DeserializeOwned>(&self, path: &str) -> Result<T, FlinkError> {
        let gone = || FlinkError::Unreachable(format!("{}{path}: not found: check url", self.connection.url));
        self.get(path, &[]).await?.ok_or_else(gone)
    }

    /// Sends a document. `false` where there is no such thing to send it to.
    pub(super) async fn put(&self, path: &str, body: &serde_json::Value) -> Result<bool, FlinkError> {
        let (status, answer) = self.send(Method::PUT, path, |request| request.json(body)).await?;
        match status {
            StatusCode::NOT_FOUND => Ok(false),
            status if status.is_success() => Ok(true),
            status => Err(self.refusal(status, &answer)),
        }
    }

    /// Asks for something to be done; what is answered, `None` where there is no such thing to do.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &serde_json::Value,
    ) -> Result<Option<T>, FlinkError> {
        let (status, answer) = self.send(Method::POST, path, |request| request.json(body)).await?;
        match status {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => Ok(serde_json::from_slice(&answer).ok()),
            status => Err(self.refusal(status, &answer)),
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        with: impl FnOnce(RequestBuilder) -> RequestBuilder + Send,
    ) -> Result<(StatusCode, Vec<u8>), FlinkError> {
        let connection = self.connection.clone();
        let read = tokio::task::spawn_blocking(move || credentials(&connection)).await;
        let (authorities, token) =
            read.map_err(|_| FlinkError::Unreachable("the look was interrupted".to_owned()))??;
        let client = self.client(authorities)?;
        self.limiter.until_ready().await;
        let url = format!("{}{path}", self.connection.url.trim_end_matches('/'));
        let mut request = with(client.request(method, url));
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, token);
        }
        let mut answer = request.send().await.map_err(|error| self.unreachable(&error))?;
        let (status, mut body) = (answer.status(), Vec::new());
        while let Some(chunk) = answer.chunk().await.map_err(|error| self.unreachable(&error))? {
            if body.len() + chunk.len() > ANSWER_LIMIT {
                return Err(FlinkError::Unreachable(format!("{path} answers far too much")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok((status, body))
    }

    fn client(&self, authorities: Option<Vec<u8>>) -> Result<reqwest::Client, FlinkError> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, client)) = &*made
            && *known == authorities
        {
            return Ok(client.clone());
        }
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(3).min(self.timeout))
            .timeout(self.timeout);
        if let Some(pem) = &authorities {
            // A text without any certificate is an empty bundle, and no error.
            let bundle = Certificate::from_pem_bundle(pem).ok().filter(|bundle| !bundle.is_empty());
            let bundle = bundle
                .ok_or_else(|| FlinkError::Unreachable("caFile holds no usable certificate".to_owned()))?;
            builder = builder.tls_certs_only(bundle);
        }
        let client =
            builder.build().map_err(|error| FlinkError::Unreachable(format!("no HTTP client: {error}")))?;
        *made = Some((authorities, client.clone()));
        Ok(client)
    }

    fn unreachable(&self, error: &reqwest::Error) -> FlinkError {
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        let (url, cause) = (&self.connection.url, cause.to_string());
        FlinkError::Unreachable(if error.is_timeout() {
            format!("{url} does not answer within {:?}", self.timeout)
        } else if cause.contains("certificate") {
            format!("TLS with {url} failed ({cause}): check caFile")
        } else {
            format!("{url} cannot be reached ({cause}): check url")
        })
    }

    /// What a JobManager says in place of an answer: the first line of its error, without the stack.
    fn refusal(&self, status: StatusCode, body: &[u8]) -> FlinkError {
        #[derive(serde::Deserialize)]
        struct Errors {
            errors: Vec<String>,
        }
        let code = status.as_u16();
        if matches!(code, 401 | 403) {
            return FlinkError::Unreachable(format!("HTTP {code}: check bearerTokenFile"));
        }
        let errors: Option<Errors> = serde_json::from_slice(body).ok();
        let all = errors.map(|errors| errors.errors).unwrap_or_default();
        // The cause is the last of the chain.
        let lines = all.iter().flat_map(|text| text.lines()).map(str::trim);
        let line = lines.rev().find(|line| !line.is_empty() && !line.starts_with("at "));
        let words: String = line.unwrap_or_default().chars().take(WORDS).collect();
        FlinkError::Refused(format!("{} answers HTTP {code}: {words}", self.connection.url))
    }
}

/// The authorities' PEM and the `Authorization` header, as the files stand now.
fn credentials(connection: &FlinkConnection) -> Result<(Option<Vec<u8>>, Option<HeaderValue>), FlinkError> {
    let read = |path: &Path| {
        std::fs::read(path)
            .map_err(|error| FlinkError::Unreachable(format!("cannot read {}: {error}", path.display())))
    };
    let authorities = connection.ca_file.as_deref().map(read).transpose()?;
    let Some(path) = connection.bearer_token_file.as_deref() else { return Ok((authorities, None)) };
    let header = [b"Bearer ", read(path)?.trim_ascii()].concat();
    let mut header = HeaderValue::from_bytes(&header)
        .map_err(|_| FlinkError::Unreachable(format!("{} holds no token", path.display())))?;
    header.set_sensitive(true);
    Ok((authorities, Some(header)))
}
