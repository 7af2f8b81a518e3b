//! Replicas of anything with a scale sub-resource, written through it.
//!
//! Read: the object (its status, its version, who owns its replicas), its scale where the kind is not a
//! well-known one, and, shared with the other targets there, the namespace's HPAs and `ScaledObjects`. Written: one merge patch of the scale
//! sub-resource with uid and resourceVersion, so the account needs no right to change the object itself.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::json;

use super::api::{ReadError, refusal, unreadable};
use super::owners::{self, MANAGER, Standing, Tenure};
use super::reading::{self, Parts};
use super::rivals::{self, Rivals};
use super::scaled::{Resources, Scaled};
use super::sighting::{LastSeen, Sighting, fence};
use super::{ActuateError, Actuator};
use crate::engine::Change;
use crate::engine::observation::{Fence, TargetHold, TargetReading};
use crate::policy::TimeSpan;
use crate::policy::target::ScaleTargetRef;

/// Moves one object's replicas.
pub struct ScaleActuator {
    rivals: Arc<Rivals>,
    /// How old a look at rivals may be.
    max_age: Duration,
    namespace: String,
    target: ScaleTargetRef,
    resources: Resources,
    tenure: Mutex<Tenure>,
    seen: LastSeen,
}

impl std::fmt::Debug for ScaleActuator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ScaleActuator").field(&self.scaled()).finish()
    }
}

impl ScaleActuator {
    /// An actuator for `target` in `namespace`, which shares its looks at other autoscalers and goes on with
    /// what is known of who had its replicas. Asks nothing yet.
    pub(super) fn new(
        rivals: Arc<Rivals>,
        namespace: String,
        target: ScaleTargetRef,
        interval: TimeSpan,
        tenure: Tenure,
    ) -> Self {
        let (resources, tenure, seen) = (Resources::default(), Mutex::new(tenure), LastSeen::default());
        Self { rivals, max_age: rivals::max_age(interval), namespace, target, resources, tenure, seen }
    }

    /// What is moved.
    pub(super) fn scaled(&self) -> Scaled<'_> {
        let ScaleTargetRef { api_version, kind, name } = &self.target;
        Scaled { namespace: &self.namespace, api_version, kind, name }
    }

    /// Looks at it: a reading, and the object that it is of.
    pub(super) async fn look(&self, now: Timestamp) -> Result<(TargetReading, DynamicObject), ReadError> {
        let scaled = self.scaled();
        let api = self.resources.api(self.rivals.client(), scaled).await?;
        let object = async { api.get_opt(scaled.name).await?.ok_or(ReadError::NotFound) };
        let (object, rival) = futures::try_join!(object, self.rivals.of(scaled, now, self.max_age))?;
        let (current, progress) = scaled.measure(&api, &object).await?;
        let standing = self.standing(&object, rival.is_some(), now);
        let hold = rival
            .or_else(|| parent(scaled.namespace, &object))
            .map(|owner| TargetHold::Owned { owner })
            .or_else(|| reading::hold(&standing, progress));
        self.seen.set(Sighting::of(&object, standing == Standing::Adopt, hold.as_ref()));
        let parts = Parts { current: Some(current), hold, fence: fence(&object), ..Parts::default() };
        Ok((reading::reading(now, parts, progress), object))
    }

    fn standing(&self, object: &DynamicObject, rival: bool, now: Timestamp) -> Standing {
        let mut tenure = self.tenure.lock().unwrap_or_else(PoisonError::into_inner);
        if rival {
            tenure.forget();
            return Standing::Free;
        }
        tenure.see(&object.metadata, now)
    }

    /// Asks for so many replicas, if the object still is exactly the one that `fence` was read from.
    pub(super) async fn write(&self, change: &Change, fence: &Fence) -> Result<(), ActuateError> {
        let scaled = self.scaled();
        let api =
            &self.resources.api(self.rivals.client(), scaled).await.map_err(|error| unreadable(&error))?;
        let patch = |fence| patch(api, scaled.name, change, fence);
        self.seen.at(fence).write(api, scaled.name, patch).await
    }
}

async fn patch(
    api: &Api<DynamicObject>,
    name: &str,
    change: &Change,
    fence: Fence,
) -> Result<(), ActuateError> {
    let patch = json!({
        "metadata": { "uid": fence.uid, "resourceVersion": fence.resource_version },
        "spec": { "replicas": change.replicas },
    });
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    let written = api.patch_scale(name, &params, &Patch::Merge(&patch)).await;
    written.map(drop).map_err(|error| refusal(&error))
}

impl Actuator for ScaleActuator {
    fn observe(&self, now: Timestamp) -> BoxFuture<'_, TargetReading> {
        let read = async move { self.look(now).await.map(|(reading, _)| reading) };
        Box::pin(reading::look(now, self.scaled(), read))
    }

    fn apply<'a>(&'a self, change: &'a Change, fence: &'a Fence) -> BoxFuture<'a, Result<(), ActuateError>> {
        Box::pin(self.write(change, fence))
    }

    fn tenure(&self) -> Tenure {
        self.tenure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A `ReplicaSet` belongs to its Deployment, which would undo every change of it.
fn parent(namespace: &str, object: &DynamicObject) -> Option<String> {
    match owners::controller(&object.metadata)? {
        ("apps", "Deployment", name) => Some(format!("Deployment {namespace}/{name}")),
        _ => None,
    }
}
