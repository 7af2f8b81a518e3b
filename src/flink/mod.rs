//! Flink's JobManagers: one shared way to each, and what one look at a job shows. Sources and actuators both ask
//! here, so that a turn of one workload costs one look.

mod answers;
mod client;
mod graph;
mod look;
mod rescales;
mod resource;
mod sight;
mod watch;
mod work;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

pub(crate) use self::answers::{Counts, Requirements, TaskManager};
use self::client::Client;
pub(crate) use self::graph::{Cap, Division, Graph, Portion};
pub(crate) use self::resource::{Finder, OVERRIDES, Obstacle, Overrides, Resource, api, spelt_overrides};
#[cfg(test)]
pub(crate) use self::sight::tests::sight as recorded;
pub(crate) use self::sight::{Manner, Phase, Sight};
pub(crate) use self::watch::JobWatch;
use self::watch::Way;
pub(crate) use self::work::Work;
use crate::policy::settings::{FlinkConnection, Limits, Settings};
use crate::policy::source::SourceSpec;

/// Why a JobManager gave no answer that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FlinkError {
    /// It could not be asked, or its answer was none.
    #[error("{0}")]
    Unreachable(String),
    /// It answered, and the answer is no.
    #[error("{0}")]
    Refused(String),
    /// It runs no job of that name.
    #[error("it runs no job named `{0}`")]
    NoSuchJob(String),
    /// It runs several jobs of that name, and nobody can tell which one is meant.
    #[error("it runs {1} jobs named `{0}`: give them names of their own")]
    Ambiguous(String, usize),
    /// There is no such object of the operator.
    #[error("there is no such object")]
    NoSuchResource,
    /// The operator's object says that the job is on its way from one state to another.
    #[error("{0}")]
    Passing(String),
    /// The operator's object says that there is no running job, and that none will be until somebody acts.
    #[error("{0}")]
    Ending(String),
}

/// Every JobManager that policies may name. Connects when somebody first looks.
#[derive(Default)]
pub struct Clusters {
    /// Those of the settings.
    named: BTreeMap<String, Arc<Cluster>>,
    limits: Limits,
    /// Those found by objects of the operator, by address.
    found: Mutex<BTreeMap<String, Weak<Cluster>>>,
    /// The jobs of such objects, by object and the connection that they are to be reached by.
    resources: Mutex<BTreeMap<Address, Weak<JobWatch>>>,
    /// Where those objects are.
    kubernetes: OnceLock<kube::Client>,
}

/// An object, and the connection that its JobManager is to be reached by.
type Address = (Finder, Option<String>);

impl std::fmt::Debug for Clusters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Clusters").field(&self.named.keys()).finish()
    }
}

impl Clusters {
    /// Makes what the settings name. Nothing is asked yet.
    pub fn new(settings: &Settings) -> Self {
        let connections = settings.connections.flink.iter();
        let cluster = |(name, connection): (&String, &FlinkConnection)| {
            (name.clone(), Arc::new(Cluster::new(name, connection, &settings.limits)))
        };
        Self { named: connections.map(cluster).collect(), limits: settings.limits.clone(), ..Self::default() }
    }

    /// Says where the operator's objects are. The first word counts.
    pub fn reach(&self, client: &kube::Client) {
        drop(self.kubernetes.set(client.clone()));
    }

    /// The watch of the job that `source` means in `namespace`; all who ask for the same one share its looks. Where
    /// the settings have no such connection, its name.
    pub(crate) fn watch(
        self: &Arc<Self>,
        namespace: &str,
        source: &SourceSpec,
    ) -> Result<Arc<JobWatch>, String> {
        match source {
            SourceSpec::FlinkJob(job) => self.job(&job.cluster, &job.job).ok_or_else(|| job.cluster.clone()),
            SourceSpec::FlinkResource(job) => {
                let finder =
                    Finder { kind: job.kind, namespace: namespace.to_owned(), name: job.name.clone() };
                self.resource(finder, job.cluster.as_deref())
            }
            SourceSpec::KafkaLag(_)
            | SourceSpec::Prometheus(_)
            | SourceSpec::Spark(_)
            | SourceSpec::SparkRuns(_) => Err(String::new()),
        }
    }

    /// The watch of a job by its name.
    pub(crate) fn job(&self, cluster: &str, job: &str) -> Option<Arc<JobWatch>> {
        let cluster = self.named.get(cluster)?;
        let mut jobs = cluster.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let way = || Way::Named { cluster: Arc::clone(cluster), job: job.to_owned() };
        Some(shared(&mut jobs, job.to_owned(), way))
    }

    fn resource(self: &Arc<Self>, finder: Finder, cluster: Option<&str>) -> Result<Arc<JobWatch>, String> {
        let known = |name: &str| self.named.get(name).cloned().ok_or_else(|| name.to_owned());
        let named = cluster.map(known).transpose()?;
        let mut resources = self.resources.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (finder.clone(), cluster.map(str::to_owned));
        Ok(shared(&mut resources, key, || Way::Resource { finder, named, clusters: Arc::clone(self) }))
    }

    /// The JobManager at an address that an object of the operator led to.
    fn at(&self, url: String) -> Arc<Cluster> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.retain(|_, cluster| cluster.strong_count() > 0);
        if let Some(cluster) = found.get(&url).and_then(Weak::upgrade) {
            return cluster;
        }
        let connection = FlinkConnection {
            url: url.clone(),
            namespaces: Vec::new(),
            bearer_token_file: None,
            ca_file: None,
        };
        let cluster = Arc::new(Cluster::new(&url, &connection, &self.limits));
        found.insert(url, Arc::downgrade(&cluster));
        cluster
    }

    /// How every JobManager is doing: its name, whether it answered last time, and what is wrong.
    pub fn status(&self) -> impl Iterator<Item = (&str, Option<bool>, Option<String>)> {
        self.named.iter().map(|(name, cluster)| {
            let state = cluster.state.lock().unwrap_or_else(PoisonError::into_inner);
            (name.as_str(), state.asked.then_some(state.problem.is_none()), state.problem.clone())
        })
    }
}

/// One JobManager.
pub(crate) struct Cluster {
    name: String,
    client: Client,
    jobs: Mutex<BTreeMap<String, Weak<JobWatch>>>,
    state: Mutex<State>,
}

/// How it did last time.
#[derive(Default)]
struct State {
    asked: bool,
    problem: Option<String>,
}

/// The watch under a key, as long as anybody holds it.
fn shared<K: Ord>(all: &mut BTreeMap<K, Weak<JobWatch>>, key: K, way: impl FnOnce() -> Way) -> Arc<JobWatch> {
    all.retain(|_, watch| watch.strong_count() > 0);
    if let Some(watch) = all.get(&key).and_then(Weak::upgrade) {
        return watch;
    }
    let watch = Arc::new(JobWatch::new(way()));
    all.insert(key, Arc::downgrade(&watch));
    watch
}

impl Cluster {
    fn new(name: &str, connection: &FlinkConnection, limits: &Limits) -> Self {
        let client = Client::new(connection, limits);
        Self { name: name.to_owned(), client, jobs: Mutex::default(), state: Mutex::default() }
    }

    /// Keeps what went wrong, and says it once per change.
    fn tell(&self, problem: Option<String>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &problem {
            Some(problem) if state.problem.as_ref() != Some(problem) => {
                tracing::warn!(cluster = self.name, "flink {}: {problem}", self.name);
            }
            None if state.problem.is_some() => {
                tracing::info!(cluster = self.name, "flink {}: all is well again", self.name);
            }
            Some(_) | None => {}
        }
        (state.asked, state.problem) = (true, problem);
    }
}
