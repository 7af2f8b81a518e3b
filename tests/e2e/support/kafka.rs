//! Kafka brokers on loopback: `KRaft`, a plain listener for the suite (a super user), and behind the standard
//! authorizer a `SASL_SSL` listener with PLAIN and SCRAM, and an `SSL` listener that demands a certificate.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

use super::place::{Tools, free_port};
use super::process::{Process, Program, tail};
use super::tls::{Authority, LOOPBACK, concatenate};
use super::topics::Admin;
use super::waiting::eventually;

/// How a cluster is laid out.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layout {
    pub(crate) brokers: usize,
    /// Log every request with its client's id.
    pub(crate) log_requests: bool,
    /// Log every rebalance.
    pub(crate) log_groups: bool,
    /// Further lines for `server.properties`.
    pub(crate) properties: &'static [&'static str],
}

/// The one user of the SASL listener, by every mechanism; it has no rights until they are granted.
pub(crate) const WATCHER: (&str, &str) = ("watcher", "watcher-password");

/// What the two SCRAM mechanisms are called.
const SCRAM: [&str; 2] = ["SCRAM-SHA-256", "SCRAM-SHA-512"];

/// Running brokers.
#[derive(Debug)]
pub(crate) struct Kafka {
    dir: PathBuf,
    tools: Tools,
    layout: Layout,
    nodes: Vec<Node>,
    authority: Authority,
}

#[derive(Debug)]
struct Node {
    plain: u16,
    secure: u16,
    mutual: u16,
    controller: u16,
    process: Mutex<Option<Process>>,
}

impl Node {
    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kafka {
    /// Starts brokers in `dir` and waits until all of them serve.
    pub(crate) async fn start(tools: &Tools, dir: &Path, layout: Layout) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let authority = Authority::create(dir.join("tls")).await?;
        authority.sign("broker", LOOPBACK).await?;
        let parts = ["broker.key", "broker.pem", "ca.pem"].map(|name| authority.path(name));
        concatenate(&parts.each_ref().map(PathBuf::as_path), &authority.path("keystore.pem"))?;
        let node = || -> Result<Node> {
            let (plain, secure, mutual) = (free_port()?, free_port()?, free_port()?);
            Ok(Node { plain, secure, mutual, controller: free_port()?, process: Mutex::new(None) })
        };
        let nodes = (0..layout.brokers).map(|_| node()).collect::<Result<_>>()?;
        let kafka = Self { dir: dir.to_owned(), tools: tools.clone(), layout, nodes, authority };
        let formatted = (1..=kafka.nodes.len()).map(|id| kafka.format(id));
        futures::future::try_join_all(formatted).await?;
        for id in 1..=kafka.nodes.len() {
            kafka.launch(id)?;
        }
        for id in 1..=kafka.nodes.len() {
            kafka.serves(id).await?;
        }
        kafka.whole().await?;
        Ok(kafka)
    }

    /// Bootstrap servers of the plain listeners.
    pub(crate) fn bootstrap(&self) -> String {
        self.addresses(|node| node.plain)
    }

    /// Bootstrap servers of the `SASL_SSL` listeners.
    pub(crate) fn secure_bootstrap(&self) -> String {
        self.addresses(|node| node.secure)
    }

    /// Bootstrap servers of the listeners that let nobody in without a certificate.
    pub(crate) fn mutual_bootstrap(&self) -> String {
        self.addresses(|node| node.mutual)
    }

    fn addresses(&self, port: impl Fn(&Node) -> u16) -> String {
        let all: Vec<String> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", port(node))).collect();
        all.join(",")
    }

    /// The certificate that signed the brokers'.
    pub(crate) fn ca(&self) -> PathBuf {
        self.authority.certificate()
    }

    /// Who signs the certificates of those that the brokers let in.
    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Grants a principal DESCRIBE on a topic and on a group, and nothing else.
    pub(crate) async fn may_describe(&self, principals: &[&str], topic: &str, group: &str) -> Result<()> {
        let mut rights = vec!["--add", "--operation", "Describe", "--topic", topic, "--group", group];
        rights.extend(principals.iter().flat_map(|principal| ["--allow-principal", *principal]));
        self.tool("org.apache.kafka.tools.AclCommand", &rights).await
    }

