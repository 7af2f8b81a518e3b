//! What the load did at the same time of past days: a move down is not worth its while where the hours to come have
//! needed more (after Turbine, ICDE 2020, which never goes below what the same hour of past days needed).
//!
//! The day's profile is the mean rate of each quarter of an hour (UTC), smoothed over the days that were seen. What it
//! foretells is scaled to the day's level: how the last hours compare with theirs of past days. It is believed only
//! while it has lately beaten the present rate, out of sample, at what a move down asks: the most that will be needed
//! within the next hours. It must also have beaten itself at another time of the day, or it is no rhythm that makes it
//! right. As that is a matter of whole hours, days whose edges shift by some minutes are alike. Losses are those of an
//! upper quantile (the pinball loss, Koenker and Bassett 1978), for too little is worse than too much.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::estimate::rate::Sample;
use super::memory::seconds_between;
use super::steer::three_digits;

/// Seconds that a slot of the profile covers, and how many make a day.
const SLOT: i64 = 900;
const SLOTS: i64 = 96;
/// The same seconds: what pays for itself sooner is no matter of past days.
pub(crate) const RESOLUTION: f64 = 900.0;
/// The weight of the latest day in a slot.
const WEIGHT: f64 = 0.4;
/// A slot counts where so many seconds of it were seen.
const WHOLE: f64 = 720.0;
/// A look that tells of so many seconds is too coarse for a slot.
const COARSE: f64 = 300.0;
/// So many slots must have been seen before anything is said: two full days.
const LEAST_SEEN: u32 = 192;
/// The hours that a forecast is tried on: so many slots.
const AHEAD: i64 = 8;
const KEPT: usize = 9;
/// The quantile that a forecast is to be.
const QUANTILE: f64 = 0.7;
/// Trials that losses are averaged over: two days of them. Half of them tell enough.
const TRIALS: u32 = 192;
/// Slots to the other time of the day: five hours, which few rhythms go into.
const APART: i64 = 20;
/// A profile is believed once its loss is less than the others' by this share of them, and until it is more by it.
const BETTER: f64 = 0.1;
/// The weight of the latest slot in the day's level: six hours count.
const LEVEL_WEIGHT: f64 = 1.0 / 24.0;
/// The day's level is at most so many times that of past days.
const MOST: f64 = 4.0;
/// Seconds by which days begin earlier or later.
const EDGE: i64 = 300;
/// So many slots before its time a fall has come early; one that is further off has not come.
const EARLY: i64 = 2;

/// The day's profile of a workload, and how well it foretells.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Season {
    /// Records per second by slot of the day; `None` where it was never seen whole.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    slots: Vec<Option<f64>>,
    /// When the latest sample ended: older ones teach nothing.
    noted: Option<Timestamp>,
    /// The slot under way by its number since the epoch, the seconds of it that were seen, and what came in them.
    at: i64,
    seconds: f64,
    records: f64,
    /// Slots that were taken in.
    seen: u32,
    /// Records per second of the last hours, and what past days had in the same.
    level: Option<(f64, f64)>,
    /// The slots since the oldest forecast without an outcome, without a gap, oldest first.
    recent: VecDeque<Slot>,
    /// The loss of the profile as a forecast, of the present rate, and of the profile at another time.
    losses: [f64; 3],
    trials: u32,
    believed: bool,
}

/// Records per second of a slot, and the most that was foretold at its end for the slots after it: by the profile, and
/// by the same at another time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Slot(f64, Option<(f64, f64)>);

impl Season {
    /// Takes in a sample of arrivals that can be trusted. One that is not newer than the last, or too coarse for a
    /// slot, teaches nothing.
    pub(crate) fn note(&mut self, sample: &Sample) {
        let (now, seconds) = (sample.at, sample.seconds);
        let counts = seconds > 0.0 && seconds < COARSE && sample.arrived.is_finite() && sample.arrived >= 0.0;
        if !counts || self.noted.is_some_and(|before| now <= before) {
            return;
        }
        self.noted = Some(now);
        let at = slot_of(now, 0);
        if at != self.at {
            if self.seconds >= WHOLE {
                self.take(self.records / self.seconds);
            } else {
                self.recent.clear();
            }
            if at != self.at.saturating_add(1) {
                self.recent.clear();
            }
            (self.at, self.seconds, self.records) = (at, 0.0, 0.0);
        }
        self.seconds += seconds;
        self.records += sample.arrived;
    }

