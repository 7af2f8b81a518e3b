//! A Flink job as the target: rescaled in place by its own JobManager, with the state intact.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::support::cluster::User;
use crate::support::daemon::{Daemon, Setup, command};
use crate::support::flink::{Flink, Layout, Order};
use crate::support::load::Load;
use crate::support::objects::{Home, policy, with};
use crate::support::waiting::{becomes, eventually};
use crate::support::world::Case;

/// Rungs: 1, 2, 3, 4, 6, 12.
pub(super) const PARTITIONS: i32 = 12;
/// Microseconds that one record takes: one slot processes somewhat less than 200 in a second.
pub(super) const COST: u32 = 5000;
/// The lines that are run against, in turn.
pub(super) const NEWEST: &str = "2.2";
pub(super) const OLDER: &str = "1.20";

/// A job on a cluster of its own, under load, and a daemon that watches it.
pub(super) struct Stage {
    name: &'static str,
    pub(super) home: Home,
    pub(super) flink: Flink,
    pub(super) job: String,
    pub(super) load: Load,
    pub(super) daemon: Daemon,
}

impl Stage {
    pub(super) async fn start(
        case: &Case,
        line: &str,
        slots: &[u32],
        (parallelism, rate): (u32, u64),
    ) -> Result<Self> {
        Self::start_with(case, line, slots, (parallelism, rate), "adaptive").await
    }

    /// The same with another scheduler.
    pub(super) async fn start_with(
        case: &Case,
        line: &str,
        slots: &[u32],
        (parallelism, rate): (u32, u64),
        scheduler: &str,
    ) -> Result<Self> {
        let bootstrap = case.kafka().await?.bootstrap();
        case.kafka().await?.admin()?.create(case.name, PARTITIONS).await?;
        let options = &[("jobmanager.scheduler", Some(scheduler))];
        let flink = Flink::start(
            case.tools(),
            &case.path("flink"),
            Layout { line, slots, options, application: None },
        )
        .await?;
        let load = Load::start(&bootstrap, case.name, PARTITIONS, rate)?;
        let order = order(case.name, &bootstrap, parallelism);
        let job = flink.submit(&order).await?;
        Self::on(case, flink, job, load).await
    }

    /// A job that is there already, with a daemon that watches it.
    pub(super) async fn on(case: &Case, flink: Flink, job: String, load: Load) -> Result<Self> {
        Self::at(case, case.home().await?, flink, job, load).await
    }

    /// The same in a namespace that is there already.
    pub(super) async fn at(case: &Case, home: Home, flink: Flink, job: String, load: Load) -> Result<Self> {
        let mut setup = case.setup().await?;
        setup.connections = with(&setup.connections, &json!({"flink": {"main": {"url": flink.url()}}}));
        let daemon = Daemon::start(Setup { dir: case.path("daemon"), ..setup }).await?;
        Ok(Self { name: case.name, home, flink, job, load, daemon })
    }

    /// Puts the policy in force, with `over` on top.
    pub(super) fn policy(&self, over: &Value) -> Result<()> {
        let spec = json!({
            "mode": "Apply",
            "target": {"flinkCluster": {"cluster": "main", "job": self.name}},
            "sources": [{"kafkaLag": {"cluster": "main", "group": self.name, "topics": [self.name]}}],
            "objective": {"maxLag": "20s", "catchUp": "40s"},
            "minReplicas": 1, "maxReplicas": 8,
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 15}},
        });
        self.daemon.policies("flink.yaml", &policy(Some(self.name), self.name, &with(&spec, over)))
    }

    /// The moves that were carried out.
    pub(super) fn moves(&self) -> Result<Vec<(i32, i32)>> {
        let turns = self.daemon.journal(self.name, self.name)?;
        let applied = turns.into_iter().filter(|turn| turn.outcome == "applied");
        applied
            .map(|turn| turn.decision.current.zip(turn.decision.desired).context("a move without sizes"))
            .collect()
    }

    /// Waits until the job and all about it are known well enough to move it either way.
    pub(super) async fn is_trusted(&self) -> Result<()> {
        eventually("the job is known", || async {
            let workload = self.daemon.workload(self.name, self.name).await?;
            let doubt = ["Target", "Signal", "Group", "Warming"];
            let doubtful = |said: &String| doubt.iter().any(|word| said.starts_with(word));
            Ok((workload.current.is_some() && !workload.reasons.iter().any(doubtful)).then_some(()))
        })
        .await
    }

    /// Waits until more than two is asked for; how much.
    pub(super) async fn is_asked_for_more(&self) -> Result<u32> {
        eventually("more is asked for", || async {
            let asked = self.flink.asked(&self.job).await?.into_iter().max().context("no vertices")?;
            Ok(Some(u32::try_from(asked)?).filter(|asked| *asked > 2))
        })
        .await
    }

    pub(super) async fn runs_above(&self, parallelism: u32) -> Result<()> {
        becomes(&format!("the job runs at more than {parallelism}"), true, || async {
            Ok(self.flink.parallelism(&self.job).await? > parallelism)
        })
        .await
    }

    /// Stops the load, and holds the job's own count against what was produced: state went nowhere.
    pub(super) async fn nothing_was_lost(&self) -> Result<()> {
        self.load.set(0);
        sleep(Duration::from_secs(1)).await;
        let produced = self.load.produced();
        becomes("every record was counted exactly once", produced, || self.flink.counted(&self.job)).await
    }
}

