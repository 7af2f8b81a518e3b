//! What the operator asked: documents, their errors, and the validated types that the rest works with.
//!
//! A [`document`] is what people write; [`Policy`] and [`settings::Settings`] are what is left once it
//! has been checked. Nothing in this room reads files, the network or the clock.

pub mod admit;
pub mod behavior;
mod check;
pub mod document;
mod form;
pub(crate) mod hints;
mod names;
pub mod notches;
pub mod preset;
pub mod problem;
pub mod read;
pub mod rules;
pub mod schedule;
pub mod schema;
mod secrets;
pub mod settings;
mod shape;
pub mod source;
pub mod target;
pub(crate) mod tree;
pub mod units;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use rules::{Objective, Rules};
pub use units::{Replicas, TimeSpan};

/// Whether decisions are carried out.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Default,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::Display,
)]
pub enum Mode {
    /// Decide and say so; write nothing.
    #[default]
    Recommend,
    /// Decide and write.
    Apply,
}

/// A workload's name: the namespace and name of its policy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WorkloadId {
    /// The policy's namespace, which is the target's too.
    pub namespace: String,
    /// The policy's name.
    pub name: String,
}

impl fmt::Display for WorkloadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A checked policy: one workload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// Whose policy.
    pub id: WorkloadId,
    /// What the policy asks for; the settings' ceiling still applies.
    pub mode: Mode,
    /// What is moved.
    pub target: target::TargetSpec,
    /// Where the numbers come from.
    pub sources: Vec<source::SourceSpec>,
    /// What the engine decides by.
    pub rules: Rules,
}

impl Policy {
    /// The mode in force where none may exceed `ceiling`.
    pub fn mode_within(&self, ceiling: Mode) -> Mode {
        if self.target.is_advisory() { Mode::Recommend } else { self.mode.min(ceiling) }
    }
}
