//! The servers that both meet, and one heat: one contender on one course.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::contender::{Contender, MOST};
use super::course::{COST, Course};
use super::record::Record;
use super::witness::{self, Batch};
use crate::bench::{load_average, say, status};
use crate::support::cluster::{Cluster, Timers};
use crate::support::daemon::Daemon;
use crate::support::kafka::{Kafka, Layout};
use crate::support::load::Load;
use crate::support::objects::Home;
use crate::support::place::Tools;
use crate::support::spark::{Driver, Line, Master, Query};
use crate::support::waiting::{becomes, eventually};

/// The Deployment of the cluster's workers.
pub(crate) const WORKERS: &str = "workers";
/// Batches with records before anything is counted.
const WARM_UP: usize = 3;

/// The servers.
pub(crate) struct Arena {
    pub(crate) dir: PathBuf,
    pub(crate) kafka: Kafka,
    pub(crate) cluster: Cluster,
    tools: Tools,
    master: Master,
}

impl Arena {
    /// Starts everything.
    pub(crate) async fn start(tools: &Tools, dir: &Path) -> Result<Self> {
        say("starting Kafka, a Kubernetes control plane and Spark's master");
        let layout = Layout { brokers: 1, ..Layout::default() };
        let kafka = Kafka::start(tools, &dir.join("kafka"), layout).await?;
        let cluster = Cluster::start(tools, &dir.join("cluster"), Timers::default()).await?;
        let master = Master::start(tools, Line::Four, &dir.join("spark")).await?;
        Ok(Self { dir: dir.to_owned(), kafka, cluster, tools: tools.clone(), master })
    }

    /// Four workers and four executors, a load that they keep up with, and then the course.
    pub(crate) async fn heat(&self, contender: Contender, course: Course, seconds: u64) -> Result<Record> {
        let name = format!("{}-{}-{}", contender.name(), course.name(), Timestamp::now().as_second());
        let (bootstrap, dir) = (self.kafka.bootstrap(), self.dir.join(&name));
        std::fs::create_dir_all(&dir)?;
        let home = Home::create(self.cluster.client(), &name).await?;
        home.deploy(WORKERS, &self.master.worker(), MOST).await?;
        self.kafka.admin()?.create(&name, course.partitions()).await?;
        let load = Load::start(&bootstrap, &name, course.partitions(), course.rate(0))?;
        let query = Query {
            trigger: Some(course.trigger()),
            grouped: false,
            ..Query::new(&name, &bootstrap, COST, 100_000)
        };
        let mut driver = Driver::prepare(&self.tools, &dir, &self.master, &query)?;
        driver.set(contender.settings(course));
        driver.launch().await?;
        becomes("executors", usize::try_from(MOST)?, || driver.executors()).await?;
        eventually("the query keeps up", || async {
            Ok((witness::batches(&driver)?.len() >= WARM_UP).then_some(()))
        })
        .await?;
        let daemon = contender.start(self, (&home, course), &driver).await?;
        let (begin, machine) = (Timestamp::now(), load_average()?);
        let rates = drive(&load, course, seconds, &driver).await?;
        let end = Timestamp::now();
        if let Some(daemon) = &daemon {
            daemon.alive().context("the daemon did not last")?;
        }
        let executors = witness::executors(&driver, begin, end).await?;
        let batches: Vec<Batch> = witness::batches(&driver)?;
        driver.kill();
        drop(load);
        let records = witness::timestamps(&bootstrap, &name, course.partitions()).await?;
        let record = Record {
            contender,
            course,
            at: end.to_string(),
            load_average: [machine, load_average()?],
            seconds: witness::seconds(begin, end),
            executors,
            ages: witness::ages(&batches, &records, begin, end),
            batches: witness::within(&batches, begin, end),
            rates,
        };
        leave(&home, daemon).await?;
        Ok(record)
    }
}

/// Drives the load along the course, and says how it goes.
async fn drive(load: &Load, course: Course, seconds: u64, driver: &Driver) -> Result<Vec<(f64, u64)>> {
    let (begin, length) = (Instant::now(), Duration::from_secs(seconds));
    let (mut rates, mut told) = (Vec::new(), 0);
    while begin.elapsed() < length {
        let at = begin.elapsed();
        let rate = course.rate(at.as_secs());
        load.set(rate);
        rates.push((at.as_secs_f64(), rate));
        if at.as_secs() >= told {
            told = at.as_secs() + 15;
            let last = witness::batches(driver)?.last().map_or(0.0, |batch| batch.took);
            status(&format!(
                "{:>4} of {seconds} s  {rate:>4} records/s  executors {}  last batch {last:.1} s",
                at.as_secs(),
                driver.executors().await.map_or_else(|_| "?".to_owned(), |executors| executors.to_string()),
            ));
        }
        sleep(Duration::from_millis(500)).await;
    }
    ensure!(!rates.is_empty(), "a course of no length");
    Ok(rates)
}

/// Takes the daemon and the workers away.
async fn leave(home: &Home, daemon: Option<Daemon>) -> Result<()> {
    if let Some(daemon) = daemon {
        daemon.stop().await?;
    }
    home.scale(WORKERS, 0).await?;
    home.has(WORKERS, 0).await
}
