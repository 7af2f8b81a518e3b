//! What is scaled: what a move stops, how long new replicas take, what one of them processes.
//!
//! The backlog is one real number, spread over the partitions as the arrivals are: a group is as fast as
//! its busiest member, whose share of the arrivals is what the assignor leaves it with. That keeps the
//! clairvoyant optimum exact ([`crate::simulate::limit`]), for rivals and limit alike.

use serde::Serialize;

use super::error::FluidError;
use super::numbers::real;
use crate::policy::TimeSpan;

/// The plants that have a name, in the order in which they are listed.
pub const PRESETS: [&str; 6] =
    ["consumer-eager", "consumer-cooperative", "flink", "flink-in-place", "flink-heavy", "spark"];

/// The most replicas that a plant may have: sizes are tabulated.
const MOST: u32 = 1000;
/// The most partitions: every one of them is a line of every reading.
const MOST_PARTITIONS: u32 = 100_000;

/// Every figure by its name, and what it is.
pub(crate) const FIGURES: [(&str, &str); 20] = [
    ("stop_seconds", "Time without processing from the moment that the members change."),
    ("warmup_seconds", "Time after a stop until all of the capacity is back."),
    ("warmup_share", "Share of the capacity that is there when warming up begins, 0 to 1."),
    ("reread_seconds", "Time worth of arrivals that a stop has read again."),
    ("start_seconds", "Time from asking for a replica until it processes."),
    ("objective_seconds", "Age of the oldest record that the objective allows."),
    ("rescale_cost", "What a rescale costs, in replica-hours."),
    ("violation_cost", "What a minute over the objective costs, in replica-hours."),
    ("partitions", "Partitions of the topic; 0: any number of replicas shares the work evenly."),
    ("min_replicas", "The fewest replicas; 0: it may rest."),
    ("max_replicas", "The most replicas."),
    (
        "capacity",
        "Records per second of one replica; 0: a twelfth of the rate that 99.5 % of the trace lies under.",
    ),
    ("scaling", "n replicas process what n to this power would if it grew linearly, 0 to 1."),
    ("downstream", "Records per second that what lies downstream takes at the most; 0: any number."),
    ("capacity_noise", "Relative deviation of the capacity from one minute or two to the next."),
    ("skew", "Partition i gets a share of the arrivals proportional to 1 / i^skew (Zipf)."),
    ("delay_seconds", "Time by which everything that is seen of the sources is late."),
    ("gap_share", "Share of the turns at which the sources do not answer, below 1."),
    ("stale_seconds", "Time of each six hours during which the sources' answers do not change any more."),
    ("outage_seconds", "Time during which nothing is processed, from three quarters of the trace on."),
];

/// One kind of workload. Everything can be set by name: see [`Plant::set`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plant {
    /// Its name in reports.
    pub name: String,
    /// Seconds without processing from the moment that the members change.
    pub stop_seconds: f64,
    /// Seconds after a stop until all of the capacity is back.
    pub warmup_seconds: f64,
    /// The share of the capacity that is there when warming up begins.
    pub warmup_share: f64,
    /// Seconds worth of arrivals that a stop has read again: half a checkpoint interval on average.
    pub reread_seconds: f64,
    /// Seconds from asking for a replica until it processes.
    pub start_seconds: f64,
    /// The age of the oldest record that the objective allows, in seconds.
    pub objective_seconds: f64,
    /// What a rescale costs, in replica-hours (`c_s`).
    pub rescale_cost: f64,
    /// What a minute over the objective costs, in replica-hours (`c_v`).
    pub violation_cost: f64,
    /// Partitions of the topic; 0: any number of replicas shares the work evenly.
    pub partitions: u32,
    /// The fewest replicas.
    pub min_replicas: u32,
    /// The most replicas.
    pub max_replicas: u32,
    /// Records per second of one replica; 0: a twelfth of the rate that 99.5 % of the trace lies under.
    pub capacity: f64,
    /// n replicas process what `n^scaling` would if it grew linearly.
    pub scaling: f64,
    /// Records per second that what lies downstream takes at the most; 0: any number.
    pub downstream: f64,
    /// Relative deviation of the capacity from one minute or two to the next.
    pub capacity_noise: f64,
    /// Partition i gets a share of the arrivals proportional to `1 / i^skew` (Zipf).
    pub skew: f64,
    /// Seconds by which everything that is seen of the sources is late.
    pub delay_seconds: f64,
    /// Share of the turns at which the sources do not answer.
    pub gap_share: f64,
    /// Seconds of each six hours during which the sources' answers do not change any more.
    pub stale_seconds: f64,
    /// Seconds during which nothing is processed, from three quarters of the trace on.
    pub outage_seconds: f64,
}

