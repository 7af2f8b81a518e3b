//! A history run again: the same engine, on a plant like the workload, under other constants.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::history::History;
use super::hour::{Hour, Level};
use crate::engine::tuning;
use crate::fluid::course::{Course, STEP};
use crate::fluid::numbers::{count, real};
use crate::fluid::plant::Plant;
use crate::fluid::run::Loop;
use crate::fluid::running::Moment;
use crate::fluid::trace::Trace;
use crate::policy::notches::Notches;
use crate::policy::rules::PartitionRule;
use crate::policy::{Objective, Rules, TimeSpan};

/// Gaps up to so many minutes are bridged in a straight line; what lies on either side of a longer one is run by itself.
const BRIDGED: usize = 10;
/// What is shorter than so many minutes is not run.
const SHORTEST: usize = 240;
/// Minutes at the start of every stretch that are not judged: the engine knows nothing yet.
const WARM_UP: usize = 120;
/// With more partitions than this they are taken to share evenly: every one is a line of every reading.
const MOST_PARTITIONS: u32 = 256;
const STEPS_PER_MINUTE: usize = 4;
/// Of the last day so many hours must have been carried out, for it to be told whether a run resembles them.
const LEAST_CARRIED_OUT: f64 = 12.0;
/// A run resembles what really was where it took at most so many times the replica-hours, or one part in so many ...
const RESEMBLING: f64 = 1.25;
/// ... and where it was so many minutes over the objective more, or less, in a day at the most.
const LATE_OFF: f64 = 15.0;

/// What one half of a history cost.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Bill {
    /// Hours that were judged.
    pub hours: f64,
    /// Replica-hours.
    pub replica_hours: f64,
    /// Minutes over the objective.
    pub late_minutes: f64,
    /// Changes of the replicas asked for.
    pub moves: u32,
    /// All of it in replica-hours, by the preset's weights and what a move was measured to cost.
    pub cost: f64,
}

/// What a history cost under some constants.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Bills {
    /// The older half of what is judged.
    pub older: Bill,
    /// The newer half.
    pub newer: Bill,
    /// The hours of the last day of which it is known what really was, and what it was.
    pub lately: Bill,
}

/// A history, ready to be run.
#[derive(Debug, Clone)]
pub struct Rehearsal {
    stretches: Vec<Stretch>,
    /// What the last day really was, as far as decisions were carried out: hours since 1970, and their levels.
    lately: BTreeMap<i64, Level>,
    rules: Rules,
    /// Replica-hours that a minute over the objective and a move are worth.
    worth: (f64, f64),
    /// Turns are so many steps apart.
    every: usize,
    /// Of all judged steps, so many belong to the older half.
    older: usize,
}

/// Minutes without a gap.
#[derive(Debug, Clone)]
struct Stretch {
    course: Course,
    /// What one replica was believed to process at its start.
    capacity: f64,
}

impl Rehearsal {
    /// Of a history under the rules in force. `None` where it tells too little to be run.
    pub fn of(history: &History, rules: &Rules) -> Option<Self> {
        let Objective::MaxLag { .. } = rules.objective else { return None };
        let levels = Levels::of(history)?;
        let plant = levels.plant(rules)?;
        let runs = runs(history);
        let stretches: Vec<Stretch> = runs.iter().filter_map(|run| stretch(run, &plant, &levels)).collect();
        let judged: usize = stretches.iter().map(Stretch::judged).sum();
        let lately = levels.lately();
        let even = plant.partitions == 0;
        let every = count((rules.interval.as_secs_f64() / STEP).round()).max(1);
        let rules = Rules {
            interval: TimeSpan(std::time::Duration::from_secs_f64(STEP * real(every))),
            partitions: if even { PartitionRule::AllowIdleConsumers } else { rules.partitions },
            paused: false,
            ..rules.clone()
        };
        let price = tuning::worth_of_a_move(&rules, plant.stop_seconds, plant.start_seconds);
        let worth = (tuning::worth_of_a_minute(&rules), price);
        (judged > 0).then_some(Self { stretches, lately, rules, worth, every, older: judged / 2 })
    }

