//! Workers of a SparkCluster (Apache operator).
//!
//! The operator makes a cluster's StatefulSet, and its HPA where minWorkers is below maxWorkers, once, and looks at
//! neither again: `spec.clusterTolerations` of a running cluster changes nothing. So the HPA's bounds are moved where it
//! has one, and the StatefulSet's replicas where it has none.

use std::sync::{Mutex, PoisonError};

use futures::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::api::{ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::Value;

use super::workers::Workers;
use crate::actuators::api::ReadError;
use crate::actuators::bounds::BoundsActuator;
use crate::actuators::owners::Tenure;
use crate::actuators::scaled::Scaled;
use crate::actuators::{ActuateError, Actuator, reading};
use crate::engine::Change;
use crate::engine::observation::{Fence, TargetHold, TargetReading};
use crate::policy::target::SparkClusterTarget;

/// Moves a cluster's workers.
#[derive(Debug)]
pub(in crate::actuators) struct Cluster {
    client: ClientOf,
    namespace: String,
    target: SparkClusterTarget,
    hpa: BoundsActuator,
    workers: Workers,
    by: Mutex<By>,
}

/// A client, which says nothing of itself.
struct ClientOf(Client);

impl std::fmt::Debug for ClientOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

/// What says how many workers there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Hpa,
    StatefulSet,
    /// Nothing that may be moved now.
    Nobody,
}

/// What the operator calls a cluster's workers, and their HPA.
pub(in crate::actuators) fn children(cluster: &str) -> (String, String) {
    (format!("{cluster}-worker"), format!("{cluster}-worker-hpa"))
}

impl Cluster {
    pub(in crate::actuators) fn new(
        client: &Client,
        namespace: &str,
        target: &SparkClusterTarget,
        hpa: BoundsActuator,
        workers: Workers,
    ) -> Self {
        let (client, namespace) = (ClientOf(client.clone()), namespace.to_owned());
        Self { client, namespace, target: target.clone(), hpa, workers, by: Mutex::new(By::Nobody) }
    }

    fn by(&self) -> By {
        *self.by.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn goes_by(&self, by: By) {
        *self.by.lock().unwrap_or_else(PoisonError::into_inner) = by;
    }

    fn what(&self) -> Scaled<'_> {
        let api_version = self.target.api_version.into();
        Scaled { namespace: &self.namespace, api_version, kind: "SparkCluster", name: &self.target.name }
    }

    async fn read(&self, now: Timestamp) -> Result<TargetReading, ReadError> {
        self.goes_by(By::Nobody);
        let (client, namespace) = (self.client.0.clone(), &self.namespace);
        let (group, version) = self.what().api_version.split_once('/').unwrap_or_default();
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, "SparkCluster"));
        let clusters: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
        let cluster = clusters.get_opt(&self.target.name).await?.ok_or(ReadError::NotFound)?;
        let starting = state(&cluster).map_err(ReadError::Unfit)?;
        let hpas: Api<HorizontalPodAutoscaler> = Api::namespaced(client, namespace);
        let hpa = hpas.get_opt(&children(&self.target.name).1).await?;
        let mut reading = if hpa.is_some() {
            self.goes_by(By::Hpa);
            self.hpa.observe(now).await
        } else {
            self.goes_by(By::StatefulSet);
            self.workers.observe(now).await
        };
        reading.hold = reading.hold.or(starting);
        Ok(reading)
    }
}

/// Whether it is only starting; or why it is left alone.
fn state(cluster: &DynamicObject) -> Result<Option<TargetHold>, String> {
    let state = cluster.data.pointer("/status/currentState/currentStateSummary").and_then(Value::as_str);
    match state {
        Some("RunningHealthy") => Ok(None),
        None | Some("Submitted") => {
            let what = "its operator has not made its workers yet".to_owned();
            Ok(Some(TargetHold::Unsettled { what }))
        }
        Some(state) => Err(format!("it is {state}: its operator gives it no workers any more")),
    }
}

impl Actuator for Cluster {
    fn observe(&self, now: Timestamp) -> BoxFuture<'_, TargetReading> {
        Box::pin(reading::look(now, self.what(), self.read(now)))
    }

    fn apply<'a>(&'a self, change: &'a Change, fence: &'a Fence) -> BoxFuture<'a, Result<(), ActuateError>> {
        match self.by() {
            By::Hpa => self.hpa.apply(change, fence),
            By::StatefulSet => self.workers.apply(change, fence),
            By::Nobody => {
                let problem = "it is not known what keeps its workers".to_owned();
                Box::pin(std::future::ready(Err(ActuateError::Failed { problem })))
            }
        }
    }

    fn tenure(&self) -> Tenure {
        self.workers.tenure()
    }

    fn tend(&self, now: Timestamp) -> BoxFuture<'_, Result<(), ActuateError>> {
        match self.by() {
            By::StatefulSet => self.workers.tend(now),
            By::Hpa | By::Nobody => Box::pin(std::future::ready(Ok(()))),
        }
    }

    fn rung(&self) -> Option<String> {
        let (_, hpa) = children(&self.target.name);
        match self.by() {
            By::Hpa => Some(format!(
                "rung workers: bounds of the HorizontalPodAutoscaler {hpa}, which takes workers away without \
                 decommissioning them: set minWorkers to maxWorkers when the cluster is made, and it has none"
            )),
            By::StatefulSet => self.workers.rung(),
            By::Nobody => None,
        }
    }

    fn plan(&self, change: &Change) -> Option<String> {
        let (_, hpa) = children(&self.target.name);
        match self.by() {
            By::Hpa => {
                let ceiling =
                    change.ceiling.map_or_else(String::new, |most| format!(",\"maxReplicas\":{most}"));
                let patch = format!("{{\"spec\":{{\"minReplicas\":{}{ceiling}}}}}", change.replicas);
                Some(format!("kubectl patch hpa {hpa} --type merge -p '{patch}'"))
            }
            By::StatefulSet => self.workers.plan(change),
            By::Nobody => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_healthy_cluster_is_moved() {
        let of = |told: Option<&str>| {
            let status = told.map(|told| json!({"currentState": {"currentStateSummary": told}}));
            let object = json!({"metadata": {"name": "a"}, "status": status});
            state(&serde_json::from_value(object).unwrap())
        };
        assert_eq!(of(Some("RunningHealthy")), Ok(None));
        for starting in [None, Some("Submitted")] {
            assert!(matches!(of(starting), Ok(Some(TargetHold::Unsettled { .. }))));
        }
        for ended in ["SchedulingFailure", "Failed", "ResourceReleased"] {
            let why = format!("it is {ended}: its operator gives it no workers any more");
            assert_eq!(of(Some(ended)), Err(why));
        }
    }
}
