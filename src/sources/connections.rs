//! The servers of the settings, by name, and the sources that read from them.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::Source;
use super::flink::BusyShare;
use super::kafka::Cluster;
use super::prometheus::{History, HistoryError, Server};
use super::spark::{self as queries, Runs};
use crate::flink::{Clusters, JobWatch};
use crate::policy::settings::{KafkaConnection, Settings};
use crate::policy::source::SourceSpec;
use crate::policy::{Policy, TimeSpan};
use crate::spark::Apps;

/// Every server that policies may name. Connects when a source first looks.
pub struct Connections {
    kafka: BTreeMap<String, Arc<Cluster>>,
    prometheus: BTreeMap<String, Arc<Server>>,
    flink: Arc<Clusters>,
    spark: Arc<Apps>,
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connections")
            .field("kafka", &self.kafka.keys())
            .field("prometheus", &self.prometheus.keys())
            .field("flink", &self.flink)
            .field("spark", &self.spark)
            .finish()
    }
}

impl Connections {
    /// Makes what the settings name. No server is asked anything yet.
    pub fn new(settings: &Settings) -> Result<Self, SourceError> {
        let (names, limits) = (&settings.connections, &settings.limits);
        let cluster = |(name, connection): (&String, &KafkaConnection)| {
            check(name, connection)?;
            Ok((name.clone(), Cluster::new(name, connection, limits)))
        };
        let kafka = names.kafka.iter().map(cluster).collect::<Result<_, SourceError>>()?;
        let prometheus =
            names.prometheus.iter().map(|(name, to)| (name.clone(), Server::new(name, to, limits)));
        Ok(Self {
            kafka,
            prometheus: prometheus.collect(),
            flink: Arc::new(Clusters::new(settings)),
            spark: Arc::new(Apps::new(settings)),
        })
    }

    /// The JobManagers, for those who move what these sources look at.
    pub fn flink(&self) -> Arc<Clusters> {
        Arc::clone(&self.flink)
    }

    /// The Spark applications, for those who move what these sources look at.
    pub fn spark(&self) -> Arc<Apps> {
        Arc::clone(&self.spark)
    }

    /// The source that `spec` asks for. `window`: the age it must be able to tell from a lesser one;
    /// `interval`: how often it is looked at.
    pub fn source(
        &self,
        spec: &SourceSpec,
        window: TimeSpan,
        interval: TimeSpan,
    ) -> Result<Arc<dyn Source>, SourceError> {
        self.make(spec, window, interval, ("", None))
    }

    /// The source that `spec` of `policy` asks for, where a Flink job may be who consumes.
    pub fn source_of(&self, policy: &Policy, spec: &SourceSpec) -> Result<Arc<dyn Source>, SourceError> {
        let (window, interval, consumer) =
            (policy.rules.window(), policy.rules.interval, policy.target.flink());
        self.make(spec, window, interval, (&policy.id.namespace, consumer.as_ref()))
    }

    fn make(
        &self,
        spec: &SourceSpec,
        window: TimeSpan,
        interval: TimeSpan,
        (namespace, consumer): (&str, Option<&SourceSpec>),
    ) -> Result<Arc<dyn Source>, SourceError> {
        match spec {
            SourceSpec::FlinkJob(_) | SourceSpec::FlinkResource(_) => {
                Ok(Arc::new(BusyShare::new(self.job(namespace, spec)?, interval)))
            }
            SourceSpec::KafkaLag(lag) => {
                let job = consumer.map(|job| self.job(namespace, job)).transpose()?;
                Ok(self.cluster(&lag.cluster)?.source(lag, window, interval, job))
            }
            SourceSpec::Spark(query) => match self.spark.get(&query.app) {
                Some(app) => Ok(queries::source(app, query, self.cluster(&query.cluster)?, window, interval)),
                None => Err(SourceError::Unknown { kind: "spark", name: query.app.clone() }),
            },
            SourceSpec::SparkRuns(runs) => match self.spark.history(&runs.history) {
                Some(history) => Ok(Arc::new(Runs::new(history, runs))),
                None => Err(SourceError::Unknown { kind: "sparkHistory", name: runs.history.clone() }),
            },
            SourceSpec::Prometheus(query) => match self.prometheus.get(&query.server) {
                Some(server) => Ok(server.source(query, interval)),
                None => Err(SourceError::Unknown { kind: "prometheus", name: query.server.clone() }),
            },
        }
    }

