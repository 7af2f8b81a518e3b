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
    let metric = |source, means| {
        SourceReading::Metric(MetricReading {
            source,
            means,
            sampled_at: now,
            value: None,
            quality: Quality::Missing,
            problem: Some(problem.to_owned()),
        })
    };
    let busy = |source| metric(source, Meaning::BusyShare);
    match spec {
        SourceSpec::KafkaLag(lag) => SourceReading::Backlog(kafka::nothing(lag, window, now, problem)),
        SourceSpec::Spark(query) => {
            SourceReading::Backlog(kafka::nothing(&spark::as_reader(query), window, now, problem))
        }
        SourceSpec::FlinkJob(job) => busy(format!("{}/{}", job.cluster, job.job)),
        SourceSpec::FlinkResource(job) => busy(format!("{}/{}", job.kind, job.name)),
        SourceSpec::Prometheus(query) => metric(query.server.clone(), query.means),
        SourceSpec::SparkRuns(runs) => metric(format!("{}/{}", runs.history, runs.app), Meaning::Backlog),
    }
}
