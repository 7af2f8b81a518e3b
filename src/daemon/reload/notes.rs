//! What changed from one look at the policies to the next, said once.

use std::collections::{BTreeMap, BTreeSet};

use super::Known;
use crate::policy::{Policy, WorkloadId};

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Note {
    Info(String),
    Warning(String),
}

/// Logs every change, and nothing that is as it was.
pub(super) fn log(before: &Known, after: &Known) {
    for note in changes(before, after) {
        match note {
            Note::Info(line) => tracing::info!("{line}"),
            Note::Warning(line) => tracing::warn!("{line}"),
        }
    }
}

fn changes(before: &Known, after: &Known) -> Vec<Note> {
    let mut notes = policies(before, after);
    let (old, new) = (refusals(before), refusals(after));
    let refused = new.iter().filter(|(who, why)| old.get(*who) != Some(*why));
    notes.extend(refused.map(|(_, why)| Note::Warning(format!("policy refused: {why}"))));
    let settled = old.keys().filter(|who| !new.contains_key(*who));
    notes.extend(settled.map(|(who, _)| Note::Info(format!("policy no longer refused: {who}"))));
    let unread = |known: &Known| known.problems.iter().cloned().collect::<BTreeSet<_>>();
    let (old, new) = (unread(before), unread(after));
    notes.extend(
        new.difference(&old).map(|problem| Note::Warning(format!("policies not readable: {problem}"))),
    );
    if new.is_empty() && !old.is_empty() {
        notes.push(Note::Info("all policies are readable again".to_owned()));
    }
    notes
}

fn policies(before: &Known, after: &Known) -> Vec<Note> {
    let by_id = |known: &Known| -> BTreeMap<WorkloadId, Policy> {
        let policies = known.admission.policies.iter().map(|admitted| &admitted.policy);
        policies.map(|policy| (policy.id.clone(), policy.clone())).collect()
    };
    let (old, new) = (by_id(before), by_id(after));
    let mut notes = Vec::new();
    for (id, policy) in &new {
        match old.get(id) {
            None => notes.push(Note::Info(format!("policy {id} is in force"))),
            Some(known) if known != policy => notes.push(Note::Info(format!("policy {id} changed"))),
            Some(_) => {}
        }
    }
    let gone = old.keys().filter(|id| !new.contains_key(*id));
    notes.extend(gone.map(|id| Note::Info(format!("policy {id} is gone: its target is left as it is"))));
    notes
}

/// The refused documents, by what they are called and where they are from, with all that is wrong in
/// one line.
fn refusals(known: &Known) -> BTreeMap<(String, String), String> {
    let refused = known.admission.rejections.iter().map(|rejection| {
        let origin = rejection.origin.to_string();
        let who = rejection.id.as_ref().map_or_else(|| origin.clone(), ToString::to_string);
        ((who, origin), rejection.to_string())
    });
    refused.collect()
}
