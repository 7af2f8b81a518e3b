//! Damping state in ConfigMaps, against an API server in memory.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::http::{Method, Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tidegate::engine::Memory;
use tidegate::policy::WorkloadId;
use tidegate::policy::settings;
use tidegate::record::memory_store::{Kept, MemoryStore};
use tower::service_fn;

/// ConfigMaps by name, as the API server keeps them: with a version, checked at each replacement.
#[derive(Debug, Clone, Default)]
struct Server {
    maps: Arc<Mutex<BTreeMap<String, Value>>>,
    log: Arc<Mutex<Vec<String>>>,
    /// ConfigMaps that are refused, and with what.
    refused: Arc<Mutex<BTreeMap<String, StatusCode>>>,
}

impl Server {
    fn client(&self) -> Client {
        let server = self.clone();
        let service = service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        Client::new(service, "tidegate")
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let body = body.collect_bytes().await.unwrap();
        let path =
            parts.uri.path().strip_prefix("/api/v1/namespaces/tidegate/configmaps").unwrap().to_owned();
        let name = path.trim_start_matches('/').to_owned();
        let sent: Value = serde_json::from_slice(&body).unwrap_or_default();
        let name = if name.is_empty() { sent["metadata"]["name"].as_str().unwrap().to_owned() } else { name };
        self.log.lock().unwrap().push(format!("{} {name}", parts.method));
        if let Some(status) = self.refused.lock().unwrap().get(&name) {
            return problem(*status);
        }
        let mut maps = self.maps.lock().unwrap();
        match (parts.method, maps.get(&name)) {
            (Method::GET, Some(map)) => reply(StatusCode::OK, map),
            (Method::GET | Method::PUT, None) => problem(StatusCode::NOT_FOUND),
            (Method::POST, Some(_)) => problem(StatusCode::CONFLICT),
            (Method::PUT, Some(map))
                if map["metadata"]["resourceVersion"] != sent["metadata"]["resourceVersion"] =>
            {
                problem(StatusCode::CONFLICT)
            }
            (_, before) => {
                let version = before.map_or(1, |map| version(map) + 1);
                let mut now = sent;
                now["metadata"]["resourceVersion"] = version.to_string().into();
                maps.insert(name, now.clone());
                reply(StatusCode::OK, &now)
            }
        }
    }

    /// What was asked since the last call.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.log.lock().unwrap())
    }

    fn data(&self, name: &str) -> Value {
        self.maps.lock().unwrap()[name]["data"].clone()
    }

    fn put(&self, name: &str, map: Value) {
        self.maps.lock().unwrap().insert(name.to_owned(), map);
    }
}

fn version(map: &Value) -> u64 {
    map["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}

fn reply(status: StatusCode, body: &Value) -> Response<Body> {
    Response::builder().status(status).body(Body::from(body.to_string().into_bytes())).unwrap()
}

fn problem(status: StatusCode) -> Response<Body> {
    let reason = status.canonical_reason().unwrap().replace(' ', "");
    reply(
        status,
        &json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": status.as_str(), "reason": reason, "code": status.as_u16(),
        }),
    )
}

fn settings(shards: u32) -> settings::MemoryStore {
    settings::MemoryStore { shards, ..settings::MemoryStore::default() }
}

/// Memories beside something that is known of the target.
type Memories = BTreeMap<WorkloadId, Kept<Option<String>>>;

fn memories(names: &[&str]) -> Memories {
    names
        .iter()
        .map(|name| (WorkloadId { namespace: "shop".into(), name: (*name).into() }, Kept::default()))
        .collect()
}

#[tokio::test]
async fn what_is_known_of_a_target_is_kept_and_may_be_absent() {
    let server = Server::default();
    let mut store = MemoryStore::new(server.client(), "tidegate", &settings(1));
    let mut kept = memories(&["orders", "invoices"]);
    kept.first_entry().unwrap().get_mut().target = Some("ours".to_owned());
    store.save(&kept).await.unwrap();
    assert_eq!(store.load().await.unwrap(), kept);
    // As versions before this one wrote it.
    let plain = json!({"namespace": "shop", "name": "orders", "memory": Memory::default()}).to_string();
    server.put(
        "tidegate-memory-0",
        json!({"metadata": {"resourceVersion": "7"}, "data": {"shop.orders": plain}}),
    );
    assert_eq!(store.load().await.unwrap(), memories(&["orders"]));
}

#[tokio::test]
async fn what_is_saved_is_loaded_and_nothing_is_written_twice() {
    let server = Server::default();
    let mut store = MemoryStore::new(server.client(), "tidegate", &settings(1));
    assert_eq!(store.load().await.unwrap(), Memories::new());
    assert_eq!(server.asked(), ["GET tidegate-memory-0", "GET tidegate-memory-1"]);

    let two = memories(&["orders", "some name"]);
    store.save(&two).await.unwrap();
    assert_eq!(server.asked(), ["POST tidegate-memory-0"]);
    let data = server.data("tidegate-memory-0");
    let entry: Value = serde_json::from_str(data["shop.orders"].as_str().unwrap()).unwrap();
    assert_eq!(entry["namespace"], "shop");
    assert_eq!(entry["name"], "orders");
    assert_eq!(entry["memory"], serde_json::to_value(Memory::default()).unwrap());

    store.save(&two).await.unwrap();
    assert_eq!(server.asked(), [""; 0]);
    store.save(&memories(&["orders"])).await.unwrap();
    assert_eq!(server.asked(), ["PUT tidegate-memory-0"]);

    let mut next = MemoryStore::new(server.client(), "tidegate", &settings(1));
    assert_eq!(next.load().await.unwrap(), memories(&["orders"]));
}

