//! The families with one or more series per workload, encoded from its tally at each scrape: so there
//! is no series of a workload that is gone.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use strum::IntoEnumIterator;

use super::super::Turn;
use super::super::report::age_seconds;
use super::tally::{Tally, Write};
use crate::engine::decision::{Estimate, Stage};
use crate::engine::observation::{Meaning, Quality, SourceReading};
use crate::policy::notches::{Knob, SelfTuning};
use crate::policy::units::{Replicas, records_f64};
use crate::policy::{Mode, WorkloadId};

/// The tallies of all workloads.
#[derive(Debug, Default)]
pub(super) struct Workloads(Mutex<BTreeMap<WorkloadId, Tally>>);

impl Workloads {
    pub(super) fn record(&self, turn: &Arc<Turn>) {
        self.lock()
            .entry(turn.workload.clone())
            .and_modify(|tally| tally.add(turn))
            .or_insert_with(|| Tally::new(turn));
    }

    pub(super) fn forget(&self, id: &WorkloadId) {
        self.lock().remove(id);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<WorkloadId, Tally>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Workloads {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let tallies = self.lock();
        FAMILIES.iter().try_for_each(|family| family.encode(&mut encoder, &tallies))
    }
}

/// One family: how each of its series follows from a tally.
struct Metric {
    name: &'static str,
    seconds: bool,
    help: &'static str,
    kind: MetricType,
    samples: fn(&Tally) -> Vec<Sample>,
}

/// One series: the labels beside namespace and name, and its value.
type Sample = (Vec<(&'static str, &'static str)>, f64);

impl Metric {
    fn encode(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        tallies: &BTreeMap<WorkloadId, Tally>,
    ) -> fmt::Result {
        let unit = self.seconds.then_some(&Unit::Seconds);
        let mut metric = encoder.encode_descriptor(self.name, self.help, unit, self.kind)?;
        for (id, tally) in tallies {
            for (labels, value) in (self.samples)(tally) {
                let mut all = vec![("namespace", id.namespace.as_str()), ("name", id.name.as_str())];
                all.extend(labels);
                let series = metric.encode_family(&all)?;
                if matches!(self.kind, MetricType::Counter) {
                    ConstCounter::new(value).encode(series)?;
                } else {
                    ConstGauge::new(value).encode(series)?;
                }
            }
        }
        Ok(())
    }
}

const fn gauge(name: &'static str, help: &'static str, samples: fn(&Tally) -> Vec<Sample>) -> Metric {
    Metric { name, seconds: false, help, kind: MetricType::Gauge, samples }
}

const fn counter(name: &'static str, help: &'static str, samples: fn(&Tally) -> Vec<Sample>) -> Metric {
    Metric { name, seconds: false, help, kind: MetricType::Counter, samples }
}

const fn seconds(metric: &Metric) -> Metric {
    Metric { seconds: true, ..*metric }
}

/// By which means a Spark target may be moved.
const RUNGS: [&str; 5] = ["recommend", "nextRun", "workers", "scaleAllocator", "restart"];

/// The means that a target's own words begin with.
fn rung(words: &str) -> Option<&'static str> {
    let name = words.strip_prefix("rung ")?.split(|c: char| !c.is_ascii_alphabetic()).next()?;
    RUNGS.into_iter().find(|rung| *rung == name)
}

