//! What the master of a standalone cluster says, and what it is asked: to let workers go in peace.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;

use super::trouble::Trouble;
use super::web::Web;

/// A worker whose tasks end, and which gets no more.
pub(crate) const DECOMMISSIONED: &str = "DECOMMISSIONED";
const ALIVE: &str = "ALIVE";

/// A master's web UI.
pub(crate) struct Master {
    web: Web,
    timeout: Duration,
    requests_per_second: u32,
    /// Whether it answered last time, and what is wrong where it did not.
    health: Mutex<Option<Result<(), String>>>,
}

/// What it says.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Told {
    pub(crate) workers: Vec<Worker>,
    #[serde(rename = "activeapps", default)]
    pub(crate) apps: Vec<Application>,
    status: String,
}

/// One worker.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Worker {
    pub(crate) host: String,
    pub(crate) state: String,
    pub(crate) cores: u32,
    /// Cores that executors have.
    #[serde(rename = "coresused")]
    pub(crate) cores_used: u32,
    /// Address of its own UI.
    #[serde(rename = "webuiaddress", default)]
    web: String,
}

/// What a worker says of itself.
#[derive(Deserialize)]
struct Own {
    #[serde(rename = "coresused")]
    cores_used: u32,
}

impl Worker {
    /// Whether it takes executors.
    pub(crate) fn is_alive(&self) -> bool {
        self.state == ALIVE
    }
}

/// One application that runs, or waits for workers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Application {
    id: String,
    /// Cores that it has.
    cores: u32,
    state: String,
}

impl Master {
    /// A master at `url`. Nothing is asked yet.
    pub(crate) fn new(
        url: &str,
        timeout: Duration,
        requests_per_second: u32,
    ) -> Result<Self, reqwest::Error> {
        let web = Web::new(url, timeout, requests_per_second)?;
        Ok(Self { web, timeout, requests_per_second, health: Mutex::default() })
    }

    /// Whether it answered last time, and what is wrong where it did not.
    pub(crate) fn health(&self) -> Option<Result<(), String>> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at its workers and applications. Any path that it does not know answers a page.
    pub(crate) async fn look(&self) -> Result<Told, String> {
        let told: Result<Told, String> = self.web.get("/json/").await.map_err(|trouble| words(&trouble));
        let told = told.and_then(|told| match told.status.as_str() {
            ALIVE => Ok(told),
            status => Err(format!("the master at {} is {status}: name the one that leads", self.web.url)),
        });
        let now = told.as_ref().map(drop).map_err(Clone::clone);
        *self.health.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        told
    }

    /// Whether the executors of a decommissioned worker have ended. Its master counts their cores on: it forgets executors
    /// when it decommissions them, and their ends with them. So the worker itself is asked; no answer is no end.
    pub(crate) async fn has_ended(&self, worker: &Worker) -> bool {
        if worker.cores_used == 0 {
            return true;
        }
        let Ok(web) = Web::new(&worker.web, self.timeout, self.requests_per_second) else { return false };
        web.get::<Own>("/json/").await.is_ok_and(|own| own.cores_used == 0)
    }

    /// Asks it to give the workers on `host` no more tasks. Their processes stay until somebody stops them.
    pub(crate) async fn decommission(&self, host: &str) -> Result<(), String> {
        let url = &self.web.url;
        let status = self.web.post("/workers/kill/", &[("host", host)]).await;
        match status.map_err(|trouble| words(&trouble))? {
            200..300 => Ok(()),
            404 => Err(format!("the master at {url} knows no worker on {host}")),
            code @ (401 | 403 | 405) => Err(format!(
                "the master at {url} refuses to decommission workers ({code}): set spark.decommission.enabled=true and \
                 spark.master.ui.decommission.allow.mode=ALLOW for it"
            )),
            code => Err(format!("the master at {url} answers {code} to a decommission of {host}")),
        }
    }
}

impl Told {
    /// What it knows of an application that has no executors, in words.
    pub(crate) fn of_app(&self, app: Option<&str>) -> String {
        let alive = || self.workers.iter().filter(|worker| worker.is_alive());
        let free: u32 = alive().map(|worker| worker.cores.saturating_sub(worker.cores_used)).sum();
        let cluster = format!("its master has {} live workers with {free} free cores", alive().count());
        let found = self.apps.iter().find(|one| app.is_none_or(|app| one.id == app));
        match found {
            Some(Application { id, cores, state }) => {
                format!("{cluster}; {id} is {state} there with {cores} cores")
            }
            None => format!("{cluster}, and no such application"),
        }
    }
}

/// The same troubles as a driver's have other cures.
fn words(trouble: &Trouble) -> String {
    match trouble {
        Trouble::Unreachable { url, cause } => format!("the master at {url} cannot be reached ({cause})"),
        Trouble::Silent { url, timeout } => {
            format!("the master at {url} does not answer within {timeout:?}")
        }
        Trouble::Html { url } => format!(
            "{url} answers HTML instead of JSON: `master` names something else than a master's UI (8080 unless set)"
        ),
        Trouble::Redirected { url, code } => format!("{url} redirects ({code}): name the master itself"),
        Trouble::Strange { url, cause } => {
            format!("{url} answers something else than a master does: {cause}")
        }
        Trouble::Login { .. }
        | Trouble::Status { .. }
        | Trouble::NoApplication { .. }
        | Trouble::Ended { .. }
        | Trouble::QueryMissing { .. } => trouble.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a master of Spark 4.2 answers.
    const JSON: &str = r#"{
        "url": "spark://127.0.0.1:7077",
        "workers": [
            {"id": "worker-1", "host": "10.0.0.1", "port": 7078, "webuiaddress": "http://10.0.0.1:8081", "cores": 4,
             "coresused": 1, "coresfree": 3, "memory": 1024, "memoryused": 512, "memoryfree": 512, "resources": {},
             "resourcesused": {}, "resourcesfree": {}, "state": "ALIVE", "lastheartbeat": 1795259166054},
            {"id": "worker-2", "host": "10.0.0.2", "port": 7078, "webuiaddress": "http://10.0.0.2:8081", "cores": 4,
             "coresused": 0, "coresfree": 4, "memory": 1024, "memoryused": 0, "memoryfree": 1024, "resources": {},
             "resourcesused": {}, "resourcesfree": {}, "state": "DECOMMISSIONED", "lastheartbeat": 1795259166054}
        ],
        "aliveworkers": 1, "cores": 4, "coresused": 1, "memory": 1024, "memoryused": 512,
        "activeapps": [{"id": "app-1", "starttime": 1795259160000, "name": "orders", "cores": 1, "user": "spark",
            "memoryperexecutor": 512, "memoryperslave": 512, "submitdate": "Mon", "state": "RUNNING", "duration": 6054}],
        "completedapps": [], "activedrivers": [], "completeddrivers": [], "status": "ALIVE"
    }"#;

    #[test]
    fn it_tells_of_workers_and_of_an_application() {
        let told: Told = serde_json::from_str(JSON).unwrap();
        assert_eq!(told.workers[1].state, DECOMMISSIONED);
        let cluster = "its master has 1 live workers with 3 free cores";
        assert_eq!(told.of_app(Some("app-1")), format!("{cluster}; app-1 is RUNNING there with 1 cores"));
        assert_eq!(told.of_app(Some("app-2")), format!("{cluster}, and no such application"));
    }
}
