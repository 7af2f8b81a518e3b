//! Numbers by PromQL, from Prometheus or anything that speaks its query API.
//!
//! Freshness: Prometheus stamps an answer with the time it was evaluated at, not with the time of the
//! scrape, and drops a series as soon as its target is gone (or five minutes after its last sample): old
//! data is therefore an empty answer, which is [`Quality::Missing`]. [`Quality::Stale`] is an answer that
//! was evaluated long ago, as a cache in between may give. A query that must not use samples older than a
//! limit says so itself: `lag and time() - timestamp(lag) < 60`.

mod answer;
mod history;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;
use prometheus_http_query::{Client, Error};
use reqwest::header::{AUTHORIZATION, HeaderValue};

use self::answer::{EMPTY, Refusal, Value, body, innermost, interpret};
pub use self::history::{History, HistoryError};
use super::meter::Meter;
use super::{ConnectionStatus, Source};
use crate::engine::observation::{Meaning, MetricReading, Quality, SourceReading};
use crate::policy::TimeSpan;
use crate::policy::settings::{BasicAuth, Limits, PrometheusConnection};
use crate::policy::source::PrometheusQuery;

/// A busy share above this is not a share. Rates are extrapolated, so a little over 1 is.
const MOST_BUSY: f64 = 1.5;
/// An answer may be this much older than the question before it counts as stale.
const LEAST_STALE: Duration = Duration::from_mins(1);

/// One server, shared by its sources.
pub(super) struct Server {
    name: String,
    connection: PrometheusConnection,
    timeout: Duration,
    meter: Meter,
    next_id: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The client, and the authorities that it was made with.
    client: Option<(Option<Vec<u8>>, Client)>,
    /// For each query that was asked: why it did not reach the server last time, where it did not.
    queries: BTreeMap<u64, Option<String>>,
}

impl State {
    fn problems(&self) -> BTreeSet<String> {
        self.queries.values().flatten().cloned().collect()
    }
}

impl Server {
    pub(super) fn new(name: &str, connection: &PrometheusConnection, limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            connection: connection.clone(),
            // Earlier than the caller, so that the cause is told.
            timeout: limits.source_timeout.0.mul_f64(0.75),
            meter: Meter::per_second(limits.http_requests_per_second),
            next_id: AtomicU64::new(0),
            state: Mutex::default(),
        })
    }

    pub(super) fn source(self: &Arc<Self>, query: &PrometheusQuery, interval: TimeSpan) -> Arc<dyn Source> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        Arc::new(PrometheusSource { server: Arc::clone(self), id, query: query.clone(), interval })
    }

    /// A server that answers one of its queries is well: what the others run into, such as a time-out, is
    /// theirs.
    pub(super) fn status(&self) -> ConnectionStatus {
        let state = self.state();
        let problems = state.problems();
        ConnectionStatus {
            kind: "prometheus",
            name: self.name.clone(),
            healthy: (!state.queries.is_empty()).then(|| state.queries.values().any(Option::is_none)),
            problem: (!problems.is_empty()).then(|| problems.into_iter().collect::<Vec<_>>().join("; ")),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(&self, query: &str) -> Result<Value, Refusal> {
        let connection = self.connection.clone();
        let (authorities, login) = tokio::task::spawn_blocking(move || credentials(&connection))
            .await
            .map_err(|_| Refusal::missing("the look was interrupted"))??;
        let client = self.client(authorities)?;
        self.meter.permit().await;
        let mut question = client.query(query);
        if let Some(login) = login {
            question = question.header(AUTHORIZATION, login);
        }
        let answer = question.get_raw().await.map_err(|error| self.unreachable(&error))?;
        let status = answer.status();
        let body = body(answer).await?;
        interpret(status, &body)
    }

    fn client(&self, authorities: Option<Vec<u8>>) -> Result<Client, Refusal> {
        let mut state = self.state();
        if let Some((known, client)) = &state.client
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
            let bundle = reqwest::Certificate::from_pem_bundle(pem)
                .ok()
                .filter(|bundle| !bundle.is_empty())
                .ok_or_else(|| Refusal::missing("caFile holds no usable certificate"))?;
            builder = builder.tls_certs_only(bundle);
        }
        let client = builder.build().map_err(|error| Refusal::missing(format!("no HTTP client: {error}")))?;
        let client = Client::from(client, &self.connection.url)
            .map_err(|error| Refusal::missing(format!("url is not usable: {error}")))?;
        state.client = Some((authorities, client.clone()));
        Ok(client)
    }

    fn unreachable(&self, error: &Error) -> Refusal {
        let Error::Client(outer) = error else { return Refusal::missing(error.to_string()) };
        let Some(inner) = outer.inner() else { return Refusal::missing(outer.to_string()) };
        let cause = innermost(inner);
        Refusal::missing(if inner.is_timeout() {
            format!("{} does not answer within {:?}", self.connection.url, self.timeout)
        } else if cause.contains("certificate") {
            format!("TLS with {} failed ({cause}): check caFile", self.connection.url)
        } else {
            format!("{} cannot be reached ({cause}): check url", self.connection.url)
        })
    }

    /// Keeps what is wrong with one query's way to the server. Every problem is said once, however many
    /// queries have it, and that all is well once none has any.
    fn tell(&self, id: u64, problem: Option<String>) {
        let mut state = self.state();
        let before = state.problems();
        state.queries.insert(id, problem);
        let after = state.problems();
        for problem in after.difference(&before) {
            tracing::warn!(server = self.name, "prometheus {}: {problem}", self.name);
        }
        if after.is_empty() && !before.is_empty() {
            tracing::info!(server = self.name, "prometheus {}: all is well again", self.name);
        }
    }
}

