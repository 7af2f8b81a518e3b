//! What Prometheus is told. Every family is listed in `docs/metrics.md`; a test keeps the two alike.
//!
//! Labels are names from configuration (namespace, name, connection) and closed sets. Topics,
//! partitions and groups are never labels. A workload's series end with its policy.

mod families;
mod tally;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::Turn;
use super::board::{ConnectionStatus, PolicyReport};
use crate::policy::WorkloadId;
use crate::tune::choice::Choice;
use families::Workloads;

/// What every family's name starts with.
pub const PREFIX: &str = "tidegate";

/// The media type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Label = (&'static str, String);
type Seconds = Counter<f64, AtomicU64>;

/// All metrics of one daemon; a cheap handle.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    workloads: Arc<Workloads>,
    policies: Family<[Label; 1], Gauge>,
    connections: Family<[Label; 2], Gauge>,
    sweeps: Family<[Label; 2], Counter>,
    sweep_requests: Family<[Label; 2], Counter>,
    sweep_seconds: Family<[Label; 2], Seconds>,
    turn_seconds: Histogram,
    memory_saves: Family<[Label; 1], Counter>,
    tuning_looks: Family<[Label; 1], Counter>,
    tuning_seconds: Seconds,
    /// What became of journal lines.
    pub journal: SinkCounters,
    /// What became of Kubernetes Events.
    pub events: SinkCounters,
}

/// What became of the entries of one sink. Nothing is lost silently.
#[derive(Debug, Clone, Default)]
pub struct SinkCounters {
    /// Written.
    pub written: Counter,
    /// Not taken: the queue was full.
    pub dropped: Counter,
    /// Taken, and then not written.
    pub failed: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All families, registered, without a workload.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The version that runs", version);
        let workloads = Arc::new(Workloads::default());
        registry.register_collector(Box::new(Arc::clone(&workloads)));
        let mut metrics = Self {
            registry: Arc::default(),
            workloads,
            policies: Family::default(),
            connections: Family::default(),
            sweeps: Family::default(),
            sweep_requests: Family::default(),
            sweep_seconds: Family::default(),
            // 1 ms to 16 s: from a turn on a fresh snapshot to one that waited for a timeout.
            turn_seconds: Histogram::new([0.001, 0.004, 0.016, 0.064, 0.256, 1.0, 4.0, 16.0]),
            memory_saves: Family::default(),
            tuning_looks: Family::default(),
            tuning_seconds: Seconds::default(),
            journal: SinkCounters::default(),
            events: SinkCounters::default(),
        };
        metrics.register(&mut registry);
        metrics.policies(&PolicyReport::default());
        for outcome in ["saved", "failed"] {
            // A counter that is there from the start: its first increase is seen.
            metrics.memory_saves.get_or_create(&[("outcome", outcome.to_owned())]).inc_by(0);
        }
        for outcome in ["tooLittle", "unlike", "kept", "turnedBack", "turned"] {
            metrics.tuning_looks.get_or_create(&[("outcome", outcome.to_owned())]).inc_by(0);
        }
        metrics.registry = Arc::new(registry);
        metrics
    }

    fn register(&self, registry: &mut Registry) {
        registry.register("policies", "Policies in force and refused", self.policies.clone());
        registry.register(
            "connection_up",
            "Whether the last call to a connection succeeded",
            self.connections.clone(),
        );
        registry.register("sweeps", "Shared looks at a connection", self.sweeps.clone());
        registry.register("sweep_requests", "Requests that the looks took", self.sweep_requests.clone());
        registry.register_with_unit(
            "sweep",
            "Time that the looks took",
            Unit::Seconds,
            self.sweep_seconds.clone(),
        );
        registry.register_with_unit(
            "turn",
            "Time that one turn of one workload took",
            Unit::Seconds,
            self.turn_seconds.clone(),
        );
        registry.register(
            "memory_saves",
            "Attempts to save the damping state to its ConfigMaps",
            self.memory_saves.clone(),
        );
        registry.register(
            "tuning_looks",
            "Histories that self-tuning ran again under other constants",
            self.tuning_looks.clone(),
        );
        registry.register_with_unit(
            "tuning",
            "Time that self-tuning took",
            Unit::Seconds,
            self.tuning_seconds.clone(),
        );
        self.journal.register(registry, "journal_lines", "Journal lines");
        self.events.register(registry, "events", "Kubernetes Events");
    }

    /// Counts a turn.
    pub fn record(&self, turn: &Arc<Turn>) {
        self.workloads.record(turn);
    }

    /// Ends a workload's series.
    pub fn forget(&self, id: &WorkloadId) {
        self.workloads.forget(id);
    }

    /// Notes how many policies are in force and how many were refused.
    pub fn policies(&self, report: &PolicyReport) {
        let set = |state: &str, count: usize| {
            let gauge = self.policies.get_or_create_owned(&[("state", state.to_owned())]);
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        };
        set("accepted", report.accepted.len());
        set("rejected", report.rejected.len());
    }

    /// Notes how the connections fare; one that was not called yet has no series.
    pub fn connections(&self, connections: &[ConnectionStatus]) {
        self.connections.clear();
        for status in connections {
            if let Some(healthy) = status.healthy {
                self.connections.get_or_create(&connection(&status.kind, &status.name)).set(healthy.into());
            }
        }
    }

    /// Counts shared looks at a connection, what they asked and how long they took together.
    pub fn swept(&self, kind: &str, name: &str, sweeps: u64, requests: u64, took: Duration) {
        let labels = connection(kind, name);
        self.sweeps.get_or_create(&labels).inc_by(sweeps);
        self.sweep_requests.get_or_create(&labels).inc_by(requests);
        self.sweep_seconds.get_or_create(&labels).inc_by(took.as_secs_f64());
    }

    /// Counts the time that one turn took.
    pub fn turn_took(&self, took: Duration) {
        self.turn_seconds.observe(took.as_secs_f64());
    }

    /// Counts an attempt to save the damping state.
    pub fn memory_saved(&self, saved: bool) {
        let outcome = if saved { "saved" } else { "failed" };
        self.memory_saves.get_or_create(&[("outcome", outcome.to_owned())]).inc();
    }

    /// Counts a look of self-tuning.
    pub fn tuning_looked(&self, choice: &Choice, took: Duration) {
        let outcome = match choice {
            Choice::TooLittle => "tooLittle",
            Choice::Unlike(_) => "unlike",
            Choice::Keep => "kept",
            Choice::Turn(turn) if turn.is_back() => "turnedBack",
            Choice::Turn(_) => "turned",
        };
        self.tuning_looks.get_or_create(&[("outcome", outcome.to_owned())]).inc();
        self.tuning_seconds.inc_by(took.as_secs_f64());
    }

    /// Everything, in the text format of `OpenMetrics`.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl SinkCounters {
    fn register(&self, registry: &mut Registry, name: &str, what: &str) {
        let entries = [
            ("written", "written", &self.written),
            ("dropped", "not taken because the queue was full", &self.dropped),
            ("failed", "that could not be written", &self.failed),
        ];
        for (suffix, fate, counter) in entries {
            registry.register(format!("{name}_{suffix}"), format!("{what} {fate}"), counter.clone());
        }
    }
}

fn connection(kind: &str, name: &str) -> [Label; 2] {
    [("kind", kind.to_owned()), ("connection", name.to_owned())]
}
