//! What a policy moves.

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::names::subdomain;
use super::rules::MetricTarget;
use super::source::{FlinkJob, FlinkKind, FlinkResourceJob, SourceSpec};
use super::units::TimeSpan;

/// The one object that a policy moves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum TargetSpec {
    /// Replicas of anything with a scale sub-resource.
    ScaleTargetRef(#[garde(dive)] ScaleTargetRef),
    /// Bounds, and where asked a metric's target, of an HPA, which keeps its own reflexes between them.
    HorizontalPodAutoscaler(#[garde(dive)] HpaTarget),
    /// Bounds of a KEDA ScaledObject.
    ScaledObject(#[garde(dive)] ScaledObjectTarget),
    /// Parallelism of a Flink job, through its JobManager's REST API.
    FlinkCluster(#[garde(dive)] FlinkCluster),
    /// Parallelism of the job of a FlinkDeployment (Flink Kubernetes Operator), in application mode.
    FlinkDeployment(#[garde(dive)] FlinkResource),
    /// Parallelism of a FlinkSessionJob (Flink Kubernetes Operator).
    FlinkSessionJob(#[garde(dive)] FlinkResource),
    /// Executor bounds of a ScheduledSparkApplication (kubeflow operator), which hold from its next run on.
    ScheduledSparkApplication(#[garde(dive)] ScheduledSparkTarget),
    /// Executors of a SparkApplication. Spark takes no bounds while it runs, so they are only shown, unless the policy
    /// allows to restart a streaming application for them; or how many there are, where a Deployment or a StatefulSet
    /// keeps them.
    SparkApplication(#[garde(dive)] SparkTarget),
    /// Workers of a SparkCluster (Apache operator): bounds of its HPA where it has one, else its StatefulSet's replicas.
    SparkCluster(#[garde(dive)] SparkClusterTarget),
}

impl TargetSpec {
    /// The target's kind as its users write it.
    pub fn kind(&self) -> &str {
        match self {
            Self::ScaleTargetRef(target) => &target.kind,
            Self::HorizontalPodAutoscaler(_) => "HorizontalPodAutoscaler",
            Self::ScaledObject(_) => "ScaledObject",
            Self::FlinkCluster(_) => "FlinkCluster",
            Self::FlinkDeployment(_) => "FlinkDeployment",
            Self::FlinkSessionJob(_) => "FlinkSessionJob",
            Self::ScheduledSparkApplication(_) => "ScheduledSparkApplication",
            Self::SparkApplication(_) => "SparkApplication",
            Self::SparkCluster(_) => "SparkCluster",
        }
    }

    /// Whether it is only ever said what should be written, whatever the mode.
    pub fn is_advisory(&self) -> bool {
        match self {
            Self::ScheduledSparkApplication(target) => target.max_rung < Rung::NextRun,
            Self::SparkApplication(target) => target.max_rung < Rung::ScaleAllocator,
            Self::ScaleTargetRef(_)
            | Self::HorizontalPodAutoscaler(_)
            | Self::ScaledObject(_)
            | Self::FlinkCluster(_)
            | Self::FlinkDeployment(_)
            | Self::FlinkSessionJob(_)
            | Self::SparkCluster(_) => false,
        }
    }

    /// How a metric's target value is derived, where the policy asks for it.
    pub fn metric_target(&self) -> Option<MetricTarget> {
        match self {
            Self::HorizontalPodAutoscaler(HpaTarget { metric: Some(metric), .. }) => {
                Some(MetricTarget { means: metric.means, utilization: metric.utilization })
            }
            Self::HorizontalPodAutoscaler(_)
            | Self::ScaleTargetRef(_)
            | Self::ScaledObject(_)
            | Self::FlinkCluster(_)
            | Self::FlinkDeployment(_)
            | Self::FlinkSessionJob(_)
            | Self::ScheduledSparkApplication(_)
            | Self::SparkApplication(_)
            | Self::SparkCluster(_) => None,
        }
    }

    /// The Flink job that is moved, where it is one: the source that the target brings along.
    pub fn flink(&self) -> Option<SourceSpec> {
        let of = |kind, target: &FlinkResource| {
            let FlinkResource { name, cluster, .. } = target.clone();
            Some(SourceSpec::FlinkResource(FlinkResourceJob { kind, name, cluster }))
        };
        match self {
            Self::FlinkCluster(FlinkCluster { cluster, job, .. }) => {
                Some(SourceSpec::FlinkJob(FlinkJob { cluster: cluster.clone(), job: job.clone() }))
            }
            Self::FlinkDeployment(target) => of(FlinkKind::FlinkDeployment, target),
            Self::FlinkSessionJob(target) => of(FlinkKind::FlinkSessionJob, target),
            Self::HorizontalPodAutoscaler(_)
            | Self::ScaleTargetRef(_)
            | Self::ScaledObject(_)
            | Self::ScheduledSparkApplication(_)
            | Self::SparkApplication(_)
            | Self::SparkCluster(_) => None,
        }
    }

    /// What has a scale sub-resource that is written: the target itself, or what a job's TaskManagers are kept by.
    pub fn scaled(&self) -> Option<ScaleTargetRef> {
        match self {
            Self::ScaleTargetRef(target) => Some(target.clone()),
            Self::FlinkCluster(target) => target.task_managers.as_ref().map(TaskManagers::scale),
            Self::HorizontalPodAutoscaler(_)
            | Self::ScaledObject(_)
            | Self::FlinkDeployment(_)
            | Self::FlinkSessionJob(_)
            | Self::ScheduledSparkApplication(_)
            | Self::SparkApplication(_)
            | Self::SparkCluster(_) => None,
        }
    }

    /// The target's name.
    pub fn name(&self) -> &str {
        match self {
            Self::ScaleTargetRef(target) => &target.name,
            Self::HorizontalPodAutoscaler(target) => &target.name,
            Self::ScaledObject(target) => &target.name,
            Self::FlinkCluster(target) => &target.job,
            Self::FlinkDeployment(target) | Self::FlinkSessionJob(target) => &target.name,
            Self::ScheduledSparkApplication(target) => &target.name,
            Self::SparkApplication(target) => &target.name,
            Self::SparkCluster(target) => &target.name,
        }
    }
}

/// As an HPA names its target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScaleTargetRef {
    /// API group and version, `apps/v1` unless said.
    #[serde(default = "apps_v1")]
    #[garde(length(min = 1))]
    pub api_version: String,
    /// Kind, for example `Deployment`.
    #[garde(length(min = 1))]
    pub kind: String,
    /// Name, in the policy's namespace.
    #[garde(length(min = 1, max = 253), custom(subdomain))]
    pub name: String,
}

fn apps_v1() -> String {
    "apps/v1".to_owned()
}

/// An HPA whose bounds follow the load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HpaTarget {
    /// Name, in the policy's namespace.
    #[garde(length(min = 1, max = 253), custom(subdomain))]
    pub name: String,
    /// The metric whose target value follows the measured capacity; none unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(dive)]
    pub metric: Option<HpaMetric>,
}

/// One metric of an HPA, by its name, and what it counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HpaMetric {
    /// The metric's name in the HPA's own spec (`external`, `pods` or `object` metric).
    #[garde(length(min = 1))]
    pub name: String,
    /// What the metric counts.
    #[garde(skip)]
    pub means: HpaMetricMeaning,
    /// Rate metrics only: the share of the measured capacity, in percent, that the target asks for.
    #[serde(default = "eighty")]
    #[garde(range(min = 1, max = 100))]
    pub utilization: u32,
}

fn eighty() -> u32 {
    80
}

/// What an HPA's metric counts, and so how its target follows from the measured capacity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum HpaMetricMeaning {
    /// Records per second: the target is capacity x utilization.
    Rate,
    /// Unprocessed records: the target is what one replica clears within the objective.
    Backlog,
}

/// A KEDA ScaledObject whose `minReplicaCount` and `maxReplicaCount` follow the load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScaledObjectTarget {
    /// Name, in the policy's namespace.
    #[garde(length(min = 1, max = 253), custom(subdomain))]
    pub name: String,
}

/// A Flink job behind a JobManager's REST API, without any Kubernetes object. Its replicas are its parallelism.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct FlinkCluster {
    /// The Flink connection's name in the settings.
    #[garde(length(min = 1))]
    pub cluster: String,
    /// The job's name: it finds the job again whenever a restart gives it another id.
    #[garde(length(min = 1))]
    pub job: String,
    /// Vertices that keep their parallelism, by name or id as the REST API tells them.
    #[serde(default)]
    #[garde(length(max = 256))]
    pub exclude: Vec<String>,
    /// How the parallelism of the others follows from the job's.
    #[serde(default, skip_serializing_if = "Vertices::is_default")]
    pub vertices: Vertices,
    /// What keeps all of the cluster's TaskManagers, where there are to be as many as the job needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(dive)]
    pub task_managers: Option<TaskManagers>,
}

/// A Deployment or a StatefulSet of TaskManagers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TaskManagers {
    /// What it is, `Deployment` unless said.
    #[serde(default)]
    #[garde(skip)]
    pub kind: PodSet,
    /// Name, in the policy's namespace.
    #[garde(length(min = 1, max = 253), custom(subdomain))]
    pub name: String,
}

/// A kind of `apps/v1` that keeps Pods.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::Display,
)]
pub enum PodSet {
    /// Loses the Pods first whose deletion costs least.
    #[default]
    Deployment,
    /// Loses the Pods first that have the highest numbers.
    StatefulSet,
}

