//! KEDA's `ScaledObjects` (keda.sh/v1alpha1): `minReplicaCount` and `maxReplicaCount`.

use kube::api::{DynamicObject, ListParams};
use kube::{Api, Client, ResourceExt as _};

use super::ActuateError;
use super::api::{is_not_found, refusal};
use super::bounds::{BoundsActuator, Shape};
use super::rivals::{scaled_objects, target_of};
use crate::policy::target::ScaledObjectTarget;
use crate::policy::{Replicas, WorkloadId};

/// What all of KEDA's annotations that pause scaling begin with.
const PAUSED: &str = "autoscaling.keda.sh/paused";

/// An actuator for the bounds of the ScaledObject that `policy` names. Asks nothing yet.
pub fn actuator(client: &Client, policy: &WorkloadId, target: &ScaledObjectTarget) -> BoundsActuator {
    let shape = Shape {
        resource: scaled_objects,
        lower: ("minReplicaCount", Replicas(0)),
        upper: ("maxReplicaCount", Some(Replicas(100))),
        hold: paused,
        target: target_of,
    };
    BoundsActuator::new(client, policy, &target.name, None, shape)
}

/// All `ScaledObjects` of a namespace, or of the cluster. Only reads.
pub async fn list(client: &Client, namespace: Option<&str>) -> Result<Vec<DynamicObject>, ActuateError> {
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &scaled_objects()),
        None => Api::all_with(client.clone(), &scaled_objects()),
    };
    match api.list(&ListParams::default()).await {
        Ok(all) => Ok(all.items),
        Err(error) if is_not_found(&error) => Err(ActuateError::Failed {
            problem: "the cluster serves no ScaledObjects: KEDA is not there".to_owned(),
        }),
        Err(error) => Err(refusal(&error)),
    }
}

/// Somebody has taken the workload out of KEDA's hands for now: its bounds are not ours to move either.
fn paused(object: &DynamicObject) -> Option<String> {
    let by =
        object.annotations().iter().find(|(name, value)| name.starts_with(PAUSED) && *value != "false")?;
    Some(format!("the annotation {}={} (remove it to go on)", by.0, by.1))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case("autoscaling.keda.sh/paused", "true", true)]
    #[case("autoscaling.keda.sh/paused", "false", false)]
    #[case("autoscaling.keda.sh/paused-replicas", "0", true)]
    #[case("autoscaling.keda.sh/paused-scale-in", "true", true)]
    #[case("autoscaling.keda.sh/force-activation", "true", false)]
    fn a_pause_is_respected(#[case] name: &str, #[case] value: &str, #[case] holds: bool) {
        let object =
            serde_json::from_value(json!({ "metadata": { "annotations": { (name): value } } })).unwrap();
        let expected = holds.then(|| format!("the annotation {name}={value} (remove it to go on)"));
        assert_eq!(paused(&object), expected);
    }
}
