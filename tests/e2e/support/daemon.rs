//! The daemon under test, as a process, seen only through what its users see.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use serde::Deserialize;
use serde_json::{Value, json};

use super::place::{Tools, free_port};
use super::process::{Process, Program};
use super::waiting::eventually;

/// What a daemon is started with.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) dir: PathBuf,
    pub(crate) kubeconfig: PathBuf,
    /// The namespace of its memory, and where it looks for labelled ConfigMaps.
    pub(crate) namespaces: Vec<String>,
    /// The settings' ceiling.
    pub(crate) mode: &'static str,
    /// The settings' connections.
    pub(crate) connections: Value,
    /// Anything else in the settings.
    pub(crate) further: Value,
}

/// One plain-text Kafka connection named `main`.
pub(crate) fn plain_kafka(bootstrap: &str) -> Value {
    let servers: Vec<&str> = bootstrap.split(',').collect();
    json!({"kafka": {"main": {"bootstrapServers": servers}}})
}

/// A workload as `/api/v1/workloads` lists it: the share of the contract that the suite checks.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Workload {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) at: String,
    pub(crate) current: Option<i32>,
    pub(crate) desired: Option<i32>,
    pub(crate) backlog: Option<u64>,
    pub(crate) reasons: Vec<String>,
    pub(crate) sentence: String,
}

/// The value at a JSON pointer; null where there is none.
pub(crate) fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

/// One turn as the journal has it: the share that the suite looks at.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Turn {
    pub(crate) workload: Id,
    pub(crate) decision: Decision,
    /// `applied`, `recommended`, ...; an object where there is more to say.
    pub(crate) outcome: Value,
}

/// A workload's name.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Id {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Decision {
    pub(crate) current: Option<i32>,
    pub(crate) desired: Option<i32>,
    pub(crate) reason: String,
}

#[derive(Deserialize)]
struct Line {
    turn: Option<Turn>,
}

/// A daemon.
#[derive(Debug)]
pub(crate) struct Daemon {
    dir: PathBuf,
    program: Program,
    process: Mutex<Option<Process>>,
    url: String,
}

impl Daemon {
    /// Starts one and waits until it answers.
    pub(crate) async fn start(setup: Setup) -> Result<Self> {
        let daemon = Self::prepare(setup)?;
        daemon.launch().await?;
        Ok(daemon)
    }

    /// One that the process kubelet runs: only what it answers can be seen.
    pub(crate) fn in_a_pod(dir: &Path, port: u16) -> Self {
        let program = Program::new(Tools::tidegate(), dir.join("tidegate.log"));
        let url = format!("http://127.0.0.1:{port}");
        Self { dir: dir.to_owned(), program, process: Mutex::new(None), url }
    }

    /// Writes its settings. Policies come from its folder `policies`.
    pub(crate) fn prepare(setup: Setup) -> Result<Self> {
        let Setup { dir, kubeconfig, namespaces, mode, connections, further } = setup;
        fs::create_dir_all(dir.join("policies"))?;
        let port = free_port()?;
        let mut settings = json!({
            "apiVersion": "tidegate.dev/v1alpha1", "kind": "Settings",
            "mode": mode, "interval": "1s",
            "watchNamespaces": namespaces,
            "policyPaths": [dir.join("policies")],
            "connections": connections,
            "web": {"listen": format!("127.0.0.1:{port}")},
            "journal": {"file": {"path": dir.join("journal.jsonl")}},
            "memory": {"namespace": namespaces.first().map_or("default", String::as_str)},
            "limits": {"sourceTimeout": "4s", "kubernetesRequestsPerSecond": 100},
        });
        if let (Some(settings), Some(further)) = (settings.as_object_mut(), further.as_object()) {
            settings.extend(further.clone());
        }
        fs::write(dir.join("settings.yaml"), serde_json::to_string_pretty(&settings)?)?;
        let program = Program::new(Tools::tidegate(), dir.join("tidegate.log"))
            .stdout(dir.join("tidegate.out"))
            .env("KUBECONFIG", kubeconfig.display().to_string())
            .args(["run", "--settings"])
            .arg(dir.join("settings.yaml").display().to_string());
        Ok(Self { dir, program, process: Mutex::new(None), url: format!("http://127.0.0.1:{port}") })
    }

    /// Starts it, again.
    pub(crate) async fn launch(&self) -> Result<()> {
        let process = self.program.start()?;
        eventually("the daemon answers", || async {
            process.check()?;
            self.get("/healthz").await.map(Some)
        })
        .await?;
        *self.process() = Some(process);
        Ok(())
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a file into its folder of policies.
    pub(crate) fn policies(&self, file: &str, text: &str) -> Result<()> {
        // By a rename, so that no half-written file is ever read.
        let fresh = self.dir.join("fresh.yaml");
        fs::write(&fresh, text)?;
        Ok(fs::rename(fresh, self.dir.join("policies").join(file))?)
    }

    /// Its settings file.
    pub(crate) fn settings(&self) -> PathBuf {
        self.dir.join("settings.yaml")
    }

    /// Its process id.
    pub(crate) fn id(&self) -> Result<i32> {
        Ok(self.process().as_ref().context("the daemon is not running")?.id())
    }

    /// An error, with the end of its log, unless it has run without a break.
    pub(crate) fn alive(&self) -> Result<()> {
        self.process().as_ref().context("the daemon is not running")?.check()
    }

    /// Kills it without a word.
    pub(crate) fn kill(&self) {
        drop(self.process().take());
    }

    /// Asks it to stop, and tells how it ended.
    pub(crate) async fn stop(&self) -> Result<ExitStatus> {
        let process = self.process().take().context("the daemon is not running")?;
        process.signal(Signal::SIGTERM)?;
        process.ended(Duration::from_secs(30)).await
    }

    /// One endpoint's text.
    pub(crate) async fn get(&self, path: &str) -> Result<String> {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build()?;
        let answer = client.get(format!("{}{path}", self.url)).send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status.is_success(), "{path}: {status}: {text}");
        Ok(text)
    }

