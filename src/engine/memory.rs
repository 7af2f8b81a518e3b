//! What the engine remembers of a workload between calls.

use serde::{Deserialize, Serialize};

/// Damping state and learnt figures of one workload. Written out and read back it changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Memory {}
