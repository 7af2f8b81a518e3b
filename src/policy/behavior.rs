//! Damping as HPA v2 names it (`behavior`), with Tidegate's defaults.

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How fast the target may move, per direction.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Behavior {
    /// Rules for more replicas.
    #[garde(dive)]
    pub scale_up: ScalingRules,
    /// Rules for fewer replicas.
    #[garde(dive)]
    pub scale_down: ScalingRules,
}

/// Rules for one direction.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ScalingRules {
    /// How far back recommendations count: down takes their highest, up their lowest.
    /// Unset: 0 for up; for down 300 where the objective is `lagPerReplica`, and where it is `maxLag` no
    /// fixed time: as long as it takes until a move has been worth what it costs on this workload.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[garde(inner(range(max = 3600)))]
    #[schemars(range(max = 3600))]
    pub stabilization_window_seconds: Option<u32>,
    /// Step limits. Unset: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[garde(dive)]
    pub policies: Vec<StepPolicy>,
    /// Which of several step limits counts.
    #[garde(skip)]
    pub select_policy: SelectPolicy,
    /// The relative change that is too small to act on. Unset: 0.1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[garde(inner(range(min = 0.0, max = 1.0)))]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub tolerance: Option<f64>,
}

/// One step limit: at most so much change within so many seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StepPolicy {
    /// What `value` counts.
    #[serde(rename = "type")]
    #[garde(skip)]
    pub kind: StepKind,
    /// The most that may change.
    #[garde(range(min = 1))]
    pub value: u32,
    /// The period that the limit holds for.
    #[garde(range(min = 1, max = 1800))]
    pub period_seconds: u32,
}

/// The unit of a step limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StepKind {
    /// Replicas.
    Pods,
    /// Percent of the replicas at the start of the period.
    Percent,
}

/// Which of several step limits counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum SelectPolicy {
    /// The one that allows most.
    #[default]
    Max,
    /// The one that allows least.
    Min,
    /// This direction is switched off.
    Disabled,
}
