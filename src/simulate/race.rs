//! Closed loops: a course run by the engine, by a rule, or along a path that is known beforehand.

use super::course::{Course, STEP};
use super::rivals::{Rule, Signals};
use super::running::{Moment, Moved, Running};
use super::sight::{Eyes, Sight, time};
use crate::engine::{Memory, evaluate};
use crate::policy::{Replicas, Rules};

/// What became of a course.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// The step that the first moment belongs to.
    pub begin: usize,
    /// One entry per step.
    pub moments: Vec<Moment>,
    /// Every change of the replicas asked for.
    pub moves: Vec<Moved>,
    /// Steps of moves down at turns at which nothing could be known.
    pub blind_lowers: Vec<usize>,
}

impl Run {
    fn new(course: &Course, begin: usize) -> Self {
        Self {
            begin,
            moments: Vec::with_capacity(course.steps() - begin),
            moves: Vec::new(),
            blind_lowers: Vec::new(),
        }
    }

    fn end(mut self, plant: &Running<'_>) -> Self {
        self.moves = plant.moves().to_vec();
        self
    }
}

/// The size that everybody starts with: enough for the first step's arrivals at four fifths.
fn initial(course: &Course) -> u32 {
    let (least, most) = (course.plant.min_replicas, course.plant.max_replicas);
    let needed = course.arriving(0) / 0.8;
    (least..most).find(|replicas| course.nominal(*replicas) >= needed).unwrap_or(most)
}

/// The whole course by the engine: the same readings, turns and decisions as the daemon's.
pub fn by_engine(course: &Course, rules: &Rules, seed: u64) -> Run {
    let mut plant = Running::new(course, 0, initial(course));
    let (mut sight, mut eyes) = (Sight::new(course, seed), Eyes::new(course, rules.window().as_secs_f64()));
    let mut memory = Memory::default();
    let mut run = Run::new(course, 0);
    for step in 0..course.steps() {
        let seen = sight.look(&plant);
        let observation = eyes.observe(&plant, seen);
        let (after, decision) = evaluate(rules, memory, observation, time(step));
        memory = after;
        if let Some(change) = decision.change {
            ask(&mut plant, change.replicas.0, sight.is_blind(step, seen), &mut run);
        }
        live(&mut plant, &mut sight, &mut run);
    }
    run.end(&plant)
}

/// The whole course by a rule.
pub fn by_rule(course: &Course, rule: &mut dyn Rule, seed: u64) -> Run {
    let mut plant = Running::new(course, 0, initial(course));
    let mut sight = Sight::new(course, seed);
    let mut run = Run::new(course, 0);
    for _ in 0..course.steps() {
        let seen = sight.look(&plant);
        let signals = Signals { second: plant.second(), asked: plant.asked(), ready: plant.members(), seen };
        let blind = sight.is_blind(plant.step(), seen);
        ask(&mut plant, rule.desired(&signals), blind, &mut run);
        live(&mut plant, &mut sight, &mut run);
    }
    run.end(&plant)
}

/// From step `begin` along a path of steps and sizes, with no backlog before. What takes time to start is
/// asked for in time.
pub fn by_path(course: &Course, path: &[(usize, u32)], begin: usize) -> Run {
    let first = path.first().map_or(course.plant.min_replicas, |(_, replicas)| *replicas);
    let sizes = sizes(path, begin, course.steps());
    let ahead = course.start_steps;
    let asked = |step: usize| {
        let from = step.max(begin) - begin;
        let until = (step + ahead + 1).saturating_sub(begin).min(sizes.len());
        sizes.get(from..until.max(from)).and_then(|range| range.iter().max()).copied().unwrap_or(first)
    };
    let mut plant = Running::new(course, begin, first);
    // Those that were asked for before the beginning: the optimum pays for them from there on.
    let mut size = first;
    for (at, replicas) in path.iter().skip(1).take_while(|(at, _)| *at < begin + ahead) {
        plant.expect(*at, replicas.saturating_sub(size));
        size = size.max(*replicas);
    }
    let mut run = Run::new(course, begin);
    for step in begin..course.steps() {
        plant.ask(asked(step));
        run.moments.push(plant.advance());
    }
    run.end(&plant)
}

/// The size of the path at each step.
fn sizes(path: &[(usize, u32)], begin: usize, end: usize) -> Vec<u32> {
    let mut next = path.iter().peekable();
    let mut size = 0;
    (begin..end)
        .map(|step| {
            while let Some((_, replicas)) = next.next_if(|(from, _)| *from <= step) {
                size = *replicas;
            }
            size
        })
        .collect()
}

/// Asks, and takes note of what must never be asked.
fn ask(plant: &mut Running<'_>, replicas: u32, blind: bool, run: &mut Run) {
    let before = plant.asked();
    if plant.ask(replicas) && blind && plant.asked() < before {
        run.blind_lowers.push(plant.step());
    }
}

fn live(plant: &mut Running<'_>, sight: &mut Sight<'_>, run: &mut Run) {
    let moment = plant.advance();
    sight.note(moment);
    run.moments.push(moment);
}

/// The rules that the engine decides by on a plant where no policy says otherwise: the defaults, within
/// the plant's bounds and objective.
pub fn default_rules(course: &Course) -> Rules {
    use crate::policy::rules::PartitionRule;
    use crate::policy::{Objective, TimeSpan};
    let max_lag = TimeSpan(std::time::Duration::from_secs_f64(course.plant.objective_seconds));
    Rules {
        objective: Objective::MaxLag { max_lag, catch_up: TimeSpan(max_lag.0 * 5) },
        min_replicas: Replicas(course.plant.min_replicas),
        max_replicas: Replicas(course.plant.max_replicas),
        activation_lag: 0,
        cooldown: TimeSpan::from_secs(300),
        behavior: crate::policy::behavior::Behavior::default(),
        changes_per_hour: 60,
        fallback: None,
        capacity_per_replica: None,
        partitions: if course.plant.partitions == 0 {
            PartitionRule::AllowIdleConsumers
        } else {
            PartitionRule::Ladder
        },
        interval: TimeSpan(std::time::Duration::from_secs_f64(STEP)),
        paused: false,
        metric_target: None,
    }
}
