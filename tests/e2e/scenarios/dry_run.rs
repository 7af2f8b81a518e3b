//! Dry run: nothing is written, and it decides exactly as it would live.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::support::cluster::User;
use crate::support::daemon::{Daemon, Decision, Turn, at, command};
use crate::support::objects::{Home, Image, policy};
use crate::support::replicas::ReplicaLog;
use crate::support::waiting::eventually;
use crate::support::world::Case;

const PARTITIONS: i32 = 6;
/// Unprocessed records to produce, and the size that each must end in.
const STEPS: [(usize, i32); 3] = [(3, 3), (2, 5), (4, 6)];

/// Two daemons decide on one group's backlog, one dry, one live. A person carries out what the dry one
/// recommends, so that both see the same. The decisions are equal; the API server's audit log has no
/// write of the dry one to any target.
pub(super) async fn nothing_is_written_and_the_decisions_are_the_same(case: Case) -> Result<()> {
    let (topic, group) = (case.name, case.name);
    let admin = case.kafka().await?.admin()?;
    admin.create(topic, PARTITIONS).await?;
    admin.commit_ends(group, topic, PARTITIONS).await?;
    let home = case.home().await?;
    let spec = |target: &str| {
        json!({
            "mode": "Apply",
            "target": {"scaleTargetRef": {"kind": "Deployment", "name": target}},
            "sources": [{"kafkaLag": {"cluster": "main", "group": group, "topics": [topic]}}],
            "objective": {"lagPerReplica": 1}, "minReplicas": 1, "maxReplicas": 6,
            "partitions": "allowIdleConsumers",
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
        })
    };
    let bootstrap = case.kafka().await?.bootstrap();
    let image = Image::consumer(&bootstrap, group, &[topic], 50).without_commits();
    for name in ["live", "dry"] {
        home.deploy(name, &image, 1).await?;
    }
    let live = daemon(&case, "live", "Apply", User::Tidegate).await?;
    let dry = daemon(&case, "dry", "Recommend", User::DryTidegate).await?;
    live.policies("policy.yaml", &policy(Some(case.name), "live", &spec("live")))?;
    dry.policies("policy.yaml", &policy(Some(case.name), "dry", &spec("dry")))?;
    let sizes = ReplicaLog::follow(&home, "dry").await?;
    for (name, daemon) in [("live", &live), ("dry", &dry)] {
        daemon.turns_pass(case.name, name, 3).await?;
    }
    for (records, size) in STEPS {
        for partition in 0..PARTITIONS {
            let share = usize::try_from(partition)?;
            admin.produce(topic, partition, usize::from(share < records)).await?;
        }
        home.has("live", size).await?;
        recommended(&dry, &case, size).await?;
        home.scale("dry", size).await?;
        home.has("dry", size).await?;
        for (name, daemon) in [("live", &live), ("dry", &dry)] {
            daemon.turns_pass(case.name, name, 4).await?;
        }
    }
    ensure!(sizes.moves() == [(1, 3), (3, 5), (5, 6)], "the person moved {:?}", sizes.moves());
    for daemon in [&live, &dry] {
        ensure!(daemon.stop().await?.success());
        daemon.replays().await?;
    }

    let (lived, recommended) =
        (changes(&live.journal(case.name, "live")?), changes(&dry.journal(case.name, "dry")?));
    case.figure(&format!("decisions that changed something, live: {lived:?}"));
    ensure!(lived == recommended, "the dry run decided otherwise: {recommended:?}");
    ensure!(lived.len() == STEPS.len(), "expected one change per step");
    audited(&case).await?;
    recommend_command(&case, &home, &dry).await
}

async fn daemon(case: &Case, name: &str, mode: &'static str, user: User) -> Result<Daemon> {
    let mut setup = case.setup().await?;
    setup.dir = case.path(name);
    setup.kubeconfig = case.cluster().await?.kubeconfig(user);
    setup.mode = mode;
    setup.further = json!({"memory": {"namespace": case.name, "name": format!("memory-{name}")}});
    Daemon::start(setup).await
}

async fn recommended(dry: &Daemon, case: &Case, size: i32) -> Result<()> {
    eventually(&format!("{size} is recommended"), || async {
        Ok((dry.workload(case.name, "dry").await?.desired == Some(size)).then_some(()))
    })
    .await
}

/// The decisions that were to change something, in order.
fn changes(turns: &[Turn]) -> Vec<Decision> {
    let acted = turns.iter().filter(|turn| turn.outcome == "applied" || turn.outcome == "recommended");
    let mut changes: Vec<_> = acted.map(|turn| turn.decision.clone()).collect();
    // A dry recommendation is repeated until somebody follows it.
    changes.dedup();
    changes
}

/// The one-shot command sees what the daemon sees, and its exit code tells CI that there is nothing to do.
async fn recommend_command(case: &Case, home: &Home, dry: &Daemon) -> Result<()> {
    let kubeconfig = case.cluster().await?.kubeconfig(User::DryTidegate);
    let settings = dry.settings().display().to_string();
    let args = ["recommend", "--settings", &settings, "--format", "json", "--exit-code"];
    let (code, output) = command(&case.dir, &kubeconfig, &args).await?;
    let answer: serde_json::Value = serde_json::from_str(&output)?;
    ensure!(code == 0, "nothing to do is exit code 0, not {code}: {output}");
    for (field, wanted) in [("current", 6), ("desired", 6), ("backlog", 9)] {
        ensure!(*at(&answer, &format!("/workloads/0/{field}")) == wanted, "{field}: {answer:#}");
    }
    let explain = ["explain", "dry-run/dry", "--settings", &settings, "--look"];
    let (code, output) = command(&case.dir, &kubeconfig, &explain).await?;
    ensure!(code == 0 && output.contains("9 needed"), "explain, {code}: {output}");
    // The same with something to do, once the group has its members again.
    home.scale("dry", 2).await?;
    home.has("dry", 2).await?;
    eventually("the command finds something to do", || async {
        let (code, output) = command(&case.dir, &kubeconfig, &args).await?;
        let answer: serde_json::Value = serde_json::from_str(&output)?;
        ensure!(code == 2, "something to do is exit code 2, not {code}: {output}");
        ensure!(*at(&answer, "/workloads/0/desired") == 6, "{answer:#}");
        Ok(Some(()))
    })
    .await
}

async fn audited(case: &Case) -> Result<()> {
    let writes = case.cluster().await?.audit()?;
    let by = |user: User| {
        writes.iter().filter(move |write| write.user == user.name() && write.namespace == case.name)
    };
    let dry: Vec<_> = by(User::DryTidegate).filter(|write| touches_target(&write.resource)).collect();
    let live = by(User::Tidegate).filter(|write| touches_target(&write.resource)).count();
    case.figure(&format!("writes to targets in the audit log: dry {}, live {live}", dry.len()));
    ensure!(dry.is_empty(), "the dry run wrote: {dry:?}");
    ensure!(live == STEPS.len(), "the live run wrote {live} times");
    Ok(())
}

/// All but the daemon's own memory and events.
fn touches_target(resource: &str) -> bool {
    !matches!(resource, "configmaps" | "events" | "leases")
}
