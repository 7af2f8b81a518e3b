//! Who is in force.

use jiff::Timestamp;
use proptest::prelude::*;
use tidegate::policy::admit::{Admission, Candidate, Origin, Refusal, admit};
use tidegate::policy::read::{Parsed, read_policies, read_settings};
use tidegate::policy::settings::Settings;

use super::INTERVAL;

fn settings() -> Settings {
    let text = "
apiVersion: tidegate.dev/v1alpha1
kind: Settings
connections:
  kafka:
    main: {bootstrapServers: ['kafka:9092']}
    payments: {bootstrapServers: ['kafka:9092'], namespaces: [pay]}
  flink:
    session: {url: 'http://jobmanager:8081'}
";
    read_settings("settings.yaml", text).unwrap()
}

fn document(name: &str, target: &str, cluster: &str) -> String {
    format!(
        "---
apiVersion: tidegate.dev/v1alpha1
kind: ScalingPolicy
metadata: {{name: {name}, namespace: shop}}
spec:
  target: {{scaleTargetRef: {{kind: Deployment, name: {target}}}}}
  sources: [{{kafkaLag: {{cluster: {cluster}, group: g}}}}]
  objective: {{maxLag: 60s}}
  maxReplicas: 4
"
    )
}

fn file(path: &str, text: &str) -> Vec<Candidate> {
    let origin = Origin::File { path: path.to_owned() };
    let parsed = read_policies(path, text, None, INTERVAL);
    parsed.into_iter().map(|parsed| Candidate { origin: origin.clone(), parsed }).collect()
}

fn config_map(name: &str, created: i64, text: &str) -> Vec<Candidate> {
    let origin = Origin::ConfigMap {
        namespace: "shop".to_owned(),
        name: name.to_owned(),
        key: "policies.yaml".to_owned(),
        created: Timestamp::from_second(created).unwrap(),
    };
    let parsed = read_policies(&origin.to_string(), text, Some("shop"), INTERVAL);
    parsed.into_iter().map(|parsed| Candidate { origin: origin.clone(), parsed }).collect()
}

fn look(candidates: impl IntoIterator<Item = Vec<Candidate>>, previous: &Admission) -> Admission {
    admit(&candidates.into_iter().flatten().collect::<Vec<_>>(), &settings(), previous)
}

/// `NAME->TARGET`, with a `*` where it is stale.
fn in_force(admission: &Admission) -> Vec<String> {
    let shown = |each: &tidegate::policy::admit::Admitted| {
        let stale = if each.stale { "*" } else { "" };
        format!("{}->{}{stale}", each.policy.id.name, each.policy.target.name())
    };
    admission.policies.iter().map(shown).collect()
}

fn refused(admission: &Admission) -> Vec<(String, Refusal)> {
    let name = |id: &Option<tidegate::policy::WorkloadId>| {
        id.as_ref().map_or_else(String::new, |id| id.name.clone())
    };
    admission.rejections.iter().map(|each| (name(&each.id), each.refusal)).collect()
}

fn nothing() -> Admission {
    Admission::default()
}

#[test]
fn a_file_comes_before_a_config_map_and_the_older_config_map_before_the_younger() {
    let young = || config_map("a-young", 200, &document("young", "t", "main"));
    let old = || config_map("b-old", 100, &document("old", "t", "main"));
    let first = look([young(), old()], &nothing());
    assert_eq!(in_force(&first), ["old->t"]);
    assert_eq!(refused(&first), [("young".to_owned(), Refusal::TargetTaken)]);
    insta::assert_snapshot!(first.rejections[0]);

    let with_file = look([young(), old(), file("f.yaml", &document("mounted", "t", "main"))], &nothing());
    assert_eq!(in_force(&with_file), ["mounted->t"]);
}

