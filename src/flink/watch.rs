//! The watch of one job: one look at a time, shared by all who ask within a turn.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use jiff::Timestamp;
use serde_json::json;

use super::answers::{Progress, Requirements, TaskManager, TaskManagers, Triggered};
use super::look::{self, Fixed, Which};
use super::work::Work;
use super::{Cluster, Clusters, Finder, FlinkError, Obstacle, Phase, Resource, Sight};

/// Between two looks at a checkpoint that was asked for.
const CHECKPOINT_LOOK: Duration = Duration::from_millis(150);

type Outcome = Result<Arc<Sight>, FlinkError>;

/// One job of one JobManager.
pub(crate) struct JobWatch {
    way: Way,
    board: Mutex<Board>,
}

/// How a job is found.
pub(super) enum Way {
    /// By its name, on a JobManager of the settings.
    Named {
        /// The JobManager.
        cluster: Arc<Cluster>,
        /// The job.
        job: String,
    },
    /// By the object of the operator that it belongs to.
    Resource {
        /// The object.
        finder: Finder,
        /// The JobManager of the settings that it is to be reached by.
        named: Option<Arc<Cluster>>,
        /// Where others are known.
        clusters: Arc<Clusters>,
    },
}

#[derive(Default)]
struct Board {
    look: Option<(Timestamp, Shared<BoxFuture<'static, Outcome>>)>,
    /// The last look that showed the job.
    seen: Option<Arc<Sight>>,
    /// The JobManager that it was seen on.
    cluster: Option<Arc<Cluster>>,
    fixed: Option<Fixed>,
    /// What the job's vertices were seen to do, and the look since which they are watched.
    work: Work,
    since: Option<Arc<Sight>>,
}

impl Board {
    /// Takes in what a look shows of the job's work, and gives it what is known by now. Looks without news wait for
    /// the next.
    fn learn(&mut self, mut sight: Sight) -> Arc<Sight> {
        let goes_on = self.since.as_ref().is_some_and(|since| since.leads_to(&sight));
        let told = goes_on && self.since.as_ref().is_some_and(|since| self.work.watch(since, &sight));
        if sight.phase() == Phase::Running {
            self.work.note(&sight);
        }
        sight.work = self.work.clone();
        let sight = Arc::new(sight);
        if told || !goes_on {
            self.since = Some(Arc::clone(&sight));
        }
        sight
    }
}

impl JobWatch {
    pub(super) fn new(way: Way) -> Self {
        Self { way, board: Mutex::default() }
    }

    /// What the connection and the job are called, or the object.
    pub(crate) fn label(&self) -> String {
        match &self.way {
            Way::Named { cluster, job } => format!("{}/{job}", cluster.name),
            Way::Resource { finder, .. } => finder.to_string(),
        }
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
        let (cluster, resource) = match &self.way {
            Way::Named { cluster, .. } => (Arc::clone(cluster), None),
            Way::Resource { finder, named, clusters } => {
                let resource = self.resource(finder, clusters).await?;
                let address = || finder.address(&resource).map(|url| clusters.at(url));
                let cluster = named.clone().or_else(address).ok_or_else(|| nowhere(&resource))?;
                (cluster, Some(Arc::new(resource)))
            }
        };
        let mut fixed = self.board().fixed.take();
        let result = self.ask(&cluster, resource.as_deref(), &mut fixed, now).await;
        cluster.tell(match &result {
            Err(error @ (FlinkError::Unreachable(_) | FlinkError::Refused(_))) => Some(error.to_string()),
            Ok(_) | Err(_) => None,
        });
        let mut board = self.board();
        (board.fixed, board.cluster) = (fixed, Some(cluster));
        let mut sight = result?;
        sight.resource = resource;
        if let Some(before) = board.seen.as_ref().filter(|before| !sight.is_news(before)) {
            sight.fresh_at = before.fresh_at;
        }
        let sight = board.learn(sight);
        board.seen = Some(Arc::clone(&sight));
        Ok(sight)
    }

    async fn ask(
        &self,
        cluster: &Cluster,
        resource: Option<&Resource>,
        fixed: &mut Option<Fixed>,
        now: Timestamp,
    ) -> Result<Sight, FlinkError> {
        let which = match (&self.way, resource) {
            (Way::Named { job, .. }, _) => Which::Named(job),
            (Way::Resource { .. }, Some(resource)) => {
                Which::Is(resource.job_id().ok_or_else(|| nowhere(resource))?)
            }
            (Way::Resource { .. }, None) => return Err(broke_off()),
        };
        let looked = look::look(&cluster.client, which, fixed, now).await;
        // A JobManager that is being replaced cannot be asked; that it is, is worth more than that it cannot.
        looked.map_err(|error| match (resource.map(|resource| (resource, resource.obstacle())), error) {
            (Some((resource, Some(Obstacle::Passing(_) | Obstacle::Lasting(_)))), _) => nowhere(resource),
            (Some(_), FlinkError::NoSuchJob(id)) => {
                FlinkError::Passing(format!("its JobManager does not run the job {id} that its status names"))
            }
            (_, error) => error,
        })
    }

