//! What an object of the Flink Kubernetes Operator says of its job, and what stands in the way of moving it: pure.

mod finder;
mod options;

use kube::api::DynamicObject;
use serde_json::Value;

pub(crate) use self::finder::{Finder, api};
pub(crate) use self::options::{OVERRIDES, Overrides, autoscaler, spelt as spelt_overrides};
use self::options::{Options, reconciled};
use crate::policy::Replicas;
use crate::policy::source::FlinkKind;

/// The first Flink that the operator rescales in place.
const LEAST_VERSION: (u32, u32) = (1, 18);

/// One look at an object, and at what belongs to it.
#[derive(Debug, Clone)]
pub(crate) struct Resource {
    pub(crate) kind: FlinkKind,
    pub(crate) object: DynamicObject,
    /// The FlinkDeployment that a session job runs on.
    pub(crate) cluster: Option<DynamicObject>,
    /// The namespace's FlinkStateSnapshots.
    pub(crate) snapshots: Vec<DynamicObject>,
}

/// Why an object's job is left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// It is on its way from one state to another.
    Passing(String),
    /// It stays as it is until somebody changes it.
    Lasting(String),
    /// Somebody else moves it.
    Owned(String),
}

impl Resource {
    /// The object that tells how the cluster is deployed: a session job is on another one's.
    fn deployment(&self) -> Option<&DynamicObject> {
        match self.kind {
            FlinkKind::FlinkDeployment => Some(&self.object),
            FlinkKind::FlinkSessionJob => self.cluster.as_ref(),
        }
    }

    /// The name that the Service of its JobManager begins with.
    pub(crate) fn cluster_name(&self) -> Option<&str> {
        self.deployment()?.metadata.name.as_deref()
    }

    /// The job's id, which a redeploy may change.
    pub(crate) fn job_id(&self) -> Option<&str> {
        text(&self.object, "/status/jobStatus/jobId").filter(|id| !id.is_empty())
    }

    /// What a write is fenced with: which object, and which version of its spec. Its status alone may change.
    pub(crate) fn version(&self) -> Option<String> {
        let meta = &self.object.metadata;
        Some(format!("{}/{}", meta.uid.as_ref()?, meta.generation?))
    }

    /// What the object's own spec says of parallelism by vertex.
    pub(crate) fn overrides(&self) -> Overrides {
        Options::of(&[&self.object]).overrides()
    }

    /// Whether Kubernetes is asked for TaskManagers as the job needs them.
    pub(crate) fn is_native(&self) -> bool {
        self.deployment()
            .is_some_and(|deployment| text(deployment, "/spec/mode").unwrap_or("native") == "native")
    }

    /// Whether its TaskManagers are a Deployment that the operator sizes by the object, for this job alone.
    pub(crate) fn has_own_taskmanagers(&self) -> bool {
        self.kind == FlinkKind::FlinkDeployment && !self.is_native()
    }

    /// The TaskManagers that the object asks for.
    pub(crate) fn taskmanagers(&self) -> Option<Replicas> {
        let count = self.object.data.pointer("/spec/taskManager/replicas")?.as_u64()?;
        u32::try_from(count).ok().map(Replicas)
    }

    /// Whether a new deployment starts without the overrides: Flink 2 in application mode (FLINK-38770).
    pub(crate) fn ignores_overrides(&self) -> bool {
        self.deployment().and_then(version).is_none_or(|(major, _)| major >= 2)
    }

    /// Whether a new deployment starts without the job's state.
    pub(crate) fn loses_state(&self) -> bool {
        !matches!(text(&self.object, "/spec/job/upgradeMode"), Some("savepoint" | "last-state"))
    }

    /// Whether the operator takes other overrides without a redeploy: native mode, rescaling in place not switched
    /// off, a Flink that can. In any other case writing them restarts the job.
    pub(crate) fn keeps_overrides_in_place(&self) -> bool {
        let Some(deployment) = self.deployment() else { return false };
        let options = Options::of(&self.layers());
        self.is_native()
            && version(deployment).is_some_and(|version| version >= LEAST_VERSION)
            && !options.says("kubernetes.operator.job.upgrade.inplace-scaling.enabled", "false")
    }

    /// What one option of the cluster says, where its object does.
    fn option(&self, key: &str) -> Option<String> {
        Options::of(&[self.deployment()?]).get(key)
    }

    /// The configuration in force, the more general first.
    fn layers(&self) -> Vec<&DynamicObject> {
        self.cluster.iter().chain([&self.object]).collect()
    }