impl TaskManagers {
    /// The same as any target with a scale sub-resource.
    pub fn scale(&self) -> ScaleTargetRef {
        ScaleTargetRef { api_version: apps_v1(), kind: self.kind.to_string(), name: self.name.clone() }
    }
}

/// How the parallelism of a job's vertices follows from the one that is decided on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Vertices {
    /// Each gets what it takes beside the vertex that takes the most of its tasks' time.
    #[default]
    Proportional,
    /// All get the same.
    Uniform,
}

impl Vertices {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// An object of the Flink Kubernetes Operator with a job. Its replicas are the job's parallelism.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct FlinkResource {
    /// Name, in the policy's namespace.
    #[garde(length(min = 1, max = 253), custom(subdomain))]
    pub name: String,
    /// The Flink connection's name in the settings, where its JobManager is not to be reached at the Service that the
    /// operator makes for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(length(min = 1)))]
    pub cluster: Option<String>,
    /// Vertices that keep their parallelism, by name or id as the REST API tells them.
    #[serde(default)]
    #[garde(length(max = 256))]
    pub exclude: Vec<String>,
    /// How the parallelism of the others follows from the job's.
    #[serde(default, skip_serializing_if = "Vertices::is_default")]
    pub vertices: Vertices,
}

/// A ScheduledSparkApplication whose template's executor bounds follow the load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScheduledSparkTarget {
    /// Name, in the policy's namespace.
    #[garde(length(min = 1, max = 253), custom(subdomain))]
    pub name: String,
    /// The most that may be done to it.
    #[serde(default)]
    #[garde(skip)]
    pub max_rung: Rung,
}