impl Plant {
    /// The plant of that name.
    pub fn preset(name: &str) -> Option<Self> {
        // Seconds of stop, re-read, start and objective, and what a rescale costs.
        let (stop, reread, start, objective, rescale) = match name {
            "consumer-eager" => (15.0, 0.0, 0.0, 60.0, 0.05),
            // Only what changes hands waits: until then the smaller of the two sizes does the work.
            "consumer-cooperative" => (0.0, 0.0, 15.0, 60.0, 0.05),
            "flink" => (60.0, 0.0, 0.0, 120.0, 0.5),
            // Measured on Flink 2.3: a stop of half a second, then up to 5 s are read again.
            "flink-in-place" => (0.5, 2.5, 0.0, 60.0, 0.02),
            "flink-heavy" => (180.0, 0.0, 0.0, 300.0, 2.0),
            // Measured on Spark 4.2: no stop, and 12 s until an executor of a new worker takes tasks. The rest of the 45 is
            // assumed: a Pod's way onto a node, and its image.
            "spark" => (0.0, 0.0, 45.0, 120.0, 0.05),
            _ => return None,
        };
        Some(Self::of(name, [stop, reread, start, objective, rescale]))
    }

    /// Seconds of stop, re-read, start and objective, and what a rescale costs; all else as usual.
    pub(crate) fn of(name: &str, [stop, reread, start, objective, rescale]: [f64; 5]) -> Self {
        Self {
            name: name.to_owned(),
            stop_seconds: stop,
            warmup_seconds: 0.0,
            warmup_share: 0.5,
            reread_seconds: reread,
            start_seconds: start,
            objective_seconds: objective,
            rescale_cost: rescale,
            violation_cost: 1.0,
            partitions: 24,
            min_replicas: 1,
            max_replicas: 24,
            capacity: 0.0,
            scaling: 1.0,
            downstream: 0.0,
            capacity_noise: 0.0,
            skew: 0.0,
            delay_seconds: 0.0,
            gap_share: 0.0,
            stale_seconds: 0.0,
            outage_seconds: 0.0,
        }
    }

    /// Sets one figure by its name, as `start_seconds=30` or `start_seconds=45s`.
    pub fn set(&mut self, assignment: &str) -> Result<(), FluidError> {
        let wrong = |problem: String| FluidError::Plant { problem };
        let (name, text) = assignment
            .split_once('=')
            .ok_or_else(|| wrong(format!("`{assignment}`: expected name=value")))?;
        self.assign(name.trim(), text.trim()).map_err(|problem| wrong(problem.to_string()))
    }

    /// Sets one figure to what a text says.
    pub(crate) fn assign(&mut self, name: &str, text: &str) -> Result<(), Wrong> {
        let is_time = name.ends_with("_seconds");
        let plain = text.parse::<f64>().ok();
        let time = || text.parse::<TimeSpan>().ok().filter(|_| is_time).map(TimeSpan::as_secs_f64);
        let value = plain.or_else(time).filter(|value| (0.0..1e12).contains(value));
        let figure = self.figure(name).ok_or(Wrong::Name)?;
        match (figure, value) {
            (Figure::Real(figure), Some(value)) => *figure = value,
            (Figure::Whole(figure), _) => {
                *figure = text.parse().map_err(|_| Wrong::Whole(text.to_owned()))?;
            }
            (Figure::Real(_), None) => return Err(Wrong::Value(text.to_owned())),
        }
        Ok(())
    }

