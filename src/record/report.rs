//! One workload as `recommend` and the HTTP API show it: a documented contract (`docs/api.md`).
//! Unknown is `null`, never 0.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Outcome, Turn};
use crate::engine::observation::{PartitionReading, Quality, SourceReading};
use crate::engine::schedule::Scheduled;
use crate::engine::{Decision, Reason, Verdict};
use crate::policy::units::Replicas;
use crate::policy::{Mode, WorkloadId};
use crate::tune::tuner::Report;

/// All workloads, ordered by namespace and name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadList {
    /// The workloads.
    pub workloads: Vec<WorkloadReport>,
}

/// One workload: what is, what should be, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadReport {
    /// The policy's namespace.
    pub namespace: String,
    /// The policy's name.
    pub name: String,
    /// The target's kind and name: `Deployment/orders`.
    pub target: String,
    /// The mode in force.
    pub mode: Mode,
    /// When this was seen and decided.
    pub at: Timestamp,
    /// The replicas asked for at that time (the lower bound, where the target is a bound).
    pub current: Option<Replicas>,
    /// The replicas to ask for.
    pub desired: Option<Replicas>,
    /// The upper bound to ask for, where the target has one.
    pub ceiling: Option<Replicas>,
    /// Which way `desired` lies from `current`.
    pub verdict: Verdict,
    /// Unprocessed records.
    pub backlog: Option<u64>,
    /// Age of the oldest unprocessed record.
    pub backlog_age_seconds: Option<f64>,
    /// Records per second that arrive.
    pub arrival_rate: Option<f64>,
    /// Records per second that one replica processes.
    pub capacity_per_replica: Option<f64>,
    /// Every partition that was looked at, by source, topic and partition.
    pub partitions: Vec<PartitionReport>,
    /// Why: the binding reason first, then the other words of the trail in its order, each once.
    pub reasons: Vec<Reason>,
    /// The decision in one sentence.
    pub sentence: String,
    /// What the policy's schedules say; only where it has some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Scheduled>,
    /// What exactly is to be written, and when that takes effect, where it is not plain from the decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// By which means the target is moved, and why by no better ones, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rung: Option<String>,
    /// What self-tuning has come to; only where the policy asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tuning: Option<Report>,
}

/// One partition of a backlog.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartitionReport {
    /// The cluster and group: `main/orders`.
    pub source: String,
    /// Topic.
    pub topic: String,
    /// Partition number.
    pub partition: i32,
    /// The group's committed offset.
    pub committed: Option<i64>,
    /// End offset.
    pub end: Option<i64>,
    /// Records not processed yet.
    pub lag: Option<u64>,
    /// How far the entry can be trusted.
    pub quality: Quality,
}

/// One workload with its last decision, in full.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadDetail {
    /// What the list shows.
    #[serde(flatten)]
    pub report: WorkloadReport,
    /// The readings that went in: the target's first, then one per source.
    pub signals: Vec<Signal>,
    /// The decision with its trail.
    pub decision: Decision,
    /// What became of it.
    pub outcome: Outcome,
}

/// How far one reading could be trusted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Signal {
    /// Who was asked.
    pub source: String,
    /// How far it can be trusted.
    pub quality: Quality,
    /// Its age when it was decided upon.
    pub age_seconds: f64,
    /// What went wrong, in words.
    pub problem: Option<String>,
}

impl WorkloadReport {
    /// Whose report.
    pub fn id(&self) -> WorkloadId {
        WorkloadId { namespace: self.namespace.clone(), name: self.name.clone() }
    }
}

impl From<&Turn> for WorkloadReport {
    fn from(turn: &Turn) -> Self {
        let decision = &turn.decision;
        Self {
            namespace: turn.workload.namespace.clone(),
            name: turn.workload.name.clone(),
            target: turn.target.clone(),
            mode: turn.mode,
            at: turn.at,
            current: decision.current,
            desired: decision.desired,
            ceiling: decision.ceiling,
            verdict: decision.verdict,
            backlog: decision.estimate.backlog,
            backlog_age_seconds: decision.estimate.backlog_age_seconds,
            arrival_rate: decision.estimate.arrival_rate,
            capacity_per_replica: decision.estimate.capacity_per_replica,
            partitions: partitions(&turn.observation.sources),
            reasons: reasons(decision),
            sentence: decision.sentence.clone(),
            schedule: decision.schedule.clone(),
            plan: turn.plan.clone(),
            rung: turn.rung.clone(),
            tuning: turn.tuning.clone(),
        }
    }
}

