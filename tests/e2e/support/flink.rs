//! A Flink cluster of loopback processes: one JobManager, for a session or for one application, and TaskManagers that
//! come and go.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::daemon::at;
use super::objects::Image;
use super::place::{Tools, free_port};
use super::process::{Process, Program};
use super::waiting::{becomes, eventually};

/// What Flink asks of Java 17.
pub(crate) const OPENS: [&str; 11] = [
    "lang",
    "lang.invoke",
    "lang.reflect",
    "net",
    "io",
    "nio",
    "text",
    "time",
    "util",
    "util.concurrent",
    "util.concurrent.locks",
];

/// A job of the suite's, as it is submitted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Order<'a> {
    pub(crate) name: &'a str,
    pub(crate) bootstrap: &'a str,
    pub(crate) topic: &'a str,
    /// Microseconds that a record takes.
    pub(crate) cost: u32,
    /// Milliseconds from checkpoint to checkpoint.
    pub(crate) checkpoint: u32,
    pub(crate) parallelism: u32,
}

impl Order<'_> {
    fn arguments(&self) -> Vec<String> {
        let Self { name, bootstrap, topic, cost, checkpoint, parallelism: _ } = self;
        let arguments = [
            ["--bootstrap", bootstrap],
            ["--topic", topic],
            ["--group", topic],
            ["--name", name],
            ["--cost", &cost.to_string()],
            ["--checkpoint", &checkpoint.to_string()],
        ];
        arguments.as_flattened().iter().map(|one| (*one).to_owned()).collect()
    }
}

/// How a cluster is set up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout<'a> {
    /// 2.2 or 1.20; 2.3 where it is installed.
    pub(crate) line: &'a str,
    /// Of each TaskManager.
    pub(crate) slots: &'a [u32],
    /// Options that are not to be the suite's; without a value they are Flink's own.
    pub(crate) options: &'a [(&'a str, Option<&'a str>)],
    /// The job that is the cluster's only one; without, it is a session cluster.
    pub(crate) application: Option<Order<'a>>,
}

/// The id of an application's job: it stays as it is when the application is started anew, as under the operator.
pub(crate) const APPLICATION: &str = "00000000000000000000000000abcdef";

/// A cluster.
#[derive(Debug)]
pub(crate) struct Flink {
    dir: PathBuf,
    home: PathBuf,
    url: String,
    /// What the application's JobManager is told of its job.
    application: Option<Vec<String>>,
    jobmanager: Mutex<Option<Process>>,
    taskmanagers: Mutex<BTreeMap<String, Process>>,
}

impl Flink {
    /// Starts a JobManager and TaskManagers, and waits until all slots are there.
    pub(crate) async fn start(tools: &Tools, dir: &Path, layout: Layout<'_>) -> Result<Self> {
        fs::create_dir_all(dir.join("conf"))?;
        fs::create_dir_all(dir.join("tmp"))?;
        let (rest, home) = (free_port()?, tools.flink(layout.line)?);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/flink-job/conf.sh");
        let config = dir.join("conf/config.yaml");
        Program::new(script, dir.join("conf.log"))
            .stdout(&config)
            .args([dir.display().to_string(), rest.to_string(), free_port()?.to_string()])
            .run()
            .await?;
        let text = fs::read_to_string(&config)?;
        fs::write(&config, configured(&text, layout.options))?;
        // As the older line calls it.
        fs::copy(&config, dir.join("conf/flink-conf.yaml"))?;
        // A jar in this place counts as uploaded.
        fs::create_dir_all(dir.join("upload/flink-web-upload"))?;
        fs::copy(home.join("job.jar"), dir.join("upload/flink-web-upload/job.jar"))?;
        let url = format!("http://127.0.0.1:{rest}");
        let flink = Self {
            dir: dir.to_owned(),
            home,
            url,
            application: layout.application.as_ref().map(application),
            jobmanager: Mutex::default(),
            taskmanagers: Mutex::default(),
        };
        flink.launch(&[])?;
        for (number, slots) in layout.slots.iter().enumerate() {
            flink.add(&format!("tm{number}"), *slots)?;
        }
        flink.has_slots(layout.slots.iter().sum()).await?;
        Ok(flink)
    }

    /// Its REST address.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Its configuration, and its jars, to which an application's own belongs.
    fn surroundings(&self) -> (PathBuf, String) {
        let jars = format!("{0}/lib/*", self.home.display());
        let own = format!(":{}/job.jar", self.home.display());
        (self.dir.join("conf"), if self.application.is_some() { jars + &own } else { jars })
    }

    fn java(&self, log: &str, main: &str) -> Program {
        let (conf, jars) = self.surroundings();
        java(&self.dir.join(format!("{log}.log")), &jars, &conf, main)
    }

    /// Starts the JobManager, again, with further options.
    pub(crate) fn launch(&self, options: &[(&str, &str)]) -> Result<()> {
        let main = match &self.application {
            None => "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint",
            Some(_) => "org.apache.flink.container.entrypoint.StandaloneApplicationClusterEntryPoint",
        };
        let options = options.iter().flat_map(|(key, value)| ["-D".to_owned(), format!("{key}={value}")]);
        let program = self.java("jobmanager", main).args(options);
        *self.jobmanager() = Some(program.args(self.application.clone().unwrap_or_default()).start()?);
        Ok(())
    }

