//! What happens whoever decides: arrivals, their sum, and what the replicas could process at each step.
//! Policies and the clairvoyant optimum run over the very same course with the very same [`Course::flow`].

use std::ops::Range;

use jiff::{SignedDuration, Timestamp};

use super::error::FluidError;
use super::numbers::{count, real};
use super::plant::Plant;
use super::trace::Trace;
use crate::random::{Random, hash, normal};

/// Seconds of a step: a turn of the daemon at its default.
pub const STEP: f64 = 15.0;
/// The same in whole seconds.
const SECONDS: i64 = 15;
/// The second at which a course starts where nobody says otherwise: Monday, 2026-01-05, 00:00 UTC.
const EPOCH: i64 = 1_767_571_200;
/// The share of its deviation that the capacity's noise keeps from step to step.
const MEMORY: f64 = 0.85;

/// One trace on one plant.
#[derive(Debug, Clone)]
pub struct Course {
    /// The plant.
    pub plant: Plant,
    /// Records per second of one replica.
    pub capacity: f64,
    /// Steps that a stop lasts.
    pub stop_steps: usize,
    /// Steps that a stop and the warm-up after it last.
    pub unsteady_steps: usize,
    /// Steps until a new replica processes.
    pub start_steps: usize,
    /// Records that arrive in each step.
    pub arrivals: Vec<f64>,
    /// Records that have arrived by each step's start, and by the end.
    cumulative: Vec<f64>,
    /// The backlog that the objective allows at each step's end.
    allowed: Vec<f64>,
    /// The factor of the capacity in each step.
    pace: Vec<f64>,
    /// Records per step by replicas.
    table: Vec<f64>,
    /// The steps during which nothing is processed.
    outage: Range<usize>,
    /// The least replicas that keep up, at each step.
    demands: Vec<u32>,
    /// When it starts.
    begins: Timestamp,
}

impl Course {
    /// The trace on the plant, with the chance that `seed` names.
    pub fn new(trace: &Trace, plant: &Plant, seed: u64) -> Result<Self, FluidError> {
        plant.check()?;
        let arrivals = trace.arrivals(STEP);
        let capacity = if plant.capacity > 0.0 { plant.capacity } else { usual(trace) };
        Ok(Self::made(arrivals, capacity, plant, seed))
    }

    /// The same arrivals for replicas of the same capacity on another plant.
    #[must_use]
    pub fn on(&self, plant: &Plant, seed: u64) -> Self {
        Self::made(self.arrivals.clone(), self.capacity, plant, seed)
    }

    /// The very same course, paces and all, where only changes of size go another way.
    #[must_use]
    pub fn hindered_by(&self, plant: &Plant) -> Self {
        Self {
            stop_steps: count(plant.stop_seconds / STEP),
            unsteady_steps: count((plant.stop_seconds + plant.warmup_seconds) / STEP),
            start_steps: count(plant.start_seconds / STEP),
            plant: plant.clone(),
            ..self.clone()
        }
    }

    fn made(arrivals: Vec<f64>, capacity: f64, plant: &Plant, seed: u64) -> Self {
        let cumulative = sums(&arrivals);
        let window = plant.objective_seconds / STEP;
        let allowed = (1..=arrivals.len())
            .map(|step| at(&cumulative, real(step)) - at(&cumulative, real(step) - window));
        let outage = outage(arrivals.len(), plant.outage_seconds);
        let mut pace = pace(arrivals.len(), plant.capacity_noise, seed);
        pace.iter_mut().take(outage.end).skip(outage.start).for_each(|factor| *factor = 0.0);
        let mut course = Self {
            capacity,
            stop_steps: count(plant.stop_seconds / STEP),
            unsteady_steps: count((plant.stop_seconds + plant.warmup_seconds) / STEP),
            start_steps: count(plant.start_seconds / STEP),
            allowed: allowed.collect(),
            pace,
            outage,
            demands: Vec::new(),
            begins: Timestamp::from_second(EPOCH).unwrap_or(Timestamp::UNIX_EPOCH),
            table: plant.capacities(capacity).iter().map(|rate| rate * STEP).collect(),
            plant: plant.clone(),
            arrivals,
            cumulative,
        };
        course.demands = (0..course.steps()).map(|step| course.demanded(step)).collect();
        course
    }

    /// The same at another time, where each step's capacity is so many times the usual.
    #[must_use]
    pub fn lived(self, begins: Timestamp, pace: Vec<f64>) -> Self {
        let mut course = Self { pace, begins, ..self };
        course.demands = (0..course.steps()).map(|step| course.demanded(step)).collect();
        course
    }

