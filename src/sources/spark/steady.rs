//! Takes the steps out of a query's progress.
//!
//! Positions move when a batch is committed, and stand still while one runs. Looked at more often than that,
//! the query would seem to rest most of the time, and to be in great haste once in a while. So what a look
//! counts as processed is what the last batches did in as much time. Lag and age stay as they are: until a
//! batch is committed, its records are not processed.

use jiff::Timestamp;

use super::checkpoint::Standing;
use crate::engine::observation::{BacklogReading, PartitionReading};
use crate::policy::units::{records_between, records_covering, records_f64};

/// Spreads what the last batches processed evenly over the time that they took. Once they are longer ago than
/// that, over the time since: a query that has stopped slows down and is never taken for one at work.
pub(super) fn spread(reading: &mut BacklogReading, standing: &Standing, now: Timestamp) {
    let (Some((then, before)), Some(over)) = (&standing.before, reading.over_seconds) else { return };
    let took = seconds(*then, standing.at).max(seconds(standing.at, now));
    if took <= 0.0 {
        return;
    }
    for one in &mut reading.partitions {
        // Where nothing waits, all that came was processed.
        if one.consumed.is_none() || one.lag == Some(0) {
            continue;
        }
        let offset =
            |offsets: &super::checkpoint::Offsets| offsets.get(&one.topic)?.get(&one.partition).copied();
        let (Some(from), Some(to)) = (offset(before), offset(&standing.offsets)) else { continue };
        // Rounded, so that shares of a record do not add up.
        let share = records_f64(records_between(from, to)) * over / took;
        one.consumed = records_covering((share - 0.5).max(0.0)).map(|spread| spread.min(at_most(one)));
    }
}

/// No more can have been processed than there was.
fn at_most(one: &PartitionReading) -> u64 {
    match (one.lag, one.arrived, one.consumed) {
        (Some(lag), Some(arrived), Some(consumed)) => lag.saturating_add(arrived).saturating_add(consumed),
        _ => u64::MAX,
    }
}

/// Seconds since the last commit, and those that are usual between two.
pub(super) fn quiet(standing: &Standing, trigger_seconds: f64, now: Timestamp) -> (f64, f64) {
    let usual = standing.before.as_ref().map_or(0.0, |(then, _)| seconds(*then, standing.at));
    (seconds(standing.at, now), usual.max(trigger_seconds))
}

/// At least 0: the file system's clock need not be ours.
fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}
