//! SHIM, to be replaced by the actuators room's own: every target is missing.

use std::sync::Arc;

use futures::future::BoxFuture;
use jiff::Timestamp;

use super::{ActuateError, Actuator};
use crate::engine::Change;
use crate::engine::observation::{Fence, Quality, TargetReading};
use crate::policy::Policy;

struct Nothing;

impl Actuator for Nothing {
    fn observe(&self, now: Timestamp) -> BoxFuture<'_, TargetReading> {
        let reading = TargetReading {
            sampled_at: now,
            quality: Quality::Missing,
            current: None,
            ceiling: None,
            metric_target: None,
            ready: None,
            settled: false,
            hold: None,
            problem: Some("actuators are not there yet".into()),
            fence: None,
        };
        Box::pin(async move { reading })
    }

    fn apply<'a>(&'a self, _: &'a Change, _: &'a Fence) -> BoxFuture<'a, Result<(), ActuateError>> {
        Box::pin(async { Err(ActuateError::Conflict) })
    }
}

/// Nothing.
pub fn for_policy(_: &kube::Client, _: &Policy) -> Arc<dyn Actuator> {
    Arc::new(Nothing)
}
