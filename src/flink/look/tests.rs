//! Against a JobManager that answers as recorded ones did, in an order that a real one has only now and then.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{StatusCode, Uri};
use serde_json::Value;

use super::*;
use crate::policy::settings::{FlinkConnection, Limits};

fn recorded_of(line: &str, name: &str) -> Value {
    let path = format!("{}/tests/fixtures/flink/{line}/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn recorded(name: &str) -> Value {
    recorded_of("2.2", name)
}

/// What `jobs` are told in turn, the last for ever, and what the sources' metrics are.
async fn look_at(jobs: &[Value], offsets: Value) -> Sight {
    look_at_line("2.2", jobs, offsets).await
}

async fn look_at_line(line: &'static str, jobs: &[Value], offsets: Value) -> Sight {
    let recorded = move |name: &str| recorded_of(line, name);
    let (jobs, asked) = (jobs.to_vec(), Arc::new(Mutex::new(0)));
    let jid = jobs[0]["jid"].as_str().unwrap().to_owned();
    let answer = move |uri: Uri| {
        let of_job = uri.path().strip_prefix(&format!("/jobs/{jid}")).map(str::to_owned);
        let found = match (uri.path(), of_job.as_deref()) {
            ("/overview", _) => recorded("overview"),
            ("/jobs/overview", _) => recorded("jobs"),
            (_, Some("")) => {
                let mut asked = asked.lock().unwrap();
                *asked += 1;
                jobs[(*asked - 1).min(jobs.len() - 1)].clone()
            }
            (_, Some(path)) if path.ends_with("/subtasks/metrics") => match uri.query() {
                None => recorded("names"),
                Some(query) => of_names(&offsets, query),
            },
            (_, Some("/jobmanager/config")) => recorded("job-jobmanager-config"),
            (_, Some("/checkpoints/config")) => recorded("checkpoint-config"),
            (_, Some("/checkpoints")) => recorded("checkpoints"),
            (_, Some("/resource-requirements")) => recorded("requirements"),
            (_, Some("/rescales/overview")) => recorded("rescales-overview"),
            (_, Some(path)) if path.starts_with("/rescales/details/") => recorded("rescales-details"),
            _ => Value::Null,
        };
        let code = if found.is_null() { StatusCode::NOT_FOUND } else { StatusCode::OK };
        std::future::ready((code, found.to_string()))
    };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    let connection = FlinkConnection { url, namespaces: Vec::new(), bearer_token_file: None, ca_file: None };
    let client = Client::new(&connection, &Limits::default());
    look(&client, Which::Named("orders"), &mut None, Timestamp::UNIX_EPOCH).await.unwrap()
}

/// As a JobManager does: one unknown name empties the answer.
fn of_names(known: &Value, query: &str) -> Value {
    let names = query.split('&').find_map(|part| part.strip_prefix("get=")).unwrap_or_default();
    let names: Vec<&str> = names.split("%2C").collect();
    let known = known.as_array().unwrap();
    let one = |name: &&str| known.iter().find(|metric| metric["id"] == **name).cloned();
    names.iter().map(one).collect::<Option<Vec<_>>>().unwrap_or_default().into()
}

#[tokio::test]
async fn the_first_answer_is_thrown_away() {
    let sight = look_at(&[recorded("job-first"), recorded("job")], recorded("offsets")).await;
    assert_eq!(sight.job, serde_json::from_value(recorded("job")).unwrap());
    assert_eq!(sight.reticent(), None);
    let only = look_at(&[recorded("job"), recorded("job-first")], recorded("offsets")).await;
    assert!(only.reticent().is_some(), "what is newer counts, though it says less");
}

#[tokio::test]
async fn names_are_listed_before_they_are_asked_for() {
    let sight = look_at(&[recorded("job")], recorded("offsets")).await;
    assert_eq!(sight.positions.len(), 4);
    assert!(sight.positions.values().all(|next| *next > 0));
    let mut fewer = recorded("offsets");
    fewer.as_array_mut().unwrap().remove(0);
    let sight = look_at(&[recorded("job")], fewer).await;
    assert!(!sight.has_positions(), "a name that has vanished since: nothing is told, and nothing is zero");
}

#[tokio::test]
async fn positions_of_replaced_tasks_say_nothing() {
    let mut later = recorded("job");
    later["timestamps"]["RUNNING"] = (later["timestamps"]["RUNNING"].as_i64().unwrap() + 1).into();
    let sight = look_at(&[recorded("job"), later], recorded("offsets")).await;
    assert!(!sight.has_positions());
}

/// From 2.3 on, where a history is kept.
#[tokio::test]
async fn the_last_rescale_that_was_asked_for_is_told() {
    let line = "2.3";
    let (job, offsets) = (recorded_of(line, "job-rescaled"), recorded_of(line, "offsets"));
    let sight = look_at_line(line, std::slice::from_ref(&job), offsets).await;
    let (all, stopped) = sight.rescaled_since(0).unwrap();
    assert!((all - 2.025).abs() < 1e-9 && (stopped - 0.787).abs() < 1e-9, "{all} {stopped}");
    assert_eq!(sight.rescaled_since(sight.now()), None, "that was another one");
}
