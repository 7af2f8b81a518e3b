//! Flink's JobManagers: one shared way to each, and what one look at a job shows. Sources and actuators both ask
//! here, so that a turn of one workload costs one look.

mod answers;
mod client;
mod look;
mod sight;
mod watch;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use self::client::Client;
#[cfg(test)]
pub(crate) use self::sight::tests::sight as recorded;
pub(crate) use self::sight::{Phase, Sight};
pub(crate) use self::watch::JobWatch;
use crate::policy::settings::Settings;

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
}

/// Every JobManager that policies may name. Connects when somebody first looks.
#[derive(Default)]
pub struct Clusters(BTreeMap<String, Arc<Cluster>>);

impl std::fmt::Debug for Clusters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Clusters").field(&self.0.keys()).finish()
    }
}

impl Clusters {
    /// Makes what the settings name. Nothing is asked yet.
    pub fn new(settings: &Settings) -> Self {
        let connections = settings.connections.flink.iter();
        let cluster = |(name, connection): (&String, _)| {
            let client = Client::new(connection, &settings.limits);
            let cluster =
                Cluster { name: name.clone(), client, jobs: Mutex::default(), state: Mutex::default() };
            (name.clone(), Arc::new(cluster))
        };
        Self(connections.map(cluster).collect())
    }

    /// The watch of a job; all who ask for the same one share its looks.
    pub(crate) fn job(&self, cluster: &str, job: &str) -> Option<Arc<JobWatch>> {
        let cluster = self.0.get(cluster)?;
        let mut jobs = cluster.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.retain(|_, watch| watch.strong_count() > 0);
        if let Some(watch) = jobs.get(job).and_then(Weak::upgrade) {
            return Some(watch);
        }
        let watch = Arc::new(JobWatch::new(Arc::clone(cluster), job));
        jobs.insert(job.to_owned(), Arc::downgrade(&watch));
        Some(watch)
    }

    /// How every JobManager is doing: its name, whether it answered last time, and what is wrong.
    pub fn status(&self) -> impl Iterator<Item = (&str, Option<bool>, Option<String>)> {
        self.0.iter().map(|(name, cluster)| {
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

impl Cluster {
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
