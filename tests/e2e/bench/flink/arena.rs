//! The servers that all contenders meet, and one heat: a contender under a load.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tokio::time::{Instant, sleep};

use super::contender::{Contender, Job, MOST, Mover, Peer, WARM_UP};
use super::record::{Figures, Record};
use super::watch::Watch;
use crate::bench::shape::Shape;
use crate::bench::{drive, load_average, say};
use crate::support::cluster::{Cluster, Timers};
use crate::support::flink::{Flink, Layout, Order};
use crate::support::kafka::{self, Kafka};
use crate::support::load::Load;
use crate::support::objects::Home;
use crate::support::place::Tools;
use crate::support::probe::Probe;
use crate::support::waiting::eventually;

pub(super) const PARTITIONS: i32 = 12;
/// Microseconds that a record takes.
const COST: u32 = 8500;
/// Records per second that a slot can do at most: those of [`COST`].
pub(super) const CAPACITY: f64 = 117.6;
/// Where everybody begins.
const PARALLELISM: u32 = 4;
/// Milliseconds from checkpoint to checkpoint.
const CHECKPOINT: u32 = 5000;
/// How the adaptive scheduler waits: as Flink does where nobody says anything.
const OWN: [(&str, Option<&str>); 4] = [
    ("jobmanager.adaptive-scheduler.executing.cooldown-after-rescaling", None),
    ("jobmanager.adaptive-scheduler.executing.resource-stabilization-timeout", None),
    ("jobmanager.adaptive-scheduler.rescale-trigger.max-delay", None),
    ("jobmanager.adaptive-scheduler.scaling-interval.min", None),
];

/// The servers.
pub(super) struct Arena {
    tools: Tools,
    dir: PathBuf,
    peer: Option<Peer>,
    /// Where Tidegate keeps its memory.
    cluster: Cluster,
    kafka: Kafka,
}

impl Arena {
    /// Starts what lasts for all heats.
    pub(super) async fn start(tools: &Tools, dir: &Path, peer: Option<Peer>) -> Result<Self> {
        say("starting Kafka and a Kubernetes control plane");
        let layout = kafka::Layout { brokers: 1, ..kafka::Layout::default() };
        let kafka = Kafka::start(tools, &dir.join("kafka"), layout).await?;
        let cluster = Cluster::start(tools, &dir.join("cluster"), Timers::default()).await?;
        Ok(Self { tools: tools.clone(), dir: dir.to_owned(), peer, cluster, kafka })
    }

    /// Runs a contender under one load, on a Flink of its own; what became of it.
    pub(super) async fn heat(&self, contender: Contender, shape: Shape) -> Result<Record> {
        let name = format!("{}-{}", contender.name(), jiff::Timestamp::now().as_second());
        let (dir, bootstrap) = (self.dir.join(&name), self.kafka.bootstrap());
        Home::create(self.cluster.client(), &name).await?;
        self.kafka.admin()?.create(&name, PARTITIONS).await?;
        let slots = [MOST / 2, MOST / 2];
        let layout = Layout { line: "2.2", slots: &slots, options: &OWN, application: None };
        let flink = Flink::start(&self.tools, &dir.join("flink"), layout).await?;
        // Nothing to catch up with: a job that has just been started is slow enough.
        let load = Load::start(&bootstrap, &name, PARTITIONS, 0)?;
        let order = Order {
            name: &name,
            bootstrap: &bootstrap,
            topic: &name,
            cost: COST,
            checkpoint: CHECKPOINT,
            parallelism: PARALLELISM,
        };
        let id = flink.submit(&order).await?;
        load.set(shape.rate(0));
        let (watch, probe) =
            (Watch::start(flink.url(), &id), Probe::start(&bootstrap, &name, &name, PARTITIONS)?);
        eventually("the job keeps up", || async {
            let keeps_up =
                probe.samples().last().is_some_and(|sample| sample.age < 7.0 && sample.backlog > 0);
            Ok((keeps_up && watch.moments().last().is_some_and(|one| one.works)).then_some(()))
        })
        .await?;
        let job = Job { flink: &flink, cluster: &self.cluster, bootstrap: &bootstrap, name: &name };
        let mover = Mover::start(contender, self.peer.as_ref(), &dir, &job)
            .await
            .with_context(|| format!("start {}", contender.name()))?;
        sleep(WARM_UP).await;
        let (begin, machine, produced) = (Instant::now(), load_average()?, load.produced());
        let before = mover.decisions(&name)?;
        let rates = drive(&load, shape, 1, begin, || told(&watch, &probe)).await;
        let (end, offered) = (Instant::now(), load.produced() - produced);
        let decisions = mover.decisions(&name)? - before;
        mover.stop().await?;
        let (moments, samples) = (watch.moments(), probe.samples());
        Ok(Record {
            contender,
            shape,
            at: jiff::Timestamp::now().to_string(),
            load_average: [machine, load_average()?],
            offered,
            figures: Figures::measure(&moments, &samples, (begin, end), shape, decisions)?,
            rates,
            ages: Figures::ages(&samples, begin, end),
            sizes: Figures::sizes(&moments, begin),
        })
    }
}

/// How it goes.
fn told(watch: &Watch, probe: &Probe) -> String {
    let (moment, sample) = (watch.moments().last().copied(), probe.samples().last().copied());
    let size = moment.map_or(0, |one| one.parallelism);
    let (age, backlog) = sample.map_or((0.0, 0), |one| (one.age, one.backlog));
    format!("parallelism {size:>2}  backlog {backlog:>6}  oldest record {age:.1} s")
}
