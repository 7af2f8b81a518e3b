//! Every constant of the objective in seconds that a preset or a tuner may set, with unit and source.

use crate::policy::Rules;
use crate::policy::notches::{Knob, Notches};
use crate::policy::preset::{Knobs, Preset};

/// How the engine weighs one thing against another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Tuning {
    /// The share of the objective that may be used up: what is left is for what readings hide (commits in
    /// batches, half an interval of doubt).
    pub(crate) usable: f64,
    /// Replica-hours that any move costs: somebody is woken, caches are cold, logs are read.
    pub(crate) price_of_any: f64,
    /// Replica-hours that a stop of a minute costs on top ...
    pub(crate) price_of_minute: f64,
    /// ... growing with this power of its length: twice the stop is more than twice the trouble, for what
    /// piles up in it is late too.
    pub(crate) price_power: f64,
    /// A second of starting disturbs as much as this part of a second of standing still.
    pub(crate) start_weight: f64,
    /// How often a move down must be expected to pay for itself and for the move up that follows it.
    pub(crate) payback: f64,
    /// Replica-hours that a minute over the objective is worth.
    pub(crate) late: f64,
    /// Replica-seconds that any move costs, in place of what follows from the prices.
    pub(crate) fixed: Option<f64>,
    /// The share of a replica's capacity that a size is chosen for.
    pub(crate) utilization: f64,
    /// Seconds that replicas beyond what keeps up are thought to stay, until going down has paid for itself.
    pub(crate) stays: f64,
    /// The share of times that the load may outrun the rate that a move up is sized for.
    pub(crate) miss: f64,
    /// Seconds that a rise is believed to go on for.
    pub(crate) trend: f64,
}

/// `latency`: room in every size, and margins that the load seldom outruns.
const LATENCY: Tuning =
    Tuning { usable: 0.7, payback: 1.0, late: 10.0, utilization: 0.8, miss: 0.1, ..BALANCED };

/// `cost`: no room that a backlog cannot stand in for.
const COST: Tuning = Tuning { usable: 1.0, payback: 0.5, late: 0.1, utilization: 1.0, miss: 0.9, ..BALANCED };

/// `balanced`.
pub(crate) const BALANCED: Tuning = Tuning {
    usable: 0.9,
    price_of_any: 0.02,
    price_of_minute: 0.5,
    price_power: 1.25,
    start_weight: 0.25,
    payback: 1.0,
    late: 1.0,
    fixed: None,
    utilization: 0.95,
    stays: 1200.0,
    miss: 0.5,
    trend: 60.0,
};

/// No move is quite for nothing.
const LEAST_PRICE: f64 = 1.0;

/// How far a constant may be turned, and by how much at a time.
#[derive(Debug, Clone, Copy)]
struct Scale {
    notch: Notch,
    least: f64,
    most: f64,
}

#[derive(Debug, Clone, Copy)]
enum Notch {
    /// More by so much.
    Plus(f64),
    /// So many times as much.
    Times(f64),
}

impl Scale {
    const fn of(knob: Knob) -> Self {
        let (notch, least, most) = match knob {
            Knob::UsableLag => (Notch::Plus(0.1), 0.5, 1.0),
            Knob::TargetUtilization => (Notch::Plus(0.05), 0.6, 1.0),
            Knob::Payback => (Notch::Times(1.5), 0.3, 4.0),
            Knob::Stays => (Notch::Times(2.0), 150.0, 9600.0),
            Knob::Miss => (Notch::Plus(0.15), 0.05, 0.95),
            Knob::Trend => (Notch::Times(2.0), 15.0, 240.0),
        };
        Self { notch, least, most }
    }

    /// So many notches from the preset's, which may itself lie beyond the bounds.
    fn turn(self, preset: f64, notches: i8) -> f64 {
        if notches == 0 {
            return preset;
        }
        let turned = match self.notch {
            Notch::Plus(step) => preset + step * f64::from(notches),
            Notch::Times(factor) => preset * factor.powi(notches.into()),
        };
        // In whole ten thousandths: what is printed is what counts.
        ((turned * 1e4).round() / 1e4).clamp(self.least.min(preset), self.most.max(preset))
    }
}