/// Every family; the text of `docs/metrics.md` follows it.
const FAMILIES: &[Metric] = &[
    gauge(
        "current_replicas",
        "Replicas asked for now; the lower bound where the target is a bound",
        |tally| replicas(tally.latest.decision.current),
    ),
    gauge("desired_replicas", "Replicas that should be asked for", |tally| {
        replicas(tally.latest.decision.desired)
    }),
    gauge("needed_replicas", "What sizing asked for, before bounds and dampers", |tally| {
        replicas(tally.latest.decision.estimate.need)
    }),
    gauge("ceiling_replicas", "What the load may need within the reaction time", |tally| {
        replicas(tally.latest.decision.ceiling)
    }),
    gauge("ready_replicas", "Replicas that are up and ready", |tally| {
        replicas(tally.latest.observation.target.ready)
    }),
    gauge("bound_replicas", "The policy's hard bounds", |tally| {
        let rules = &tally.latest.rules;
        vec![
            (vec![("bound", "min")], rules.min_replicas.as_f64()),
            (vec![("bound", "max")], rules.max_replicas.as_f64()),
        ]
    }),
    gauge("scheduled_replicas", "The floor that a schedule asks for, while one holds", |tally| {
        let scheduled = tally.latest.decision.schedule.as_ref();
        replicas(scheduled.and_then(|scheduled| Some(scheduled.holds.as_ref()?.min_replicas)))
    }),
    gauge("rung", "1 for the means by which a target is moved that may be moved by several", |tally| {
        let on = tally.latest.rung.as_deref().and_then(rung);
        on.map(|on| (vec![("rung", on)], 1.0)).into_iter().collect()
    }),
    gauge("apply_mode", "1 where decisions are carried out, 0 where they are only recommended", |tally| {
        one(Some(if tally.latest.mode == Mode::Apply { 1.0 } else { 0.0 }))
    }),
    gauge("paused", "1 where the policy is paused", |tally| {
        one(Some(if tally.latest.rules.paused { 1.0 } else { 0.0 }))
    }),
    gauge(
        "tuned_notches",
        "Notches that self-tuning has turned a constant away from the preset's",
        |tally| {
            let rules = &tally.latest.rules;
            let tuned = Knob::iter().filter(|_| rules.tuning == SelfTuning::Auto);
            tuned.map(|knob| (vec![("knob", knob.into())], f64::from(rules.notches.get(knob)))).collect()
        },
    ),
    gauge("backlog_records", "Records not processed yet", |tally| {
        one(estimate(tally).backlog.map(records_f64))
    }),
    seconds(&gauge("backlog_age", "Age of the oldest unprocessed record", |tally| {
        one(estimate(tally).backlog_age_seconds)
    })),
    gauge(
        "arrival_rate_records",
        "Records per second that arrive",
        |tally| one(estimate(tally).arrival_rate),
    ),
    gauge("anticipated_rate_records", "Records per second to be ready for", |tally| {
        one(estimate(tally).anticipated_rate)
    }),
    gauge("replica_capacity_records", "Records per second that one replica processes", |tally| {
        one(estimate(tally).capacity_per_replica)
    }),
    gauge("busiest_partition_ratio", "The busiest partition's share of the arrivals", |tally| {
        one(estimate(tally).busiest_share)
    }),
    seconds(&gauge("rescale_cost", "Time that a move up or down costs, as measured", |tally| {
        let estimate = estimate(tally);
        [("raise", estimate.raise_seconds), ("lower", estimate.lower_seconds)]
            .into_iter()
            .filter_map(|(direction, cost)| Some((vec![("direction", direction)], cost?)))
            .collect()
    })),
    gauge("signal_quality", "1 at the quality of the worst reading of a kind", |tally| {
        signals(&tally.latest)
            .into_iter()
            .flat_map(|(kind, signal)| qualities(kind, signal.quality))
            .collect()
    }),
    seconds(&gauge("signal_age", "Age of the oldest reading of a kind when it was decided upon", |tally| {
        signals(&tally.latest).into_iter().map(|(kind, signal)| (vec![("kind", kind)], signal.age)).collect()
    })),
    seconds(&gauge("last_turn_timestamp", "When the latest turn was taken", |tally| {
        one(Some(tally.latest.at.as_duration().as_secs_f64()))
    })),
    counter("decisions", "Turns by reason and verdict, also those that changed nothing", |tally| {
        let counts = tally.decisions.iter();
        counts
            .map(|((reason, verdict), count)| {
                (vec![("reason", reason.into()), ("verdict", *verdict)], records_f64(*count))
            })
            .collect()
    }),
    counter("writes", "Attempts to write a target, by what became of them", |tally| {
        Write::iter()
            .map(|write| {
                let count = tally.writes.get(&write).copied().unwrap_or_default();
                (vec![("outcome", write.into())], records_f64(count))
            })
            .collect()
    }),
    counter("stage_changes", "How often a stage of the decision changed the figure", |tally| {
        Stage::iter()
            .map(|stage| {
                let count = tally.stages.get(&stage).copied().unwrap_or_default();
                (vec![("stage", stage.into())], records_f64(count))
            })
            .collect()
    }),
    counter("moves", "Changes of the replicas asked for, whoever made them", |tally| {
        vec![
            (vec![("direction", "raise")], records_f64(tally.moves.up)),
            (vec![("direction", "lower")], records_f64(tally.moves.down)),
        ]
    }),
    counter("reversals", "Moves against the direction of one within the 30 minutes before", |tally| {
        one(Some(records_f64(tally.moves.reversals)))
    }),
    gauge("changes_last_hour", "Changes within the last hour, as seen since the start", |tally| {
        one(u32::try_from(tally.moves.last_hour()).ok().map(f64::from))
    }),
    gauge("changes_budget", "Changes that the policy allows within any hour", |tally| {
        one(Some(f64::from(tally.latest.rules.changes_per_hour)))
    }),
    seconds(&counter("objective", "Time by whether the age objective was met", |tally| {
        vec![
            (vec![("state", "met")], tally.objective.met),
            (vec![("state", "violated")], tally.objective.violated),
            (vec![("state", "unknown")], tally.objective.unknown),
        ]
    })),
    seconds(&counter("replica", "Replicas asked for, integrated over time", |tally| {
        one(Some(tally.replica_seconds))
    })),
    seconds(&counter("replica_saved", "Replicas below maxReplicas, integrated over time", |tally| {
        one(Some(tally.saved_replica_seconds))
    })),
];

