//! Where decisions go. An actuator reads its target and writes a decision to it, fenced.

mod api;
pub mod bounds;
pub mod flink;
pub mod hpa;
pub mod owners;
mod pods;
pub mod progress;
pub mod quantity;
mod reading;
mod rivals;
pub mod scale;
mod scaled;
pub mod scaled_object;
mod sighting;
pub mod spark;

use std::sync::Arc;

use futures::future::BoxFuture;
use jiff::Timestamp;

use self::owners::Tenure;
use self::rivals::Rivals;
use self::spark::SparkBounds;
use self::spark::allocator::Allocator;
use self::spark::batch::Batch;
use self::spark::cluster::Cluster;
use self::spark::restart::Restart;
use self::spark::running::RunningApplication;
use self::spark::workers::Workers;
use crate::engine::Change;
use crate::engine::observation::{Fence, TargetReading};
use crate::flink::{Clusters, Manner, Work};
use crate::policy::source::{SourceSpec, SparkQuery};
use crate::policy::target::{
    HpaTarget, Rung, ScaleTargetRef, ScheduledSparkTarget, SparkClusterTarget, SparkTarget, TargetSpec,
    Vertices,
};
use crate::policy::{Policy, TimeSpan};
use crate::spark::Apps;
use crate::spark::master::Master;

/// One policy's target.
pub trait Actuator: Send + Sync {
    /// Reads the target. Never fails: what goes wrong is a reading with a lesser quality and a problem
    /// in words.
    fn observe(&self, now: Timestamp) -> BoxFuture<'_, TargetReading>;

    /// Writes `change` if the object still is exactly the one that `fence` was read from.
    fn apply<'a>(&'a self, change: &'a Change, fence: &'a Fence) -> BoxFuture<'a, Result<(), ActuateError>>;

    /// What it knows of who had the target when, to be kept over a restart: nothing where the target itself
    /// tells.
    fn tenure(&self) -> Tenure {
        Tenure::default()
    }

    /// Sees what was written earlier through: writes down what became of it, undoes it, or puts back what the target
    /// has lost of it. Called in turns that write nothing else, after [`Actuator::observe`], where the mode is
    /// `Apply` and the policy not paused.
    fn tend(&self, _now: Timestamp) -> BoxFuture<'_, Result<(), ActuateError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// By which means this target is moved, and why by no better ones, where there are several.
    fn rung(&self) -> Option<String> {
        None
    }

    /// What exactly would be written for `change` to what was read last, and when it would take effect, for
    /// targets where that is not plain.
    fn plan(&self, _change: &Change) -> Option<String> {
        None
    }

    /// What the operator could do about what stands in the way, where that is one command.
    fn advice(&self) -> Option<String> {
        None
    }
}

/// Makes actuators. Those of one maker share what they see of other autoscalers: make one per cluster.
#[derive(Clone)]
pub struct Actuators {
    client: kube::Client,
    rivals: Arc<Rivals>,
    flink: Arc<Clusters>,
    spark: Arc<Apps>,
}

impl std::fmt::Debug for Actuators {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Actuators").finish_non_exhaustive()
    }
}

impl Actuators {
    /// Actuators for the targets in one cluster. Asks nothing yet.
    pub fn new(client: kube::Client) -> Self {
        Self {
            rivals: Arc::new(Rivals::new(client.clone())),
            client,
            flink: Arc::default(),
            spark: Arc::default(),
        }
    }

    /// The same, which also move the jobs of these JobManagers.
    #[must_use]
    pub fn with_flink(self, flink: Arc<Clusters>) -> Self {
        flink.reach(&self.client);
        Self { flink, ..self }
    }

    /// The same, which may also restart these applications.
    #[must_use]
    pub fn with_spark(self, spark: Arc<Apps>) -> Self {
        Self { spark, ..self }
    }

