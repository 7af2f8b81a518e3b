//! SHIM, to be replaced by the policy room's own: admits everything that parses.

use std::path::PathBuf;

use jiff::Timestamp;

use super::read::{Parsed, Problem};
use super::settings::Settings;
use super::{Policy, WorkloadId};

/// Where a policy comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A file.
    File {
        /// Which.
        path: PathBuf,
    },
    /// A ConfigMap.
    ConfigMap {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// The key.
        key: String,
        /// When it was created.
        created: Option<Timestamp>,
    },
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File { path } => write!(f, "{}", path.display()),
            Self::ConfigMap { namespace, name, key, .. } => write!(f, "ConfigMap {namespace}/{name} {key}"),
        }
    }
}

/// One document and where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Where.
    pub origin: Origin,
    /// What.
    pub parsed: Parsed,
}

/// A policy in force.
#[derive(Debug, Clone, PartialEq)]
pub struct Admitted {
    /// Where.
    pub origin: Origin,
    /// What.
    pub policy: Policy,
    /// An older version.
    pub last_good: bool,
}

/// A policy refused.
#[derive(Debug, Clone, PartialEq)]
pub struct Rejection {
    /// Where.
    pub origin: Origin,
    /// Whose.
    pub id: Option<WorkloadId>,
    /// Why.
    pub problems: Vec<Problem>,
}

/// All of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Admission {
    /// In force.
    pub policies: Vec<Admitted>,
    /// Refused.
    pub rejections: Vec<Rejection>,
}

/// Admits.
pub fn admit(candidates: Vec<Candidate>, _: &Settings, _: &Admission) -> Admission {
    let mut admission = Admission::default();
    for Candidate { origin, parsed } in candidates {
        match parsed.result {
            Ok(policy) => admission.policies.push(Admitted { origin, policy, last_good: false }),
            Err(problems) => admission.rejections.push(Rejection { origin, id: parsed.id, problems }),
        }
    }
    admission
}
