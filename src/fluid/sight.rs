//! What is seen of a plant: by the engine, as the real sources and actuators would report it, and by the
//! rivals, as their own metrics would. Both are equally late, and both are equally blind in a gap.

use std::collections::VecDeque;

use super::course::{Course, STEP};
use super::numbers::{count, real};
use super::running::{Moment, Running};
use crate::engine::Observation;
use crate::engine::observation::{
    BacklogReading, GroupState, PartitionReading, Quality, SourceReading, TargetReading,
};
use crate::policy::Replicas;
use crate::policy::units::{records_between, records_covering};
use crate::random::{between, hash};

/// Seconds from the start of one stale stretch to the next.
const STALE_EVERY: f64 = 21_600.0;

/// What could be read of the sources at one turn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Snapshot {
    /// The step at whose start it was taken.
    pub step: usize,
    /// Records processed until then.
    pub position: f64,
    /// Records that waited.
    pub backlog: f64,
    /// Records per second that arrived over the step before.
    pub arrival_rate: f64,
    /// Records per second that were processed over it.
    pub processing_rate: f64,
    /// Share of the time that the replicas were busy; 1 in a stop.
    pub busy: f64,
    /// Whether everything stood still.
    pub stopped: bool,
    /// Replicas that processed, or stood still.
    pub members: u32,
}

/// Takes snapshots, and shows them as late as the plant has it.
#[derive(Debug)]
pub struct Sight<'a> {
    course: &'a Course,
    seed: u64,
    taken: VecDeque<Snapshot>,
    delay_steps: usize,
    last: Option<Moment>,
}

impl<'a> Sight<'a> {
    /// Nothing has been seen yet.
    pub fn new(course: &'a Course, seed: u64) -> Self {
        let delay_steps = count(course.plant.delay_seconds / STEP);
        Self { course, seed, taken: VecDeque::new(), delay_steps, last: None }
    }

    /// Takes note of a step that is over.
    pub fn note(&mut self, moment: Moment) {
        self.last = Some(moment);
    }

    /// What can be read at the start of the coming step; `None` in a gap.
    pub fn look(&mut self, plant: &Running<'_>) -> Option<Snapshot> {
        let step = plant.step();
        self.taken.push_back(self.snapshot(plant));
        while self.taken.len() > self.delay_steps + 1 {
            // While the answers do not change any more, the oldest stays.
            if self.is_stale(step) {
                self.taken.pop_back();
            } else {
                self.taken.pop_front();
            }
        }
        let silent = self.course.plant.gap_share > 0.0 && self.is_silent(step);
        self.taken.front().filter(|_| !silent).copied()
    }

    fn is_silent(&self, step: usize) -> bool {
        let when = i64::try_from(step).unwrap_or(i64::MAX);
        let drawn = between(hash(self.seed, 72, when), 0, 999_999);
        drawn < i64::try_from(count(self.course.plant.gap_share * 1e6)).unwrap_or(0)
    }

    /// Whether what could be read at a step tells nothing of the present: there was no answer, or it has
    /// not changed for three turns more than it is always late.
    pub fn is_blind(&self, step: usize, seen: Option<Snapshot>) -> bool {
        seen.is_none_or(|seen| seen.step + self.delay_steps + 3 < step)
    }

    fn is_stale(&self, step: usize) -> bool {
        let stale = self.course.plant.stale_seconds;
        stale > 0.0 && (real(step) * STEP).rem_euclid(STALE_EVERY) >= STALE_EVERY - stale
    }

    fn snapshot(&self, plant: &Running<'_>) -> Snapshot {
        let step = plant.step();
        let last = self.last;
        Snapshot {
            step,
            position: (self.course.arrived(step) - plant.backlog()).max(0.0),
            backlog: plant.backlog(),
            arrival_rate: step.checked_sub(1).map_or(0.0, |before| self.course.arriving(before) / STEP),
            processing_rate: last.map_or(0.0, |last| last.processed / STEP),
            busy: last.map_or(0.0, |last| {
                if last.capacity > 0.0 { (last.processed / last.capacity).min(1.0) } else { 1.0 }
            }),
            stopped: plant.is_stopped(),
            members: plant.members(),
        }
    }
}

/// What a broker would say of one partition.
#[derive(Debug, Clone, Copy)]
struct Offsets {
    end: i64,
    committed: i64,
    /// The end at the objective's age ago.
    past: i64,
    arrived: Option<u64>,
    consumed: Option<u64>,
}

impl Offsets {
    /// Of a partition with a share of all records: all that arrived, all that were processed, all that had
    /// arrived at the objective's age ago, and the first two of the look before.
    fn of(share: f64, end: f64, position: f64, past: f64, before: Option<(f64, f64)>) -> Self {
        let offset = |records: f64| {
            records_covering((records * share).floor()).and_then(|whole| i64::try_from(whole).ok())
        };
        let (end, committed) = (offset(end).unwrap_or(0), offset(position).unwrap_or(0));
        Self {
            end,
            committed,
            past: offset(past).unwrap_or(0),
            arrived: before.and_then(|(was, _)| Some(records_between(offset(was)?, end))),
            consumed: before.and_then(|(_, was)| Some(records_between(offset(was)?, committed))),
        }
    }
}

