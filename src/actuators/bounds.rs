//! The bounds of an autoscaler of somebody else's, which keeps its own reflexes between them.
//!
//! Written by server-side apply with our own field manager, always the whole set of our fields: the
//! annotation, the lower and the upper bound. The annotation outlives a bound that somebody else takes
//! from us, so `managedFields` alone says whether a bound was ever ours, also after a restart.
//!
//! A metric's target is written by a merge patch instead: `spec.metrics` is one atomic field to
//! server-side apply, so an applier that once owned it and later leaves it out would delete the user's
//! metrics. The patch carries the list as read with that one value changed, fenced like everything else.

use futures::future::BoxFuture;
use jiff::Timestamp;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::api::{ReadError, refusal, unreadable};
use super::hpa::MetricTarget;
use super::owners::{MANAGER, Standing, owners, standing, we_own};
use super::progress::{Progress, number};
use super::reading::{self, Parts};
use super::scaled::{Resources, Scaled};
use super::sighting::{LastSeen, Sighting, fence};
use super::{ActuateError, Actuator, quantity};
use crate::engine::Change;
use crate::engine::observation::{Fence, TargetHold, TargetReading};
use crate::policy::Replicas;

/// Says which policy moves the bounds; our mark that we have had them.
const POLICY: &str = "tidegate.dev/policy";

/// Says what we set a metric's target to; our mark that we have had it.
const METRIC: &str = "tidegate.dev/metric-target";

/// What differs between autoscalers.
#[derive(Debug)]
pub(super) struct Shape {
    /// The resource.
    pub(super) resource: fn() -> ApiResource,
    /// Field of the lower bound in `spec`, and its value where there is none.
    pub(super) lower: (&'static str, Replicas),
    /// Field of the upper bound in `spec`, and its value where there is none.
    pub(super) upper: (&'static str, Option<Replicas>),
    /// Why it must be left alone.
    pub(super) hold: fn(&DynamicObject) -> Option<String>,
    /// What it scales: API version, kind and name.
    pub(super) target: fn(&DynamicObject) -> Option<(&str, &str, &str)>,
}

/// Moves one autoscaler's bounds.
pub struct BoundsActuator {
    client: Client,
    namespace: String,
    name: String,
    policy: String,
    metric: Option<String>,
    shape: Shape,
    resources: Resources,
    seen: LastSeen,
}

impl std::fmt::Debug for BoundsActuator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BoundsActuator")
            .field("namespace", &self.namespace)
            .field("name", &self.name)
            .field("shape", &self.shape)
            .finish_non_exhaustive()
    }
}

impl BoundsActuator {
    pub(super) fn new(
        client: &Client,
        policy: &crate::policy::WorkloadId,
        name: &str,
        metric: Option<&str>,
        shape: Shape,
    ) -> Self {
        Self {
            client: client.clone(),
            namespace: policy.namespace.clone(),
            name: name.to_owned(),
            policy: policy.to_string(),
            metric: metric.map(str::to_owned),
            shape,
            resources: Resources::default(),
            seen: LastSeen::default(),
        }
    }

