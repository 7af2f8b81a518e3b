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
pub mod spark;

use std::sync::Arc;

use futures::future::BoxFuture;
use jiff::Timestamp;

use self::rivals::Rivals;
use crate::engine::Change;
use crate::engine::observation::{Fence, TargetReading};
use crate::policy::target::{ScaleTargetRef, ScheduledSparkTarget, SparkTarget, TargetSpec};
use crate::policy::{Policy, TimeSpan};

/// One policy's target.
pub trait Actuator: Send + Sync {
    /// Reads the target. Never fails: what goes wrong is a reading with a lesser quality and a problem
    /// in words.
    fn observe(&self, now: Timestamp) -> BoxFuture<'_, TargetReading>;

    /// Writes `change` if the object still is exactly the one that `fence` was read from.
    fn apply<'a>(&'a self, change: &'a Change, fence: &'a Fence) -> BoxFuture<'a, Result<(), ActuateError>>;

    /// What exactly would be written for `change` to what was read last, and when it would take effect, for
    /// targets where that is not plain.
    fn plan(&self, _change: &Change) -> Option<String> {
        None
    }
}

/// Makes actuators. Those of one maker share what they see of other autoscalers: make one per cluster.
#[derive(Clone)]
pub struct Actuators {
    client: kube::Client,
    rivals: Arc<Rivals>,
}

impl std::fmt::Debug for Actuators {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Actuators").finish_non_exhaustive()
    }
}

impl Actuators {
    /// Actuators for the targets in one cluster. Asks nothing yet.
    pub fn new(client: kube::Client) -> Self {
        Self { rivals: Arc::new(Rivals::new(client.clone())), client }
    }

    /// The actuator of a policy's target. Asks nothing yet.
    ///
    /// It knows who took a target's replicas from us, so keep it for as long as the policy names that
    /// target: with a new one, whoever changed them last is taken over at once.
    pub fn for_policy(&self, policy: &Policy) -> Arc<dyn Actuator> {
        match &policy.target {
            TargetSpec::ScaleTargetRef(target) => {
                Arc::new(self.for_scale(policy.id.namespace.clone(), target.clone(), policy.rules.interval))
            }
            TargetSpec::HorizontalPodAutoscaler(target) => {
                Arc::new(hpa::actuator(&self.client, &policy.id, target))
            }
            TargetSpec::ScaledObject(target) => {
                Arc::new(scaled_object::actuator(&self.client, &policy.id, target))
            }
            TargetSpec::ScheduledSparkApplication(ScheduledSparkTarget { name, .. }) => {
                Arc::new(self.for_spark(policy, spark::Kind::Scheduled, name))
            }
            TargetSpec::SparkApplication(SparkTarget { name }) => {
                Arc::new(self.for_spark(policy, spark::Kind::Application, name))
            }
        }
    }

    fn for_spark(&self, policy: &Policy, kind: spark::Kind, name: &str) -> spark::SparkBounds {
        spark::SparkBounds::new(&self.client, &policy.id, kind, name, policy.target.is_advisory())
    }

    /// The actuator of anything with a scale sub-resource that is looked at once per `interval`.
    pub fn for_scale(
        &self,
        namespace: String,
        target: ScaleTargetRef,
        interval: TimeSpan,
    ) -> scale::ScaleActuator {
        scale::ScaleActuator::new(Arc::clone(&self.rivals), namespace, target, interval)
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