pub(super) fn order<'a>(name: &'a str, bootstrap: &'a str, parallelism: u32) -> Order<'a> {
    Order { name, bootstrap, topic: name, cost: COST, checkpoint: 2000, parallelism }
}

/// The load rises, and falls again: up in one move, or in two where the first size keeps up and no more, for moves cost
/// little here; the backlog is gone, nothing is lost.
pub(super) async fn in_place_up_and_down(case: Case) -> Result<()> {
    let stage = Stage::start(&case, NEWEST, &[4, 4], (2, 300)).await?;
    stage.policy(&json!({}))?;
    // What a slot can do is learnt in half a minute of work.
    stage.is_trusted().await?;
    sleep(Duration::from_secs(35)).await;
    ensure!(stage.moves()?.is_empty(), "it moved without need: {:?}", stage.moves()?);

    stage.load.set(500);
    let stepped = Instant::now();
    let high = eventually("the job is rescaled", || async {
        Ok(Some(stage.flink.parallelism(&stage.job).await?).filter(|parallelism| *parallelism > 2))
    })
    .await?;
    let rescaled = stepped.elapsed();
    eventually("the backlog is gone", || async {
        let workload = stage.daemon.workload(case.name, case.name).await?;
        Ok(workload.backlog.filter(|backlog| *backlog < 500).map(|_| ()))
    })
    .await?;
    stage.daemon.turns_pass(case.name, case.name, 5).await?;
    case.figure(&format!(
        "300 -> 500 records/s: at {high} after {:.0} s, the backlog gone after {:.0} s; moves {:?}",
        rescaled.as_secs_f64(),
        stepped.elapsed().as_secs_f64(),
        stage.moves()?
    ));
    ensure!((3..=6).contains(&high), "a rung that is too far off: {high}");
    let raised = stage.moves()?;
    ensure!((1..=2).contains(&raised.len()), "more than two moves up: {raised:?}");

    stage.load.set(100);
    let dropped = Instant::now();
    // One slot would do; two are as near as it may stay, for the second step must pay back first.
    let low = eventually("the job is made smaller", || async {
        Ok(Some(stage.flink.parallelism(&stage.job).await?).filter(|parallelism| *parallelism <= 2))
    })
    .await?;
    case.figure(&format!("500 -> 100 records/s: at {low} after {:.0} s", dropped.elapsed().as_secs_f64()));
    let moves = stage.moves()?;
    let lowered = moves.get(raised.len()..).unwrap_or_default();
    ensure!(lowered.len() <= 2 && lowered.iter().all(|(from, to)| to < from), "moves: {moves:?}");
    stage.nothing_was_lost().await?;
    case.figure(&format!(
        "moves {moves:?}, {} restores, {} records counted once each",
        stage.flink.restores(&stage.job).await?,
        stage.load.produced()
    ));
    stage.daemon.replays().await?;
    stage.daemon.alive()
}

