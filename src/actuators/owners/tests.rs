//! Shapes as a kube-apiserver 1.36 wrote them, shortened to the entries that matter.

use rstest::rstest;
use serde_json::json;

use super::*;

const REPLICAS: &[&str] = &["spec", "replicas"];

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn meta(uid: &str, entries: &[Value]) -> ObjectMeta {
    serde_json::from_value(json!({ "uid": uid, "managedFields": entries })).unwrap()
}

fn entry(manager: &str, operation: &str, time: &str, fields: &Value) -> Value {
    json!({ "manager": manager, "operation": operation, "time": time, "fieldsType": "FieldsV1", "fieldsV1": fields })
}

/// Written through the scale sub-resource: no time.
fn scaled(manager: &str, fields: &Value) -> Value {
    json!({ "manager": manager, "operation": "Update", "subresource": "scale", "fieldsType": "FieldsV1", "fieldsV1": fields })
}

fn replicas() -> Value {
    json!({ "f:spec": { "f:replicas": {} } })
}

/// What `kubectl apply` leaves behind once the scale sub-resource has taken the replicas.
fn rest() -> Value {
    json!({ "f:metadata": { "f:annotations": { ".": {} } }, "f:spec": { "f:selector": {}, "f:template": { "f:spec": {} } } })
}

fn yields_to(standing: &Standing) -> Option<&str> {
    match standing {
        Standing::Yield { owner } => Some(owner),
        Standing::Free | Standing::Adopt => None,
    }
}

#[test]
fn owners_are_those_whose_entry_reaches_the_field() {
    let mut whole = rest();
    whole["f:spec"]["f:replicas"] = json!({});
    let meta = meta("a", &[entry("kubectl-client-side-apply", "Update", "2026-11-21T07:45:02Z", &whole)]);
    let owner = Owner {
        manager: "kubectl-client-side-apply".into(),
        applies: false,
        changed_at: Some(at("2026-11-21T07:45:02Z")),
    };
    assert_eq!(owners(&meta, REPLICAS), [owner]);
    assert_eq!(owners(&meta, &["spec", "paused"]), []);
}

#[test]
fn an_empty_parent_is_not_the_field() {
    // So kubectl's entry reads after the replicas below `workers` went to the scale sub-resource.
    let left = json!({ "f:spec": { ".": {}, "f:image": {}, "f:workers": {} } });
    let meta = meta("a", &[entry("kubectl-client-side-apply", "Update", "2026-11-21T07:53:29Z", &left)]);
    assert_eq!(owners(&meta, &["spec", "workers", "replicas"]), []);
}

#[test]
fn our_mark_outlives_a_bound_that_was_taken() {
    let mark = json!({ "f:metadata": { "f:annotations": { "f:tidegate.dev/policy": {} } }, "f:spec": { "f:maxReplicas": {} } });
    let taken = json!({ "f:spec": { "f:minReplicas": {} } });
    let meta = meta(
        "a",
        &[
            entry(MANAGER, "Apply", "2026-11-21T07:49:17Z", &mark),
            entry("kubectl-patch", "Update", "2026-11-21T07:49:21Z", &taken),
        ],
    );
    assert!(we_own(&meta, "Apply", &["metadata", "annotations", "tidegate.dev/policy"]));
    assert!(!we_own(&meta, "Update", &["metadata", "annotations", "tidegate.dev/policy"]));
    let owners = owners(&meta, &["spec", "minReplicas"]);
    let early = standing(".spec.minReplicas", &owners, true, at("2026-11-21T08:19:20Z"));
    assert_eq!(
        yields_to(&early),
        Some(
            "field manager kubectl-patch (it changed .spec.minReplicas after us: yielding until 2026-11-21T08:19:21Z)"
        )
    );
    assert_eq!(standing(".spec.minReplicas", &owners, true, at("2026-11-21T08:19:21Z")), Standing::Adopt);
}

