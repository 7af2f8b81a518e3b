//! A kubelet without containers: each Pod is one process on this machine.
//!
//! It binds every Pod to its node, starts the process that the Pod's container names, reports it Ready,
//! and on deletion sends SIGTERM, waits for the grace period, kills, and takes the Pod out of the API.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{Binding, Container, Node, Pod};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use nix::sys::signal::Signal;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::container::Sandbox;
use super::place::Tools;
use super::process::{Process, Program};
use super::spark::{Line, POD_IP};

const NODE: &str = "suite";

/// A running kubelet; its Pods' processes end with it.
#[derive(Debug)]
pub(crate) struct Kubelet {
    task: JoinHandle<()>,
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone)]
struct Shared {
    client: Client,
    tools: Tools,
    api_port: u16,
    logs: PathBuf,
}

impl Kubelet {
    /// Registers the node and begins to run Pods, whose logs go to `logs`.
    pub(crate) async fn start(client: Client, tools: Tools, api_port: u16, logs: PathBuf) -> Result<Self> {
        fs::create_dir_all(&logs)?;
        let node: Node = serde_json::from_value(json!({
            "metadata": {"name": NODE},
            "status": {"conditions": [{"type": "Ready", "status": "True", "reason": "Suite",
                "lastHeartbeatTime": null, "lastTransitionTime": null}]},
        }))?;
        Api::all(client.clone()).create(&PostParams::default(), &node).await.context("register the node")?;
        let shared = Arc::new(Shared { client, tools, api_port, logs });
        Ok(Self { task: tokio::spawn(keep(shared)) })
    }
}

/// One task per Pod, told of every change of its Pod; dropped, and its process with it, when the Pod is gone.
async fn keep(shared: Arc<Shared>) {
    let mut pods: BTreeMap<String, (watch::Sender<Pod>, AbortOnDrop)> = BTreeMap::new();
    let events = watcher(Api::<Pod>::all(shared.client.clone()), watcher::Config::default());
    let mut events = events.default_backoff().boxed();
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod)) => {
                let uid = pod.uid().unwrap_or_default();
                if let Some((told, _)) = pods.get(&uid) {
                    told.send_replace(pod);
                } else {
                    let (told, news) = watch::channel(pod);
                    let task = AbortOnDrop(tokio::spawn(live(Arc::clone(&shared), news)));
                    pods.insert(uid, (told, task));
                }
            }
            Ok(watcher::Event::Delete(pod)) => {
                pods.remove(&pod.uid().unwrap_or_default());
            }
            // Outages of the API server are part of the tests: the Pods live on, as on a real node.
            Ok(watcher::Event::Init | watcher::Event::InitDone) | Err(_) => {}
        }
    }
}

#[derive(Debug)]
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// One Pod's life.
async fn live(shared: Arc<Shared>, mut news: watch::Receiver<Pod>) {
    let (mut process, mut sandbox) = (None, None);
    loop {
        let pod = news.borrow_and_update().clone();
        let step = step(&shared, &pod, &mut process, &mut sandbox).await;
        let pause = match (step, &sandbox) {
            (Ok(()), None) => Duration::from_hours(1),
            // Volumes follow their ConfigMaps.
            (Ok(()), Some(_)) => Duration::from_secs(1),
            (Err(_), _) => Duration::from_millis(500),
        };
        // A failed step is tried again, with the newest Pod.
        if let Ok(Err(_)) = tokio::time::timeout(pause, news.changed()).await {
            return;
        }
    }
}

async fn step(
    shared: &Shared,
    pod: &Pod,
    process: &mut Option<Process>,
    sandbox: &mut Option<Sandbox>,
) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(shared.client.clone(), &pod.namespace().unwrap_or_default());
    if pod.metadata.deletion_timestamp.is_some() {
        if let Some(process) = process.take() {
            let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(30);
            let grace = Duration::from_secs(grace.unsigned_abs());
            if let Some(command) = pre_stop(pod) {
                let log = shared.logs.join(format!("{}.pre-stop.log", pod.name_any()));
                super::spark::drain(&command, &process, &log, grace).await;
            }
            stop(&process, grace).await;
        }
        return remove(&pods, pod).await;
    }
    match pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) {
        None => bind(&pods, pod).await,
        Some(NODE) if process.is_none() => {
            let container = pod.spec.as_ref().and_then(|spec| spec.containers.first());
            let container = container.context("a Pod without containers")?;
            *process = start(shared, pod, container, sandbox).await?;
            let probe = container.readiness_probe.as_ref();
            let delay = probe.and_then(|probe| probe.initial_delay_seconds).unwrap_or(0).unsigned_abs();
            tokio::time::sleep(Duration::from_secs(delay.into())).await;
            report(&pods, pod).await
        }
        Some(_) => match (sandbox, pod.spec.as_ref().and_then(|spec| spec.containers.first())) {
            (Some(sandbox), Some(container)) => sandbox.refresh(&shared.client, pod, container).await,
            _ => Ok(()),
        },
    }
}

