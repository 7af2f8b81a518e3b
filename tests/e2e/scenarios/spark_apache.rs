//! The Apache operator's clusters and applications in the real API server. The operator is not there: what counts is
//! what is written, and what is not.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};

use crate::support::cluster::User;
use crate::support::daemon::at;
use crate::support::objects::{Home, policy};
use crate::support::waiting::{becomes, eventually};
use crate::support::world::Case;

const PARTITIONS: i32 = 6;
/// Records that wait, one worker or executor for each.
const BACKLOG: i32 = 4;

/// A backlog asks for four workers. A cluster with an HPA gets them through the HPA's bounds, one without through its
/// StatefulSet; for an application the patch is shown; a cluster that failed is left alone. The audit log has one write
/// for each of the first two, none of them to the operator's own objects.
pub(super) async fn clusters_and_applications(case: Case) -> Result<()> {
    let (home, admin, name) = (case.home().await?, case.kafka().await?.admin()?, case.name);
    define(&case, &home).await?;
    admin.create(name, PARTITIONS).await?;
    admin.commit_ends(name, name, PARTITIONS).await?;
    for partition in 0..BACKLOG {
        admin.produce(name, partition, 1).await?;
    }
    for (cluster, state) in
        [("scaled", "RunningHealthy"), ("bounded", "RunningHealthy"), ("failed", "Failed")]
    {
        create(&home, "SparkCluster", cluster, &cluster_spec(), state).await?;
        workers(&home, cluster).await?;
    }
    hpa(&home, "bounded").await?;
    create(&home, "SparkApplication", "running", &application_spec(), "RunningHealthy").await?;
    let daemon = case.daemon().await?;
    for target in ["scaled", "bounded", "failed", "running"] {
        let kind = if target == "running" { "sparkApplication" } else { "sparkCluster" };
        let spec = json!({
            "mode": "Apply",
            "target": {kind: {"apiVersion": "spark.apache.org/v1", "name": target}},
            "sources": [{"kafkaLag": {"cluster": "main", "group": name, "topics": [name]}}],
            "objective": {"lagPerReplica": 1}, "minReplicas": 1, "maxReplicas": PARTITIONS,
        });
        daemon.policies(&format!("{target}.yaml"), &policy(Some(name), target, &spec))?;
    }

    let sets: Api<StatefulSet> = Api::namespaced(home.client.clone(), &home.name);
    becomes("workers of the StatefulSet", Some(BACKLOG), || async {
        Ok(sets.get("scaled-worker").await?.spec.replicas)
    })
    .await?;
    becomes("the HPA's lower bound", Some(BACKLOG), || async {
        Ok(home.autoscalers().get("bounded-worker-hpa").await?.spec.min_replicas)
    })
    .await?;
    let shown = eventually("the patch is shown", || async {
        let workload = daemon.json(&format!("/api/v1/workloads/{name}/running")).await?;
        Ok(at(&workload, "/plan").as_str().map(str::to_owned))
    })
    .await?;
    let patch = format!("\"spark.dynamicAllocation.minExecutors\":\"{BACKLOG}\"");
    ensure!(shown.starts_with("rung recommend: ") && shown.contains(&patch), "{shown}");
    eventually("the cluster that failed is refused", || async {
        let workload = daemon.workload(name, "failed").await?;
        ensure!(workload.sentence.contains("it is Failed"), "{workload:?}");
        Ok(Some(()))
    })
    .await?;
    daemon.turns_pass(name, "failed", 2).await?;

    let audit = case.cluster().await?.audit()?;
    let ours = audit.iter().filter(|write| write.user == User::Tidegate.name() && write.namespace == name);
    let mut written: Vec<_> = ours
        .filter(|write| !matches!(write.resource.as_str(), "configmaps" | "events" | "leases"))
        .map(|write| (write.resource.as_str(), write.name.as_str(), write.verb.as_str(), write.code))
        .collect();
    written.sort_unstable();
    case.figure(&format!("writes: {written:?}; shown: {shown}"));
    let hpa = ("horizontalpodautoscalers", "bounded-worker-hpa", "patch", 200);
    ensure!(written.contains(&hpa), "{written:?}");
    ensure!(
        written.iter().all(|write| *write == hpa || (write.1, write.3) == ("scaled-worker", 200)),
        "{written:?}"
    );
    daemon.alive()
}

