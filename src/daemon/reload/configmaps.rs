//! Policies in labelled ConfigMaps, followed by watches that never end.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{Stream, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch_objects};
use kube::{Api, Client, ResourceExt};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::words;

/// The label that makes a ConfigMap one with policies.
pub const LABEL: &str = "tidegate.dev/policies=true";

/// A watch that goes on after a failure does not say so. But one that fails again does, within the pause
/// of ten seconds and the fifteen that connecting and answering may take: longer silence is good news.
const SILENCE: Duration = Duration::from_secs(30);

/// What is known of one watched namespace; `*` stands for all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// The ConfigMaps by namespace and name.
    pub maps: BTreeMap<(String, String), PolicyMap>,
    /// Whether they have been listed at least once.
    pub listed: bool,
    /// Why they cannot be read at present, in words. They count as they were before.
    pub problem: Option<String>,
}

/// One ConfigMap with policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyMap {
    /// When it was created: of two policies for one target the older one counts.
    pub created: Timestamp,
    /// Its texts by key.
    pub data: BTreeMap<String, String>,
}

/// All watched namespaces.
pub type Scopes = BTreeMap<String, Scope>;

/// The scopes that settings ask for: nothing yet, but named.
pub fn scopes(watch_namespaces: &[String]) -> Scopes {
    let everywhere = watch_namespaces.iter().any(|namespace| namespace == "*");
    let named = if everywhere { vec!["*".to_owned()] } else { watch_namespaces.to_vec() };
    named.into_iter().map(|namespace| (namespace, Scope::default())).collect()
}

/// Follows every scope until `stop`.
pub async fn follow(client: Client, scopes: watch::Sender<Scopes>, stop: CancellationToken) {
    let names: Vec<String> = scopes.borrow().keys().cloned().collect();
    let follow_one = |name: String| {
        let api: Api<ConfigMap> =
            if name == "*" { Api::all(client.clone()) } else { Api::namespaced(client.clone(), &name) };
        let events = watch_objects(api, watcher::Config::default().labels(LABEL)).backoff(Pause::default());
        keep(name, events, &scopes)
    };
    let all = futures::future::join_all(names.into_iter().map(follow_one));
    tokio::select! {
        () = stop.cancelled() => {}
        _ = all => {}
    }
}

/// Keeps one scope as its events tell it.
async fn keep(
    name: String,
    events: impl Stream<Item = watcher::Result<Event<ConfigMap>>>,
    scopes: &watch::Sender<Scopes>,
) {
    let mut fresh = BTreeMap::new();
    let mut events = std::pin::pin!(events);
    loop {
        let event = match tokio::time::timeout(SILENCE, events.next()).await {
            Ok(None) => return,
            Ok(Some(event)) => Some(event),
            Err(_) => None,
        };
        scopes.send_if_modified(|scopes| {
            let scope = scopes.entry(name.clone()).or_default();
            let before = scope.clone();
            match event {
                Some(event) => take(scope, &mut fresh, event),
                None if scope.listed => scope.problem = None,
                None => {}
            }
            *scope != before
        });
    }
}

/// One event. A list replaces what is known only once it is complete.
fn take(
    scope: &mut Scope,
    fresh: &mut BTreeMap<(String, String), PolicyMap>,
    event: watcher::Result<Event<ConfigMap>>,
) {
    match event {
        Ok(Event::Init) => fresh.clear(),
        Ok(Event::InitApply(map)) => {
            let (key, map) = read(map);
            fresh.insert(key, map);
        }
        Ok(Event::InitDone) => {
            scope.maps = std::mem::take(fresh);
            scope.listed = true;
            scope.problem = None;
        }
        Ok(Event::Apply(map)) => {
            let (key, map) = read(map);
            scope.maps.insert(key, map);
            scope.problem = None;
        }
        Ok(Event::Delete(map)) => {
            scope.maps.remove(&read(map).0);
            scope.problem = None;
        }
        Err(error) => scope.problem = Some(explain(&error)),
    }
}

fn read(map: ConfigMap) -> ((String, String), PolicyMap) {
    let key = (map.namespace().unwrap_or_default(), map.name_any());
    // The API server always says; one of unknown age takes nothing from another.
    let created = map.metadata.creation_timestamp.map_or(Timestamp::MAX, |time| time.0);
    (key, PolicyMap { created, data: map.data.unwrap_or_default() })
}

