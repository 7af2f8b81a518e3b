//! The chart, installed by real Helm; the daemon in the image's own file system, with the rights and the
//! token that the chart gives it, and TLS to Kafka and Kubernetes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::json;

use crate::support::cluster::User;
use crate::support::daemon::Daemon;
use crate::support::kafka::WATCHER;
use crate::support::objects::{Home, Image};
use crate::support::place::{Tools, free_port};
use crate::support::process::Program;
use crate::support::waiting::eventually;
use crate::support::world::Case;

const PARTITIONS: i32 = 3;
const RENDERINGS: [&str; 4] = ["recommend", "apply", "cluster-wide", "everything"];

/// `helm lint` and `helm template` for every kept set of values; values that the schema refuses.
pub(super) async fn renderings(case: Case) -> Result<()> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/chart");
    let chart = Tools::chart().display().to_string();
    for name in RENDERINGS {
        let values = golden.join(format!("{name}.values.yaml")).display().to_string();
        helm(&case, None, &["lint", "--strict", &chart, "-f", &values]).await?;
        let rendered = helm(&case, None, &["template", "tg", &chart, "-n", "ops", "-f", &values]).await?;
        let expected = golden.join(format!("{name}.golden.yaml"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&expected, &rendered)?;
        }
        let expected = fs::read_to_string(&expected).context("run with UPDATE_GOLDEN=1 to write it")?;
        ensure!(
            rendered == expected,
            "the chart renders otherwise for {name}.values.yaml; UPDATE_GOLDEN=1 accepts it"
        );
        ensure!(!rendered.contains("secrets]") && !rendered.contains("\"secrets\""), "a verb on Secrets");
    }
    for (set, wanted) in [("mode=aply", "mode"), ("watchNamespace={shop}", "watchNamespace")] {
        let refused = helm(&case, None, &["template", "tg", &chart, "--set", set]).await;
        let told = refused.err().map(|error| format!("{error:#}")).unwrap_or_default();
        ensure!(told.contains(wanted), "--set {set} is refused by name, not: {told}");
    }
    Ok(())
}

/// Recommends without any right to write; applies with exactly the rights that it takes; leaves nothing.
pub(super) async fn installed_by_helm(case: Case) -> Result<()> {
    let (name, kafka) = (case.name, case.kafka().await?);
    let admin = kafka.admin()?;
    admin.create(name, PARTITIONS).await?;
    admin.commit_ends(name, name, PARTITIONS).await?;
    let principal = format!("User:{}", WATCHER.0);
    let describe = ["--add", "--allow-principal", &principal, "--operation", "Describe"];
    kafka
        .tool(
            "org.apache.kafka.tools.AclCommand",
            &[&describe[..], &["--topic", name, "--group", name]].concat(),
        )
        .await?;
    let home = case.home().await?;
    let image = Image::consumer(&kafka.bootstrap(), name, &[name], 50).without_commits();
    home.deploy("orders", &image, 1).await?;
    credentials(&home, &kafka.ca()).await?;
    for partition in 0..PARTITIONS {
        admin.produce(name, partition, 1).await?;
    }

    let port = free_port()?;
    let values = write_values(&case, &kafka.secure_bootstrap(), port)?;
    release(&case, &["install"], &values, "recommend").await?;
    let daemon = Daemon::in_a_pod(&case.dir, port);
    let workload = eventually("the first recommendation", || async {
        let workload = daemon.workload(name, "orders").await?;
        Ok((workload.desired == Some(3)).then_some(workload))
    })
    .await?;
    ensure!(workload.current == Some(1), "{workload:?}");
    ensure!(home.replicas("orders").await? == 1, "recommend mode moved the target");
    allowed(&home, false).await?;
    let writes = writes(&case).await?;
    ensure!(
        writes.iter().all(|resource| resource == "configmaps" || resource == "events"),
        "recommend mode wrote {writes:?}"
    );

    release(&case, &["upgrade"], &values, "apply").await?;
    home.has("orders", 3).await?;
    allowed(&home, true).await?;
    helm(&case, Some(()), &["uninstall", "tg", "-n", name, "--wait"]).await?;
    ensure!(home.replicas("orders").await? == 3, "uninstalling moved the target");
    Ok(())
}

fn write_values(case: &Case, bootstrap: &str, port: u16) -> Result<PathBuf> {
    let servers: Vec<&str> = bootstrap.split(',').collect();
    let credentials = |file: &str| format!("/etc/tidegate/credentials/kafka/{file}");
    let policy = json!({
        "apiVersion": "tidegate.dev/v1alpha1", "kind": "ScalingPolicy",
        "metadata": {"name": "orders", "namespace": case.name},
        "spec": {
            "mode": "Apply",
            "target": {"scaleTargetRef": {"kind": "Deployment", "name": "orders"}},
            "sources": [{"kafkaLag": {"cluster": "main", "group": case.name, "topics": [case.name]}}],
            "objective": {"lagPerReplica": 1}, "maxReplicas": 3,
        },
    });
    let values = json!({
        "settings": {
            "interval": "1s",
            "connections": {"kafka": {"main": {
                "bootstrapServers": servers,
                "tls": {"caFile": credentials("ca.crt")},
                "sasl": {
                    "mechanism": "SCRAM-SHA-512",
                    "usernameFile": credentials("username"), "passwordFile": credentials("password"),
                },
            }}},
        },
        "credentials": [{"name": "kafka", "secretName": "kafka-client"}],
        "policies": [policy],
        // Every Pod of the suite shares this machine's ports.
        "extraArgs": [format!("--listen=127.0.0.1:{port}")],
    });
    let file = case.path("values.json");
    fs::write(&file, values.to_string())?;
    Ok(file)
}

