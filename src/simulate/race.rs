//! Closed loops: a course run by a rule, or along a path that is known beforehand. By the engine: [`crate::fluid::run`].

use super::rivals::{Rule, Signals};
use super::weights::Halves;
use crate::fluid::course::Course;
use crate::fluid::run::{Run, initial};
use crate::fluid::running::{Moment, Moved, Running};
use crate::fluid::sight::Sight;

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
