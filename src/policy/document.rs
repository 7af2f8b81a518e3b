//! The documents that people write, as typed YAML.

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::behavior::Behavior;
use super::rules::{Fallback, Objective, PartitionRule, Rules};
use super::source::SourceSpec;
use super::target::TargetSpec;
use super::units::{Replicas, TimeSpan};
use super::{Mode, Policy, WorkloadId};

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
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicyDocument {
    /// Always `tidegate.dev/v1alpha1`.
    #[garde(skip)]
    pub api_version: ApiVersion,
    /// Always `ScalingPolicy`.
    #[garde(skip)]
    pub kind: PolicyKind,
    /// The policy's name.
    #[garde(dive)]
    pub metadata: Metadata,
    /// What to do.
    #[garde(dive)]
    pub spec: PolicySpec,
}

/// A policy's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// Name, unique in its namespace.
    #[garde(length(min = 1, max = 253))]
    pub name: String,
    /// Namespace of the policy and of its target. A policy from a ConfigMap may leave it out: it is
    /// the ConfigMap's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(length(min = 1, max = 63)))]
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
    #[garde(length(min = 1), dive)]
    pub sources: Vec<SourceSpec>,
    /// What to hold: either `maxLag` or `lagPerReplica`.
    #[garde(dive, custom(one_objective))]
    pub objective: ObjectiveSpec,
    /// The fewest replicas; 0 lets an idle workload rest.
    #[serde(default = "one")]
    pub min_replicas: Replicas,
    /// The most replicas.
    #[garde(custom(at_least_one))]
    pub max_replicas: Replicas,
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
    #[garde(inner(custom(positive)))]
    pub capacity_per_replica: Option<f64>,
    /// Which replica counts make a difference for the partitions there are.
    #[serde(default)]
    pub partitions: PartitionRule,
}

/// What to hold. Exactly one of `maxLag` and `lagPerReplica`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[garde(allow_unvalidated)]
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
    /// The most changes within any hour.
    #[garde(range(min = 1))]
    pub changes_per_hour: u32,
}

impl Default for Budget {
    fn default() -> Self {
        Self { changes_per_hour: 12 }
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

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is garde's")]
fn at_least_one(replicas: &Replicas, _: &()) -> garde::Result {
    if replicas.0 == 0 { Err(garde::Error::new("expected at least 1")) } else { Ok(()) }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is garde's")]
fn positive(value: &f64, _: &()) -> garde::Result {
    if value.is_finite() && *value > 0.0 {
        Ok(())
    } else {
        Err(garde::Error::new("expected a number above 0"))
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is garde's")]
fn one_objective(objective: &ObjectiveSpec, _: &()) -> garde::Result {
    match (objective.max_lag, objective.lag_per_replica) {
        (Some(_), Some(_)) => Err(garde::Error::new("expected maxLag or lagPerReplica, not both")),
        (None, None) => Err(garde::Error::new("expected maxLag (a duration) or lagPerReplica (records)")),
        (Some(lag), None) if lag.0.is_zero() => Err(garde::Error::new("maxLag must be above 0s")),
        (None, Some(_)) if objective.catch_up.is_some() => {
            Err(garde::Error::new("catchUp goes with maxLag, not with lagPerReplica"))
        }
        _ => Ok(()),
    }
}

impl PolicyDocument {
    /// The checked policy. `home` is the namespace where the document was found, if any; `interval`
    /// is the settings'. Only call with a document that [`Validate`] has passed.
    pub fn into_policy(self, home: Option<&str>, interval: TimeSpan) -> Policy {
        let Self { api_version: ApiVersion::V1alpha1, kind: PolicyKind::ScalingPolicy, metadata, spec } =
            self;
        let namespace = metadata.namespace.or_else(|| home.map(str::to_owned));
        let PolicySpec {
            mode,
            paused,
            target,
            sources,
            objective,
            min_replicas,
            max_replicas,
            activation,
            cooldown,
            behavior,
            budget,
            fallback,
            capacity_per_replica,
            partitions,
        } = spec;
        let metric_target = target.metric_target();
        Policy {
            id: WorkloadId {
                namespace: namespace.unwrap_or_else(|| "default".to_owned()),
                name: metadata.name,
            },
            mode,
            target,
            sources,
            rules: Rules {
                objective: objective.into_objective(),
                min_replicas,
                max_replicas,
                activation_lag: activation.lag,
                cooldown,
                behavior,
                changes_per_hour: budget.changes_per_hour,
                fallback: fallback.map(|floor| Fallback {
                    after: TimeSpan::from_secs(floor.after_seconds.into()),
                    replicas: floor.replicas,
                }),
                capacity_per_replica,
                partitions,
                interval,
                paused,
                metric_target,
            },
        }
    }
}

impl ObjectiveSpec {
    fn into_objective(self) -> Objective {
        match (self.max_lag, self.lag_per_replica) {
            (Some(max_lag), _) => Objective::MaxLag {
                max_lag,
                catch_up: self.catch_up.unwrap_or(TimeSpan(max_lag.0.saturating_mul(5))),
            },
            (None, records) => Objective::LagPerReplica { records: records.unwrap_or(1) },
        }
    }
}
