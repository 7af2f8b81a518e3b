//! What is known right now: the latest turn of every workload, the policies, the connections. The web
//! room reads it; the loop writes it. No lock is ever held over an await.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Turn;
use crate::policy::{Mode, WorkloadId};

/// A cheap handle on what is known right now.
#[derive(Debug, Clone)]
pub struct Board {
    started: Timestamp,
    state: Arc<RwLock<State>>,
}

#[derive(Debug, Default)]
struct State {
    turns: BTreeMap<WorkloadId, Arc<Turn>>,
    policies: Option<Arc<PolicyReport>>,
    connections: Arc<[ConnectionStatus]>,
    memory_loaded: bool,
    was_ready: bool,
}

/// Which policies are in force, and which were refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyReport {
    /// In force.
    pub accepted: Vec<AcceptedPolicy>,
    /// Refused, each with all its problems.
    pub rejected: Vec<RejectedPolicy>,
}

/// A policy in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AcceptedPolicy {
    /// Whose.
    #[serde(flatten)]
    pub id: WorkloadId,
    /// Where it comes from: a path, or `configmap/NAMESPACE/NAME/KEY`.
    pub origin: String,
    /// The target's kind and name: `Deployment/orders`.
    pub target: String,
    /// The mode in force: the policy's, capped by the settings'.
    pub mode: Mode,
    /// Its origin now holds a version that was refused: this is the last good one.
    pub last_good: bool,
}

/// A policy that was refused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RejectedPolicy {
    /// Where it comes from: a path, or `configmap/NAMESPACE/NAME/KEY`.
    pub origin: String,
    /// Whose, where it could be told.
    pub id: Option<WorkloadId>,
    /// What is wrong with it.
    pub problems: Vec<String>,
}

/// How a connection of the settings fares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionStatus {
    /// `kafka` or `prometheus`.
    pub kind: String,
    /// Its name in the settings.
    pub name: String,
    /// Whether the last call succeeded; `None` before the first.
    pub healthy: Option<bool>,
    /// Cause and cure, where it did not.
    pub problem: Option<String>,
}

/// Whether the daemon does its work yet, and what is missing where it does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Readiness {
    /// Nothing is missing, or nothing was at some time since the start.
    pub ready: bool,
    /// What is waited for, in words.
    pub missing: Vec<String>,
}

impl Board {
    /// An empty board of a daemon that started at `started`.
    pub fn new(started: Timestamp) -> Self {
        Self { started, state: Arc::default() }
    }

    /// When the daemon started.
    pub fn started(&self) -> Timestamp {
        self.started
    }

    /// Puts up a workload's latest turn.
    pub fn record(&self, turn: Arc<Turn>) {
        self.write().turns.insert(turn.workload.clone(), turn);
    }

    /// Puts up the policies and takes down the turns of workloads that have none any more.
    pub fn set_policies(&self, report: Arc<PolicyReport>) {
        let kept: BTreeSet<_> = report.accepted.iter().map(|policy| policy.id.clone()).collect();
        let mut state = self.write();
        state.turns.retain(|id, _| kept.contains(id));
        state.policies = Some(report);
    }

    /// Puts up how the connections fare.
    pub fn set_connections(&self, connections: impl Into<Arc<[ConnectionStatus]>>) {
        self.write().connections = connections.into();
    }

    /// Notes that the memory of earlier runs was read, or that there is none to read.
    pub fn set_memory_loaded(&self) {
        self.write().memory_loaded = true;
    }

    /// The latest turn of every workload, by name.
    pub fn turns(&self) -> Vec<Arc<Turn>> {
        self.read().turns.values().cloned().collect()
    }

    /// One workload's latest turn.
    pub fn turn(&self, id: &WorkloadId) -> Option<Arc<Turn>> {
        self.read().turns.get(id).cloned()
    }

    /// The policies; empty before the first look at them.
    pub fn policies(&self) -> Arc<PolicyReport> {
        self.read().policies.clone().unwrap_or_default()
    }

    /// Whether a policy for this workload is in force, as far as is known: a turn that was under way
    /// when its policy went must not bring the workload back.
    pub fn knows(&self, id: &WorkloadId) -> bool {
        match &self.read().policies {
            Some(report) => report.accepted.iter().any(|policy| policy.id == *id),
            None => true,
        }
    }

    /// How the connections fare.
    pub fn connections(&self) -> Arc<[ConnectionStatus]> {
        Arc::clone(&self.read().connections)
    }

    /// Whether the daemon does its work. Once it did it stays ready: a policy that arrives later, or a
    /// server that goes, must not take the daemon out of service.
    pub fn readiness(&self) -> Readiness {
        let mut state = self.write();
        let missing = state.missing();
        state.was_ready |= missing.is_empty();
        Readiness { ready: state.was_ready, missing }
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        if !self.memory_loaded {
            missing.push("the memory of earlier runs has not been read yet".to_owned());
        }
        let Some(policies) = &self.policies else {
            missing.push("the policies have not been read yet".to_owned());
            return missing;
        };
        let waiting = policies.accepted.iter().filter(|policy| !self.turns.contains_key(&policy.id));
        missing.extend(waiting.map(|policy| format!("no turn of {} yet", policy.id)));
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::samples;

    fn accepted(name: &str) -> AcceptedPolicy {
        AcceptedPolicy {
            id: WorkloadId { namespace: "shop".into(), name: name.into() },
            origin: "policies.yaml".into(),
            target: format!("Deployment/{name}"),
            mode: Mode::Recommend,
            last_good: false,
        }
    }

    fn report(names: &[&str]) -> Arc<PolicyReport> {
        Arc::new(PolicyReport {
            accepted: names.iter().map(|name| accepted(name)).collect(),
            rejected: Vec::new(),
        })
    }

    #[test]
    fn says_what_is_missing_until_it_is_not_and_then_stays_ready() {
        let board = Board::new(Timestamp::UNIX_EPOCH);
        assert_eq!(
            board.readiness().missing,
            ["the memory of earlier runs has not been read yet", "the policies have not been read yet"]
        );
        board.set_memory_loaded();
        board.set_policies(report(&["orders"]));
        assert_eq!(
            board.readiness(),
            Readiness { ready: false, missing: vec!["no turn of shop/orders yet".into()] }
        );
        board.record(Arc::new(samples::turn("orders")));
        assert_eq!(board.readiness(), Readiness { ready: true, missing: vec![] });

        board.set_policies(report(&["orders", "billing"]));
        let later = board.readiness();
        assert!(later.ready);
        assert_eq!(later.missing, ["no turn of shop/billing yet"]);
    }

    #[test]
    fn forgets_a_workload_with_its_policy() {
        let board = Board::new(Timestamp::UNIX_EPOCH);
        board.record(Arc::new(samples::turn("orders")));
        board.record(Arc::new(samples::turn("billing")));
        board.set_policies(report(&["billing"]));
        let names: Vec<_> = board.turns().iter().map(|turn| turn.workload.name.clone()).collect();
        assert_eq!(names, ["billing"]);
        assert!(!board.knows(&accepted("orders").id));
        assert!(board.knows(&accepted("billing").id));
    }
}