async fn credentials(home: &Home, ca: &Path) -> Result<()> {
    let secret: Secret = serde_json::from_value(json!({
        "metadata": {"name": "kafka-client"},
        "stringData": {
            "ca.crt": fs::read_to_string(ca)?, "username": WATCHER.0, "password": WATCHER.1,
        },
    }))?;
    Api::namespaced(home.client.clone(), &home.name).create(&PostParams::default(), &secret).await?;
    Ok(())
}

async fn release(case: &Case, verb: &[&str], values: &Path, mode: &str) -> Result<()> {
    let (chart, values) = (Tools::chart().display().to_string(), values.display().to_string());
    let mode = format!("mode={mode}");
    let args = ["tg", &chart, "-n", case.name, "-f", &values, "--set", &mode, "--wait"];
    helm(case, Some(()), &[verb, &args[..]].concat()).await?;
    Ok(())
}

/// Runs Helm, against the cluster where asked; its standard output.
async fn helm(case: &Case, with_cluster: Option<()>, args: &[&str]) -> Result<String> {
    let (log, output) = (case.path("helm.log"), case.path("helm.out"));
    fs::write(&log, "")?;
    fs::write(&output, "")?;
    let mut helm = Program::new(case.tools().bin("helm"), &log).stdout(&output).args(args.iter().copied());
    if with_cluster.is_some() {
        let kubeconfig = case.cluster().await?.kubeconfig(User::Suite);
        helm = helm.env("KUBECONFIG", kubeconfig.display().to_string());
    }
    helm.run().await.with_context(|| format!("helm {}", args.join(" ")))?;
    Ok(fs::read_to_string(&output)?)
}

/// What the chart's account may do, as the API server's authorizer says: what it may in both modes, what
/// it may only in apply mode, what it may never.
async fn allowed(home: &Home, apply: bool) -> Result<()> {
    let always = [
        ("get", "apps", "deployments", ""),
        ("get", "apps", "deployments", "scale"),
        ("list", "autoscaling", "horizontalpodautoscalers", ""),
        ("watch", "", "configmaps", ""),
        ("create", "events.k8s.io", "events", ""),
    ];
    let applying = [
        ("patch", "apps", "deployments", "scale"),
        ("patch", "apps", "statefulsets", "scale"),
        ("patch", "autoscaling", "horizontalpodautoscalers", ""),
    ];
    let never = [
        ("patch", "apps", "deployments", ""),
        ("update", "apps", "deployments", ""),
        ("update", "apps", "deployments", "scale"),
        ("delete", "apps", "deployments", ""),
        ("update", "autoscaling", "horizontalpodautoscalers", ""),
        ("delete", "autoscaling", "horizontalpodautoscalers", ""),
        ("patch", "keda.sh", "scaledobjects", ""),
        ("get", "", "secrets", ""),
        ("list", "", "secrets", ""),
        ("create", "", "pods", ""),
        ("update", "", "configmaps", ""),
        ("patch", "events.k8s.io", "events", ""),
        ("delete", "", "configmaps", ""),
    ];
    let wanted = always.iter().map(|right| (right, true));
    let wanted = wanted.chain(applying.iter().map(|right| (right, apply)));
    for (right, wanted) in wanted.chain(never.iter().map(|right| (right, false))) {
        ensure!(may(&home.client, &home.name, *right).await? == wanted, "{right:?} should be {wanted}");
    }
    Ok(())
}

async fn may(client: &Client, namespace: &str, right: (&str, &str, &str, &str)) -> Result<bool> {
    let (verb, group, resource, subresource) = right;
    let review: SubjectAccessReview = serde_json::from_value(json!({"metadata": {}, "spec": {
        "user": account(namespace),
        "groups": ["system:serviceaccounts", "system:authenticated"],
        "resourceAttributes": {
            "namespace": namespace, "verb": verb, "group": group,
            "resource": resource, "subresource": subresource,
        },
    }}))?;
    let review = Api::all(client.clone()).create(&PostParams::default(), &review).await?;
    Ok(review.status.context("a review without an answer")?.allowed)
}

fn account(namespace: &str) -> String {
    format!("system:serviceaccount:{namespace}:tg-tidegate")
}

/// The resources that the daemon's account has written to, or tried to.
async fn writes(case: &Case) -> Result<Vec<String>> {
    let (all, account) = (case.cluster().await?.audit()?, account(case.name));
    Ok(all.into_iter().filter(|write| write.user == account).map(|write| write.resource).collect())
}
