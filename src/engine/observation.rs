//! What the engine is told: readings with their age and quality. Unknown is `None`, never zero.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use crate::policy::source::Meaning;
use crate::policy::units::Replicas;

/// Everything that was seen of one workload for one decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Observation {
    /// The target as it stands.
    pub target: TargetReading,
    /// One reading per source of the policy, in the policy's order.
    pub sources: Vec<SourceReading>,
}

/// How far a reading can be trusted.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::IntoStaticStr,
    strum::EnumIter,
)]
#[serde(rename_all = "camelCase")]
#[strum(serialize_all = "camelCase")]
pub enum Quality {
    /// Complete and fresh.
    Ok,
    /// Some parts are missing.
    Partial,
    /// Older than allowed.
    Stale,
    /// Nothing was read.
    Missing,
    /// Something was read that cannot be: NaN, negative, several series.
    Rejected,
}

/// The target as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetReading {
    /// When it was read.
    pub sampled_at: Timestamp,
    /// How far it can be trusted.
    pub quality: Quality,
    /// The replicas asked for now: `spec.replicas`, or the lower bound where the target is a bound.
    pub current: Option<Replicas>,
    /// The upper bound asked for now, where the target has one.
    pub ceiling: Option<Replicas>,
    /// The target value of the metric that the policy names, where the target has one.
    pub metric_target: Option<f64>,
    /// Replicas that are up and ready. Only ever used to learn capacity, never to derive a bound.
    pub ready: Option<Replicas>,
    /// Whether every replica asked for is ready and no rollout is under way.
    pub settled: bool,
    /// Why the target must be left alone (another owner, paused, deleted), in words; `None` to go on.
    pub hold: Option<TargetHold>,
    /// What went wrong, in words, where quality is not [`Quality::Ok`].
    pub problem: Option<String>,
    /// Fences every write: it only succeeds on exactly this object at exactly this version.
    pub fence: Option<Fence>,
    /// What the target cannot go beyond now; `None` where nothing is known to be in the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<TargetLimit>,
    /// What a move of such a target costs, for as long as none was measured; `None` for what is usual of Pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// Which part of the target decides what its replicas can do, where it tells its parts apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<Binding>,
}

/// The part of a target that decides what its replicas can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Binding {
    /// What it is called.
    pub name: String,
    /// What its work is divided into.
    pub division: Division,
    /// Replicas that share what is paid for as a whole, such as the slots of a TaskManager; `None` where each is paid for
    /// by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fill: Option<u32>,
    /// Which part could follow no further beyond the target's limit, and why.
    pub limited_by: Option<String>,
}

/// What the work of replicas is divided into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Division {
    /// The partitions of the sources.
    Partitions,
    /// So many parts of its own.
    Parts(u32),
    /// Any number of replicas shares it evenly.
    Even,
}

/// What a move is expected to cost.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Price {
    /// Seconds from asking for more until it is there.
    pub raise_seconds: f64,
    /// Seconds that processing stops for when there will be less.
    pub lower_seconds: f64,
}

/// The most that a target can have now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetLimit {
    /// So many replicas.
    pub most: Replicas,
    /// Why no more.
    pub cause: LimitCause,
}

/// Why a target cannot have more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LimitCause {
    /// Flink: no more slots are free.
    Slots,
    /// Flink: a vertex's maxParallelism.
    MaxParallelism,
    /// Flink: a vertex whose work cannot be divided any further, or that is left alone.
    Vertex,
    /// Flink: with more than this the job, or its checkpoints, failed again and again.
    Quarantine,
    /// Spark: a ResourceQuota leaves room for no more executors.
    Quota,
    /// Spark: Pods that were asked for still wait for a node.
    Pending,
}

/// Why a target must be left alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum TargetHold {
    /// Another owner moves it.
    Owned {
        /// Who, for example `HorizontalPodAutoscaler shop/orders`.
        owner: String,
    },
    /// A rollout is under way.
    RollingOut,
    /// There is no such object.
    NotFound,
    /// It cannot be moved as it is set up.
    Unfit {
        /// What is in the way, in words.
        problem: String,
    },
    /// It is restarting, rescaling or resting from that: for a while.
    Unsettled {
        /// What is going on, in words.
        what: String,
    },
}

/// Identity and version of the object that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fence {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
}

/// One source's answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SourceReading {
    /// The backlog of a Kafka consumer group.
    Backlog(BacklogReading),
    /// One number with a declared meaning.
    Metric(MetricReading),
}

impl SourceReading {
    /// How far the reading can be trusted.
    pub fn quality(&self) -> Quality {
        match self {
            Self::Backlog(reading) => reading.quality,
            Self::Metric(reading) => reading.quality,
        }
    }