/// A series without further labels; none where the value is unknown: unknown is never zero.
fn one(value: Option<f64>) -> Vec<Sample> {
    value.map(|value| (Vec::new(), value)).into_iter().collect()
}

fn replicas(value: Option<Replicas>) -> Vec<Sample> {
    one(value.map(Replicas::as_f64))
}

fn estimate(tally: &Tally) -> &Estimate {
    &tally.latest.decision.estimate
}

struct SignalState {
    quality: Quality,
    age: f64,
}

/// The worst quality and highest age per kind of reading.
fn signals(turn: &Turn) -> BTreeMap<&'static str, SignalState> {
    let target = &turn.observation.target;
    let sources = turn
        .observation
        .sources
        .iter()
        .map(|reading| (kind(reading), reading.quality(), reading.sampled_at()));
    let mut signals = BTreeMap::new();
    for (kind, quality, at) in std::iter::once(("target", target.quality, target.sampled_at)).chain(sources) {
        let state = signals.entry(kind).or_insert(SignalState { quality, age: 0.0 });
        state.quality = state.quality.max(quality);
        state.age = state.age.max(age_seconds(turn.at, at));
    }
    signals
}

fn kind(reading: &SourceReading) -> &'static str {
    match reading {
        SourceReading::Backlog(_) => "kafkaLag",
        SourceReading::Metric(metric) => match metric.means {
            Meaning::ArrivalRate => "arrivalRate",
            Meaning::Backlog => "backlog",
            Meaning::BacklogAge => "backlogAge",
            Meaning::BusyShare => "busyShare",
            Meaning::Demand => "demand",
        },
    }
}

fn qualities(kind: &'static str, actual: Quality) -> impl Iterator<Item = Sample> {
    Quality::iter().map(move |quality| {
        (vec![("kind", kind), ("quality", quality.into())], if quality == actual { 1.0 } else { 0.0 })
    })
}
