//! The closed loop: a course run by the engine, with the same readings, turns and decisions as the daemon's.

use super::course::{Course, STEP};
use super::running::{Moment, Moved, Running};
use super::sight::{Eyes, Sight, time};
use crate::engine::{Memory, evaluate_wordless};
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
    pub(crate) fn new(course: &Course, begin: usize) -> Self {
        Self {
            begin,
            moments: Vec::with_capacity(course.steps() - begin),
            moves: Vec::new(),
            blind_lowers: Vec::new(),
        }
    }

    pub(crate) fn end(mut self, plant: &Running<'_>) -> Self {
        self.moves = plant.moves().to_vec();
        self
    }
}

/// The size that everybody starts with: enough for the first step's arrivals at four fifths, and never none,
/// from where not every rule finds back.
pub(crate) fn initial(course: &Course) -> u32 {
    let (least, most) = (course.plant.min_replicas.max(1), course.plant.max_replicas);
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
        let (after, decision) = evaluate_wordless(rules, memory, observation, time(step));
        memory = after;
        if let Some(change) = decision.change {
            let before = plant.asked();
            if plant.ask(change.replicas.0) && plant.asked() < before && sight.is_blind(step, seen) {
                run.blind_lowers.push(step);
            }
        }
        let moment = plant.advance();
        sight.note(moment);
        run.moments.push(moment);
    }
    run.end(&plant)
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
        preset: crate::policy::preset::Preset::Balanced,
        knobs: crate::policy::preset::Knobs::default(),
        schedules: Vec::new(),
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
