//! The object whose replicas are moved, by us or by the autoscaler whose bounds we move.

use std::sync::{Mutex, PoisonError};

use kube::api::{ApiResource, DynamicObject};
use kube::{Api, Client};

use super::api::{self, ReadError};
use super::progress::{Progress, progress, spec_replicas};
use crate::policy::Replicas;

/// An object, as autoscalers name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scaled<'a> {
    pub(super) namespace: &'a str,
    pub(super) api_version: &'a str,
    pub(super) kind: &'a str,
    pub(super) name: &'a str,
}

impl std::fmt::Display for Scaled<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

impl Scaled<'_> {
    /// Whether this is what an autoscaler names. Versions do not matter: `apps/v1` and `apps/v2` would be
    /// the same object.
    pub(super) fn is(&self, api_version: Option<&str>, kind: &str, name: &str) -> bool {
        let group_fits = api_version.is_none_or(|version| group(version) == group(self.api_version));
        group_fits && kind == self.kind && name == self.name
    }

    /// Kinds that we know how to read without their scale sub-resource.
    fn is_well_known(&self) -> bool {
        group(self.api_version) == "apps" && matches!(self.kind, "Deployment" | "StatefulSet")
    }

    /// The replicas asked for, and how far `object` is. Only well-known kinds tell where they keep these
    /// numbers; all others are asked through their scale sub-resource, which knows.
    pub(super) async fn measure(
        &self,
        api: &Api<DynamicObject>,
        object: &DynamicObject,
    ) -> Result<(Replicas, Progress), ReadError> {
        if self.is_well_known() {
            let asked = spec_replicas(object);
            let asked = asked.ok_or_else(|| ReadError::Unfit("it has no spec.replicas".to_owned()))?;
            return Ok((asked, progress(object, self.kind, None, None)));
        }
        let scale = api.get_scale(self.name).await?;
        // The API server leaves zeros out here, and answers with an error where there is no value.
        let asked = replicas(scale.spec.and_then(|spec| spec.replicas).unwrap_or(0))?;
        let present = scale.status.map(|status| replicas(status.replicas)).transpose()?;
        Ok((asked, progress(object, "", Some(asked), present)))
    }
}

/// The API group of an API version.
pub(super) fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

fn replicas(count: i32) -> Result<Replicas, ReadError> {
    let count = u32::try_from(count);
    count.map(Replicas).map_err(|_| ReadError::Unfit("its scale has a negative count".to_owned()))
}

/// Finds the resource of a kind and remembers it: what an API server calls a kind does not change.
#[derive(Debug, Default)]
pub(super) struct Resources(Mutex<Option<ApiResource>>);

impl Resources {
    /// Access to all objects of the kind of `scaled`.
    pub(super) async fn api(
        &self,
        client: &Client,
        scaled: Scaled<'_>,
    ) -> Result<Api<DynamicObject>, ReadError> {
        let resource = match self.known(scaled) {
            Some(resource) => resource,
            None => self.locate(client, scaled).await?,
        };
        Ok(Api::namespaced_with(client.clone(), scaled.namespace, &resource))
    }

    fn known(&self, scaled: Scaled<'_>) -> Option<ApiResource> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.clone().filter(|known| known.api_version == scaled.api_version && known.kind == scaled.kind)
    }

    async fn locate(&self, client: &Client, scaled: Scaled<'_>) -> Result<ApiResource, ReadError> {
        let Scaled { api_version, kind, .. } = scaled;
        let (resource, can) = api::locate(client, api_version, kind).await?;
        if !can.subresources.iter().any(|(sub, _)| sub.plural == "scale") {
            return Err(ReadError::Unfit(format!("{kind} of {api_version} has no scale sub-resource")));
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(resource.clone());
        Ok(resource)
    }
}