#[test]
fn who_has_a_target_keeps_it() {
    let young = || config_map("young", 200, &document("young", "t", "main"));
    let before = look([young()], &nothing());
    let after = look([file("f.yaml", &document("mounted", "t", "main")), young()], &before);
    assert_eq!(in_force(&after), ["young->t"]);
    assert_eq!(refused(&after), [("mounted".to_owned(), Refusal::TargetTaken)]);

    let freed = look([file("f.yaml", &document("mounted", "t", "main"))], &after);
    assert_eq!(in_force(&freed), ["mounted->t"]);
    assert_eq!(freed.rejections, []);
}

/// A Deployment of TaskManagers is moved by whoever moves their job; jobs may share one.
#[test]
fn what_keeps_a_jobs_taskmanagers_has_no_other_mover() {
    let job = |name: &str| {
        let target = format!("flinkCluster: {{cluster: session, job: {name}, taskManagers: {{name: t}}}}");
        document(name, "t", "main").replace("scaleTargetRef: {kind: Deployment, name: t}", &target)
    };
    let jobs = file("a.yaml", &(job("one") + &job("two")));
    let admission = look([jobs, file("b.yaml", &document("workers", "t", "main"))], &nothing());
    assert_eq!(in_force(&admission), ["one->one", "two->two"], "{:?}", admission.rejections);
    assert_eq!(refused(&admission), [("workers".to_owned(), Refusal::TargetTaken)]);
    let told = admission.rejections[0].to_string();
    assert!(told.contains("Deployment `t` is moved by policy `shop/one` already"), "{told}");
}

#[test]
fn one_name_is_one_policy() {
    let text = document("orders", "t1", "main") + &document("orders", "t2", "main");
    let admission = look([file("f.yaml", &text)], &nothing());
    assert_eq!(in_force(&admission), ["orders->t1"]);
    assert_eq!(refused(&admission), [("orders".to_owned(), Refusal::NameTaken)]);
    assert_eq!(admission.rejections[0].problems[0].line, 13, "the second document's metadata");
}

#[test]
fn a_broken_edit_keeps_the_last_good_version() {
    let good = config_map("cm", 1, &document("orders", "t", "main"));
    let before = look([good], &nothing());
    let broken =
        || config_map("cm", 1, &document("orders", "t", "main").replace("maxReplicas: 4", "maxReplicas: x"));
    let after = look([broken()], &before);
    assert_eq!(in_force(&after), ["orders->t*"]);
    assert_eq!(refused(&after), [("orders".to_owned(), Refusal::Invalid)]);
    let still = look([broken()], &after);
    assert_eq!(still, after, "for as long as it stays broken");
    let mended = look([config_map("cm", 1, &document("orders", "t", "main"))], &still);
    assert_eq!((in_force(&mended), mended.rejections), (vec!["orders->t".to_owned()], vec![]));
}

#[test]
fn a_document_too_broken_to_name_keeps_all_that_its_origin_no_longer_shows() {
    let text = document("a", "t1", "main") + &document("b", "t2", "main") + &document("c", "t3", "main");
    let before = look([file("f.yaml", &text)], &nothing());
    // `b` does not parse any more, and `c` is gone: nobody can tell which of them the broken text is.
    let text = document("a", "t1", "main") + &document("b", "[t2", "main");
    let after = look([file("f.yaml", &text)], &before);
    assert_eq!(in_force(&after), ["a->t1", "b->t2*", "c->t3*"]);

    let unreadable = Parsed::unreadable("f.yaml", "permission denied");
    let origin = Origin::File { path: "f.yaml".to_owned() };
    let after = look([vec![Candidate { origin, parsed: unreadable }]], &before);
    assert_eq!(in_force(&after), ["a->t1*", "b->t2*", "c->t3*"]);
    assert_eq!(after.rejections[0].to_string(), "f.yaml: f.yaml:1:1: permission denied");
}

#[test]
fn a_removed_policy_is_out_of_force() {
    let before = look([file("f.yaml", &document("a", "t1", "main"))], &nothing());
    assert_eq!(in_force(&look([], &before)), [""; 0]);
}

