//! Other autoscalers of the same object: HPAs and KEDA's `ScaledObjects`.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client, Error, ResourceExt as _};
use serde_json::Value;

use super::api::{ReadError, words};
use super::scaled::Scaled;

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

/// Who else moves `scaled`, by name.
pub(super) async fn rival(client: &Client, scaled: Scaled<'_>) -> Result<Option<String>, ReadError> {
    let (keda, hpa) = futures::join!(scaled_object_of(client, scaled), hpa_of(client, scaled));
    Ok(keda?.or(hpa?))
}

async fn hpa_of(client: &Client, scaled: Scaled<'_>) -> Result<Option<String>, ReadError> {
    let api: Api<HorizontalPodAutoscaler> = Api::namespaced(client.clone(), scaled.namespace);
    let all = api.list(&from_cache()).await.map_err(|error| ReadError::Unreadable(words(&error)))?;
    let mine = all.items.iter().find(|hpa| {
        let target = &hpa.spec.scale_target_ref;
        scaled.is(target.api_version.as_deref(), &target.kind, &target.name)
    });
    Ok(mine.map(|hpa| match hpa.labels().get(KEDA_LABEL) {
        Some(name) => format!("ScaledObject {}/{name}", scaled.namespace),
        None => format!("HorizontalPodAutoscaler {}/{}", scaled.namespace, hpa.name_any()),
    }))
}

/// Clusters without KEDA, and accounts that may not look: its HPA, which we do see, gives it away.
async fn scaled_object_of(client: &Client, scaled: Scaled<'_>) -> Result<Option<String>, ReadError> {
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), scaled.namespace, &scaled_objects());
    let all = match api.list(&from_cache()).await {
        Ok(all) => all,
        Err(Error::Api(status)) if matches!(status.code, 403 | 404) => return Ok(None),
        Err(error) => return Err(ReadError::Unreadable(words(&error))),
    };
    let mine = all.items.iter().find(|object| {
        let target = target_of(object);
        target.is_some_and(|(api_version, kind, name)| scaled.is(Some(api_version), kind, name))
    });
    Ok(mine.map(|object| format!("ScaledObject {}/{}", scaled.namespace, object.name_any())))
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
