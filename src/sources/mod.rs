//! Where numbers come from. A source turns a server's answers into readings with an age and a quality.

mod connections;
mod flink;
mod kafka;
mod meter;
mod prometheus;
mod spark;

use futures::future::BoxFuture;
use jiff::Timestamp;

use crate::engine::observation::{Meaning, MetricReading, Quality, SourceReading};
use crate::policy::TimeSpan;
use crate::policy::source::SourceSpec;

pub use connections::{ConnectionStatus, Connections, SourceError, SweepStats};
pub use prometheus::{History, HistoryError};

/// One policy's source.
pub trait Source: Send + Sync {
    /// Looks. Never fails: what goes wrong is a reading with a lesser quality and a problem in words.
    fn observe(&self, now: Timestamp) -> BoxFuture<'_, SourceReading>;
}

/// The reading of a source that gave nothing, with the problem in words.
pub fn missing(spec: &SourceSpec, window: TimeSpan, now: Timestamp, problem: &str) -> SourceReading {
    match spec {
        SourceSpec::KafkaLag(lag) => SourceReading::Backlog(kafka::nothing(lag, window, now, problem)),
        SourceSpec::Spark(query) => {
            SourceReading::Backlog(kafka::nothing(&spark::as_reader(query), window, now, problem))
        }
        SourceSpec::FlinkJob(job) => SourceReading::Metric(MetricReading {
            source: format!("{}/{}", job.cluster, job.job),
            means: Meaning::BusyShare,
            sampled_at: now,
            value: None,
            quality: Quality::Missing,
            problem: Some(problem.to_owned()),
        }),
        SourceSpec::SparkRuns(runs) => SourceReading::Metric(MetricReading {
            source: format!("{}/{}", runs.history, runs.app),
            means: Meaning::Backlog,
            sampled_at: now,
            value: None,
            quality: Quality::Missing,
            problem: Some(problem.to_owned()),
        }),
        SourceSpec::Prometheus(query) => SourceReading::Metric(MetricReading {
            source: query.server.clone(),
            means: query.means,
            sampled_at: now,
            value: None,
            quality: Quality::Missing,
            problem: Some(problem.to_owned()),
        }),
    }
}
