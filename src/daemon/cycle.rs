//! One turn of one workload: observe, decide, actuate. The only file that sees source, engine and
//! actuator together.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;

use crate::actuators::{ActuateError, Actuator};
use crate::engine::observation::{Fence, Quality, TargetReading};
use crate::engine::{Change, Memory, Observation, evaluate};
use crate::policy::{Mode, Policy};
use crate::record::{Outcome, Turn};
use crate::sources::{self, Source};

/// A policy with everything that it takes to act on it.
pub struct Workload {
    /// What the operator asked.
    pub policy: Policy,
    /// The mode in force: the policy's, capped by the settings'.
    pub mode: Mode,
    /// The policy's sources, in its order.
    pub sources: Vec<Arc<dyn Source>>,
    /// The policy's target.
    pub target: Arc<dyn Actuator>,
    /// What the engine remembers.
    pub memory: Memory,
}

impl std::fmt::Debug for Workload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workload")
            .field("policy", &self.policy)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

impl Workload {
    /// Takes one turn. A source that does not answer within `patience` counts as missing; so does a
    /// target that does not within an interval.
    pub async fn turn(&mut self, now: Timestamp, patience: Duration) -> Turn {
        self.turn_while(now, patience, || true).await
    }

    /// Takes one turn, and writes nothing if, once the decision is there, its policy is not `in_force`
    /// any more: a look may take longer than it takes somebody to pause it.
    pub async fn turn_while(
        &mut self,
        now: Timestamp,
        patience: Duration,
        in_force: impl Fn() -> bool,
    ) -> Turn {
        let observation = self.observe(now, patience).await;
        let before = std::mem::take(&mut self.memory);
        let (after, decision) = evaluate(&self.policy.rules, before.clone(), &observation, now);
        self.memory = after;
        let fence = observation.target.fence.as_ref();
        let outcome = match &decision.change {
            None => Outcome::Held,
            Some(change) if self.mode == Mode::Apply && in_force() => {
                self.carry_out(change, fence, patience).await
            }
            Some(_) => Outcome::Recommended,
        };
        let tended = outcome == Outcome::Held && self.mode == Mode::Apply && !self.policy.rules.paused;
        let outcome = if tended && in_force() { self.tend(now, patience).await } else { outcome };
        let plan = match &decision.change {
            Some(change) => self.target.plan(change),
            None => self.target.advice(),
        };
        Turn {
            plan,
            rung: self.target.rung(),
            tuning: None,
            workload: self.policy.id.clone(),
            target: format!("{}/{}", self.policy.target.kind(), self.policy.target.name()),
            at: now,
            mode: self.mode,
            rules: self.policy.rules.clone(),
            memory: before,
            observation,
            decision,
            outcome,
        }
    }

    async fn observe(&self, now: Timestamp, patience: Duration) -> Observation {
        let window = self.policy.rules.window();
        let readings = self.policy.sources.iter().zip(&self.sources).map(|(spec, source)| async move {
            match tokio::time::timeout(patience, source.observe(now)).await {
                Ok(reading) => reading,
                Err(_) => sources::missing(spec, window, now, &format!("no answer within {patience:?}")),
            }
        });
        // A target may also have to wait for the API server's turn among many: an interval at most.
        let long = patience.max(self.policy.rules.interval.0);
        let target = tokio::time::timeout(long, self.target.observe(now));
        let (target, sources) = tokio::join!(target, join_all(readings));
        Observation { target: target.unwrap_or_else(|_| unread(now, long)), sources }
    }

    /// Sees what was written earlier through.
    async fn tend(&self, now: Timestamp, patience: Duration) -> Outcome {
        match tokio::time::timeout(patience, self.target.tend(now)).await {
            // Whatever is still due is due at the next turn.
            Ok(Ok(()) | Err(ActuateError::Conflict)) | Err(_) => Outcome::Held,
            Ok(Err(error)) => Outcome::Failed { problem: error.to_string() },
        }
    }

    /// Writes: the only difference between a dry and a live turn.
    async fn carry_out(&self, change: &Change, fence: Option<&Fence>, patience: Duration) -> Outcome {
        let Some(fence) = fence else {
            return Outcome::Failed {
                problem: "the target was read without a version to fence the write with".into(),
            };
        };
        let unanswered = || ActuateError::Failed {
            problem: format!(
                "the write was not answered within {patience:?}; the next turn sees what became of it"
            ),
        };
        let applied = tokio::time::timeout(patience, self.target.apply(change, fence)).await;
        match applied.unwrap_or_else(|_| Err(unanswered())) {
            Ok(()) => Outcome::Applied,
            Err(ActuateError::Conflict) => Outcome::Conflicted,
            Err(ActuateError::Deferred { problem }) => Outcome::Deferred { problem },
            Err(error @ ActuateError::Owned { .. }) => Outcome::Yielded { problem: error.to_string() },
            Err(error @ (ActuateError::Forbidden { .. } | ActuateError::Failed { .. })) => {
                Outcome::Failed { problem: error.to_string() }
            }
        }
    }
}

/// The reading of a target that did not answer.
fn unread(now: Timestamp, patience: Duration) -> TargetReading {
    TargetReading {
        sampled_at: now,
        quality: Quality::Missing,
        current: None,
        ceiling: None,
        metric_target: None,
        ready: None,
        settled: false,
        hold: None,
        problem: Some(format!("no answer within {patience:?}")),
        fence: None,
        limit: None,
        price: None,
    }
}