    /// The job's last completed checkpoint, which outlives a JobManager that is killed.
    pub(crate) fn checkpoint(&self, job: &str) -> Result<PathBuf> {
        let all = fs::read_dir(self.dir.join("checkpoints").join(job))?.collect::<Result<Vec<_>, _>>()?;
        let number = |path: &PathBuf| path.file_name()?.to_str()?.strip_prefix("chk-")?.parse::<u64>().ok();
        let complete =
            all.into_iter().map(|entry| entry.path()).filter(|path| path.join("_metadata").exists());
        complete.max_by_key(number).context("no checkpoint was completed")
    }

    /// Takes a checkpoint, as a person would, and waits for it.
    pub(crate) async fn take_checkpoint(&self, job: &str) -> Result<()> {
        let path = format!("{}/jobs/{job}/checkpoints", self.url);
        let asked = reqwest::Client::new().post(&path).json(&json!({"checkpointType": "CONFIGURED"}));
        let answer = asked.send().await?;
        ensure!(answer.status().is_success(), "{path}: {}", answer.status());
        eventually("a checkpoint", || async {
            let checkpoints = Self::ask(&path).await?;
            Ok((*at(&checkpoints, "/counts/completed") != 0).then_some(()))
        })
        .await
    }

    /// Kills the JobManager; without high availability its jobs are gone with it.
    pub(crate) fn kill(&self) {
        drop(self.jobmanager().take());
    }

    /// Starts a TaskManager.
    pub(crate) fn add(&self, name: &str, slots: u32) -> Result<()> {
        let program = with_slots(self.java(name, TASKMANAGER), name, slots);
        self.taskmanagers().insert(name.to_owned(), program.start()?);
        Ok(())
    }

    /// What a TaskManager's Pod runs.
    pub(crate) fn image(&self, line: &str, slots: u32) -> Image {
        Image::TaskManager { line: line.to_owned(), conf: self.surroundings().0.display().to_string(), slots }
    }

    /// Kills a TaskManager.
    pub(crate) fn remove(&self, name: &str) {
        drop(self.taskmanagers().remove(name));
    }

    /// Waits until there are so many slots, free or not.
    pub(crate) async fn has_slots(&self, slots: u32) -> Result<()> {
        eventually(&format!("{slots} slots"), || async {
            if let Some(jobmanager) = &*self.jobmanager() {
                jobmanager.check()?;
            }
            let overview = self.get("/overview").await?;
            Ok((*at(&overview, "/slots-total") == slots).then_some(()))
        })
        .await
    }

    /// Submits a job and waits until it runs; its id.
    pub(crate) async fn submit(&self, order: &Order<'_>) -> Result<String> {
        let answer = reqwest::Client::new().post(self.run_url()).json(&Self::run_request(order)).send();
        let answer: Value = answer.await?.json().await?;
        let id = at(&answer, "/jobid").as_str().with_context(|| format!("submit: {answer}"))?.to_owned();
        self.runs(&id, order.parallelism).await?;
        Ok(id)
    }

    /// Waits until a job runs with so much.
    pub(crate) async fn runs(&self, id: &str, parallelism: u32) -> Result<()> {
        becomes("what the job runs with", parallelism, || self.parallelism(id)).await
    }

    /// Where jobs are submitted.
    pub(crate) fn run_url(&self) -> String {
        format!("{}/jars/job.jar/run", self.url)
    }

    /// What is submitted.
    pub(crate) fn run_request(order: &Order<'_>) -> Value {
        json!({"programArgsList": order.arguments(), "parallelism": order.parallelism})
    }

    /// Cancels a job and waits until it has ended.
    pub(crate) async fn cancel(&self, job: &str) -> Result<()> {
        let answer =
            reqwest::Client::new().patch(format!("{}/jobs/{job}?mode=cancel", self.url)).send().await?;
        ensure!(answer.status().is_success(), "cancel {job}: {}", answer.status());
        becomes("the job's state", "CANCELED".to_owned(), || async {
            let job = self.get(&format!("/jobs/{job}")).await?;
            Ok(at(&job, "/state").as_str().unwrap_or_default().to_owned())
        })
        .await
    }

    /// The parallelism that the widest vertex of a job runs with.
    pub(crate) async fn parallelism(&self, job: &str) -> Result<u32> {
        let job = self.get(&format!("/jobs/{job}")).await?;
        let vertices = at(&job, "/vertices").as_array().context("no vertices")?;
        let running = vertices.iter().all(|vertex| *at(vertex, "/status") == "RUNNING");
        ensure!(running && *at(&job, "/state") == "RUNNING", "the job does not run: {job}");
        let parallelism = vertices.iter().filter_map(|vertex| at(vertex, "/parallelism").as_u64());
        Ok(u32::try_from(parallelism.max().context("no parallelism")?)?)
    }

