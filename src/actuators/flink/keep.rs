//! What is written into the operator's object, ours by server-side apply: one flat key of `spec.flinkConfiguration`,
//! which a job is deployed with, or the number of TaskManagers.

use jiff::Timestamp;
use kube::Client;
use kube::api::{Patch, PatchParams};
use serde_json::{Map, Value, json};

use crate::actuators::ActuateError;
use crate::actuators::api::refusal;
use crate::actuators::owners::{self, MANAGER, Standing, owners, we_own};
use crate::flink::{FlinkError, JobWatch, OVERRIDES, Overrides, Resource, api, spelt_overrides};
use crate::policy::Replicas;

/// The operator may write the status again while we look at what its last write changed.
const TRIES: usize = 4;

/// The overrides' key, as a path.
pub(super) const FIELD: [&str; 3] = ["spec", "flinkConfiguration", OVERRIDES];
/// Where the number of TaskManagers stands.
pub(super) const TASKMANAGERS: [&str; 3] = ["spec", "taskManager", "replicas"];

/// What an object is to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wish {
    Overrides(Overrides),
    TaskManagers(Replicas),
}

impl Wish {
    fn field(&self) -> &'static [&'static str] {
        match self {
            Self::Overrides(_) => &FIELD,
            Self::TaskManagers(_) => &TASKMANAGERS,
        }
    }

    /// The spec's share that is written, with what else of it is ours: what an apply leaves out is deleted.
    fn spec(&self, resource: &Resource) -> Value {
        let meta = &resource.object.metadata;
        let (overrides, count) = match self {
            Self::Overrides(overrides) => {
                let count = resource.taskmanagers().filter(|_| we_own(meta, "Apply", &TASKMANAGERS));
                (overrides.clone(), count)
            }
            Self::TaskManagers(count) => (ours(resource), Some(*count)),
        };
        let mut spec = Map::new();
        if !overrides.is_empty() {
            let options = json!({ OVERRIDES: spelt_overrides(&overrides) });
            spec.insert("flinkConfiguration".to_owned(), options);
        }
        if let Some(count) = count {
            spec.insert("taskManager".to_owned(), json!({ "replicas": count }));
        }
        Value::Object(spec)
    }

    /// Whether the object says so already, by us.
    fn is_met(&self, resource: &Resource) -> bool {
        let says = match self {
            Self::Overrides(overrides) => resource.overrides() == *overrides,
            Self::TaskManagers(count) => resource.taskmanagers() == Some(*count),
        };
        says && we_own(&resource.object.metadata, "Apply", self.field())
    }
}

/// Writes the operator's objects of a namespace.
pub struct Keeper {
    client: Client,
    namespace: String,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Keeper").field(&self.namespace).finish()
    }
}

/// Who else states a field.
pub(super) fn standing(resource: &Resource, field: &[&str], now: Timestamp) -> Standing {
    let meta = &resource.object.metadata;
    let claimed = we_own(meta, "Apply", field);
    owners::standing(&format!(".{}", field.join(".")), &owners(meta, field), claimed, now)
}

/// What the object keeps, if we wrote it.
pub(super) fn ours(resource: &Resource) -> Overrides {
    if we_own(&resource.object.metadata, "Apply", &FIELD) { resource.overrides() } else { Overrides::new() }
}

impl Keeper {
    pub(in crate::actuators) fn new(client: Client, namespace: &str) -> Self {
        Self { client, namespace: namespace.to_owned() }
    }

    /// Writes into the object of a job, at the version that it has now, as long as its identity and spec are those
    /// that `seen` names, where anything is. Nothing where it says so already.
    pub(super) async fn keep(
        &self,
        job: &JobWatch,
        wish: &Wish,
        seen: Option<&str>,
    ) -> Result<(), ActuateError> {
        let mut last = Err(ActuateError::Conflict);
        for _ in 0..TRIES {
            let failed = |error: FlinkError| ActuateError::Failed { problem: error.to_string() };
            let Some(resource) = job.fresh_resource().await.map_err(failed)? else { return Ok(()) };
            if wish.is_met(&resource) {
                return Ok(());
            }
            if seen.is_some_and(|seen| resource.version().as_deref() != Some(seen)) {
                return Err(ActuateError::Conflict);
            }
            last = self.apply(&resource, wish).await;
            if last != Err(ActuateError::Conflict) {
                break;
            }
        }
        last
    }

    async fn apply(&self, resource: &Resource, wish: &Wish) -> Result<(), ActuateError> {
        let (meta, kind) = (&resource.object.metadata, resource.kind);
        let name = meta.name.as_deref().unwrap_or_default();
        let api = api(&self.client, &self.namespace, kind.into());
        let patch = json!({
            "apiVersion": "flink.apache.org/v1beta1",
            "kind": kind,
            "metadata": {
                "name": name,
                "namespace": self.namespace,
                "uid": meta.uid,
                "resourceVersion": meta.resource_version,
            },
            "spec": wish.spec(resource),
        });
        // The policy names the object: whoever once wrote the field by hand has handed it over.
        let others = owners(meta, wish.field()).iter().any(|owner| !owner.is_us() && owner.applies);
        let params = PatchParams { force: !others, ..PatchParams::apply(MANAGER) };
        let written = api.patch(name, &params, &Patch::Apply(&patch)).await;
        written.map(drop).map_err(|error| refusal(&error))
    }
}
