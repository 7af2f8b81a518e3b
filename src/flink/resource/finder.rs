//! Where an object of the operator is read, and how its JobManager is reached.

use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};

use super::Resource;
use crate::flink::FlinkError;
use crate::policy::source::FlinkKind;
use crate::words;

const GROUP: &str = "flink.apache.org";
const VERSION: &str = "v1beta1";
/// The port of a JobManager's Service unless `rest.port` says otherwise.
const PORT: &str = "8081";

/// One object of the operator.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finder {
    pub(crate) kind: FlinkKind,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// All objects of a kind of the operator in a namespace.
pub(crate) fn api(client: &Client, namespace: &str, kind: &str) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(GROUP, VERSION, kind));
    Api::namespaced_with(client.clone(), namespace, &resource)
}

impl std::fmt::Display for Finder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

impl Finder {
    /// Reads the object and what belongs to it.
    pub(crate) async fn find(&self, client: &Client) -> Result<Resource, FlinkError> {
        let object = self.get(client, self.kind, &self.name).await?;
        let object = object.ok_or(FlinkError::NoSuchResource)?;
        let cluster = match self.kind {
            FlinkKind::FlinkDeployment => None,
            FlinkKind::FlinkSessionJob => match super::text(&object, "/spec/deploymentName") {
                Some(name) => self.get(client, FlinkKind::FlinkDeployment, name).await?,
                None => None,
            },
        };
        let snapshots = api(client, &self.namespace, "FlinkStateSnapshot").list(&ListParams::default()).await;
        let snapshots = match snapshots {
            Ok(all) => all.items,
            // Older operators have none.
            Err(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
            Err(error) => return Err(unreadable(&error)),
        };
        Ok(Resource { kind: self.kind, object, cluster, snapshots })
    }

    async fn get(
        &self,
        client: &Client,
        kind: FlinkKind,
        name: &str,
    ) -> Result<Option<DynamicObject>, FlinkError> {
        api(client, &self.namespace, kind.into()).get_opt(name).await.map_err(|error| unreadable(&error))
    }

    /// The address of the JobManager's Service, as the operator names it.
    pub(crate) fn address(&self, resource: &Resource) -> Option<String> {
        let name = resource.cluster_name()?;
        let port = resource.option("rest.port").filter(|port| port.parse::<u16>().is_ok());
        let port = port.unwrap_or_else(|| PORT.to_owned());
        Some(format!("http://{name}-rest.{}:{port}", self.namespace))
    }
}

fn unreadable(error: &kube::Error) -> FlinkError {
    FlinkError::Unreachable(words::of_kube(error))
}
