//! The kubeflow operator's part that matters for a restart: whenever an application's spec is another one, the
//! driver is ended, and started again with what the spec says now.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use super::daemon::at;
use super::spark::Driver;

/// How often it looks.
const LOOK: Duration = Duration::from_millis(250);
/// A setting that no driver starts with: Spark wants more than this.
const TOO_LITTLE: (&str, &str) = ("spark.executor.memory", "1m");

/// It, for one application; the driver ends with it.
#[derive(Debug)]
pub(crate) struct Operator {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    submissions: AtomicUsize,
    break_next: AtomicBool,
    away: AtomicBool,
    driver: Mutex<Driver>,
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Operator {
    /// Submits the application `name`, and again whenever its spec changes.
    pub(crate) fn start(api: Api<DynamicObject>, name: &str, driver: Driver) -> Self {
        let (submissions, driver) = (AtomicUsize::new(0), Mutex::new(driver));
        let (break_next, away) = (AtomicBool::new(false), AtomicBool::new(false));
        let shared = Arc::new(Shared { submissions, break_next, away, driver });
        let (kept, name) = (Arc::clone(&shared), name.to_owned());
        let task = tokio::spawn(async move {
            let mut acted_on = None;
            loop {
                // The API server's outages end; so does a look that failed.
                let (Ok(()) | Err(_)) = turn(&api, &name, &kept, &mut acted_on).await;
                tokio::time::sleep(LOOK).await;
            }
        });
        Self { shared, task }
    }

    /// How often the application was submitted.
    pub(crate) fn submissions(&self) -> usize {
        self.shared.submissions.load(Ordering::SeqCst)
    }

    /// The next driver does not come up.
    pub(crate) fn break_next(&self) {
        self.shared.break_next.store(true, Ordering::SeqCst);
    }

    /// It is away from now on, or is back: what was changed and changed back meanwhile it has missed.
    pub(crate) fn is_away(&self, away: bool) {
        self.shared.away.store(away, Ordering::SeqCst);
    }

    /// One of the settings that the driver runs with.
    pub(crate) async fn in_force(&self, key: &str) -> Result<Option<String>> {
        self.shared.driver.lock().await.in_force(key).await
    }

    /// Executors at work.
    pub(crate) async fn executors(&self) -> Result<usize> {
        self.shared.driver.lock().await.executors().await
    }
}

async fn turn(
    api: &Api<DynamicObject>,
    name: &str,
    shared: &Shared,
    acted_on: &mut Option<Value>,
) -> Result<()> {
    if shared.away.load(Ordering::SeqCst) {
        return Ok(());
    }
    let object = api.get(name).await?;
    let spec = at(&object.data, "/spec").clone();
    let mut driver = shared.driver.lock().await;
    if acted_on.as_ref() == Some(&spec) {
        let running = (0..driver.executors().await?).map(|number| (format!("exec-{number}"), "RUNNING"));
        let running: BTreeMap<_, _> = running.collect();
        if json!(running) != *at(&object.data, "/status/executorState") {
            say(api, name, &json!({"executorState": null})).await?;
            say(api, name, &json!({"executorState": running})).await?;
        }
        return Ok(());
    }
    if acted_on.is_some() {
        say(api, name, &state("INVALIDATING")).await?;
        driver.kill();
        say(api, name, &state("PENDING_RERUN")).await?;
    }
    *acted_on = Some(spec.clone());
    let mut settings = bounds(&spec);
    if shared.break_next.swap(false, Ordering::SeqCst) {
        settings.insert(TOO_LITTLE.0.to_owned(), TOO_LITTLE.1.to_owned());
    }
    driver.set(settings);
    say(api, name, &state("SUBMITTED")).await?;
    shared.submissions.fetch_add(1, Ordering::SeqCst);
    if driver.launch().await.is_err() {
        return say(api, name, &state("FAILED")).await;
    }
    let app = driver.app().await?;
    let running = json!({"applicationState": {"state": "RUNNING"}, "sparkApplicationId": app});
    say(api, name, &running).await
}

/// Its executor bounds, as settings.
pub(crate) fn bounds(spec: &Value) -> BTreeMap<String, String> {
    let bounds = at(spec, "/dynamicAllocation").as_object().cloned().unwrap_or_default();
    let named =
        |(field, value): (String, Value)| (format!("spark.dynamicAllocation.{field}"), value.to_string());
    bounds.into_iter().map(named).collect()
}

fn state(state: &str) -> Value {
    json!({"applicationState": {"state": state}, "driverInfo": {}})
}

async fn say(api: &Api<DynamicObject>, name: &str, status: &Value) -> Result<()> {
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(json!({"status": status}))).await?;
    Ok(())
}
