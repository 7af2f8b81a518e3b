//! Who is compared, and what each of them is told.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::support::cluster::{Cluster, User};
use crate::support::daemon::{Daemon, Setup, plain_kafka};
use crate::support::flink::{Flink, OPENS};
use crate::support::objects::{policy, with};
use crate::support::place::Tools;
use crate::support::process::{Process, Program};

/// Age of the oldest record that the objective allows, in seconds.
pub(crate) const OBJECTIVE: u32 = 10;
/// The most that anybody may ask for: every slot there is.
pub(crate) const MOST: u32 = 16;
/// What Flink's own autoscaler calls itself where it begins to move a job.
const DECIDED: &str = "Scaling execution enabled, begin scaling vertices";

/// Who.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Contender {
    /// Flink's own autoscaler as it comes.
    PeerDefault,
    /// The same with 12 to 60 times shorter times.
    PeerTight,
    /// Tidegate.
    Tidegate,
}

impl Contender {
    pub(crate) const ALL: [Self; 3] = [Self::PeerDefault, Self::PeerTight, Self::Tidegate];

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::PeerDefault => "peer-default",
            Self::PeerTight => "peer-tight",
            Self::Tidegate => "tidegate",
        }
    }
}

/// Flink's own autoscaler for jobs without Kubernetes.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    class_path: String,
    pub(crate) version: String,
}

impl Peer {
    /// The one of `PEER_JAR`, with what `install.sh flink-peer` has fetched for it.
    pub(crate) fn find(tools: &Tools) -> Result<Option<Self>> {
        let Some(jar) = std::env::var_os("PEER_JAR").filter(|jar| !jar.is_empty()).map(PathBuf::from) else {
            return Ok(None);
        };
        let jar = jar.canonicalize().with_context(|| format!("PEER_JAR={}", jar.display()))?;
        let needs = tools.flink_peer();
        ensure!(needs.exists(), "{} is missing: run tests/e2e/install.sh flink-peer", needs.display());
        let client = tools.flink("1.20")?.join("lib");
        let parts = [jar.clone(), needs.join("*"), client.join("*")];
        let class_path = parts.map(|part| part.display().to_string()).join(":");
        let version = jar.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Some(Self { class_path, version }))
    }

    fn start(&self, dir: &Path, port: &str, contender: Contender) -> Result<Process> {
        fs::create_dir_all(dir)?;
        let mut options = vec![
            ("job.autoscaler.enabled", "true".to_owned()),
            ("job.autoscaler.vertex.max-parallelism", MOST.to_string()),
        ];
        let mut interval = "10s";
        if contender == Contender::PeerTight {
            interval = "5s";
            options.extend(
                [
                    ("job.autoscaler.metrics.window", "30s"),
                    ("job.autoscaler.stabilization.interval", "10s"),
                    ("job.autoscaler.catch-up.duration", "60s"),
                    ("job.autoscaler.restart.time", "10s"),
                    ("job.autoscaler.scale-down.interval", "60s"),
                ]
                .map(|(key, value)| (key, value.to_owned())),
            );
        }
        let lines: Vec<String> = options.iter().map(|(key, value)| format!("{key}: {value}")).collect();
        let text = lines.join("\n");
        fs::write(dir.join("config.yaml"), &text)?;
        fs::write(dir.join("flink-conf.yaml"), &text)?;
        let opens = OPENS.map(|part| format!("--add-opens=java.base/java.{part}=ALL-UNNAMED"));
        let main = "org.apache.flink.autoscaler.standalone.StandaloneAutoscalerEntrypoint";
        Program::new("java", dir.join("peer.log"))
            .env("FLINK_CONF_DIR", dir.display().to_string())
            .args(opens)
            .args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx192m"])
            .args(["-cp", &self.class_path, main])
            .args(["--autoscaler.standalone.fetcher.flink-cluster.host", "127.0.0.1"])
            .args(["--autoscaler.standalone.fetcher.flink-cluster.port", port])
            .args(["--autoscaler.standalone.control-loop.interval", interval])
            .start()
    }
}

/// What moves the job; it ends when dropped.
pub(crate) enum Mover {
    Peer(Process),
    Tidegate(Daemon),
}

/// What a contender is pointed at.
pub(crate) struct Job<'a> {
    pub(crate) flink: &'a Flink,
    pub(crate) cluster: &'a Cluster,
    pub(crate) bootstrap: &'a str,
    /// The name of the job, its topic, its group and its namespace.
    pub(crate) name: &'a str,
}

impl Mover {
    /// Starts a contender.
    pub(crate) async fn start(
        contender: Contender,
        peer: Option<&Peer>,
        dir: &Path,
        job: &Job<'_>,
    ) -> Result<Self> {
        if contender != Contender::Tidegate {
            let port = job.flink.url().rsplit(':').next().context("a port")?;
            let peer = peer.context("there is no PEER_JAR")?;
            return Ok(Self::Peer(peer.start(&dir.join("peer"), port, contender)?));
        }
        let connections =
            with(&plain_kafka(job.bootstrap), &json!({"flink": {"main": {"url": job.flink.url()}}}));
        let daemon = Daemon::start(Setup {
            dir: dir.join("daemon"),
            kubeconfig: job.cluster.kubeconfig(User::Tidegate),
            namespaces: vec![job.name.to_owned()],
            mode: "Apply",
            connections,
            // As often as the peer with tight settings looks.
            further: json!({"interval": "5s"}),
        })
        .await?;
        let spec = json!({
            "mode": "Apply",
            "target": {"flinkCluster": {"cluster": "main", "job": job.name}},
            "sources": [{"kafkaLag": {"cluster": "main", "group": job.name, "topics": [job.name]}}],
            "objective": {"maxLag": format!("{OBJECTIVE}s")},
            "minReplicas": 1, "maxReplicas": MOST,
        });
        daemon.policies("bench.yaml", &policy(Some(job.name), job.name, &spec))?;
        daemon.turns_pass(job.name, job.name, 0).await?;
        Ok(Self::Tidegate(daemon))
    }

    /// How often it has decided to move the job, by its own word.
    pub(crate) fn decisions(&self, name: &str) -> Result<u32> {
        let count = match self {
            Self::Peer(process) => fs::read_to_string(process.log())?.matches(DECIDED).count(),
            Self::Tidegate(daemon) => {
                daemon.journal(name, name)?.iter().filter(|turn| turn.outcome == "applied").count()
            }
        };
        Ok(u32::try_from(count)?)
    }

    /// Ends it; an error if it has not lasted.
    pub(crate) async fn stop(self) -> Result<()> {
        match self {
            Self::Peer(process) => process.check(),
            Self::Tidegate(daemon) => {
                daemon.alive().context("the daemon did not last")?;
                let status = daemon.stop().await?;
                ensure!(status.success(), "the daemon ended with {status}");
                Ok(())
            }
        }
    }
}

/// Long enough for everybody to have seen the job, and for a move that the start calls for.
pub(crate) const WARM_UP: Duration = Duration::from_secs(75);
