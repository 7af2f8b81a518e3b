//! Where things are: tools, working files, free ports.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context as _, Result, ensure};

use super::spark::Line;

/// The tools that `install.sh` has put down, and the binaries of this crate.
#[derive(Debug, Clone)]
pub(crate) struct Tools {
    cache: PathBuf,
    examples: PathBuf,
}

impl Tools {
    /// Finds them; says how to get what is missing.
    pub(crate) fn find() -> Result<Self> {
        let cache = match std::env::var("TIDEGATE_CACHE") {
            Ok(cache) => PathBuf::from(cache),
            Err(_) => Path::new(&std::env::var("HOME").context("HOME is not set")?).join(".cache/tidegate"),
        };
        let ours = std::env::current_exe()?;
        let profile = ours.ancestors().nth(2).context("the test binary lies outside of target/")?;
        let tools = Self { cache, examples: profile.join("examples") };
        for path in [tools.bin("kube-apiserver"), tools.bin("prometheus"), tools.kafka()] {
            ensure!(path.exists(), "{} is missing: run tests/e2e/install.sh", path.display());
        }
        ensure!(tools.consumer().exists(), "the consumer is missing: run cargo build --examples");
        Ok(tools)
    }

    /// A program that `install.sh` has built or unpacked.
    pub(crate) fn bin(&self, name: &str) -> PathBuf {
        self.cache.join("bin").join(name)
    }

    /// Whether KEDA was installed, too.
    pub(crate) fn has_keda(&self) -> bool {
        self.bin("keda-operator").exists() && self.bin("keda-adapter").exists()
    }

    /// KEDA's resource definitions.
    pub(crate) fn keda_definitions(&self) -> PathBuf {
        self.cache.join("keda/crds")
    }

    /// Folder of Kafka's jars.
    pub(crate) fn kafka(&self) -> PathBuf {
        self.cache.join("kafka/lib")
    }

    /// Flink of one line: its jars in `lib`, and the suite's job.
    pub(crate) fn flink(&self, line: &str) -> Result<PathBuf> {
        let flink = self.cache.join(format!("flink-{line}"));
        ensure!(flink.exists(), "{} is missing: run tests/e2e/install.sh", flink.display());
        Ok(flink)
    }

    /// The home of a line of Spark.
    pub(crate) fn spark(&self, line: Line) -> PathBuf {
        self.cache.join(match line {
            Line::Four => "spark",
            Line::Three => "spark-3.5",
        })
    }

    /// A custom resource definition, by the name of its file.
    pub(crate) fn crd(&self, file: &str) -> PathBuf {
        self.cache.join("crds").join(file)
    }

    /// The consumer that stands behind each Pod.
    pub(crate) fn consumer(&self) -> PathBuf {
        self.examples.join("consumer")
    }

    /// What the image holds.
    pub(crate) fn rootfs() -> Result<PathBuf> {
        let rootfs = Path::new(env!("CARGO_MANIFEST_DIR")).join("rootfs");
        ensure!(rootfs.join("usr/bin/tidegate").exists(), "{} is missing: run make rootfs", rootfs.display());
        Ok(rootfs)
    }

    /// The chart.
    pub(crate) fn chart() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/tidegate")
    }

    /// The daemon's binary.
    pub(crate) fn tidegate() -> PathBuf {
        PathBuf::from(env!("CARGO_BIN_EXE_tidegate"))
    }
}

/// A loopback port that nobody listens on. Taken from below the kernel's own range, so that no outgoing
/// connection can grab it meanwhile, and never handed out twice.
pub(crate) fn free_port() -> Result<u16> {
    const FIRST: u16 = 15_000;
    const RANGE: u16 = 15_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Two suites at once start far apart.
    let start = u16::try_from(std::process::id() % u32::from(RANGE / 300))? * 300;
    for _ in 0..RANGE {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + start.wrapping_add(step) % RANGE;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    anyhow::bail!("no free port")
}
