//! What the API server's answers mean, in words that are safe to log.

use kube::api::ApiResource;
use kube::core::{GroupVersion, GroupVersionKind, Status};
use kube::discovery::{ApiCapabilities, pinned_kind};
use kube::{Client, Error};

use super::ActuateError;
pub(super) use crate::words::of_kube as words;

/// Why a target could not be read, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ReadError {
    /// There is no such object.
    #[error("there is no such object")]
    NotFound,
    /// It could not be looked at.
    #[error("{0}")]
    Unreadable(String),
    /// It was read, and makes no sense as a target.
    #[error("{0}")]
    Unfit(String),
}

impl From<Error> for ReadError {
    fn from(error: Error) -> Self {
        if is_not_found(&error) { Self::NotFound } else { Self::Unreadable(words(&error)) }
    }
}

/// Finds the resource of a kind, and what it can do.
pub(super) async fn locate(
    client: &Client,
    api_version: &str,
    kind: &str,
) -> Result<(ApiResource, ApiCapabilities), ReadError> {
    let version: GroupVersion = api_version
        .parse()
        .map_err(|_| ReadError::Unfit(format!("`{api_version}` is not an API group and version")))?;
    let wanted = GroupVersionKind::gvk(&version.group, &version.version, kind);
    pinned_kind(client, &wanted).await.map_err(|error| {
        if matches!(error, Error::Discovery(_)) || is_not_found(&error) {
            ReadError::Unreadable(format!("the API server serves no {kind} of {api_version}"))
        } else {
            ReadError::Unreadable(words(&error))
        }
    })
}

/// What a failed look means for a write.
pub(super) fn unreadable(error: &ReadError) -> ActuateError {
    ActuateError::Failed { problem: error.to_string() }
}

/// What an error means for a write.
pub(super) fn refusal(error: &Error) -> ActuateError {
    let Error::Api(status) = error else { return ActuateError::Failed { problem: words(error) } };
    match status.code {
        409 => rival(status).unwrap_or(ActuateError::Conflict),
        // Gone, or made anew under the same name: the next turn finds out.
        404 => ActuateError::Conflict,
        422 if causes(status).any(|cause| cause.field == "metadata.uid") => ActuateError::Conflict,
        401 | 403 => ActuateError::Forbidden { problem: words(error) },
        _ => ActuateError::Failed { problem: words(error) },
    }
}

/// A server-side apply's conflict names the other manager in its causes; a stale resourceVersion has none.
fn rival(status: &Status) -> Option<ActuateError> {
    let cause = causes(status).find(|cause| cause.reason == "FieldManagerConflict")?;
    let owner = cause.message.split('"').nth(1).unwrap_or(&cause.message);
    Some(ActuateError::Owned { owner: format!("field manager {owner}"), field: cause.field.clone() })
}

fn causes(status: &Status) -> impl Iterator<Item = &kube::core::response::StatusCause> {
    status.details.iter().flat_map(|details| &details.causes)
}

pub(super) fn is_not_found(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.code == 404)
}
