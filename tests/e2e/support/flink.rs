//! A Flink session cluster of loopback processes: one JobManager, and TaskManagers that come and go.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::daemon::at;
use super::place::{Tools, free_port};
use super::process::{Process, Program};
use super::waiting::{becomes, eventually};

/// What Flink asks of Java 17.
const OPENS: [&str; 11] = [
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
#[derive(Debug, Clone)]
pub(crate) struct Order<'a> {
    pub(crate) name: &'a str,
    pub(crate) bootstrap: &'a str,
    pub(crate) topic: &'a str,
    /// Microseconds that a record takes.
    pub(crate) cost: u32,
    pub(crate) parallelism: u32,
}

/// A session cluster.
#[derive(Debug)]
pub(crate) struct Flink {
    dir: PathBuf,
    home: PathBuf,
    url: String,
    jobmanager: Mutex<Option<Process>>,
    taskmanagers: Mutex<BTreeMap<String, Process>>,
}

impl Flink {
    /// Starts a JobManager of `line` and TaskManagers with so many slots each, and waits until all slots are there.
    pub(crate) async fn start(
        tools: &Tools,
        dir: &Path,
        line: &str,
        slots: &[u32],
        scheduler: &str,
    ) -> Result<Self> {
        fs::create_dir_all(dir.join("conf"))?;
        fs::create_dir_all(dir.join("tmp"))?;
        let (rest, home) = (free_port()?, tools.flink(line)?);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/flink-job/conf.sh");
        let config = dir.join("conf/config.yaml");
        Program::new(script, dir.join("conf.log"))
            .stdout(&config)
            .args([dir.display().to_string(), rest.to_string(), free_port()?.to_string()])
            .run()
            .await?;
        let text = fs::read_to_string(&config)?;
        fs::write(&config, text.replace("scheduler: adaptive", &format!("scheduler: {scheduler}")))?;
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
            jobmanager: Mutex::default(),
            taskmanagers: Mutex::default(),
        };
        flink.launch()?;
        for (number, slots) in slots.iter().enumerate() {
            flink.add(&format!("tm{number}"), *slots)?;
        }
        flink.has_slots(slots.iter().sum()).await?;
        Ok(flink)
    }

    /// Its REST address.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    fn java(&self, log: &str, main: &str) -> Program {
        let opens = OPENS.map(|part| format!("--add-opens=java.base/java.{part}=ALL-UNNAMED"));
        Program::new("java", self.dir.join(format!("{log}.log")))
            .args(opens)
            .args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx300m", "-XX:MaxDirectMemorySize=128m"])
            .arg("-cp")
            .arg(format!("{}/lib/*", self.home.display()))
            .arg(main)
            .arg("--configDir")
            .arg(self.dir.join("conf").display().to_string())
    }

    /// Starts the JobManager, again.
    pub(crate) fn launch(&self) -> Result<()> {
        let main = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint";
        *self.jobmanager() = Some(self.java("jobmanager", main).start()?);
        Ok(())
    }

    /// Kills the JobManager; without high availability its jobs are gone with it.
    pub(crate) fn kill(&self) {
        drop(self.jobmanager().take());
    }

    /// Starts a TaskManager.
    pub(crate) fn add(&self, name: &str, slots: u32) -> Result<()> {
        let main = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner";
        let program = self
            .java(name, main)
            .args(["-D".to_owned(), format!("taskmanager.resource-id={name}")])
            .args(["-D".to_owned(), format!("taskmanager.numberOfTaskSlots={slots}")]);
        self.taskmanagers().insert(name.to_owned(), program.start()?);
        Ok(())
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
        eventually("the job runs", || async {
            Ok((self.parallelism(&id).await? == order.parallelism).then_some(()))
        })
        .await?;
        Ok(id)
    }

    /// Where jobs are submitted.
    pub(crate) fn run_url(&self) -> String {
        format!("{}/jars/job.jar/run", self.url)
    }

    /// What is submitted.
    pub(crate) fn run_request(order: &Order<'_>) -> Value {
        let Order { name, bootstrap, topic, cost, parallelism } = order;
        let arguments = [
            ["--bootstrap", bootstrap],
            ["--topic", topic],
            ["--group", topic],
            ["--name", name],
            ["--cost", &cost.to_string()],
        ];
        json!({"programArgsList": arguments.as_flattened(), "parallelism": parallelism})
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

    /// The upper bounds that are asked for.
    pub(crate) async fn asked(&self, job: &str) -> Result<Vec<u64>> {
        let asked = self.get(&format!("/jobs/{job}/resource-requirements")).await?;
        let vertices = asked.as_object().context("no requirements")?.values();
        Ok(vertices.filter_map(|one| at(one, "/parallelism/upperBound").as_u64()).collect())
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
        let answer = reqwest::get(format!("{}{path}", self.url)).await?;
        ensure!(answer.status().is_success(), "{path}: {}", answer.status());
        Ok(answer.json().await?)
    }

    fn jobmanager(&self) -> MutexGuard<'_, Option<Process>> {
        self.jobmanager.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn taskmanagers(&self) -> MutexGuard<'_, BTreeMap<String, Process>> {
        self.taskmanagers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
