//! What one heat measured.

use serde::{Deserialize, Serialize};

use super::contender::{Contender, LEAST};
use super::course::{COST, Course};
use super::witness::{Batch, Stay};

/// One contender on one course. Times are seconds since the first that counts.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    pub(crate) contender: Contender,
    pub(crate) course: Course,
    /// When it ended.
    pub(crate) at: String,
    /// Of the machine, before and after.
    pub(crate) load_average: [f64; 2],
    pub(crate) seconds: f64,
    pub(crate) executors: Vec<Stay>,
    pub(crate) batches: Vec<Batch>,
    pub(crate) ages: Vec<(f64, f64)>,
    pub(crate) rates: Vec<(f64, u64)>,
}

/// What both are judged by.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Figures {
    pub(crate) started: usize,
    pub(crate) removed: usize,
    pub(crate) executor_seconds: f64,
    /// Executor-seconds that the records took.
    pub(crate) busy_seconds: f64,
    /// Executors on average over the last fifth.
    pub(crate) at_last: f64,
    /// Seconds until there were never again more executors than 1.3 times the need; none where there still are.
    pub(crate) settled: Option<f64>,
    pub(crate) batches: usize,
    /// Batches that took longer than the trigger interval.
    pub(crate) missed: usize,
    pub(crate) p95: f64,
    pub(crate) worst: f64,
    /// Seconds with a record older than the objective allows.
    pub(crate) late: f64,
    pub(crate) oldest: f64,
    /// Changes of direction in an hour.
    pub(crate) turns_per_hour: f64,
}

impl Record {
    /// Counts.
    pub(crate) fn figures(&self) -> Figures {
        let trigger = f64::from(self.course.trigger());
        let mut took: Vec<f64> = self.batches.iter().map(|batch| batch.took).collect();
        took.sort_by(f64::total_cmp);
        let records: u64 = self.batches.iter().map(|batch| batch.records).sum();
        let executor_seconds = self.between(0.0, self.seconds);
        let fifth = self.seconds / 5.0;
        let ages = self.ages.iter().map(|(_, age)| *age);
        Figures {
            started: self.executors.iter().filter(|stay| stay.from > 0.0).count(),
            removed: self.executors.iter().filter(|stay| stay.to <= self.seconds).count(),
            executor_seconds,
            busy_seconds: number(records) * f64::from(COST) / 1000.0,
            at_last: self.between(self.seconds - fifth, self.seconds) / fifth,
            settled: self.settled(),
            batches: took.len(),
            missed: took.iter().filter(|took| **took > trigger).count(),
            p95: took.get((took.len() * 95).div_ceil(100).saturating_sub(1)).copied().unwrap_or(0.0),
            worst: took.last().copied().unwrap_or(0.0),
            late: number(ages.clone().filter(|age| *age > f64::from(self.course.objective())).count()),
            oldest: ages.fold(0.0, f64::max),
            turns_per_hour: number(self.turns()) * 3600.0 / self.seconds,
        }
    }

    /// Executor-seconds between two moments.
    fn between(&self, from: f64, to: f64) -> f64 {
        self.executors.iter().map(|stay| (stay.to.min(to) - stay.from.max(from)).max(0.0)).sum()
    }

    /// Every change of the number of executors: when, and to how many.
    pub(crate) fn sizes(&self) -> Vec<(f64, i32)> {
        let mut steps: Vec<(f64, i32)> = Vec::new();
        for stay in &self.executors {
            steps.push((stay.from.max(0.0), 1));
            if stay.to <= self.seconds {
                steps.push((stay.to, -1));
            }
        }
        steps.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let mut size = 0;
        let mut sizes: Vec<(f64, i32)> = Vec::new();
        for (at, step) in steps {
            size += step;
            match sizes.last_mut() {
                Some((last, there)) if *last >= at => *there = size,
                _ => sizes.push((at, size)),
            }
        }
        sizes
    }

    /// How often the number of executors has gone up after it went down, or down after up.
    fn turns(&self) -> usize {
        let sizes = self.sizes();
        let ups: Vec<bool> =
            sizes.iter().zip(sizes.iter().skip(1)).map(|((_, from), (_, to))| to > from).collect();
        ups.iter().zip(ups.iter().skip(1)).filter(|(before, after)| before != after).count()
    }

    /// Only where the need stays the same.
    fn settled(&self) -> Option<f64> {
        let rate = self.rates.first().map_or(0, |(_, rate)| *rate);
        if self.rates.iter().any(|(_, other)| *other != rate) {
            return None;
        }
        let need = Course::busy(rate).ceil().max(f64::from(LEAST));
        let sizes = self.sizes();
        match sizes.iter().rposition(|(_, size)| f64::from(*size) > 1.3 * need) {
            None => Some(0.0),
            Some(last) => sizes.get(last + 1).map(|(at, _)| *at),
        }
    }
}

fn number(count: impl TryInto<u32>) -> f64 {
    f64::from(count.try_into().unwrap_or(u32::MAX))
}