    /// The time at the start of a step.
    pub fn time(&self, step: usize) -> Timestamp {
        let seconds = i64::try_from(step).ok().and_then(|step| step.checked_mul(SECONDS)).unwrap_or(i64::MAX);
        self.begins.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
    }

    /// The steps during which nothing is processed whoever decides; none unless the plant has an outage.
    pub fn outage(&self) -> Range<usize> {
        self.outage.clone()
    }

    /// Steps from start to end.
    pub fn steps(&self) -> usize {
        self.arrivals.len()
    }

    /// Records that arrive in a step.
    pub fn arriving(&self, step: usize) -> f64 {
        self.arrivals.get(step).copied().unwrap_or(0.0)
    }

    /// Records that so many members process in a step for whose share `able` (0 to 1) they are able to.
    pub fn capacity_of(&self, members: u32, step: usize, able: f64) -> f64 {
        self.nominal(members) * self.pace.get(step).copied().unwrap_or(1.0) * able
    }

    /// What share of their capacity members have in the `nth` step (from 0) since they changed: none in the
    /// stop, and from then on a share that grows in a straight line until they are warm.
    pub fn able(&self, nth: usize) -> f64 {
        let (stop, warmup) = (self.plant.stop_seconds, self.plant.warmup_seconds);
        let stopped = self.stopped_share(nth);
        if nth >= self.unsteady_steps || warmup <= 0.0 {
            return 1.0 - stopped;
        }
        // In the middle of what the stop leaves of the step.
        let warmed = (real(nth) + f64::midpoint(1.0, stopped)) * STEP - stop;
        let cold = self.plant.warmup_share;
        (1.0 - stopped) * (cold + (1.0 - cold) * (warmed / warmup).clamp(0.0, 1.0))
    }

    /// Records per step of so many members at their usual pace.
    pub fn nominal(&self, members: u32) -> f64 {
        let index = usize::try_from(members).unwrap_or(usize::MAX);
        self.table.get(index).or(self.table.last()).copied().unwrap_or(0.0)
    }

    /// The backlog after a step.
    pub fn flow(&self, backlog: f64, step: usize, processed: f64) -> f64 {
        (backlog + self.arriving(step) - processed).max(0.0)
    }

    /// The share of the `nth` step (from 0) of a stop during which nothing is processed.
    pub fn stopped_share(&self, nth: usize) -> f64 {
        (self.plant.stop_seconds / STEP - real(nth)).clamp(0.0, 1.0)
    }

    /// Records that a stop which begins with this step has read again.
    pub fn reread(&self, step: usize) -> f64 {
        self.plant.reread_seconds / STEP * self.arriving(step)
    }

    /// Whether that much backlog at the end of a step is older than the objective allows. Exact: the oldest
    /// record is too old if more waits than has arrived since.
    pub fn is_late(&self, backlog: f64, step: usize) -> bool {
        let allowed = self.allowed.get(step).copied().unwrap_or(f64::INFINITY);
        backlog > allowed + 1e-6 * (1.0 + allowed)
    }

    /// Replica-hours of so many replicas for a step.
    pub fn hours(replicas: u32) -> f64 {
        f64::from(replicas) * STEP / 3600.0
    }

    /// What a step over the objective costs.
    pub fn late_cost(&self) -> f64 {
        self.plant.violation_cost * STEP / 60.0
    }

    /// Records that have arrived by the start of a step.
    pub fn arrived(&self, step: usize) -> f64 {
        at(&self.cumulative, real(step))
    }

    /// Records that have arrived by a place between two steps.
    pub fn arrived_at(&self, place: f64) -> f64 {
        at(&self.cumulative, place)
    }

    /// Whether the record with that number (counted from 0) has arrived by the start of a step.
    pub fn has_arrived(&self, position: f64, step: usize) -> bool {
        self.cumulative.get(step).is_some_and(|sum| *sum > position)
    }

    /// Seconds of age of the oldest record at the start of a step, where `position` have been processed;
    /// `hint` is a step at whose start it had not arrived, and moves on.
    pub fn age(&self, position: f64, step: usize, hint: &mut usize) -> f64 {
        // A rounding error is no backlog.
        let position = position + 1e-9 * position.abs() + 1e-9;
        if !self.has_arrived(position, step) {
            *hint = step;
            return 0.0;
        }
        while *hint > 0 && self.has_arrived(position, *hint) {
            *hint -= 1;
        }
        while !self.has_arrived(position, *hint + 1) && *hint < step {
            *hint += 1;
        }
        let into = (position - self.arrived(*hint)) / self.arriving(*hint).max(1e-9);
        (real(step - *hint) - into.clamp(0.0, 1.0)) * STEP
    }