/// Whether the policy states a constant itself: then it is not turned.
pub fn is_stated(knobs: &Knobs, knob: Knob) -> bool {
    match knob {
        Knob::UsableLag => knobs.usable_lag.is_some(),
        Knob::TargetUtilization => knobs.target_utilization.is_some(),
        Knob::Payback => knobs.payback.is_some(),
        Knob::Stays | Knob::Miss | Knob::Trend => false,
    }
}

/// What a constant comes to under these rules with so many notches on it.
pub fn value(rules: &Rules, knob: Knob, notches: i8) -> f64 {
    Tuning::of(&Rules { notches: Notches::default().with(knob, notches), ..rules.clone() }).get(knob)
}

/// What a minute over the objective is worth by the preset, in replica-hours.
pub fn worth_of_a_minute(rules: &Rules) -> f64 {
    Tuning::preset(rules.preset).late
}

/// What a move is worth avoiding that stops everything for `stop` seconds and waits `start` seconds for new
/// replicas, in replica-hours.
pub fn worth_of_a_move(rules: &Rules, stop: f64, start: f64) -> f64 {
    Tuning::of(rules).price(stop, start) / 3600.0
}

impl Tuning {
    fn preset(preset: Preset) -> Self {
        match preset {
            Preset::Latency => LATENCY,
            Preset::Balanced => BALANCED,
            Preset::Cost => COST,
        }
    }

    /// The preset's, as far as it has been turned, but for what the policy states itself.
    pub(crate) fn of(rules: &Rules) -> Self {
        let preset = Self::preset(rules.preset).turned(rules.notches);
        let share = |percent: u32| f64::from(percent) / 100.0;
        let knobs = rules.knobs;
        Self {
            usable: knobs.usable_lag.map_or(preset.usable, share),
            utilization: knobs.target_utilization.map_or(preset.utilization, share),
            payback: knobs.payback.unwrap_or(preset.payback),
            fixed: knobs.rescale_cost.map(|span| span.as_secs_f64().max(LEAST_PRICE)),
            ..preset
        }
    }

    fn turned(self, notches: Notches) -> Self {
        if notches.is_none() {
            return self;
        }
        let turn = |knob: Knob| Scale::of(knob).turn(self.get(knob), notches.get(knob));
        Self {
            usable: turn(Knob::UsableLag),
            utilization: turn(Knob::TargetUtilization),
            payback: turn(Knob::Payback),
            stays: turn(Knob::Stays),
            miss: turn(Knob::Miss),
            trend: turn(Knob::Trend),
            ..self
        }
    }

    fn get(&self, knob: Knob) -> f64 {
        match knob {
            Knob::UsableLag => self.usable,
            Knob::TargetUtilization => self.utilization,
            Knob::Payback => self.payback,
            Knob::Stays => self.stays,
            Knob::Miss => self.miss,
            Knob::Trend => self.trend,
        }
    }

    /// What a move costs in replica-seconds that stops everything for `stop` seconds and waits `start`
    /// seconds for new replicas.
    pub(crate) fn price(&self, stop: f64, start: f64) -> f64 {
        if let Some(fixed) = self.fixed {
            return fixed;
        }
        let minutes = (stop + self.start_weight * start).max(0.0) / 60.0;
        3600.0 * (self.price_of_any + self.price_of_minute * minutes.powf(self.price_power))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_that_is_stated_stands_for_all_that_was_measured() {
        let stated = Tuning { fixed: Some(300.0), ..BALANCED };
        assert!(
            (stated.price(0.0, 0.0) - 300.0).abs() < 1e-9 && (stated.price(600.0, 60.0) - 300.0).abs() < 1e-9
        );
    }

    #[test]
    fn each_constant_leans_the_way_of_its_preset() {
        let usable = LATENCY.usable < BALANCED.usable && BALANCED.usable < COST.usable;
        let utilization =
            LATENCY.utilization < BALANCED.utilization && BALANCED.utilization < COST.utilization;
        let late = LATENCY.late > BALANCED.late && BALANCED.late > COST.late;
        let miss = LATENCY.miss < BALANCED.miss && BALANCED.miss < COST.miss;
        assert!(usable && utilization && late && miss && COST.payback < BALANCED.payback);
    }
}
