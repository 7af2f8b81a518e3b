//! The policies as people write them: notes above, defaults left out.

use std::collections::BTreeMap;

use serde::Serialize;

use super::carry::Entry;
use super::connections::Connections;
use super::notes::{Level, Note};
use crate::policy::behavior::{Behavior, ScalingRules};
use crate::policy::document::{
    Activation, ApiVersion, FallbackSpec, Metadata, ObjectiveSpec, PolicyDocument, PolicyKind,
};
use crate::policy::rules::PartitionRule;
use crate::policy::schedule::ScheduleSpec;
use crate::policy::settings::{Connections as Settings, KafkaConnection, PrometheusConnection};
use crate::policy::source::SourceSpec;
use crate::policy::target::TargetSpec;
use crate::policy::{Mode, Replicas, TimeSpan};

/// A policy document without what goes without saying.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    api_version: &'a ApiVersion,
    kind: &'a PolicyKind,
    metadata: &'a Metadata,
    spec: WrittenSpec<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct WrittenSpec<'a> {
    mode: Mode,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    paused: bool,
    target: &'a TargetSpec,
    sources: &'a [SourceSpec],
    objective: &'a ObjectiveSpec,
    min_replicas: Replicas,
    max_replicas: Replicas,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    schedules: &'a [ScheduleSpec],
    #[serde(skip_serializing_if = "Option::is_none")]
    activation: Option<&'a Activation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cooldown: Option<TimeSpan>,
    #[serde(skip_serializing_if = "Option::is_none")]
    behavior: Option<WrittenBehavior<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fallback: Option<&'a FallbackSpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    capacity_per_replica: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partitions: Option<PartitionRule>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct WrittenBehavior<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    scale_up: Option<&'a ScalingRules>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scale_down: Option<&'a ScalingRules>,
}

impl<'a> Written<'a> {
    fn of(PolicyDocument { api_version, kind, metadata, spec }: &'a PolicyDocument) -> Self {
        let Behavior { scale_up, scale_down } = &spec.behavior;
        let behavior = WrittenBehavior { scale_up: unusual(scale_up), scale_down: unusual(scale_down) };
        let spec = WrittenSpec {
            mode: spec.mode,
            paused: spec.paused,
            target: &spec.target,
            sources: &spec.sources,
            objective: &spec.objective,
            min_replicas: spec.min_replicas,
            max_replicas: spec.max_replicas,
            schedules: &spec.schedules,
            activation: unusual(&spec.activation),
            // Only a workload that may rest at 0 cools down.
            cooldown: (spec.min_replicas.0 == 0).then_some(spec.cooldown),
            behavior: (spec.behavior != Behavior::default()).then_some(behavior),
            fallback: spec.fallback.as_ref(),
            capacity_per_replica: spec.capacity_per_replica,
            partitions: unusual(&spec.partitions).copied(),
        };
        Self { api_version, kind, metadata, spec }
    }
}

fn unusual<T: Default + PartialEq>(value: &T) -> Option<&T> {
    Some(value).filter(|value| **value != T::default())
}

/// One policy as YAML.
pub(super) fn policy(document: &PolicyDocument) -> anyhow::Result<String> {
    Ok(serde_saphyr::to_string(&Written::of(document))?)
}

#[derive(Debug, Serialize)]
struct Snippet<'a> {
    connections: Servers<'a>,
}

#[derive(Debug, Serialize)]
struct Servers<'a> {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    kafka: &'a BTreeMap<String, KafkaConnection>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    prometheus: &'a BTreeMap<String, PrometheusConnection>,
}

/// Everything for standard output: what belongs elsewhere as comments, then the policies.
pub(super) fn documents(entries: &[Entry], connections: &Connections) -> anyhow::Result<String> {
    let mut text =
        comment("From KEDA, by `tidegate import keda`. Nothing is written to a target in mode Recommend.");
    let sources =
        entries.iter().filter_map(|entry| entry.policy.as_ref()).flat_map(|one| &one.0.spec.sources);
    let settings = connections.settings(&sources);
    let Settings { kafka, prometheus, .. } = &settings;
    if settings != Settings::default() {
        text += "#\n# For the settings file, which alone says where servers are:\n#\n";
        for line in serde_saphyr::to_string(&Snippet { connections: Servers { kafka, prometheus } })?.lines()
        {
            text += &comment(&format!("  {line}"));
        }
    }
    for entry in entries.iter().filter(|entry| entry.policy.is_none()) {
        text += "#\n";
        let what = if entry.is_workload { "is not carried over" } else { "holds credentials" };
        text += &comment(&format!("{} {what}:", entry.name));
        text.extend(entry.notes.iter().map(|note| comment(&format!("  {}", told(entry, note, None)))));
    }
    for entry in entries {
        if let Some((_, policy)) = &entry.policy {
            text += "---\n";
            text.extend(entry.notes.iter().map(|note| comment(&told(entry, note, None))));
            text += policy;
        }
    }
    Ok(text)
}

/// One line for each note, for standard error, and what they amount to.
pub(super) fn messages(entries: &[Entry]) -> Vec<String> {
    let said = entries.iter().flat_map(|entry| {
        let line = move |note| printable(&told(entry, note, Some(&entry.name)));
        entry.notes.iter().map(line)
    });
    let mut lines: Vec<String> = said.collect();
    if !entries.iter().any(|entry| entry.is_workload) {
        lines.push("no ScaledObject found".to_owned());
        return lines;
    }
    let policies = entries.iter().filter(|entry| entry.policy.is_some()).count();
    let count = |level| {
        entries.iter().flat_map(|entry| entry.notes.iter()).filter(|note| note.level == level).count()
    };
    lines.push(format!(
        "{policies} of {} carried over; {} refused, {} lost, {} to do, {} notes",
        entries.iter().filter(|entry| entry.is_workload).count(),
        count(Level::Refused),
        count(Level::Lost),
        count(Level::ToDo),
        count(Level::Note),
    ));
    lines
}

/// `FILE:LINE: LEVEL: ABOUT: TEXT`; without a place where there is no file.
fn told(entry: &Entry, Note { level, path, text }: &Note, name: Option<&str>) -> String {
    let place = entry.object.place(path).map(|(file, line)| format!("{file}:{line}"));
    let path = Some(path.as_str()).filter(|path| !path.is_empty());
    let level = level.to_string();
    let parts = [place.as_deref(), Some(level.as_str()), name, path, Some(text.as_str())];
    parts.into_iter().flatten().collect::<Vec<_>>().join(": ")
}

fn comment(line: &str) -> String {
    format!("# {}\n", printable(line))
}

/// In one line, whatever an object's names hold: a line break would end a comment.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c })
        .collect()
}
