//! How far a scaled object is: which replicas are ready, whether a rollout is under way. Pure.
//!
//! Nothing here is ever used to derive a bound or a replica count: surge Pods of a rollout would feed
//! back into it.

use kube::api::DynamicObject;
use serde_json::Value;

use crate::policy::Replicas;

/// How far a scaled object is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Replicas that are ready, where the kind tells.
    pub ready: Option<Replicas>,
    /// Every replica asked for is there, by the newest template.
    pub settled: bool,
    /// A new template is being rolled out.
    pub rolling_out: bool,
}

/// Reads the progress of a `Deployment`, a `StatefulSet` or a kind that we know nothing about, whose scale
/// sub-resource says `asked` and `present` replicas.
pub fn progress(
    object: &DynamicObject,
    kind: &str,
    asked: Option<Replicas>,
    present: Option<Replicas>,
) -> Progress {
    let view = View { object, caught_up: caught_up(object) };
    match kind {
        "Deployment" => view.deployment(),
        "StatefulSet" => view.stateful_set(),
        _ => Progress {
            ready: number(&object.data, "/status/readyReplicas"),
            settled: view.caught_up != Some(false) && asked.is_some() && asked == present,
            rolling_out: false,
        },
    }
}

/// `spec.replicas` of a kind of the group `apps`, which the API server always fills in.
pub fn spec_replicas(object: &DynamicObject) -> Option<Replicas> {
    number(&object.data, "/spec/replicas")
}

/// Whether the status speaks of the newest spec; `None` where the kind does not tell.
fn caught_up(object: &DynamicObject) -> Option<bool> {
    let observed = object.data.pointer("/status/observedGeneration")?.as_i64()?;
    Some(observed >= object.metadata.generation?)
}

struct View<'a> {
    object: &'a DynamicObject,
    caught_up: Option<bool>,
}

impl View<'_> {
    fn deployment(&self) -> Progress {
        let Some(caught_up) = self.caught_up else { return Progress::default() };
        let (present, updated) = (self.count("replicas"), self.count("updatedReplicas"));
        // A paused Deployment rolls nothing out, and still scales what it has.
        let paused = self.object.data.pointer("/spec/paused") == Some(&Value::Bool(true));
        let newest = paused || updated == present;
        let asked = spec_replicas(self.object);
        Progress {
            ready: Some(self.count("readyReplicas")),
            settled: caught_up
                && newest
                && asked == Some(present)
                && self.count("availableReplicas") == present,
            rolling_out: caught_up && !newest && !self.gave_up(),
        }
    }

    fn stateful_set(&self) -> Progress {
        let Some(caught_up) = self.caught_up else { return Progress::default() };
        let text = |path| self.object.data.pointer(path).and_then(Value::as_str);
        let (present, updated, ready) =
            (self.count("replicas"), self.count("updatedReplicas"), self.count("readyReplicas"));
        // Ordinals below the partition stay at the old revision on purpose; so do all with OnDelete.
        let kept =
            number(&self.object.data, "/spec/updateStrategy/rollingUpdate/partition").unwrap_or_default();
        let on_delete = text("/spec/updateStrategy/type") == Some("OnDelete");
        let newest = on_delete
            || text("/status/updateRevision") == text("/status/currentRevision")
            || updated.0 >= present.0.saturating_sub(kept.0);
        Progress {
            ready: Some(ready),
            settled: caught_up && newest && spec_replicas(self.object) == Some(present) && ready == present,
            rolling_out: caught_up && !newest,
        }
    }

    /// A rollout past its deadline is stuck, not under way: it must not freeze the workload for good.
    fn gave_up(&self) -> bool {
        let conditions = self.object.data.pointer("/status/conditions").and_then(Value::as_array);
        conditions.into_iter().flatten().any(|condition| {
            condition.get("type").and_then(Value::as_str) == Some("Progressing")
                && condition.get("reason").and_then(Value::as_str) == Some("ProgressDeadlineExceeded")
        })
    }

    /// A count in the status of a kind of the group `apps`, which leaves out zeros.
    fn count(&self, name: &str) -> Replicas {
        number(&self.object.data, &format!("/status/{name}")).unwrap_or_default()
    }
}

/// The whole number at a JSON pointer.
pub(super) fn number(data: &Value, pointer: &str) -> Option<Replicas> {
    u32::try_from(data.pointer(pointer)?.as_u64()?).ok().map(Replicas)
}