    fn job(&self, namespace: &str, job: &SourceSpec) -> Result<Arc<JobWatch>, SourceError> {
        self.flink.watch(namespace, job).map_err(|name| SourceError::Unknown { kind: "flink", name })
    }

    /// What a PromQL query yields at every step of a stretch of the past.
    pub async fn history(
        &self,
        server: &str,
        query: &str,
        (from, until): (Timestamp, Timestamp),
        step: TimeSpan,
    ) -> Result<History, HistoryError> {
        let unknown = || {
            let problem = "the settings have no connection of that name".to_owned();
            HistoryError { server: server.to_owned(), problem }
        };
        self.prometheus.get(server).ok_or_else(unknown)?.history(query, from, until, step).await
    }

    fn cluster(&self, name: &str) -> Result<&Arc<Cluster>, SourceError> {
        let unknown = || SourceError::Unknown { kind: "kafka", name: name.to_owned() };
        self.kafka.get(name).ok_or_else(unknown)
    }

    /// How every server is doing.
    pub fn status(&self) -> Vec<ConnectionStatus> {
        let kafka = self.kafka.values().map(|cluster| cluster.status());
        let prometheus = self.prometheus.values().map(|server| server.status());
        let flink = self.flink.status().map(|(name, healthy, problem)| ConnectionStatus {
            kind: "flink",
            name: name.to_owned(),
            healthy,
            problem,
        });
        let spark = self.spark.status().map(|(kind, name, healthy, problem)| ConnectionStatus {
            kind,
            name: name.to_owned(),
            healthy,
            problem,
        });
        kafka.chain(prometheus).chain(flink).chain(spark).collect()
    }

    /// What the last sweep of every Kafka cluster cost, and all of them so far.
    pub fn sweeps(&self) -> Vec<SweepStats> {
        self.kafka.values().filter_map(|cluster| cluster.stats()).collect()
    }
}

fn check(name: &str, connection: &KafkaConnection) -> Result<(), SourceError> {
    let is_address = |address: &str| {
        let parts = address.rsplit_once(':');
        parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
    };
    match connection.bootstrap_servers.iter().find(|address| !is_address(address)) {
        None => Ok(()),
        Some(address) => Err(SourceError::Address { name: name.to_owned(), address: address.clone() }),
    }
}

/// How one server is doing. What the API says of it, and other versions read, is the record's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionStatus {
    /// `kafka`, `prometheus`, `flink`, `spark`, `sparkMaster` (by its application's name) or `sparkHistory`.
    pub kind: &'static str,
    /// Its name in the settings.
    pub name: String,
    /// Whether it answered last time; `None` where it was not asked yet.
    pub healthy: Option<bool>,
    /// What is wrong, in words.
    pub problem: Option<String>,
}

/// What one sweep over a Kafka cluster cost.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SweepStats {
    /// The cluster's name in the settings.
    pub cluster: String,
    /// Sweeps since the start, this one included, and what all of them together cost.
    pub sweeps: u64,
    /// Requests of all sweeps.
    pub requests_in_all: u64,
    /// Wall time of all sweeps, in seconds.
    pub seconds_in_all: f64,
    /// Requests sent.
    pub requests: u64,
    /// Partitions whose offsets were asked for, per isolation level.
    pub partitions: usize,
    /// Groups asked for.
    pub groups: usize,
    /// Wall time in seconds.
    pub seconds: f64,
}

/// Why there is no source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// The settings name no such server.
    #[error("the settings have no {kind} connection named {name}")]
    Unknown {
        /// `kafka`, `prometheus`, `flink`, `spark` or `sparkHistory`.
        kind: &'static str,
        /// The name that was asked for.
        name: String,
    },
    /// An address cannot be one.
    #[error("kafka {name}: bootstrapServers: expected host:port, found `{address}`")]
    Address {
        /// The connection's name.
        name: String,
        /// What stands there.
        address: String,
    },
}
