//! What is worth what: freshness, replicas, and the trouble of a move.

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::units::TimeSpan;

/// Which way the trade between freshness and replicas leans. It chooses every constant that the objective in seconds
/// is held by; [`Knobs`] change single ones.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::Display,
    strum::EnumIter,
)]
#[serde(rename_all = "camelCase")]
#[strum(serialize_all = "camelCase")]
pub enum Preset {
    /// Late less often, for more replica-hours.
    Latency,
    /// What a minute over the objective costs is about a replica-hour.
    #[default]
    Balanced,
    /// Fewer replica-hours, and late more often.
    Cost,
}

/// Single constants in place of the preset's.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[garde(allow_unvalidated)]
pub struct Knobs {
    /// Percent of a replica's capacity that sizes are chosen for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[garde(inner(range(min = 10, max = 100)))]
    #[schemars(range(min = 10, max = 100))]
    pub target_utilization: Option<u32>,
    /// Percent of `maxLag` that the oldest record may be expected to use up before more replicas are asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[garde(inner(range(min = 10, max = 100)))]
    #[schemars(range(min = 10, max = 100))]
    pub usable_lag: Option<u32>,
    /// What one move is worth avoiding, in place of what has been measured: as long as one replica could run for
    /// it (`10m` is a replica for ten minutes, or ten for one).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rescale_cost: Option<TimeSpan>,
    /// How often a move down must be expected to pay for itself, and for the move up that follows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[garde(inner(range(min = 0.0, max = 100.0)))]
    #[schemars(range(min = 0.0, max = 100.0))]
    pub payback: Option<f64>,
}

impl Knobs {
    /// None is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
