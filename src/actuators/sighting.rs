//! What was last seen of a target: lets a write pass that only a change of status stands against.

use std::future::Future;
use std::sync::{Mutex, PoisonError};

use kube::Api;
use kube::api::DynamicObject;
use serde_json::Value;

use super::ActuateError;
use super::api::refusal;
use super::progress::number;
use crate::engine::observation::{Fence, TargetHold};
use crate::policy::Replicas;

/// A status may be written again while we look at what the last write of it changed.
const TRIES: usize = 3;

/// The share of an object that a decision was made on. Autoscalers and controllers write its status all
/// the time; that alone does not make a decision stale.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sighting {
    fence: Fence,
    spec: Option<Value>,
    /// May we take fields from other managers?
    pub(super) adopt: bool,
    /// Who moves it instead of us.
    owner: Option<String>,
}

impl Sighting {
    pub(super) fn of(object: &DynamicObject, adopt: bool, hold: Option<&TargetHold>) -> Option<Self> {
        let owner = match hold {
            Some(TargetHold::Owned { owner }) => Some(owner.clone()),
            Some(
                TargetHold::RollingOut
                | TargetHold::NotFound
                | TargetHold::Unfit { .. }
                | TargetHold::Unsettled { .. },
            )
            | None => None,
        };
        Some(Self { fence: fence(object)?, spec: object.data.get("spec").cloned(), adopt, owner })
    }

    /// The count that `spec` asked for in a field.
    pub(super) fn asked(&self, field: &str) -> Option<Replicas> {
        number(self.spec.as_ref()?, &format!("/{field}"))
    }

    /// The version to write at, where `fresh` differs in nothing that matters.
    fn renewed(&self, fresh: &DynamicObject) -> Option<Fence> {
        let now = fence(fresh)?;
        (now.uid == self.fence.uid && fresh.data.get("spec") == self.spec.as_ref()).then_some(now)
    }

    /// Writes at this sighting's version, and at a newer one as long as the object still asks for the
    /// same. Not at all where somebody else moves it. `write` must carry the fence that it is given.
    pub(super) async fn write<T, F: Future<Output = Result<T, ActuateError>> + Send>(
        &self,
        api: &Api<DynamicObject>,
        name: &str,
        write: impl Fn(Fence) -> F + Send,
    ) -> Result<T, ActuateError> {
        if let Some(owner) = self.owner.clone() {
            return Err(ActuateError::Owned { owner, field: name.to_owned() });
        }
        let mut fence = self.fence.clone();
        for _ in 1..TRIES {
            match write(fence).await {
                Err(ActuateError::Conflict) => {}
                done => return done,
            }
            let fresh = api.get_opt(name).await.map_err(|error| refusal(&error))?;
            fence = fresh.and_then(|fresh| self.renewed(&fresh)).ok_or(ActuateError::Conflict)?;
        }
        write(fence).await
    }
}

/// The last sighting of one target.
#[derive(Debug, Default)]
pub(super) struct LastSeen(Mutex<Option<Sighting>>);

impl LastSeen {
    pub(super) fn set(&self, sighting: Option<Sighting>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = sighting;
    }

    /// The version that was seen.
    pub(super) fn last(&self) -> Option<Fence> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().map(|sighting| sighting.fence.clone())
    }

    /// The sighting that `fence` belongs to. For any other version nothing is known but the version
    /// itself, and nobody's fields may be taken.
    pub(super) fn at(&self, fence: &Fence) -> Sighting {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = last.clone().filter(|sighting| sighting.fence == *fence);
        seen.unwrap_or_else(|| Sighting { fence: fence.clone(), spec: None, adopt: false, owner: None })
    }
}

/// The identity and version of an object.
pub(super) fn fence(object: &DynamicObject) -> Option<Fence> {
    Some(Fence {
        uid: object.metadata.uid.clone()?,
        resource_version: object.metadata.resource_version.clone()?,
    })
}
