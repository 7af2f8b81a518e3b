//! The workloads, all or one.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::{Api, answer};
use crate::policy::WorkloadId;
use crate::record::board::Board;
use crate::record::report::{WorkloadDetail, WorkloadList};

/// Names to offer where one is not found.
const NEARBY: usize = 3;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    namespace: Option<String>,
}

/// Every workload, or those of `?namespace=`.
pub(super) async fn list(State(api): State<Api>, filter: Result<Query<Filter>, QueryRejection>) -> Response {
    let Query(Filter { namespace }) = match filter {
        Ok(filter) => filter,
        Err(rejection) => return answer::error(StatusCode::BAD_REQUEST, &rejection.body_text()),
    };
    let turns = api.board.turns();
    let wanted =
        turns.iter().filter(|turn| namespace.as_ref().is_none_or(|name| turn.workload.namespace == *name));
    Json(wanted.map(AsRef::as_ref).collect::<WorkloadList>()).into_response()
}

/// One workload with its last decision in full.
pub(super) async fn one(State(api): State<Api>, Path((namespace, name)): Path<(String, String)>) -> Response {
    let id = WorkloadId { namespace, name };
    match api.board.turn(&id) {
        Some(turn) => Json(WorkloadDetail::from(turn.as_ref())).into_response(),
        None => answer::not_found(&why_absent(&api.board, &id), nearby(&api.board, &id)),
    }
}

fn why_absent(board: &Board, id: &WorkloadId) -> String {
    let policies = board.policies();
    if policies.accepted.iter().any(|policy| policy.id == *id) {
        format!("{id} has a policy, but no turn yet")
    } else if policies.rejected.iter().any(|policy| policy.id.as_ref() == Some(id)) {
        format!("the policy of {id} was refused: see /api/v1/policies")
    } else {
        format!("no workload {id}")
    }
}

/// The workloads whose names are most like `id`.
fn nearby(board: &Board, id: &WorkloadId) -> Vec<String> {
    let wanted = id.to_string();
    let mut names: Vec<_> = board.turns().iter().map(|turn| turn.workload.to_string()).collect();
    names.sort_by_cached_key(|name| strsim::damerau_levenshtein(name, &wanted));
    names.truncate(NEARBY);
    names
}