/// Builds the engine's observations, in one place that is used again and again.
#[derive(Debug)]
pub struct Eyes<'a> {
    course: &'a Course,
    shares: Vec<f64>,
    window: f64,
    observation: Observation,
    reading: BacklogReading,
    before: Option<Snapshot>,
    oldest: usize,
}

impl<'a> Eyes<'a> {
    /// Eyes that can tell `window` seconds of age from less.
    pub fn new(course: &'a Course, window: f64) -> Self {
        let partition = |number: u32| PartitionReading {
            topic: "trace".to_owned(),
            partition: i32::try_from(number).unwrap_or(i32::MAX),
            start: Some(0),
            end: Some(0),
            committed: Some(0),
            uncommitted: false,
            lag: Some(0),
            persistent: false,
            arrived: None,
            consumed: None,
            arrived_in_window: None,
            overdue: None,
            age_seconds: None,
            quality: Quality::Ok,
        };
        let reading = BacklogReading {
            source: "simulated/trace".to_owned(),
            sampled_at: course.time(0),
            quality: Quality::Ok,
            problem: None,
            group: GroupState::Stable,
            over_seconds: None,
            window_seconds: window,
            partitions: (0..course.plant.partitions.max(1)).map(partition).collect(),
            streaming: None,
        };
        let target = TargetReading {
            sampled_at: course.time(0),
            quality: Quality::Ok,
            current: None,
            ceiling: None,
            metric_target: None,
            ready: None,
            settled: true,
            hold: None,
            problem: None,
            fence: None,
            limit: None,
            price: None,
        };
        let observation = Observation { target, sources: Vec::new() };
        let shares = course.plant.shares();
        Self { course, shares, window, observation, reading, before: None, oldest: 0 }
    }

    /// What the engine is told at the start of the coming step.
    pub fn observe(&mut self, plant: &Running<'_>, seen: Option<Snapshot>) -> &Observation {
        let now = self.course.time(plant.step());
        let target = &mut self.observation.target;
        target.sampled_at = now;
        target.current = Some(Replicas(plant.asked()));
        target.ready = Some(Replicas(plant.members()));
        target.settled = plant.asked() == plant.members();
        let mut reading = match self.observation.sources.pop() {
            Some(SourceReading::Backlog(reading)) => reading,
            Some(SourceReading::Metric(_)) | None => self.reading.clone(),
        };
        if let Some(snapshot) = seen {
            self.tell(&mut reading, snapshot);
        } else {
            // As the daemon has it where a source does not answer.
            reading.quality = Quality::Missing;
            reading.problem = Some("no answer".to_owned());
            reading.sampled_at = now;
        }
        self.observation.sources.push(SourceReading::Backlog(reading));
        &self.observation
    }

    fn tell(&mut self, reading: &mut BacklogReading, seen: Snapshot) {
        let before = self.before.filter(|before| before.step < seen.step);
        reading.quality = Quality::Ok;
        reading.problem = None;
        reading.sampled_at = self.course.time(seen.step);
        reading.group = match seen {
            Snapshot { members: 0, .. } => GroupState::Empty,
            Snapshot { stopped: true, .. } => GroupState::Rebalancing,
            Snapshot { .. } => GroupState::Stable,
        };
        if self.before.is_some_and(|last| last.step == seen.step) {
            // The same answer again.
            return;
        }
        reading.over_seconds = before.map(|before| real(seen.step - before.step) * STEP);
        let end = self.course.arrived(seen.step);
        let window_start = self.course.arrived_at(real(seen.step) - self.window / STEP);
        let age = self.course.age(seen.position, seen.step, &mut self.oldest);
        let then = before.map(|before| (self.course.arrived(before.step), before.position));
        let mut told: Option<(f64, Offsets)> = None;
        for (partition, share) in reading.partitions.iter_mut().zip(&self.shares) {
            // Without skew all partitions are alike.
            let offsets = match told {
                Some((same, offsets)) if same.to_bits() == share.to_bits() => offsets,
                _ => Offsets::of(*share, end, seen.position, window_start, then),
            };
            told = Some((*share, offsets));
            let Offsets { end, committed, past, arrived, consumed } = offsets;
            partition.end = Some(end);
            partition.committed = Some(committed);
            partition.lag = Some(records_between(committed, end));
            partition.arrived = arrived;
            partition.consumed = consumed;
            partition.arrived_in_window = Some(records_between(past, end));
            partition.overdue = Some(committed < past);
            partition.age_seconds = Some(if committed < end { age } else { 0.0 });
        }
        self.before = Some(seen);
    }
}
