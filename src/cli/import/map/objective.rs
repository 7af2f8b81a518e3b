//! Several triggers, of which KEDA follows the one that asks for most, as the sources and the one
//! objective of a policy.
//!
//! With `lagPerReplica` the engine also follows the source that asks for most, so triggers with one
//! threshold lose nothing. A Prometheus value over its threshold is a number of replicas, a `demand`.

use super::Carried;
use crate::cli::import::Choices;
use crate::cli::import::notes::{Notes, Refusal};
use crate::policy::TimeSpan;
use crate::policy::document::{Activation, ObjectiveSpec};
use crate::policy::rules::PartitionRule;
use crate::policy::source::{KafkaLag, Meaning, SourceSpec};
use crate::policy::units::records_covering;

/// What the triggers make together.
#[derive(Debug)]
pub(super) struct Combined {
    pub(super) sources: Vec<SourceSpec>,
    pub(super) objective: ObjectiveSpec,
    pub(super) activation: Activation,
    pub(super) partitions: PartitionRule,
    pub(super) capacity_per_replica: Option<f64>,
}

pub(super) fn combine(
    mut carried: Vec<Carried>,
    choices: &Choices,
    notes: &mut Notes,
) -> Result<Combined, Refusal> {
    declare(&mut carried, choices.prometheus_means, notes);
    distinct(&mut carried, notes);
    Ok(Combined {
        objective: objective(&carried, choices, notes)?,
        activation: activation(&carried, notes),
        partitions: partitions(&carried, notes),
        capacity_per_replica: capacity(&carried, notes),
        sources: carried.into_iter().map(|one| one.source).collect(),
    })
}

/// Says what the Prometheus queries mean, which KEDA does not know.
fn declare(carried: &mut [Carried], asked: Option<Meaning>, notes: &mut Notes) {
    let beside_kafka = carried.iter().any(|one| matches!(one.source, SourceSpec::KafkaLag(_)));
    let first = carried.first().map_or(0.0, |one| one.threshold);
    for Carried { path, source, threshold, .. } in carried {
        let SourceSpec::Prometheus(query) = source else { continue };
        let same = *threshold >= 1.0 && (*threshold - first).abs() < f64::EPSILON;
        let guess = if !beside_kafka && same { Meaning::Backlog } else { Meaning::Demand };
        query.means = asked.unwrap_or(guess);
        let at = format!("{path}.metadata.query");
        match query.means {
            Meaning::Demand => {
                query.query = quotient(&query.query, *threshold);
                notes.note(
                    at,
                    format!("divided by its threshold {threshold} it is the replicas that KEDA asks for"),
                );
            }
            means @ (Meaning::ArrivalRate | Meaning::Backlog | Meaning::BacklogAge | Meaning::BusyShare) => {
                if asked.is_none() {
                    notes.task(
                        at,
                        format!(
                            "taken to mean `{means}`: check that, or say what it is with --prometheus-means"
                        ),
                    );
                }
            }
        }
    }
}

fn quotient(query: &str, threshold: f64) -> String {
    // A comment would hide the bracket.
    if query.contains('#') {
        format!("(\n{query}\n) / {threshold}")
    } else {
        format!("({query}) / {threshold}")
    }
}

/// No records twice: of two triggers that count the same, the wider one stays.
fn distinct(carried: &mut Vec<Carried>, notes: &mut Notes) {
    let mut kept: Vec<Carried> = Vec::new();
    for one in carried.drain(..) {
        let Some(earlier) = kept.iter_mut().find(|other| overlap(&one.source, &other.source)) else {
            kept.push(one);
            continue;
        };
        let wider = matches!(&one.source, SourceSpec::KafkaLag(KafkaLag { topics, .. }) if topics.is_empty());
        let dropped = if wider { std::mem::replace(earlier, one) } else { one };
        notes
            .lost(dropped.path, format!("{} counts the same records: one of them is left out", earlier.path));
    }
    *carried = kept;
}

fn overlap(one: &SourceSpec, other: &SourceSpec) -> bool {
    match (one, other) {
        (SourceSpec::KafkaLag(one), SourceSpec::KafkaLag(other)) => {
            let all = one.topics.is_empty() || other.topics.is_empty();
            let shared = || one.topics.iter().any(|topic| other.topics.contains(topic));
            one.cluster == other.cluster && one.group == other.group && (all || shared())
        }
        (one, other) => one == other,
    }
}

fn counts_records(source: &SourceSpec) -> bool {
    match source {
        SourceSpec::KafkaLag(_) | SourceSpec::Spark(_) => true,
        SourceSpec::Prometheus(query) => query.means == Meaning::Backlog,
        SourceSpec::FlinkJob(_) | SourceSpec::FlinkResource(_) | SourceSpec::SparkRuns(_) => false,
    }
}