    /// One endpoint's JSON, whatever its status.
    pub(crate) async fn json(&self, path: &str) -> Result<Value> {
        Ok(reqwest::get(format!("{}{path}", self.url)).await?.json().await?)
    }

    /// Every workload's last decision.
    pub(crate) async fn workloads(&self) -> Result<Vec<Workload>> {
        #[derive(Deserialize)]
        struct List {
            workloads: Vec<Workload>,
        }
        Ok(serde_json::from_str::<List>(&self.get("/api/v1/workloads").await?)?.workloads)
    }

    /// One workload's last decision.
    pub(crate) async fn workload(&self, namespace: &str, name: &str) -> Result<Workload> {
        Ok(serde_json::from_str(&self.get(&format!("/api/v1/workloads/{namespace}/{name}")).await?)?)
    }

    /// Waits for a decision whose reasons hold `reason`, and returns it.
    pub(crate) async fn says(&self, namespace: &str, name: &str, reason: &str) -> Result<Workload> {
        eventually(&format!("{namespace}/{name} says {reason}"), || async {
            let workload = self.workload(namespace, name).await?;
            let said = workload.reasons.iter().any(|said| said == reason);
            ensure!(said, "it says {:?}: {}", workload.reasons, workload.sentence);
            Ok(Some(workload))
        })
        .await
    }

    /// Waits until a workload was decided on so many times more.
    pub(crate) async fn turns_pass(&self, namespace: &str, name: &str, turns: usize) -> Result<()> {
        let mut last = None;
        for turn in 0..=turns {
            let at = eventually(&format!("turn {turn} of {namespace}/{name}"), || async {
                let at = self.workload(namespace, name).await?.at;
                Ok((last.as_ref() != Some(&at)).then_some(at))
            })
            .await?;
            last = Some(at);
        }
        Ok(())
    }

    /// The value of a series of `/metrics`, summed over the labels that `labels` leaves open.
    pub(crate) async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Result<f64> {
        let text = self.get("/metrics").await?;
        let wanted: Vec<String> = labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
        let series = text.lines().filter(|line| {
            let series = line.split([' ', '{']).next();
            series == Some(name) && wanted.iter().all(|label| line.contains(label.as_str()))
        });
        let values: Vec<f64> = series.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
        ensure!(!values.is_empty(), "/metrics has no {name} with {labels:?}");
        Ok(values.iter().sum())
    }

    /// Every turn of a workload that the journal holds, in order.
    pub(crate) fn journal(&self, namespace: &str, name: &str) -> Result<Vec<Turn>> {
        let text = fs::read_to_string(self.journal_file()).context("read the journal")?;
        // The last line may still be on its way.
        let whole = text.rfind('\n').map_or("", |end| text.get(..end).unwrap_or_default());
        let mut turns = Vec::new();
        for line in whole.lines() {
            let line: Line = serde_json::from_str(line).context("a line of the journal")?;
            let Some(turn) = line.turn else { continue };
            if turn.workload.namespace == namespace && turn.workload.name == name {
                turns.push(turn);
            }
        }
        Ok(turns)
    }

    /// Evaluates the journal again: every decision must come out the same.
    pub(crate) async fn replays(&self) -> Result<()> {
        let journal = self.journal_file().display().to_string();
        let (code, output) = command(&self.dir, Path::new("/dev/null"), &["replay", &journal]).await?;
        ensure!(code == 0, "the replay differs: {output}");
        Ok(())
    }

    /// The journal.
    pub(crate) fn journal_file(&self) -> PathBuf {
        self.dir.join("journal.jsonl")
    }

    /// Memory that it holds now, in bytes.
    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()?))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
    }
}

/// Runs one of the other commands of the binary; its exit code and standard output.
pub(crate) async fn command(dir: &Path, kubeconfig: &Path, args: &[&str]) -> Result<(i32, String)> {
    let output = dir.join("command.out");
    fs::write(&output, "")?;
    let program = Program::new(Tools::tidegate(), dir.join("command.log"))
        .stdout(&output)
        .env("KUBECONFIG", kubeconfig.display().to_string())
        .args(args.to_vec());
    let status = program.start()?.ended(Duration::from_mins(2)).await?;
    Ok((status.code().context("killed by a signal")?, fs::read_to_string(&output)?))
}
