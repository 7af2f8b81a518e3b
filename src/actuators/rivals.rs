//! Other autoscalers of the same object: HPAs and KEDA's `ScaledObjects`, listed once per namespace for
//! all targets in it, so that a turn costs the API server little more than reading its own target.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client, Error, ResourceExt as _};
use serde_json::Value;

use super::api::{ReadError, words};
use super::scaled::Scaled;
use crate::policy::TimeSpan;

/// KEDA's API group.
pub(super) const KEDA: &str = "keda.sh";

/// KEDA's label on what it creates.
pub(super) const KEDA_LABEL: &str = "scaledobject.keda.sh/name";

/// The resource of KEDA's `ScaledObjects`.
pub(super) fn scaled_objects() -> ApiResource {
    ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk(KEDA, "v1alpha1", "ScaledObject"),
        "scaledobjects",
    )
}

/// How long one look at a namespace serves all of its targets, at most: not so long that the news of
/// another autoscaler comes late where intervals are long.
const SHARED_FOR: Duration = Duration::from_secs(10);

/// How old a look may be for a target that is looked at once per `interval`: turns are nine tenths of it
/// apart at least, so that none sees the same look twice.
pub(super) fn max_age(interval: TimeSpan) -> Duration {
    SHARED_FOR.min(interval.0 * 7 / 8)
}

/// The autoscalers of every namespace that is asked about, listed once for all targets in it.
pub(super) struct Rivals {
    client: Client,
    looks: Mutex<BTreeMap<String, Look>>,
}

/// One look at a namespace, done or under way; all who ask meanwhile wait for the same one.
struct Look {
    at: Timestamp,
    listed: Shared<BoxFuture<'static, Result<Arc<[Claim]>, ReadError>>>,
}

impl Look {
    /// A failure serves only those who waited for it.
    fn serves(&self, now: Timestamp, max_age: Duration) -> bool {
        now.duration_since(self.at).unsigned_abs() < max_age && !matches!(self.listed.peek(), Some(Err(_)))
    }
}

/// What one autoscaler scales.
struct Claim {
    api_version: Option<String>,
    kind: String,
    name: String,
    /// The autoscaler.
    owner: String,
}

impl Rivals {
    pub(super) fn new(client: Client) -> Self {
        Self { client, looks: Mutex::default() }
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Who else moves `scaled`, by name, as seen within the last `max_age`.
    pub(super) async fn of(
        &self,
        scaled: Scaled<'_>,
        now: Timestamp,
        max_age: Duration,
    ) -> Result<Option<String>, ReadError> {
        let claims = self.look(scaled.namespace, now, max_age).await?;
        let mine =
            claims.iter().find(|claim| scaled.is(claim.api_version.as_deref(), &claim.kind, &claim.name));
        Ok(mine.map(|claim| claim.owner.clone()))
    }

    fn look(
        &self,
        namespace: &str,
        now: Timestamp,
        max_age: Duration,
    ) -> Shared<BoxFuture<'static, Result<Arc<[Claim]>, ReadError>>> {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that serve nobody any more go, so that namespaces that nobody asks about do not pile up.
        looks.retain(|name, look| look.serves(now, if name == namespace { max_age } else { SHARED_FOR }));
        let look = looks.entry(namespace.to_owned()).or_insert_with(|| {
            let listed = list(self.client.clone(), namespace.to_owned()).boxed().shared();
            Look { at: now, listed }
        });
        look.listed.clone()
    }
}

/// Every autoscaler in a namespace: first KEDA's, whose HPAs would name the same targets.
async fn list(client: Client, namespace: String) -> Result<Arc<[Claim]>, ReadError> {
    let (keda, hpas) = futures::join!(scaled_objects_in(&client, &namespace), hpas_in(&client, &namespace));
    Ok(keda?.into_iter().chain(hpas?).collect())
}

async fn hpas_in(client: &Client, namespace: &str) -> Result<Vec<Claim>, ReadError> {
    let api: Api<HorizontalPodAutoscaler> = Api::namespaced(client.clone(), namespace);
    let all = api.list(&from_cache()).await.map_err(|error| ReadError::Unreadable(words(&error)))?;
    let claim = |hpa: HorizontalPodAutoscaler| {
        let owner = match hpa.labels().get(KEDA_LABEL) {
            Some(name) => format!("ScaledObject {namespace}/{name}"),
            None => format!("HorizontalPodAutoscaler {namespace}/{}", hpa.name_any()),
        };
        let target = hpa.spec.scale_target_ref;
        Claim { api_version: target.api_version, kind: target.kind, name: target.name, owner }
    };
    Ok(all.items.into_iter().map(claim).collect())
}

/// Clusters without KEDA, and accounts that may not look: its HPA, which we do see, gives it away.
async fn scaled_objects_in(client: &Client, namespace: &str) -> Result<Vec<Claim>, ReadError> {
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &scaled_objects());
    let all = match api.list(&from_cache()).await {
        Ok(all) => all,
        Err(Error::Api(status)) if matches!(status.code, 403 | 404) => return Ok(Vec::new()),
        Err(error) => return Err(ReadError::Unreadable(words(&error))),
    };
    let claim = |object: &DynamicObject| {
        let (api_version, kind, name) = target_of(object)?;
        Some(Claim {
            api_version: Some(api_version.to_owned()),
            kind: kind.to_owned(),
            name: name.to_owned(),
            owner: format!("ScaledObject {namespace}/{}", object.name_any()),
        })
    };
    Ok(all.items.iter().filter_map(claim).collect())
}

/// What a ScaledObject scales, with KEDA's defaults: API version, kind and name.
pub(super) fn target_of(scaled_object: &DynamicObject) -> Option<(&str, &str, &str)> {
    let target = scaled_object.data.pointer("/spec/scaleTargetRef")?;
    let (api_version, kind) = (part(target, "apiVersion"), part(target, "kind"));
    Some((api_version.unwrap_or("apps/v1"), kind.unwrap_or("Deployment"), part(target, "name")?))
}

/// A text in an object.
pub(super) fn part<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.get(name).and_then(Value::as_str)
}

/// Answered from the API server's memory: no load on etcd.
fn from_cache() -> ListParams {
    ListParams::default().match_any()
}