fn cluster_spec() -> Value {
    json!({
        "runtimeVersions": {"sparkVersion": "4.2.0"},
        "clusterTolerations": {"instanceConfig": {"initWorkers": 0, "minWorkers": 0, "maxWorkers": 6}},
    })
}

fn application_spec() -> Value {
    json!({
        "runtimeVersions": {"sparkVersion": "4.2.0"},
        "sparkConf": {
            "spark.dynamicAllocation.enabled": "true",
            "spark.dynamicAllocation.minExecutors": "1", "spark.dynamicAllocation.maxExecutors": "2",
        },
    })
}

async fn create(home: &Home, kind: &str, name: &str, spec: &Value, state: &str) -> Result<()> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("spark.apache.org", "v1", kind));
    let api: Api<DynamicObject> = Api::namespaced_with(home.client.clone(), &home.name, &resource);
    let object: DynamicObject = serde_json::from_value(json!({
        "apiVersion": "spark.apache.org/v1", "kind": kind, "metadata": {"name": name}, "spec": spec,
    }))?;
    eventually(&format!("{kind} {name} is made"), || async {
        Ok(Some(api.create(&PostParams::default(), &object).await?))
    })
    .await?;
    let status = json!({"status": {"currentState": {"currentStateSummary": state}}});
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await?;
    Ok(())
}

/// What the operator makes for a cluster.
async fn workers(home: &Home, cluster: &str) -> Result<()> {
    let name = format!("{cluster}-worker");
    let set: StatefulSet = serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {
            "serviceName": name, "replicas": 1, "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "main", "image": "pause"}]},
            },
        },
    }))?;
    let sets: Api<StatefulSet> = Api::namespaced(home.client.clone(), &home.name);
    sets.create(&PostParams::default(), &set).await?;
    Ok(())
}

async fn hpa(home: &Home, cluster: &str) -> Result<()> {
    let hpa: HorizontalPodAutoscaler = serde_json::from_value(json!({
        "metadata": {"name": format!("{cluster}-worker-hpa")},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": format!("{cluster}-worker")},
            "minReplicas": 1, "maxReplicas": 6,
            "metrics": [{"type": "Resource", "resource": {
                "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 30},
            }}],
        },
    }))?;
    home.autoscalers().create(&PostParams::default(), &hpa).await?;
    Ok(())
}

/// The operator's own definitions where somebody has put them into the cache, else as much of them as is read here.
async fn define(case: &Case, home: &Home) -> Result<()> {
    let crds: Api<CustomResourceDefinition> = Api::all(home.client.clone());
    for (plural, kind) in [("sparkclusters", "SparkCluster"), ("sparkapplications", "SparkApplication")] {
        let name = format!("{plural}.spark.apache.org");
        let file = case.tools().crd(&format!("{name}-v1.yaml"));
        let crd: Value = if file.exists() {
            serde_saphyr::from_str(
                &std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?,
            )?
        } else {
            minimal(&name, plural, kind)
        };
        crds.patch(&name, &PatchParams::apply("suite").force(), &Patch::Apply(crd)).await?;
        eventually(&format!("{name} is served"), || async {
            let conditions =
                crds.get(&name).await?.status.and_then(|status| status.conditions).unwrap_or_default();
            let established = conditions.iter().any(|one| one.type_ == "Established" && one.status == "True");
            Ok(established.then_some(()))
        })
        .await?;
    }
    Ok(())
}

fn minimal(name: &str, plural: &str, kind: &str) -> Value {
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let version = |version: &str| {
        json!({
            "name": version, "served": true, "storage": version == "v1", "subresources": {"status": {}},
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": open, "status": open}}},
        })
    };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": name},
        "spec": {
            "group": "spark.apache.org", "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List")},
            "versions": [version("v1beta1"), version("v1")],
        },
    })
}
