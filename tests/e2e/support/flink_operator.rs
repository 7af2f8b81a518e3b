//! A double of the Flink Kubernetes Operator for one object whose cluster runs already: it writes the status that the
//! real one would, and answers changes of the spec as the real one does, by class: what it ignores, what it rescales in
//! place, what it sizes a Deployment of TaskManagers by, and what it would have to redeploy for (counted, and done where
//! it is told how).

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    /// The Deployment of TaskManagers that it has made for a cluster in standalone mode.
    pub(crate) taskmanagers: Option<String>,
}

/// What a double looks after.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) kind: &'static str,
    pub(crate) name: &'a str,
    pub(crate) spec: &'a Value,
    /// The scheduler of its cluster is adaptive.
    pub(crate) adaptive: bool,
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
        let adaptive = *at(spec, "/flinkConfiguration/jobmanager.scheduler") == "adaptive";
        let subject = Subject { kind: "FlinkDeployment", name: case.name, spec, adaptive };
        Self::look_after(case, home, url, job, subject).await
    }

    /// Makes an object and goes on looking after it.
    pub(crate) async fn look_after(
        case: &Case,
        home: &Home,
        url: &str,
        job: &str,
        subject: Subject<'_>,
    ) -> Result<Self> {
        define(case, home).await?;
        let kind = GroupVersionKind::gvk("flink.apache.org", "v1beta1", subject.kind);
        let api = Api::namespaced_with(home.client.clone(), &home.name, &ApiResource::from_gvk(&kind));
        let object: DynamicObject = serde_json::from_value(json!({
            "apiVersion": "flink.apache.org/v1beta1", "kind": subject.kind,
            "metadata": {"name": subject.name}, "spec": subject.spec,
        }))?;
        api.create(&PostParams::default(), &object).await?;
        let doing = Arc::new(Mutex::new(Doing { job: job.to_owned(), ..Doing::default() }));
        let eyes = Eyes {
            api: api.clone(),
            home: home.clone(),
            name: subject.name.to_owned(),
            url: url.to_owned(),
            adaptive: subject.adaptive,
            doing: Arc::clone(&doing),
        };
        let task = tokio::spawn(async move {
            loop {
                // A conflict or a server that is busy: the next round does it.
                drop(eyes.reconcile().await);
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        });
        Ok(Self { api, name: subject.name.to_owned(), doing, task })
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

    /// Waits until the newest spec is carried out.
    pub(crate) async fn has_taken_it_up(&self) -> Result<()> {
        eventually("the operator has taken up the newest spec", || async {
            let object = self.object().await?;
            let observed = at(&object.data, "/status/observedGeneration");
            Ok((*observed == json!(object.metadata.generation)).then_some(()))
        })
        .await
    }

    /// What the object keeps of parallelism by vertex.
    pub(crate) async fn keeps(&self) -> Result<String> {
        let object = self.object().await?;
        Ok(options(&object.data).get(OVERRIDES).and_then(Value::as_str).unwrap_or_default().to_owned())
    }

    /// The same as numbers, sorted.
    pub(crate) async fn kept(&self) -> Result<Vec<u64>> {
        let kept = self.keeps().await?;
        let counts = kept.split(',').filter_map(|entry| entry.rsplit_once(':')?.1.parse().ok());
        let mut counts: Vec<u64> = counts.collect();
        counts.sort_unstable();
        Ok(counts)
    }
}

fn options(data: &Value) -> Map<String, Value> {
    at(data, "/spec/flinkConfiguration").as_object().cloned().unwrap_or_default()
}

/// What the double works with.
struct Eyes {
    api: Api<DynamicObject>,
    home: Home,
    name: String,
    url: String,
    adaptive: bool,
    doing: Arc<Mutex<Doing>>,
}

impl Eyes {
    fn doing(&self) -> MutexGuard<'_, Doing> {
        self.doing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn say(&self, status: &Value) -> Result<()> {
        let patch = Patch::Merge(json!({"status": status}));
        self.api.patch_status(&self.name, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    async fn reconcile(&self) -> Result<()> {
        let object = self.api.get(&self.name).await?;
        let known = self.doing().clone();
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
            self.carry_out(&last, &object.data, &known).await?;
        }
        let job = self.doing().job.clone();
        let spec = json!({"spec": at(&object.data, "/spec")}).to_string();
        self.say(&json!({
            "observedGeneration": object.metadata.generation, "lifecycleState": lifecycle,
            "jobManagerDeploymentStatus": "READY",
            "reconciliationStatus": {"state": "DEPLOYED", "lastReconciledSpec": spec},
            "jobStatus": {"state": "RUNNING", "jobId": job},
        }))
        .await
    }

    /// Does what a changed spec calls for.
    async fn carry_out(&self, last: &Value, data: &Value, known: &Doing) -> Result<()> {
        let count = at(data, "/spec/taskManager/replicas");
        if let Some(deployment) =
            known.taskmanagers.as_ref().filter(|_| count != at(last, "/spec/taskManager/replicas"))
        {
            let count = i32::try_from(count.as_i64().context("TaskManagers without a number")?)?;
            self.home.scale(deployment, count).await?;
        }
        let (redeploy, rescale) = answer(last, data, self.adaptive, (&self.url, &known.job)).await?;
        if let Some((run, body)) = known.run.as_ref().filter(|_| redeploy) {
            self.say(&json!({
                "lifecycleState": "UPGRADING", "reconciliationStatus": {"state": "UPGRADING"},
            }))
            .await?;
            let savepoint = suspend(&self.url, &known.job).await?;
            let options = json!({OVERRIDES: options(data).get(OVERRIDES)});
            let further = json!({"savepointPath": savepoint, "flinkConfiguration": options});
            let answer = reqwest::Client::new().post(run).json(&with(body, &further)).send().await?;
            let answer: Value = answer.json().await?;
            let job = at(&answer, "/jobid").as_str().with_context(|| format!("redeploy: {answer}"))?;
            job.clone_into(&mut self.doing().job);
        }
        let mut doing = self.doing();
        doing.redeploys += u32::from(redeploy);
        doing.rescales += u32::from(rescale);
        Ok(())
    }
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
        let crd = definition(case, &format!("{name}-v1.yml"))?;
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

/// A definition: a newer operator's where there is one beside the tree; otherwise that of the last one whose artifact
/// can be had, which takes Flink 2 as the newer ones do.
fn definition(case: &Case, file: &str) -> Result<Value> {
    let newer = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/crds/flink").join(file);
    let path = if newer.exists() { newer } else { case.tools().crd(file) };
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let mut crd: Value = serde_saphyr::from_str(&text)?;
    let versions = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/flinkVersion/enum";
    if let Some(known) = crd.pointer_mut(versions).and_then(Value::as_array_mut) {
        for version in ["v2_0", "v2_1", "v2_2"] {
            if !known.iter().any(|one| one == version) {
                known.push(version.into());
            }
        }
    }
    Ok(crd)
}
