//! What we say about it: every turn of every workload.

pub mod board;
mod error;
pub mod events;
pub mod journal;
pub mod memory_store;
pub mod metrics;
mod recorder;
pub mod report;
#[cfg(test)]
pub(crate) mod samples;

pub use error::RecordError;
pub use recorder::Recorder;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::engine::{Decision, Memory, Observation};
use crate::policy::{Mode, Rules, WorkloadId};
use crate::tune::tuner::Report;

/// One turn of one workload, complete: enough to evaluate it again, bit for bit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Turn {
    /// Whose turn.
    pub workload: WorkloadId,
    /// The target's kind and name, for people: `Deployment/orders`.
    pub target: String,
    /// When.
    pub at: Timestamp,
    /// The mode in force: the policy's, capped by the settings'.
    pub mode: Mode,
    /// What it was decided by.
    pub rules: Rules,
    /// What was remembered before.
    pub memory: Memory,
    /// What was seen.
    pub observation: Observation,
    /// What was decided.
    pub decision: Decision,
    /// What became of it.
    pub outcome: Outcome,
    /// What exactly is to be written, and when that takes effect, where it is not plain from the decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// By which means the target is moved, and why by no better ones, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rung: Option<String>,
    /// What self-tuning has come to, where the policy asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tuning: Option<Report>,
}

/// What became of a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, strum::Display, strum::IntoStaticStr)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Outcome {
    /// There was nothing to write.
    Held,
    /// Something would have been written, were the mode `Apply`.
    Recommended,
    /// It was written.
    Applied,
    /// The target had changed in between; the next turn looks again.
    Conflicted,
    /// Somebody else owns the field.
    Yielded {
        /// Who owns what.
        problem: String,
    },
    /// It was not the time for it.
    Deferred {
        /// What is waited for.
        problem: String,
    },
    /// It could not be written.
    Failed {
        /// Why.
        problem: String,
    },
}