    fn figure(&mut self, name: &str) -> Option<Figure<'_>> {
        Some(match name {
            "partitions" => Figure::Whole(&mut self.partitions),
            "min_replicas" => Figure::Whole(&mut self.min_replicas),
            "max_replicas" => Figure::Whole(&mut self.max_replicas),
            "stop_seconds" => Figure::Real(&mut self.stop_seconds),
            "warmup_seconds" => Figure::Real(&mut self.warmup_seconds),
            "warmup_share" => Figure::Real(&mut self.warmup_share),
            "reread_seconds" => Figure::Real(&mut self.reread_seconds),
            "start_seconds" => Figure::Real(&mut self.start_seconds),
            "objective_seconds" => Figure::Real(&mut self.objective_seconds),
            "rescale_cost" => Figure::Real(&mut self.rescale_cost),
            "violation_cost" => Figure::Real(&mut self.violation_cost),
            "capacity" => Figure::Real(&mut self.capacity),
            "scaling" => Figure::Real(&mut self.scaling),
            "downstream" => Figure::Real(&mut self.downstream),
            "capacity_noise" => Figure::Real(&mut self.capacity_noise),
            "skew" => Figure::Real(&mut self.skew),
            "delay_seconds" => Figure::Real(&mut self.delay_seconds),
            "gap_share" => Figure::Real(&mut self.gap_share),
            "stale_seconds" => Figure::Real(&mut self.stale_seconds),
            "outage_seconds" => Figure::Real(&mut self.outage_seconds),
            _ => return None,
        })
    }

    /// Whether the figures fit together.
    pub fn check(&self) -> Result<(), FluidError> {
        let problem = if self.max_replicas == 0 || self.max_replicas > MOST {
            format!("max_replicas must lie between 1 and {MOST}")
        } else if self.min_replicas > self.max_replicas {
            format!("min_replicas {} is above max_replicas {}", self.min_replicas, self.max_replicas)
        } else if self.objective_seconds <= 0.0 {
            "objective_seconds must be above 0".to_owned()
        } else if self.gap_share >= 1.0 {
            "gap_share must be below 1".to_owned()
        } else if self.warmup_share > 1.0 {
            "warmup_share must be at most 1".to_owned()
        } else if self.partitions > MOST_PARTITIONS {
            format!("partitions must be at most {MOST_PARTITIONS}")
        } else if self.scaling > 1.0 {
            "scaling must be at most 1: more replicas do not make each of them faster".to_owned()
        } else {
            return Ok(());
        };
        Err(FluidError::Plant { problem })
    }

    /// Each partition's share of the arrivals.
    pub fn shares(&self) -> Vec<f64> {
        let weights: Vec<f64> =
            (1..=self.partitions.max(1)).map(|place| f64::from(place).powf(-self.skew)).collect();
        let all: f64 = weights.iter().sum();
        weights.into_iter().map(|weight| weight / all).collect()
    }

    /// Records per second that 0 to `max_replicas` replicas process when one processes `capacity`.
    /// Never falls with the size: more members never make the busiest one busier.
    pub fn capacities(&self, capacity: f64) -> Vec<f64> {
        let shares = self.shares();
        let mut best = 0.0_f64;
        let mut table = vec![0.0];
        for replicas in 1..=self.max_replicas {
            let even = f64::from(replicas);
            let members = if self.partitions == 0 { even } else { 1.0 / busiest(&shares, replicas) };
            // Sub-linear scaling slows every member down by the same factor.
            let rate = capacity * members * even.powf(self.scaling - 1.0);
            best = best.max(if self.downstream > 0.0 { rate.min(self.downstream) } else { rate });
            table.push(best);
        }
        table
    }
}

