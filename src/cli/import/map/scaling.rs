//! Bounds, damping, fallback and pauses of a ScaledObject.

use super::tell_others;
use crate::actuators::quantity;
use crate::cli::import::Style;
use crate::cli::import::keda::{HpaRules, Metadata, Spec};
use crate::cli::import::notes::{Notes, Refusal};
use crate::cli::import::options::truth;
use crate::policy::behavior::{Behavior, ScalingRules, SelectPolicy};
use crate::policy::document::FallbackSpec;
use crate::policy::{Replicas, TimeSpan};

/// KEDA's defaults: seconds, and replicas.
const POLLING_INTERVAL: u32 = 30;
const COOLDOWN_PERIOD: u32 = 300;
const MAX_REPLICA_COUNT: u32 = 100;

/// How few and how many.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) min: Replicas,
    pub(super) max: Replicas,
}

pub(super) fn bounds(spec: &Spec, notes: &mut Notes) -> Bounds {
    let stated = spec.min_replica_count.unwrap_or(0);
    let max = Replicas(spec.max_replica_count.unwrap_or(MAX_REPLICA_COUNT));
    let at = "spec.idleReplicaCount";
    let min = match spec.idle_replica_count {
        Some(0) => {
            if stated > 1 {
                let text = format!(
                    "as minReplicas 0 an idle workload rests at 0, but an awake one may be smaller than {stated}; \
                     minReplicas {stated} would keep that floor, and never rest"
                );
                notes.lost(at, text);
            }
            0
        }
        Some(_) => {
            notes.lost(at, "only 0 has a meaning, for KEDA too");
            stated
        }
        None => stated,
    };
    Bounds { min: Replicas(min), max }
}

pub(super) fn cooldown(spec: &Spec) -> TimeSpan {
    TimeSpan::from_secs(spec.cooldown_period.unwrap_or(COOLDOWN_PERIOD).into())
}

/// Options about when things happen that are no policy's.
pub(super) fn tell_timing(spec: &Spec, notes: &mut Notes) {
    if spec.polling_interval.is_some() {
        notes.note("spec.pollingInterval", "not a policy's: all are evaluated at the settings' interval");
    }
    if spec.initial_cooldown_period.is_some_and(|seconds| seconds > 0) {
        notes.lost("spec.initialCooldownPeriod", "the cooldown alone decides when the last replica goes");
    }
}

/// A floor for when the sources are not to be trusted. Without one the size is held.
pub(super) fn fallback(spec: &Spec, bounds: Bounds, notes: &mut Notes) -> Option<FallbackSpec> {
    let fallback = spec.fallback.as_ref()?;
    tell_others("spec.fallback", &fallback.others, notes);
    let at = "spec.fallback.behavior";
    match fallback.behavior.as_deref() {
        None | Some("static") => {
            notes.note("spec.fallback", "a floor here: a workload that is larger keeps its size");
        }
        Some("currentReplicasIfHigher") => {}
        Some("currentReplicas") => {
            notes.note(at, "needs no fallback: without one the size is held while sources are not trusted");
            return None;
        }
        Some(_) => {
            notes.lost(at, "only a floor is supported, never a cap: the size is held instead");
            return None;
        }
    }
    let interval = spec.polling_interval.unwrap_or(POLLING_INTERVAL);
    let after_seconds = fallback.failure_threshold.saturating_mul(interval).max(1);
    let replicas = Replicas(fallback.replicas).min(bounds.max);
    if replicas.0 < fallback.replicas {
        notes.note("spec.fallback.replicas", "lowered to maxReplicas, as an HPA would");
    }
    Some(FallbackSpec { after_seconds, replicas })
}

/// Damping has the same names on both sides.
pub(super) fn behavior(spec: &Spec, notes: &mut Notes) -> Result<Behavior, Refusal> {
    let Some(advanced) = &spec.advanced else { return Ok(Behavior::default()) };
    tell_others("spec.advanced", &advanced.others, notes);
    if advanced.restore_to_original_replica_count == Some(true) {
        let text = "replicas are never reset here; set it to false before the ScaledObject is deleted, or KEDA \
                    resets them then";
        notes.lost("spec.advanced.restoreToOriginalReplicaCount", text);
    }
    let Some(config) = &advanced.horizontal_pod_autoscaler_config else { return Ok(Behavior::default()) };
    let at = "spec.advanced.horizontalPodAutoscalerConfig";
    tell_others(at, &config.others, notes);
    if config.name.is_some() {
        notes.note(format!("{at}.name"), "not needed: a policy makes no HPA");
    }
    let Some(behavior) = &config.behavior else { return Ok(Behavior::default()) };
    tell_others(&format!("{at}.behavior"), &behavior.others, notes);
    let mut rules = |direction: &str, rules: &Option<HpaRules>| match rules {
        Some(rules) => direction_rules(&format!("{at}.behavior.{direction}"), rules, notes),
        None => Ok(ScalingRules::default()),
    };
    Ok(Behavior {
        scale_up: rules("scaleUp", &behavior.scale_up)?,
        scale_down: rules("scaleDown", &behavior.scale_down)?,
    })
}

fn direction_rules(path: &str, rules: &HpaRules, notes: &mut Notes) -> Result<ScalingRules, Refusal> {
    tell_others(path, &rules.others, notes);
    let tolerance = match &rules.tolerance {
        Some(text) => {
            let wrong = || Refusal::new(format!("{path}.tolerance"), "not a quantity such as 0.05 or 50m");
            Some(quantity::read(&text.0).ok_or_else(wrong)?)
        }
        None => None,
    };
    Ok(ScalingRules {
        stabilization_window_seconds: rules.stabilization_window_seconds,
        policies: rules.policies.clone().unwrap_or_default(),
        select_policy: rules.select_policy.unwrap_or_default(),
        tolerance,
    })
}

/// KEDA's annotations; whether the policy is to be paused.
pub(super) fn pause(metadata: &Metadata, style: Style, behavior: &mut Behavior, notes: &mut Notes) -> bool {
    let mut paused = false;
    for (name, value) in metadata.annotations.iter().flatten() {
        let at = format!("metadata.annotations.{name}");
        // As KEDA has it, what is not false is true.
        let set = truth(&value.0).unwrap_or(true);
        let annotation = name.strip_prefix("autoscaling.keda.sh/");
        match (annotation, style) {
            (Some(pause), Style::ScaledObject) if pause.starts_with("paused") => {
                if set {
                    notes.note(at, "respected where it is: the bounds are held until the annotation goes");
                }
            }
            (Some("paused"), Style::Scale) => paused |= set,
            (Some("paused-replicas"), Style::Scale) => {
                paused = true;
                notes.lost(at, "as `paused: true` the present size is held, whatever the number");
            }
            (Some("paused-scale-in" | "paused-scale-down"), Style::Scale) => {
                if set {
                    behavior.scale_down.select_policy = SelectPolicy::Disabled;
                }
            }
            (Some("paused-scale-out"), Style::Scale) => {
                if set {
                    behavior.scale_up.select_policy = SelectPolicy::Disabled;
                }
            }
            (Some("force-activation"), Style::Scale) if set => {
                notes.lost(at, "set minReplicas to 1 or more to keep the workload awake");
            }
            (None | Some("force-activation"), _) => {}
            (Some(_), _) => notes.lost(at, "not known here, and left out"),
        }
    }
    paused
}