    /// Takes in a slot that is over.
    fn take(&mut self, mean: f64) {
        let Some(index) = index(self.at) else { return };
        if self.slots.len() <= index {
            self.slots.resize(index + 1, None);
        }
        let Some(slot) = self.slots.get_mut(index) else { return };
        let past = *slot;
        let blended = past.map_or(mean, |before| before + WEIGHT * (mean - before));
        *slot = Some(rounded(blended));
        self.seen = self.seen.saturating_add(1);
        if let Some(past) = past {
            let (is, was) = self.level.unwrap_or((mean, past));
            self.level = Some((is + LEVEL_WEIGHT * (mean - is), was + LEVEL_WEIGHT * (past - was)));
        }
        let most = |apart: i64| self.most(self.at.saturating_add(apart)).map(rounded);
        let foretold = most(0).zip(most(APART));
        self.recent.push_back(Slot(mean, foretold));
        if self.recent.len() >= KEPT {
            self.judge();
        }
    }

    /// The most that is foretold for the hours after a slot.
    fn most(&self, at: i64) -> Option<f64> {
        let level = self.level()?;
        (1..=AHEAD)
            .map(|ahead| self.slot(at.saturating_add(ahead)))
            .try_fold(0.0, |most: f64, one| Some(most.max(level * one?)))
    }

    /// Holds the oldest forecast against what came.
    fn judge(&mut self) {
        let Some(Slot(rate, foretold)) = self.recent.pop_front() else { return };
        let Some((foretold, apart)) = foretold else { return };
        let came = self.recent.iter().map(|slot| slot.0).fold(0.0, f64::max);
        self.trials = (self.trials + 1).min(TRIALS);
        for (mean, forecast) in self.losses.iter_mut().zip([foretold, rate, apart]) {
            *mean += (loss(forecast, came) - *mean) / f64::from(self.trials);
        }
        let [own, present, apart] = self.losses;
        let better = if self.believed { 1.0 + BETTER } else { 1.0 - BETTER };
        let beats = own < better * present.min(apart);
        self.believed = self.seen >= LEAST_SEEN && self.trials >= TRIALS / 2 && beats;
    }

    /// Seconds until more than `enough` records per second is to be expected within the next `longest` seconds, by
    /// past days and the present `rate`; `None` where it is not, or past days tell nothing.
    pub(crate) fn until(&self, now: Timestamp, (rate, enough): (f64, f64), longest: f64) -> Option<f64> {
        if !self.believed {
            return None;
        }
        let usual = [-EDGE, 0, EDGE].into_iter().filter_map(|apart| self.slot(slot_of(now, apart)));
        // Where the present is less than usual at this time, so may be what comes.
        let scale = self.level()?.min(rate / usual.reduce(f64::min).filter(|usual| *usual > 0.0)?);
        let over = |at: &i64| self.slot(*at).is_some_and(|past| scale * past > enough);
        let present = slot_of(now, 0);
        // What fell within that time on past days has fallen early today.
        let from = (present..=present.saturating_add(EARLY)).find(|at| !over(at)).unwrap_or(present);
        let next = (from..from.saturating_add(SLOTS)).find(over)?;
        let ahead = seconds_between(now, Timestamp::from_second(next.saturating_mul(SLOT)).ok()?).max(0.0);
        (ahead < longest).then_some(ahead)
    }

    /// How the last hours compare with theirs of past days.
    fn level(&self) -> Option<f64> {
        self.level.filter(|(_, was)| *was > 0.0).map(|(is, was)| (is / was).min(MOST))
    }

    /// What past days had in a slot. It stands as it is: a line between two would smear sharp edges.
    fn slot(&self, at: i64) -> Option<f64> {
        self.slots.get(index(at)?).copied().flatten()
    }
}

/// More digits would only take room.
fn rounded(rate: f64) -> f64 {
    if rate > 0.0 { three_digits(rate) } else { 0.0 }
}

/// What a forecast is worse than the truth, in parts of the greater.
fn loss(foretold: f64, came: f64) -> f64 {
    let scale = came.max(foretold);
    let short = if scale > 0.0 { (came - foretold) / scale } else { 0.0 };
    (QUANTILE * short).max((QUANTILE - 1.0) * short)
}

/// The slot `apart` seconds from now, by its number since the epoch. What is seen at a moment came just before it.
fn slot_of(now: Timestamp, apart: i64) -> i64 {
    (now.as_second() - 1).saturating_add(apart).div_euclid(SLOT)
}

