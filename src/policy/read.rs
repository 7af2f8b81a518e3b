//! SHIM, to be replaced by the policy room's own: reads documents without any of its niceties.

use garde::Validate;
use serde::Serialize;

use super::document::PolicyDocument;
use super::settings::Settings;
use super::{Policy, TimeSpan, WorkloadId};

/// What is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem(String);

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// One document.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// Whose.
    pub id: Option<WorkloadId>,
    /// Where it starts.
    pub line: usize,
    /// What it says.
    pub result: Result<Policy, Vec<Problem>>,
}

impl Parsed {
    /// Unreadable.
    pub fn unreadable(file: &str, problem: &str) -> Self {
        Self { id: None, line: 1, result: Err(vec![Problem(format!("{file}: {problem}"))]) }
    }
}

/// Reads policies.
pub fn read_policies(file: &str, text: &str, home: Option<&str>, interval: TimeSpan) -> Vec<Parsed> {
    let parse = |text: &str| {
        let problem = |error: &dyn std::fmt::Display| vec![Problem(format!("{file}: {error}"))];
        let result = serde_saphyr::from_str::<PolicyDocument>(text)
            .map_err(|error| problem(&error))
            .and_then(|document| document.validate().map(|()| document).map_err(|error| problem(&error)))
            .map(|document| document.into_policy(home, interval));
        Parsed { id: result.as_ref().ok().map(|policy| policy.id.clone()), line: 1, result }
    };
    text.split("\n---\n").map(parse).collect()
}

/// Reads settings.
pub fn read_settings(file: &str, text: &str) -> Result<Settings, Vec<Problem>> {
    serde_saphyr::from_str(text).map_err(|error| vec![Problem(format!("{file}: {error}"))])
}
