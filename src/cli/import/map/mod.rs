//! From a ScaledObject to a policy. Pure.

mod cron;
mod kafka;
mod objective;
mod prometheus;
mod scaling;

use super::connections::Connections;
use super::keda::{Metadata, Others, ScaledObject, Spec, Trigger};
use super::notes::{Notes, Refusal};
use super::{Choices, Style};
use crate::policy::Mode;
use crate::policy::document::{
    ApiVersion, Budget, Metadata as PolicyMetadata, PolicyDocument, PolicyKind, PolicySpec,
};
use crate::policy::notches::SelfTuning;
use crate::policy::preset::{Knobs, Preset};
use crate::policy::rules::PartitionRule;
use crate::policy::schedule::ScheduleSpec;
use crate::policy::source::SourceSpec;
use crate::policy::target::{ScaleTargetRef, ScaledObjectTarget, TargetSpec};

/// A trigger that is carried over.
#[derive(Debug, Clone, PartialEq)]
struct Carried {
    /// Dotted path of the trigger.
    path: String,
    source: SourceSpec,
    /// What one replica stands for, in the source's unit.
    threshold: f64,
    /// More than this wakes the workload.
    activation: f64,
    partitions: Option<PartitionRule>,
}

/// The policy for an object, if there can be one.
pub(super) fn map(
    object: &ScaledObject,
    namespace: &str,
    choices: &Choices,
    connections: &mut Connections,
    notes: &mut Notes,
) -> Option<PolicyDocument> {
    let spec = spec(object, choices, connections, notes).map_err(|refusal| notes.refused(refusal)).ok()?;
    let metadata =
        PolicyMetadata { name: object.metadata.name.clone(), namespace: Some(namespace.to_owned()) };
    let (api_version, kind) = (ApiVersion::V1alpha1, PolicyKind::ScalingPolicy);
    Some(PolicyDocument { api_version, kind, metadata, spec })
}

fn spec(
    ScaledObject { metadata, spec }: &ScaledObject,
    choices: &Choices,
    connections: &mut Connections,
    notes: &mut Notes,
) -> Result<PolicySpec, Refusal> {
    let target = target(metadata, spec, choices, notes);
    formula(spec, choices, notes)?;
    let bounds = scaling::bounds(spec, notes);
    let (carried, schedules) = triggers(&spec.triggers, bounds, choices, connections, notes)?;
    let combined = objective::combine(carried, choices, notes)?;
    let mut behavior = scaling::behavior(spec, notes)?;
    let paused = scaling::pause(metadata, choices.target, &mut behavior, notes);
    scaling::tell_timing(spec, notes);
    tell_others("spec", &spec.others, notes);
    Ok(PolicySpec {
        mode: Mode::Recommend,
        paused,
        target,
        sources: combined.sources,
        objective: combined.objective,
        min_replicas: bounds.min,
        max_replicas: bounds.max,
        preset: Preset::default(),
        knobs: Knobs::default(),
        tuning: SelfTuning::default(),
        schedules,
        activation: combined.activation,
        cooldown: scaling::cooldown(spec),
        behavior,
        budget: Budget::default(),
        fallback: scaling::fallback(spec, bounds, notes),
        capacity_per_replica: combined.capacity_per_replica,
        partitions: combined.partitions,
    })
}

fn target(metadata: &Metadata, spec: &Spec, choices: &Choices, notes: &mut Notes) -> TargetSpec {
    let name = &metadata.name;
    let scaled = &spec.scale_target_ref;
    tell_others("spec.scaleTargetRef", &scaled.others, notes);
    if scaled.env_source_container_name.is_some() {
        notes.note(
            "spec.scaleTargetRef.envSourceContainerName",
            "not needed: no container's environment is read",
        );
    }
    match choices.target {
        Style::Scale => {
            notes.task(
                "",
                format!(
                    "delete ScaledObject `{name}` before mode Apply: what KEDA moves, Tidegate does not touch"
                ),
            );
            TargetSpec::ScaleTargetRef(ScaleTargetRef {
                api_version: scaled.api_version.clone().unwrap_or_else(|| "apps/v1".to_owned()),
                kind: scaled.kind.clone().unwrap_or_else(|| "Deployment".to_owned()),
                name: scaled.name.clone(),
            })
        }
        Style::ScaledObject => {
            notes.task(
                "spec.minReplicaCount",
                "with mode Apply this and maxReplicaCount follow the load: let no other tool write them",
            );
            TargetSpec::ScaledObject(ScaledObjectTarget { name: name.clone() })
        }
    }
}

