//! One turn goes to everybody who wants to know of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::{debug, info};

use super::board::{Board, ConnectionStatus, PolicyReport};
use super::metrics::Metrics;
use super::{Outcome, Turn};
use crate::engine::Reason;
use crate::policy::WorkloadId;

/// Hands every turn to the board, the metrics, the log, the journal and the Kubernetes Events, and
/// never waits for any of them.
#[derive(Debug)]
pub struct Recorder {
    board: Board,
    metrics: Metrics,
    said: Mutex<BTreeMap<WorkloadId, Said>>,
}

/// What was last said of a workload: only a change of it is worth a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Said {
    outcome: &'static str,
    reason: Reason,
}

impl Recorder {
    /// A recorder with board and metrics only.
    pub fn new(board: Board, metrics: Metrics) -> Self {
        Self { board, metrics, said: Mutex::default() }
    }

    /// Records one turn. A workload whose policy is gone is not brought back.
    pub fn record(&self, turn: &Turn) {
        if !self.board.knows(&turn.workload) {
            return;
        }
        let turn = Arc::new(turn.clone());
        self.log(&turn);
        self.metrics.record(&turn);
        self.board.record(turn);
    }

    /// Notes which policies are in force, and forgets the workloads of those that are gone.
    pub fn policies(&self, report: PolicyReport) {
        let before = self.board.policies();
        self.metrics.policies(&report);
        self.board.set_policies(Arc::new(report));
        for gone in before.accepted.iter().filter(|policy| !self.board.knows(&policy.id)) {
            self.forget(&gone.id);
        }
    }

    /// Notes how the connections fare.
    pub fn connections(&self, connections: Vec<ConnectionStatus>) {
        self.metrics.connections(&connections);
        self.board.set_connections(connections);
    }

    fn forget(&self, id: &WorkloadId) {
        self.metrics.forget(id);
        self.said.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// One line per change of (outcome, reason); every turn at debug.
    fn log(&self, turn: &Turn) {
        let decision = &turn.decision;
        let said = Said { outcome: (&turn.outcome).into(), reason: decision.reason };
        let before =
            self.said.lock().unwrap_or_else(PoisonError::into_inner).insert(turn.workload.clone(), said);
        macro_rules! line {
            ($level:ident) => {
                $level!(
                    workload = %turn.workload,
                    target = turn.target,
                    outcome = said.outcome,
                    reason = %said.reason,
                    verdict = %decision.verdict,
                    current = decision.current.map(|replicas| replicas.0),
                    desired = decision.desired.map(|replicas| replicas.0),
                    problem = turn.outcome.problem(),
                    "{}",
                    decision.sentence
                )
            };
        }
        if before == Some(said) { line!(debug) } else { line!(info) }
    }
}

impl Outcome {
    /// What went wrong, in words.
    pub fn problem(&self) -> Option<&str> {
        match self {
            Self::Held | Self::Recommended | Self::Applied | Self::Conflicted => None,
            Self::Yielded { problem } | Self::Failed { problem } => Some(problem),
        }
    }
}
