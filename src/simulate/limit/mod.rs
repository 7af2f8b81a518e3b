//! The clairvoyant optimum: the least that any policy could have paid, had it known all that comes.
//!
//! Forward dynamic programming over (step, size) with Pareto sets of (backlog, cost). A label goes when
//! another has neither more backlog nor more cost; that is exact, for what follows never costs less with
//! more backlog. A change of size takes its stop and its warm-up: during the stop nothing else can be
//! changed, while it warms up everything can. Replicas that take time to start are taken to have
//! been asked for in time: their cost is added when they arrive. Every label is a course of action, so
//! the optimum is reached, but for the rounding of backlogs into buckets.

pub mod foresight;
mod labels;
mod trail;

use self::labels::{Label, Labels, advance, merge};
use self::trail::Trail;
use crate::fluid::course::Course;
use crate::fluid::numbers::real;
use crate::fluid::plant::Plant;

/// The share of what one replica processes in a step that two backlogs may differ by and count as equal.
pub const BUCKET: f64 = 0.02;

/// The optimum and how it is reached.
#[derive(Debug, Clone, PartialEq)]
pub struct Limit {
    /// Its cost, in replica-hours (`J*`).
    pub cost: f64,
    /// Steps from which sizes hold, and the sizes.
    pub path: Vec<(usize, u32)>,
}

/// A size worth having and the ways to it.
#[derive(Debug)]
struct State {
    replicas: u32,
    labels: Labels,
    /// Changes to this size that still have a stop or a warm-up ahead, by the step at which they began.
    landing: Vec<(usize, Labels)>,
    /// All labels that may be changed, where a warm-up makes them more than `labels`.
    free: Labels,
}

impl State {
    fn free(&self, warms: bool) -> &Labels {
        if warms { &self.free } else { &self.labels }
    }
}

#[derive(Debug)]
struct Search<'a> {
    course: &'a Course,
    begin: usize,
    bucket: f64,
    states: Vec<State>,
    trail: Trail,
    /// Sets that are made anew in every step, to save their making.
    pools: Vec<Labels>,
    spare: Labels,
}

/// The optimum from the start of step `begin` to the start of step `end`, from no backlog and any size.
/// `bucket`: see [`BUCKET`]; 0 is exact.
pub fn limit(course: &Course, begin: usize, end: usize, bucket: f64) -> Limit {
    search(course, begin, end, bucket, None)
}

/// The optimum from a backlog and a size, or from none and any.
fn search(course: &Course, begin: usize, end: usize, bucket: f64, from: Option<(f64, u32)>) -> Limit {
    let mut search = Search::new(course, begin, bucket * course.nominal(1), from);
    for step in begin..end {
        search.land(step);
        search.change(step);
        search.stay(step);
        search.prune();
    }
    search.best()
}

impl<'a> Search<'a> {
    fn new(course: &'a Course, begin: usize, bucket: f64, from: Option<(f64, u32)>) -> Self {
        let mut trail = Trail::default();
        let mut states: Vec<State> = Vec::new();
        for replicas in course.plant.min_replicas..=course.plant.max_replicas {
            // A size that processes no more than a smaller one is never worth its cost.
            let adds = |state: &State| course.nominal(replicas) > course.nominal(state.replicas) + 1e-9;
            let is_there = from.is_some_and(|(_, size)| size == replicas);
            if is_there || states.last().is_none_or(adds) {
                let mut labels = Labels::new();
                if is_there || from.is_none() {
                    let node = trail.add(begin, replicas, None);
                    let backlog = from.map_or(0.0, |(backlog, _)| backlog);
                    labels.push(Label { backlog, cost: 0.0, node, changed: None });
                }
                states.push(State { replicas, labels, landing: Vec::new(), free: Labels::new() });
            }
        }
        let pools = vec![Labels::new(); states.len()];
        Self { course, begin, bucket, states, trail, pools, spare: Labels::new() }
    }

    /// Takes in the changes whose stop is over.
    fn land(&mut self, step: usize) {
        let Self { course, states, trail, bucket, spare, .. } = self;
        for state in states {
            let is_over = |since: usize| step >= since.saturating_add(course.unsteady_steps);
            while let Some(index) = state.landing.iter().position(|(since, _)| is_over(*since)) {
                let (_, arrived) = state.landing.remove(index);
                join(state, &arrived, *bucket, trail, spare);
            }
        }
    }

    /// Every change of size that begins with this step.
    fn change(&mut self, step: usize) {
        let course = self.course;
        // What has been paid for a replica that starts to process now, since it was asked for.
        let ahead = real(course.start_steps.min(step - self.begin)) * Course::hours(1);
        self.warm(step);
        self.pool(ahead);
        let reread = course.reread(step);
        let Self { states, pools, trail, bucket, spare, .. } = self;
        for (state, pool) in states.iter_mut().zip(pools) {
            advance(pool, *bucket, |label| {
                label.backlog += reread;
                label.cost += course.plant.rescale_cost;
                label.changed = Some(step);
            });
            if course.unsteady_steps == 0 {
                join(state, pool, *bucket, trail, spare);
            } else if !pool.is_empty() {
                state.landing.push((step, pool.clone()));
            }
        }
    }