/// One policy's query.
struct PrometheusSource {
    server: Arc<Server>,
    id: u64,
    query: PrometheusQuery,
    interval: TimeSpan,
}

impl Source for PrometheusSource {
    fn observe(&self, now: Timestamp) -> BoxFuture<'_, SourceReading> {
        async move {
            let (value, quality, problem) = match self.server.ask(&self.query.query).await {
                Ok(value) => self.judge(&value, now),
                Err(refusal) => (None, refusal.quality, Some(refusal.problem)),
            };
            // What one query gets wrong says nothing about the server.
            let reached = quality != Quality::Missing || problem.as_deref() == Some(EMPTY);
            self.server.tell(self.id, problem.clone().filter(|_| !reached));
            SourceReading::Metric(MetricReading {
                source: self.query.server.clone(),
                means: self.query.means,
                sampled_at: now,
                value,
                quality,
                problem: problem.map(|problem| format!("prometheus {}: {problem}", self.server.name)),
            })
        }
        .boxed()
    }
}

impl Drop for PrometheusSource {
    fn drop(&mut self) {
        self.server.state().queries.remove(&self.id);
    }
}

impl PrometheusSource {
    fn judge(&self, value: &Value, now: Timestamp) -> (Option<f64>, Quality, Option<String>) {
        let number = value.number;
        if !number.is_finite() {
            return (None, Quality::Rejected, Some(format!("the query yields {number}, which is no number")));
        }
        if number < 0.0 {
            let problem = format!("the query yields {number}: a {} is never negative", self.query.means);
            return (None, Quality::Rejected, Some(problem));
        }
        if self.query.means == Meaning::BusyShare && number > MOST_BUSY {
            let problem = format!("the query yields {number}: a busyShare lies between 0 and 1");
            return (None, Quality::Rejected, Some(problem));
        }
        let age = seconds(now) - value.evaluated_at;
        let limit = (self.interval.0 * 2).max(LEAST_STALE);
        if age > limit.as_secs_f64() {
            let problem = format!("the answer was evaluated {age:.0} s ago: check caches and clocks");
            return (Some(number), Quality::Stale, Some(problem));
        }
        match &value.warning {
            Some(warning) => (Some(number), Quality::Partial, Some(format!("the server warns: {warning}"))),
            None => (Some(number), Quality::Ok, None),
        }
    }
}

fn seconds(at: Timestamp) -> f64 {
    at.duration_since(Timestamp::UNIX_EPOCH).as_secs_f64()
}

/// The authorities' PEM and the `Authorization` header, as the files stand now.
fn credentials(connection: &PrometheusConnection) -> Result<(Option<Vec<u8>>, Option<HeaderValue>), Refusal> {
    let read = |path: &Path| {
        std::fs::read(path)
            .map_err(|error| Refusal::missing(format!("cannot read {}: {error}", path.display())))
    };
    let authorities = connection.ca_file.as_deref().map(read).transpose()?;
    let login = match (&connection.bearer_token_file, &connection.basic_auth) {
        (Some(path), _) => Some((path, [b"Bearer ", read(path)?.trim_ascii()].concat())),
        (None, Some(BasicAuth { username_file, password_file })) => {
            // Spaces may belong to a password; the line's end does not.
            let line = |path: &Path| {
                let text = read(path)?;
                let end = text.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n'));
                Ok(text.into_iter().take(end.map_or(0, |end| end + 1)).collect::<Vec<u8>>())
            };
            let pair = [line(username_file)?, line(password_file)?].join(&b':');
            Some((password_file, format!("Basic {}", BASE64.encode(pair)).into_bytes()))
        }
        (None, None) => None,
    };
    let header = |(path, text): (&PathBuf, Vec<u8>)| {
        let mut header = HeaderValue::from_bytes(&text)
            .map_err(|_| Refusal::missing(format!("{} holds no token", path.display())))?;
        header.set_sensitive(true);
        Ok(header)
    };
    Ok((authorities, login.map(header).transpose()?))
}
