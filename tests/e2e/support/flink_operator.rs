//! A double of the Flink Kubernetes Operator for one FlinkDeployment whose cluster runs already: it writes the status
//! that the real one would, and answers changes of the spec as the real one does, by class: what it ignores, what it
//! rescales in place, and what it would have to redeploy for (counted, not done).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use serde_json::{Map, Value, json};
use tokio::task::JoinHandle;

use super::daemon::at;
use super::objects::{Home, with};
use super::waiting::eventually;
use super::world::Case;

/// Parallelism by vertex.
pub(crate) const OVERRIDES: &str = "pipeline.jobvertex-parallelism-overrides";

/// What it has done, and what it is to say.
#[derive(Debug, Clone, Default)]
pub(crate) struct Doing {
    /// The job that its status names.
    pub(crate) job: String,
    /// How it starts the job anew: where to, and what. Without, redeploys are only counted.
    pub(crate) run: Option<(String, Value)>,
    /// Changes that it has redeployed the job for, or would have.
    pub(crate) redeploys: u32,
    /// Requirements that it found to be others than its spec says, and sent.
    pub(crate) rescales: u32,
    /// What it says instead of STABLE.
    pub(crate) lifecycle: Option<&'static str>,
}

/// The double.
pub(crate) struct Operator {
    api: Api<DynamicObject>,
    name: String,
    doing: Arc<Mutex<Doing>>,
    task: JoinHandle<()>,
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Operator {
    /// Makes a FlinkDeployment of this spec and goes on looking after it; `job` runs at `url`.
    pub(crate) async fn deploy(case: &Case, home: &Home, url: &str, job: &str, spec: &Value) -> Result<Self> {
        define(case, home).await?;
        let kind = GroupVersionKind::gvk("flink.apache.org", "v1beta1", "FlinkDeployment");
        let api = Api::namespaced_with(home.client.clone(), &home.name, &ApiResource::from_gvk(&kind));
        let object: DynamicObject = serde_json::from_value(json!({
            "apiVersion": "flink.apache.org/v1beta1", "kind": "FlinkDeployment",
            "metadata": {"name": case.name}, "spec": spec,
        }))?;
        api.create(&PostParams::default(), &object).await?;
        let doing = Arc::new(Mutex::new(Doing { job: job.to_owned(), ..Doing::default() }));
        let (of, name, url, shared) = (api.clone(), case.name.to_owned(), url.to_owned(), Arc::clone(&doing));
        let task = tokio::spawn(async move {
            loop {
                // A conflict or a server that is busy: the next round does it.
                drop(reconcile(&of, &name, &url, &shared).await);
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        });
        Ok(Self { api, name: case.name.to_owned(), doing, task })
    }

    /// What it has done so far.
    pub(crate) fn doing(&self) -> Doing {
        self.doing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes what it is to say.
    pub(crate) fn set(&self, change: impl FnOnce(&mut Doing)) {
        change(&mut self.doing.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The object.
    pub(crate) async fn object(&self) -> Result<DynamicObject> {
        Ok(self.api.get(&self.name).await?)
    }

    /// Changes the object as a person would.
    pub(crate) async fn patch(&self, patch: &Value) -> Result<()> {
        let params = PatchParams { field_manager: Some("somebody".to_owned()), ..PatchParams::default() };
        self.api.patch(&self.name, &params, &Patch::Merge(patch)).await?;
        Ok(())
    }

    /// What the object keeps of parallelism by vertex, sorted.
    pub(crate) async fn kept(&self) -> Result<Vec<u64>> {
        let object = self.object().await?;
        let kept =
            options(&object.data).get(OVERRIDES).and_then(Value::as_str).unwrap_or_default().to_owned();
        let counts = kept.split(',').filter_map(|entry| entry.rsplit_once(':')?.1.parse().ok());
        let mut counts: Vec<u64> = counts.collect();
        counts.sort_unstable();
        Ok(counts)
    }
}

fn options(data: &Value) -> Map<String, Value> {
    at(data, "/spec/flinkConfiguration").as_object().cloned().unwrap_or_default()
}

async fn reconcile(api: &Api<DynamicObject>, name: &str, url: &str, doing: &Mutex<Doing>) -> Result<()> {
    let object = api.get(name).await?;
    let known = doing.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let last: Value = at(&object.data, "/status/reconciliationStatus/lastReconciledSpec")
        .as_str()
        .map_or(Ok(Value::Null), serde_json::from_str)?;
    let lifecycle = known.lifecycle.unwrap_or("STABLE");
    let current = *at(&object.data, "/status/observedGeneration") == json!(object.metadata.generation)
        && *at(&object.data, "/status/jobStatus/jobId") == *known.job
        && *at(&object.data, "/status/lifecycleState") == *lifecycle;
    if current {
        return Ok(());
    }
    if !last.is_null() {
        let adaptive = *at(&object.data, "/spec/flinkConfiguration/jobmanager.scheduler") == "adaptive";
        let (redeploy, rescale) = answer(&last, &object.data, adaptive, (url, &known.job)).await?;
        if let Some((run, body)) = known.run.as_ref().filter(|_| redeploy) {
            let upgrading = json!({"status": {
                "lifecycleState": "UPGRADING", "reconciliationStatus": {"state": "UPGRADING"},
            }});
            api.patch_status(name, &PatchParams::default(), &Patch::Merge(upgrading)).await?;
            let savepoint = suspend(url, &known.job).await?;
            let options = json!({OVERRIDES: options(&object.data).get(OVERRIDES)});
            let further = json!({"savepointPath": savepoint, "flinkConfiguration": options});
            let answer = reqwest::Client::new().post(run).json(&with(body, &further)).send().await?;
            let answer: Value = answer.json().await?;
            let job = at(&answer, "/jobid").as_str().with_context(|| format!("redeploy: {answer}"))?;
            job.clone_into(&mut doing.lock().unwrap_or_else(PoisonError::into_inner).job);
        }
        let mut doing = doing.lock().unwrap_or_else(PoisonError::into_inner);
        doing.redeploys += u32::from(redeploy);
        doing.rescales += u32::from(rescale);
    }
    let job = doing.lock().unwrap_or_else(PoisonError::into_inner).job.clone();
    let spec = json!({"spec": at(&object.data, "/spec")}).to_string();
    let status = json!({"status": {
        "observedGeneration": object.metadata.generation, "lifecycleState": lifecycle,
        "jobManagerDeploymentStatus": "READY",
        "reconciliationStatus": {"state": "DEPLOYED", "lastReconciledSpec": spec},
        "jobStatus": {"state": "RUNNING", "jobId": job},
    }});
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await?;
    Ok(())
}

/// Whether a change would take a redeploy, and whether it took a rescale.
async fn answer(
    last: &Value,
    data: &Value,
    adaptive: bool,
    (url, job): (&str, &str),
) -> Result<(bool, bool)> {
    let ignored = |key: &str| key.starts_with("job.autoscaler") || key.starts_with("kubernetes.operator");
    let (mut before, mut after) = (options(last), options(data));
    before.retain(|key, _| !ignored(key));
    after.retain(|key, _| !ignored(key));
    let (had, has) = (before.remove(OVERRIDES), after.remove(OVERRIDES));
    if before != after || (had.is_some() && has.is_none()) {
        return Ok((true, false));
    }
    let Some(wanted) = has.filter(|has| had.as_ref() != Some(has)) else { return Ok((false, false)) };
    if !adaptive {
        return Ok((true, false));
    }
    let wanted = wanted.as_str().context("overrides that are no text")?.to_owned();
    let path = format!("{url}/jobs/{job}/resource-requirements");
    let mut asked: Value = reqwest::get(&path).await?.json().await?;
    let before = asked.clone();
    for (vertex, count) in wanted.split(',').filter_map(|entry| entry.rsplit_once(':')) {
        let bounds = asked.pointer_mut(&format!("/{vertex}/parallelism")).context("a vertex of no job")?;
        *bounds = json!({"lowerBound": 1, "upperBound": count.parse::<u64>()?});
    }
    if asked == before {
        return Ok((false, false));
    }
    let sent = reqwest::Client::new().put(&path).json(&asked).send().await?;
    ensure!(sent.status().is_success(), "{path}: {}", sent.status());
    Ok((false, true))
}

/// Stops a job with a savepoint; where that is.
async fn suspend(url: &str, job: &str) -> Result<String> {
    let stop = reqwest::Client::new().post(format!("{url}/jobs/{job}/stop")).json(&json!({"drain": false}));
    let answer: Value = stop.send().await?.json().await?;
    let trigger = at(&answer, "/request-id").as_str().with_context(|| format!("stop: {answer}"))?.to_owned();
    eventually("the savepoint is taken", || async {
        let path = format!("{url}/jobs/{job}/savepoints/{trigger}");
        let answer: Value = reqwest::get(&path).await?.json().await?;
        Ok(at(&answer, "/operation/location").as_str().map(str::to_owned))
    })
    .await
}

/// Applies the operator's definitions server-side: they are too large for anything else.
async fn define(case: &Case, home: &Home) -> Result<()> {
    let crds: Api<CustomResourceDefinition> = Api::all(home.client.clone());
    for plural in ["flinkdeployments", "flinksessionjobs", "flinkstatesnapshots"] {
        let name = format!("{plural}.flink.apache.org");
        let file = case.tools().crd(&format!("{name}-v1.yml"));
        let text = std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        let crd: Value = serde_saphyr::from_str(&text)?;
        crds.patch(&name, &PatchParams::apply("suite").force(), &Patch::Apply(crd)).await?;
        eventually(&format!("{name} is served"), || async {
            let status = crds.get(&name).await?.status;
            let conditions = status.and_then(|status| status.conditions).unwrap_or_default();
            let served = conditions.iter().any(|one| one.type_ == "Established" && one.status == "True");
            Ok(served.then_some(()))
        })
        .await?;
    }
    Ok(())
}
