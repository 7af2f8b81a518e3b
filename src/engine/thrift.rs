//! Whether all of the need is worth having.
//!
//! Rungs lie far apart near the top of a ladder: with 24 partitions there is nothing between 12 and 24. Room to
//! spare is cheap where the next rung is one replica more, and dear where it is twelve: so what is asked for
//! beyond keeping up is weighed as a newsvendor weighs an overstock (Arrow, Harris and Marschak 1951), against the
//! move up that it may save.

use std::fmt::{self, Display};

use super::estimate::Belief;
use super::explain::number;
use super::holds;
use super::size::{self, Load};
use super::tuning::BALANCED;
use super::up::Objective;
use crate::policy::units::Replicas;

/// A size keeps up where it processes so much more than arrives, at the usual utilization.
const ROOM: f64 = 1.03;

/// What is worth having of a need.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Worth {
    /// Replicas.
    pub(crate) to: Replicas,
    need: Replicas,
    /// Records per second that they process.
    serving: f64,
    /// Replica-seconds that the others would stay for, and what another move costs.
    kept: f64,
    price: f64,
}

impl Worth {
    /// Why no more.
    pub(crate) fn words(self) -> impl Display {
        fmt::from_fn(move |to| {
            write!(
                to,
                "{} can process about {} records/s, and the others of {} would stay for {} replica-seconds, where \
                 another move costs {}",
                self.to,
                number(self.serving),
                self.need,
                number(self.kept),
                number(self.price)
            )
        })
    }
}

/// What is worth having of `need`: the least size from `current` on that keeps up with the load's rate, holds the
/// objective through its own move and then clears in time what has piled up, and as many more as stay for less than
/// the price of another move. `None` where that is all of it, or nothing keeps up.
pub(crate) fn worth(
    belief: &Belief,
    objective: Objective,
    load: Load,
    (current, need): (Replicas, Replicas),
) -> Option<Worth> {
    let one = belief.capacity.for_less()?;
    if belief.overdue || current.0 == 0 {
        return None;
    }
    let (age, usable) = (belief.queue_age(load.rate), belief.tuning.usable * objective.max_lag);
    // Whoever asks for a lower utilization has asked for the room.
    let room = ROOM * (BALANCED.utilization / belief.tuning.utilization).max(1.0);
    let keeps_up = |size: &Replicas| {
        // What is there has no move to recover from.
        let (stop, demand) =
            if *size == current { (0.0, load.rate) } else { (belief.raise_stop, load.demand()) };
        size::together(belief, size.0, one) >= (room * load.rate).max(demand) && age + stop <= usable
    };
    let larger =
        belief.ladder.sizes(current.0.saturating_add(1), need.0, holds::SIZES).into_iter().map(Replicas);
    let least = std::iter::once(current).chain(larger).find(keeps_up)?;
    if least == current && belief.trend.is_some_and(|trend| trend.age > belief.ready_age && trend.pace >= 0.0)
    {
        return None; // What is seen says otherwise.
    }
    let most = Replicas::covering(least.as_f64() + (belief.price / belief.tuning.stays).floor())?;
    let to = belief.ladder.within(most).max(least);
    (to < need).then(|| Worth {
        to,
        need,
        serving: size::together(belief, to.0, one),
        kept: (need.as_f64() - to.as_f64()) * belief.tuning.stays,
        price: belief.price,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::estimate::capacity::Capacity;
    use crate::engine::size::tests::belief;

    /// What is worth having of `need` from 8 replicas on, of 24 partitions, where each processes 100 records/s.
    fn worth_of(rate: f64, need: u32, price: f64, edit: impl Fn(&mut Belief)) -> Option<u32> {
        let capacity = Capacity { mean: Some(100.0), ..Capacity::default() };
        let mut belief = Belief { capacity, price, rate: Some(rate), ..belief(24, None) };
        edit(&mut belief);
        let objective = Objective { max_lag: 60.0, catch_up: 300.0 };
        let load = Load::of(&belief, rate, objective, belief.raise_stop);
        worth(&belief, objective, load, (Replicas(8), Replicas(need))).map(|worth| worth.to.0)
    }

    #[test]
    fn twelve_more_are_weighed_and_one_more_is_not() {
        assert_eq!(worth_of(1150.0, 24, 1800.0, |_| {}), Some(12));
        assert_eq!(worth_of(1170.0, 24, 1800.0, |_| {}), None, "12 barely keep up");
        assert_eq!(worth_of(1150.0, 24, 15_000.0, |_| {}), None, "another move would cost more");
        assert_eq!(worth_of(700.0, 12, 1800.0, |_| {}), Some(8), "what is there keeps up");
    }

    #[test]
    fn what_is_late_needs_all_of_it() {
        assert_eq!(worth_of(1150.0, 24, 1800.0, |belief| belief.overdue = true), None);
        let old = |belief: &mut Belief| (belief.sizing_backlog, belief.age) = (Some(50_000.0), Some(43.0));
        assert_eq!(worth_of(1150.0, 24, 1800.0, old), None, "the stop would make it late");
    }

    #[test]
    fn what_waits_is_to_be_cleared_in_time() {
        let waits = |belief: &mut Belief| belief.sizing_backlog = Some(25_000.0);
        assert_eq!(worth_of(1050.0, 24, 1800.0, waits), Some(12), "150 records/s more clear it in time");
        assert_eq!(worth_of(1150.0, 24, 1800.0, waits), None, "50 records/s more take twice as long");
    }
}