/// A SparkApplication whose executors are worked out, and where allowed moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SparkTarget {
    /// Whose SparkApplication it is; the kubeflow operator's unless said.
    #[serde(default)]
    #[garde(skip)]
    pub api_version: SparkApi,
    /// Name, in the policy's namespace.
    #[garde(length(min = 1, max = 253), custom(subdomain))]
    pub name: String,
    /// The most that may be done to it.
    #[serde(default = "recommend")]
    #[garde(skip)]
    pub max_rung: Rung,
    /// How often, and with what care, it may be restarted.
    #[serde(default)]
    #[garde(dive)]
    pub restart: RestartRules,
}

/// A SparkCluster whose workers follow the load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SparkClusterTarget {
    /// API group and version, `spark.apache.org/v1` unless said.
    #[serde(default)]
    #[garde(skip)]
    pub api_version: ClusterApi,
    /// Name, in the policy's namespace.
    #[garde(length(min = 1, max = 253), custom(subdomain))]
    pub name: String,
}

/// A version of the Apache operator's API.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::Display,
    strum::IntoStaticStr,
)]
pub enum ClusterApi {
    /// Since its 1.0.
    #[default]
    #[serde(rename = "spark.apache.org/v1")]
    #[strum(serialize = "spark.apache.org/v1")]
    V1,
    /// Before its 1.0.
    #[serde(rename = "spark.apache.org/v1beta1")]
    #[strum(serialize = "spark.apache.org/v1beta1")]
    V1beta1,
}

/// The API of one of the two operators that run Spark applications.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::Display,
    strum::IntoStaticStr,
)]
pub enum SparkApi {
    /// The kubeflow operator's.
    #[default]
    #[serde(rename = "sparkoperator.k8s.io/v1beta2")]
    #[strum(serialize = "sparkoperator.k8s.io/v1beta2")]
    Kubeflow,
    /// The Apache operator's.
    #[serde(rename = "spark.apache.org/v1")]
    #[strum(serialize = "spark.apache.org/v1")]
    Apache,
    /// The Apache operator's, before its 1.0.
    #[serde(rename = "spark.apache.org/v1beta1")]
    #[strum(serialize = "spark.apache.org/v1beta1")]
    ApacheBeta,
}

fn recommend() -> Rung {
    Rung::Recommend
}

/// What a streaming application's restarts are held to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[garde(allow_unvalidated)]
pub struct RestartRules {
    /// The least time between two restarts.
    pub spacing: TimeSpan,
    /// The most restarts within any 24 hours.
    #[garde(range(min = 1, max = 48))]
    pub per_day: u32,
    /// The most of them that make it smaller.
    #[garde(range(max = 48))]
    pub lower_per_day: u32,
    /// How long it must have run before it is restarted.
    pub warmup: TimeSpan,
    /// How long it may take until it runs with the new bounds and commits batches; else it gets its old ones back.
    pub prove_within: TimeSpan,
    /// How long it is left alone after a restart that failed.
    pub freeze: TimeSpan,
}

impl Default for RestartRules {
    fn default() -> Self {
        Self {
            spacing: TimeSpan::from_secs(30 * 60),
            per_day: 6,
            lower_per_day: 2,
            warmup: TimeSpan::from_secs(10 * 60),
            prove_within: TimeSpan::from_secs(5 * 60),
            freeze: TimeSpan::from_secs(6 * 3600),
        }
    }
}

/// What may be done to a Spark application, each rung disturbing it more than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Rung {
    /// Nothing: the exact patch is shown.
    Recommend,
    /// Bounds for the next run are written; no run is disturbed.
    #[default]
    NextRun,
    /// The executors of a running application without dynamic allocation are made more or fewer, where a Deployment or
    /// a StatefulSet keeps their Pods.
    ScaleAllocator,
    /// A streaming application is restarted for new bounds: at a safe point, within a budget, proved, and rolled back
    /// once where that fails.
    Restart,
}
