//! Executor bounds of the kubeflow operator's applications (sparkoperator.k8s.io/v1beta2).
//!
//! Spark reads them once, when an application starts, and the operator answers any change of a `SparkApplication`
//! by starting it again, a finished one too. So the only bounds that are written are those in the template of a
//! `ScheduledSparkApplication`, which its next run copies; for a `SparkApplication` the patch is only shown.

mod bounds;

use std::sync::{Mutex, PoisonError};

use futures::future::BoxFuture;
use jiff::Timestamp;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::{Value, json};

use self::bounds::Bounds;
use super::api::{ReadError, refusal};
use super::owners::{MANAGER, Standing, owners, standing, we_own};
use super::progress::Progress;
use super::reading::{self, Parts};
use super::scaled::Scaled;
use super::sighting::{LastSeen, Sighting, fence};
use super::{ActuateError, Actuator};
use crate::engine::Change;
use crate::engine::observation::{Fence, TargetReading};
use crate::policy::{Replicas, WorkloadId};

const API_VERSION: &str = "sparkoperator.k8s.io/v1beta2";
/// Says which policy moves the bounds; our mark that we have had them.
const POLICY: &str = "tidegate.dev/policy";

/// Which of the two kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One application, running or not.
    Application,
    /// What makes applications by a clock.
    Scheduled,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Application => "SparkApplication",
            Self::Scheduled => "ScheduledSparkApplication",
        }
    }

    /// Where the application's own spec lies in the object's.
    fn path(self) -> &'static [&'static str] {
        match self {
            Self::Application => &["spec"],
            Self::Scheduled => &["spec", "template"],
        }
    }
}

/// Moves one application's executor bounds, or says what they should be.
#[derive(Debug)]
pub struct SparkBounds {
    client: ClientOf,
    kind: Kind,
    policy: WorkloadId,
    name: String,
    /// Nothing is written.
    advisory: bool,
    seen: LastSeen,
    bounds: Mutex<Option<Bounds>>,
}

/// A client, which says nothing of itself.
struct ClientOf(Client);

impl std::fmt::Debug for ClientOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

impl SparkBounds {
    pub(super) fn new(client: &Client, policy: &WorkloadId, kind: Kind, name: &str, advisory: bool) -> Self {
        Self {
            client: ClientOf(client.clone()),
            kind,
            policy: policy.clone(),
            name: name.to_owned(),
            advisory,
            seen: LastSeen::default(),
            bounds: Mutex::default(),
        }
    }

    fn api(&self) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("sparkoperator.k8s.io", "v1beta2", self.kind.name());
        Api::namespaced_with(self.client.0.clone(), &self.policy.namespace, &ApiResource::from_gvk(&kind))
    }

    fn known(&self) -> Option<Bounds> {
        self.bounds.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn read(&self, now: Timestamp) -> Result<TargetReading, ReadError> {
        let object = self.api().get_opt(&self.name).await?.ok_or(ReadError::NotFound)?;
        let found = Bounds::find(self.kind, &object).map_err(ReadError::Unfit);
        *self.bounds.lock().unwrap_or_else(PoisonError::into_inner) = found.as_ref().ok().cloned();
        let bounds = found?;
        let standing = self.standing(&object, &bounds, now);
        let progress = Progress { ready: running(&object), settled: true, rolling_out: false };
        let hold = reading::hold(&standing, progress);
        self.seen.set(Sighting::of(&object, standing == Standing::Adopt, hold.as_ref()));
        let (current, ceiling) = (Some(bounds.lower), Some(bounds.upper));
        let parts = Parts { current, ceiling, hold, fence: fence(&object), ..Parts::default() };
        Ok(reading::reading(now, parts, progress))
    }

    /// Who else states the bounds.
    fn standing(&self, object: &DynamicObject, bounds: &Bounds, now: Timestamp) -> Standing {
        let claimed = we_own(&object.metadata, "Update", &["metadata", "annotations", POLICY]);
        let mut all = Standing::Free;
        for path in bounds.paths(self.kind) {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            let field = format!(".{}", path.join("."));
            all = all.and(standing(&field, &owners(&object.metadata, &path), claimed, now));
        }
        all
    }

    async fn write(&self, change: &Change, fence: &Fence) -> Result<(), ActuateError> {
        let failed = |problem: &str| ActuateError::Failed { problem: problem.to_owned() };
        if self.advisory {
            return Err(failed("only shown: nothing of this target is ever written"));
        }
        let bounds = self.known().ok_or_else(|| failed("its bounds are not known"))?;
        let (api, seen) = (&self.api(), self.seen.at(fence));
        let write = |fence: Fence| {
            let fenced = json!({"uid": fence.uid, "resourceVersion": fence.resource_version});
            let patch = self.patch(&bounds, change, fenced);
            async move {
                let params =
                    PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
                let written = api.patch(&self.name, &params, &Patch::Merge(&patch)).await;
                written.map(drop).map_err(|error| refusal(&error))
            }
        };
        seen.write(api, &self.name, write).await
    }

    /// The whole of what is written. Our mark goes with `metadata`.
    fn patch(&self, bounds: &Bounds, change: &Change, mut metadata: Value) -> Value {
        let upper = change.ceiling.unwrap_or(bounds.upper).max(change.replicas);
        let spec = bounds.to(change.replicas, upper);
        if let Some(metadata) = metadata.as_object_mut() {
            metadata.insert("annotations".to_owned(), json!({POLICY: self.policy.to_string()}));
        }
        match self.kind {
            Kind::Application => json!({"metadata": metadata, "spec": spec}),
            Kind::Scheduled => json!({"metadata": metadata, "spec": {"template": spec}}),
        }
    }
}

/// Executors that run, where the object tells.
fn running(object: &DynamicObject) -> Option<Replicas> {
    let states = object.data.pointer("/status/executorState")?.as_object()?;
    let running = states.values().filter(|state| *state == "RUNNING").count();
    u32::try_from(running).ok().map(Replicas)
}

impl Actuator for SparkBounds {
    fn observe(&self, now: Timestamp) -> BoxFuture<'_, TargetReading> {
        Box::pin(async move {
            let (namespace, kind) = (self.policy.namespace.as_str(), self.kind.name());
            let what = Scaled { namespace, api_version: API_VERSION, kind, name: &self.name };
            reading::look(now, what, self.read(now)).await
        })
    }

    fn apply<'a>(&'a self, change: &'a Change, fence: &'a Fence) -> BoxFuture<'a, Result<(), ActuateError>> {
        Box::pin(self.write(change, fence))
    }

    fn plan(&self, change: &Change) -> Option<String> {
        let bounds = self.known()?;
        let patch = self.patch(&bounds, change, json!({}));
        let rung = if self.kind == Kind::Scheduled {
            "rung nextRun: holds from the next run on"
        } else {
            "rung recommend: Spark takes no new bounds while it runs, and the operator would start it again"
        };
        let command = format!("kubectl patch {} {} --type merge -p '{patch}'", self.kind.name(), self.name);
        let lines: Vec<&str> = [rung, &command].into_iter().chain(bounds.advice).collect();
        Some(lines.join("; "))
    }
}