    fn api(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &(self.shape.resource)())
    }

    async fn read(&self, now: Timestamp) -> Result<TargetReading, ReadError> {
        let object = self.api().get_opt(&self.name).await?.ok_or(ReadError::NotFound)?;
        let (current, ceiling) = self.bounds(&object)?;
        let metric = self.metric.as_deref().map(|name| MetricTarget::find(&object, name)).transpose()?;
        let progress = self.progress(&object).await?;
        let standing = self.standing(&object, now);
        let owned = (self.shape.hold)(&object).map(|owner| TargetHold::Owned { owner });
        let hold = owned.or_else(|| reading::hold(&standing, progress));
        self.seen.set(Sighting::of(&object, standing == Standing::Adopt, hold.as_ref()));
        let parts = Parts {
            current: Some(current),
            ceiling: Some(ceiling),
            metric_target: metric.map(|metric| metric.value),
            hold,
            fence: fence(&object),
        };
        Ok(reading::reading(now, parts, progress))
    }

    fn bounds(&self, object: &DynamicObject) -> Result<(Replicas, Replicas), ReadError> {
        let ((lower, least), (upper, most)) = (self.shape.lower, self.shape.upper);
        let bound = |field: &str| match object.data.pointer(&format!("/spec/{field}")) {
            None | Some(Value::Null) => Ok(None),
            Some(_) => number(&object.data, &format!("/spec/{field}"))
                .map(Some)
                .ok_or_else(|| ReadError::Unfit(format!("its spec.{field} is not a count"))),
        };
        let ceiling = bound(upper)?.or(most);
        let ceiling = ceiling.ok_or_else(|| ReadError::Unfit(format!("it has no spec.{upper}")))?;
        Ok((bound(lower)?.unwrap_or(least), ceiling))
    }

    /// How far the scaled object is: never a source of bounds, but of what one replica can do.
    async fn progress(&self, object: &DynamicObject) -> Result<Progress, ReadError> {
        let (api_version, kind, name) = (self.shape.target)(object)
            .ok_or_else(|| ReadError::Unfit("it has no spec.scaleTargetRef".to_owned()))?;
        let scaled = Scaled { namespace: &self.namespace, api_version, kind, name };
        let look = async {
            let api = self.resources.api(&self.client, scaled).await?;
            let object = api.get_opt(name).await?.ok_or(ReadError::NotFound)?;
            scaled.measure(&api, &object).await
        };
        match look.await {
            Ok((_, progress)) => Ok(progress),
            Err(error) => Err(ReadError::Unreadable(format!("what it scales, {scaled}: {error}"))),
        }
    }

    fn standing(&self, object: &DynamicObject, now: Timestamp) -> Standing {
        let meta = &object.metadata;
        let of = |field: &str, claimed| {
            standing(&format!(".spec.{field}"), &owners(meta, &["spec", field]), claimed, now)
        };
        let ours = we_own(meta, "Apply", &["metadata", "annotations", POLICY]);
        let bounds = of(self.shape.lower.0, ours).and(of(self.shape.upper.0, ours));
        if self.metric.is_none() {
            return bounds;
        }
        bounds.and(of("metrics", we_own(meta, "Update", &["metadata", "annotations", METRIC])))
    }

    async fn write(&self, change: &Change, fence: &Fence) -> Result<(), ActuateError> {
        let (api, seen) = (&self.api(), self.seen.at(fence));
        // Left out, a field of ours would be deleted.
        let ceiling = change.ceiling.or_else(|| seen.asked(self.shape.upper.0));
        let ceiling = ceiling
            .ok_or_else(|| ActuateError::Failed { problem: "there is no upper bound to write".to_owned() })?;
        let apply = |fence| self.apply_bounds(api, (change.replicas, ceiling), fence, seen.adopt);
        let metric = self.metric.as_deref().zip(change.metric_target).map(plain).transpose()?;
        let object = seen.write(api, &self.name, apply).await?;
        let Some((name, value)) = metric else { return Ok(()) };
        let target = MetricTarget::find(&object, name).map_err(|error| unreadable(&error))?;
        if quantity::write(target.value).as_deref() == Some(&value) {
            return Ok(());
        }
        let seen = Sighting::of(&object, true, None).ok_or(ActuateError::Conflict)?;
        let metrics = &target.set(&object, &value);
        let mark = &format!("{name}={value}");
        seen.write(api, &self.name, |fence| self.patch_metrics(api, metrics, mark, fence)).await
    }

    async fn apply_bounds(
        &self,
        api: &Api<DynamicObject>,
        (lower, upper): (Replicas, Replicas),
        fence: Fence,
        adopt: bool,
    ) -> Result<DynamicObject, ActuateError> {
        let resource = (self.shape.resource)();
        let patch = json!({
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": {
                "name": self.name,
                "namespace": self.namespace,
                "uid": fence.uid,
                "resourceVersion": fence.resource_version,
                "annotations": { POLICY: self.policy },
            },
            "spec": { self.shape.lower.0: lower, self.shape.upper.0: upper },
        });
        let params = PatchParams { force: adopt, ..PatchParams::apply(MANAGER) };
        api.patch(&self.name, &params, &Patch::Apply(&patch)).await.map_err(|error| refusal(&error))
    }

    async fn patch_metrics(
        &self,
        api: &Api<DynamicObject>,
        metrics: &Value,
        mark: &str,
        fence: Fence,
    ) -> Result<(), ActuateError> {
        let patch = json!({
            "metadata": {
                "uid": fence.uid,
                "resourceVersion": fence.resource_version,
                "annotations": { METRIC: mark },
            },
            "spec": { "metrics": metrics },
        });
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let written = api.patch(&self.name, &params, &Patch::Merge(&patch)).await;
        written.map(drop).map_err(|error| refusal(&error))
    }
}

/// A metric's name with its target as it is written.
fn plain((name, value): (&str, f64)) -> Result<(&str, String), ActuateError> {
    let text = quantity::write(value);
    let text =
        text.ok_or_else(|| ActuateError::Failed { problem: format!("{value} is no target for a metric") })?;
    Ok((name, text))
}

impl Actuator for BoundsActuator {
    fn observe(&self, now: Timestamp) -> BoxFuture<'_, TargetReading> {
        let resource = (self.shape.resource)();
        Box::pin(async move {
            let what = Scaled {
                namespace: &self.namespace,
                api_version: &resource.api_version,
                kind: &resource.kind,
                name: &self.name,
            };
            reading::look(now, what, self.read(now)).await
        })
    }

    fn apply<'a>(&'a self, change: &'a Change, fence: &'a Fence) -> BoxFuture<'a, Result<(), ActuateError>> {
        Box::pin(self.write(change, fence))
    }
}
