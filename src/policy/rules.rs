//! The share of a policy that the engine decides by: validated, complete, free of connections.

use serde::{Deserialize, Serialize};

use super::behavior::{Behavior, ScalingRules};
use super::notches::{Notches, SelfTuning};
use super::preset::{Knobs, Preset};
use super::schedule::Schedule;
use super::target::HpaMetricMeaning;
use super::units::{Replicas, TimeSpan};

/// Everything about a policy that the engine may know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rules {
    /// What to hold.
    pub objective: Objective,
    /// Which way the trade between freshness and replicas leans.
    #[serde(default)]
    pub preset: Preset,
    /// Single constants in place of the preset's.
    #[serde(default, skip_serializing_if = "Knobs::is_empty")]
    pub knobs: Knobs,
    /// Whether what the policy does not state is tuned.
    #[serde(default, skip_serializing_if = "SelfTuning::is_off")]
    pub tuning: SelfTuning,
    /// How far self-tuning has turned the preset; knobs that are stated stand above it.
    #[serde(default, skip_serializing_if = "Notches::is_none")]
    pub notches: Notches,
    /// The fewest replicas, possibly 0.
    pub min_replicas: Replicas,
    /// The most replicas.
    pub max_replicas: Replicas,
    /// Floors by the clock.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schedules: Vec<Schedule>,
    /// More unprocessed records than this wake a workload that rests at 0 replicas.
    pub activation_lag: u64,
    /// How long a workload must have been idle before its last replica goes.
    pub cooldown: TimeSpan,
    /// Damping per direction.
    pub behavior: Behavior,
    /// The most changes within any hour.
    pub changes_per_hour: u32,
    /// What to do when blind.
    pub fallback: Option<Fallback>,
    /// Records per second that one replica processes, until measured.
    pub capacity_per_replica: Option<f64>,
    /// Which replica counts make a difference.
    pub partitions: PartitionRule,
    /// How often the engine is asked.
    pub interval: TimeSpan,
    /// Hold whatever happens.
    pub paused: bool,
    /// How to derive an HPA metric's target value from the measured capacity; `None`: not asked for.
    pub metric_target: Option<MetricTarget>,
}

/// How an HPA metric's target value follows from the measured capacity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricTarget {
    /// What the metric counts.
    pub means: HpaMetricMeaning,
    /// Rate metrics only: the share of the capacity, in percent, that the target asks for.
    pub utilization: u32,
}

impl Rules {
    /// The window that upward recommendations must agree over, in seconds.
    pub fn up_window_seconds(&self) -> u32 {
        self.behavior.scale_up.stabilization_window_seconds.unwrap_or(0)
    }

    /// The window whose highest recommendation bounds a move down, in seconds. Unset it is HPA's for an
    /// objective in records; for one in seconds it follows from what a move costs on this workload, and from
    /// how long the load lets a size do, and there is no fixed one.
    pub fn down_window_seconds(&self) -> u32 {
        let otherwise = match self.objective {
            Objective::MaxLag { .. } => 0,
            Objective::LagPerReplica { .. } => 300,
        };
        self.behavior.scale_down.stabilization_window_seconds.unwrap_or(otherwise)
    }

    /// The window whose highest recommendation an upper bound falls to, in seconds.
    pub fn ceiling_window_seconds(&self) -> u32 {
        self.behavior.scale_down.stabilization_window_seconds.unwrap_or(300)
    }

    /// The relative change in a direction that is too small to act on.
    pub fn tolerance(direction: &ScalingRules) -> f64 {
        direction.tolerance.unwrap_or(0.1)
    }

    /// The age that a source must be able to tell from a lesser one, and the window it counts
    /// arrivals over: the objective's, or a minute where the objective is in records.
    pub fn window(&self) -> TimeSpan {
        match self.objective {
            Objective::MaxLag { max_lag, .. } => max_lag,
            Objective::LagPerReplica { .. } => TimeSpan::from_secs(60),
        }
    }
}

/// What the workload is held to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Objective {
    /// The oldest unprocessed record is younger than `max_lag`; a backlog is cleared within `catch_up`.
    MaxLag {
        /// Age of the oldest unprocessed record.
        max_lag: TimeSpan,
        /// Time to clear a backlog in.
        catch_up: TimeSpan,
    },
    /// One replica for every so many unprocessed records (KEDA's `lagThreshold`).
    LagPerReplica {
        /// Records per replica.
        records: u64,
    },
}

/// A floor while the inputs cannot be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fallback {
    /// How long the inputs must have been untrusted.
    pub after: TimeSpan,
    /// The floor. It never lowers.
    pub replicas: Replicas,
}

/// Which replica counts make a difference for a number of partitions P.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema, strum::Display,
)]
#[serde(rename_all = "camelCase")]
#[strum(serialize_all = "camelCase")]
pub enum PartitionRule {
    /// Only counts at which the busiest replica's share, ceil(P / n), changes; never more than P.
    #[default]
    Ladder,
    /// Only divisors of P (KEDA's `ensureEvenDistributionOfPartitions`).
    EvenDistribution,
    /// The ladder, and never more than partitions with lag (KEDA's `limitToPartitionsWithLag`).
    LimitToPartitionsWithLag,
    /// Any count, also past P (KEDA's `allowIdleConsumers`; share groups).
    AllowIdleConsumers,
}
