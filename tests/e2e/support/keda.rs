//! KEDA as local processes: its operator and its metrics adapter beside a control plane of their own. The
//! API server reaches the adapter through a Service of type `ExternalName`.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::api::{ApiResource, DynamicObject, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::{Value, json};

use super::cluster::{Cluster, Timers, User};
use super::objects::Home;
use super::place::{Tools, free_port};
use super::process::{Process, Program};
use super::tls::concatenate;
use super::waiting::eventually;

const NAMESPACE: &str = "keda";
const SERVICE: &str = "keda-metrics-apiserver";
/// What the API server expects to find in the adapter's certificate.
const SERVED: &str = "subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:keda-metrics-apiserver.keda.svc";
const METRICS: &str = "/apis/external.metrics.k8s.io/v1beta1";

/// A control plane with KEDA.
pub(crate) struct Keda {
    cluster: Cluster,
    _operator: Process,
    _adapter: Process,
}

impl Keda {
    /// Starts both in `dir` and waits until the metrics API is served.
    pub(crate) async fn start(tools: &Tools, dir: &Path, timers: Timers) -> Result<Self> {
        ensure!(tools.has_keda(), "KEDA is missing: run make keda-setup");
        let cluster = Cluster::start(tools, dir, timers).await?;
        let certificates = dir.join("keda-tls");
        fs::create_dir_all(&certificates)?;
        cluster.authority().sign(SERVICE, SERVED).await?;
        let signed = |name: &str| cluster.authority().path(name);
        for (from, to) in [
            ("ca.pem", "ca.crt"),
            ("keda-metrics-apiserver.pem", "tls.crt"),
            ("keda-metrics-apiserver.key", "tls.key"),
        ] {
            concatenate(&[&signed(from)], &certificates.join(to))?;
        }
        objects(tools, dir, &cluster).await?;
        let (metrics, secure, own) = (free_port()?, free_port()?, free_port()?);
        let operator = operator(tools, dir, &cluster, metrics).start()?;
        let adapter = adapter(tools, dir, &cluster, (metrics, secure, own)).start()?;
        answers(&cluster, &adapter, secure).await?;
        register(tools, dir, &cluster, secure).await?;
        let keda = Self { cluster, _operator: operator, _adapter: adapter };
        eventually("external metrics are served", || async { keda.raw(METRICS).await.map(Some) }).await?;
        Ok(keda)
    }

    /// The control plane.
    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    async fn raw(&self, path: &str) -> Result<Value> {
        raw(&self.cluster.client(), path).await
    }

    /// What KEDA tells the HPA controller of a ScaledObject's one kafka trigger: the lag.
    pub(crate) async fn lag(&self, namespace: &str, scaled_object: &str, topic: &str) -> Result<i64> {
        let path = format!(
            "{METRICS}/namespaces/{namespace}/s0-kafka-{topic}\
             ?labelSelector=scaledobject.keda.sh%2Fname%3D{scaled_object}"
        );
        let answer = self.raw(&path).await?;
        let value = answer.pointer("/items/0/value").and_then(Value::as_str).context("no value")?;
        match value.strip_suffix('m') {
            Some(thousandths) => Ok(thousandths.parse::<i64>()? / 1000),
            None => value.parse().with_context(|| format!("KEDA says {value}")),
        }
    }
}

async fn raw(client: &Client, path: &str) -> Result<Value> {
    let request = axum::http::Request::get(path).body(Vec::new())?;
    Ok(client.request(request).await?)
}

/// KEDA's resource definitions, its namespace and its service.
async fn objects(tools: &Tools, dir: &Path, cluster: &Cluster) -> Result<()> {
    apply(tools, dir, cluster, &tools.keda_definitions()).await?;
    let objects = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": SERVICE, "namespace": NAMESPACE},
            "spec": {"type": "ExternalName", "externalName": "localhost"},
        },
    ]});
    let file = dir.join("keda.json");
    fs::write(&file, objects.to_string())?;
    apply(tools, dir, cluster, &file).await?;
    eventually("ScaledObjects are served", || async {
        raw(&cluster.client(), "/apis/keda.sh/v1alpha1/scaledobjects").await.map(Some)
    })
    .await?;
    Ok(())
}