    /// Reads the object anew.
    async fn resource(&self, finder: &Finder, clusters: &Clusters) -> Result<Resource, FlinkError> {
        let nobody = || FlinkError::Unreachable("there is no Kubernetes API to find it by".to_owned());
        finder.find(clusters.kubernetes.get().ok_or_else(nobody)?).await
    }

    /// The object as it stands now; `None` where the job belongs to none.
    pub(crate) async fn fresh_resource(&self) -> Result<Option<Resource>, FlinkError> {
        match &self.way {
            Way::Named { .. } => Ok(None),
            Way::Resource { finder, clusters, .. } => self.resource(finder, clusters).await.map(Some),
        }
    }

    /// Asks for `wanted`, if the job and its requirements still are what `fence` says. `false` where not.
    pub(crate) async fn require(
        &self,
        wanted: &Requirements,
        (jid, version): (&str, &str),
    ) -> Result<bool, FlinkError> {
        let Some(cluster) = self.board().cluster.clone() else { return Ok(false) };
        let client = &cluster.client;
        let asked: Option<Requirements> = look::requirements(client, jid).await?.ok();
        if asked.is_none_or(|asked| asked.version() != version) {
            return Ok(false);
        }
        let sent = client.put(&format!("/jobs/{jid}/resource-requirements"), &json!(wanted)).await;
        // What was seen before says nothing about the job any more.
        self.board().look = None;
        sent
    }

    /// Asks for a checkpoint now, and waits for it for `patience` seconds at the most. Nothing depends on it: the log
    /// tells what went wrong.
    pub(crate) async fn checkpoint(&self, jid: &str, patience: f64) {
        let Some(cluster) = self.board().cluster.clone() else { return };
        let path = format!("/jobs/{jid}/checkpoints");
        let asked: Result<Option<Triggered>, FlinkError> =
            cluster.client.post(&path, &json!({"checkpointType": "CONFIGURED"})).await;
        if let Err(error) = &asked {
            tracing::info!("flink {}: no checkpoint was taken: {error}", self.label());
        }
        let Ok(Some(request)) = asked else { return };
        let path = format!("{path}/{}", request.request_id);
        let done = async {
            loop {
                let is: Result<Option<Progress>, FlinkError> = cluster.client.get(&path, &[]).await;
                if !is.is_ok_and(|is| is.is_some_and(|is| is.status.id == "IN_PROGRESS")) {
                    return;
                }
                tokio::time::sleep(CHECKPOINT_LOOK).await;
            }
        };
        if patience > 0.0 && tokio::time::timeout(Duration::from_secs_f64(patience), done).await.is_err() {
            tracing::info!("flink {}: a checkpoint takes longer than {patience:.1} s", self.label());
        }
    }

    /// The TaskManagers of the JobManager that the job was seen on.
    pub(crate) async fn taskmanagers(&self) -> Result<Vec<TaskManager>, FlinkError> {
        let cluster = self.board().cluster.clone().ok_or_else(broke_off)?;
        let all: TaskManagers = cluster.client.must_get("/taskmanagers").await?;
        Ok(all.taskmanagers)
    }

    /// What is known of the job's vertices, to be kept over a restart.
    pub(crate) fn learnt(&self) -> Option<Work> {
        let work = self.board().work.clone();
        (!work.is_empty()).then_some(work)
    }

    /// Goes on from what was known before a restart, where nothing has been learnt since.
    pub(crate) fn recall(&self, learnt: Work) {
        let mut board = self.board();
        if board.work.is_empty() {
            board.work = learnt;
        }
    }

    /// The last look that showed the job.
    pub(crate) fn seen(&self) -> Option<Arc<Sight>> {
        self.board().seen.clone()
    }

    fn board(&self) -> std::sync::MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why the job of an object cannot be looked at.
fn nowhere(resource: &Resource) -> FlinkError {
    match resource.obstacle() {
        Some(Obstacle::Passing(what)) => FlinkError::Passing(what),
        Some(Obstacle::Lasting(what)) => FlinkError::Ending(what),
        Some(Obstacle::Owned(_)) | None => {
            FlinkError::Passing("the operator has not said which job it runs".to_owned())
        }
    }
}

fn broke_off() -> FlinkError {
    FlinkError::Unreachable("the look broke off".to_owned())
}