    /// What the history would have cost with so many notches.
    pub fn bills(&self, notches: Notches) -> Bills {
        let mut bills = Bills::default();
        let mut judged = 0;
        for stretch in &self.stretches {
            let rules = Rules { notches, capacity_per_replica: Some(stretch.capacity), ..self.rules.clone() };
            let mut under_way = Loop::new(&stretch.course, &rules, 0);
            for step in 0..stretch.course.steps() {
                let before = under_way.moves().len();
                let moment =
                    if step % self.every == 0 { under_way.turn(&rules).moment } else { under_way.idle() };
                if step < WARM_UP * STEPS_PER_MINUTE {
                    continue;
                }
                let moves = under_way.moves().len() - before;
                let half = if judged < self.older { &mut bills.older } else { &mut bills.newer };
                half.add(&moment, moves);
                judged += 1;
                if self.lately.contains_key(&stretch.hour(step)) {
                    bills.lately.add(&moment, moves);
                }
            }
        }
        let (minute, per_move) = self.worth;
        for bill in [&mut bills.older, &mut bills.newer, &mut bills.lately] {
            bill.cost = bill.replica_hours + minute * bill.late_minutes + per_move * f64::from(bill.moves);
        }
        bills
    }

    /// Whether what `now` says of the last day is about what really was: replica-hours within a quarter, and minutes
    /// over the objective within a few. Where less than half a day was carried out there is no saying.
    pub fn resembles(&self, now: &Bills) -> bool {
        let hours = real(self.lately.len());
        let sum = |figure: fn(&Level) -> Option<f64>| self.lately.values().filter_map(figure).sum::<f64>();
        let replicas = sum(|level| level.replicas);
        let late = sum(|level| level.late_minutes);
        // Hours that could not be run are not compared.
        let run = now.lately.hours;
        let off = now.lately.replica_hours / (replicas * run / hours.max(1.0)).max(1e-9);
        let late_off = (now.lately.late_minutes - late * run / hours.max(1.0)).abs();
        run >= LEAST_CARRIED_OUT && (1.0 / RESEMBLING..=RESEMBLING).contains(&off) && late_off <= LATE_OFF
    }

    /// Decisions that one run takes.
    pub fn turns(&self) -> usize {
        self.stretches.iter().map(|stretch| stretch.course.steps()).sum::<usize>() / self.every
    }
}

impl Bill {
    fn add(&mut self, moment: &Moment, moves: usize) {
        self.hours += STEP / 3600.0;
        self.replica_hours += Course::hours(moment.replicas);
        self.late_minutes += if moment.is_late { STEP / 60.0 } else { 0.0 };
        self.moves += u32::try_from(moves).unwrap_or(u32::MAX);
    }
}

impl Stretch {
    /// The hour since 1970 that a step lies in.
    fn hour(&self, step: usize) -> i64 {
        self.course.time(step).as_second().div_euclid(3600)
    }

    fn judged(&self) -> usize {
        self.course.steps().saturating_sub(WARM_UP * STEPS_PER_MINUTE)
    }
}

/// The levels of every hour, and what is usual of them.
struct Levels<'a> {
    hours: Vec<&'a Hour>,
    capacity: f64,
}

impl<'a> Levels<'a> {
    fn of(history: &'a History) -> Option<Self> {
        let hours: Vec<&Hour> = history.hours().collect();
        let capacity = median(hours.iter().filter_map(|hour| hour.level.capacity))?;
        Some(Self { hours, capacity })
    }

    /// The latest figure that was known of a kind.
    fn last<T>(&self, figure: impl Fn(&Level) -> Option<T>) -> Option<T> {
        self.hours.iter().rev().find_map(|hour| figure(&hour.level))
    }

    /// The hours of the last day during which decisions were carried out.
    fn lately(&self) -> BTreeMap<i64, Level> {
        let day = self.hours.iter().rev().take(24).filter(|hour| hour.level.replicas.is_some());
        day.map(|hour| (hour.at, hour.level)).collect()
    }