#[cfg(test)]
mod tests {
    //! Statuses as a kube-controller-manager 1.36 wrote them.

    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn object(generation: i64, spec: &Value, status: &Value) -> DynamicObject {
        serde_json::from_value(
            json!({ "metadata": { "generation": generation }, "spec": spec, "status": status }),
        )
        .unwrap()
    }

    fn is(ready: u32, settled: bool, rolling_out: bool) -> Progress {
        Progress { ready: Some(Replicas(ready)), settled, rolling_out }
    }

    #[rstest]
    #[case::settled(1, json!({"replicas": 3}), json!({"availableReplicas": 3, "observedGeneration": 1, "readyReplicas": 3, "replicas": 3, "updatedReplicas": 3}), is(3, true, false))]
    #[case::more_replicas_only(2, json!({"replicas": 4}), json!({"availableReplicas": 3, "observedGeneration": 2, "readyReplicas": 3, "replicas": 4, "updatedReplicas": 4, "unavailableReplicas": 1}), is(3, false, false))]
    #[case::rollout(3, json!({"replicas": 4}), json!({"availableReplicas": 3, "observedGeneration": 3, "readyReplicas": 3, "replicas": 5, "updatedReplicas": 2, "conditions": [{"type": "Progressing", "reason": "ReplicaSetUpdated"}]}), is(3, false, true))]
    #[case::rollout_not_seen_yet(4, json!({"replicas": 4}), json!({"availableReplicas": 4, "observedGeneration": 3, "readyReplicas": 4, "replicas": 4, "updatedReplicas": 4}), is(4, false, false))]
    #[case::rollout_gave_up(6, json!({"replicas": 4}), json!({"availableReplicas": 3, "observedGeneration": 6, "readyReplicas": 3, "replicas": 5, "updatedReplicas": 2, "conditions": [{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]}), is(3, false, false))]
    #[case::paused_half_way(4, json!({"replicas": 4, "paused": true}), json!({"availableReplicas": 4, "observedGeneration": 4, "readyReplicas": 4, "replicas": 4, "updatedReplicas": 2}), is(4, true, false))]
    #[case::zero(2, json!({"replicas": 0}), json!({"observedGeneration": 2}), is(0, true, false))]
    #[case::never_looked_at(1, json!({"replicas": 0}), json!({}), Progress::default())]
    fn deployments(
        #[case] generation: i64,
        #[case] spec: Value,
        #[case] status: Value,
        #[case] expected: Progress,
    ) {
        assert_eq!(progress(&object(generation, &spec, &status), "Deployment", None, None), expected);
    }

    #[rstest]
    #[case::settled(4, json!({"replicas": 2}), json!({"currentRevision": "a", "observedGeneration": 4, "readyReplicas": 2, "replicas": 2, "updateRevision": "a", "updatedReplicas": 2}), is(2, true, false))]
    #[case::rollout(5, json!({"replicas": 2}), json!({"currentRevision": "a", "observedGeneration": 5, "readyReplicas": 1, "replicas": 2, "updateRevision": "b", "updatedReplicas": 1}), is(1, false, true))]
    #[case::partitioned(6, json!({"replicas": 2, "updateStrategy": {"rollingUpdate": {"partition": 1}}}), json!({"currentRevision": "a", "observedGeneration": 6, "readyReplicas": 2, "replicas": 2, "updateRevision": "b", "updatedReplicas": 1}), is(2, true, false))]
    #[case::on_delete(6, json!({"replicas": 2, "updateStrategy": {"type": "OnDelete"}}), json!({"currentRevision": "a", "observedGeneration": 6, "readyReplicas": 2, "replicas": 2, "updateRevision": "b"}), is(2, true, false))]
    fn stateful_sets(
        #[case] generation: i64,
        #[case] spec: Value,
        #[case] status: Value,
        #[case] expected: Progress,
    ) {
        assert_eq!(progress(&object(generation, &spec, &status), "StatefulSet", None, None), expected);
    }

    #[rstest]
    #[case::there(Some(2), json!({"readyReplicas": 2}), Progress { ready: Some(Replicas(2)), settled: true, rolling_out: false })]
    #[case::on_its_way(Some(1), json!({}), Progress::default())]
    #[case::unknown(None, json!({}), Progress::default())]
    #[case::old_status(Some(2), json!({"observedGeneration": 6}), Progress::default())]
    fn other_kinds(#[case] present: Option<u32>, #[case] status: Value, #[case] expected: Progress) {
        let object = object(7, &json!({}), &status);
        assert_eq!(progress(&object, "", Some(Replicas(2)), present.map(Replicas)), expected);
    }
}
