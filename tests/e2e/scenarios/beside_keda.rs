//! Beside the real KEDA: its operator, its metrics adapter and the real HPA controller.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use crate::support::audit::Write;
use crate::support::cluster::User;
use crate::support::daemon::{Daemon, at, command};
use crate::support::keda::{scaled_object, scaled_objects};
use crate::support::objects::{Home, Image, policy};
use crate::support::topics::Admin;
use crate::support::waiting::becomes;
use crate::support::world::Case;

const PARTITIONS: i32 = 6;
const HPA: &str = "keda-hpa-consumer";

/// A Deployment that commits nothing, and a ScaledObject over it that would keep it at 1.
struct Scene {
    name: &'static str,
    home: Home,
    admin: Admin,
    bootstrap: String,
    objects: Api<DynamicObject>,
    hpas: Api<HorizontalPodAutoscaler>,
}

impl Scene {
    async fn set(case: &Case) -> Result<Self> {
        let keda = case.keda().await?;
        let (name, bootstrap) = (case.name, case.kafka().await?.bootstrap());
        let home = Home::create(keda.cluster().client(), name).await?;
        let admin = case.kafka().await?.admin()?;
        admin.create(name, PARTITIONS).await?;
        admin.commit_ends(name, name, PARTITIONS).await?;
        let scene =
            Self { name, admin, objects: scaled_objects(&home), hpas: home.autoscalers(), home, bootstrap };
        scene.home.deploy("consumer", &scene.image(), 1).await?;
        scaled_object(&scene.home, "consumer", &scene.spec()).await?;
        becomes("the bounds of KEDA's HPA", Some((1, 4)), || scene.hpa()).await?;
        Ok(scene)
    }

    /// Members of the group that take records and commit nothing.
    fn image(&self) -> Image {
        Image::consumer(&self.bootstrap, self.name, &[self.name], 50).without_commits()
    }

    /// KEDA's share: a lag of 1000 per replica, and 4 replicas when Kafka cannot be asked.
    fn spec(&self) -> Value {
        json!({
            "scaleTargetRef": {"name": "consumer"},
            "pollingInterval": 1, "minReplicaCount": 1, "maxReplicaCount": 4,
            "fallback": {"failureThreshold": 1, "replicas": 4},
            "triggers": [trigger(&self.bootstrap, self.name, self.name)],
        })
    }

    /// The lower and the upper bound of the ScaledObject.
    async fn bounds(&self) -> Result<(i64, i64)> {
        let object = self.objects.get("consumer").await?;
        let bound = |field: &str| at(&object.data, &format!("/spec/{field}")).as_i64();
        bound("minReplicaCount").zip(bound("maxReplicaCount")).context("a ScaledObject without bounds")
    }

    /// Those of KEDA's HPA; `None` where there is none.
    async fn hpa(&self) -> Result<Option<(i32, i32)>> {
        let hpa = self.hpas.get_opt(HPA).await?;
        Ok(hpa.map(|hpa| (hpa.spec.min_replicas.unwrap_or(1), hpa.spec.max_replicas)))
    }

    async fn patch(&self, patch: &Value) -> Result<()> {
        let params = PatchParams { field_manager: Some("kubectl".to_owned()), ..PatchParams::default() };
        self.objects.patch("consumer", &params, &Patch::Merge(patch)).await?;
        Ok(())
    }

    async fn annotate(&self, name: &str, value: Option<&str>) -> Result<()> {
        self.patch(&json!({"metadata": {"annotations": {(name): value}}})).await
    }

    async fn daemon(&self, case: &Case) -> Result<Daemon> {
        Daemon::start(case.setup_on(case.keda().await?.cluster()).await?).await
    }

    /// A policy of 7 records per replica.
    fn policy(&self, name: &str, target: &Value) -> String {
        let spec = json!({
            "mode": "Apply", "target": target,
            "sources": [{"kafkaLag": {"cluster": "main", "group": self.name, "topics": [self.name]}}],
            "objective": {"lagPerReplica": 7},
            "minReplicas": 1, "maxReplicas": 6,
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
            "budget": {"changesPerHour": 100},
        });
        policy(Some(self.name), name, &spec)
    }
}

fn trigger(bootstrap: &str, group: &str, topic: &str) -> Value {
    json!({"type": "kafka", "metadata": {
        "bootstrapServers": bootstrap, "consumerGroup": group, "topic": topic, "lagThreshold": "1000",
    }})
}

