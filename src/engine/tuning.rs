//! Every constant of the objective in seconds that a preset or a tuner may set, with unit and source.

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
    /// The share of a replica's capacity that a size is chosen for.
    pub(crate) utilization: f64,
    /// The share of times that the load may outrun the rate that a move up is sized for.
    pub(crate) miss: f64,
    /// Seconds that a rise is believed to go on for.
    pub(crate) trend: f64,
}

/// `balanced`.
pub(crate) const BALANCED: Tuning = Tuning {
    usable: 0.9,
    price_of_any: 0.02,
    price_of_minute: 0.5,
    price_power: 1.25,
    start_weight: 0.25,
    payback: 1.0,
    utilization: 0.95,
    miss: 0.5,
    trend: 60.0,
};

impl Tuning {
    /// What a move costs in replica-seconds that stops everything for `stop` seconds and waits `start`
    /// seconds for new replicas.
    pub(crate) fn price(&self, stop: f64, start: f64) -> f64 {
        let minutes = (stop + self.start_weight * start).max(0.0) / 60.0;
        3600.0 * (self.price_of_any + self.price_of_minute * minutes.powf(self.price_power))
    }
}
