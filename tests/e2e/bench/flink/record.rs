//! What one run measured.

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::arena::CAPACITY;
use super::contender::{Contender, OBJECTIVE};
use super::watch::Moment;
use crate::bench::shape::Shape;
use crate::support::probe::Sample;

/// Within how many seconds moves down are counted together.
const SPELL: f64 = 300.0;

/// One contender under one load. Times are in seconds from the first that counts.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    pub(crate) contender: Contender,
    pub(crate) shape: Shape,
    /// When it ended.
    pub(crate) at: String,
    /// Of the machine, before and after.
    pub(crate) load_average: [f64; 2],
    /// Records produced.
    pub(crate) offered: u64,
    pub(crate) figures: Figures,
    pub(crate) rates: Vec<(f64, u64)>,
    pub(crate) ages: Vec<(f64, f64)>,
    pub(crate) sizes: Vec<(f64, i32)>,
}

/// What everybody is judged by.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Figures {
    pub(crate) seconds: f64,
    pub(crate) slot_seconds: f64,
    pub(crate) restarts: u32,
    /// From the step to the first larger size, and that size.
    pub(crate) first_up: Option<(f64, i32)>,
    /// From the step to a size that keeps up with it.
    pub(crate) right: Option<f64>,
    /// Records, by committed offsets.
    pub(crate) peak_lag: i64,
    pub(crate) worst_age: f64,
    /// Seconds over the objective, and how far over it, summed up over time.
    pub(crate) late: f64,
    pub(crate) excess: f64,
    pub(crate) ups: u32,
    pub(crate) downs: u32,
    /// Within any five minutes.
    pub(crate) most_downs: u32,
    /// By the contender's own word; those that no other size followed.
    pub(crate) decisions: u32,
    pub(crate) in_vain: u32,
}

impl Figures {
    /// Counts what was seen between two moments.
    pub(super) fn measure(
        moments: &[Moment],
        samples: &[Sample],
        (begin, end): (Instant, Instant),
        shape: Shape,
        decisions: u32,
    ) -> Result<Self> {
        let mut figures = Self { seconds: (end - begin).as_secs_f64(), decisions, ..Self::default() };
        let (moments, samples) =
            (within(moments, begin, end, |one| one.at), within(samples, begin, end, |one| one.at));
        ensure!(moments.len() > 10 && samples.len() > 10, "next to nothing was seen");
        figures.of_the_job(&moments, end);
        figures.of_the_records(&samples, end);
        let sizes = Self::sizes(&moments, begin);
        let mut downs = Vec::new();
        for ((_, from), (at, to)) in sizes.iter().zip(sizes.iter().skip(1)) {
            if to > from {
                figures.ups += 1;
            } else {
                downs.push(*at);
            }
        }
        figures.downs = u32::try_from(downs.len())?;
        let spell = |from: &f64| downs.iter().filter(|at| **at >= *from && **at < from + SPELL).count();
        figures.most_downs = u32::try_from(downs.iter().map(spell).max().unwrap_or(0))?;
        figures.in_vain = decisions.saturating_sub(figures.ups + figures.downs);
        if let Some(step) = shape.rises() {
            let (step, rate) = (f64::from(u32::try_from(step)?), shape.rate(step));
            let enough = f64::from(u32::try_from(rate)?) / CAPACITY;
            let before = sizes.iter().rev().find(|(at, _)| *at <= step).context("no first size")?.1;
            let after = || sizes.iter().filter(|(at, _)| *at > step);
            figures.first_up = after().find(|(_, size)| *size > before).map(|(at, size)| (at - step, *size));
            figures.right = if f64::from(before) >= enough {
                Some(0.0)
            } else {
                after().find(|(_, size)| f64::from(*size) >= enough).map(|(at, _)| at - step)
            };
        }
        Ok(figures)
    }

    fn of_the_job(&mut self, moments: &[Moment], end: Instant) {
        let ends = moments.iter().skip(1).map(|one| one.at).chain([end]);
        for (moment, to) in moments.iter().zip(ends) {
            self.slot_seconds += f64::from(moment.slots) * (to - moment.at).as_secs_f64();
        }
        for (before, after) in moments.iter().zip(moments.iter().skip(1)) {
            self.restarts += u32::from(before.born != after.born);
        }
    }

    fn of_the_records(&mut self, samples: &[Sample], end: Instant) {
        let ends = samples.iter().skip(1).map(|one| one.at).chain([end]);
        for (sample, to) in samples.iter().zip(ends) {
            let (lasted, over) = ((to - sample.at).as_secs_f64(), sample.age - f64::from(OBJECTIVE));
            self.late += if over > 0.0 { lasted } else { 0.0 };
            self.excess += over.max(0.0) * lasted;
            self.worst_age = self.worst_age.max(sample.age);
            self.peak_lag = self.peak_lag.max(sample.backlog);
        }
    }

    /// Ages of the oldest record, by the probe.
    pub(super) fn ages(samples: &[Sample], begin: Instant, end: Instant) -> Vec<(f64, f64)> {
        let seen = within(samples, begin, end, |one| one.at);
        seen.iter().map(|sample| ((sample.at - begin).as_secs_f64(), sample.age)).collect()
    }

    /// Every size that the job has had with all tasks at work; the first is the one at the beginning.
    pub(super) fn sizes(moments: &[Moment], begin: Instant) -> Vec<(f64, i32)> {
        let mut sizes: Vec<(f64, i32)> = Vec::new();
        for moment in moments.iter().filter(|one| one.works && one.at >= begin) {
            let size = i32::try_from(moment.parallelism).unwrap_or(i32::MAX);
            if sizes.last().is_none_or(|(_, last)| *last != size) {
                let at = if sizes.is_empty() { 0.0 } else { (moment.at - begin).as_secs_f64() };
                sizes.push((at, size));
            }
        }
        sizes
    }
}

fn within<T: Copy>(all: &[T], begin: Instant, end: Instant, at: impl Fn(&T) -> Instant) -> Vec<T> {
    all.iter().filter(|one| at(one) >= begin && at(one) <= end).copied().collect()
}
