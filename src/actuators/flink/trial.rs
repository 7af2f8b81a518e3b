//! What became of a move up: whether the job fails again and again since, which more parallelism can bring about (network
//! buffers, memory). Pure.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use crate::engine::observation::{LimitCause, TargetLimit};
use crate::flink::{Requirements, Sight};
use crate::policy::Replicas;

/// Milliseconds over which attempts must go on failing at the new parallelism. A lost TaskManager is noticed after 50 s
/// unless told otherwise (`heartbeat.timeout`); until then attempt after attempt may be made with its slots.
const SPAN: i64 = 60_000;
/// For how long failures are put down to a move.
const WATCHED: SignedDuration = SignedDuration::from_mins(10);
/// For how long a parallelism at which the job failed is not asked for again.
const QUARANTINED: SignedDuration = SignedDuration::from_hours(1);

/// A move up whose consequences are watched.
#[derive(Debug)]
pub(super) struct Trial {
    jid: String,
    parallelism: Replicas,
    /// What the job had, and worked with.
    pub(super) before: Requirements,
    /// When it began, by our clock and by the JobManager's.
    at: Timestamp,
    since: i64,
    /// When the job failed with what it was given, by the JobManager's clock.
    failures: BTreeSet<i64>,
}

impl Trial {
    /// `None` for a move down, which makes nothing scarce.
    pub(super) fn of(sight: &Sight, parallelism: Replicas, current: Option<Replicas>) -> Option<Self> {
        current.filter(|current| *current < parallelism)?;
        Some(Self {
            jid: sight.jid().to_owned(),
            parallelism,
            before: sight.requirements_in_force()?.clone(),
            at: sight.at,
            since: sight.now(),
            failures: BTreeSet::new(),
        })
    }

    /// Takes in a look. `false` once it is over.
    pub(super) fn goes_on(&mut self, sight: &Sight) -> bool {
        if sight.reached() {
            self.failures.extend(sight.failed_at().filter(|at| *at > self.since));
        }
        let same = sight.jid() == self.jid;
        same && (self.has_failed() || sight.at.duration_since(self.at) < WATCHED)
    }

    /// Whether the job is better off with what it had.
    pub(super) fn has_failed(&self) -> bool {
        let span = self.failures.last().zip(self.failures.first());
        span.is_some_and(|(last, first)| last - first >= SPAN)
    }

    pub(super) fn quarantine(&self, now: Timestamp) -> Option<Quarantine> {
        Some(Quarantine { parallelism: self.parallelism, until: now.checked_add(QUARANTINED).ok()? })
    }
}

/// A parallelism that is not asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quarantine {
    pub(super) parallelism: Replicas,
    until: Timestamp,
}

impl Quarantine {
    /// What may be asked for meanwhile.
    pub(super) fn limit(self, now: Timestamp) -> Option<TargetLimit> {
        let most = Replicas(self.parallelism.0.saturating_sub(1).max(1));
        (now < self.until).then_some(TargetLimit { most, cause: LimitCause::Quarantine })
    }
}
