//! What one run measured, kept as a file so that a long bench can be gone on with.

use anyhow::Result;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::contender::{Contender, MOVE};
use crate::bench::shape::Shape;
use crate::support::probe::Probe;
use crate::support::replicas::ReplicaLog;

/// One contender under one load. Times are seconds of the bench, from the first that counts.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    pub(crate) contender: Contender,
    pub(crate) shape: Shape,
    pub(crate) compression: u64,
    /// Records per second of a replica, where Tidegate was told.
    #[serde(default)]
    pub(crate) hint: Option<u32>,
    /// When it ended.
    pub(crate) at: String,
    /// Of the machine, before and after.
    pub(crate) load_average: [f64; 2],
    /// Records produced.
    pub(crate) offered: u64,
    pub(crate) figures: Figures,
    pub(crate) rates: Vec<(f64, u64)>,
    pub(crate) ages: Vec<(f64, f64)>,
    pub(crate) sizes: Vec<(f64, i32)>,
}

/// What everybody is judged by.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Figures {
    pub(crate) seconds: f64,
    pub(crate) replica_seconds: f64,
    /// Seconds with a record older than the objective allows.
    pub(crate) late_seconds: f64,
    pub(crate) worst_age: f64,
    pub(crate) mean_age: f64,
    pub(crate) ups: u32,
    pub(crate) downs: u32,
    /// Moves whose direction is not that of the move before.
    pub(crate) reversals: u32,
    /// New generations of the consumer group.
    pub(crate) rebalances: u64,
}

impl Figures {
    /// Counts what was seen between two moments.
    pub(crate) fn measure(
        log: &ReplicaLog,
        probe: &Probe,
        (begin, end): (Instant, Instant),
        objective: u64,
    ) -> Result<Self> {
        let mut figures = Self { seconds: (end - begin).as_secs_f64(), ..Self::default() };
        let sizes = Self::sizes(log, begin, end);
        let ends = sizes.iter().skip(1).map(|(at, _)| *at).chain([figures.seconds]);
        figures.replica_seconds =
            sizes.iter().zip(ends).map(|((from, size), to)| f64::from(*size) * (to - from)).sum();
        let mut last = None;
        for ((_, from), (_, to)) in sizes.iter().zip(sizes.iter().skip(1)) {
            let up = to > from;
            figures.ups += u32::from(up);
            figures.downs += u32::from(!up);
            figures.reversals += u32::from(last.is_some_and(|last| last != up));
            last = Some(up);
        }
        let ages = Self::ages(probe, begin, end);
        anyhow::ensure!(ages.len() > 10, "the probe saw next to nothing");
        let ends = ages.iter().skip(1).map(|(at, _)| *at).chain([figures.seconds]);
        let objective = f64::from(u32::try_from(objective)?);
        for ((from, age), to) in ages.iter().zip(ends) {
            figures.late_seconds += if *age > objective { to - from } else { 0.0 };
            figures.mean_age += age * (to - from) / figures.seconds;
            figures.worst_age = figures.worst_age.max(*age);
        }
        Ok(figures)
    }

    /// Ages of the oldest record, by the probe.
    pub(crate) fn ages(probe: &Probe, begin: Instant, end: Instant) -> Vec<(f64, f64)> {
        let within = probe.samples().into_iter().filter(|sample| sample.at >= begin && sample.at <= end);
        within.map(|sample| ((sample.at - begin).as_secs_f64(), sample.age)).collect()
    }

    /// Sizes asked for; the first is the one at the beginning.
    pub(crate) fn sizes(log: &ReplicaLog, begin: Instant, end: Instant) -> Vec<(f64, i32)> {
        let all = log.sizes();
        let first = all.iter().rev().find(|(at, _)| *at <= begin).map(|(_, size)| (0.0, *size));
        let later = all.iter().filter(|(at, _)| *at > begin && *at <= end);
        first.into_iter().chain(later.map(|(at, size)| ((*at - begin).as_secs_f64(), *size))).collect()
    }

    /// `J` in replica-seconds: replica time, 60 per second late, and [`MOVE`] per move: the
    /// weights that `tidegate simulate` has for consumers.
    pub(crate) fn cost(&self, compression: u64) -> f64 {
        let moves = f64::from(self.ups + self.downs);
        let compression = f64::from(u32::try_from(compression).unwrap_or(1));
        self.replica_seconds + 60.0 * self.late_seconds + moves * f64::from(MOVE) / compression
    }
}
