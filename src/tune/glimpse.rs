//! What one turn tells the history.

use crate::engine::observation::{Quality, SourceReading};
use crate::engine::{Decision, Observation};

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
        let estimate = &decision.estimate;
        Self {
            rate: arrived(&observation.sources).unwrap_or(estimate.arrival_rate),
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

/// Records per second that arrived, as the brokers counted them; `Some(None)` where they did not answer in full, and
/// `None` where nobody counts: then there is only the estimate.
fn arrived(sources: &[SourceReading]) -> Option<Option<f64>> {
    let mut all = Some(0.0);
    let mut counted = false;
    for source in sources {
        let SourceReading::Backlog(reading) = source else { continue };
        counted = true;
        let records: Option<u64> = reading.partitions.iter().map(|partition| partition.arrived).sum();
        let seconds = reading.over_seconds.filter(|seconds| *seconds > 0.0 && reading.quality == Quality::Ok);
        let rate = records
            .zip(seconds)
            .map(|(records, seconds)| crate::policy::units::records_f64(records) / seconds);
        all = all.zip(rate).map(|(all, rate)| all + rate);
    }
    counted.then_some(all)
}
