//! What the engine answers: a number, the binding reason, and the whole trail of how it came about.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::reason::Reason;
use super::schedule::Scheduled;
use crate::policy::units::Replicas;

/// What to do about one workload, now, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// When it was made.
    pub at: Timestamp,
    /// The replicas asked for at that time; `None` where the target could not be read.
    pub current: Option<Replicas>,
    /// The replicas to ask for. Equals `current` when held; `None` only with `current`.
    pub desired: Option<Replicas>,
    /// What the load may need within the reaction time: the upper bound of targets that have one.
    /// Within the policy's hard bounds and never under `desired`.
    pub ceiling: Option<Replicas>,
    /// Which way `desired` lies from `current`.
    pub verdict: Verdict,
    /// What to write; `None` where the target already is as it should be, or must be left alone.
    pub change: Option<Change>,
    /// The reason that bound the result: the trail's last word.
    pub reason: Reason,
    /// Every stage that had something to say, in order.
    pub trail: Vec<Step>,
    /// What was believed when deciding.
    pub estimate: Estimate,
    /// What the policy's schedules say; `None` where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Scheduled>,
    /// The decision in one sentence, with the binding term.
    pub sentence: String,
    /// What would flip it, and when it is looked at next.
    pub counterfactual: String,
}

/// The whole of what an actuator writes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// The replicas to ask for, or the lower bound where the target is a bound.
    pub replicas: Replicas,
    /// The upper bound, where the target has one.
    pub ceiling: Option<Replicas>,
    /// The target value of the metric that the policy names.
    pub metric_target: Option<f64>,
}

/// Which way a decision goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display, strum::IntoStaticStr)]
#[serde(rename_all = "camelCase")]
#[strum(serialize_all = "camelCase")]
pub enum Verdict {
    /// Nothing changes.
    Hold,
    /// More replicas.
    Raise,
    /// Fewer replicas.
    Lower,
}

/// One stage's word.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// Which stage.
    pub stage: Stage,
    /// The replicas before it.
    pub from: Option<Replicas>,
    /// The replicas after it; equal to `from` where it only had something to say.
    pub to: Option<Replicas>,
    /// Why.
    pub reason: Reason,
    /// Why, with the figures.
    pub detail: String,
}

/// The stages of a decision, in order.
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
    strum::Display,
    strum::IntoStaticStr,
    strum::EnumIter,
)]
#[serde(rename_all = "camelCase")]
#[strum(serialize_all = "camelCase")]
pub enum Stage {
    /// Whether the inputs can be trusted.
    Trust,
    /// Rate, backlog, capacity.
    Estimate,
    /// The rate to be ready for.
    Anticipate,
    /// The replicas needed.
    Size,
    /// Whether more are needed now.
    Up,
    /// Whether fewer may be had now.
    Down,
    /// What the dampers leave of it.
    Damp,
}

/// What was believed when deciding. `None` is unknown, never zero.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Estimate {
    /// Records per second that arrive.
    pub arrival_rate: Option<f64>,
    /// Records per second to be ready for.
    pub anticipated_rate: Option<f64>,
    /// Records not processed yet.
    pub backlog: Option<u64>,
    /// Age of the oldest unprocessed record, in seconds.
    pub backlog_age_seconds: Option<f64>,
    /// Whether the oldest unprocessed record is older than the objective allows. `None` where that is not known
    /// of every record, and where the objective is in records.
    pub overdue: Option<bool>,
    /// Records per second that one replica processes.
    pub capacity_per_replica: Option<f64>,
    /// Where the capacity comes from.
    pub capacity_basis: CapacityBasis,
    /// Seconds that a move up costs until its capacity is there.
    pub raise_seconds: Option<f64>,
    /// Seconds that a move down stops processing.
    pub lower_seconds: Option<f64>,
    /// Partitions of all topics.
    pub partitions: Option<u32>,
    /// The busiest partition's share of the arrivals, 0 to 1.
    pub busiest_share: Option<f64>,
    /// What sizing asked for, before any bound or damper.
    pub need: Option<Replicas>,
}

/// Where the capacity comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "camelCase")]
#[strum(serialize_all = "camelCase")]
pub enum CapacityBasis {
    /// Nothing is known.
    #[default]
    Unknown,
    /// The policy's `capacityPerReplica`.
    Hint,
    /// What the group really processed while it was lagging.
    Measured,
}
