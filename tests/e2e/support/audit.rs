//! The API server's audit log: who wrote what.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Deserialize;

/// One request that would change something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Write {
    pub(crate) user: String,
    pub(crate) verb: String,
    /// With the sub-resource, if any: `deployments/scale`.
    pub(crate) resource: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// HTTP status.
    pub(crate) code: u16,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    user: Subject,
    verb: String,
    object_ref: Option<Object>,
    response_status: Option<Status>,
}

#[derive(Deserialize)]
struct Subject {
    username: String,
}

#[derive(Deserialize, Default)]
struct Object {
    #[serde(default)]
    resource: String,
    #[serde(default)]
    subresource: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    code: u16,
}

/// Every write in the log.
pub(crate) fn read(log: &Path) -> Result<Vec<Write>> {
    let text = fs::read_to_string(log).with_context(|| format!("read {}", log.display()))?;
    text.lines()
        .map(|line| {
            let event: Event = serde_json::from_str(line).context("a line of the audit log")?;
            let object = event.object_ref.unwrap_or_default();
            let resource = if object.subresource.is_empty() {
                object.resource
            } else {
                format!("{}/{}", object.resource, object.subresource)
            };
            Ok(Write {
                user: event.user.username,
                verb: event.verb,
                resource,
                namespace: object.namespace,
                name: object.name,
                code: event.response_status.map_or(0, |status| status.code),
            })
        })
        .collect()
}
