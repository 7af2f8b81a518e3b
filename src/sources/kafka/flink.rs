//! A look at a group whose consumer is a Flink job.
//!
//! Flink's source assigns partitions to itself, so that the group never has members: what the consumers are doing is
//! what the job is doing. And it commits only with its checkpoints: a committed offset is where the job stood at the
//! last one. What the source says of its own position goes before it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::reading::{Commit, Look};
use crate::engine::observation::GroupState;
use crate::flink::{FlinkError, Phase, Sight};

/// A position may be so old: a JobManager asks its tasks every ten seconds unless told otherwise.
const OLDEST: Duration = Duration::from_secs(30);

/// Takes into a look what the job says.
pub(super) fn amend(look: &mut Look, job: &Result<Arc<Sight>, FlinkError>) {
    look.group = match job {
        Err(FlinkError::NoSuchJob(_)) => GroupState::Empty,
        Err(error) => {
            look.problems.push(format!("flink: {error}"));
            GroupState::Unknown
        }
        Ok(sight) => match sight.phase() {
            Phase::Running => GroupState::Stable,
            Phase::Passing(_) => GroupState::Rebalancing,
            Phase::Ending(_) => GroupState::Empty,
        },
    };
    let Ok(sight) = job else { return };
    if sight.phase() != Phase::Running {
        return; // From where the last checkpoint says it goes on.
    }
    if !sight.has_positions() {
        look.as_of =
            sight.uncommitted_seconds().and_then(|seconds| ago(look.at, Duration::from_secs_f64(seconds)));
        return;
    }
    look.as_of = ago(look.at, OLDEST).map(|oldest| sight.fresh_at.max(oldest)).filter(|at| *at < look.at);
    for ((topic, partition), raw) in &mut look.partitions {
        let Some(position) = sight.position(topic, *partition) else { continue };
        let committed = if let Commit::At(committed) = raw.commit { committed } else { 0 };
        let position = position.max(committed);
        raw.commit = Commit::At(raw.end.map_or(position, |end| position.min(end.max(committed))));
    }
}

fn ago(at: Timestamp, span: Duration) -> Option<Timestamp> {
    at.checked_sub(jiff::SignedDuration::try_from(span).ok()?).ok()
}
