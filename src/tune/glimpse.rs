//! What one turn tells the history.

use crate::engine::observation::{BacklogReading, Quality, SourceReading};
use crate::engine::{Decision, Observation};
use crate::policy::units::records_f64;

/// What one turn tells. `None` is unknown, never zero.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Glimpse {
    /// Records per second that arrived since the look before.
    pub rate: Option<f64>,
    /// Records per second that one replica processes.
    pub capacity: Option<f64>,
    /// Seconds that a move up costs until its capacity is there.
    pub raise_seconds: Option<f64>,
    /// Seconds that a move down stops processing.
    pub lower_seconds: Option<f64>,
    /// Partitions of all topics.
    pub partitions: Option<u32>,
    /// The busiest partition's share of the arrivals.
    pub busiest_share: Option<f64>,
    /// Whether the oldest record was older than the objective allows.
    pub overdue: Option<bool>,
    /// Replicas asked for, where it was Tidegate that asked.
    pub replicas: Option<u32>,
}

impl Glimpse {
    /// Of a turn whose decisions are carried out (`applied`) or not.
    pub fn of(observation: &Observation, decision: &Decision, applied: bool) -> Self {
        let (sources, estimate) = (&observation.sources, &decision.estimate);
        Self {
            rate: if is_counted(sources) { arrived(sources) } else { estimate.arrival_rate },
            capacity: estimate.capacity_per_replica,
            raise_seconds: estimate.raise_seconds,
            lower_seconds: estimate.lower_seconds,
            partitions: estimate.partitions,
            busiest_share: estimate.busiest_share,
            overdue: estimate.overdue,
            // What somebody else makes of bounds is not what is run again.
            replicas: decision.current.filter(|_| applied && decision.ceiling.is_none()).map(|is| is.0),
        }
    }
}

/// Whether somebody counts arrivals; otherwise there is only the estimate.
fn is_counted(sources: &[SourceReading]) -> bool {
    sources.iter().any(|source| matches!(source, SourceReading::Backlog(_)))
}

/// Records per second that arrived, as the brokers counted them; `None` where one did not answer in full.
fn arrived(sources: &[SourceReading]) -> Option<f64> {
    let rates = sources.iter().filter_map(|source| match source {
        SourceReading::Backlog(reading) => Some(counted(reading)),
        SourceReading::Metric(_) => None,
    });
    rates.sum()
}

fn counted(reading: &BacklogReading) -> Option<f64> {
    let arrived = reading.partitions.iter().map(|partition| partition.arrived.map(records_f64));
    let records: f64 = arrived.sum::<Option<f64>>()?;
    let seconds = reading.over_seconds.filter(|seconds| *seconds > 0.0 && reading.quality == Quality::Ok)?;
    Some(records / seconds)
}
