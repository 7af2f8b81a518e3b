//! What each vertex of a job was seen to do: how much of its tasks' time it takes, and how many records pass. Pure.
//!
//! Kept over restarts and rescales of the job, whose vertices keep their ids. The records of a vertex follow those of
//! the sources by what the vertices before it make of them, and the time that its tasks take follows the records: so
//! the times of one stretch, held against each other, are the solution of the whole graph (DS2, Kalavri et al. 2018)
//! for any other rate of the sources, without the ratios of single edges, of which Flink counts only some.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::answers::{Counters, Vertex};
use super::sight::Sight;

/// Seconds of looks after which two thirds of an older one are forgotten.
const FORGETS: f64 = 120.0;
/// A vertex is known once it has been seen for so many seconds.
const KNOWN_FROM: f64 = 20.0;
/// The busiest vertex must be busy for this share of the time: below, what tasks do beside their records counts too
/// much.
const BUSY_FROM: f64 = 0.15;
/// Seconds for which new tasks are not asked: code is compiled, caches and connections are cold.
const WARM_UP: f64 = 15.0;

/// What the vertices of a job were seen to do, by their ids.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Work {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    vertices: BTreeMap<String, Spent>,
    /// Kafka partitions that each source was ever seen to read.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) partitions: BTreeMap<String, u32>,
}

/// Sums that fade, all of a job alike.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Spent {
    /// Seconds of the look.
    seconds: f64,
    /// Seconds that its tasks were busy, together.
    busy: f64,
    /// Records that they took, or for a source gave.
    records: f64,
}

impl Spent {
    /// Tasks' worth of time that it takes; `None` before enough has been seen, and where nothing passed: what it takes
    /// is not known then, and not nothing.
    pub(super) fn tasks(&self) -> Option<f64> {
        (self.seconds >= KNOWN_FROM && self.records > 0.0 && self.busy > 0.0)
            .then(|| self.busy / self.seconds)
    }

    /// Records that one task processes in a second that it is busy: its true rate.
    pub(super) fn true_rate(&self) -> Option<f64> {
        self.tasks().map(|_| self.records / self.busy)
    }
}

impl Work {
    /// Whether nothing is known.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What was seen of a vertex.
    pub(super) fn of(&self, vertex: &str) -> Spent {
        self.vertices.get(vertex).copied().unwrap_or_default()
    }

    /// Takes in what passed between two looks at the same tasks. Whether anything did: JobManagers ask them only now
    /// and then.
    pub(super) fn watch(&mut self, before: &Sight, now: &Sight) -> bool {
        if !before.leads_to(now) || now.reticent().is_some() {
            return false;
        }
        let pairs = now.job.vertices.iter().filter_map(|vertex| {
            let then = before.job.vertices.iter().find(|other| other.id == vertex.id)?;
            Some((vertex, stretch(then, vertex)?))
        });
        let pairs: Vec<(&Vertex, Spent)> = pairs.collect();
        if pairs.len() != now.job.vertices.len() {
            return false;
        }
        let busiest =
            pairs.iter().map(|(vertex, one)| one.busy / one.seconds / f64::from(vertex.parallelism.max(1)));
        if before.runs_for() >= WARM_UP && busiest.fold(0.0, f64::max) >= BUSY_FROM {
            for (vertex, one) in pairs {
                self.vertices.entry(vertex.id.clone()).or_default().add(one);
            }
        }
        true
    }

    /// Takes note of the partitions that sources read, which never get fewer, and forgets vertices that the job has no
    /// more. Right after a start sources have not found all of their partitions.
    pub(super) fn note(&mut self, sight: &Sight) {
        if sight.runs_for() >= WARM_UP {
            for (vertex, count) in &sight.partitions {
                let known = self.partitions.entry(vertex.clone()).or_default();
                *known = (*count).max(*known);
            }
        }
        let is_there = |id: &String| sight.job.vertices.iter().any(|vertex| vertex.id == *id);
        self.vertices.retain(|id, _| is_there(id));
        self.partitions.retain(|id, _| is_there(id));
    }
}

