//! The servers that scenarios share, each started when first asked for, and what one scenario is given.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde_json::json;
use tokio::sync::OnceCell;

use super::cluster::{Cluster, Timers, User};
use super::daemon::{Daemon, Setup, plain_kafka};
use super::kafka::{Kafka, Layout};
use super::keda::Keda;
use super::objects::Home;
use super::place::Tools;

/// The shared servers.
pub(crate) struct World {
    tools: Tools,
    dir: PathBuf,
    cluster: OnceCell<Cluster>,
    keda: OnceCell<Keda>,
    kafka: OnceCell<Kafka>,
}

impl World {
    /// Nothing runs yet.
    pub(crate) fn new(tools: Tools, dir: PathBuf) -> Self {
        Self { tools, dir, cluster: OnceCell::new(), keda: OnceCell::new(), kafka: OnceCell::new() }
    }
}

/// One scenario's surroundings.
#[derive(Clone)]
pub(crate) struct Case {
    world: Arc<World>,
    /// The scenario's name: its namespace, the prefix of its topics and groups.
    pub(crate) name: &'static str,
    /// A folder of its own.
    pub(crate) dir: PathBuf,
}

impl Case {
    /// Prepares a scenario.
    pub(crate) fn new(world: &Arc<World>, name: &'static str) -> Result<Self> {
        let dir = world.dir.join(name);
        std::fs::create_dir_all(&dir)?;
        Ok(Self { world: Arc::clone(world), name, dir })
    }

    /// The tools.
    pub(crate) fn tools(&self) -> &Tools {
        &self.world.tools
    }

    /// The shared control plane.
    pub(crate) async fn cluster(&self) -> Result<&Cluster> {
        let dir = self.world.dir.join("cluster");
        let start = || Cluster::start(&self.world.tools, &dir, Timers::default());
        self.world.cluster.get_or_try_init(start).await.context("start the shared servers")
    }

    /// KEDA on a control plane of its own, shared by the scenarios beside it.
    pub(crate) async fn keda(&self) -> Result<&Keda> {
        let dir = self.world.dir.join("keda");
        let start = || Keda::start(&self.world.tools, &dir, Timers::default());
        self.world.keda.get_or_try_init(start).await.context("start KEDA")
    }

    /// The shared broker.
    pub(crate) async fn kafka(&self) -> Result<&Kafka> {
        let layout = Layout { brokers: 1, ..Layout::default() };
        let dir = self.world.dir.join("kafka");
        let start = || Kafka::start(&self.world.tools, &dir, layout);
        self.world.kafka.get_or_try_init(start).await.context("start the shared servers")
    }

    /// A namespace named after the scenario, on the shared control plane.
    pub(crate) async fn home(&self) -> Result<Home> {
        Home::create(self.cluster().await?.client(), self.name).await
    }

    /// A daemon that applies, on the shared servers, for the scenario's namespace.
    pub(crate) async fn daemon(&self) -> Result<Daemon> {
        Daemon::start(self.setup().await?).await
    }

    /// What [`Case::daemon`] starts one with.
    pub(crate) async fn setup(&self) -> Result<Setup> {
        self.setup_on(self.cluster().await?).await
    }

    /// The same on another control plane.
    pub(crate) async fn setup_on(&self, cluster: &Cluster) -> Result<Setup> {
        Ok(Setup {
            dir: self.dir.join("daemon"),
            kubeconfig: cluster.kubeconfig(User::Tidegate),
            namespaces: vec![self.name.to_owned()],
            mode: "Apply",
            connections: plain_kafka(&self.kafka().await?.bootstrap()),
            further: json!({}),
        })
    }

    /// Prints a measured figure.
    #[expect(clippy::print_stdout, reason = "figures are part of the suite's output")]
    pub(crate) fn figure(&self, text: &str) {
        println!("  {}: {text}", self.name);
    }

    /// A file of the scenario's own folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}