fn threshold_of(Carried { path, source, .. }: &Carried) -> String {
    match source {
        SourceSpec::KafkaLag(_) | SourceSpec::Spark(_) => format!("{path}.metadata.lagThreshold"),
        SourceSpec::Prometheus(_)
        | SourceSpec::FlinkJob(_)
        | SourceSpec::FlinkResource(_)
        | SourceSpec::SparkRuns(_) => {
            format!("{path}.metadata.threshold")
        }
    }
}

fn objective(carried: &[Carried], choices: &Choices, notes: &mut Notes) -> Result<ObjectiveSpec, Refusal> {
    let counting: Vec<&Carried> = carried.iter().filter(|one| counts_records(&one.source)).collect();
    let lowest = counting.iter().map(|one| one.threshold).reduce(f64::min);
    if let Some(max_lag) = choices.max_lag {
        for one in counting {
            notes.note(threshold_of(one), format!("replaced by maxLag {max_lag}, as asked for"));
        }
        return Ok(held_to(max_lag));
    }
    let Some(lowest) = lowest else { return without_records(carried, notes) };
    for one in counting {
        if one.threshold > lowest {
            let text =
                format!("a policy has one lagPerReplica: {lowest}, the lowest, instead of {}", one.threshold);
            notes.lost(threshold_of(one), text);
        } else if one.threshold.fract() > 0.0 {
            notes.note(threshold_of(one), "rounded down: lagPerReplica is a whole number");
        }
    }
    let too_small =
        || Refusal::new("spec.triggers", "a threshold below one record: try --prometheus-means demand");
    let records = records_covering(lowest.floor()).filter(|records| *records > 0).ok_or_else(too_small)?;
    Ok(ObjectiveSpec { lag_per_replica: Some(records), ..ObjectiveSpec::default() })
}

/// Where nothing counts records, KEDA has no age to hold a workload to either.
fn without_records(carried: &[Carried], notes: &mut Notes) -> Result<ObjectiveSpec, Refusal> {
    let demands = |one: &Carried| matches!(&one.source, SourceSpec::Prometheus(query) if query.means == Meaning::Demand);
    if !carried.iter().all(demands) {
        let text = "nothing here counts records, so an age must be held: name it with --max-lag";
        return Err(Refusal::new("spec.triggers", text));
    }
    notes.note(
        "spec.triggers",
        "the size follows `demand` alone; maxLag is stated because a policy must hold one",
    );
    Ok(held_to(TimeSpan::from_secs(60)))
}

fn held_to(max_lag: TimeSpan) -> ObjectiveSpec {
    ObjectiveSpec { max_lag: Some(max_lag), ..ObjectiveSpec::default() }
}

/// KEDA wakes a workload when one trigger exceeds its own; here it is the backlog of all sources.
fn activation(carried: &[Carried], notes: &mut Notes) -> Activation {
    let counting = || carried.iter().filter(|one| counts_records(&one.source));
    let lowest = counting().map(|one| one.activation).reduce(f64::min).unwrap_or(0.0);
    let at = |one: &Carried| match one.source {
        SourceSpec::KafkaLag(_) | SourceSpec::Spark(_) => {
            format!("{}.metadata.activationLagThreshold", one.path)
        }
        SourceSpec::Prometheus(_)
        | SourceSpec::FlinkJob(_)
        | SourceSpec::FlinkResource(_)
        | SourceSpec::SparkRuns(_) => {
            format!("{}.metadata.activationThreshold", one.path)
        }
    };
    for one in carried {
        if !counts_records(&one.source) && one.activation > 0.0 {
            notes.lost(at(one), "anything above 0 wakes the workload");
        } else if counts_records(&one.source) && one.activation > lowest {
            notes.lost(at(one), format!("a policy has one activation.lag: {lowest}, the lowest"));
        }
    }
    // Above 2.5 is above 2, for a count.
    Activation { lag: records_covering(lowest.floor()).unwrap_or(0) }
}

fn partitions(carried: &[Carried], notes: &mut Notes) -> PartitionRule {
    let mut kafka = carried.iter().filter(|one| matches!(one.source, SourceSpec::KafkaLag(_)));
    let Some(first) = kafka.next() else { return PartitionRule::default() };
    for other in kafka.filter(|other| other.partitions != first.partitions) {
        let rule = first.partitions.unwrap_or_default();
        notes.lost(
            &other.path,
            format!("a policy has one rule for partitions: `{rule}`, the first trigger's"),
        );
    }
    first.partitions.unwrap_or_default()
}

fn capacity(carried: &[Carried], notes: &mut Notes) -> Option<f64> {
    for one in carried {
        let SourceSpec::Prometheus(query) = &one.source else { continue };
        match query.means {
            Meaning::ArrivalRate => {
                notes.task(
                    threshold_of(one),
                    "taken as capacityPerReplica, records/s, until that is measured",
                );
                return Some(one.threshold);
            }
            Meaning::BacklogAge | Meaning::BusyShare => {
                notes.lost(threshold_of(one), format!("`{}` has no threshold: maxLag is held", query.means));
            }
            Meaning::Backlog | Meaning::Demand => {}
        }
    }
    None
}