/// The share of the arrivals that the busiest of so many members gets: partitions are dealt out in turn,
/// there and back, so that no member gets the best of every round.
fn busiest(shares: &[f64], replicas: u32) -> f64 {
    let members = usize::try_from(replicas).unwrap_or(1).max(1);
    let mut loads = vec![0.0; members];
    for (place, share) in shares.iter().enumerate() {
        let turn = place % (2 * members);
        let member = if turn < members { turn } else { 2 * members - 1 - turn };
        if let Some(load) = loads.get_mut(member) {
            *load += share;
        }
    }
    loads.into_iter().fold(1.0 / (real(shares.len()) * 1e3), f64::max)
}

/// One figure, to be set.
#[derive(Debug)]
enum Figure<'a> {
    Real(&'a mut f64),
    Whole(&'a mut u32),
}

/// What is wrong with an assignment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Wrong {
    /// No figure has the name.
    #[error("there is no such figure: expected one of {}", FIGURES.map(|(name, _)| name).join(", "))]
    Name,
    /// No figure has such a value.
    #[error("`{0}` is no number of at least 0")]
    Value(String),
    /// The figure has to be whole.
    #[error("`{0}` is no whole number of at least 0")]
    Whole(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plant() -> Plant {
        Plant::preset("consumer-eager").unwrap()
    }

    fn close(value: f64, expected: f64) {
        assert!((value - expected).abs() < 1e-9, "{value} is not {expected}");
    }

    #[test]
    fn only_sizes_that_change_the_busiest_share_add_capacity() {
        let table = plant().capacities(100.0);
        assert_eq!(table.len(), 25);
        let rungs: Vec<usize> = (1..=24).filter(|n| table[*n] > table[n - 1] + 1e-6).collect();
        assert_eq!(rungs, [1, 2, 3, 4, 5, 6, 8, 12, 24]);
        close(table[5], 480.0);
        close(table[24], 2400.0);
        let free = Plant { partitions: 0, ..plant() }.capacities(100.0);
        close(free[7], 700.0);
    }

    #[test]
    fn skew_scaling_and_downstream_take_their_share() {
        let skewed = Plant { skew: 0.8, ..plant() };
        close(skewed.shares().iter().sum(), 1.0);
        close(skewed.capacities(100.0)[24], 100.0 / skewed.shares()[0]);
        close(Plant { scaling: 0.5, ..plant() }.capacities(100.0)[4], 200.0);
        close(Plant { downstream: 250.0, ..plant() }.capacities(100.0)[4], 250.0);
    }

    #[test]
    fn figures_are_set_by_name() {
        let mut plant = plant();
        plant.set("start_seconds=30").unwrap();
        plant.set("partitions=12").unwrap();
        close(plant.start_seconds, 30.0);
        assert_eq!(plant.partitions, 12);
        let said = |plant: &mut Plant, text: &str| plant.set(text).unwrap_err().to_string();
        assert!(
            said(&mut plant, "colour=3").starts_with("plant: there is no such figure: expected one of stop_")
        );
        assert_eq!(said(&mut plant, "skew=-1"), "plant: `-1` is no number of at least 0");
        assert_eq!(said(&mut plant, "skew=10s"), "plant: `10s` is no number of at least 0");
        assert_eq!(said(&mut plant, "partitions=1.5"), "plant: `1.5` is no whole number of at least 0");
        plant.set("stop_seconds=2m").unwrap();
        close(plant.stop_seconds, 120.0);
        for (name, _) in FIGURES {
            plant.set(&format!("{name}=1")).unwrap();
        }
        plant.min_replicas = 30;
        plant.max_replicas = 24;
        plant.gap_share = 0.5;
        assert_eq!(plant.check().unwrap_err().to_string(), "plant: min_replicas 30 is above max_replicas 24");
    }

    #[test]
    fn every_preset_is_sound() {
        for name in PRESETS {
            assert_eq!(Plant::preset(name).unwrap().check(), Ok(()), "{name}");
        }
        assert_eq!(Plant::preset("storm"), None);
    }
}