    /// What stands in the way of moving the job, as far as the object tells.
    pub(crate) fn obstacle(&self) -> Option<Obstacle> {
        self.rival().map(Obstacle::Owned).or_else(|| self.lasting().map(Obstacle::Lasting)).or_else(|| {
            let cluster = || {
                let cluster = self.cluster.as_ref()?;
                let name = cluster.metadata.name.as_deref().unwrap_or_default();
                changing(cluster).map(|what| format!("its FlinkDeployment {name}: {what}"))
            };
            let own = passing(&self.object).or_else(cluster).or_else(|| self.deployment().and_then(unready));
            own.or_else(|| self.snapshot()).map(Obstacle::Passing)
        })
    }

    /// Who else moves it.
    fn rival(&self) -> Option<String> {
        let owners = self.object.metadata.owner_references.iter().flatten();
        let parent = owners.into_iter().find(|owner| owner.kind == "FlinkBlueGreenDeployment");
        if let Some(parent) = parent {
            return Some(format!("FlinkBlueGreenDeployment {}", parent.name));
        }
        let options = Options::of(&self.layers());
        if let Some(key) = options.autoscaler() {
            return Some(format!("the Flink Kubernetes Operator's autoscaler ({key}: true)"));
        }
        (!options.autoscaler_is_off() && self.has_learnt()).then(|| {
            "the Flink Kubernetes Operator's autoscaler (on by the operator's defaults: its status holds overrides \
             that its spec does not)"
                .to_owned()
        })
    }

    /// Whether an autoscaler that is on by the operator's own defaults has decided anything: it keeps that beside the
    /// spec. While a spec of its own is being carried out, it says nothing.
    fn has_learnt(&self) -> bool {
        let (learnt, stated) = (self.learnt(), self.overrides());
        let differs = learnt.iter().any(|(vertex, count)| stated.get(vertex) != Some(count));
        differs && (stated.is_empty() || passing(&self.object).is_none())
    }

    /// The overrides of the last spec that the operator carried out: its autoscaler's are there alone.
    fn learnt(&self) -> Overrides {
        let last = text(&self.object, "/status/reconciliationStatus/lastReconciledSpec");
        last.map(reconciled).unwrap_or_default()
    }

    /// The one patch that takes the job out of the autoscaler's hands without a restart: switched off, and what it has
    /// decided kept. Without the latter the operator redeploys at the parallelism that the job began with.
    pub(crate) fn hand_over(&self) -> Option<String> {
        if !matches!(self.obstacle(), Some(Obstacle::Owned(owner)) if owner.contains("autoscaler")) {
            return None;
        }
        let kept: Overrides = self.overrides().into_iter().chain(self.learnt()).collect();
        let mut options = serde_json::Map::new();
        for key in Options::of(&[&self.object]).autoscaler_keys() {
            options.insert(key, "false".into());
        }
        options.entry("job.autoscaler.enabled").or_insert_with(|| "false".into());
        if !kept.is_empty() {
            options.insert(OVERRIDES.to_owned(), options::spelt(&kept).into());
        }
        let patch = serde_json::json!({"spec": {"flinkConfiguration": options}});
        let name = self.object.metadata.name.as_deref().unwrap_or_default();
        Some(format!("kubectl patch {} {name} --type merge -p '{patch}'", self.kind))
    }

    /// What somebody would have to change.
    fn lasting(&self) -> Option<String> {
        let Some(deployment) = self.deployment() else {
            let name = text(&self.object, "/spec/deploymentName").unwrap_or_default();
            return Some(format!("there is no FlinkDeployment {name} that it could run on"));
        };
        if self.object.data.pointer("/spec/job").is_none_or(Value::is_null) {
            return Some("it has no job of its own: name a FlinkSessionJob on it instead".to_owned());
        }
        if text(&self.object, "/spec/job/state") == Some("suspended") {
            return Some("spec.job.state is suspended".to_owned());
        }
        if let Some(low) = version(deployment).filter(|version| *version < LEAST_VERSION) {
            return Some(format!(
                "spec.flinkVersion is v{}_{}: v1_18 or later can be rescaled",
                low.0, low.1
            ));
        }
        if let Some(error) = text(&self.object, "/status/error").filter(|error| !error.trim().is_empty()) {
            return Some(format!("the operator reports an error ({})", first_words(error)));
        }
        if let Some(key) = Options::nested(&self.object) {
            return Some(format!("spec.flinkConfiguration states {key} as a tree: write it as one flat key"));
        }
        let lifecycle = text(&self.object, "/status/lifecycleState");
        let ended = ["SUSPENDED", "ROLLED_BACK", "FAILED", "DELETING", "DELETED"];
        lifecycle
            .filter(|state| ended.contains(state))
            .map(|state| format!("status.lifecycleState is {state}"))
    }

