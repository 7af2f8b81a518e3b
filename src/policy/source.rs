//! Where a policy's numbers come from. A source only ever *names* a connection of the settings.

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::names::{below, subdomain, topic};
use super::units::TimeSpan;

/// One source of readings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum SourceSpec {
    /// Records that a Kafka consumer group has not processed yet.
    KafkaLag(#[garde(dive)] KafkaLag),
    /// Records that a Spark Structured Streaming query has not committed yet.
    Spark(#[garde(dive)] SparkQuery),
    /// Any PromQL expression that yields one number, with its meaning declared.
    Prometheus(#[garde(dive)] PrometheusQuery),
    /// How busy the tasks of a Flink job are, as they say themselves. A Flink target brings its own along.
    FlinkJob(#[garde(dive)] FlinkJob),
    /// The same of the job of an object of the Flink Kubernetes Operator.
    FlinkResource(#[garde(dive)] FlinkResourceJob),
    /// Executors that the last runs of a Spark batch needed, as a history server tells: its backlog, in executors.
    SparkRuns(#[garde(dive)] SparkRuns),
}

/// The backlog of one consumer group. Option names are KEDA's where KEDA has the option.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct KafkaLag {
    /// The Kafka connection's name in the settings.
    #[garde(length(min = 1))]
    pub cluster: String,
    /// The consumer group.
    #[garde(length(min = 1))]
    pub group: String,
    /// The topics that count; every topic the group has committed offsets for where none is named.
    #[serde(default)]
    #[garde(length(max = 256), inner(custom(topic)))]
    pub topics: Vec<String>,
    /// What the consumers read: with `readCommitted` an open transaction is not yet backlog.
    #[serde(default)]
    pub isolation_level: IsolationLevel,
    /// What a partition without a committed offset means.
    #[serde(default)]
    pub offset_reset_policy: OffsetResetPolicy,
    /// A partition without a committed offset counts nothing, so the group may rest at zero replicas.
    #[serde(default)]
    pub scale_to_zero_on_invalid_offset: bool,
    /// A partition whose committed offset has not moved since the last look counts nothing for the
    /// size, though still for activation.
    #[serde(default)]
    pub exclude_persistent_lag: bool,
}

/// The backlog of one Structured Streaming query over Kafka. Spark commits nothing to Kafka: where the query
/// stands is read from its checkpoint, and what lies behind that from the brokers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct SparkQuery {
    /// The Spark application's name in the settings.
    #[garde(length(min = 1))]
    pub app: String,
    /// The Kafka connection's name in the settings.
    #[garde(length(min = 1))]
    pub cluster: String,
    /// The topics that the query reads.
    #[garde(length(min = 1, max = 256), inner(custom(topic)))]
    pub topics: Vec<String>,
    /// The query's checkpoint: a directory below the application's `checkpoints` in the settings.
    #[garde(custom(below))]
    #[schemars(length(min = 1))]
    pub checkpoint: String,
    /// The query's `queryName`; without one the driver's metrics of it cannot be found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(length(min = 1)))]
    pub query: Option<String>,
    /// The interval of its processing-time trigger; `0s` where a batch follows the last one at once. What
    /// arrives between two triggers waits by design, and is no reason for more executors.
    #[serde(default = "no_time")]
    pub trigger_interval: TimeSpan,
    /// The query's `minPartitions`, where it states one: so many tasks share a batch, where the topics have fewer
    /// partitions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(range(min = 1)))]
    pub min_partitions: Option<u32>,
    /// What the query reads: with `readCommitted` an open transaction is not yet backlog.
    #[serde(default)]
    pub isolation_level: IsolationLevel,
}

fn no_time() -> TimeSpan {
    TimeSpan::from_secs(0)
}

/// Which records a consumer sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum IsolationLevel {
    /// Up to the last stable offset.
    ReadCommitted,
    /// Up to the high watermark.
    #[default]
    ReadUncommitted,
}

/// Where a consumer without a committed offset starts: its `auto.offset.reset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OffsetResetPolicy {
    /// At the end. The partition counts one record, so that one consumer is kept to commit.
    #[default]
    Latest,
    /// At the log's start: everything the log still holds counts.
    Earliest,
}

/// A PromQL query and what its value means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct PrometheusQuery {
    /// The Prometheus connection's name in the settings.
    #[garde(length(min = 1))]
    pub server: String,
    /// PromQL that yields exactly one series or scalar.
    #[garde(length(min = 1))]
    pub query: String,
    /// What the number is.
    pub means: Meaning,
}

/// What a metric's value stands for, and its unit.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema, strum::Display,
)]
#[serde(rename_all = "camelCase")]
#[strum(serialize_all = "camelCase")]
pub enum Meaning {
    /// Records per second that arrive.
    ArrivalRate,
    /// Records not processed yet.
    Backlog,
    /// Age of the oldest unprocessed record, in seconds.
    BacklogAge,
    /// Share of time the replicas are busy, 0 to 1, averaged over them.
    BusyShare,
    /// Replicas that somebody else has worked out to be needed: a floor.
    Demand,
}

/// The tasks of one Flink job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct FlinkJob {
    /// The Flink connection's name in the settings.
    #[garde(length(min = 1))]
    pub cluster: String,
    /// The job's name.
    #[garde(length(min = 1))]
    pub job: String,
}

/// The tasks of the job of an object of the Flink Kubernetes Operator.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct FlinkResourceJob {
    /// Its kind.
    pub kind: FlinkKind,
    /// Name, in the policy's namespace.
    #[garde(length(min = 1, max = 253), custom(subdomain))]
    pub name: String,
    /// The Flink connection's name in the settings, where its JobManager is not to be reached at the Service that the
    /// operator makes for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(length(min = 1)))]
    pub cluster: Option<String>,
}

/// Kinds of the Flink Kubernetes Operator that have a job.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::Display,
    strum::IntoStaticStr,
)]
pub enum FlinkKind {
    /// A cluster with one job of its own.
    FlinkDeployment,
    /// A job on a FlinkDeployment without one.
    FlinkSessionJob,
}

/// The finished runs of one Spark application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct SparkRuns {
    /// The history server's name in the settings.
    #[garde(length(min = 1))]
    pub history: String,
    /// The application's name as the history server tells it; a `*` at its end stands for anything.
    #[garde(length(min = 1))]
    pub app: String,
}
