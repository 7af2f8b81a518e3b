//! Beside a real HPA: we move its bounds, it moves the Deployment.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;

use crate::support::objects::{Image, policy};
use crate::support::waiting::{becomes, eventually};
use crate::support::world::Case;

const PARTITIONS: i32 = 6;

/// The real controller follows our `minReplicas`; our fields survive its status updates; the metric's
/// target value is set; a second field manager makes us yield and say who.
pub(super) async fn bounds_beside_the_real_controller(case: Case) -> Result<()> {
    let (topic, group) = (case.name, case.name);
    let (admin, home) = (case.kafka().await?.admin()?, case.home().await?);
    admin.create(topic, PARTITIONS).await?;
    admin.commit_ends(group, topic, PARTITIONS).await?;
    let bootstrap = case.kafka().await?.bootstrap();
    let image = Image::consumer(&bootstrap, group, &[topic], 50).without_commits();
    home.deploy("consumer", &image, 1).await?;
    let hpas: Api<HorizontalPodAutoscaler> = Api::namespaced(home.client.clone(), &home.name);
    let hpa = serde_json::from_value(json!({
        "metadata": {"name": "consumer"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "consumer"},
            "minReplicas": 1, "maxReplicas": 2,
            "metrics": [{"type": "External", "external": {
                "metric": {"name": "backlog"}, "target": {"type": "AverageValue", "averageValue": "1"},
            }}],
        },
    }))?;
    hpas.create(&PostParams::default(), &hpa).await?;
    let daemon = case.daemon().await?;
    let spec = json!({
        "mode": "Apply",
        "target": {"horizontalPodAutoscaler": {
            "name": "consumer", "metric": {"name": "backlog", "means": "backlog"},
        }},
        "sources": [{"kafkaLag": {"cluster": "main", "group": group, "topics": [topic]}}],
        "objective": {"lagPerReplica": 7},
        "minReplicas": 1, "maxReplicas": 6,
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
        "budget": {"changesPerHour": 100},
    });
    daemon.policies("hpa.yaml", &policy(Some(case.name), case.name, &spec))?;
    daemon.turns_pass(case.name, case.name, 3).await?;

    // 21 records at 7 per replica: the lower bound rises to 3, and the HPA follows.
    admin.produce(topic, 0, 21).await?;
    becomes("minReplicas", Some(3), || async { Ok(bounds(&hpas).await?.0) }).await?;
    home.has("consumer", 3).await.context("the HPA controller follows")?;
    let (_, most, target) = bounds(&hpas).await?;
    case.figure(&format!("minReplicas 3, maxReplicas {most}, the metric's target {target}"));
    ensure!((3..=6).contains(&most), "maxReplicas is {most}");
    ensure!(target == "7", "the metric's target is {target}, not 7");

    // The controller has written its status since; our bounds still stand, under our name.
    let settled = eventually("the controller wrote its status", || async {
        let hpa = hpas.get("consumer").await?;
        let seen = hpa.status.as_ref().map(|status| status.desired_replicas);
        Ok((seen == Some(3)).then_some(hpa))
    })
    .await?;
    let managers: Vec<_> =
        settled.managed_fields().iter().filter_map(|entry| entry.manager.clone()).collect();
    ensure!(managers.iter().any(|manager| manager == "tidegate"), "field managers: {managers:?}");
    daemon.turns_pass(case.name, case.name, 4).await?;
    ensure!(bounds(&hpas).await?.0 == Some(3), "our bound did not last");

    yields(&case, &hpas).await?;
    // 14 more would need 5: nothing is written against the other owner.
    admin.produce(topic, 1, 14).await?;
    let said = daemon.says(case.name, case.name, "OwnedByOther").await?;
    ensure!(said.sentence.contains("platform-team"), "the owner is not named: {}", said.sentence);
    daemon.turns_pass(case.name, case.name, 5).await?;
    ensure!(bounds(&hpas).await?.0 == Some(2), "it wrote against the other owner");
    case.figure(&said.sentence);
    ensure!(daemon.stop().await?.success());
    Ok(())
}

/// Another field manager takes the lower bound.
async fn yields(case: &Case, hpas: &Api<HorizontalPodAutoscaler>) -> Result<()> {
    let other = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "consumer", "namespace": case.name},
        "spec": {"minReplicas": 2},
    });
    let takes = PatchParams::apply("platform-team").force();
    hpas.patch("consumer", &takes, &Patch::Apply(other)).await?;
    Ok(())
}

/// `minReplicas`, `maxReplicas` and the metric's target.
async fn bounds(hpas: &Api<HorizontalPodAutoscaler>) -> Result<(Option<i32>, i32, String)> {
    let spec = hpas.get("consumer").await?.spec;
    let metric = spec.metrics.iter().flatten().next().and_then(|metric| metric.external.as_ref());
    let target = metric.and_then(|metric| metric.target.average_value.clone());
    Ok((spec.min_replicas, spec.max_replicas, target.map_or_else(String::new, |quantity| quantity.0)))
}