/// A formula over triggers cannot be taken apart.
fn formula(spec: &Spec, choices: &Choices, notes: &mut Notes) -> Result<(), Refusal> {
    let modifiers = spec.advanced.as_ref().and_then(|advanced| advanced.scaling_modifiers.as_ref());
    if modifiers.is_none_or(Others::is_empty) {
        return Ok(());
    }
    let path = "spec.advanced.scalingModifiers";
    match choices.target {
        Style::Scale => Err(Refusal::new(path, "a formula over triggers has no counterpart")),
        Style::ScaledObject => {
            notes.lost(path, "the formula stays with KEDA; the bounds follow the triggers each by itself");
            Ok(())
        }
    }
}

fn triggers(
    triggers: &[Trigger],
    bounds: scaling::Bounds,
    choices: &Choices,
    connections: &mut Connections,
    notes: &mut Notes,
) -> Result<(Vec<Carried>, Vec<ScheduleSpec>), Refusal> {
    let (mut carried, mut schedules, mut refused) = (Vec::new(), Vec::<ScheduleSpec>::new(), 0);
    for (index, trigger) in triggers.iter().enumerate() {
        let path = format!("spec.triggers[{index}]");
        let mut own = Notes::default();
        let mapped = if trigger.kind == "cron" {
            let number = schedules.len() + 1;
            cron::map(trigger, &path, format!("cron-{number}"), bounds.max, &mut own).map(|one| {
                let taken = |name: &str| schedules.iter().any(|other| other.name == name);
                schedules.extend(one.map(|one| match one {
                    one if taken(&one.name) => ScheduleSpec { name: format!("cron-{number}"), ..one },
                    one => one,
                }));
            })
        } else {
            one(trigger, &path, connections, &mut own).map(|source| carried.push(source))
        };
        match mapped {
            Ok(()) => notes.append(own),
            // KEDA keeps it, between the bounds.
            Err(Refusal { path, text }) if choices.target == Style::ScaledObject => {
                notes.note(path, format!("stays with KEDA alone: {text}"));
            }
            Err(refusal) => {
                notes.refused(refusal);
                refused += 1;
            }
        }
    }
    if carried.is_empty() {
        let text = if schedules.is_empty() {
            "no trigger is left to follow"
        } else {
            "no trigger is left but the clock: a policy follows a load, and a schedule is a floor under that"
        };
        return Err(Refusal::new("spec.triggers", text));
    }
    if refused > 0 && !choices.partial {
        let text =
            "not carried over in part: the policy could be too small (--partial goes without the refused)";
        return Err(Refusal::new("spec.triggers", text));
    }
    Ok((carried, schedules))
}

fn one(
    trigger: &Trigger,
    path: &str,
    connections: &mut Connections,
    notes: &mut Notes,
) -> Result<Carried, Refusal> {
    let kind = trigger.kind.as_str();
    let map = match kind {
        "kafka" | "apache-kafka" => kafka::map,
        "prometheus" => prometheus::map,
        _ => return Err(Refusal::new(format!("{path}.type"), format!("`{kind}`: {}", why_not(kind)))),
    };
    if trigger.metric_type.as_deref().is_some_and(|kind| kind != "AverageValue") {
        let text = "only AverageValue tells how much one replica stands for; Value multiplies what is there";
        return Err(Refusal::new(format!("{path}.metricType"), text));
    }
    if trigger.use_cached_metrics == Some(true) {
        notes.note(format!("{path}.useCachedMetrics"), "not needed: each source is read once a turn");
    }
    tell_others(path, &trigger.others, notes);
    map(trigger, path, connections, notes)
}

fn why_not(kind: &str) -> &'static str {
    match kind {
        "cpu" | "memory" => "by resource use an HPA scales: keep one, and let a policy move its bounds",
        _ => "read its backlog with a `prometheus` trigger, or source, instead",
    }
}

/// Says which fields are not known here.
fn tell_others(path: &str, others: &Others, notes: &mut Notes) {
    for name in others.keys() {
        notes.lost(format!("{path}.{name}"), "not known here, and left out");
    }
}