    /// The least replicas that keep up with the arrivals of a step; the most where none do.
    pub fn demand(&self, step: usize) -> u32 {
        self.demands.get(step).copied().unwrap_or(self.plant.min_replicas)
    }

    fn demanded(&self, step: usize) -> u32 {
        let (least, most) = (self.plant.min_replicas, self.plant.max_replicas);
        let needed = self.arriving(step) * (1.0 - 1e-9);
        (least..most).find(|replicas| self.capacity_of(*replicas, step, 1.0) >= needed).unwrap_or(most)
    }
}

/// What one replica processes where nobody says: a twelfth of the rate that all but half a percent of the
/// trace lies under; of the peak, where that is nothing; and anything where nothing arrives at all.
fn usual(trace: &Trace) -> f64 {
    [trace.high(), trace.peak(), 12.0].into_iter().find(|rate| *rate > 0.0).unwrap_or(12.0) / 12.0
}

/// From three quarters of the course on, and at most for an eighth of it: there has to be an afterwards.
fn outage(steps: usize, seconds: f64) -> Range<usize> {
    let from = steps - steps / 4;
    from..(from + count(seconds / STEP).min(steps / 8)).min(steps)
}

fn sums(arrivals: &[f64]) -> Vec<f64> {
    let mut sum = 0.0;
    let rest = arrivals.iter().map(|records| {
        sum += records;
        sum
    });
    std::iter::once(0.0).chain(rest).collect()
}

/// What has arrived at a place between two steps; nothing before the first.
fn at(cumulative: &[f64], place: f64) -> f64 {
    if place <= 0.0 {
        return 0.0;
    }
    let step = count(place.floor());
    let sum = |step: usize| cumulative.get(step).or(cumulative.last()).copied().unwrap_or(0.0);
    sum(step) + (sum(step + 1) - sum(step)) * (place - real(step))
}

/// First-order autoregression around 1.
fn pace(steps: usize, deviation: f64, seed: u64) -> Vec<f64> {
    if deviation <= 0.0 {
        return vec![1.0; steps];
    }
    let mut random = Random::new(hash(seed, 71, 0));
    let fresh = (1.0 - MEMORY * MEMORY).sqrt();
    let mut noise = 0.0;
    (0..steps)
        .map(|_| {
            noise = MEMORY * noise + fresh * normal(&mut random);
            (1.0 + deviation * noise).max(0.05)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn course(rates: &[f64], plant: &Plant) -> Course {
        let trace = Trace { name: "test".to_owned(), step: STEP, rates: rates.to_vec() };
        Course::new(&trace, plant, 1).unwrap()
    }

    fn plant() -> Plant {
        Plant { capacity: 10.0, ..Plant::preset("consumer-eager").unwrap() }
    }

    #[test]
    fn the_objective_is_what_arrived_within_it() {
        let course = course(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &plant());
        // At the end of the last step the four latest may wait: 3 + 4 + 5 + 6 times 15 s.
        assert!(!course.is_late(270.0, 5));
        assert!(course.is_late(270.1, 5));
        // Before the objective's age has passed everything may.
        assert!(!course.is_late(45.0, 1));
    }

    #[test]
    fn age_is_that_of_the_oldest_record() {
        let course = course(&[1.0, 0.0, 2.0, 2.0], &plant());
        let age = |position: f64, hint: usize| course.age(position, 4, &mut { hint });
        for hint in 0..4 {
            assert!((age(0.0, hint) - 60.0).abs() < 1e-6);
            assert!((age(7.5, hint) - 52.5).abs() < 1e-6);
            assert!((age(15.0, hint) - 30.0).abs() < 1e-6);
            assert!((age(45.0, hint) - 15.0).abs() < 1e-6);
            assert!(age(75.0, hint).abs() < 1e-6);
        }
    }

    #[test]
    fn demand_is_the_least_rung_that_keeps_up() {
        let course = course(&[9.0, 10.0, 61.0, 500.0], &plant());
        assert_eq!((0..4).map(|step| course.demand(step)).collect::<Vec<_>>(), [1, 1, 8, 24]);
    }

    #[test]
    fn a_stop_of_part_of_a_step_takes_that_part() {
        let course = course(&[1.0, 1.0], &Plant { stop_seconds: 20.0, ..plant() });
        assert_eq!(course.stop_steps, 2);
        assert!((course.stopped_share(0) - 1.0).abs() < 1e-9);
        assert!((course.stopped_share(1) - 1.0 / 3.0).abs() < 1e-9);
        assert!(course.stopped_share(2).abs() < 1e-9);
    }
}
