//! The closed loop: a course run by the engine, with the same readings, turns and decisions as the daemon's.

use super::course::{Course, STEP};
use super::running::{Moment, Moved, Running};
use super::sight::{Eyes, Sight};
use crate::engine::{Decision, Memory, Observation, evaluate_wordless};
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

/// A closed loop under way: the plant, what is seen of it, and what the engine remembers.
#[derive(Debug)]
pub struct Loop<'a> {
    course: &'a Course,
    plant: Running<'a>,
    sight: Sight<'a>,
    eyes: Eyes<'a>,
    memory: Memory,
    blind_lowers: Vec<usize>,
}

/// One turn, and the step that followed it.
#[derive(Debug)]
pub struct Turned<'a> {
    /// What was seen.
    pub observation: &'a Observation,
    /// What was decided.
    pub decision: Decision,
    /// What the step brought.
    pub moment: Moment,
}

impl<'a> Loop<'a> {
    /// At the start of a course that the engine knows nothing of, with sources that can tell the objective's age.
    pub fn new(course: &'a Course, rules: &Rules, seed: u64) -> Self {
        Self {
            course,
            plant: Running::new(course, 0, initial(course)),
            sight: Sight::new(course, seed),
            eyes: Eyes::new(course, rules.window().as_secs_f64()),
            memory: Memory::default(),
            blind_lowers: Vec::new(),
        }
    }

    /// Lets the engine decide, does it, and lives through the step.
    pub fn turn(&mut self, rules: &Rules) -> Turned<'_> {
        let step = self.plant.step();
        let seen = self.sight.look(&self.plant);
        let observation = self.eyes.observe(&self.plant, seen);
        let memory = std::mem::take(&mut self.memory);
        let (memory, decision) = evaluate_wordless(rules, memory, observation, self.course.time(step));
        self.memory = memory;
        if let Some(change) = &decision.change {
            let before = self.plant.asked();
            let lowers = self.plant.ask(change.replicas.0) && self.plant.asked() < before;
            if lowers && self.sight.is_blind(step, seen) {
                self.blind_lowers.push(step);
            }
        }
        let moment = self.plant.advance();
        self.sight.note(moment);
        Turned { observation, decision, moment }
    }

    /// The same turn without the engine: nobody looks and nobody decides.
    pub fn idle(&mut self) -> Moment {
        let moment = self.plant.advance();
        self.sight.note(moment);
        moment
    }

    /// Every move so far.
    pub fn moves(&self) -> &[Moved] {
        self.plant.moves()
    }
}

/// The whole course by the engine: the same readings, turns and decisions as the daemon's.
pub fn by_engine(course: &Course, rules: &Rules, seed: u64) -> Run {
    by_engine_under(course, seed, rules, |_, _| {})
}

/// The same where rules may change: `after` is told of every step by its number, and may have them changed from
/// the next one on.
pub fn by_engine_under(
    course: &Course,
    seed: u64,
    rules: &Rules,
    mut after: impl FnMut(&mut Rules, (usize, &Turned<'_>)),
) -> Run {
    let mut rules = rules.clone();
    let mut under_way = Loop::new(course, &rules, seed);
    let mut run = Run::new(course, 0);
    for step in 0..course.steps() {
        let turned = under_way.turn(&rules);
        run.moments.push(turned.moment);
        after(&mut rules, (step, &turned));
    }
    run.blind_lowers = std::mem::take(&mut under_way.blind_lowers);
    run.end(&under_way.plant)
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
        tuning: crate::policy::notches::SelfTuning::Off,
        notches: crate::policy::notches::Notches::default(),
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
