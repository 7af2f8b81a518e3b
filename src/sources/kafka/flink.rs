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
        Err(FlinkError::NoSuchJob(_) | FlinkError::NoSuchResource | FlinkError::Ending(_)) => {
            GroupState::Empty
        }
        Err(FlinkError::Passing(_)) => GroupState::Rebalancing,
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

#[cfg(test)]
mod tests {
    use super::super::reading::{Raw, Since};
    use super::*;
    use crate::flink::recorded;

    fn look(sight: &Sight, commit: Commit) -> Look {
        let raw = Raw { start: Some(0), end: Some(10_000), since: Since::Nothing, commit };
        Look {
            at: sight.at,
            group: GroupState::Empty,
            partitions: [(("orders".to_owned(), 0), raw), (("others".to_owned(), 0), raw)].into(),
            problems: Vec::new(),
            incomplete: false,
            as_of: None,
        }
    }

    fn commits(look: &Look) -> Vec<Commit> {
        look.partitions.values().map(|raw| raw.commit).collect()
    }

    #[test]
    fn the_source_knows_better_than_its_last_checkpoint() {
        let job = Ok(Arc::new(recorded("2.2", "job")));
        let next = job.as_ref().unwrap().position("orders", 0).unwrap();
        for (committed, stands) in [
            (Commit::At(next - 5), next),
            (Commit::Nothing, next),
            (Commit::Unknown, next),
            (Commit::At(next + 5), next + 5),
        ] {
            let mut look = look(job.as_ref().unwrap(), committed);
            amend(&mut look, &job);
            assert_eq!(commits(&look), [Commit::At(stands), committed], "another topic keeps its own");
            assert_eq!((look.group, look.as_of), (GroupState::Stable, None));
        }
    }

    #[test]
    fn a_position_beyond_the_log_is_its_end() {
        let job = Ok(Arc::new(recorded("2.2", "job")));
        let mut look = look(job.as_ref().unwrap(), Commit::Nothing);
        look.partitions.values_mut().for_each(|raw| raw.end = Some(1));
        amend(&mut look, &job);
        assert_eq!(commits(&look), [Commit::At(1), Commit::Nothing]);
    }

    #[test]
    fn old_positions_are_of_their_time() {
        let mut sight = recorded("2.2", "job");
        sight.at = Timestamp::from_second(1000).unwrap();
        sight.fresh_at = Timestamp::from_second(992).unwrap();
        let job = Ok(Arc::new(sight));
        let mut look = look(job.as_ref().unwrap(), Commit::At(1));
        amend(&mut look, &job);
        assert_eq!(look.as_of, Timestamp::from_second(992).ok());
    }

    #[test]
    fn without_positions_the_checkpoint_dates_the_commits() {
        let sight = recorded("2.2", "job").without_positions();
        let seconds = sight.uncommitted_seconds().unwrap();
        let job = Ok(Arc::new(sight));
        let mut look = look(job.as_ref().unwrap(), Commit::At(1));
        amend(&mut look, &job);
        assert_eq!(commits(&look), [Commit::At(1), Commit::At(1)]);
        let before = look.at.duration_since(look.as_of.unwrap()).as_secs_f64();
        assert!((before - seconds).abs() < 1e-6 && seconds <= 2.0, "{before} {seconds}");
    }

    #[test]
    fn the_group_is_what_the_job_is() {
        let starting = Arc::new(recorded("2.2", "job-first"));
        for (job, group) in [
            (Ok(Arc::clone(&starting)), GroupState::Rebalancing),
            (Err(FlinkError::NoSuchJob("orders".into())), GroupState::Empty),
            (Err(FlinkError::Unreachable("gone".into())), GroupState::Unknown),
            (Err(FlinkError::Passing("upgrading".into())), GroupState::Rebalancing),
            (Err(FlinkError::Ending("suspended".into())), GroupState::Empty),
        ] {
            let mut look = look(&starting, Commit::At(1));
            amend(&mut look, &job);
            assert_eq!((look.group, commits(&look)), (group, vec![Commit::At(1); 2]));
        }
    }
}
