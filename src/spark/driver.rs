//! What the driver's UI says: executors and their tasks, and the query's last batch.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::trouble::{Gap, Trouble};
use super::web::Web;

/// What a query's metrics are called: `NAMESPACE.driver.spark.streaming.QUERY.METRIC`.
const STREAMING: &str = ".driver.spark.streaming.";

/// A driver's UI.
pub(crate) struct Driver(Web);

/// What it says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    /// The application's id: another one after each start.
    pub(crate) app: String,
    /// All executors that there were, without the driver.
    pub(crate) executors: Vec<Executor>,
    /// The query's last batch.
    pub(crate) batch: Result<Batch, Gap>,
}

/// One executor.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Executor {
    pub(crate) id: String,
    pub(crate) is_active: bool,
    /// Tasks that it runs at once.
    pub(crate) max_tasks: u32,
    pub(crate) active_tasks: u32,
    /// Milliseconds that finished tasks ran for.
    pub(crate) total_duration: u64,
    /// Blocks of cached data that it holds.
    #[serde(default)]
    pub(crate) rdd_blocks: u64,
}

/// The last batch's figures, which stand still while the next one runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Batch {
    pub(crate) records_per_second: Option<f64>,
    pub(crate) seconds: Option<f64>,
}

#[derive(Deserialize)]
struct Application {
    id: String,
    attempts: Vec<Attempt>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Attempt {
    completed: bool,
    /// Milliseconds since 1970.
    start_time_epoch: Option<i64>,
}

/// What a running application was started with. Nothing of it changes while it runs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct InForce {
    /// The application's id: another one after each start.
    pub(crate) app: String,
    /// When it was started.
    pub(crate) since: Option<Timestamp>,
    /// Kinds of executors that it asks for: bounds hold for each.
    pub(crate) profiles: usize,
    properties: BTreeMap<String, String>,
}

impl InForce {
    /// One of a test's making.
    #[cfg(test)]
    pub(crate) fn new(
        app: &str,
        since: Option<Timestamp>,
        profiles: usize,
        properties: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        Self { app: app.to_owned(), since, profiles, properties: properties.into_iter().collect() }
    }

    /// One of Spark's settings.
    pub(crate) fn property(&self, key: &str) -> Option<&str> {
        self.properties.get(key).map(String::as_str)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Environment {
    spark_properties: Vec<(String, String)>,
    #[serde(default)]
    resource_profiles: Vec<serde::de::IgnoredAny>,
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
    pub(crate) fn new(
        url: &str,
        timeout: Duration,
        requests_per_second: u32,
    ) -> Result<Self, reqwest::Error> {
        Web::new(url, timeout, requests_per_second).map(Self)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Trouble> {
        self.0.get(path).await
    }

    /// The application that runs, and when it was started.
    async fn running(&self) -> Result<(String, Option<Timestamp>), Trouble> {
        let applications: Vec<Application> = self.get("/api/v1/applications").await?;
        let Some(Application { id, attempts }) = applications.into_iter().next() else {
            return Err(Trouble::NoApplication { url: self.0.url.clone() });
        };
        let attempt = attempts.into_iter().next();
        if attempt.as_ref().is_some_and(|attempt| attempt.completed) {
            return Err(Trouble::Ended { app: id });
        }
        let since = attempt.and_then(|attempt| attempt.start_time_epoch);
        Ok((id, since.and_then(|since| Timestamp::from_millisecond(since).ok())))
    }

    /// Asks what the application was started with.
    pub(crate) async fn in_force(&self) -> Result<InForce, Trouble> {
        let (app, since) = self.running().await?;
        let environment: Environment = self.get(&format!("/api/v1/applications/{app}/environment")).await?;
        let properties = environment.spark_properties.into_iter().collect();
        Ok(InForce { app, since, profiles: environment.resource_profiles.len(), properties })
    }

    /// Asks for everything there is to know.
    pub(crate) async fn ask(&self, query: Option<&str>) -> Result<Told, Trouble> {
        let (id, _) = self.running().await?;
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
}
