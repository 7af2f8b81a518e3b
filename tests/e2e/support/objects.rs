//! What the suite itself does with Kubernetes.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::spark::Line;
use super::waiting::{becomes, eventually};

/// One namespace of the cluster.
#[derive(Clone)]
pub(crate) struct Home {
    pub(crate) client: Client,
    pub(crate) name: String,
}

/// What a Pod of the suite runs.
#[derive(Debug, Clone)]
pub(crate) enum Image {
    /// Nothing.
    Pause,
    /// The consumer, with these arguments.
    Consumer(Vec<String>),
    /// A worker of a standalone Spark cluster, with these arguments, and a command that drains it before it is
    /// stopped.
    SparkWorker { args: Vec<String>, drain: String, line: Line },
    /// An executor of a Spark application, in the same way.
    SparkExecutor { args: Vec<String>, drain: String },
}

impl Image {
    /// A consumer of `topics` that processes `rate` records per second.
    pub(crate) fn consumer(bootstrap: &str, group: &str, topics: &[&str], rate: u32) -> Self {
        let topics = topics.join(",");
        let rate = rate.to_string();
        let args = ["--bootstrap", bootstrap, "--group", group, "--topics", &topics, "--rate", &rate];
        Self::Consumer(args.map(str::to_owned).to_vec())
    }

    /// The same, never committing anything.
    pub(crate) fn without_commits(self) -> Self {
        match self {
            Self::Consumer(mut args) => {
                args.extend(["--commit-ms", "0"].map(str::to_owned));
                Self::Consumer(args)
            }
            other @ (Self::Pause | Self::SparkWorker { .. } | Self::SparkExecutor { .. }) => other,
        }
    }

    /// Seconds that its Pod may take to end.
    fn grace(&self) -> u32 {
        match self {
            Self::Pause | Self::Consumer(_) => 5,
            Self::SparkWorker { .. } | Self::SparkExecutor { .. } => 60,
        }
    }

    /// The same with a further librdkafka property, as KEY=VALUE.
    pub(crate) fn set(self, property: &str) -> Self {
        match self {
            Self::Consumer(mut args) => {
                args.extend(["--set", property].map(str::to_owned));
                Self::Consumer(args)
            }
            Self::Pause | Self::SparkWorker { .. } | Self::SparkExecutor { .. } => self,
        }
    }

    /// The same, which needs so many seconds until it consumes and is ready.
    pub(crate) fn that_starts_in(self, seconds: u32) -> Self {
        match self {
            Self::Consumer(mut args) => {
                args.extend(["--start-ms".to_owned(), (seconds * 1000).to_string()]);
                Self::Consumer(args)
            }
            Self::Pause | Self::SparkWorker { .. } | Self::SparkExecutor { .. } => self,
        }
    }

    fn container(&self) -> Value {
        match self {
            Self::Pause => json!({"name": "main", "image": "pause"}),
            Self::Consumer(args) => {
                let option = args.iter().position(|arg| arg == "--start-ms");
                let start = option.and_then(|at| args.get(at + 1)?.parse::<u32>().ok()).unwrap_or(0);
                json!({
                    "name": "main", "image": "consumer", "args": args,
                    "readinessProbe": {"exec": {"command": ["true"]}, "initialDelaySeconds": start / 1000},
                })
            }
            Self::SparkWorker { args, drain, line } => json!({
                "name": "main", "image": format!("spark-worker:{}", line.name()), "args": args,
                "lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", drain]}}},
            }),
            Self::SparkExecutor { args, drain } => json!({
                "name": "main", "image": "spark-executor", "args": args,
                "lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", drain]}}},
            }),
        }
    }
}

