//! Policies as they are now: from files and from labelled ConfigMaps, without a restart.

pub mod configmaps;
pub mod files;
mod notes;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::policy::WorkloadId;
use crate::policy::admit::{Admission, Candidate, Origin, admit};
use crate::policy::read::{Parsed, read_policies};
use crate::policy::settings::Settings;
use crate::record::board::{AcceptedPolicy, PolicyReport, RejectedPolicy};
pub(super) use crate::words::of as chain;
use configmaps::Scopes;
use files::Contents;

/// How often files are read. Reading tells the truth where file events lie: the kubelet swaps links.
const LOOK: Duration = Duration::from_secs(2);

/// The policies as they are now.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Which are in force, and which were refused.
    pub admission: Admission,
    /// Whether everything that was to be read has been: what is not here does not exist.
    pub complete: bool,
    /// What could not be read, in words.
    pub problems: Vec<String>,
}

impl Known {
    /// Whose policies are refused; `None` where somebody's may be without our knowing: not all could be
    /// read, or a document is too broken to tell.
    pub fn refused(&self) -> Option<BTreeSet<WorkloadId>> {
        let ids = self.admission.rejections.iter().map(|rejection| rejection.id.clone());
        if self.complete { ids.collect() } else { None }
    }
}

/// Keeps `known` true until `stop`; `None` before the first complete look, or the first that failed.
///
/// When nothing can be read, what was known stays.
pub async fn keep(
    settings: Arc<Settings>,
    mut scopes: watch::Receiver<Scopes>,
    known: watch::Sender<Option<Known>>,
    stop: CancellationToken,
) {
    let mut seen: Option<(Contents, Scopes)> = None;
    loop {
        let contents = tokio::select! {
            () = stop.cancelled() => return,
            contents = read(&settings.policy_paths, seen.as_ref().map(|(contents, _)| contents)) => contents,
        };
        let now = (contents, scopes.borrow_and_update().clone());
        let answered = now.1.values().all(|scope| scope.listed || scope.problem.is_some());
        if answered && seen.as_ref() != Some(&now) {
            let before = known.borrow().clone().unwrap_or_default();
            let after = assemble(&now.0, &now.1, &settings, &before.admission);
            notes::log(&before, &after);
            known.send_replace(Some(after));
            seen = Some(now);
        }
        tokio::select! {
            () = stop.cancelled() => return,
            Ok(()) = scopes.changed() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

async fn read(paths: &[PathBuf], before: Option<&Contents>) -> Contents {
    let (paths, before) = (paths.to_vec(), before.cloned().unwrap_or_default());
    let kept = before.clone();
    tokio::task::spawn_blocking(move || files::read(&paths, &before)).await.unwrap_or(kept)
}

/// Admits what there is.
pub fn assemble(contents: &Contents, scopes: &Scopes, settings: &Settings, before: &Admission) -> Known {
    let mut candidates = from_files(contents, settings);
    candidates.extend(from_config_maps(scopes, settings));
    Known {
        admission: admit(&candidates, settings, before),
        complete: contents.problems.is_empty() && scopes.values().all(|scope| scope.listed),
        problems: contents.problems.iter().cloned().chain(unreadable(scopes)).collect(),
    }
}

/// The namespaces that cannot be read, those with the same problem in one sentence.
fn unreadable(scopes: &Scopes) -> impl Iterator<Item = String> {
    let mut places: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, scope) in scopes {
        if let Some(problem) = &scope.problem {
            places.entry(problem).or_default().push(if name == "*" { "all namespaces" } else { name });
        }
    }
    places
        .into_iter()
        .map(|(problem, names)| format!("ConfigMaps with policies in {}: {problem}", names.join(", ")))
}

fn from_files(contents: &Contents, settings: &Settings) -> Vec<Candidate> {
    let mut candidates = Vec::new();
    for (path, text) in &contents.files {
        let file = path.display().to_string();
        let parsed = match text {
            Ok(text) => read_policies(&file, text, None, settings.interval),
            Err(problem) => vec![Parsed::unreadable(&file, problem)],
        };
        let origin = Origin::File { path: file.clone() };
        candidates.extend(parsed.into_iter().map(|parsed| Candidate { origin: origin.clone(), parsed }));
    }
    candidates
}

fn from_config_maps(scopes: &Scopes, settings: &Settings) -> Vec<Candidate> {
    let mut candidates = Vec::new();
    for ((namespace, name), map) in scopes.values().flat_map(|scope| &scope.maps) {
        for (key, text) in &map.data {
            let file = format!("{namespace}/{name}/{key}");
            let origin = Origin::ConfigMap {
                namespace: namespace.clone(),
                name: name.clone(),
                key: key.clone(),
                created: map.created,
            };
            let parsed = read_policies(&file, text, Some(namespace), settings.interval);
            candidates.extend(parsed.into_iter().map(|parsed| Candidate { origin: origin.clone(), parsed }));
        }
    }
    candidates
}

/// The admission as the board and the API show it.
pub fn report(admission: &Admission, settings: &Settings) -> PolicyReport {
    let accepted = admission.policies.iter().map(|admitted| AcceptedPolicy {
        id: admitted.policy.id.clone(),
        origin: admitted.origin.to_string(),
        target: format!("{}/{}", admitted.policy.target.kind(), admitted.policy.target.name()),
        mode: admitted.policy.mode_within(settings.mode),
        last_good: admitted.stale,
    });
    let rejected = admission.rejections.iter().map(|rejection| RejectedPolicy {
        origin: rejection.origin.to_string(),
        id: rejection.id.clone(),
        problems: rejection.problems.iter().map(ToString::to_string).collect(),
    });
    PolicyReport { accepted: accepted.collect(), rejected: rejected.collect() }
}
