//! Whether the objective is known to be breached, for the summary of a decision.
//!
//! Moves are judged by what is known to be overdue; what is said to be met must be known to be.

use super::look::{Group, Look};
use super::observation::{Meaning, MetricReading, Observation, SourceReading};
use super::trust::Trust;
use crate::policy::{Objective, Rules};

/// Whether the oldest unprocessed record is older than `maxLag` allows. `None` where nobody can tell, and where
/// the objective is no age.
pub(crate) fn known(rules: &Rules, seen: &Observation, look: &Look, trust: &Trust) -> Option<bool> {
    let Objective::MaxLag { max_lag, .. } = rules.objective else { return None };
    if trust.is_blind() {
        return None;
    }
    let groups = look.groups.iter().map(by_group);
    let ages = seen.sources.iter().filter_map(metric_of_age);
    let metrics = ages.map(|metric| metric.value.map(|age| age > max_lag.as_secs_f64()));
    groups.chain(metrics).reduce(both).flatten().filter(|overdue| *overdue || look.complete)
}

fn metric_of_age(source: &SourceReading) -> Option<&MetricReading> {
    match source {
        SourceReading::Metric(metric) if metric.means == Meaning::BacklogAge => Some(metric),
        SourceReading::Metric(_) | SourceReading::Backlog(_) => None,
    }
}

/// Anybody who knows that it is makes it so; only all of them together make it not.
fn both(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    match (a, b) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (Some(false), Some(false)) => Some(false),
        (_, _) => None,
    }
}

/// Any partition that is overdue makes the group so; only all of them together make it not.
fn by_group(group: &Group) -> Option<bool> {
    match group.overdue {
        Some(true) => Some(true),
        Some(false) | None => group.in_time.then_some(false),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::engine::observation::{BacklogReading, GroupState, PartitionReading, Quality};

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
            let reading = BacklogReading {
                source: "main/orders".to_owned(),
                sampled_at: Timestamp::UNIX_EPOCH,
                quality: Quality::Ok,
                problem: None,
                group: GroupState::Stable,
                over_seconds: None,
                window_seconds: 60.0,
                partitions: partitions.to_vec(),
                streaming: None,
            };
            by_group(&Group::of(&reading, 15.0))
        };
        let (fine, late) = (partition(Some(5), Some(false)), partition(Some(5), Some(true)));
        let (empty, unknown) = (partition(Some(0), None), partition(Some(5), None));
        assert_eq!(group(&[fine.clone(), empty]), Some(false));
        assert_eq!(group(&[fine, unknown.clone()]), None);
        assert_eq!(group(&[unknown, late]), Some(true));
        assert_eq!([both(Some(false), None), both(None, Some(true))], [None, Some(true)]);
    }
}