    /// A client of the suite's.
    pub(crate) fn admin(&self) -> Result<Admin> {
        Admin::new(&self.bootstrap())
    }

    /// Kills a broker, as a power cut would.
    pub(crate) fn kill(&self, id: usize) -> Result<()> {
        drop(self.node(id)?.process().take());
        Ok(())
    }

    /// Starts a killed broker and waits until it serves.
    pub(crate) async fn revive(&self, id: usize) -> Result<()> {
        self.launch(id)?;
        self.serves(id).await
    }

    /// Freezes a broker: its connections stand, and nothing answers.
    pub(crate) fn freeze(&self, id: usize) -> Result<()> {
        self.signal(id, Signal::SIGSTOP)
    }

    /// Lets a frozen broker go on.
    pub(crate) fn thaw(&self, id: usize) -> Result<()> {
        self.signal(id, Signal::SIGCONT)
    }

    fn signal(&self, id: usize, signal: Signal) -> Result<()> {
        self.node(id)?.process().as_ref().context("the broker is not running")?.signal(signal)
    }

    /// Waits until every broker is part of the cluster again and every partition has a leader.
    pub(crate) async fn whole(&self) -> Result<()> {
        let admin = self.admin()?;
        eventually("the Kafka cluster is whole", || async {
            let metadata = admin.metadata().await?;
            let led = metadata
                .topics()
                .iter()
                .flat_map(rdkafka::metadata::MetadataTopic::partitions)
                .all(|p| p.leader() >= 0);
            Ok((metadata.brokers().len() == self.nodes.len() && led).then_some(()))
        })
        .await
    }

    /// Runs one of Kafka's own command-line tools against the plain listener.
    pub(crate) async fn tool(&self, class: &str, args: &[&str]) -> Result<()> {
        self.java("tool.log", class)
            .args(["--bootstrap-server", &self.bootstrap()])
            .args(args.to_vec())
            .run()
            .await
    }

    /// What one of Kafka's own command-line tools prints, and whether it succeeds.
    pub(crate) async fn ask(&self, class: &str, args: &[&str]) -> Result<(bool, String)> {
        let output = self.dir.join("tool.out");
        fs::write(&output, "")?;
        let tool = self.java("tool.log", class).stdout(&output);
        let tool = tool.args(["--bootstrap-server", &self.bootstrap()]).args(args.to_vec());
        let status = tool.start()?.ended(Duration::from_mins(2)).await?;
        Ok((status.success(), fs::read_to_string(&output)?))
    }

    /// The log of a broker since it was started.
    pub(crate) fn log(&self, id: usize) -> Result<String> {
        Ok(fs::read_to_string(self.dir.join(format!("broker-{id}.log")))?)
    }

    fn node(&self, id: usize) -> Result<&Node> {
        id.checked_sub(1).and_then(|index| self.nodes.get(index)).context("no such broker")
    }

    async fn format(&self, id: usize) -> Result<()> {
        let properties = self.dir.join(format!("broker-{id}.properties"));
        fs::write(&properties, self.properties(id)?)?;
        let (user, password) = WATCHER;
        let scram =
            |mechanism| ["--add-scram".to_owned(), format!("{mechanism}=[name={user},password={password}]")];
        self.java(&format!("format-{id}.log"), "kafka.tools.StorageTool")
            .args(["format", "-t", "tidegateE2eAAAAAAAAAAA", "-c"])
            .arg(properties.display().to_string())
            .args(SCRAM.into_iter().flat_map(scram))
            .run()
            .await
    }

    fn launch(&self, id: usize) -> Result<()> {
        let properties = self.dir.join(format!("broker-{id}.properties"));
        let broker = self.java(&format!("broker-{id}.log"), "kafka.Kafka");
        let process = broker.arg(properties.display().to_string()).start()?;
        *self.node(id)?.process() = Some(process);
        Ok(())
    }

    /// Waits until one broker answers a metadata request.
    async fn serves(&self, id: usize) -> Result<()> {
        let node = self.node(id)?;
        let admin = Admin::new(&format!("127.0.0.1:{}", node.plain))?;
        eventually(&format!("broker {id} serves"), || async {
            node.process().as_ref().context("the broker was killed")?.check()?;
            Ok((!admin.metadata().await?.brokers().is_empty()).then_some(()))
        })
        .await
        .with_context(|| tail(&self.dir.join(format!("broker-{id}.log")), 20))
    }