    /// A savepoint that is being taken.
    fn snapshot(&self) -> Option<String> {
        let ours = |snapshot: &&DynamicObject| {
            text(snapshot, "/spec/jobReference/kind") == Some(self.kind.into())
                && text(snapshot, "/spec/jobReference/name") == self.object.metadata.name.as_deref()
                && matches!(text(snapshot, "/status/state"), None | Some("TRIGGER_PENDING" | "IN_PROGRESS"))
        };
        let snapshot = self.snapshots.iter().find(ours)?;
        let name = snapshot.metadata.name.as_deref().unwrap_or_default();
        Some(format!("FlinkStateSnapshot {name} is being taken"))
    }
}

/// What a job's object is going through.
fn passing(object: &DynamicObject) -> Option<String> {
    changing(object).or_else(|| stands(object, "/status/jobStatus/state", &["RUNNING"])).or_else(|| {
        let triggered = ["savepointInfo", "checkpointInfo"].into_iter().find(|info| {
            let path = format!("/status/jobStatus/{info}/triggerId");
            text(object, &path).is_some_and(|id| !id.is_empty())
        })?;
        let what = if triggered == "savepointInfo" { "savepoint" } else { "checkpoint" };
        Some(format!("the operator waits for a {what} (status.jobStatus.{triggered}.triggerId)"))
    })
}

/// What an object is going through, be it of a job or of a session's cluster.
fn changing(object: &DynamicObject) -> Option<String> {
    if object.metadata.deletion_timestamp.is_some() {
        return Some("it is being deleted".to_owned());
    }
    let observed = object.data.pointer("/status/observedGeneration").and_then(Value::as_i64);
    if observed != object.metadata.generation {
        return Some("the operator has not yet taken up its newest spec".to_owned());
    }
    let lifecycle = "/status/lifecycleState";
    let undone = Options::of(&[object]).says("kubernetes.operator.deployment.rollback.enabled", "true");
    if undone && text(object, lifecycle) == Some("DEPLOYED") {
        return Some(format!("{} is DEPLOYED, and the operator may yet roll it back", spelt(lifecycle)));
    }
    stands(object, lifecycle, &["STABLE", "DEPLOYED"])
        .or_else(|| stands(object, "/status/reconciliationStatus/state", &["DEPLOYED"]))
}

/// What a field says, where that is none of what is wanted.
fn stands(object: &DynamicObject, path: &str, wanted: &[&str]) -> Option<String> {
    let is = text(object, path);
    (!is.is_some_and(|state| wanted.contains(&state)))
        .then(|| format!("{} is {}", spelt(path), is.unwrap_or("not said")))
}

/// What the cluster is going through.
fn unready(deployment: &DynamicObject) -> Option<String> {
    if let Some(what) = stands(deployment, "/status/jobManagerDeploymentStatus", &["READY"]) {
        return Some(what);
    }
    let conditions = deployment.data.pointer("/status/conditions").and_then(Value::as_array);
    let field =
        |condition: &Value, name: &str| condition.get(name).and_then(Value::as_str).map(str::to_owned);
    let running = conditions
        .into_iter()
        .flatten()
        .find(|condition| field(condition, "type").as_deref() == Some("Running"))?;
    let status = field(running, "status").unwrap_or_default();
    (status != "True").then(|| format!("its condition Running is {status}"))
}

/// A path as `kubectl explain` spells it.
fn spelt(path: &str) -> String {
    path.trim_start_matches('/').replace('/', ".")
}

/// The beginning of what the operator says: the rest may be a stack.
fn first_words(error: &str) -> String {
    error.lines().next().unwrap_or_default().chars().take(200).collect()
}

fn text<'a>(object: &'a DynamicObject, path: &str) -> Option<&'a str> {
    object.data.pointer(path).and_then(Value::as_str)
}

/// `v1_20` as numbers.
fn version(deployment: &DynamicObject) -> Option<(u32, u32)> {
    let (major, minor) = text(deployment, "/spec/flinkVersion")?.strip_prefix('v')?.split_once('_')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests;