async fn bind(pods: &Api<Pod>, pod: &Pod) -> Result<()> {
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding",
        "metadata": {"name": pod.name_any(), "uid": pod.uid()},
        "target": {"kind": "Node", "name": NODE},
    });
    let _: serde_json::Value = pods
        .create_subresource(
            "binding",
            &pod.name_any(),
            &PostParams::default(),
            &serde_json::from_value::<Binding>(binding)?,
        )
        .await?;
    Ok(())
}

/// The container's process; none for an image that does nothing.
async fn start(
    shared: &Shared,
    pod: &Pod,
    container: &Container,
    sandbox: &mut Option<Sandbox>,
) -> Result<Option<Process>> {
    let log = shared.logs.join(format!("{}.log", pod.name_any()));
    let program = match container.image.as_deref().unwrap_or_default() {
        "pause" => return Ok(None),
        "consumer" => {
            Program::new(shared.tools.consumer(), &log).args(container.args.clone().unwrap_or_default())
        }
        image if image.starts_with("spark-worker:") => {
            let line = image.split_once(':').and_then(|(_, line)| Line::named(line));
            let (line, args) = (line.context("no such line of Spark")?, container.args.clone());
            let mut args = args.unwrap_or_default();
            args.iter_mut().filter(|arg| *arg == POD_IP).for_each(|arg| *arg = address(pod));
            // Its UI listens there, too.
            super::spark::worker(&shared.tools, line, &log, args).env("SPARK_LOCAL_IP", address(pod))
        }
        "spark-executor" => {
            let (id, args) = (enlist(shared, pod).await?, container.args.clone());
            super::spark::executor(&shared.tools, &log, id, args.unwrap_or_default())
        }
        "taskmanager" => {
            let args = container.args.clone().unwrap_or_default();
            super::flink::taskmanager(&shared.tools, &log, &pod.name_any(), &args)?
        }
        image if image.contains("/tidegate:") => {
            let (rootfs, root) = (Tools::rootfs()?, log.with_extension("root"));
            let fresh = Sandbox::create(&shared.client, pod, container, &rootfs, &root).await?;
            sandbox.insert(fresh).program(pod, container, shared.api_port, &log)
        }
        other => bail!("no such image: {other}"),
    };
    Ok(Some(program.start()?))
}

/// A Pod's address: one of its own on loopback for whoever asks for it.
fn address(pod: &Pod) -> String {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let asked = containers.flat_map(|one| one.args.iter().flatten()).any(|arg| arg == POD_IP);
    let uid = pod.uid().unwrap_or_default();
    let byte = |at: usize| uid.get(at..at + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
    match (byte(0), byte(2), byte(4)) {
        (Some(a), Some(b), Some(c)) if asked => format!("127.{}.{b}.{}", a.max(1), c.clamp(1, 254)),
        _ => "127.0.0.1".to_owned(),
    }
}

/// An executor's number, as a label of its Pod: a driver on Kubernetes gives both once the executor asks for them.
async fn enlist(shared: &Shared, pod: &Pod) -> Result<u32> {
    static NEXT: AtomicU32 = AtomicU32::new(100);
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let pods: Api<Pod> = Api::namespaced(shared.client.clone(), &pod.namespace().unwrap_or_default());
    let label = Patch::Merge(json!({"metadata": {"labels": {"spark-exec-id": id.to_string()}}}));
    pods.patch(&pod.name_any(), &PatchParams::default(), &label).await?;
    Ok(id)
}

/// What the Pod's container wants to be run before it is asked to stop.
fn pre_stop(pod: &Pod) -> Option<Vec<String>> {
    let container = pod.spec.as_ref()?.containers.first()?;
    container.lifecycle.as_ref()?.pre_stop.as_ref()?.exec.as_ref()?.command.clone()
}

async fn report(pods: &Api<Pod>, pod: &Pod) -> Result<()> {
    let conditions = ["PodScheduled", "Initialized", "ContainersReady", "Ready"]
        .map(|kind| json!({"type": kind, "status": "True"}));
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers).map(|container| {
        json!({
            "name": container.name, "image": container.image, "imageID": "", "restartCount": 0,
            "ready": true, "started": true, "state": {"running": {}},
        })
    });
    let status = json!({"status": {
        "phase": "Running", "hostIP": "127.0.0.1", "podIP": address(pod),
        "conditions": conditions,
        "containerStatuses": containers.collect::<Vec<_>>(),
    }});
    let patch = Patch::Strategic(&status);
    pods.patch_status(&pod.name_any(), &PatchParams::default(), &patch).await?;
    Ok(())
}

async fn stop(process: &Process, grace: Duration) {
    if process.signal(Signal::SIGTERM).is_ok() && process.ended(grace).await.is_ok() {
        return;
    }
    process.kill();
}

async fn remove(pods: &Api<Pod>, pod: &Pod) -> Result<()> {
    let now = DeleteParams {
        grace_period_seconds: Some(0),
        preconditions: Some(Preconditions { uid: pod.uid(), resource_version: None }),
        ..DeleteParams::default()
    };
    match pods.delete(&pod.name_any(), &now).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
        Err(error) => Err(error.into()),
    }
}
