//! The servers that all contenders meet, and one heat: contenders under one load.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::time::{Instant, sleep};

use super::contender::{CONSUMER, Contender, OBJECTIVE, Running};
use super::record::{Figures, Record};
use crate::bench::shape::Shape;
use crate::bench::{drive, load_average, say};
use crate::support::cluster::Timers;
use crate::support::kafka::{Kafka, Layout};
use crate::support::keda::{Keda, scaled_objects};
use crate::support::load::Load;
use crate::support::objects::{Home, Image};
use crate::support::place::Tools;
use crate::support::probe::Probe;
use crate::support::replicas::ReplicaLog;
use crate::support::waiting::eventually;

const PARTITIONS: i32 = 12;
/// What one consumer processes in a second.
pub(crate) const CAPACITY: u32 = 200;
/// Seconds that a consumer needs to start.
pub(crate) const START: u32 = 3;
/// Where everybody begins.
const REPLICAS: i32 = 2;
/// Records per second that this many replicas keep up with.
const EASY: u64 = 300;
/// Uncompressed seconds at the load's first rate with everything running, before anything is counted.
const WARM_UP: u64 = 100;

/// The servers.
pub(crate) struct Arena {
    pub(crate) dir: PathBuf,
    pub(crate) keda: Keda,
    pub(crate) kafka: Kafka,
    pub(crate) topic: &'static str,
    /// How many seconds one second of the bench stands for.
    pub(crate) compression: u64,
    /// What Tidegate's policies say of a replica's capacity.
    pub(crate) hint: Option<u32>,
}

/// One contender in a heat.
struct Entry {
    contender: Contender,
    home: Home,
    group: String,
    log: ReplicaLog,
    probe: Probe,
    running: Running,
}

impl Arena {
    /// Starts everything.
    pub(crate) async fn start(
        tools: &Tools,
        dir: &Path,
        compression: u64,
        hint: Option<u32>,
    ) -> Result<Self> {
        say("starting Kafka, a Kubernetes control plane and KEDA");
        let layout = Layout { brokers: 1, log_groups: true, ..Layout::default() };
        let kafka = Kafka::start(tools, &dir.join("kafka"), layout).await?;
        let divisor = f64::from(u32::try_from(compression)?);
        let timers = Timers { sync: 15.0 / divisor, downscale_stabilization: 300.0 / divisor };
        let keda = Keda::start(tools, &dir.join("keda"), timers).await?;
        let topic = "orders";
        kafka.admin()?.create(topic, PARTITIONS).await?;
        Ok(Self { dir: dir.to_owned(), keda, kafka, topic, compression, hint })
    }

    /// Seconds of the bench for so many uncompressed ones; at least one.
    pub(crate) fn compressed(&self, seconds: u64) -> u64 {
        (seconds / self.compression).max(1)
    }

    /// Runs contenders under one load, one after the other unless there are several; what became of each.
    pub(crate) async fn heat(&self, contenders: &[(String, Contender)], shape: Shape) -> Result<Vec<Record>> {
        let load = Load::start(&self.kafka.bootstrap(), self.topic, PARTITIONS, EASY)?;
        let mut entries = Vec::new();
        for (name, contender) in contenders {
            entries.push(self.enter(name, *contender).await.with_context(|| format!("start {name}"))?);
        }
        load.set(shape.rate(0));
        sleep(Duration::from_secs(self.compressed(WARM_UP))).await;
        let (begin, machine, produced) = (Instant::now(), load_average()?, load.produced());
        let from: Vec<u64> = entries.iter().map(|entry| self.rebalances(entry)).collect::<Result<_>>()?;
        let rates = drive(&load, shape, self.compression, begin, || told(&entries)).await;
        let (end, offered) = (Instant::now(), load.produced() - produced);
        drop(load);
        let mut records = Vec::new();
        for (entry, before) in entries.iter().zip(from) {
            let objective = self.compressed(OBJECTIVE);
            let mut figures = Figures::measure(&entry.log, &entry.probe, (begin, end), objective)?;
            figures.rebalances = self.rebalances(entry)? - before;
            records.push(Record {
                contender: entry.contender,
                shape,
                compression: self.compression,
                hint: self.hint,
                at: jiff::Timestamp::now().to_string(),
                load_average: [machine, load_average()?],
                offered,
                figures,
                rates: rates.clone(),
                ages: Figures::ages(&entry.probe, begin, end),
                sizes: Figures::sizes(&entry.log, begin, end),
            });
        }
        for entry in entries {
            leave(entry).await?;
        }
        Ok(records)
    }

    /// The Deployment, those who watch it, and the contender.
    async fn enter(&self, name: &str, contender: Contender) -> Result<Entry> {
        let stamp = jiff::Timestamp::now().as_second();
        let group = format!("{name}-{stamp}");
        let home = Home::create(self.keda.cluster().client(), &group).await?;
        let bootstrap = self.kafka.bootstrap();
        self.kafka.admin()?.commit_ends(&group, self.topic, PARTITIONS).await?;
        let image = Image::consumer(&bootstrap, &group, &[self.topic], CAPACITY).that_starts_in(START);
        home.deploy(CONSUMER, &image, REPLICAS).await?;
        let log = ReplicaLog::follow(&home, CONSUMER).await?;
        let probe = Probe::start(&bootstrap, &group, self.topic, PARTITIONS)?;
        eventually("the consumers keep up", || async {
            Ok(probe.samples().last().filter(|sample| sample.age < 4.0).map(|_| ()))
        })
        .await?;
        let running = contender.start(self, &home, &group).await?;
        Ok(Entry { contender, home, group, log, probe, running })
    }

    /// How often the broker has given the group a new generation.
    fn rebalances(&self, entry: &Entry) -> Result<u64> {
        let stabilized = format!("Stabilized group {} generation ", entry.group);
        let log = self.kafka.log(1)?;
        Ok(u64::try_from(log.matches(&stabilized).count())?)
    }
}

/// Takes a contender and its Deployment away, and waits until its consumers are gone.
async fn leave(entry: Entry) -> Result<()> {
    if let Some(daemon) = &entry.running.daemon {
        daemon.alive().context("the daemon did not last")?;
        daemon.stop().await?;
    }
    let home = &entry.home;
    let objects = scaled_objects(home);
    if objects.get_opt(CONSUMER).await?.is_some() {
        objects.delete(CONSUMER, &kube::api::DeleteParams::default()).await?;
        eventually("the ScaledObject is gone", || async {
            Ok(objects.get_opt(CONSUMER).await?.is_none().then_some(()))
        })
        .await?;
    }
    home.scale(CONSUMER, 0).await?;
    home.has(CONSUMER, 0).await
}

/// How it goes.
fn told(entries: &[Entry]) -> String {
    let sizes: Vec<_> = entries.iter().filter_map(|entry| Some(entry.log.sizes().last()?.1)).collect();
    let ages = entries.iter().filter_map(|entry| Some(entry.probe.samples().last()?.age));
    let ages: Vec<String> = ages.map(|age| format!("{age:.1}")).collect();
    format!("replicas {sizes:?}  oldest record {} s", ages.join(", "))
}