    /// What is past its stop may be changed again while it warms up: such changes are written down, and the
    /// ways to a size merged for it.
    fn warm(&mut self, step: usize) {
        let Self { course, states, trail, bucket, spare, .. } = self;
        if course.unsteady_steps == course.stop_steps {
            return;
        }
        for State { replicas, labels, landing, free } in states {
            free.clone_from(labels);
            for (_, warming) in landing.iter_mut().filter(|(since, _)| step >= *since + course.stop_steps) {
                note(warming, *replicas, trail);
                merge(free, warming, *bucket, spare);
                std::mem::swap(free, spare);
            }
        }
    }

    /// For each size, all labels of the others; those of lesser sizes with what was paid ahead.
    fn pool(&mut self, ahead: f64) {
        let warms = self.course.unsteady_steps > self.course.stop_steps;
        let Self { states, pools, bucket, spare, .. } = self;
        let mut upward = Labels::new();
        let mut below = 0;
        for (state, pool) in states.iter().zip(pools.iter_mut()) {
            let more = f64::from(state.replicas - below) * ahead;
            for label in &mut upward {
                label.cost += more;
            }
            pool.clone_from(&upward);
            merge(&upward, state.free(warms), *bucket, spare);
            std::mem::swap(&mut upward, spare);
            below = state.replicas;
        }
        let mut downward = Labels::new();
        for (state, pool) in states.iter().zip(pools.iter_mut()).rev() {
            merge(pool, &downward, *bucket, spare);
            std::mem::swap(pool, spare);
            merge(&downward, state.free(warms), *bucket, spare);
            std::mem::swap(&mut downward, spare);
        }
    }

    /// A step, without a change or in the midst of one.
    fn stay(&mut self, step: usize) {
        let (course, bucket) = (self.course, self.bucket);
        for state in &mut self.states {
            let replicas = state.replicas;
            advance(&mut state.labels, bucket, |label| live(course, label, replicas, step, 1.0));
            for (since, labels) in &mut state.landing {
                let able = course.able(step - *since);
                advance(labels, bucket, |label| live(course, label, replicas, step, able));
            }
        }
    }

    fn prune(&mut self) {
        if self.trail.is_long() {
            let nodes = self.states.iter_mut().flat_map(|state| {
                let landing = state.landing.iter_mut().flat_map(|(_, labels)| labels);
                state.labels.iter_mut().chain(landing).map(|label| &mut label.node)
            });
            self.trail.prune(nodes);
        }
    }

    fn best(mut self) -> Limit {
        self.land(usize::MAX);
        let labels = self.states.iter().flat_map(|state| &state.labels);
        let best = labels.min_by(|a, b| a.cost.total_cmp(&b.cost));
        best.map_or(Limit { cost: 0.0, path: Vec::new() }, |label| Limit {
            cost: label.cost,
            path: self.trail.path(label.node),
        })
    }
}

/// One step of a label at a size.
fn live(course: &Course, label: &mut Label, replicas: u32, step: usize, able: f64) {
    label.backlog = course.flow(label.backlog, step, course.capacity_of(replicas, step, able));
    label.cost += Course::hours(replicas);
    if course.is_late(label.backlog, step) {
        label.cost += course.late_cost();
    }
}

/// Adds labels to a state's, and writes down the changes of those that survive.
fn join(state: &mut State, arrived: &[Label], bucket: f64, trail: &mut Trail, spare: &mut Labels) {
    merge(&state.labels, arrived, bucket, spare);
    std::mem::swap(&mut state.labels, spare);
    note(&mut state.labels, state.replicas, trail);
}

/// Writes down the changes to a size.
fn note(labels: &mut Labels, replicas: u32, trail: &mut Trail) {
    for label in labels {
        if let Some(step) = label.changed.take() {
            label.node = trail.add(step, replicas, Some(label.node));
        }
    }
}

/// What the optimum costs where a change stops nothing, takes no time and is free (`J*_0`): the gap from
/// there to the limit is what changing itself costs anybody.
pub fn unhindered(course: &Course, begin: usize, end: usize) -> f64 {
    let plant = Plant {
        stop_seconds: 0.0,
        warmup_seconds: 0.0,
        reread_seconds: 0.0,
        start_seconds: 0.0,
        rescale_cost: 0.0,
        ..course.plant.clone()
    };
    limit(&course.hindered_by(&plant), begin, end, BUCKET).cost
}

/// The least replica-hours that process what arrives from `begin` to `end`, if nothing had to be whole and
/// nothing could wait: the work bound.
pub fn work_bound(course: &Course, begin: usize, end: usize) -> f64 {
    (course.arrived(end) - course.arrived(begin)) / (course.capacity * 3600.0)
}
