//! Executor bounds of the kubeflow operator's applications, by its own definitions in the real API server. The
//! operator is not there: what counts is what is written, and what is not.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::ResourceQuota;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};

use crate::support::cluster::User;
use crate::support::daemon::at;
use crate::support::objects::{Home, policy, with};
use crate::support::waiting::eventually;
use crate::support::world::Case;

const PARTITIONS: i32 = 6;
/// Records that wait, one executor for each.
const BACKLOG: usize = 4;

/// What must be left alone, and a word of the reason: kind, what is laid over a good spec, labels, state.
type Refused = (&'static str, &'static str, Value, Value, &'static str, &'static str);

fn refused() -> Vec<Refused> {
    let scheduled = "ScheduledSparkApplication";
    let off = json!({"dynamicAllocation": {"enabled": false}});
    let torn = json!({"sparkConf": {"spark.dynamicAllocation.maxExecutors": "9"}});
    let large = json!({"dynamicAllocation": {"enabled": true, "minExecutors": 1, "maxExecutors": 200}});
    let capped = "the ResourceQuota team (pods) leaves room for 100 executors of 200";
    vec![
        ("capped", scheduled, large, json!({}), "", capped),
        ("off", scheduled, off, json!({}), "", "dynamic allocation is off"),
        ("torn", scheduled, torn, json!({}), "", "two places disagree about maxExecutors"),
        (
            "queued",
            scheduled,
            json!({}),
            json!({"kueue.x-k8s.io/queue-name": "team"}),
            "",
            "the queue team admits it",
        ),
        ("completed", "SparkApplication", json!({}), json!({}), "COMPLETED", "any change would run it again"),
        ("failed", "SparkApplication", json!({}), json!({}), "FAILED", "any change would run it again"),
        (
            "suspended",
            "SparkApplication",
            json!({"suspend": true}),
            json!({}),
            "SUSPENDED",
            "it is suspended",
        ),
    ]
}

/// A backlog asks for four executors. The template of a ScheduledSparkApplication gets them, where it states its
/// bounds, typed or not; for a running SparkApplication the patch is shown. All others are refused with a reason.
/// The audit log has one write for each of the first two, and none for anything else.
pub(super) async fn bounds_of_the_next_run(case: Case) -> Result<()> {
    let (home, admin, name) = (case.home().await?, case.kafka().await?.admin()?, case.name);
    define(&case, &home).await?;
    admin.create(name, PARTITIONS).await?;
    admin.commit_ends(name, name, PARTITIONS).await?;
    for partition in 0..i32::try_from(BACKLOG)? {
        admin.produce(name, partition, 1).await?;
    }
    let conf = json!({
        "dynamicAllocation": null,
        "sparkConf": {
            "spark.dynamicAllocation.enabled": "true",
            "spark.dynamicAllocation.minExecutors": "1", "spark.dynamicAllocation.maxExecutors": "2",
        },
    });
    let none = || json!({});
    cap(&home).await?;
    create(&home, "typed", "ScheduledSparkApplication", &none(), &none(), "").await?;
    create(&home, "conf", "ScheduledSparkApplication", &conf, &none(), "").await?;
    create(&home, "running", "SparkApplication", &none(), &none(), "RUNNING").await?;
    for (app, kind, over, labels, state, _) in refused() {
        create(&home, app, kind, &over, &labels, state).await?;
    }
    let daemon = case.daemon().await?;
    let all = ["typed", "conf", "running"].into_iter().map(|app| (app, kind_of(app)));
    for (app, kind) in all.chain(refused().into_iter().map(|one| (one.0, one.1))) {
        daemon.policies(&format!("{app}.yaml"), &policy(Some(name), app, &spec(name, kind, app)))?;
    }

    let bounds =
        |object: &DynamicObject, pointer: &str| object.data.pointer(pointer).cloned().unwrap_or_default();
    eventually("the typed bounds are written", || async {
        let object = objects(&home, "ScheduledSparkApplication").get("typed").await?;
        let typed = bounds(&object, "/spec/template/dynamicAllocation");
        ensure!(at(&typed, "/minExecutors") == BACKLOG, "{typed}");
        ensure!(at(&typed, "/initialExecutors") == BACKLOG && at(&typed, "/enabled") == true, "{typed}");
        ensure!(at(&typed, "/maxExecutors").as_u64() > at(&typed, "/minExecutors").as_u64(), "{typed}");
        Ok(Some(()))
    })
    .await?;
    eventually("the untyped bounds are written", || async {
        let object = objects(&home, "ScheduledSparkApplication").get("conf").await?;
        let conf = bounds(&object, "/spec/template/sparkConf");
        ensure!(*at(&conf, "/spark.dynamicAllocation.minExecutors") == json!(BACKLOG.to_string()), "{conf}");
        ensure!(at(&conf, "/spark.dynamicAllocation.enabled") == "true", "{conf}");
        ensure!(
            bounds(&object, "/spec/template/dynamicAllocation").is_null(),
            "a second place states them now"
        );
        Ok(Some(()))
    })
    .await?;
    let shown = eventually("the patch is shown", || async {
        let workload = daemon.json(&format!("/api/v1/workloads/{name}/running")).await?;
        Ok(at(&workload, "/plan").as_str().map(str::to_owned))
    })
    .await?;
    let patch = format!("\"dynamicAllocation\":{{\"initialExecutors\":{BACKLOG},");
    ensure!(shown.starts_with("rung recommend: ") && shown.contains(&patch), "{shown}");
    for (app, .., why) in refused() {
        eventually(&format!("{app} is refused"), || async {
            let workload = daemon.workload(name, app).await?;
            ensure!(workload.sentence.contains(why), "{workload:?}");
            Ok(Some(()))
        })
        .await?;
        daemon.turns_pass(name, app, 2).await?;
    }
    let audit = case.cluster().await?.audit()?;
    let ours = audit.iter().filter(|write| write.user == User::Tidegate.name() && write.namespace == name);
    let mut written: Vec<_> = ours
        .filter(|write| write.resource.contains("spark"))
        .map(|write| (write.resource.as_str(), write.name.as_str(), write.verb.as_str(), write.code))
        .collect();
    written.sort_unstable();
    let resource = "scheduledsparkapplications";
    case.figure(&format!("writes: {written:?}; shown: {shown}"));
    ensure!(written == [(resource, "conf", "patch", 200), (resource, "typed", "patch", 200)], "{written:?}");
    daemon.alive()
}