impl Spent {
    fn add(&mut self, one: Self) {
        let keeps = (-one.seconds / FORGETS).exp();
        self.seconds = self.seconds * keeps + one.seconds;
        self.busy = self.busy * keeps + one.busy;
        self.records = self.records * keeps + one.records;
    }
}

/// What one vertex did between two readings of its counters. `None` where its clocks have not told or not moved.
fn stretch(then: &Vertex, now: &Vertex) -> Option<Spent> {
    let busy = now.metrics.busy_since(&then.metrics)?;
    let all = now.metrics.time_since(&then.metrics)?;
    let seconds = all / 1000.0 / f64::from(now.parallelism.max(1));
    let counted = |of: fn(&Counters) -> u64| of(&now.metrics).checked_sub(of(&then.metrics)).map(real);
    let records = counted(|metrics| metrics.read_records)?.max(counted(|metrics| metrics.write_records)?);
    (seconds > 0.0).then_some(Spent { seconds, busy: busy / 1000.0, records })
}

fn real(count: u64) -> f64 {
    std::time::Duration::from_millis(count).as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::super::sight::tests::sight;
    use super::*;

    /// A job that has run for a while, and the same 30 s later with so many records by each vertex, whose two tasks were
    /// busy for so many milliseconds of each second together.
    fn looks(busy: [f64; 2], records: u64) -> (Sight, Sight) {
        let before = sight("2.2", "job");
        let mut after = before.clone();
        for _ in 0..30 {
            after = after.later(busy);
        }
        for vertex in &mut after.job.vertices {
            vertex.metrics.read_records += records;
            vertex.metrics.write_records += records;
        }
        (before, after)
    }

    fn known(work: &Work, sight: &Sight) -> Vec<Option<f64>> {
        sight.job.vertices.iter().map(|vertex| work.of(&vertex.id).tasks()).collect()
    }

    #[test]
    fn what_vertices_take_is_held_against_each_other() {
        let (before, after) = looks([100.0, 750.0], 6000);
        let mut work = Work::default();
        assert_eq!(known(&work, &after), [None, None]);
        assert!(work.watch(&before, &after));
        let shares: Vec<f64> = known(&work, &after).into_iter().flatten().collect();
        assert!((shares[1] / shares[0] - 7.5).abs() < 1e-9, "{shares:?}");
        assert!(work.of(&after.job.vertices[1].id).true_rate().is_some_and(|rate| rate > 0.0));
    }

    #[test]
    fn nothing_is_learnt_of_idle_cold_or_silent_tasks() {
        let learnt = |busy, records, edit: &dyn Fn(&mut Sight)| {
            let (mut before, mut after) = looks(busy, records);
            edit(&mut before);
            edit(&mut after);
            let mut work = Work::default();
            work.watch(&before, &after);
            known(&work, &after)
        };
        assert_eq!(learnt([100.0, 120.0], 6000, &|_| {}), [None, None], "hardly busy");
        assert_eq!(learnt([100.0, 750.0], 0, &|_| {}), [None, None], "no records: unknown, not nothing");
        let cold = |sight: &mut Sight| sight.job.now = sight.job.timestamps["RUNNING"] + 5000;
        assert_eq!(learnt([100.0, 750.0], 6000, &cold), [None, None]);
        let silent = |sight: &mut Sight| sight.job.vertices[0].metrics.read_records_complete = false;
        assert_eq!(learnt([100.0, 750.0], 6000, &silent), [None, None]);
    }

    #[test]
    fn partitions_are_counted_once_sources_have_found_them() {
        let mut sight = sight("2.2", "job");
        let source = sight.job.vertices[0].id.clone();
        sight.partitions = [(source.clone(), 4), ("gone".to_owned(), 9)].into();
        let mut work = Work::default();
        work.note(&sight);
        assert_eq!(work.partitions.get(&source), Some(&4));
        sight.partitions.insert(source.clone(), 3);
        work.note(&sight);
        assert_eq!(work.partitions, [(source, 4)].into(), "they never get fewer, and others are forgotten");
        sight.job.now = sight.job.timestamps["RUNNING"] + 5000;
        let mut young = Work::default();
        young.note(&sight);
        assert!(young.partitions.is_empty());
    }
}
