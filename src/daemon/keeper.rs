//! Memory between restarts: read before the first turn, written about once a minute and at the end, and
//! a workload's first memory, or whose its target is, at once.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::memories::{Kept, Memories};
use super::reload::chain;
use crate::actuators::owners::Tenure;
use crate::policy::{Mode, WorkloadId};
use crate::record::memory_store::MemoryStore;
use crate::record::metrics::Metrics;

/// How often changed memory is written.
const PERIOD: Duration = Duration::from_mins(1);
/// How often it is looked whether there is a workload of which nothing was ever written, or whose target was
/// taken or taken over. Old memory is enough to learn from what a restart finds; no memory is not, and whose a
/// target was is nowhere else.
const GLANCE: Duration = Duration::from_secs(1);
/// How long the last write may take.
pub(super) const LAST: Duration = Duration::from_secs(2);

/// Keeps what is remembered in its store.
#[derive(Debug)]
pub(super) struct Keeper {
    store: MemoryStore,
    metrics: Metrics,
    problem: Option<String>,
    saved: BTreeMap<WorkloadId, Kept>,
    /// What could not wait at the last attempt to write.
    tried: BTreeMap<WorkloadId, Tenure>,
    /// Nothing may be written: said once, not tried again.
    without: bool,
}

impl Keeper {
    pub(super) fn new(store: MemoryStore, metrics: Metrics) -> Self {
        Self { store, metrics, problem: None, saved: BTreeMap::new(), tried: BTreeMap::new(), without: false }
    }

    /// Waits for the memory of earlier runs: to start without it, while it is merely out of reach,
    /// would move what a restart must not move. `None` if stopped before.
    ///
    /// Only a daemon that cannot write to targets goes on without, where the store is forbidden to it.
    pub(super) async fn load(&mut self, ceiling: Mode, stop: &CancellationToken) -> Option<Memories> {
        let mut pause = Duration::from_secs(1);
        loop {
            let loaded = tokio::select! {
                () = stop.cancelled() => return None,
                loaded = self.store.load::<Kept>() => loaded,
            };
            match loaded {
                Ok(stored) => {
                    self.say(None);
                    self.tried =
                        stored.iter().map(|(id, kept)| (id.clone(), kept.target.clone().urgent())).collect();
                    self.saved.clone_from(&stored);
                    return Some(Memories::new(stored));
                }
                Err(error) if ceiling == Mode::Recommend && error.is_forbidden() => {
                    tracing::warn!("running without memory between restarts: {}", chain(&error));
                    self.without = true;
                    return Some(Memories::default());
                }
                Err(error) => self.say(Some(format!("waiting for the stored memory: {}", chain(&error)))),
            }
            tokio::select! {
                () = stop.cancelled() => return None,
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(Duration::from_secs(10)),
            }
        }
    }

    /// Writes what changed, about once a minute and where a workload is new, until `stop`.
    pub(super) async fn keep(&mut self, memories: &Memories, stop: &CancellationToken) {
        let save = async {
            let mut waited = Duration::ZERO;
            loop {
                tokio::time::sleep(GLANCE).await;
                waited += GLANCE;
                let urgent =
                    || memories.urgent().iter().any(|(id, tenure)| self.tried.get(id) != Some(tenure));
                if waited >= PERIOD || urgent() {
                    waited = Duration::ZERO;
                    self.save(memories).await;
                }
            }
        };
        // A save that is cut short is made good by the last one.
        tokio::select! {
            () = stop.cancelled() => {}
            () = save => {}
        }
    }

    /// Writes what changed, for the last time.
    pub(super) async fn finish(&mut self, memories: &Memories) {
        if tokio::time::timeout(LAST, self.save(memories)).await.is_err() {
            tracing::warn!("the memory of the last minute could not be saved within {}s", LAST.as_secs());
        }
    }

    async fn save(&mut self, memories: &Memories) {
        self.tried = memories.urgent();
        let now = memories.snapshot();
        if self.without || now == self.saved {
            return;
        }
        let result = self.store.save(&now).await;
        self.metrics.memory_saved(result.is_ok());
        match result {
            Ok(()) => {
                self.saved = now;
                self.say(None);
            }
            Err(error) => self.say(Some(format!("memory not saved: {}", chain(&error)))),
        }
    }