fn kind_of(app: &str) -> &'static str {
    if app == "running" { "SparkApplication" } else { "ScheduledSparkApplication" }
}

fn spec(name: &str, kind: &str, app: &str) -> Value {
    let target = if kind == "SparkApplication" { "sparkApplication" } else { "scheduledSparkApplication" };
    json!({
        "mode": "Apply",
        "target": {target: {"name": app}},
        "sources": [{"kafkaLag": {"cluster": "main", "group": name, "topics": [name]}}],
        "objective": {"lagPerReplica": 1}, "minReplicas": 1, "maxReplicas": PARTITIONS,
    })
}

pub(super) fn objects(home: &Home, kind: &str) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("sparkoperator.k8s.io", "v1beta2", kind));
    Api::namespaced_with(home.client.clone(), &home.name, &resource)
}

/// A quota with room for a hundred Pods.
async fn cap(home: &Home) -> Result<()> {
    let quotas: Api<ResourceQuota> = Api::namespaced(home.client.clone(), &home.name);
    let quota = json!({"metadata": {"name": "team"}, "spec": {"hard": {"pods": "100"}}});
    quotas.create(&PostParams::default(), &serde_json::from_value(quota)?).await?;
    Ok(())
}

/// Applies the definitions server-side: they are too large for anything else.
pub(super) async fn define(case: &Case, home: &Home) -> Result<()> {
    let crds: Api<CustomResourceDefinition> = Api::all(home.client.clone());
    for plural in ["sparkapplications", "scheduledsparkapplications"] {
        let file = case.tools().crd(&format!("sparkoperator.k8s.io_{plural}.yaml"));
        let text = std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        let crd: Value = serde_saphyr::from_str(&text)?;
        let name = format!("{plural}.sparkoperator.k8s.io");
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

/// Makes an application with bounds from 1 to 2, as its maker and its operator would.
pub(super) async fn create(
    home: &Home,
    app: &str,
    kind: &str,
    over: &Value,
    labels: &Value,
    state: &str,
) -> Result<()> {
    let good = json!({
        "type": "Python", "mode": "cluster", "sparkVersion": "4.2.0", "image": "spark:4.2.0",
        "mainApplicationFile": "local:///app.py", "driver": {"cores": 1}, "executor": {"cores": 1, "instances": 1},
        "dynamicAllocation": {"enabled": true, "initialExecutors": 1, "minExecutors": 1, "maxExecutors": 2},
    });
    let mut spec = with(&good, over);
    if kind == "ScheduledSparkApplication" {
        spec = json!({"schedule": "0 3 * * *", "concurrencyPolicy": "Forbid", "template": spec});
    }
    let object: DynamicObject = serde_json::from_value(json!({
        "apiVersion": "sparkoperator.k8s.io/v1beta2", "kind": kind,
        "metadata": {"name": app, "labels": labels}, "spec": spec,
    }))?;
    let api = objects(home, kind);
    eventually(&format!("{kind} {app} is made"), || async {
        Ok(Some(api.create(&PostParams::default(), &object).await?))
    })
    .await?;
    if !state.is_empty() {
        let status = json!({"status": {
            "applicationState": {"state": state}, "driverInfo": {}, "executorState": {"exec-1": "RUNNING"},
        }});
        api.patch_status(app, &PatchParams::default(), &Patch::Merge(status)).await?;
    }
    Ok(())
}
