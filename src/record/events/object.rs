//! The Events themselves.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};

use super::super::board::RejectedPolicy;
use super::super::{Outcome, Turn};
use crate::engine::Reason;

/// The API's limit on a note, in bytes.
const NOTE: usize = 1024;
/// Bytes of the target's name within an event's name, which is limited to 253.
const NAME: usize = 200;

/// What an Event says.
struct Words {
    warning: bool,
    reason: String,
    action: &'static str,
    note: String,
}

/// A turn's event, on its target.
pub(super) fn turn(turn: &Turn, instance: &str) -> Event {
    let (kind, name) = turn.target.split_once('/').unwrap_or(("", &turn.target));
    let regarding = ObjectReference {
        api_version: api_version(kind).map(str::to_owned),
        kind: Some(kind.to_owned()),
        name: Some(name.to_owned()),
        namespace: Some(turn.workload.namespace.clone()),
        uid: turn.observation.target.fence.as_ref().map(|fence| fence.uid.clone()),
        ..ObjectReference::default()
    };
    let words = Words {
        warning: is_trouble(turn.decision.reason)
            || matches!(turn.outcome, Outcome::Yielded { .. } | Outcome::Failed { .. }),
        reason: turn.decision.reason.to_string(),
        action: (&turn.outcome).into(),
        note: note(turn),
    };
    event(regarding, words, 0, turn.at, instance)
}

/// A refused policy's event, on the ConfigMap that holds it; `None` for a file. `number` tells apart
/// what is refused at one time.
pub(super) fn refusal(
    policy: &RejectedPolicy,
    number: usize,
    now: Timestamp,
    instance: &str,
) -> Option<Event> {
    let mut place = policy.origin.strip_prefix("configmap/")?.splitn(3, '/');
    let (namespace, name) = (place.next()?, place.next()?);
    let regarding = ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("ConfigMap".to_owned()),
        name: Some(name.to_owned()),
        namespace: Some(namespace.to_owned()),
        ..ObjectReference::default()
    };
    let words = Words {
        warning: true,
        reason: "PolicyRefused".to_owned(),
        action: "Refused",
        note: policy.problems.join("\n"),
    };
    Some(event(regarding, words, number, now, instance))
}

fn event(regarding: ObjectReference, words: Words, number: usize, at: Timestamp, instance: &str) -> Event {
    let about = shortened(regarding.name.as_deref().unwrap_or_default(), NAME);
    let instant = at.as_nanosecond().saturating_add(i128::try_from(number).unwrap_or_default());
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{about}.{instant:x}")),
            namespace: regarding.namespace.clone(),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(at)),
        type_: Some(if words.warning { "Warning" } else { "Normal" }.to_owned()),
        reason: Some(words.reason),
        action: Some(words.action.to_owned()),
        note: Some(within_limit(words.note)),
        regarding: Some(regarding),
        reporting_controller: Some("tidegate.dev/tidegate".to_owned()),
        reporting_instance: Some(shortened(instance, 128).to_owned()),
        ..Event::default()
    }
}

fn note(turn: &Turn) -> String {
    let sentence = &turn.decision.sentence;
    match turn.outcome.problem() {
        Some(problem) => format!("{sentence} Not written: {problem}"),
        None => sentence.clone(),
    }
}

fn within_limit(text: String) -> String {
    if text.len() <= NOTE { text } else { format!("{}…", shortened(&text, NOTE - "…".len())) }
}

/// At most `bytes` of the text's start.
fn shortened(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or_default()).unwrap_or_default()
}

/// The API version of kinds that everybody has; others are found by their name and uid.
fn api_version(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "Deployment" | "StatefulSet" | "ReplicaSet" => "apps/v1",
        "HorizontalPodAutoscaler" => "autoscaling/v2",
        "ScaledObject" => "keda.sh/v1alpha1",
        _ => return None,
    })
}

/// Whether somebody should look. What the operator asked for (paused, a bound, a budget that he set)
/// is no trouble, unless the objective is at risk by it.
fn is_trouble(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::AtMaxReplicas
            | Reason::BudgetExhausted
            | Reason::ClampedToPartitions
            | Reason::HotPartition
            | Reason::ObjectiveInfeasible
            | Reason::SignalMissing
            | Reason::SignalStale
            | Reason::SignalPartial
            | Reason::SignalRejected
            | Reason::SignalsDisagree
            | Reason::StillOverdue
            | Reason::GroupUnknown
            | Reason::GroupWithoutMembers
            | Reason::TargetNotFound
            | Reason::TargetUnreadable
            | Reason::OwnedByOther
            | Reason::Fallback
            | Reason::InputRejected
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::samples;

    fn turn(outcome: Outcome, reason: Reason) -> Turn {
        let mut turn = samples::turn("orders");
        turn.outcome = outcome;
        turn.decision.reason = reason;
        turn
    }

    #[test]
    fn an_event_is_about_the_target() {
        let event = super::turn(&samples::turn("orders"), "tidegate-0");
        let expected = serde_json::json!({
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": "orders.1898b5d9b3d68000", "namespace": "shop"},
            "eventTime": "2026-03-01T12:00:00.000000Z",
            "type": "Normal",
            "reason": "LoadNeedsMore",
            "action": "Applied",
            "note": "Raise 2 to 4: 600 records/s arrive, 2 replicas process 400.",
            "regarding": {
                "apiVersion": "apps/v1", "kind": "Deployment", "name": "orders", "namespace": "shop",
                "uid": "5f0c0a52-2f4e-4b0e-9a65-6f4a4f2f2a10",
            },
            "reportingController": "tidegate.dev/tidegate",
            "reportingInstance": "tidegate-0",
        });
        assert_eq!(serde_json::to_value(event).unwrap(), expected);
    }

    #[test]
    fn a_long_note_is_cut_within_the_limit_and_trouble_is_a_warning() {
        let problem = "ü".repeat(2000);
        let long = super::turn(&turn(Outcome::Failed { problem }, Reason::LoadNeedsMore), "tidegate-0");
        let note = long.note.unwrap();
        assert!(note.len() <= 1024 && note.ends_with("ü…"), "{}", note.len());
        assert_eq!(long.type_.as_deref(), Some("Warning"));
        assert_eq!(
            super::turn(&turn(Outcome::Held, Reason::SignalMissing), "x").type_.as_deref(),
            Some("Warning")
        );
        assert_eq!(super::turn(&turn(Outcome::Held, Reason::Paused), "x").type_.as_deref(), Some("Normal"));
    }

    #[test]
    fn a_refused_policy_is_told_on_its_config_map() {
        let mut policy = RejectedPolicy {
            origin: "configmap/shop/scaling/policies.yaml".into(),
            id: None,
            problems: vec!["unknown field `maxlag`".into(), "expected `maxLag`".into()],
        };
        let at = Timestamp::from_second(1).unwrap();
        let event = refusal(&policy, 1, at, "tidegate-0").unwrap();
        assert_eq!(event.metadata.name.as_deref(), Some("scaling.3b9aca01"));
        assert_eq!(event.note.as_deref(), Some("unknown field `maxlag`\nexpected `maxLag`"));
        let regarding = event.regarding.unwrap();
        assert_eq!(
            (regarding.kind.as_deref(), regarding.name.as_deref()),
            (Some("ConfigMap"), Some("scaling"))
        );
        policy.origin = "/etc/tidegate/policies.yaml".into();
        assert_eq!(refusal(&policy, 0, at, "tidegate-0"), None);
    }
}
