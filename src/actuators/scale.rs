//! Replicas of anything with a scale sub-resource, written through it.
//!
//! Read: the object (its status, its version, who owns its replicas), its scale where the kind is not of
//! the group `apps`, and the namespace's HPAs and ScaledObjects. Written: one merge patch of the scale
//! sub-resource with uid and resourceVersion, so the account needs no right to change the object itself.

use std::sync::{Mutex, PoisonError};

use futures::future::BoxFuture;
use jiff::Timestamp;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::OnceCell;

use super::api::{self, ReadError};
use super::owners::{self, MANAGER, Standing, Tenure};
use super::progress::{Progress, progress, spec_replicas};
use super::reading::{self, Parts};
use super::rivals::{self, Scaled};
use super::sighting::{LastSeen, Sighting, fence};
use super::{ActuateError, Actuator};
use crate::engine::Change;
use crate::engine::observation::{Fence, TargetHold, TargetReading};
use crate::policy::Replicas;
use crate::policy::target::ScaleTargetRef;

/// Moves one object's replicas.
pub struct ScaleActuator {
    client: Client,
    namespace: String,
    target: ScaleTargetRef,
    resource: OnceCell<ApiResource>,
    tenure: Mutex<Tenure>,
    seen: LastSeen,
}

impl std::fmt::Debug for ScaleActuator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScaleActuator")
            .field("namespace", &self.namespace)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

impl ScaleActuator {
    /// An actuator for `target` in `namespace`. Asks nothing yet.
    pub fn new(client: Client, namespace: String, target: ScaleTargetRef) -> Self {
        let (resource, tenure, seen) = (OnceCell::new(), Mutex::default(), LastSeen::default());
        Self { client, namespace, target, resource, tenure, seen }
    }

    async fn api(&self) -> Result<Api<DynamicObject>, ReadError> {
        let resource = self.resource.get_or_try_init(|| self.locate()).await?;
        Ok(Api::namespaced_with(self.client.clone(), &self.namespace, resource))
    }

    async fn locate(&self) -> Result<ApiResource, ReadError> {
        let ScaleTargetRef { api_version, kind, .. } = &self.target;
        let (resource, can) = api::locate(&self.client, api_version, kind).await?;
        if can.subresources.iter().any(|(sub, _)| sub.plural == "scale") {
            Ok(resource)
        } else {
            Err(ReadError::Unfit(format!("{kind} of {api_version} has no scale sub-resource")))
        }
    }

    async fn read(&self, now: Timestamp) -> Result<TargetReading, ReadError> {
        let api = self.api().await?;
        let scaled = Scaled {
            namespace: &self.namespace,
            api_version: &self.target.api_version,
            kind: &self.target.kind,
            name: &self.target.name,
        };
        let object = async { api::get(&api, &self.target.name).await?.ok_or(ReadError::NotFound) };
        let (object, rival) = futures::try_join!(object, rivals::rival(&self.client, scaled))?;
        let (current, progress) = self.measure(&api, &object).await?;
        let standing = self.standing(&object, rival.as_deref(), now);
        let hold = rival
            .or_else(|| parent(&self.namespace, &object))
            .map(|owner| TargetHold::Owned { owner })
            .or_else(|| reading::hold(&standing, progress));
        self.seen.set(Sighting::of(&object, standing == Standing::Adopt));
        let parts = Parts { current: Some(current), hold, fence: fence(&object), ..Parts::default() };
        Ok(reading::reading(now, parts, progress))
    }

    /// The replicas asked for, and how far the object is. Where they are kept is only known for the
    /// group `apps`; all other kinds are asked through the scale sub-resource, which knows.
    async fn measure(
        &self,
        api: &Api<DynamicObject>,
        object: &DynamicObject,
    ) -> Result<(Replicas, Progress), ReadError> {
        let kind = self.target.kind.as_str();
        if matches!(kind, "Deployment" | "StatefulSet") && self.target.api_version.starts_with("apps/") {
            let current = spec_replicas(object);
            let current = current.ok_or_else(|| ReadError::Unfit("it has no spec.replicas".to_owned()))?;
            return Ok((current, progress(object, kind, None, None)));
        }
        let scale = api.get_scale(&self.target.name).await?;
        // The API server leaves zeros out here, and answers with an error where there is no value.
        let asked = replicas(scale.spec.and_then(|spec| spec.replicas).unwrap_or(0))?;
        let present = scale.status.map(|status| replicas(status.replicas)).transpose()?;
        Ok((asked, progress(object, "", Some(asked), present)))
    }

    fn standing(&self, object: &DynamicObject, rival: Option<&str>, now: Timestamp) -> Standing {
        let mut tenure = self.tenure.lock().unwrap_or_else(PoisonError::into_inner);
        if rival.is_some() {
            tenure.forget();
            return Standing::Free;
        }
        tenure.see(&object.metadata, now)
    }

    async fn write(&self, change: &Change, fence: &Fence) -> Result<(), ActuateError> {
        let api = self.api().await.map_err(|error| ActuateError::Failed { problem: error.to_string() })?;
        match self.patch(&api, change, fence).await {
            Err(ActuateError::Conflict) => {}
            done => return done,
        }
        let fresh = api::get(&api, &self.target.name).await.map_err(|error| api::refusal(&error))?;
        let renewed = fresh.zip(self.seen.at(fence)).and_then(|(fresh, seen)| seen.renewed(&fresh));
        match renewed {
            Some(fence) => self.patch(&api, change, &fence).await,
            None => Err(ActuateError::Conflict),
        }
    }

    async fn patch(
        &self,
        api: &Api<DynamicObject>,
        change: &Change,
        fence: &Fence,
    ) -> Result<(), ActuateError> {
        let patch = json!({
            "metadata": { "uid": fence.uid, "resourceVersion": fence.resource_version },
            "spec": { "replicas": change.replicas },
        });
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let written = api.patch_scale(&self.target.name, &params, &Patch::Merge(&patch)).await;
        written.map(drop).map_err(|error| api::refusal(&error))
    }
}

impl Actuator for ScaleActuator {
    fn observe(&self, now: Timestamp) -> BoxFuture<'_, TargetReading> {
        let what = (self.target.kind.as_str(), self.namespace.as_str(), self.target.name.as_str());
        Box::pin(reading::patiently(now, what, self.read(now)))
    }

    fn apply<'a>(&'a self, change: &'a Change, fence: &'a Fence) -> BoxFuture<'a, Result<(), ActuateError>> {
        Box::pin(reading::written_patiently(self.write(change, fence)))
    }
}

/// A ReplicaSet belongs to its Deployment, which would undo every change of it.
fn parent(namespace: &str, object: &DynamicObject) -> Option<String> {
    match owners::controller(&object.metadata)? {
        ("apps", "Deployment", name) => Some(format!("Deployment {namespace}/{name}")),
        _ => None,
    }
}

fn replicas(count: i32) -> Result<Replicas, ReadError> {
    let count = u32::try_from(count);
    count.map(Replicas).map_err(|_| ReadError::Unfit("its scale has a negative count".to_owned()))
}
