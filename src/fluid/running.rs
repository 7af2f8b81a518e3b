//! A plant under way: its members, those still starting, a stop, and the backlog.
//!
//! Replicas are paid for from the moment they are asked for, and process once started; whenever the members
//! change, everything stops for a while. During a stop nothing can be asked for: a rescale has to end
//! before the next begins.

use std::collections::VecDeque;

use super::course::Course;
use super::numbers::real;

/// One change of the replicas asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// The step at whose start it was asked for.
    pub step: usize,
    /// Replicas before.
    pub from: u32,
    /// Replicas after.
    pub to: u32,
}

/// What one step brought.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moment {
    /// Replicas that were paid for.
    pub replicas: u32,
    /// Records that could have been processed.
    pub capacity: f64,
    /// Records that were.
    pub processed: f64,
    /// Records that wait at its end.
    pub backlog: f64,
    /// Age of the oldest of them, in seconds.
    pub age: f64,
    /// Whether that is more than the objective allows.
    pub is_late: bool,
    /// The share of the step during which everything stood still.
    pub stopped: f64,
}

/// A plant under way.
#[derive(Debug, Clone)]
pub struct Running<'a> {
    course: &'a Course,
    step: usize,
    members: u32,
    /// The step at whose start they are ready, and how many.
    starting: VecDeque<(usize, u32)>,
    /// The step at whose start the latest stop began.
    stopped_at: Option<usize>,
    backlog: f64,
    oldest: usize,
    moves: Vec<Moved>,
}

impl<'a> Running<'a> {
    /// A plant with so many members and no backlog, at the start of `step`.
    pub fn new(course: &'a Course, step: usize, members: u32) -> Self {
        Self {
            course,
            step,
            members,
            starting: VecDeque::new(),
            stopped_at: None,
            backlog: 0.0,
            oldest: step,
            moves: Vec::new(),
        }
    }

    /// So many more replicas were asked for before, and will be ready at the start of `step`.
    pub fn expect(&mut self, step: usize, replicas: u32) {
        if replicas > 0 {
            self.starting.push_back((step, replicas));
        }
    }

    /// The step that comes next.
    pub fn step(&self) -> usize {
        self.step
    }

    /// Takes so many members away now; nobody else is asked.
    pub fn release(&mut self, replicas: u32) {
        if replicas > 0 {
            self.members = self.members.saturating_sub(replicas);
            self.stop();
        }
    }

    /// Replicas asked for.
    pub fn asked(&self) -> u32 {
        self.members + self.starting.iter().map(|(_, count)| count).sum::<u32>()
    }

    /// Replicas that process, or will once a stop ends.
    pub fn members(&self) -> u32 {
        self.members
    }

    /// Records that wait.
    pub fn backlog(&self) -> f64 {
        self.backlog
    }

    /// Every move so far.
    pub fn moves(&self) -> &[Moved] {
        &self.moves
    }

    /// Whether a stop lasts beyond the start of the coming step.
    pub fn is_stopped(&self) -> bool {
        self.stopped_at.is_some_and(|began| self.step < began + self.course.stop_steps)
    }

    /// Asks for so many replicas. Whether anything comes of it: nothing does during a stop.
    pub fn ask(&mut self, replicas: u32) -> bool {
        let asked = self.asked();
        let plant = &self.course.plant;
        let replicas = replicas.clamp(plant.min_replicas, plant.max_replicas);
        if replicas == asked || self.is_stopped() {
            return false;
        }
        self.moves.push(Moved { step: self.step, from: asked, to: replicas });
        if replicas > asked {
            self.starting.push_back((self.step + self.course.start_steps, replicas - asked));
        } else {
            self.dismiss(asked - replicas);
        }
        true
    }

    /// Those that have not started go first, the latest of them first.
    fn dismiss(&mut self, mut surplus: u32) {
        while let Some((_, count)) = self.starting.back_mut() {
            let gone = surplus.min(*count);
            *count -= gone;
            surplus -= gone;
            if *count > 0 {
                return;
            }
            self.starting.pop_back();
        }
        if surplus > 0 {
            self.members -= surplus;
            self.stop();
        }
    }

    fn stop(&mut self) {
        self.stopped_at = Some(self.step);
        self.backlog += self.course.reread(self.step);
    }

    /// Adds those that are ready. During a stop they take part in it; otherwise they begin one.
    fn join(&mut self) {
        let step = self.step;
        let mut joined = 0;
        self.starting.retain(|(ready, count)| {
            let is_ready = *ready <= step;
            joined += if is_ready { *count } else { 0 };
            !is_ready
        });
        if joined > 0 {
            self.members += joined;
            if !self.is_stopped() {
                self.stop();
            }
        }
    }

