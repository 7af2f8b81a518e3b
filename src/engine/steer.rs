//! What is written: the replicas, and where the target has them the upper bound and a metric's target value.

use jiff::Timestamp;

use super::damp::budget;
use super::damp::stabilization::Side;
use super::decision::{CapacityBasis, Change};
use super::down;
use super::draft::Draft;
use super::estimate::Belief;
use super::memory::Memory;
use super::observation::TargetReading;
use super::size::{self, Load};
use super::up::Objective as Age;
use crate::policy::target::HpaMetricMeaning;
use crate::policy::units::{Replicas, records_f64};
use crate::policy::{Objective, Rules};

/// How much more than anticipated the upper bound allows for within the reaction time.
const SURGE: f64 = 1.5;
/// A relative difference that is not worth a write of its own.
const NEGLIGIBLE: f64 = 0.1;

/// The upper bound to ask for: what the load may need before this decision can be revised, at least one rung
/// of room above what is asked for. It rises at once, and falls after a whole scale-down window of `sight`: for
/// what falls here are running replicas, as soon as somebody else's reflexes see it.
pub(crate) fn ceiling(
    rules: &Rules,
    memory: &mut Memory,
    belief: &Belief,
    (draft, is): (&Draft, Replicas),
    sight: bool,
    now: Timestamp,
) -> Replicas {
    let may_fall = sight && is_calm(rules, belief);
    let needed = if belief.rate.is_none() && belief.backlog.is_none() {
        is // Blind.
    } else {
        let needed = needed(rules, belief, draft.to);
        if may_fall { needed } else { needed.max(is) }
    };
    let held = memory.ceilings.push(now, needed, rules.ceiling_window_seconds(), Side::High);
    let alone = draft.to == draft.current;
    let to = if alone && !budget::allows_bound(rules, memory, held > is) { is } else { held };
    to.min(rules.max_replicas).max(draft.to).max(Replicas(1))
}

/// Whether nothing is being cleared, and no move still takes effect.
fn is_calm(rules: &Rules, belief: &Belief) -> bool {
    let clearing = match rules.objective {
        Objective::MaxLag { max_lag, catch_up } => {
            let age = Age { max_lag: max_lag.as_secs_f64(), catch_up: catch_up.as_secs_f64() };
            down::catching_up(belief, age)
        }
        Objective::LagPerReplica { .. } => false,
    };
    !(clearing || belief.moving || belief.unsettled)
}

/// The upper bound that the load asks for now, on the ladder.
fn needed(rules: &Rules, belief: &Belief, desired: Replicas) -> Replicas {
    let room = belief.ladder.above(desired);
    let surge = match (rules.objective, belief.capacity.low, belief.anticipated) {
        (Objective::MaxLag { max_lag, catch_up }, Some(low), Some(rate)) => {
            let age = Age { max_lag: max_lag.as_secs_f64(), catch_up: catch_up.as_secs_f64() };
            // All of the backlog counts here, as if the objective were breached.
            let breached = Belief { overdue: true, ..belief.clone() };
            let load = Load::of(&breached, rate * SURGE, age, 0.0);
            size::by_age(belief, load, low).replicas
        }
        // Nothing to tell it by: the bounds themselves.
        (Objective::MaxLag { .. }, _, _) => rules.max_replicas,
        (Objective::LagPerReplica { .. }, _, _) => {
            Replicas::covering(desired.as_f64() * SURGE).unwrap_or(rules.max_replicas)
        }
    };
    belief.ladder.at_least(room.max(surge)).min(rules.max_replicas).max(desired)
}

/// The value that a metric's target should have, from the capacity of one replica.
pub(crate) fn metric_target(rules: &Rules, belief: &Belief) -> Option<f64> {
    let wanted = rules.metric_target?;
    let value = match (wanted.means, rules.objective) {
        (HpaMetricMeaning::Backlog, Objective::LagPerReplica { records }) => records_f64(records),
        (_, _) if belief.capacity.basis == CapacityBasis::Unknown => return None,
        (HpaMetricMeaning::Rate, _) => belief.capacity.mean? * f64::from(wanted.utilization) / 100.0,
        (HpaMetricMeaning::Backlog, Objective::MaxLag { max_lag, .. }) => {
            belief.capacity.mean? * max_lag.as_secs_f64()
        }
    };
    (value.is_finite() && value > 0.0).then(|| three_digits(value))
}

/// Rounded to three significant digits: more would only be noise in somebody's manifest.
pub(crate) fn three_digits(value: f64) -> f64 {
    let scale = 10_f64.powi(2 - exponent(value));
    (value * scale).round() / scale
}

fn exponent(value: f64) -> i32 {
    (-300..300).find(|power| value < 10_f64.powi(power + 1)).unwrap_or(300)
}

/// What to write; `None` where the target is as it should be. Bounds and metric targets that differ by
/// little keep the values that they have.
pub(crate) fn change(
    rules: &Rules,
    target: &TargetReading,
    desired: Replicas,
    ceiling: Option<Replicas>,
    metric_target: Option<f64>,
) -> Option<Change> {
    let ceiling = match (target.ceiling, ceiling) {
        (Some(is), Some(wanted))
            if is >= desired && is <= rules.max_replicas && differs_little(is.as_f64(), wanted.as_f64()) =>
        {
            Some(is)
        }
        (Some(_), wanted) => wanted,
        (None, _) => None,
    };
    let is = target.metric_target.filter(|is| is.is_finite());
    let metric_target = match (is, metric_target) {
        (Some(is), Some(wanted)) if differs_little(is, wanted) => Some(is),
        (is, None) => is,
        (_, wanted) => wanted,
    };
    let same_metric = match (is, metric_target) {
        (Some(is), Some(to)) => (is - to).abs() <= f64::EPSILON * is.abs(),
        (None, None) => true,
        (_, _) => false,
    };
    let change = Change { replicas: desired, ceiling, metric_target };
    let unchanged = target.current == Some(desired) && target.ceiling == ceiling && same_metric;
    (!unchanged).then_some(change)
}

fn differs_little(is: f64, wanted: f64) -> bool {
    is.is_finite() && (is - wanted).abs() <= NEGLIGIBLE * wanted.abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_rounded_to_three_digits() {
        for (value, rounded) in [(164.37, 164.0), (0.012_345, 0.0123), (98_765.0, 98_800.0), (1.0, 1.0)] {
            assert!((three_digits(value) - rounded).abs() < 1e-9 * rounded, "{value}");
        }
    }
}