/// Server-side: the definitions are too large for an annotation with the last one applied.
async fn apply(tools: &Tools, dir: &Path, cluster: &Cluster, file: &Path) -> Result<()> {
    Program::new(tools.bin("kubectl"), dir.join("kubectl.log"))
        .args(["apply", "--server-side", "--kubeconfig"])
        .arg(cluster.kubeconfig(User::Suite).display().to_string())
        .arg("-f")
        .arg(file.display().to_string())
        .run()
        .await
}

fn program(tools: &Tools, dir: &Path, cluster: &Cluster, name: &str) -> Program {
    Program::new(tools.bin(name), dir.join(format!("{name}.log")))
        .dir(dir)
        .env("KUBECONFIG", cluster.kubeconfig(User::Keda).display().to_string())
        .env("POD_NAMESPACE", NAMESPACE)
        .env("KEDA_CLUSTER_OBJECT_NAMESPACE", NAMESPACE)
        .env("WATCH_NAMESPACE", "")
}

fn operator(tools: &Tools, dir: &Path, cluster: &Cluster, metrics: u16) -> Program {
    program(tools, dir, cluster, "keda-operator").args([
        "--cert-dir=keda-tls",
        &format!("--metrics-service-bind-address=127.0.0.1:{metrics}"),
        "--enable-prometheus-metrics=false",
        "--health-probe-bind-address=0",
    ])
}

fn adapter(tools: &Tools, dir: &Path, cluster: &Cluster, (metrics, secure, own): (u16, u16, u16)) -> Program {
    let kubeconfig = cluster.kubeconfig(User::Keda).display().to_string();
    program(tools, dir, cluster, "keda-adapter")
        .args([
            "--bind-address=127.0.0.1",
            "--cert-dir=keda-tls",
            "--tls-cert-file=keda-tls/tls.crt",
            "--tls-private-key-file=keda-tls/tls.key",
            &format!("--secure-port={secure}"),
            &format!("--port={own}"),
            &format!("--metrics-service-address=127.0.0.1:{metrics}"),
        ])
        .args(
            ["lister", "authentication", "authorization"]
                .map(|use_| format!("--{use_}-kubeconfig={kubeconfig}")),
        )
}

/// Registered before it answers, the API would stay unavailable for half a minute.
async fn answers(cluster: &Cluster, adapter: &Process, port: u16) -> Result<()> {
    let authority = fs::read(cluster.authority().certificate())?;
    let client =
        reqwest::Client::builder().tls_certs_only([reqwest::Certificate::from_pem(&authority)?]).build()?;
    eventually("KEDA's metrics adapter answers", || async {
        adapter.check()?;
        let answer = client.get(format!("https://127.0.0.1:{port}/readyz")).send().await?;
        Ok(answer.status().is_success().then_some(()))
    })
    .await
}

async fn register(tools: &Tools, dir: &Path, cluster: &Cluster, port: u16) -> Result<()> {
    let authority = fs::read(cluster.authority().certificate())?;
    let service = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": "v1beta1.external.metrics.k8s.io"},
        "spec": {
            "group": "external.metrics.k8s.io", "version": "v1beta1",
            "groupPriorityMinimum": 100, "versionPriority": 100,
            "service": {"namespace": NAMESPACE, "name": SERVICE, "port": port},
            "caBundle": STANDARD.encode(authority),
        },
    });
    let file = dir.join("api-service.json");
    fs::write(&file, service.to_string())?;
    apply(tools, dir, cluster, &file).await
}

/// `ScaledObjects` of a namespace.
pub(crate) fn scaled_objects(home: &Home) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("keda.sh", "v1alpha1", "ScaledObject");
    let resource = ApiResource::from_gvk_with_plural(&kind, "scaledobjects");
    Api::namespaced_with(home.client.clone(), &home.name, &resource)
}

/// Makes a ScaledObject by a plain create. An object that is applied server-side with its bounds in the
/// manifest stays the applier's: we would yield.
pub(crate) async fn scaled_object(home: &Home, name: &str, spec: &Value) -> Result<()> {
    let object = json!({
        "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject",
        "metadata": {"name": name, "namespace": home.name}, "spec": spec,
    });
    scaled_objects(home).create(&PostParams::default(), &serde_json::from_value(object)?).await?;
    Ok(())
}