    /// The actuator of a policy's target. Asks nothing yet.
    ///
    /// It knows who took a target's replicas from us, so keep it for as long as the policy names that
    /// target, or hand its [`Actuator::tenure`] to the next one: without, whoever changed them last is taken
    /// over at once.
    pub fn for_policy(&self, policy: &Policy, mut tenure: Tenure) -> Arc<dyn Actuator> {
        let learnt = tenure.learnt.take();
        match &policy.target {
            TargetSpec::ScaleTargetRef(target) => {
                let (namespace, interval) = (policy.id.namespace.clone(), policy.rules.interval);
                let pods = matches!(target.kind.as_str(), "Deployment" | "StatefulSet");
                let scale = self.for_scale(namespace, target.clone(), interval, tenure);
                match self.master(policy).filter(|_| pods) {
                    Some(master) => Arc::new(Workers::new(&self.client, scale, Some(master))),
                    None => Arc::new(scale),
                }
            }
            TargetSpec::HorizontalPodAutoscaler(target) => {
                Arc::new(hpa::actuator(&self.client, &policy.id, target))
            }
            TargetSpec::ScaledObject(target) => {
                Arc::new(scaled_object::actuator(&self.client, &policy.id, target))
            }
            TargetSpec::FlinkCluster(target) => {
                let label = format!("{}/{}", target.cluster, target.job);
                let fleet = target.task_managers.as_ref().map(|workload| {
                    let (namespace, interval) = (policy.id.namespace.clone(), policy.rules.interval);
                    let scale = self.for_scale(namespace, workload.scale(), interval, tenure);
                    flink::Fleet::new(&self.client, scale)
                });
                Arc::new(self.for_flink(policy, label, (&target.exclude, target.vertices), (fleet, learnt)))
            }
            TargetSpec::FlinkDeployment(target) | TargetSpec::FlinkSessionJob(target) => {
                let label = format!("{}/{}", policy.target.kind(), target.name);
                Arc::new(self.for_flink(policy, label, (&target.exclude, target.vertices), (None, learnt)))
            }
            TargetSpec::ScheduledSparkApplication(ScheduledSparkTarget { name, .. }) => {
                let app = (spark::Kind::Scheduled, name.as_str());
                Arc::new(SparkBounds::new(&self.client, policy, app, (None, self.batch(policy))))
            }
            TargetSpec::SparkApplication(target) => {
                let app = (spark::Kind::Application(target.api_version), target.name.as_str());
                let restart = self.restart(policy, target);
                let restarts = restart.is_some();
                let bounds = SparkBounds::new(&self.client, policy, app, (restart, None));
                match self.allocator(policy, target, tenure) {
                    Some(allocator) => Arc::new(RunningApplication::new(bounds, restarts, allocator)),
                    None => Arc::new(bounds),
                }
            }
            TargetSpec::SparkCluster(target) => Arc::new(self.for_cluster(policy, target, tenure)),
        }
    }

    fn for_cluster(&self, policy: &Policy, target: &SparkClusterTarget, tenure: Tenure) -> Cluster {
        let namespace = policy.id.namespace.as_str();
        let (workers, hpa) = spark::cluster::children(&target.name);
        let (api_version, kind) = ("apps/v1".to_owned(), "StatefulSet".to_owned());
        let workers = ScaleTargetRef { api_version, kind, name: workers };
        let scale = self.for_scale(namespace.to_owned(), workers, policy.rules.interval, tenure);
        let hpa = hpa::actuator(&self.client, &policy.id, &HpaTarget { name: hpa, metric: None });
        let master = self.master(policy).or_else(|| self.spark.cluster_master(namespace, &target.name));
        let workers = Workers::new(&self.client, scale, master);
        Cluster::new(&self.client, namespace, target, hpa, workers)
    }

    /// The master of the standalone cluster that the policy's query runs on, where the settings name one.
    fn master(&self, policy: &Policy) -> Option<Arc<Master>> {
        self.spark.get(&query(policy)?.app)?.master().cloned()
    }

