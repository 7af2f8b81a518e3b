//! One turn goes to everybody who wants to know of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tracing::{debug, info, warn};

use super::board::{Board, ConnectionStatus, PolicyReport};
use super::events::Events;
use super::journal::Journal;
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
    journal: Option<Journal>,
    events: Option<Events>,
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
        Self { board, metrics, journal: None, events: None, said: Mutex::default() }
    }

    /// Writes every turn down, too.
    #[must_use]
    pub fn with_journal(self, journal: Option<Journal>) -> Self {
        Self { journal, ..self }
    }

    /// Tells Kubernetes of every change, too.
    #[must_use]
    pub fn with_events(self, events: Option<Events>) -> Self {
        Self { events, ..self }
    }

    /// Records one turn. A workload whose policy is gone is not brought back.
    pub fn record(&self, turn: &Turn) {
        if !self.board.knows(&turn.workload) {
            return;
        }
        let turn = Arc::new(turn.clone());
        self.log(&turn);
        self.metrics.record(&turn);
        if let Some(events) = &self.events {
            events.record(&turn);
        }
        if let Some(journal) = &self.journal {
            journal.record(Arc::clone(&turn));
        }
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

    /// Tells Kubernetes of the policies that are refused now and were not before.
    pub fn refusals(&self, now: Timestamp) {
        if let Some(events) = &self.events {
            events.refused(&self.board.policies().rejected, now);
        }
    }

    /// Notes how the connections fare.
    pub fn connections(&self, connections: Vec<ConnectionStatus>) {
        self.metrics.connections(&connections);
        self.board.set_connections(connections);
    }

    /// Takes no more for the journal, and waits until what was taken is written or `patience` is over. Blocks: the last
    /// act of a daemon, on a thread that may.
    pub fn close(&self, patience: Duration) {
        if self.journal.as_ref().is_some_and(|journal| !journal.close(patience)) {
            warn!("the journal's last lines could not be written in time");
        }
    }

    /// Takes no more Kubernetes Events, and waits until those that were taken are created or `patience`
    /// is over.
    pub async fn close_events(&self, patience: Duration) {
        let Some(events) = &self.events else { return };
        match events.close(patience).await {
            0 => {}
            left => warn!(left, "the last Kubernetes Events could not be written in time"),
        }
    }

    fn forget(&self, id: &WorkloadId) {
        self.metrics.forget(id);
        if let Some(journal) = &self.journal {
            journal.forget(id);
        }
        if let Some(events) = &self.events {
            events.forget(id);
        }
        self.said.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// One line per change of (outcome, reason), and per move; every other turn at debug.
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
        if before != Some(said) || turn.outcome == Outcome::Applied { line!(info) } else { line!(debug) }
    }
}

impl Outcome {
    /// What went wrong, in words.
    pub fn problem(&self) -> Option<&str> {
        match self {
            Self::Held | Self::Recommended | Self::Applied | Self::Conflicted => None,
            Self::Yielded { problem } | Self::Deferred { problem } | Self::Failed { problem } => {
                Some(problem)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;
    use crate::record::samples;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Lines {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn a_line_at_info_for_a_change_or_a_move_only() {
        let lines = Lines::default();
        let subscriber = tracing_subscriber::fmt().json().without_time().with_writer(lines.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            let recorder = Recorder::new(Board::new(Timestamp::UNIX_EPOCH), Metrics::new());
            let mut turn = samples::turn("orders");
            recorder.record(&turn);
            recorder.record(&turn);
            turn.outcome = Outcome::Failed { problem: "not allowed".to_owned() };
            recorder.record(&turn);
            recorder.record(&turn);
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let fields: Vec<_> = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["fields"].take())
            .collect();
        let outcomes: Vec<_> = fields.iter().map(|fields| fields["outcome"].as_str().unwrap()).collect();
        assert_eq!(outcomes, ["Applied", "Applied", "Failed"]);
        let expected = serde_json::json!({
            "message": "Raise 2 to 4: 600 records/s arrive, 2 replicas process 400.",
            "workload": "shop/orders", "target": "Deployment/orders", "outcome": "Failed",
            "reason": "LoadNeedsMore", "verdict": "raise", "current": 2, "desired": 4,
            "problem": "not allowed",
        });
        assert_eq!(fields[2], expected);
    }
}
