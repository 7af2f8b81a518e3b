//! The real sources and targets of a policy.

use std::sync::Arc;

use futures::future::BoxFuture;
use jiff::Timestamp;
use kube::Client;

use super::fleet::Equip;
use super::reload::chain;
use crate::actuators::owners::Tenure;
use crate::actuators::{Actuator, Actuators};
use crate::engine::observation::SourceReading;
use crate::policy::source::SourceSpec;
use crate::policy::{Policy, TimeSpan};
use crate::sources::{self, Connections, Source};

/// Sources by the settings' connections, targets by the Kubernetes API.
#[derive(Clone)]
pub struct Real {
    /// The cluster.
    pub client: Client,
    /// The cluster's targets.
    pub targets: Actuators,
    /// The settings' connections.
    pub connections: Arc<Connections>,
}

impl std::fmt::Debug for Real {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Real").field("connections", &self.connections).finish_non_exhaustive()
    }
}

impl Equip for Real {
    fn sources(&self, policy: &Policy) -> Vec<Arc<dyn Source>> {
        let window = policy.rules.window();
        let source = |spec: &SourceSpec| match self.connections.source_of(policy, spec) {
            Ok(source) => source,
            Err(error) => Arc::new(Broken { spec: spec.clone(), window, problem: chain(&error) }),
        };
        policy.sources.iter().map(source).collect()
    }

    fn target(&self, policy: &Policy, tenure: Tenure) -> Arc<dyn Actuator> {
        self.targets.for_policy(policy, tenure)
    }
}

/// A source that cannot be had: its readings say why.
struct Broken {
    spec: SourceSpec,
    window: TimeSpan,
    problem: String,
}

impl Source for Broken {
    fn observe(&self, now: Timestamp) -> BoxFuture<'_, SourceReading> {
        let reading = sources::missing(&self.spec, self.window, now, &self.problem);
        Box::pin(async move { reading })
    }
}