#[rstest]
#[case::nobody(&[], true, "free")]
#[case::us(&[(MANAGER, true)], true, "free")]
#[case::creator_before_us(&[("helm", false)], false, "adopt")]
#[case::applier_before_us(&[("argocd-controller", true)], false, "argocd-controller")]
#[case::creator_and_applier_before_us(&[("helm", false), ("flux", true)], false, "flux")]
#[case::shared(&[(MANAGER, true), ("argocd-controller", true)], true, "adopt")]
#[case::taken_by_an_applier(&[("argocd-controller", true)], true, "argocd-controller")]
#[case::taken_by_an_update(&[("helm", false)], true, "helm")]
#[case::taken_by_both(&[("helm", false), ("flux", true)], true, "helm")]
fn standings(#[case] managers: &[(&str, bool)], #[case] claimed: bool, #[case] expected: &str) {
    let now = at("2026-11-21T08:00:00Z");
    let owners: Vec<_> = managers
        .iter()
        .map(|(manager, applies)| Owner {
            manager: (*manager).into(),
            applies: *applies,
            changed_at: Some(at("2026-11-21T07:59:00Z")),
        })
        .collect();
    let said = match standing("f", &owners, claimed, now) {
        Standing::Free => "free".to_owned(),
        Standing::Adopt => "adopt".to_owned(),
        Standing::Yield { owner } => owner.split(' ').nth(2).unwrap().to_owned(),
    };
    assert_eq!(said, expected);
}

#[test]
fn an_applier_is_yielded_to_for_as_long_as_it_applies() {
    let owner = Owner { manager: "flux".into(), applies: true, changed_at: Some(at("2026-11-21T07:00:00Z")) };
    let after_a_year = standing(".spec.replicas", &[owner], true, at("2027-11-21T07:00:00Z"));
    assert_eq!(
        yields_to(&after_a_year),
        Some(
            "field manager flux (it applies .spec.replicas: hand the field over, then take it out of the manifest)"
        )
    );
}

#[test]
fn replicas_that_somebody_took_from_us_are_left_for_half_an_hour() {
    let mut tenure = Tenure::default();
    let (created, ours) = (
        meta("a", &[entry("kubectl-create", "Update", "2026-11-21T07:00:00Z", &replicas())]),
        meta(
            "a",
            &[
                scaled(MANAGER, &replicas()),
                entry("kubectl-create", "Update", "2026-11-21T07:00:00Z", &rest()),
            ],
        ),
    );
    let theirs = meta("a", &[scaled("kubectl", &replicas())]);
    assert_eq!(tenure.see(&created, at("2026-11-21T08:00:00Z")), Standing::Adopt);
    assert_eq!(tenure.see(&ours, at("2026-11-21T08:00:15Z")), Standing::Free);
    let taken = tenure.see(&theirs, at("2026-11-21T08:00:30Z"));
    let words =
        "field manager kubectl (it changed .spec.replicas after us: yielding until 2026-11-21T08:30:30Z)";
    assert_eq!(yields_to(&taken), Some(words));
    assert_eq!(yields_to(&tenure.see(&theirs, at("2026-11-21T08:30:29Z"))), Some(words));
    assert_eq!(tenure.see(&theirs, at("2026-11-21T08:30:30Z")), Standing::Adopt);
    // Once we have them again, the next one who takes them gets the whole time.
    assert_eq!(tenure.see(&ours, at("2026-11-21T08:30:45Z")), Standing::Free);
    assert!(yields_to(&tenure.see(&theirs, at("2026-11-21T09:00:00Z"))).is_some());
}

