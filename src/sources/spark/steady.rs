//! Takes the steps out of a query's progress.
//!
//! Positions move when a batch is committed, and stand still while one runs. Looked at more often than that,
//! the query would seem to rest most of the time, and to be in great haste once in a while. So what a look
//! counts as processed is what the last batches did in as much time. Lag and age stay as they are: until a
//! batch is committed, its records are not processed.

use jiff::Timestamp;

use crate::engine::observation::{BacklogReading, PartitionReading};
use crate::policy::units::{records_between, records_covering, records_f64};
use crate::spark::checkpoint::{Earlier, Offsets, Standing};

/// Spreads what the last batches processed evenly over the time that they took. Once they are longer ago than
/// that, over the time since: a query that has stopped slows down and is never taken for one at work. Before a
/// second batch is committed nothing can be told, which is not nothing done; nor from batches before `since`,
/// which other executors have processed.
pub(super) fn spread(reading: &mut BacklogReading, standing: &Standing, since: Option<u64>, now: Timestamp) {
    let Some(over) = reading.over_seconds else { return };
    let took = |before: &Earlier| seconds(before.at, standing.at).max(seconds(standing.at, now));
    let before = standing.before.as_ref().filter(|before| since.is_none_or(|since| before.batch >= since));
    let before = before.map(|before| (took(before), &before.offsets));
    for one in &mut reading.partitions {
        // Where nothing waits, all that came was processed.
        if one.consumed.is_none() || one.lag == Some(0) {
            continue;
        }
        let offset = |offsets: &Offsets| offsets.get(&one.topic)?.get(&one.partition).copied();
        let records = before.filter(|(took, _)| *took > 0.0).and_then(|(took, before)| {
            let done = records_between(offset(before)?, offset(&standing.offsets)?);
            // Rounded, so that shares of a record do not add up.
            records_covering((records_f64(done) * over / took - 0.5).max(0.0))
        });
        one.consumed = records.map(|records| records.min(at_most(one)));
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
    let usual = standing.before.as_ref().map_or(0.0, |before| seconds(before.at, standing.at));
    (seconds(standing.at, now), usual.max(trigger_seconds))
}

/// At least 0: the file system's clock need not be ours.
fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}
