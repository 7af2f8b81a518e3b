//! What was last seen of a target: lets a write pass that only a change of status stands against.

use std::sync::{Mutex, PoisonError};

use kube::api::DynamicObject;
use serde_json::Value;

use crate::engine::observation::Fence;

/// The share of an object that a decision was made on. Autoscalers and controllers write its status all
/// the time; that alone does not make a decision stale.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sighting {
    fence: Fence,
    spec: Option<Value>,
    /// May we take fields from other managers?
    pub(super) adopt: bool,
}

impl Sighting {
    pub(super) fn of(object: &DynamicObject, adopt: bool) -> Option<Self> {
        Some(Self { fence: fence(object)?, spec: object.data.get("spec").cloned(), adopt })
    }

    /// The version to write at, where `fresh` differs in nothing that matters.
    pub(super) fn renewed(&self, fresh: &DynamicObject) -> Option<Fence> {
        let now = fence(fresh)?;
        (now.uid == self.fence.uid && fresh.data.get("spec") == self.spec.as_ref()).then_some(now)
    }
}

/// The last sighting of one target.
#[derive(Debug, Default)]
pub(super) struct LastSeen(Mutex<Option<Sighting>>);

impl LastSeen {
    pub(super) fn set(&self, sighting: Option<Sighting>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = sighting;
    }

    /// The sighting that `fence` belongs to.
    pub(super) fn at(&self, fence: &Fence) -> Option<Sighting> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.clone().filter(|sighting| sighting.fence == *fence)
    }
}

pub(super) fn fence(object: &DynamicObject) -> Option<Fence> {
    Some(Fence {
        uid: object.metadata.uid.clone()?,
        resource_version: object.metadata.resource_version.clone()?,
    })
}