    /// The upper bounds that are asked for, the least first.
    pub(crate) async fn asked(&self, job: &str) -> Result<Vec<u64>> {
        let asked = self.get(&format!("/jobs/{job}/resource-requirements")).await?;
        let vertices = asked.as_object().context("no requirements")?.values();
        let bounds = vertices.filter_map(|one| at(one, "/parallelism/upperBound").as_u64());
        let mut bounds: Vec<u64> = bounds.collect();
        bounds.sort_unstable();
        Ok(bounds)
    }

    /// Asks for `parallelism` of every vertex, as a person would.
    pub(crate) async fn require(&self, job: &str, parallelism: u32) -> Result<()> {
        let path = format!("{}/jobs/{job}/resource-requirements", self.url);
        let mut asked = Self::ask(&path).await?;
        for bounds in asked.as_object_mut().context("no requirements")?.values_mut() {
            *bounds = json!({"parallelism": {"lowerBound": 1, "upperBound": parallelism}});
        }
        let answer = reqwest::Client::new().put(&path).json(&asked).send().await?;
        ensure!(answer.status().is_success(), "{path}: {}", answer.status());
        Ok(())
    }

    /// How often the job was restarted or rescaled since it was submitted, as its checkpoints tell: each one
    /// restores.
    pub(crate) async fn restores(&self, job: &str) -> Result<u64> {
        let checkpoints = self.get(&format!("/jobs/{job}/checkpoints")).await?;
        at(&checkpoints, "/counts/restored").as_u64().context("no count")
    }

    /// Records that the job has counted, by its state.
    pub(crate) async fn counted(&self, job: &str) -> Result<u64> {
        let details = self.get(&format!("/jobs/{job}")).await?;
        let vertices = at(&details, "/vertices").as_array().context("no vertices")?;
        let worker = vertices
            .iter()
            .find(|vertex| at(vertex, "/name").as_str().is_some_and(|name| name.starts_with("work")));
        let id = worker.and_then(|worker| at(worker, "/id").as_str()).context("no worker")?;
        let path = format!("/jobs/{job}/vertices/{id}/subtasks/metrics?get=work.counted&agg=sum");
        let sum = at(&self.get(&path).await?, "/0/sum").as_f64().context("not counted yet")?;
        Ok(format!("{sum:.0}").parse()?)
    }

    /// What its REST API answers.
    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        Self::ask(&format!("{}{path}", self.url)).await
    }

    /// What the REST API at a whole URL answers.
    pub(crate) async fn ask(url: &str) -> Result<Value> {
        let answer = reqwest::get(url).await?;
        ensure!(answer.status().is_success(), "{url}: {}", answer.status());
        Ok(answer.json().await?)
    }

    fn jobmanager(&self) -> MutexGuard<'_, Option<Process>> {
        self.jobmanager.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn taskmanagers(&self) -> MutexGuard<'_, BTreeMap<String, Process>> {
        self.taskmanagers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const TASKMANAGER: &str = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner";

fn java(log: &Path, jars: &str, conf: &Path, main: &str) -> Program {
    let opens = OPENS.map(|part| format!("--add-opens=java.base/java.{part}=ALL-UNNAMED"));
    Program::new("java", log)
        .args(opens)
        .args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx300m", "-XX:MaxDirectMemorySize=128m"])
        .args(["-cp", jars, main, "--configDir", &conf.display().to_string()])
}

fn with_slots(program: Program, name: &str, slots: u32) -> Program {
    program
        .args(["-D".to_owned(), format!("taskmanager.resource-id={name}")])
        .args(["-D".to_owned(), format!("taskmanager.numberOfTaskSlots={slots}")])
}

/// A TaskManager with its arguments, as its Pod's container has them.
pub(crate) fn taskmanager(tools: &Tools, log: &Path, name: &str, args: &[String]) -> Result<Program> {
    let [line, conf, slots] = args else { bail!("a TaskManager with {args:?}") };
    let home = tools.flink(line)?;
    // An application's own jar does no harm in a session.
    let jars = format!("{0}/lib/*:{0}/job.jar", home.display());
    Ok(with_slots(java(log, &jars, Path::new(conf), TASKMANAGER), name, slots.parse()?))
}

/// The configuration with other options.
fn configured(text: &str, options: &[(&str, Option<&str>)]) -> String {
    let is_other = |line: &&str| {
        let key = line.split(':').next().unwrap_or_default();
        options.iter().any(|(other, _)| *other == key)
    };
    let kept = text.lines().filter(|line| !is_other(line)).map(str::to_owned);
    let others = options.iter().filter_map(|(key, value)| Some(format!("{key}: {}", (*value)?)));
    kept.chain(others).map(|line| line + "\n").collect()
}

fn application(order: &Order<'_>) -> Vec<String> {
    let of = [
        ["-D", &format!("parallelism.default={}", order.parallelism)],
        ["--job-id", APPLICATION],
        ["--job-classname", "dev.tidegate.e2e.Job"],
    ];
    of.as_flattened().iter().map(|one| (*one).to_owned()).chain(order.arguments()).collect()
}