/// We move the ScaledObject's bounds; KEDA carries them over to its HPA, and the HPA controller follows. A
/// pause stops us, KEDA's fallback acts inside our bounds, and neither takes anything back from the other.
pub(super) async fn its_bounds_are_moved(case: Case) -> Result<()> {
    let scene = Scene::set(&case).await?;
    let daemon = scene.daemon(&case).await?;
    daemon
        .policies("bounds.yaml", &scene.policy(scene.name, &json!({"scaledObject": {"name": "consumer"}})))?;
    daemon.turns_pass(scene.name, scene.name, 2).await?;

    // 21 records at 7 per replica: KEDA alone would stay at 1.
    scene.admin.produce(scene.name, 0, 21).await?;
    becomes("minReplicaCount", 3, || async { Ok(scene.bounds().await?.0) }).await?;
    let (_, most) = scene.bounds().await?;
    case.figure(&format!("minReplicaCount 3, maxReplicaCount {most}"));
    becomes("the bounds of KEDA's HPA", Some((3, i32::try_from(most)?)), || scene.hpa()).await?;
    scene.home.has("consumer", 3).await.context("the HPA controller follows")?;

    // KEDA has written to the object since; our bounds still stand, under our name.
    daemon.turns_pass(scene.name, scene.name, 4).await?;
    ensure!(scene.bounds().await? == (3, most), "our bounds did not last");
    let object = scene.objects.get("consumer").await?;
    let managers: Vec<_> = object.managed_fields().iter().filter_map(|entry| entry.manager.clone()).collect();
    ensure!(managers.iter().any(|manager| manager == "tidegate"), "field managers: {managers:?}");
    ensure!(managers.len() > 2, "KEDA has written nothing: {managers:?}");

    pausing(&scene, &daemon, most).await?;
    falling_back(&scene, &daemon).await?;

    daemon.alive()?;
    ensure!(daemon.stop().await?.success());
    writes_are_few(&case).await
}

/// While KEDA is paused nothing is written, and the reason is said; after it, the bounds follow again.
async fn pausing(scene: &Scene, daemon: &Daemon, most: i64) -> Result<()> {
    let annotation = "autoscaling.keda.sh/paused";
    scene.annotate(annotation, Some("true")).await?;
    let said = daemon.says(scene.name, scene.name, "OwnedByOther").await?;
    ensure!(said.sentence.contains(annotation), "the pause is not named: {}", said.sentence);
    becomes("KEDA's HPA while paused", None, || scene.hpa()).await?;
    scene.admin.produce(scene.name, 1, 14).await?;
    daemon.turns_pass(scene.name, scene.name, 4).await?;
    ensure!(scene.bounds().await? == (3, most), "it wrote during the pause: {:?}", scene.bounds().await?);
    scene.annotate(annotation, None).await?;
    becomes("minReplicaCount after the pause", 5, || async { Ok(scene.bounds().await?.0) }).await?;
    scene.home.has("consumer", 5).await.context("the HPA controller follows after the pause")
}

/// KEDA looks for a topic that is not there and falls back, below our lower bound and then above it. (Where
/// no broker answers, KEDA 2.21 cannot make its scaler, and does not fall back at all.)
async fn falling_back(scene: &Scene, daemon: &Daemon) -> Result<()> {
    let nowhere = trigger(&scene.bootstrap, scene.name, "no-such-topic");
    scene.patch(&json!({"spec": {"triggers": [nowhere]}})).await?;
    let fallback = |status: &'static str| {
        becomes("KEDA's condition Fallback", Some(status.to_owned()), move || async move {
            let object = scene.objects.get("consumer").await?;
            let conditions = at(&object.data, "/status/conditions").as_array().cloned().unwrap_or_default();
            let ours = conditions.iter().find(|condition| at(condition, "/type") == "Fallback").cloned();
            Ok(ours.and_then(|condition| Some(at(&condition, "/status").as_str()?.to_owned())))
        })
    };
    fallback("True").await?;
    daemon.turns_pass(scene.name, scene.name, 4).await?;
    ensure!(scene.bounds().await?.0 == 5, "the fallback moved our lower bound");
    ensure!(scene.home.replicas("consumer").await? == 5, "a fallback of 4 lowered it below our bound");

    // All but 7 records are processed: our lower bound goes, and the fallback has its way.
    // (Nobody can commit for a group with members.)
    let mut ends = scene.admin.ends(scene.name, PARTITIONS).await?;
    ends.entry(0).and_modify(|end| *end -= 7);
    scene.home.redeploy("consumer", &Image::Pause).await?;
    scene.admin.commit(scene.name, scene.name, &ends).await?;
    scene.home.redeploy("consumer", &scene.image()).await?;
    becomes("minReplicaCount after the commit", 1, || async { Ok(scene.bounds().await?.0) }).await?;
    becomes("the bounds of KEDA's HPA", Some(1), || async { Ok(scene.hpa().await?.map(|hpa| hpa.0)) })
        .await?;
    scene.home.has("consumer", 4).await.context("the replicas of the fallback")?;
    daemon.turns_pass(scene.name, scene.name, 4).await?;
    ensure!(scene.bounds().await?.0 == 1, "running replicas became a bound: {:?}", scene.bounds().await?);

    let right = trigger(&scene.bootstrap, scene.name, scene.name);
    scene.patch(&json!({"spec": {"triggers": [right]}})).await?;
    fallback("False").await?;
    becomes("replicas after the fallback", 1, || scene.home.replicas("consumer")).await
}