    /// Once per change.
    fn say(&mut self, problem: Option<String>) {
        match &problem {
            Some(problem) if self.problem.as_ref() != Some(problem) => tracing::warn!("{problem}"),
            None if self.problem.is_some() => tracing::info!("the store of the memory answers again"),
            Some(_) | None => {}
        }
        self.problem = problem;
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::{Arc, Mutex};

    use axum::http::{Method, Request, Response};
    use kube::Client;
    use kube::client::Body;
    use tower::service_fn;

    use super::*;
    use crate::policy::settings;

    /// An API server without any ConfigMap, which first gives these answers.
    #[derive(Clone, Default)]
    struct Server {
        first: Arc<Mutex<Vec<u16>>>,
        asked: Arc<Mutex<Vec<Method>>>,
    }

    impl Server {
        fn answering(first: &[u16]) -> Self {
            Self { first: Arc::new(Mutex::new(first.to_vec())), asked: Arc::default() }
        }

        fn keeper(&self) -> Keeper {
            let server = self.clone();
            let service = service_fn(move |request: Request<Body>| {
                let server = server.clone();
                async move { Ok::<_, Infallible>(server.answer(request).await) }
            });
            let settings = settings::MemoryStore::default();
            let store = MemoryStore::new(Client::new(service, "tidegate"), "tidegate", &settings);
            Keeper::new(store, Metrics::new())
        }

        async fn answer(&self, request: Request<Body>) -> Response<Body> {
            let method = request.method().clone();
            self.asked.lock().unwrap().push(method.clone());
            let first = self.first.lock().unwrap().pop();
            let (code, body) = match (first, method) {
                (None, Method::POST) => (201, request.into_body().collect_bytes().await.unwrap().to_vec()),
                (code, _) => {
                    let code = code.unwrap_or(404);
                    let reason = if code == 404 { "NotFound" } else { "Other" };
                    let status = serde_json::json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
                        "metadata": {}, "message": "no", "reason": reason, "code": code});
                    (code, status.to_string().into_bytes())
                }
            };
            Response::builder().status(code).body(Body::from(body)).unwrap()
        }

        fn writes(&self) -> usize {
            self.asked.lock().unwrap().iter().filter(|method| **method == Method::POST).count()
        }
    }

    fn orders() -> WorkloadId {
        WorkloadId { namespace: "shop".into(), name: "orders".into() }
    }

    #[tokio::test(start_paused = true)]
    async fn memory_out_of_reach_is_waited_for() {
        let server = Server::answering(&[500, 500, 500]);
        let loaded = server.keeper().load(Mode::Recommend, &CancellationToken::new()).await;
        assert_eq!(loaded.unwrap().snapshot(), BTreeMap::new());
        assert_eq!(server.asked.lock().unwrap().len(), 3 + 2, "three failures, then both shards looked for");
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_daemon_that_cannot_write_goes_on_where_the_store_is_forbidden() {
        let server = Server::answering(&[403; 100]);
        let mut keeper = server.keeper();
        let stop = CancellationToken::new();
        let memories = keeper.load(Mode::Recommend, &stop).await.unwrap();
        memories.open(&orders());
        keeper.finish(&memories).await;
        assert_eq!(server.asked.lock().unwrap().len(), 1, "it is not tried again");

        let mut keeper = server.keeper();
        let asked_to_stop = async {
            tokio::time::sleep(PERIOD).await;
            stop.cancel();
        };
        let (memories, ()) = tokio::join!(keeper.load(Mode::Apply, &stop), asked_to_stop);
        assert!(memories.is_none(), "it waited until it was stopped");
        assert!(server.asked.lock().unwrap().len() > 5);
    }

    #[tokio::test(start_paused = true)]
    async fn what_changed_is_saved_once_a_minute_and_at_the_stop() {
        let server = Server::default();
        let mut keeper = server.keeper();
        let stop = CancellationToken::new();
        let memories = keeper.load(Mode::Apply, &stop).await.unwrap();
        memories.open(&orders());
        let minutes = async {
            tokio::time::sleep(PERIOD * 5 / 2).await;
            stop.cancel();
        };
        tokio::join!(keeper.keep(&memories, &stop), minutes);
        assert_eq!(server.writes(), 1, "nothing changed in the second minute");

        // Whose the target is: at once.
        let server = Server::default();
        let (mut keeper, stop) = (server.keeper(), CancellationToken::new());
        let tenure: Tenure = serde_json::from_str(r#"{"uid": "a"}"#).unwrap();
        let taken = async {
            tokio::time::sleep(GLANCE * 3 / 2).await;
            assert_eq!(server.writes(), 0);
            memories.put(&orders(), Kept { target: tenure, ..Kept::default() });
            tokio::time::sleep(GLANCE).await;
            assert_eq!(server.writes(), 1);
            stop.cancel();
        };
        tokio::join!(keeper.keep(&memories, &stop), taken);

        let server = Server::default();
        let mut keeper = server.keeper();
        keeper.keep(&memories, &stop).await;
        assert_eq!(server.writes(), 0);
        keeper.finish(&memories).await;
        assert_eq!(server.writes(), 1);
    }
}