/// The load needs more slots than there are: said by name, nothing is asked for. A TaskManager comes: a dry run says
/// so and writes nothing, a live one takes the new slots.
pub(super) async fn too_few_slots(case: Case) -> Result<()> {
    let stage = Stage::start(&case, OLDER, &[2], (2, 500)).await?;
    stage.policy(&json!({"capacityPerReplica": 180}))?;
    let said = stage.daemon.says(case.name, case.name, "SlotsMissing").await?;
    case.figure(&said.sentence);
    stage.daemon.turns_pass(case.name, case.name, 5).await?;
    ensure!(stage.flink.asked(&stage.job).await? == [2, 2], "it asked for what is not there");
    ensure!(stage.moves()?.is_empty(), "it moved: {:?}", stage.moves()?);
    let (workload, settings) = (format!("{0}/{0}", case.name), stage.daemon.settings().display().to_string());
    let explain = ["explain", &workload, "--settings", &settings, "--look"];
    let kubeconfig = case.cluster().await?.kubeconfig(User::Tidegate);
    let (code, output) = command(&case.dir, &kubeconfig, &explain).await?;
    ensure!(code == 0 && output.contains("there are slots for 2"), "explain, {code}: {output}");
    // A dry run says what it would do with a TaskManager that comes, and does not do it.
    stage.policy(&json!({"capacityPerReplica": 180, "mode": "Recommend"}))?;
    stage.flink.add("late", 6)?;
    eventually("more is recommended", || async {
        let last = stage.daemon.journal(case.name, case.name)?.pop().context("no turn")?;
        Ok((last.outcome == "recommended" && last.decision.desired >= Some(4)).then_some(()))
    })
    .await?;
    stage.daemon.turns_pass(case.name, case.name, 5).await?;
    ensure!(stage.flink.asked(&stage.job).await? == [2, 2], "a dry run wrote");
    stage.policy(&json!({"capacityPerReplica": 180}))?;
    eventually("the job uses the new slots", || async {
        Ok((stage.flink.parallelism(&stage.job).await? >= 4).then_some(()))
    })
    .await?;
    case.figure(&format!("a TaskManager with 6 slots came: moves {:?}", stage.moves()?));
    stage.nothing_was_lost().await?;
    stage.daemon.alive()
}

/// A TaskManager is killed while the job is being rescaled: what is left of the slots is used, nothing is moved down for
/// it, and what was asked for is there once they are back. State went nowhere.
pub(super) async fn a_taskmanager_is_killed(case: Case) -> Result<()> {
    let stage = Stage::start(&case, NEWEST, &[2, 4], (2, 600)).await?;
    stage.policy(
        &json!({"capacityPerReplica": 180, "behavior": {"scaleDown": {"selectPolicy": "Disabled"}}}),
    )?;
    let asked = stage.is_asked_for_more().await?;
    stage.flink.remove("tm1");
    becomes("the job runs with what is left", 2, || stage.flink.parallelism(&stage.job)).await?;
    stage.daemon.turns_pass(case.name, case.name, 5).await?;
    stage.flink.add("tm2", 4)?;
    becomes("the job has what was asked for", asked, || stage.flink.parallelism(&stage.job)).await?;
    let moves = stage.moves()?;
    case.figure(&format!("moves {moves:?}, {} restores", stage.flink.restores(&stage.job).await?));
    ensure!(moves.iter().all(|(from, to)| to > from), "it moved down: {moves:?}");
    stage.nothing_was_lost().await?;
    stage.daemon.alive()
}

/// The JobManager is killed while its job is being rescaled, and the job with it: unknown, so nothing is moved. Both come
/// back, the job under another id: it is moved as before.
pub(super) async fn the_jobmanager_is_killed(case: Case) -> Result<()> {
    let mut stage = Stage::start(&case, NEWEST, &[4], (2, 200)).await?;
    stage.policy(&json!({"capacityPerReplica": 180}))?;
    stage.is_trusted().await?;
    stage.load.set(500);
    stage.is_asked_for_more().await?;
    stage.flink.kill();
    let said = stage.daemon.says(case.name, case.name, "TargetUnreadable").await?;
    case.figure(&said.sentence);
    stage.daemon.turns_pass(case.name, case.name, 5).await?;
    stage.flink.launch(&[])?;
    let said = stage.daemon.says(case.name, case.name, "TargetNotFound").await?;
    case.figure(&said.sentence);
    stage.flink.has_slots(4).await?;
    stage.job = stage.flink.submit(&order(case.name, &case.kafka().await?.bootstrap(), 2)).await?;
    stage.runs_above(2).await?;
    ensure!(stage.moves()?.iter().all(|(from, to)| to > from), "it moved down: {:?}", stage.moves()?);
    stage.daemon.alive()
}
