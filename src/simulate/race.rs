//! Closed loops: a course run by the engine, by a rule, or along a path that is known beforehand.

use super::course::{Course, STEP};
use super::rivals::{Rule, Signals};
use super::running::{Moment, Moved, Running};
use super::sight::{Eyes, Sight, time};
use super::weights::Halves;
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

/// The size that everybody starts with: enough for the first step's arrivals at four fifths, and never none,
/// from where not every rule finds back.
fn initial(course: &Course) -> u32 {
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

/// The whole course by a rule.
pub fn by_rule(course: &Course, rule: &mut dyn Rule, seed: u64) -> Run {
    let mut run = Run::new(course, 0);
    let mut blind_lowers = Vec::new();
    let plant =
        drive(course, rule, seed, course.steps(), &mut blind_lowers, |_, moment| run.moments.push(moment));
    run.blind_lowers = blind_lowers;
    run.end(&plant)
}

/// The same up to the start of step `end`, of which only the sums are kept: before `begin` and from there on. Where
/// nothing lies before, learning has to do with what is judged.
pub fn sums_by_rule(course: &Course, rule: &mut dyn Rule, seed: u64, begin: usize, end: usize) -> Halves {
    let mut halves = Halves::default();
    let plant = drive(course, rule, seed, end, &mut Vec::new(), |step, moment| {
        let half = if step < begin { &mut halves.learning } else { &mut halves.judged };
        half.note(&moment);
    });
    let early = plant.moves().iter().filter(|moved| moved.step < begin).count();
    halves.learning.moved(early);
    halves.judged.moved(plant.moves().len() - early);
    if begin == 0 {
        halves.learning = halves.judged;
    }
    halves
}

/// The sums of a run from its first step on.
pub fn sums(run: &Run, begin: usize) -> Halves {
    let mut halves = Halves::default();
    for (step, moment) in run.moments.iter().enumerate() {
        if step < begin { halves.learning.note(moment) } else { halves.judged.note(moment) }
    }
    let early = run.moves.iter().filter(|moved| moved.step < begin).count();
    halves.learning.moved(early);
    halves.judged.moved(run.moves.len() - early);
    halves
}

fn drive<'a>(
    course: &'a Course,
    rule: &mut dyn Rule,
    seed: u64,
    end: usize,
    blind_lowers: &mut Vec<usize>,
    mut note: impl FnMut(usize, Moment),
) -> Running<'a> {
    let mut plant = Running::new(course, 0, initial(course));
    let mut sight = Sight::new(course, seed);
    for step in 0..end {
        let seen = sight.look(&plant);
        let signals = Signals { second: plant.second(), asked: plant.asked(), ready: plant.members(), seen };
        let before = plant.asked();
        if plant.ask(rule.desired(&signals)) && plant.asked() < before && sight.is_blind(step, seen) {
            blind_lowers.push(step);
        }
        let moment = plant.advance();
        sight.note(moment);
        note(step, moment);
    }
    plant
}

/// From step `begin` along a path of steps and sizes, with no backlog before. A change takes effect at its
/// step: what takes time to start was asked for, and is paid for, that much earlier.
pub fn by_path(course: &Course, path: &[(usize, u32)], begin: usize) -> Run {
    let first = path.first().map_or(course.plant.min_replicas, |(_, replicas)| *replicas);
    let mut plant = Running::new(course, begin, first);
    let mut run = Run::new(course, begin);
    let changes: Vec<Moved> = path
        .windows(2)
        .filter_map(|pair| {
            let [(_, from), (step, to)] = pair else { return None };
            (from != to).then_some(Moved { step: *step, from: *from, to: *to })
        })
        .collect();
    let mut ups = changes.iter().filter(|moved| moved.to > moved.from).peekable();
    let mut downs = changes.iter().filter(|moved| moved.to < moved.from).peekable();
    for step in begin..course.steps() {
        while let Some(up) = ups.next_if(|up| up.step <= step + course.start_steps) {
            plant.expect(up.step, up.to - up.from);
        }
        while let Some(down) = downs.next_if(|down| down.step <= step) {
            plant.release(down.from - down.to);
        }
        run.moments.push(plant.advance());
    }
    run.moves = changes;
    run
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