impl Home {
    /// A new namespace, ready for Pods.
    pub(crate) async fn create(client: Client, name: &str) -> Result<Self> {
        let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": name}}))?;
        Api::all(client.clone()).create(&PostParams::default(), &namespace).await?;
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), name);
        eventually("the namespace has its service account", || async {
            Ok(accounts.get_opt("default").await?)
        })
        .await?;
        Ok(Self { client, name: name.to_owned() })
    }

    /// Deployments of the namespace.
    pub(crate) fn deployments(&self) -> Api<Deployment> {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// HPAs of the namespace.
    pub(crate) fn autoscalers(&self) -> Api<HorizontalPodAutoscaler> {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// Makes a Deployment and waits until its Pods are ready. Its manifest leaves `replicas` out, as one
    /// should that an autoscaler moves; the scale sub-resource sets the first size.
    pub(crate) async fn deploy(&self, name: &str, image: &Image, replicas: i32) -> Result<()> {
        let deployment: Deployment = serde_json::from_value(json!({
            "metadata": {"name": name},
            "spec": {
                "selector": {"matchLabels": {"app": name}},
                "template": {
                    "metadata": {"labels": {"app": name}},
                    "spec": {"containers": [image.container()], "terminationGracePeriodSeconds": image.grace()},
                },
            },
        }))?;
        self.deployments().create(&PostParams::default(), &deployment).await?;
        if replicas != 1 {
            self.scale(name, replicas).await?;
        }
        self.has(name, replicas).await
    }

    /// Changes what a Deployment's Pods run.
    pub(crate) async fn redeploy(&self, name: &str, image: &Image) -> Result<()> {
        let patch = json!({"spec": {"template": {"spec": {"containers": [image.container()]}}}});
        self.deployments().patch(name, &PatchParams::default(), &Patch::Strategic(patch)).await?;
        Ok(())
    }

    /// Sets a Deployment's replicas, as a person would.
    pub(crate) async fn scale(&self, name: &str, replicas: i32) -> Result<()> {
        let patch = json!({"spec": {"replicas": replicas}});
        self.deployments().patch_scale(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    /// The replicas a Deployment asks for.
    pub(crate) async fn replicas(&self, name: &str) -> Result<i32> {
        let deployment = self.deployments().get(name).await?;
        deployment.spec.replicas.context("a Deployment without replicas")
    }

    /// Waits until a Deployment asks for so many replicas and all of them are ready.
    pub(crate) async fn has(&self, name: &str, replicas: i32) -> Result<()> {
        let what = format!("(asked for, existing, ready) replicas of {}/{name}", self.name);
        becomes(&what, (replicas, replicas, replicas), || async {
            let deployment = self.deployments().get(name).await?;
            let asked = deployment.spec.replicas.unwrap_or(-1);
            let status = deployment.status.unwrap_or_default();
            Ok((asked, status.replicas.unwrap_or(0), status.ready_replicas.unwrap_or(0)))
        })
        .await
    }

    /// Writes a ConfigMap with policies, labelled for the daemon.
    pub(crate) async fn policies(&self, name: &str, text: &str) -> Result<()> {
        let labels: BTreeMap<_, _> = [("tidegate.dev/policies", "true")].into();
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "labels": labels},
            "data": {"policies.yaml": text},
        });
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.name);
        maps.patch(name, &PatchParams::apply("suite").force(), &Patch::Apply(map)).await?;
        Ok(())
    }
}

/// A policy document. JSON is YAML.
pub(crate) fn policy(namespace: Option<&str>, name: &str, spec: &Value) -> String {
    let mut metadata = json!({"name": name});
    if let (Some(namespace), Some(metadata)) = (namespace, metadata.as_object_mut()) {
        metadata.insert("namespace".to_owned(), namespace.into());
    }
    json!({
        "apiVersion": "tidegate.dev/v1alpha1", "kind": "ScalingPolicy",
        "metadata": metadata, "spec": spec,
    })
    .to_string()
}

/// `fields` of `over` laid over those of `base`.
pub(crate) fn with(base: &Value, over: &Value) -> Value {
    let mut merged = base.clone();
    if let (Some(merged), Some(over)) = (merged.as_object_mut(), over.as_object()) {
        merged.extend(over.clone());
    }
    merged
}