#[tokio::test]
async fn a_conflict_is_written_over_once_on_what_is_there_now() {
    let server = Server::default();
    let mut store = MemoryStore::new(server.client(), "tidegate", &settings(1));
    store.save(&memories(&["orders"])).await.unwrap();
    let foreign = json!({
        "metadata": {"name": "tidegate-memory-0", "resourceVersion": "77", "labels": {"team": "shop"}},
        "data": {"by": "hand"},
    });
    server.put("tidegate-memory-0", foreign);
    server.asked();
    store.save(&memories(&["orders", "billing"])).await.unwrap();
    assert_eq!(server.asked(), ["PUT tidegate-memory-0", "GET tidegate-memory-0", "PUT tidegate-memory-0"]);
    assert!(server.data("tidegate-memory-0")["by"].is_null());
    let map = server.maps.lock().unwrap()["tidegate-memory-0"].clone();
    assert_eq!(version(&map), 78);
    assert_eq!(map["metadata"]["labels"]["team"], "shop");

    server.maps.lock().unwrap().clear();
    store.save(&memories(&["orders"])).await.unwrap();
    assert_eq!(server.data("tidegate-memory-0").as_object().unwrap().len(), 1);
}

#[tokio::test]
async fn an_unreadable_entry_is_dropped_alone() {
    let server = Server::default();
    let good = json!({"namespace": "shop", "name": "orders", "memory": {}}).to_string();
    server.put(
        "tidegate-memory-0",
        json!({
            "metadata": {"name": "tidegate-memory-0", "resourceVersion": "1"},
            "data": {"shop.orders": good, "shop.billing": "{", "README": "do not edit"},
        }),
    );
    let mut store = MemoryStore::new(server.client(), "tidegate", &settings(1));
    assert_eq!(store.load().await.unwrap(), memories(&["orders"]));
}

#[tokio::test]
async fn more_or_fewer_shards_lose_nothing() {
    let server = Server::default();
    let names: Vec<_> = (0..40).map(|number| format!("w{number}")).collect();
    let all = memories(&names.iter().map(String::as_str).collect::<Vec<_>>());
    for shards in [1, 4, 2, 4] {
        let mut store = MemoryStore::new(server.client(), "tidegate", &settings(shards));
        let loaded: Memories = store.load().await.unwrap();
        store.save(&all).await.unwrap();
        let sizes: Vec<_> = server
            .maps
            .lock()
            .unwrap()
            .values()
            .map(|map| map["data"].as_object().map_or(0, serde_json::Map::len))
            .collect();
        assert_eq!(sizes.iter().sum::<usize>(), 40, "{shards}: {sizes:?}");
        assert!(sizes.iter().take(shards.try_into().unwrap()).all(|size| *size > 0), "{shards}: {sizes:?}");
        if shards != 1 {
            assert_eq!(loaded, all);
        }
    }
}

#[tokio::test]
async fn growing_writes_the_new_shards_before_the_old_one_shrinks() {
    let server = Server::default();
    let names: Vec<_> = (0..40).map(|number| format!("w{number}")).collect();
    let all = memories(&names.iter().map(String::as_str).collect::<Vec<_>>());
    MemoryStore::new(server.client(), "tidegate", &settings(1)).save(&all).await.unwrap();
    let mut store = MemoryStore::new(server.client(), "tidegate", &settings(3));
    let _: Memories = store.load().await.unwrap();
    server.asked();
    store.save(&all).await.unwrap();
    assert_eq!(server.asked(), ["POST tidegate-memory-1", "POST tidegate-memory-2", "PUT tidegate-memory-0"]);
}

#[tokio::test]
async fn a_shard_that_would_be_too_large_names_the_setting() {
    let server = Server::default();
    let mut store = MemoryStore::new(server.client(), "tidegate", &settings(1));
    let names: Vec<_> = (0..4000).map(|number| format!("{number:0>250}")).collect();
    let many = memories(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let problem = store.save(&many).await.unwrap_err().to_string();
    assert!(
        problem.starts_with("the ConfigMap tidegate-memory-0 with the damping state would hold ")
            && problem.ends_with(" bytes: raise memory.shards"),
        "{problem}"
    );
    assert_eq!(server.asked(), [""; 0]);
}

#[tokio::test]
async fn leftovers_that_cannot_be_read_are_not_nothing_but_where_rights_end() {
    let server = Server::default();
    let load = async || {
        MemoryStore::new(server.client(), "tidegate", &settings(1)).load::<Kept<Option<String>>>().await
    };
    let refuse = |status| server.refused.lock().unwrap().insert("tidegate-memory-1".to_owned(), status);
    refuse(StatusCode::INTERNAL_SERVER_ERROR);
    let problem = load().await.unwrap_err().to_string();
    assert!(
        problem.starts_with("the ConfigMap tidegate-memory-1 with the damping state cannot"),
        "{problem}"
    );
    refuse(StatusCode::FORBIDDEN);
    assert_eq!(load().await.unwrap(), Memories::new());
}

#[tokio::test]
async fn one_workload_among_many_shards_is_found_with_fewer() {
    let names: Vec<_> = (0..8).map(|number| format!("w{number}")).collect();
    for name in &names {
        let server = Server::default();
        let one = memories(&[name]);
        MemoryStore::new(server.client(), "tidegate", &settings(8)).save(&one).await.unwrap();
        let mut fewer = MemoryStore::new(server.client(), "tidegate", &settings(1));
        assert_eq!(fewer.load().await.unwrap(), one, "{name}");
    }
}