    fn for_flink(
        &self,
        policy: &Policy,
        label: String,
        (exclude, vertices): (&[String], Vertices),
        (fleet, learnt): (Option<flink::Fleet>, Option<Work>),
    ) -> flink::JobActuator {
        let namespace = &policy.id.namespace;
        let job = policy.target.flink().ok_or_else(String::new);
        let job = job.and_then(|job| self.flink.watch(namespace, &job));
        if let (Ok(job), Some(learnt)) = (&job, learnt) {
            job.recall(learnt);
        }
        let keeper = flink::Keeper::new(self.client.clone(), namespace);
        let manner = Manner { exclude: exclude.to_vec(), uniform: vertices == Vertices::Uniform };
        flink::JobActuator::new(job, (label, manner), policy.rules.interval, (keeper, fleet))
    }

    /// What it takes to go by the last runs, where the policy asks for it.
    fn batch(&self, policy: &Policy) -> Option<Batch> {
        policy.sources.iter().find_map(|source| match source {
            SourceSpec::SparkRuns(runs) => Some(Batch::new(self.spark.history(&runs.history)?, runs)),
            SourceSpec::KafkaLag(_)
            | SourceSpec::Prometheus(_)
            | SourceSpec::FlinkJob(_)
            | SourceSpec::FlinkResource(_)
            | SourceSpec::Spark(_) => None,
        })
    }

    /// What it takes to restart an application, where the policy allows it.
    fn restart(&self, policy: &Policy, target: &SparkTarget) -> Option<Restart> {
        let query = query(policy).filter(|_| target.max_rung >= Rung::Restart)?;
        let app = self.spark.get(&query.app)?;
        Some(Restart::new(app, &query.checkpoint, query.trigger_interval.as_secs_f64(), &target.restart))
    }

    /// What it takes to move an application's executors while it runs, where the policy allows it.
    fn allocator(&self, policy: &Policy, target: &SparkTarget, tenure: Tenure) -> Option<Allocator> {
        let query = query(policy).filter(|_| target.max_rung >= Rung::ScaleAllocator)?;
        let (namespace, interval) = (policy.id.namespace.as_str(), policy.rules.interval);
        Some(Allocator::new(self.spark.get(&query.app)?, &self.rivals, namespace, interval, tenure))
    }

    /// The actuator of anything with a scale sub-resource that is looked at once per `interval`.
    pub fn for_scale(
        &self,
        namespace: String,
        target: ScaleTargetRef,
        interval: TimeSpan,
        tenure: Tenure,
    ) -> scale::ScaleActuator {
        scale::ScaleActuator::new(Arc::clone(&self.rivals), namespace, target, interval, tenure)
    }
}

/// The streaming query that a policy goes by.
fn query(policy: &Policy) -> Option<&SparkQuery> {
    policy.sources.iter().find_map(|source| match source {
        SourceSpec::Spark(query) => Some(query),
        SourceSpec::KafkaLag(_)
        | SourceSpec::Prometheus(_)
        | SourceSpec::FlinkJob(_)
        | SourceSpec::FlinkResource(_)
        | SourceSpec::SparkRuns(_) => None,
    })
}

/// Why a target was not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActuateError {
    /// The object changed since it was read: the next turn looks again.
    #[error("the target changed since it was read; looking again at the next turn")]
    Conflict,
    /// Another field manager owns a field that would have to be written.
    #[error("{owner} owns {field}: yielding")]
    Owned {
        /// The other field manager.
        owner: String,
        /// The field.
        field: String,
    },
    /// It is not the time for it: it may be at a later turn.
    #[error("{problem}")]
    Deferred {
        /// What is waited for.
        problem: String,
    },
    /// RBAC or an admission controller says no.
    #[error("not allowed: {problem}")]
    Forbidden {
        /// What the API server said.
        problem: String,
    },
    /// Nothing could be written for another reason.
    #[error("{problem}")]
    Failed {
        /// What went wrong.
        problem: String,
    },
}