impl From<&Turn> for WorkloadDetail {
    fn from(turn: &Turn) -> Self {
        Self {
            report: turn.into(),
            signals: signals(turn),
            decision: turn.decision.clone(),
            outcome: turn.outcome.clone(),
        }
    }
}

impl<'a> FromIterator<&'a Turn> for WorkloadList {
    fn from_iter<T: IntoIterator<Item = &'a Turn>>(turns: T) -> Self {
        Self { workloads: turns.into_iter().map(WorkloadReport::from).collect() }
    }
}

fn partitions(sources: &[SourceReading]) -> Vec<PartitionReport> {
    let backlogs = sources.iter().filter_map(|source| match source {
        SourceReading::Backlog(backlog) => Some(backlog),
        SourceReading::Metric(_) => None,
    });
    backlogs
        .flat_map(|backlog| backlog.partitions.iter().map(|entry| partition(&backlog.source, entry)))
        .collect()
}

fn partition(source: &str, entry: &PartitionReading) -> PartitionReport {
    PartitionReport {
        source: source.to_owned(),
        topic: entry.topic.clone(),
        partition: entry.partition,
        committed: entry.committed,
        end: entry.end,
        lag: entry.lag,
        quality: entry.quality,
    }
}

fn reasons(decision: &Decision) -> Vec<Reason> {
    let mut reasons = vec![decision.reason];
    for step in &decision.trail {
        if !reasons.contains(&step.reason) {
            reasons.push(step.reason);
        }
    }
    reasons
}

fn signals(turn: &Turn) -> Vec<Signal> {
    let target = &turn.observation.target;
    let first = Signal {
        source: turn.target.clone(),
        quality: target.quality,
        age_seconds: age_seconds(turn.at, target.sampled_at),
        problem: target.problem.clone(),
    };
    let rest = turn.observation.sources.iter().map(|reading| {
        let (source, problem) = match reading {
            SourceReading::Backlog(backlog) => (&backlog.source, &backlog.problem),
            SourceReading::Metric(metric) => (&metric.source, &metric.problem),
        };
        Signal {
            source: source.clone(),
            quality: reading.quality(),
            age_seconds: age_seconds(turn.at, reading.sampled_at()),
            problem: problem.clone(),
        }
    });
    std::iter::once(first).chain(rest).collect()
}

/// The seconds from `sampled` to `now`.
pub(super) fn age_seconds(now: Timestamp, sampled: Timestamp) -> f64 {
    now.duration_since(sampled).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::samples;

    #[test]
    fn unknown_is_null_and_the_binding_reason_comes_first() {
        let mut turn = samples::turn("orders");
        turn.decision.estimate.backlog = None;
        turn.decision.estimate.backlog_age_seconds = None;
        let json = serde_json::to_value(WorkloadReport::from(&turn)).unwrap();
        assert_eq!(json["backlog"], serde_json::Value::Null);
        assert_eq!(json["backlogAgeSeconds"], serde_json::Value::Null);
        assert_eq!(json["reasons"], serde_json::json!(["LoadNeedsMore", "StepLimited"]));
        assert_eq!(json["partitions"][1]["lag"], serde_json::Value::Null);
        assert_eq!(json["partitions"][1]["quality"], "missing");
    }

    #[test]
    fn the_detail_reads_back() {
        let detail = WorkloadDetail::from(&samples::turn("orders"));
        let text = serde_json::to_string(&detail).unwrap();
        assert_eq!(serde_json::from_str::<WorkloadDetail>(&text).unwrap(), detail);
        assert_eq!(detail.signals[1].source, "main/orders");
        assert!((detail.signals[1].age_seconds - 2.0).abs() < 1e-9);
    }
}