/// Every write of ours was a move of bounds: nobody took anything back.
async fn writes_are_few(case: &Case) -> Result<()> {
    let writes = ours(case).await?;
    let (bounds, rest): (Vec<_>, Vec<_>) = writes.iter().partition(|write| write.resource == "scaledobjects");
    case.figure(&format!("{} writes to the ScaledObject", bounds.len()));
    ensure!((3..=8).contains(&bounds.len()), "too many, or too few: {bounds:?}");
    ensure!(rest.is_empty(), "it wrote to what is KEDA's: {rest:?}");
    Ok(())
}

/// Everything that Tidegate wrote to what is scaled and to those who scale.
async fn ours(case: &Case) -> Result<Vec<Write>> {
    let scaling = ["deployments", "horizontalpodautoscalers", "scaledobjects"];
    let writes = case.keda().await?.cluster().audit()?.into_iter();
    Ok(writes
        .filter(|write| [User::Tidegate, User::DryTidegate].iter().any(|user| user.name() == write.user))
        .filter(|write| write.namespace == case.name)
        .filter(|write| scaling.iter().any(|kind| write.resource.starts_with(kind)))
        .collect())
}

/// What a ScaledObject owns is nobody else's: neither its Deployment nor its HPA is touched; and the
/// ScaledObject, read from the cluster, becomes a policy.
pub(super) async fn what_it_owns_is_left_alone(case: Case) -> Result<()> {
    let scene = Scene::set(&case).await?;
    let daemon = scene.daemon(&case).await?;
    let deployment = json!({"scaleTargetRef": {"kind": "Deployment", "name": "consumer"}});
    let hpa = json!({"horizontalPodAutoscaler": {"name": HPA}});
    daemon.policies("deployment.yaml", &scene.policy("deployment", &deployment))?;
    daemon.policies("hpa.yaml", &scene.policy("hpa", &hpa))?;
    scene.admin.produce(scene.name, 0, 21).await?;
    for name in ["deployment", "hpa"] {
        let said = daemon.says(scene.name, name, "OwnedByOther").await?;
        let owner = format!("ScaledObject {}/consumer", scene.name);
        ensure!(said.sentence.contains(&owner), "{name}: the owner is not named: {}", said.sentence);
        daemon.turns_pass(scene.name, name, 4).await?;
        case.figure(&said.sentence);
    }
    ensure!(scene.home.replicas("consumer").await? == 1, "it moved KEDA's Deployment");
    ensure!(scene.hpa().await? == Some((1, 4)), "it moved KEDA's HPA");
    imported(&case, &scene).await?;
    ensure!(ours(&case).await?.is_empty(), "it wrote: {:?}", ours(&case).await?);

    // Without the ScaledObject the Deployment is ours.
    scene.objects.delete("consumer", &kube::api::DeleteParams::default()).await?;
    scene.home.has("consumer", 3).await.context("it takes over")?;
    ensure!(daemon.stop().await?.success());
    Ok(())
}

/// `import keda --from-cluster`, as KEDA's own API server gives the object back.
async fn imported(case: &Case, scene: &Scene) -> Result<()> {
    let kubeconfig = case.keda().await?.cluster().kubeconfig(User::DryTidegate);
    let connection = format!("main={}", scene.bootstrap);
    for (style, target) in [
        (
            "scale",
            json!({"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "consumer"}}),
        ),
        ("scaled-object", json!({"scaledObject": {"name": "consumer"}})),
    ] {
        let args = ["import", "keda", "--from-cluster", "--namespace", scene.name, "--target", style];
        let args = [args.as_slice(), &["--connection", &connection]].concat();
        let (code, text) = command(&case.dir, &kubeconfig, &args).await?;
        ensure!(code == 0, "import ended with {code}: {text}");
        let policy: Value = serde_saphyr::from_str(&text).context("what import wrote")?;
        let spec = at(&policy, "/spec");
        ensure!(at(spec, "/target") == &target, "{style}: {text}");
        ensure!(at(spec, "/mode") == "Recommend" && at(spec, "/objective/lagPerReplica") == 1000, "{text}");
        ensure!(at(spec, "/sources/0/kafkaLag/group") == scene.name, "{text}");
        ensure!((at(spec, "/minReplicas"), at(spec, "/maxReplicas")) == (&json!(1), &json!(4)), "{text}");
        let file = case.path("imported.yaml");
        std::fs::write(&file, &text)?;
        let (code, said) =
            command(&case.dir, &kubeconfig, &["validate", &file.display().to_string()]).await?;
        ensure!(code == 0, "what import wrote is not valid: {said}");
    }
    Ok(())
}