    /// When it was read.
    pub fn sampled_at(&self) -> Timestamp {
        match self {
            Self::Backlog(reading) => reading.sampled_at,
            Self::Metric(reading) => reading.sampled_at,
        }
    }
}

/// The backlog of one consumer group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BacklogReading {
    /// Who was asked, for sentences: `main/orders`.
    pub source: String,
    /// When the offsets were read.
    pub sampled_at: Timestamp,
    /// The worst of the partitions' qualities, or that of the whole look.
    pub quality: Quality,
    /// What went wrong, in words.
    pub problem: Option<String>,
    /// What the group is doing.
    pub group: GroupState,
    /// Seconds that every partition's `arrived` and `consumed` were counted over; `None` on a first look.
    pub over_seconds: Option<f64>,
    /// Seconds that every partition's `arrived_in_window` and `overdue` refer to.
    pub window_seconds: f64,
    /// One entry per partition, ordered by topic and partition.
    pub partitions: Vec<PartitionReading>,
    /// What the streaming engine says of itself, where the reader is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streaming: Option<StreamingReading>,
}

/// What a streaming engine that works in batches says of itself. `None` is unknown, never zero.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StreamingReading {
    /// Seconds between two triggers: what arrives in between waits by design. 0: as soon as possible.
    pub trigger_seconds: f64,
    /// Executors at work.
    pub executors: Option<u32>,
    /// Tasks that one of them runs at once; the least where they differ.
    pub slots_per_executor: Option<u32>,
    /// Tasks that the widest stage of a batch is split into, where that is more than the topics have partitions.
    pub tasks: Option<u32>,
    /// Tasks that run now.
    pub active_tasks: Option<u32>,
    /// Share of the executors' slots that was in use lately. A bound only: a small batch costs its tasks nearly the
    /// time of a larger one.
    pub busy_share: Option<f64>,
    /// The last batch that was committed.
    pub batch: Option<BatchReading>,
}

/// The last batch that was committed. Its figures stand still while the next one runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchReading {
    /// Its number.
    pub number: u64,
    /// Seconds since it was committed.
    pub age_seconds: f64,
    /// Records per second that it processed, as the driver says.
    pub records_per_second: Option<f64>,
    /// Seconds that it took, as the driver says.
    pub seconds: Option<f64>,
    /// Whether the next one is under way.
    pub running: bool,
}

/// What a consumer group is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display, strum::IntoStaticStr)]
#[serde(rename_all = "camelCase")]
#[strum(serialize_all = "camelCase")]
pub enum GroupState {
    /// Members have their partitions.
    Stable,
    /// Partitions are being handed out; nothing said about progress can be trusted.
    Rebalancing,
    /// No members.
    Empty,
    /// No such group, as the broker sees it.
    Dead,
    /// The broker did not say.
    Unknown,
}

/// One partition of a backlog. `None` is unknown, never zero.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartitionReading {
    /// Topic.
    pub topic: String,
    /// Partition number.
    pub partition: i32,
    /// First offset the log still holds.
    pub start: Option<i64>,
    /// End offset, by the policy's isolation level.
    pub end: Option<i64>,
    /// The group's committed offset; `None` also where there is none (see `uncommitted`).
    pub committed: Option<i64>,
    /// The broker said that the group has committed nothing here.
    pub uncommitted: bool,
    /// Records not processed yet: `end - max(committed, start)`, by the policy's reset policy where
    /// nothing is committed.
    pub lag: Option<u64>,
    /// The lag counts for activation but not for the size (KEDA's `excludePersistentLag`).
    pub persistent: bool,
    /// Records that arrived since the last look.
    pub arrived: Option<u64>,
    /// Records that were processed since the last look.
    pub consumed: Option<u64>,
    /// Records that arrived within the reading's window, as the broker's time index says.
    pub arrived_in_window: Option<u64>,
    /// Whether the oldest unprocessed record is older than the window, as the broker's time index says.
    pub overdue: Option<bool>,
    /// Age of the oldest unprocessed record in seconds, where it can be told; 0 without backlog.
    pub age_seconds: Option<f64>,
    /// How far this entry can be trusted.
    pub quality: Quality,
}

/// One number with a declared meaning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricReading {
    /// Who was asked, for sentences: the connection's name.
    pub source: String,
    /// What the number is.
    pub means: Meaning,
    /// When the number was sampled.
    pub sampled_at: Timestamp,
    /// The number.
    pub value: Option<f64>,
    /// How far it can be trusted.
    pub quality: Quality,
    /// What went wrong, in words.
    pub problem: Option<String>,
}