/// What is wrong, with the cure where there is one.
fn explain(error: &watcher::Error) -> String {
    let inner = match error {
        watcher::Error::InitialListFailed(inner)
        | watcher::Error::WatchStartFailed(inner)
        | watcher::Error::WatchFailed(inner) => inner,
        watcher::Error::WatchError(status) => return status.message.clone(),
        watcher::Error::NoResourceVersion => return error.to_string(),
    };
    let kube::Error::Api(status) = inner else { return words::of_kube(inner) };
    if status.code == 403 {
        return format!("{}: grant the verbs get, list and watch on configmaps", status.message);
    }
    status.message.clone()
}

/// The pauses between attempts: 1, 2, 4, 8 and then always 10 seconds, so that a recovery is seen soon.
#[derive(Debug, Clone, Default)]
struct Pause {
    failures: u32,
}

impl Iterator for Pause {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let seconds = 2_u64.saturating_pow(self.failures).min(10);
        self.failures = self.failures.saturating_add(1);
        Some(Duration::from_secs(seconds))
    }
}

impl Backoff for Pause {
    fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use kube::api::ObjectMeta;

    use super::*;

    fn map(name: &str, text: &str) -> ConfigMap {
        ConfigMap {
            metadata: ObjectMeta {
                namespace: Some("shop".into()),
                name: Some(name.into()),
                ..ObjectMeta::default()
            },
            data: Some([("p.yaml".to_owned(), text.to_owned())].into()),
            ..ConfigMap::default()
        }
    }

    /// What is known after these events.
    async fn after(events: Vec<watcher::Result<Event<ConfigMap>>>) -> Scope {
        let (sender, receiver) = watch::channel(scopes(&["shop".to_owned()]));
        keep("shop".to_owned(), stream::iter(events), &sender).await;
        receiver.borrow()["shop"].clone()
    }

    fn texts(scope: &Scope) -> Vec<(&str, &str)> {
        scope.maps.iter().map(|((_, name), map)| (name.as_str(), map.data["p.yaml"].as_str())).collect()
    }

    #[tokio::test]
    async fn a_list_counts_once_it_is_complete() {
        let begun = || vec![Ok(Event::Init), Ok(Event::InitApply(map("a", "1")))];
        assert_eq!(after(begun()).await, Scope::default());
        let scope = after(begun().into_iter().chain([Ok(Event::InitDone)]).collect()).await;
        assert!(scope.listed);
        assert_eq!(texts(&scope), [("a", "1")]);
    }

    #[tokio::test]
    async fn changes_follow_and_an_outage_changes_nothing() {
        let scope = after(vec![
            Ok(Event::Init),
            Ok(Event::InitApply(map("a", "1"))),
            Ok(Event::InitApply(map("b", "1"))),
            Ok(Event::InitDone),
            Ok(Event::Apply(map("a", "2"))),
            Ok(Event::Delete(map("b", "1"))),
            Err(watcher::Error::NoResourceVersion),
            Ok(Event::Init),
        ])
        .await;
        assert_eq!(texts(&scope), [("a", "2")]);
        assert!(scope.listed && scope.problem.is_some(), "a new list has only begun");
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_falls_silent_after_a_problem_works_again() {
        let (sender, mut scopes) = watch::channel(scopes(&["shop".to_owned()]));
        let list = vec![Ok(Event::Init), Ok(Event::InitDone), Err(watcher::Error::NoResourceVersion)];
        let events = stream::iter(list).chain(stream::pending());
        let problem = |scopes: &Scopes| scopes["shop"].problem.is_some();
        tokio::select! {
            () = keep("shop".to_owned(), events, &sender) => panic!("the watch never ends"),
            () = async {
                scopes.wait_for(problem).await.unwrap();
                scopes.wait_for(|scopes| !problem(scopes)).await.unwrap();
            } => {}
        }
        assert!(scopes.borrow()["shop"].listed);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_no_news_before_the_first_list() {
        let (sender, scopes) = watch::channel(scopes(&["shop".to_owned()]));
        let events = stream::iter([Err(watcher::Error::NoResourceVersion)]).chain(stream::pending());
        tokio::time::timeout(SILENCE * 3, keep("shop".to_owned(), events, &sender)).await.unwrap_err();
        assert!(scopes.borrow()["shop"].problem.is_some());
    }

    #[test]
    fn the_star_stands_for_all() {
        assert_eq!(scopes(&["shop".into(), "*".into()]).into_keys().collect::<Vec<_>>(), ["*"]);
        assert!(scopes(&[]).is_empty());
    }

    #[test]
    fn pauses_grow_to_ten_seconds() {
        let mut pause = Pause::default();
        let seconds: Vec<_> = pause.by_ref().take(6).map(|pause| pause.as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 10, 10]);
        pause.reset();
        assert_eq!(pause.next(), Some(Duration::from_secs(1)));
    }
}
