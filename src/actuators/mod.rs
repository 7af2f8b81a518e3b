//! Where decisions go. An actuator reads its target and writes a decision to it, fenced.

mod api;
pub mod bounds;
pub mod hpa;
pub mod owners;
pub mod progress;
pub mod quantity;
mod reading;
mod rivals;
pub mod scale;
mod scaled;
pub mod scaled_object;
mod sighting;

use std::sync::Arc;

use futures::future::BoxFuture;
use jiff::Timestamp;

use crate::engine::Change;
use crate::engine::observation::{Fence, TargetReading};
use crate::policy::Policy;
use crate::policy::target::TargetSpec;

/// One policy's target.
pub trait Actuator: Send + Sync {
    /// Reads the target. Never fails: what goes wrong is a reading with a lesser quality and a problem
    /// in words.
    fn observe(&self, now: Timestamp) -> BoxFuture<'_, TargetReading>;

    /// Writes `change` if the object still is exactly the one that `fence` was read from.
    fn apply<'a>(&'a self, change: &'a Change, fence: &'a Fence) -> BoxFuture<'a, Result<(), ActuateError>>;
}

/// The actuator of a policy's target. Asks nothing yet.
///
/// A policy that changes gets a new actuator, which also makes it forget who took a target's replicas
/// from us: editing a policy renews the consent.
pub fn for_policy(client: &kube::Client, policy: &Policy) -> Arc<dyn Actuator> {
    match &policy.target {
        TargetSpec::ScaleTargetRef(target) => {
            Arc::new(scale::ScaleActuator::new(client.clone(), policy.id.namespace.clone(), target.clone()))
        }
        TargetSpec::HorizontalPodAutoscaler(target) => Arc::new(hpa::actuator(client, &policy.id, target)),
        TargetSpec::ScaledObject(target) => Arc::new(scaled_object::actuator(client, &policy.id, target)),
    }
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