#[test]
fn an_edit_onto_a_taken_target_changes_nothing() {
    let a = || file("a.yaml", &document("a", "t1", "main"));
    let before = look([a(), file("b.yaml", &document("b", "t2", "main"))], &nothing());
    let after = look([a(), file("b.yaml", &document("b", "t1", "main"))], &before);
    assert_eq!(in_force(&after), ["a->t1", "b->t2*"]);
    assert_eq!(refused(&after), [("b".to_owned(), Refusal::TargetTaken)]);
}

#[test]
fn a_broken_twin_does_not_displace_its_good_version() {
    let before = look([file("f.yaml", &document("a", "t1", "main"))], &nothing());
    let text = document("a", "t9", "main") + &document("a", "t1", "main").replace("60s", "soon");
    let after = look([file("f.yaml", &text)], &before);
    assert_eq!(in_force(&after), ["a->t9"]);
    assert_eq!(refused(&after), [("a".to_owned(), Refusal::Invalid)]);
}

#[test]
fn a_connection_is_known_and_for_the_namespace() {
    let text = document("typo", "t1", "mian") + &document("other", "t2", "payments");
    let admission = look([file("f.yaml", &text)], &nothing());
    assert_eq!(in_force(&admission), [""; 0]);
    assert!(admission.rejections.iter().all(|each| each.refusal == Refusal::ConnectionNotAllowed));
    let shown: Vec<_> = admission.rejections.iter().map(|each| each.problems[0].to_string()).collect();
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn a_config_map_reaches_only_its_own_namespace() {
    // Read without its home, as a careless caller might.
    let mut candidates = file("f.yaml", &document("a", "t1", "main"));
    for candidate in &mut candidates {
        candidate.origin = Origin::ConfigMap {
            namespace: "elsewhere".to_owned(),
            name: "cm".to_owned(),
            key: "k".to_owned(),
            created: Timestamp::UNIX_EPOCH,
        };
    }
    let admission = look([candidates], &nothing());
    assert_eq!(in_force(&admission), [""; 0]);
    assert_eq!(refused(&admission), [("a".to_owned(), Refusal::NamespaceNotAllowed)]);
}

/// One place's text: documents with few names and targets, some of them broken.
fn places() -> impl Strategy<Value = Vec<Candidate>> {
    let document = (0..3_u8, 0..3_u8, 0..8_u8).prop_map(|(name, target, fault)| {
        let text =
            document(&format!("p{name}"), &format!("t{target}"), if fault == 0 { "mian" } else { "main" });
        match fault {
            1 => text.replace("60s", "soon"),
            2 => text.replace("60s", "[60s"),
            _ => text,
        }
    });
    let text = || prop::collection::vec(document.clone(), 0..3).prop_map(|documents| documents.concat());
    (text(), text(), text()).prop_map(|(one, two, three)| {
        [file("f.yaml", &one), config_map("old", 1, &two), config_map("young", 2, &three)].concat()
    })
}

proptest! {
    #[test]
    fn one_policy_for_each_name_and_target_whatever_the_order(
        history in prop::collection::vec(places(), 1..5)
    ) {
        let mut before = nothing();
        for candidates in history {
            let after = admit(&candidates, &settings(), &before);
            for (index, one) in after.policies.iter().enumerate() {
                for other in after.policies.iter().skip(index + 1) {
                    prop_assert_ne!(&one.policy.id, &other.policy.id);
                    prop_assert_ne!(one.policy.target.name(), other.policy.target.name());
                }
            }
            let backwards: Vec<_> = candidates.iter().rev().cloned().collect();
            prop_assert_eq!(&admit(&backwards, &settings(), &before).policies, &after.policies);
            prop_assert_eq!(&admit(&candidates, &settings(), &after).policies, &after.policies, "settled");
            before = after;
        }
    }
}