    fn java(&self, log: &str, class: &str) -> Program {
        let mut jvm = vec![
            "-Xmx256m",
            "-Xms64m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        ];
        if self.layout.log_requests {
            jvm.push("-Dorg.slf4j.simpleLogger.log.kafka.request.logger=debug");
        }
        if self.layout.log_groups {
            jvm.push("-Dorg.slf4j.simpleLogger.log.org.apache.kafka.coordinator.group=info");
        }
        Program::new("java", self.dir.join(log))
            .args(jvm)
            .arg("-cp")
            .arg(format!("{}/*", self.tools.kafka().display()))
            .arg(class)
    }

    fn properties(&self, id: usize) -> Result<String> {
        let Node { plain, secure, mutual, controller, .. } = self.node(id)?;
        let (brokers, tls) = (self.nodes.len(), self.dir.join("tls"));
        ensure!(brokers == 1 || brokers == 3, "one broker or three");
        let voters: Vec<String> =
            (1..).zip(&self.nodes).map(|(id, node)| format!("{id}@127.0.0.1:{}", node.controller)).collect();
        let (tls, data) = (tls.display(), self.dir.join(format!("data-{id}")));
        let listeners =
            format!("PLAINTEXT://127.0.0.1:{plain},SASL_SSL://127.0.0.1:{secure},SSL://127.0.0.1:{mutual}");
        Ok(format!(
            "process.roles=broker,controller\n\
             node.id={id}\n\
             controller.quorum.voters={}\n\
             controller.listener.names=CONTROLLER\n\
             listeners={listeners},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners={listeners}\n\
             listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,\
             SSL:SSL\n\
             inter.broker.listener.name=PLAINTEXT\n\
             log.dirs={}\n\
             {}\n\
             listener.name.ssl.ssl.client.auth=required\n\
             ssl.keystore.type=PEM\nssl.keystore.location={tls}/keystore.pem\n\
             ssl.truststore.type=PEM\nssl.truststore.location={tls}/ca.pem\n\
             authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
             super.users=User:ANONYMOUS\n\
             default.replication.factor={brokers}\n\
             offsets.topic.replication.factor={brokers}\n\
             transaction.state.log.replication.factor={brokers}\n\
             {}\n{}\n",
            voters.join(","),
            data.display(),
            sasl(),
            COMMON.join("\n"),
            self.layout.properties.join("\n"),
        ))
    }
}

/// Every mechanism with its login module; PLAIN keeps its users in the broker's own settings.
fn sasl() -> String {
    let (user, password) = WATCHER;
    let module = |mechanism: &str, module: &str, users: &str| {
        format!(
            "listener.name.sasl_ssl.{}.sasl.jaas.config=org.apache.kafka.common.security.{module} required{users};",
            mechanism.to_lowercase()
        )
    };
    let mut lines = vec![format!("sasl.enabled.mechanisms=PLAIN,{}", SCRAM.join(","))];
    lines.extend(SCRAM.map(|mechanism| module(mechanism, "scram.ScramLoginModule", "")));
    let users = format!(" user_{user}=\"{password}\"");
    lines.push(module("PLAIN", "plain.PlainLoginModule", &users));
    lines.join("\n")
}

/// Small, quick to fail over, quick to delete.
const COMMON: [&str; 15] = [
    "auto.create.topics.enable=false",
    "offsets.topic.num.partitions=3",
    "transaction.state.log.num.partitions=1",
    "transaction.state.log.min.isr=1",
    "group.initial.rebalance.delay.ms=0",
    "group.min.session.timeout.ms=1000",
    "broker.session.timeout.ms=3000",
    "broker.heartbeat.interval.ms=500",
    "group.consumer.min.heartbeat.interval.ms=500",
    "group.consumer.heartbeat.interval.ms=500",
    "log.cleaner.dedupe.buffer.size=8388608",
    "log.index.size.max.bytes=65536",
    "log.retention.check.interval.ms=1000",
    "log.segment.delete.delay.ms=500",
    "log.initial.task.delay.ms=500",
];

/// How long one call to a broker may take.
pub(crate) const CALL: Duration = Duration::from_secs(5);