    /// Lives through a step.
    pub fn advance(&mut self) -> Moment {
        self.join();
        let (course, step) = (self.course, self.step);
        let stopped = self.stopped_at.map_or(0.0, |began| course.stopped_share(step - began));
        let able = self.stopped_at.map_or(1.0, |began| course.able(step - began));
        let capacity = course.capacity_of(self.members, step, able);
        let before = self.backlog;
        self.backlog = course.flow(before, step, capacity);
        self.step += 1;
        Moment {
            replicas: self.asked(),
            capacity,
            processed: before + course.arriving(step) - self.backlog,
            backlog: self.backlog,
            age: course.age(course.arrived(step + 1) - self.backlog, step + 1, &mut self.oldest),
            is_late: course.is_late(self.backlog, step),
            stopped,
        }
    }

    /// Seconds since the course began.
    pub fn second(&self) -> f64 {
        real(self.step) * super::course::STEP
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fluid::plant::Plant;
    use crate::fluid::trace::Trace;

    fn course(rates: &[f64], edit: impl Fn(&mut Plant)) -> Course {
        let mut plant = Plant { capacity: 10.0, ..Plant::preset("consumer-eager").unwrap() };
        edit(&mut plant);
        let trace = Trace { name: "test".to_owned(), step: 15.0, rates: rates.to_vec() };
        Course::new(&trace, &plant, 1).unwrap()
    }

    fn close(value: f64, expected: f64) {
        assert!((value - expected).abs() < 1e-6, "{value} is not {expected}");
    }

    #[test]
    fn a_move_stops_everything_and_what_arrives_waits() {
        let course = course(&[10.0; 8], |_| {});
        let mut plant = Running::new(&course, 0, 2);
        close(plant.advance().backlog, 0.0);
        assert!(plant.ask(3));
        let moment = plant.advance();
        close(moment.stopped, 1.0);
        close(moment.backlog, 150.0);
        close(moment.age, 15.0);
        assert_eq!((moment.replicas, plant.is_stopped()), (3, false));
        close(plant.advance().backlog, 0.0);
        assert_eq!(plant.moves(), [Moved { step: 1, from: 2, to: 3 }]);
    }

    #[test]
    fn nothing_is_asked_for_during_a_stop() {
        let course = course(&[10.0; 8], |plant| plant.stop_seconds = 40.0);
        let mut plant = Running::new(&course, 0, 2);
        assert!(plant.ask(3));
        plant.advance();
        assert!(!plant.ask(5));
        plant.advance();
        assert!(!plant.ask(5));
        close(plant.advance().stopped, 10.0 / 15.0);
        assert!(plant.ask(5));
        assert!(!plant.ask(5));
    }

    #[test]
    fn new_replicas_cost_at_once_and_process_once_started() {
        let course = course(&[100.0; 8], |plant| {
            plant.stop_seconds = 0.0;
            plant.start_seconds = 45.0;
        });
        let mut plant = Running::new(&course, 0, 2);
        plant.ask(6);
        let moments: Vec<Moment> = (0..4).map(|_| plant.advance()).collect();
        assert_eq!(moments.iter().map(|moment| moment.replicas).collect::<Vec<_>>(), [6, 6, 6, 6]);
        for (moment, capacity) in moments.iter().zip([300.0, 300.0, 300.0, 900.0]) {
            close(moment.capacity, capacity);
        }
        plant.ask(8);
        plant.ask(5);
        assert_eq!((plant.members(), plant.asked()), (5, 5));
    }

    #[test]
    fn a_stop_has_records_read_again() {
        let course = course(&[10.0; 8], |plant| {
            plant.stop_seconds = 0.5;
            plant.reread_seconds = 3.0;
        });
        let mut plant = Running::new(&course, 0, 2);
        plant.ask(1);
        // 150 arrive, 30 come again, and one replica processes 10/s for 14.5 s.
        close(plant.advance().backlog, 150.0 + 30.0 - 145.0);
        assert!(!plant.is_stopped());
    }

    #[test]
    fn what_arrived_was_processed_or_waits() {
        let rates: Vec<f64> = (0..400).map(|step| f64::from(step * 37 % 101)).collect();
        let course = course(&rates, |plant| plant.capacity_noise = 0.3);
        let mut plant = Running::new(&course, 0, 4);
        let (mut processed, mut random) = (0.0, crate::random::Random::new(3));
        for step in 0..400 {
            if step % 7 == 0 {
                plant.ask(u32::try_from(random.bits() % 24).unwrap() + 1);
            }
            let moment = plant.advance();
            processed += moment.processed;
            assert!(moment.backlog >= 0.0 && moment.processed <= moment.capacity + 1e-6);
            close(processed + moment.backlog, course.arrived(step + 1));
            assert_eq!(moment.is_late, moment.age > 60.0 + 1e-3, "step {step}: {moment:?}");
        }
    }
}
