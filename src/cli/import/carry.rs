//! From objects to what is printed of them.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::connections::Connections;
use super::keda::ScaledObject;
use super::notes::{Notes, Refusal};
use super::object::Object;
use super::{Choices, Report, UNREADABLE, map, write};
use crate::policy::TimeSpan;
use crate::policy::document::PolicyDocument;
use crate::policy::problem::Problem;
use crate::policy::read::read_policies;

/// What became of one object.
#[derive(Debug)]
pub(super) struct Entry {
    /// Kind, namespace and name.
    pub(super) name: String,
    pub(super) object: Object,
    /// As a document and as text.
    pub(super) policy: Option<(PolicyDocument, String)>,
    pub(super) notes: Notes,
    /// Whether it scales something.
    pub(super) is_workload: bool,
}

/// The policies of all objects that are KEDA's; `problems` is what could not be read.
pub(super) fn carry(objects: Vec<Object>, problems: &[Problem], choices: &Choices) -> anyhow::Result<Report> {
    let mut connections = Connections::named(&choices.connections);
    let mut entries = Vec::new();
    let mut names = BTreeSet::new();
    for object in objects.into_iter().filter(|object| object.text("/apiVersion").starts_with("keda.sh/")) {
        let mut entry = entry(object, choices, &mut connections)?;
        if entry.policy.is_some() && !names.insert(entry.name.clone()) {
            entry.policy = None;
            entry.notes.refused(Refusal::new("metadata.name", "the same object once more"));
        }
        entries.push(entry);
    }
    // A line of a manifest may hold a secret: only the place and the words.
    let mut messages: Vec<String> = problems.iter().map(Problem::line).collect();
    messages.extend(write::messages(&entries));
    let complete =
        entries.iter().all(|entry| entry.notes.complete()) && entries.iter().any(|one| one.is_workload);
    let code = match (problems.is_empty(), complete) {
        (false, _) => UNREADABLE,
        (true, false) => 1,
        (true, true) => 0,
    };
    Ok(Report { documents: write::documents(&entries, &connections)?, messages, code })
}

fn entry(object: Object, choices: &Choices, connections: &mut Connections) -> anyhow::Result<Entry> {
    let mut notes = Notes::default();
    let kind = object.text("/kind");
    let stated = object.text("/metadata/namespace");
    let namespace =
        if stated.is_empty() { choices.namespace.as_deref().unwrap_or("default") } else { stated };
    let name = format!("{kind} {namespace}/{}", object.text("/metadata/name"));
    let policy = match kind {
        "ScaledObject" => {
            if stated.is_empty() && choices.namespace.is_none() {
                notes
                    .task("metadata", "no namespace here: taken to be `default`; say which with --namespace");
            }
            policy(&object, namespace, choices, connections, &mut notes)?
        }
        "ScaledJob" => {
            let text = "it starts Jobs; Tidegate moves the replicas of something that stays";
            notes.refused(Refusal::new("kind", text));
            None
        }
        _ => {
            credentials(&object, &mut notes);
            None
        }
    };
    if policy.is_none() && kind == "ScaledObject" {
        notes.keep_refusals();
    }
    notes.sort_by_path(|path| object.place(path).map(|(_, line)| line));
    let is_workload = matches!(kind, "ScaledObject" | "ScaledJob");
    Ok(Entry { name, object, policy, notes, is_workload })
}

/// The policy, as a document and as text that reads back without a problem.
fn policy(
    object: &Object,
    namespace: &str,
    choices: &Choices,
    connections: &mut Connections,
    notes: &mut Notes,
) -> anyhow::Result<Option<(PolicyDocument, String)>> {
    let typed: ScaledObject = match serde_json::from_value(object.json.clone()) {
        Ok(typed) => typed,
        Err(error) => {
            notes.refused(unlike_keda(&object.json, &error));
            return Ok(None);
        }
    };
    let Some(document) = map::map(&typed, namespace, choices, connections, notes) else { return Ok(None) };
    let text = write::policy(&document)?;
    let parsed = read_policies("policy", &text, None, TimeSpan::from_secs(15));
    let problems: Vec<Problem> = parsed.into_iter().filter_map(|one| one.result.err()).flatten().collect();
    for problem in &problems {
        notes.refused(Refusal::new("spec", format!("no policy can say this: {}", problem.message)));
    }
    Ok(problems.is_empty().then_some((document, text)))
}

/// What is not as KEDA spells it. The error's quotes hold a value, which may be secret.
fn unlike_keda(json: &Json, error: &serde_json::Error) -> Refusal {
    let words: Vec<String> = error.to_string().split('"').step_by(2).map(str::to_owned).collect();
    let fields = json.pointer("/spec").and_then(Json::as_object);
    let mends = |name: &&String| {
        let mut without = json.clone();
        let spec = without.pointer_mut("/spec").and_then(Json::as_object_mut);
        spec.and_then(|spec| spec.remove(name.as_str())).is_some()
            && serde_json::from_value::<ScaledObject>(without).is_ok()
    };
    let path = match fields.and_then(|fields| fields.keys().find(mends)) {
        Some(name) => format!("spec.{name}"),
        None => "spec".to_owned(),
    };
    Refusal::new(path, format!("not as KEDA spells it: {}", words.join("...")))
}

/// Which of its Secrets' keys a `TriggerAuthentication` gives to which option; never their values.
fn credentials(object: &Object, notes: &mut Notes) {
    let references = object.json.pointer("/spec/secretTargetRef").and_then(Json::as_array);
    for (index, reference) in references.into_iter().flatten().enumerate() {
        let text = |name| reference.get(name).and_then(Json::as_str).unwrap_or("?");
        notes.task(
            format!("spec.secretTargetRef[{index}]"),
            format!(
                "`{}` is key `{}` of Secret `{}`: mount it as a file",
                text("parameter"),
                text("key"),
                text("name")
            ),
        );
    }
    if notes.iter().next().is_none() {
        notes.task("spec", "credentials go into files that the settings name");
    }
}