    /// A plant like the workload.
    fn plant(&self, rules: &Rules) -> Option<Plant> {
        let stop = self.last(|level| level.lower_seconds)?;
        let start = (self.last(|level| level.raise_seconds)? - stop).max(0.0);
        let objective = rules.window().as_secs_f64();
        let partitions = self.last(|level| level.partitions).filter(|count| {
            *count <= MOST_PARTITIONS && rules.partitions != PartitionRule::AllowIdleConsumers
        });
        let partitions = partitions.unwrap_or(0);
        let share = self.last(|level| level.busiest_share);
        let plant = Plant {
            partitions,
            skew: share.map_or(0.0, |share| exponent(partitions, share)),
            min_replicas: rules.min_replicas.0,
            max_replicas: rules.max_replicas.0,
            ..Plant::of("history", [stop, 0.0, start, objective, 0.0])
        };
        plant.check().ok().map(|()| plant)
    }

    /// What one replica processed in an hour, in parts of what is usual: as in the nearest hour before of which it
    /// is known, or the first after.
    fn pace(&self, hour: i64) -> f64 {
        let known = |hour: &&&Hour| hour.level.capacity.is_some();
        let before = self.hours.iter().rev().filter(|one| one.at <= hour).find(known);
        let found = before.or_else(|| self.hours.iter().find(known));
        found.and_then(|hour| hour.level.capacity).map_or(1.0, |capacity| capacity / self.capacity)
    }
}

/// Minutes in a row, the first since 1970 and their rates.
type Run = (i64, Vec<f64>);

/// The history in runs without a gap.
fn runs(history: &History) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let minutes = history.hours().flat_map(|hour| {
        let first = hour.at * 60;
        (first..).zip(hour.rates())
    });
    for (minute, rate) in minutes {
        let Some(rate) = rate else { continue };
        if let Some((first, rates)) = runs.last_mut() {
            let next = *first + i64::try_from(rates.len()).unwrap_or(0);
            let gap = usize::try_from(minute - next).unwrap_or(usize::MAX);
            if gap <= BRIDGED {
                let last = rates.last().copied().unwrap_or(rate);
                rates.extend((1..=gap).map(|nth| last + (rate - last) * real(nth) / real(gap + 1)));
                rates.push(rate);
                continue;
            }
        }
        runs.push((minute, vec![rate]));
    }
    runs.retain(|(_, rates)| rates.len() >= SHORTEST);
    runs
}

fn stretch((first, rates): &Run, plant: &Plant, levels: &Levels<'_>) -> Option<Stretch> {
    let begins = Timestamp::from_second(first * 60).ok()?;
    let pace: Vec<f64> = (0..rates.len())
        .flat_map(|nth| {
            let hour = (first + i64::try_from(nth).unwrap_or(0)).div_euclid(60);
            std::iter::repeat_n(levels.pace(hour), STEPS_PER_MINUTE)
        })
        .collect();
    let capacity = levels.capacity * pace.first().copied()?;
    let trace = Trace { name: plant.name.clone(), step: 60.0, rates: rates.clone() };
    let course = Course::new(&trace, &Plant { capacity: levels.capacity, ..plant.clone() }, 0).ok()?;
    Some(Stretch { course: course.lived(begins, pace), capacity })
}

/// The exponent of Zipf's law by which the busiest of so many partitions gets that share.
fn exponent(partitions: u32, share: f64) -> f64 {
    let busiest = |skew: f64| 1.0 / (1..=partitions).map(|place| f64::from(place).powf(-skew)).sum::<f64>();
    // Shares are counted over a short while: a little more than even is even.
    if partitions == 0 || share <= 1.1 * busiest(0.0) {
        return 0.0;
    }
    let (mut low, mut high) = (0.0, 4.0);
    for _ in 0..30 {
        let middle = f64::midpoint(low, high);
        if busiest(middle) < share { low = middle } else { high = middle }
    }
    low
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
