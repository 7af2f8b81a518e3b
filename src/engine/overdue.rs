//! Whether the objective is known to be breached, for the summary of a decision.
//!
//! Moves are judged by what is known to be overdue; what is said to be met must be known to be.

use super::observation::{BacklogReading, Meaning, Observation, SourceReading};
use super::trust::Trust;
use crate::policy::{Objective, Rules};

/// Whether the oldest unprocessed record is older than `maxLag` allows. `None` where nobody can tell, and where
/// the objective is no age.
pub(crate) fn known(rules: &Rules, seen: &Observation, complete: bool, trust: &Trust) -> Option<bool> {
    let Objective::MaxLag { max_lag, .. } = rules.objective else { return None };
    if trust.is_blind() {
        return None;
    }
    let tell = seen.sources.iter().filter(|source| tells_of_age(source));
    let told: Vec<Option<bool>> = tell.map(|source| by_source(source, max_lag.as_secs_f64())).collect();
    if told.contains(&Some(true)) {
        Some(true)
    } else {
        (complete && !told.is_empty() && !told.contains(&None)).then_some(false)
    }
}

fn tells_of_age(source: &SourceReading) -> bool {
    match source {
        SourceReading::Backlog(_) => true,
        SourceReading::Metric(metric) => metric.means == Meaning::BacklogAge,
    }
}

/// What one source that tells of ages tells.
fn by_source(source: &SourceReading, allowed: f64) -> Option<bool> {
    match source {
        SourceReading::Backlog(reading) => by_partitions(reading),
        SourceReading::Metric(metric) => metric.value.map(|age| age > allowed),
    }
}

/// Any partition that is overdue makes the group so; only all of them together make it not.
fn by_partitions(reading: &BacklogReading) -> Option<bool> {
    let mut partitions =
        reading.partitions.iter().map(|one| one.overdue.or((one.lag == Some(0)).then_some(false)));
    if partitions.clone().any(|one| one == Some(true)) {
        return Some(true);
    }
    partitions.all(|one| one == Some(false)).then_some(false)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::engine::observation::{GroupState, PartitionReading, Quality};

    fn partition(lag: Option<u64>, overdue: Option<bool>) -> PartitionReading {
        PartitionReading {
            topic: "orders".to_owned(),
            partition: 0,
            start: None,
            end: None,
            committed: None,
            uncommitted: false,
            lag,
            persistent: false,
            arrived: None,
            consumed: None,
            arrived_in_window: None,
            overdue,
            age_seconds: None,
            quality: Quality::Ok,
        }
    }

    #[test]
    fn only_what_every_partition_tells_is_met() {
        let group = |partitions: &[PartitionReading]| {
            by_partitions(&BacklogReading {
                source: "main/orders".to_owned(),
                sampled_at: Timestamp::UNIX_EPOCH,
                quality: Quality::Ok,
                problem: None,
                group: GroupState::Stable,
                over_seconds: None,
                window_seconds: 60.0,
                partitions: partitions.to_vec(),
                streaming: None,
            })
        };
        let (fine, late) = (partition(Some(5), Some(false)), partition(Some(5), Some(true)));
        let (empty, unknown) = (partition(Some(0), None), partition(Some(5), None));
        assert_eq!(group(&[fine.clone(), empty]), Some(false));
        assert_eq!(group(&[fine, unknown.clone()]), None);
        assert_eq!(group(&[unknown, late]), Some(true));
    }
}
