//! What the driver's UI says: executors and their tasks, and the query's last batch.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::trouble::{Gap, Trouble};
use crate::sources::meter::Meter;

/// The longest answer that is read.
const LONGEST: usize = 8 << 20;
/// What a query's metrics are called: `NAMESPACE.driver.spark.streaming.QUERY.METRIC`.
const STREAMING: &str = ".driver.spark.streaming.";

/// A driver's UI.
pub(super) struct Driver {
    url: String,
    client: reqwest::Client,
    timeout: Duration,
    meter: Meter,
}

/// What it says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Told {
    /// The application's id: another one after each start.
    pub(super) app: String,
    /// All executors that there were, without the driver.
    pub(super) executors: Vec<Executor>,
    /// The query's last batch.
    pub(super) batch: Result<Batch, Gap>,
}

/// One executor.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Executor {
    pub(super) id: String,
    pub(super) is_active: bool,
    /// Tasks that it runs at once.
    pub(super) max_tasks: u32,
    pub(super) active_tasks: u32,
    /// Milliseconds that finished tasks ran for.
    pub(super) total_duration: u64,
}

/// The last batch's figures, which stand still while the next one runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Batch {
    pub(super) records_per_second: Option<f64>,
    pub(super) seconds: Option<f64>,
}

#[derive(Deserialize)]
struct Application {
    id: String,
    attempts: Vec<Attempt>,
}

#[derive(Deserialize)]
struct Attempt {
    completed: bool,
}

#[derive(Deserialize)]
struct Metrics {
    gauges: std::collections::BTreeMap<String, Gauge>,
}

#[derive(Deserialize)]
struct Gauge {
    value: serde_json::Value,
}

impl Driver {
    /// A driver at `url`. Nothing is asked yet.
    pub(super) fn new(
        url: &str,
        timeout: Duration,
        requests_per_second: u32,
    ) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(timeout)
            .build()?;
        let url = url.trim_end_matches('/').to_owned();
        Ok(Self { url, client, timeout, meter: Meter::per_second(requests_per_second) })
    }

    /// Asks for everything there is to know.
    pub(super) async fn ask(&self, query: Option<&str>) -> Result<Told, Trouble> {
        let applications: Vec<Application> = self.get("/api/v1/applications").await?;
        let Some(Application { id, attempts }) = applications.into_iter().next() else {
            return Err(Trouble::NoApplication { url: self.url.clone() });
        };
        if attempts.first().is_some_and(|attempt| attempt.completed) {
            return Err(Trouble::Ended { app: id });
        }
        let path = format!("/api/v1/applications/{id}/allexecutors");
        let (executors, batch) = futures::join!(self.get::<Vec<Executor>>(&path), self.batch(query));
        let mut executors = executors?;
        executors.retain(|executor| executor.id != "driver");
        let batch = match batch {
            Err(Gap::Metrics(missing @ Trouble::QueryMissing { .. })) => return Err(missing),
            batch => batch,
        };
        Ok(Told { app: id, executors, batch })
    }

    /// Without the slash at its end the address only redirects.
    async fn batch(&self, query: Option<&str>) -> Result<Batch, Gap> {
        let query = query.ok_or(Gap::NoName)?;
        let Metrics { gauges } = self.get("/metrics/json/").await.map_err(Gap::Metrics)?;
        let named = |name: &'_ str| -> Option<(String, String)> {
            let (_, tail) = name.split_once(STREAMING)?;
            let (query, metric) = tail.rsplit_once('.')?;
            Some((query.to_owned(), metric.to_owned()))
        };
        let queries: BTreeSet<String> = gauges.keys().filter_map(|name| Some(named(name)?.0)).collect();
        if queries.is_empty() {
            return Err(Gap::MetricsOff);
        }
        if !queries.contains(query) {
            let others: Vec<_> = queries.into_iter().take(5).collect();
            let (query, others) = (query.to_owned(), others.join(", "));
            return Err(Gap::Metrics(Trouble::QueryMissing { query, others }));
        }
        let value = |metric: &str| {
            let tail = format!("{STREAMING}{query}.{metric}");
            let gauge = gauges.iter().find(|(name, _)| name.ends_with(&tail))?;
            gauge.1.value.as_f64().filter(|value| value.is_finite() && *value >= 0.0)
        };
        Ok(Batch {
            records_per_second: value("processingRate-total"),
            seconds: value("latency").map(|milliseconds| milliseconds / 1000.0),
        })
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Trouble> {
        self.meter.permit().await;
        let answer = self.client.get(format!("{}{path}", self.url)).send().await;
        let mut answer = answer.map_err(|error| self.failed(&error))?;
        let (url, status) = (self.url.clone(), answer.status());
        let code = status.as_u16();
        let html =
            answer.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(Trouble::Login { url, code }),
            status if status.is_redirection() => return Err(Trouble::Redirected { url, code }),
            _ if html => return Err(Trouble::Html { url }),
            status if !status.is_success() => return Err(Trouble::Status { url, code }),
            _ => {}
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| self.failed(&error))? {
            if body.len() + chunk.len() > LONGEST {
                return Err(Trouble::Strange { url, cause: "it is far too long".to_owned() });
            }
            body.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&body).map_err(|error| {
            if body.trim_ascii_start().first() == Some(&b'<') {
                Trouble::Html { url }
            } else {
                Trouble::Strange { url, cause: error.to_string().chars().take(120).collect() }
            }
        })
    }

    fn failed(&self, error: &reqwest::Error) -> Trouble {
        let url = self.url.clone();
        if error.is_timeout() {
            return Trouble::Silent { url, timeout: self.timeout };
        }
        let mut cause: &dyn std::error::Error = error;
        while let Some(next) = cause.source() {
            cause = next;
        }
        Trouble::Unreachable { url, cause: cause.to_string().chars().take(120).collect() }
    }
}
