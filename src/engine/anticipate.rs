//! Stage 3: the rate to be ready for.
//!
//! Persistence, plus a trend where there is one, plus a margin that calibrates itself: it widens whenever
//! the load has outrun the bound of one reaction time ago, and narrows a little whenever it has not, so that
//! the bound is missed as often as it may be whatever the load does (adaptive conformal inference, Gibbs and
//! Candès 2021, in its form on the bound itself).

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::memory::seconds_between;
use super::tuning::Tuning;

/// How much one miss widens the margin, less the share of times that the bound may be missed of it.
const STEP: f64 = 0.05;
/// The widest margin, relative to the rate.
const WIDEST: f64 = 1.0;

/// The margin and the one bound that waits for its outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Margin {
    /// Relative to the rate, 0 to [`WIDEST`].
    share: f64,
    pending: Option<Pending>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pending {
    due: Timestamp,
    bound: f64,
}

impl Margin {
    /// The rate to be ready for over the next `horizon` seconds, given the rate and its drift per second.
    /// A trend is followed for a minute or so, and to twice the rate at most.
    pub(crate) fn bound(
        &mut self,
        tuning: &Tuning,
        (rate, drift): (f64, f64),
        horizon: f64,
        now: Timestamp,
    ) -> f64 {
        let ahead = (drift * horizon.min(tuning.trend)).min(rate);
        if let Some(pending) = self.pending
            && now >= pending.due
        {
            // A bound that fell due long ago says nothing about this horizon.
            if seconds_between(pending.due, now) <= horizon {
                let missed = if rate > pending.bound { 1.0 } else { 0.0 };
                self.share = (self.share + STEP * (missed - tuning.miss)).clamp(0.0, WIDEST);
            }
            self.pending = None;
        }
        let bound = rate * (1.0 + self.share) + ahead;
        if self.pending.is_none() {
            let ahead = SignedDuration::try_from_secs_f64(horizon).unwrap_or(SignedDuration::from_secs(60));
            self.pending = now.checked_add(ahead).ok().map(|due| Pending { due, bound });
        }
        bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tuning::BALANCED;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_constant_load_needs_no_margin() {
        let mut margin = Margin { share: 0.2, pending: None };
        for turn in 0..200 {
            margin.bound(&BALANCED, (100.0, 0.0), 45.0, at(turn * 45));
        }
        assert!((margin.bound(&BALANCED, (100.0, 0.0), 45.0, at(9045)) - 100.0).abs() < 1e-9);
    }

    #[test]
    fn a_noisy_load_is_missed_as_often_as_it_may_be() {
        let mut margin = Margin::default();
        let mut state = 7_u64;
        let mut missed = 0;
        let mut last = 100.0;
        for turn in 0..4000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let rate = 80.0 + f64::from(u32::try_from(state >> 33).unwrap()) / f64::from(1_u32 << 31) * 40.0;
            if turn > 500 && rate > last {
                missed += 1;
            }
            last = margin.bound(&BALANCED, (rate, 0.0), 45.0, at(turn * 45));
        }
        assert!((1400..1800).contains(&missed), "{missed} of 3500");
    }

    #[test]
    fn a_trend_is_followed_but_not_for_ever() {
        assert!((Margin::default().bound(&BALANCED, (100.0, 1.0), 45.0, at(0)) - 145.0).abs() < 1e-9);
        assert!((Margin::default().bound(&BALANCED, (100.0, 100.0), 45.0, at(0)) - 200.0).abs() < 1e-9);
    }
}
