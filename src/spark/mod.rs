//! Spark applications: one shared way to each one's driver and checkpoints. Sources and actuators both look here.

pub(crate) mod checkpoint;
pub(crate) mod driver;
pub(crate) mod history;
pub(crate) mod master;
pub(crate) mod replay;
pub(crate) mod trouble;
mod web;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use self::checkpoint::{Objects, Standing, Unknown};
use self::driver::{Driver, InForce, Told};
use self::history::History;
use self::master::Master;
use self::trouble::Trouble;
use crate::policy::settings::{Limits, Settings, SparkConnection};

/// Every application that policies may name. Nothing is asked before somebody first looks.
#[derive(Default)]
pub struct Apps {
    by_name: BTreeMap<String, Arc<App>>,
    histories: BTreeMap<String, Arc<History>>,
    limits: Limits,
}

impl std::fmt::Debug for Apps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Apps").field(&self.by_name.keys()).field(&self.histories.keys()).finish()
    }
}

impl Apps {
    /// Makes what the settings name.
    pub fn new(settings: &Settings) -> Self {
        let connections = settings.connections.spark.iter();
        let app = |(name, to): (&String, _)| (name.clone(), App::new(name, to, &settings.limits));
        let histories = settings.connections.spark_history.iter();
        let history =
            |(name, to): (&String, _)| (name.clone(), Arc::new(History::new(name, to, &settings.limits)));
        let limits = settings.limits.clone();
        Self { by_name: connections.map(app).collect(), histories: histories.map(history).collect(), limits }
    }

    /// The master that the Apache operator makes for a SparkCluster, at the Service that it makes for it.
    pub(crate) fn cluster_master(&self, namespace: &str, cluster: &str) -> Option<Arc<Master>> {
        let url = format!("http://{cluster}-master-svc.{namespace}:8080");
        let timeout = self.limits.source_timeout.0.mul_f64(0.35);
        let master = Master::new(&url, timeout, self.limits.http_requests_per_second);
        master.inspect_err(|error| tracing::error!(cluster, %error, "no HTTP client")).ok().map(Arc::new)
    }

    /// The application of that name.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<App>> {
        self.by_name.get(name).cloned()
    }

    /// The history server of that name.
    pub(crate) fn history(&self, name: &str) -> Option<Arc<History>> {
        self.histories.get(name).cloned()
    }

    /// Kind and name of each, whether it answered last time, and what is wrong where it did not.
    pub(crate) fn status(&self) -> impl Iterator<Item = (&'static str, &str, Option<bool>, Option<String>)> {
        let apps = self.by_name.values().map(|app| {
            let health = app.health.lock().unwrap_or_else(PoisonError::into_inner).clone();
            ("spark", app.name.as_str(), health)
        });
        let masters = self.by_name.values().filter_map(|app| {
            app.master.as_ref().map(|master| ("sparkMaster", app.name.as_str(), master.health()))
        });
        let histories =
            self.histories.iter().map(|(name, history)| ("sparkHistory", name.as_str(), history.health()));
        apps.chain(masters).chain(histories).map(|(kind, name, health)| {
            (kind, name, health.as_ref().map(Result::is_ok), health.and_then(Result::err))
        })
    }
}

/// What an application's checkpoints lie below.
enum Place {
    Directory(PathBuf),
    Objects(Objects),
}

impl Place {
    fn of(connection: &SparkConnection, limits: &Limits) -> Self {
        let place = connection.checkpoints.as_str();
        match place.strip_prefix("file://") {
            Some(path) => Self::Directory(PathBuf::from(path)),
            None if place.contains("://") => {
                // There are four questions in a row.
                let timeout = limits.source_timeout.0.mul_f64(0.2);
                Self::Objects(Objects::new(place, &connection.object_store, timeout))
            }
            None => Self::Directory(PathBuf::from(place)),
        }
    }
}

/// One application.
pub(crate) struct App {
    /// Its name in the settings.
    pub(crate) name: String,
    checkpoints: Place,
    driver: Option<Driver>,
    /// The master of the standalone cluster that it runs on.
    master: Option<Arc<Master>>,
    /// Whether the driver answered last time, and what is wrong where it did not.
    health: Mutex<Option<Result<(), String>>>,
}

impl App {
    fn new(name: &str, connection: &SparkConnection, limits: &Limits) -> Arc<Self> {
        // Earlier than the caller, so that the cause is told; there are two questions in a row.
        let timeout = limits.source_timeout.0.mul_f64(0.35);
        let driver = connection.driver.as_deref().and_then(|url| {
            let driver = Driver::new(url, timeout, limits.http_requests_per_second);
            driver.inspect_err(|error| tracing::error!(app = name, %error, "no HTTP client")).ok()
        });
        let master = connection.master.as_deref().and_then(|url| {
            let master = Master::new(url, timeout, limits.http_requests_per_second);
            master
                .inspect_err(|error| tracing::error!(app = name, %error, "no HTTP client"))
                .ok()
                .map(Arc::new)
        });
        let checkpoints = Place::of(connection, limits);
        Arc::new(Self { name: name.to_owned(), checkpoints, driver, master, health: Mutex::default() })
    }

    /// The master of the standalone cluster that it runs on, where the settings name one.
    pub(crate) fn master(&self) -> Option<&Arc<Master>> {
        self.master.as_ref()
    }

    /// What the driver says of its executors and of a query; `None` where the settings name no driver.
    pub(crate) async fn ask(&self, query: Option<&str>) -> Option<Result<Told, Trouble>> {
        let told = self.driver.as_ref()?.ask(query).await;
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let now = told.as_ref().map(drop).map_err(ToString::to_string);
        match (&*health, &now) {
            (Some(Err(before)), Err(problem)) if before == problem => {}
            (_, Err(problem)) => tracing::warn!(app = self.name, "spark {}: {problem}", self.name),
            (Some(Err(_)), Ok(())) => {
                tracing::info!(app = self.name, "spark {}: all is well again", self.name);
            }
            (Some(Ok(())) | None, Ok(())) => {}
        }
        *health = Some(now);
        Some(told)
    }

    /// The settings that the running driver was started with; `None` where the settings name no driver.
    pub(crate) async fn in_force(&self) -> Option<Result<InForce, Trouble>> {
        Some(self.driver.as_ref()?.in_force().await)
    }

    /// Where the query with this checkpoint stands, and where it stood at least `back` before.
    pub(crate) async fn standing(&self, checkpoint: &str, back: Duration) -> Result<Standing, Unknown> {
        let root = match &self.checkpoints {
            Place::Directory(root) => root,
            Place::Objects(objects) => return objects.read(checkpoint, back).await,
        };
        let directory = checkpoint::directory(root, checkpoint);
        let shown = directory.display().to_string();
        let read = tokio::task::spawn_blocking(move || checkpoint::read(&directory, back)).await;
        let broken = |_| Unknown::Unreadable { path: shown, cause: "the look was interrupted".to_owned() };
        read.map_err(broken)?
    }
}
