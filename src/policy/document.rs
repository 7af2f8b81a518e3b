//! The documents that people write, as typed YAML.

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Mode;
use super::behavior::Behavior;
use super::names::{label, subdomain};
use super::notches::SelfTuning;
use super::preset::{Knobs, Preset};
use super::rules::PartitionRule;
use super::schedule::ScheduleSpec;
use super::source::SourceSpec;
use super::target::TargetSpec;
use super::units::{Replicas, TimeSpan};

/// The version of every document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ApiVersion {
    /// The first version.
    #[serde(rename = "tidegate.dev/v1alpha1")]
    V1alpha1,
}

/// The kind of a settings document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SettingsKind {
    /// A settings document.
    Settings,
}

/// The kind of a policy document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PolicyKind {
    /// A policy document.
    ScalingPolicy,
}

/// One workload's policy, as written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[schemars(title = "ScalingPolicy")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicyDocument {
    /// The version of the document's format.
    #[garde(skip)]
    pub api_version: ApiVersion,
    /// The kind of document.
    #[garde(skip)]
    pub kind: PolicyKind,
    /// Name and namespace of the policy.
    #[garde(dive)]
    pub metadata: Metadata,
    /// What is moved, by what numbers, within which bounds.
    #[garde(dive)]
    pub spec: PolicySpec,
}

/// Name and namespace of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// Name, unique in its namespace.
    #[garde(custom(subdomain))]
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Namespace of the policy and of its target. A policy from a ConfigMap may leave it out: it is
    /// the ConfigMap's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(custom(label)))]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
}

/// What one policy asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct PolicySpec {
    /// `Recommend` or `Apply`, never above the settings' ceiling.
    #[serde(default)]
    pub mode: Mode,
    /// Hold whatever happens, and say so.
    #[serde(default)]
    pub paused: bool,
    /// What is moved.
    #[garde(dive)]
    pub target: TargetSpec,
    /// Where the numbers come from.
    #[garde(length(min = 1, max = 16), dive)]
    pub sources: Vec<SourceSpec>,
    /// What to hold: either `maxLag` or `lagPerReplica`.
    #[garde(dive)]
    pub objective: ObjectiveSpec,
    /// Which way the trade between freshness and replicas leans.
    #[serde(default)]
    pub preset: Preset,
    /// Single constants in place of the preset's.
    #[serde(default, skip_serializing_if = "Knobs::is_empty")]
    #[garde(dive)]
    pub knobs: Knobs,
    /// Whether the constants that neither the policy nor its knobs state are tuned on the workload's own history.
    #[serde(default)]
    pub tuning: SelfTuning,
    /// The fewest replicas; 0 lets an idle workload rest.
    #[serde(default = "one")]
    pub min_replicas: Replicas,
    /// The most replicas.
    #[schemars(extend("minimum" = 1))]
    pub max_replicas: Replicas,
    /// Floors by the clock: more than `minReplicas` at certain hours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[garde(length(max = 16), dive)]
    pub schedules: Vec<ScheduleSpec>,
    /// What wakes a workload that rests at 0 replicas.
    #[serde(default)]
    pub activation: Activation,
    /// How long a workload must have been idle before its last replica goes.
    #[serde(default = "five_minutes")]
    pub cooldown: TimeSpan,
    /// Damping, by HPA v2's names.
    #[serde(default)]
    #[garde(dive)]
    pub behavior: Behavior,
    /// How often the target may be moved at all.
    #[serde(default)]
    #[garde(dive)]
    pub budget: Budget,
    /// A floor for when the inputs cannot be trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(dive)]
    pub fallback: Option<FallbackSpec>,
    /// Records per second that one replica processes: a hint, until it has been measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub capacity_per_replica: Option<f64>,
    /// Which replica counts make a difference for the partitions there are.
    #[serde(default)]
    pub partitions: PartitionRule,
}

/// What to hold. Exactly one of `maxLag` and `lagPerReplica`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[garde(allow_unvalidated)]
#[schemars(extend("oneOf" = [{"required": ["maxLag"]}, {"required": ["lagPerReplica"], "not": {"required": ["catchUp"]}}]))]
pub struct ObjectiveSpec {
    /// Age of the oldest unprocessed record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_lag: Option<TimeSpan>,
    /// With `maxLag`: the time to clear a backlog in; five times `maxLag` unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub catch_up: Option<TimeSpan>,
    /// Unprocessed records per replica, as KEDA's `lagThreshold`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[garde(inner(range(min = 1)))]
    #[schemars(range(min = 1))]
    pub lag_per_replica: Option<u64>,
}

/// What wakes a workload that rests at 0 replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Activation {
    /// More unprocessed records than this.
    pub lag: u64,
}

/// How often the target may be moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Budget {
    /// The most changes within any hour: of the replicas, or of a bound. The target value of an HPA's metric
    /// does not count: it moves no replicas by itself, the HPA's own `behavior` damps what follows from it,
    /// and it is written only where the measured capacity differs from it by more than a tenth.
    #[garde(range(min = 1))]
    pub changes_per_hour: u32,
}

impl Default for Budget {
    fn default() -> Self {
        Self { changes_per_hour: 60 }
    }
}

/// A floor, never a cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FallbackSpec {
    /// How long the inputs must have been untrusted.
    #[garde(range(min = 1))]
    pub after_seconds: u32,
    /// The fewest replicas then.
    #[garde(skip)]
    pub replicas: Replicas,
}

fn one() -> Replicas {
    Replicas(1)
}

fn five_minutes() -> TimeSpan {
    TimeSpan::from_secs(300)
}
