//! What became of a move up: whether the job, or its checkpoints, fail again and again since, which more parallelism can
//! bring about (network buffers, memory, too many writers). Pure.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use crate::engine::observation::{LimitCause, TargetLimit};
use crate::flink::{Counts, Phase, Requirements, Sight};
use crate::policy::Replicas;

/// Milliseconds over which attempts must go on failing at the new parallelism. A lost TaskManager is noticed after 50 s
/// unless told otherwise (`heartbeat.timeout`); until then attempt after attempt may be made with its slots.
const SPAN: i64 = 60_000;
/// Checkpoints that must have failed meanwhile, and none been completed, where the job itself goes on.
const FAILED_CHECKPOINTS: u64 = 3;
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
    /// Whether its checkpoints came as they should before.
    sound: bool,
    /// Since when none was completed with what it was given, and how many there had been.
    without: Option<(i64, Counts)>,
    /// They fail one after the other.
    stuck: bool,
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
            sound: sight.checkpoints_are_sound(),
            without: None,
            stuck: false,
        })
    }

    /// Takes in a look. `false` once it is over.
    pub(super) fn goes_on(&mut self, sight: &Sight) -> bool {
        if sight.reached() {
            self.failures.extend(sight.failed_at().filter(|at| *at > self.since));
            self.watch_checkpoints(sight);
        }
        let same = sight.jid() == self.jid;
        same && (self.verdict().is_some() || sight.at.duration_since(self.at) < WATCHED)
    }

    /// One that is completed, or a count that begins anew, begins the watch anew.
    fn watch_checkpoints(&mut self, sight: &Sight) {
        let counts = sight.checkpoint_counts().filter(|_| sight.phase() == Phase::Running);
        let Some(counts) = counts.filter(|_| self.sound) else { return };
        match self.without {
            Some((since, before))
                if counts.completed == before.completed && counts.failed >= before.failed =>
            {
                let failed = counts.failed - before.failed;
                self.stuck = failed >= FAILED_CHECKPOINTS && sight.now() - since >= SPAN;
            }
            Some(_) | None => (self.without, self.stuck) = (Some((sight.now(), counts)), false),
        }
    }

    /// Why the job is better off with what it had.
    pub(super) fn verdict(&self) -> Option<&'static str> {
        let span = self.failures.last().zip(self.failures.first());
        if span.is_some_and(|(last, first)| last - first >= SPAN) {
            return Some("it failed again and again");
        }
        self.stuck.then_some("its checkpoints failed one after the other")
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
