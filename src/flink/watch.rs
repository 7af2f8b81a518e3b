//! The watch of one job: one look at a time, shared by all who ask within a turn.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use jiff::Timestamp;
use serde_json::json;

use super::answers::Requirements;
use super::look::{self, Fixed};
use super::{Cluster, FlinkError, Sight};
use crate::policy::Replicas;

type Outcome = Result<Arc<Sight>, FlinkError>;

/// One job of one JobManager.
pub(crate) struct JobWatch {
    cluster: Arc<Cluster>,
    name: String,
    board: Mutex<Board>,
}

#[derive(Default)]
struct Board {
    look: Option<(Timestamp, Shared<BoxFuture<'static, Outcome>>)>,
    /// The last look that showed the job.
    seen: Option<Arc<Sight>>,
    fixed: Option<Fixed>,
}

impl JobWatch {
    pub(super) fn new(cluster: Arc<Cluster>, name: &str) -> Self {
        Self { cluster, name: name.to_owned(), board: Mutex::default() }
    }

    /// What the connection and the job are called.
    pub(crate) fn label(&self) -> String {
        format!("{}/{}", self.cluster.name, self.name)
    }

    /// A look at the job that is at most `max_age` old. All who ask meanwhile wait for the same one.
    pub(crate) async fn look(self: &Arc<Self>, now: Timestamp, max_age: Duration) -> Outcome {
        let look = {
            let mut board = self.board();
            let serves = |(at, look): &(Timestamp, Shared<BoxFuture<'static, Outcome>>)| {
                let failed = matches!(look.peek(), Some(Err(_)));
                now.duration_since(*at).unsigned_abs() < max_age && (!failed || *at == now)
            };
            if let Some((_, look)) = board.look.as_ref().filter(|look| serves(look)) {
                look.clone()
            } else {
                let watch = Arc::clone(self);
                // In a task of its own: a caller that gives up does not cancel it for the others.
                let task = tokio::spawn(async move { watch.take(now).await });
                let look = task.map(|done| done.unwrap_or_else(|_| Err(broke_off()))).boxed().shared();
                board.look = Some((now, look.clone()));
                look
            }
        };
        look.await
    }

    async fn take(self: Arc<Self>, now: Timestamp) -> Outcome {
        let mut fixed = self.board().fixed.take();
        let result = look::look(&self.cluster.client, &self.name, &mut fixed, now).await;
        self.cluster.tell(match &result {
            Err(error @ (FlinkError::Unreachable(_) | FlinkError::Refused(_))) => Some(error.to_string()),
            Ok(_) | Err(_) => None,
        });
        let mut board = self.board();
        board.fixed = fixed;
        let mut sight = result?;
        if let Some(before) = board.seen.as_ref().filter(|before| !sight.is_news(before)) {
            sight.fresh_at = before.fresh_at;
        }
        let sight = Arc::new(sight);
        board.seen = Some(Arc::clone(&sight));
        Ok(sight)
    }

    /// Asks for `parallelism`, if the job and its requirements still are what `fence` says. `false` where not.
    pub(crate) async fn rescale(
        self: &Arc<Self>,
        sight: &Sight,
        exclude: &[String],
        parallelism: Replicas,
        fence: (&str, &str),
    ) -> Result<bool, FlinkError> {
        let (jid, client) = (fence.0, &self.cluster.client);
        let asked: Option<Requirements> = look::requirements(client, jid).await?.ok();
        if asked.is_none_or(|asked| asked.version() != fence.1) {
            return Ok(false);
        }
        let Some(wanted) = sight.wanted(exclude, parallelism) else { return Ok(false) };
        let sent = client.put(&format!("/jobs/{jid}/resource-requirements"), &json!(wanted)).await;
        // What was seen before says nothing about the job any more.
        self.board().look = None;
        sent
    }

    /// The last look that showed the job.
    pub(crate) fn seen(&self) -> Option<Arc<Sight>> {
        self.board().seen.clone()
    }

    fn board(&self) -> std::sync::MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn broke_off() -> FlinkError {
    FlinkError::Unreachable("the look broke off".to_owned())
}