#[test]
fn an_applier_is_yielded_to_also_after_a_restart() {
    let now = at("2026-11-21T08:00:00Z");
    let applied = meta("a", &[entry("argocd-controller", "Apply", "2026-11-21T07:00:00Z", &replicas())]);
    let words = "field manager argocd-controller (it applies .spec.replicas: hand the field over, then take it out of the manifest)";
    assert_eq!(yields_to(&Tenure::default().see(&applied, now)), Some(words));
    // Whoever wrote it once is taken over once: the consent that a policy is.
    let created = meta("a", &[entry("kubectl-create", "Update", "2026-11-21T07:59:00Z", &replicas())]);
    assert_eq!(Tenure::default().see(&created, now), Standing::Adopt);
    // Handed over: stated by both, with the same value.
    let both = meta(
        "a",
        &[
            entry("argocd-controller", "Apply", "2026-11-21T07:00:00Z", &replicas()),
            entry(MANAGER, "Apply", "2026-11-21T07:59:00Z", &replicas()),
        ],
    );
    assert_eq!(Tenure::default().see(&both, now), Standing::Adopt);
}

#[test]
fn an_object_made_anew_was_never_ours() {
    let mut tenure = Tenure::default();
    let now = at("2026-11-21T08:00:00Z");
    assert_eq!(tenure.see(&meta("a", &[scaled(MANAGER, &replicas())]), now), Standing::Free);
    let anew = meta("b", &[entry("kubectl-create", "Update", "2026-11-21T07:59:00Z", &replicas())]);
    assert_eq!(tenure.see(&anew, now), Standing::Adopt);
}

#[test]
fn where_a_custom_kind_keeps_its_replicas_is_learnt_from_the_scale_sub_resource() {
    let (mut tenure, now) = (Tenure::default(), at("2026-11-21T08:00:00Z"));
    let path = json!({ "f:spec": { "f:taskManager": { ".": {}, "f:replicas": {} } } });
    assert_eq!(tenure.see(&meta("a", &[scaled(MANAGER, &path)]), now), Standing::Free);
    let taken = tenure.see(&meta("a", &[entry("flux", "Apply", "2026-11-21T07:59:59Z", &path)]), now);
    let words = "field manager flux (it applies .spec.taskManager.replicas: hand the field over, then take it out of the manifest)";
    assert_eq!(yields_to(&taken), Some(words));
}

#[test]
fn only_the_controller_among_the_owner_references_counts() {
    let reference = |kind: &str, controller: bool| json!({ "apiVersion": "keda.sh/v1alpha1", "kind": kind, "name": "so", "uid": "u", "controller": controller });
    let meta: ObjectMeta = serde_json::from_value(
        json!({ "ownerReferences": [reference("Other", false), reference("ScaledObject", true)] }),
    )
    .unwrap();
    assert_eq!(controller(&meta), Some(("keda.sh", "ScaledObject", "so")));
    assert_eq!(controller(&ObjectMeta::default()), None);
}

#[test]
fn a_yield_goes_on_over_a_restart() {
    fn restarted(tenure: &Tenure) -> Tenure {
        serde_json::from_str(&serde_json::to_string(tenure).unwrap()).unwrap()
    }
    let ours = meta("a", &[scaled(MANAGER, &replicas())]);
    let theirs = meta("a", &[scaled("kubectl", &replicas())]);
    let mut tenure = Tenure::default();
    assert_eq!(tenure.see(&ours, at("2026-11-21T08:00:00Z")), Standing::Free);

    // Taken while nobody looked: it counts from when it was seen.
    let mut tenure = restarted(&tenure);
    let taken = tenure.see(&theirs, at("2026-11-21T08:10:00Z"));
    let words =
        "field manager kubectl (it changed .spec.replicas after us: yielding until 2026-11-21T08:40:00Z)";
    assert_eq!(yields_to(&taken), Some(words));

    // Seen before: the end stays what it was.
    let mut tenure = restarted(&tenure);
    assert_eq!(yields_to(&tenure.see(&theirs, at("2026-11-21T08:39:59Z"))), Some(words));
    let mut tenure = restarted(&tenure);
    assert_eq!(tenure.see(&theirs, at("2026-11-21T08:40:00Z")), Standing::Adopt);

    // Another object of that name was never ours.
    let another = meta("b", &[scaled("kubectl", &replicas())]);
    assert_eq!(tenure.see(&another, at("2026-11-21T08:41:00Z")), Standing::Adopt);
}