/// The place of a slot in its day.
fn index(at: i64) -> Option<usize> {
    usize::try_from(at.rem_euclid(SLOTS)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    /// A workday from 8 to 18 o'clock, 100 records a second and 1,000.
    fn office(second: i64) -> f64 {
        if (8..18).contains(&(second.rem_euclid(DAY) / 3600)) { 1000.0 } else { 100.0 }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn sample(second: i64, rate: f64) -> Sample {
        Sample { at: at(second), seconds: 60.0, arrived: 60.0 * rate, per_replica: None }
    }

    fn fed(season: &mut Season, days: std::ops::Range<i64>, load: impl Fn(i64) -> f64) {
        for second in (days.start * DAY..days.end * DAY).step_by(60) {
            season.note(&sample(second + 60, load(second)));
        }
    }

    /// Seconds from half past seven until 200 records a second are no longer enough.
    fn until_work(season: &Season, day: i64) -> Option<f64> {
        season.until(at(day * DAY + 7 * 3600 + 1800), (100.0, 200.0), 14_400.0)
    }

    #[test]
    fn two_days_tell_nothing_and_a_third_that_was_foretold_does() {
        let mut season = Season::default();
        fed(&mut season, 0..2, office);
        assert_eq!(until_work(&season, 2), None);
        fed(&mut season, 2..3, office);
        assert_eq!(until_work(&season, 3), Some(1800.0));
        let (noon, evening) = (at(3 * DAY + 12 * 3600), at(3 * DAY + 18 * 3600 + 600));
        assert_eq!(season.until(noon, (1000.0, 1100.0), 14_400.0), None);
        assert_eq!(season.until(evening, (100.0, 200.0), 14_400.0), None, "the night is longer than that");
    }

    #[test]
    fn a_load_that_grows_keeps_its_shape() {
        let mut season = Season::default();
        fed(&mut season, 0..4, office);
        let grown = |second: i64| 1.5 * office(second);
        for second in (4 * DAY..4 * DAY + 7 * 3600 + 1800).step_by(60) {
            season.note(&sample(second + 60, grown(second)));
        }
        let morning = at(4 * DAY + 7 * 3600 + 1800);
        assert_eq!(season.until(morning, (150.0, 1150.0), 14_400.0), Some(1800.0), "{season:?}");
        assert_eq!(season.until(morning, (150.0, 1550.0), 14_400.0), None);
    }

    #[test]
    fn days_that_begin_a_little_earlier_or_later_are_alike() {
        let mut season = Season::default();
        let late =
            |second: i64| second - [0, 240, -420, 540, -240][usize::try_from(second / DAY % 5).unwrap()];
        fed(&mut season, 0..6, |second| office(late(second)));
        let early = until_work(&season, 6);
        assert!(early.is_some_and(|until| (900.0..=1800.0).contains(&until)), "{early:?} {season:?}");
    }

    #[test]
    fn chance_is_no_season() {
        let mut state = 7_u64;
        let draws: Vec<f64> = (0..6 * 48)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                100.0 + f64::from(u32::try_from(state >> 33).unwrap()) / f64::from(1_u32 << 31) * 50.0
            })
            .collect();
        let mut season = Season::default();
        for day in 0..6 {
            // One level for each half hour.
            fed(&mut season, day..day + 1, |second| draws[usize::try_from(second / 1800).unwrap()]);
            assert!(!season.believed, "day {day}: {:?}", season.losses);
        }
    }

    #[test]
    fn a_day_that_has_become_another_is_forgotten() {
        let mut season = Season::default();
        fed(&mut season, 0..5, office);
        assert!(season.believed);
        fed(&mut season, 5..7, |second| office(second + DAY / 2));
        assert!(!season.believed, "{:?}", season.losses);
    }

    #[test]
    fn gaps_and_time_that_runs_backwards_teach_nothing() {
        let mut season = Season::default();
        fed(&mut season, 0..4, office);
        let before = season.clone();
        season.note(&sample(3 * DAY, 1e9));
        season.note(&sample(4 * DAY, 1e9));
        season.note(&sample(4 * DAY + 60, f64::NAN));
        assert_eq!(season, before);
        // Nobody looked for ten days and a half: only what was over before counts.
        season.note(&sample(14 * DAY + DAY / 2, 1000.0));
        assert!(season.recent.is_empty());
        assert_eq!(season.seen, before.seen + 1);
    }

    #[test]
    fn what_is_written_out_is_read_back_as_it_was() {
        let mut season = Season::default();
        fed(&mut season, 0..5, |second| office(second) * 1.234_567);
        let text = serde_json::to_string(&season).unwrap();
        assert_eq!(serde_json::from_str::<Season>(&text).unwrap(), season);
        assert!(text.len() < 1536, "{}", text.len());
    }
}
