//! What a streaming engine could do that works in batches with time to spare between them.
//!
//! Executors that are never short of time never show by the records that pass what they can do: half of the day they
//! wait for the next trigger. Their batches show it. While a task runs it processes records as fast as it ever does; and
//! of a batch's seconds, those that its tasks did not take (planning, barriers, the commit) are there at any size, as
//! in Amdahl's law (1967). So with x records per second and replica, a share b of the replicas' time in tasks, batches
//! of T seconds and one every P seconds, one replica could do
//!
//! x / b * (1 - (T - b P) / (u P))
//!
//! with batches that fill a share u of P. Tasks cost a little whatever they process, so that small batches make it too
//! low. It is the least of the last minutes that counts: as a bound from below, which sizes nothing upwards.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::engine::look::Look;
use crate::engine::memory::seconds_between;

/// Seconds that readings are kept for, and that they have to span before they count.
const KEPT_SECONDS: f64 = 180.0;
const COUNTED_FROM: f64 = 60.0;
/// The most readings that are kept.
const KEPT: usize = 24;
/// A smaller share of time in tasks tells nothing but how long a task takes to begin.
const LEAST_BUSY: f64 = 0.01;
/// Batches without a trigger may get so long, as a share of the age that the objective allows: a record waits for the
/// end of one batch, and then for that of its own.
const LONGEST_SHARE: f64 = 0.25;

/// What one replica could do, as the batches of the last minutes show it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct BatchMemory {
    readings: VecDeque<(Timestamp, f64)>,
    /// The least of them; after other replicas have come or gone that of before, until there are enough.
    least: Option<f64>,
}

impl BatchMemory {
    /// Whether nothing was ever told.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Records per second and replica; `None` before anything is known.
    pub(crate) fn least(&self) -> Option<f64> {
        self.least
    }

    /// Adds a reading, in records per second and replica.
    pub(crate) fn push(&mut self, at: Timestamp, one: f64) {
        if !one.is_finite() || one <= 0.0 {
            return;
        }
        self.readings.push_back((at, one));
        while self.readings.len() > KEPT
            || self.readings.front().is_some_and(|(old, _)| seconds_between(*old, at) > KEPT_SECONDS)
        {
            self.readings.pop_front();
        }
        let span = self.readings.front().map_or(0.0, |(first, _)| seconds_between(*first, at));
        if span >= COUNTED_FROM {
            self.least = self.readings.iter().map(|(_, one)| *one).reduce(f64::min);
        }
    }

    /// Starts over: what other replicas did is no reading of these.
    pub(crate) fn disturb(&mut self) {
        self.readings.clear();
    }

    /// Forgets all: another version may be slower.
    pub(crate) fn unsettle(&mut self) {
        *self = Self::default();
    }
}

/// What one replica could do by this look, where it processes `per_replica` records per second. `None` where batches
/// leave no time to spare, or their figures are not known. `fill`: the share of the time between two triggers that
/// batches may take; `allowed`: seconds that the objective lets a record wait.
pub(crate) fn per_replica(look: &Look, per_replica: f64, fill: f64, allowed: f64) -> Option<f64> {
    let [group] = look.groups.as_slice() else { return None };
    let batches = group.batches?;
    let busy = batches.busy_share.filter(|busy| (LEAST_BUSY..=1.0).contains(busy))?;
    let took = batches.seconds.filter(|seconds| seconds.is_finite() && *seconds > 0.0)?;
    let triggers = batches.trigger > 0.0;
    let period = if triggers { batches.trigger } else { took };
    if took > period {
        return None; // They are late already: what they do in that time is all that they can.
    }
    let alone = (took - busy * period).max(0.0);
    let could_be = if triggers { period } else { took.max(LONGEST_SHARE * allowed) };
    let left = 1.0 - alone / (fill * could_be);
    (left > 0.0 && per_replica > 0.0).then_some(per_replica / busy * left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::look::{Batches, Group};

    fn told(per_replica: f64, batches: Batches) -> Option<f64> {
        let group = Group { batches: Some(batches), ..Group::default() };
        let look = Look { groups: vec![group], ..Look::default() };
        super::per_replica(&look, per_replica, 1.0, 40.0)
    }

    #[test]
    fn four_executors_for_a_need_of_one_are_told_from_one() {
        // 30 records/s, 20 ms each; a trigger every 2 s; 0.3 s of planning: 0.6 s with four, 1.5 s with one.
        let batches =
            |busy, seconds| Batches { trigger: 2.0, seconds: Some(seconds), busy_share: Some(busy) };
        let (four, one) = (told(7.5, batches(0.15, 0.6)).unwrap(), told(30.0, batches(0.6, 1.5)).unwrap());
        assert!((four - 42.5).abs() < 1e-9 && (one - four).abs() < 1e-9, "{four} {one}");
    }

    #[test]
    fn what_more_executors_do_not_shorten_leaves_less() {
        let batches = |seconds| Batches { trigger: 2.0, seconds: Some(seconds), busy_share: Some(0.15) };
        assert!(told(7.5, batches(1.3)).unwrap() < 0.6 * told(7.5, batches(0.6)).unwrap());
        assert_eq!(told(7.5, batches(2.1)), None, "late for the next trigger");
        assert_eq!(told(7.5, Batches { busy_share: Some(0.001), ..batches(0.6) }), None);
        assert_eq!(told(7.5, Batches { busy_share: None, ..batches(0.6) }), None);
    }

    #[test]
    fn without_a_trigger_batches_may_get_longer() {
        let batches = |seconds| Batches { trigger: 0.0, seconds: Some(seconds), busy_share: Some(0.3) };
        // 0.7 s of each batch are not its tasks': of 10 s they leave 93 %.
        assert!((told(15.0, batches(1.0)).unwrap() - 50.0 * 0.93).abs() < 1e-9);
        assert!((told(15.0, batches(20.0)).unwrap() - 50.0 * 0.3).abs() < 1e-9, "these are long already");
    }

    #[test]
    fn the_least_of_a_minute_counts_and_outlasts_a_move() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut memory = BatchMemory::default();
        for (second, one) in [(0, 50.0), (30, 40.0)] {
            memory.push(at(second), one);
        }
        assert_eq!(memory.least(), None);
        memory.push(at(60), 45.0);
        assert_eq!(memory.least(), Some(40.0));
        memory.disturb();
        memory.push(at(90), 30.0);
        assert_eq!(memory.least(), Some(40.0));
        memory.push(at(150), 35.0);
        assert_eq!(memory.least(), Some(30.0));
        memory.unsettle();
        assert!(memory.is_empty());
    }
}
