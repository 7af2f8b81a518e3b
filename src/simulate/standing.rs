//! What a contest brought, in the words of its reports. Names end in their units.

use serde::Serialize;

use super::contest::SELF_TUNED;
use super::robustness::Bearing;
use super::scorecard::Figures;
use super::series::Series;
use super::weights::{Weighted, WeightedLimit};

/// What came of a contest.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// The optimum.
    pub limit: LimitReport,
    /// Everybody, the engine first.
    pub policies: Vec<Standing>,
    /// What plots show; nothing where they were not asked for.
    #[serde(skip)]
    pub plots: Plots,
}

/// The judged part over time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plots {
    /// Seconds of the judged part.
    pub seconds: f64,
    /// Records per second that arrive.
    pub arrivals: Vec<f64>,
    /// The optimum, the engine, and everybody else, by their titles.
    pub series: Vec<Series>,
}

/// The optimum over the judged part.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LimitReport {
    /// `J*`, as the search has it.
    pub cost_replica_hours: f64,
    /// What its path costs when the plant is run along it.
    pub achieved_cost_replica_hours: f64,
    /// Its replica-hours.
    pub replica_hours: f64,
    /// Its minutes over the objective.
    pub violation_minutes: f64,
    /// Its rescales.
    pub rescales: u32,
    /// Replica-hours of the bare work, if nothing had to be whole and nothing could wait.
    pub work_bound_replica_hours: f64,
    /// `J*_0`: the optimum if a change stopped nothing, took no time and were free; nothing where not asked
    /// for.
    pub unhindered_cost_replica_hours: Option<f64>,
    /// What it costs with less foresight; empty where not asked for.
    pub foresight: Vec<Foresight>,
    /// The optimum by other weights; empty where not asked for.
    pub weights: Vec<WeightedLimit>,
}

/// What a planner with exact but bounded foresight pays.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Foresight {
    /// How far it sees.
    pub horizon_seconds: f64,
    /// Its cost.
    pub cost_replica_hours: f64,
    /// The same in parts of the optimum's.
    pub rho: f64,
}

/// How one policy did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Standing {
    /// Its name.
    pub name: String,
    /// Whether its settings are the best of its grid on the learning part, instead of its defaults.
    pub tuned: bool,
    /// Its settings, in words.
    pub setting: String,
    /// Its cost in parts of the optimum's.
    pub rho: f64,
    /// Its replica-hours in parts of the optimum's.
    pub replica_hours_ratio: f64,
    /// Its rescales in parts of the optimum's; of one, where the optimum has none.
    pub rescales_ratio: f64,
    /// The share of duels won against everybody else.
    pub kappa: f64,
    /// What it makes of an outage.
    #[serde(flatten)]
    pub recovery: Recovery,
    /// How it bears disturbances; empty where not asked for.
    pub robustness: Vec<Bearing>,
    /// How it does by other weights, tuned for them where it is tuned; empty where not asked for.
    pub weights: Vec<Weighted>,
    /// All other rows.
    #[serde(flatten)]
    pub figures: Figures,
}

/// What a policy makes of half an hour without processing, in a run of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Recovery {
    /// Minutes from its end until the objective holds again; nothing where it never does.
    pub recovery_minutes: Option<f64>,
    /// Changes of the size from its beginning until then.
    pub recovery_decisions: Option<u32>,
    /// How far the first of them up was from the largest size that was asked for.
    pub recovery_first_decision_off_replicas: Option<u32>,
    /// How far the largest size was above the size at which the objective held again.
    pub recovery_overshoot_replicas: Option<u32>,
}

impl Standing {
    /// Its name, and whether it is tuned.
    pub fn title(&self) -> String {
        if self.tuned && self.name != SELF_TUNED { format!("{} tuned", self.name) } else { self.name.clone() }
    }
}

/// A cost in parts of the optimum's; where that is nothing, either is 1 or there is no saying.
pub(super) fn ratio(cost: f64, optimum: f64) -> f64 {
    if optimum > 0.0 {
        cost / optimum
    } else if cost > 0.0 {
        f64::INFINITY
    } else {
        1.0
    }
}
