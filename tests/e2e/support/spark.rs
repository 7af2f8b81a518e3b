//! A standalone Spark cluster on loopback: the master and the driver are processes of the suite's, the workers
//! Pods of a Deployment.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use super::daemon::at;
use super::objects::Image;
use super::place::{Tools, free_port};
use super::process::{Process, Program};
use super::waiting::eventually;

/// Small, single-threaded JVMs: there may be ten of them.
const LEAN: [&str; 2] = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];

/// What Spark 3 reaches into.
const OPENS: [&str; 8] = [
    "java.lang",
    "java.lang.invoke",
    "java.lang.reflect",
    "java.net",
    "java.nio",
    "java.util",
    "java.util.concurrent",
    "sun.nio.ch",
];

/// A line of Spark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// 4.2, which the suite always has.
    Four,
    /// 3.5, where it was installed: `install.sh spark-3.5`.
    Three,
}

impl Line {
    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Four => "4.2",
            Self::Three => "3.5",
        }
    }

    /// The line of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Four, Self::Three].into_iter().find(|line| line.name() == name)
    }

    fn scala(self) -> &'static str {
        match self {
            Self::Four => "2.13",
            Self::Three => "2.12",
        }
    }

    fn py4j(self) -> &'static str {
        match self {
            Self::Four => "py4j-0.10.9.9-src.zip",
            Self::Three => "py4j-0.10.9.7-src.zip",
        }
    }
}

/// What a worker's Pod does before it is stopped: it asks its tasks to end, and waits for its executors. In a
/// container the worker is process 1.
const DRAIN: &str =
    "kill -s PWR ${MAIN_PID:-1}; while pgrep -P ${MAIN_PID:-1} >/dev/null; do sleep 0.2; done";

/// Where a worker's argument is its Pod's address, as a Pod's own environment would have it.
pub(crate) const POD_IP: &str = "$(POD_IP)";

/// What an executor's Pod does before it is stopped: it asks its tasks to end, and waits until it has ended itself.
const LEAVE: &str = "kill -s PWR ${MAIN_PID:-1}; while grep -qs 'State:.[^Z]' /proc/${MAIN_PID:-1}/status; do sleep 0.2; done";

/// One of Spark's Java programs.
pub(crate) fn java(tools: &Tools, line: Line, log: &Path, heap: &str, class: &str) -> Program {
    let home = tools.spark(line);
    let opens = OPENS.into_iter().filter(|_| line == Line::Three);
    Program::new("java", log)
        .args(LEAN)
        .args(opens.map(|package| format!("--add-opens=java.base/{package}=ALL-UNNAMED")))
        .args([
            heap,
            "-Dspark.decommission.enabled=true",
            "-cp",
            &format!("{}/jars/*", home.display()),
            class,
        ])
        .env("SPARK_HOME", home.display().to_string())
        .env("SPARK_SCALA_VERSION", line.scala())
        .env("SPARK_LOCAL_IP", "127.0.0.1")
}

/// A worker with its arguments, as its Pod's container has them.
pub(crate) fn worker(tools: &Tools, line: Line, log: &Path, args: Vec<String>) -> Program {
    let work = log.with_extension("work").display().to_string();
    java(tools, line, log, "-Xmx128m", "org.apache.spark.deploy.worker.Worker")
        .args(["--work-dir", &work])
        .args(args)
}

/// An executor with its arguments, as its Pod's container has them. Its driver need not have asked for it.
pub(crate) fn executor(tools: &Tools, log: &Path, id: u32, args: Vec<String>) -> Program {
    let class = "org.apache.spark.executor.CoarseGrainedExecutorBackend";
    java(tools, Line::Four, log, "-Xmx512m", class)
        .args(["--executor-id", &id.to_string(), "--hostname", "127.0.0.1", "--bind-address", "127.0.0.1"])
        .args(["--cores", "1", "--resourceProfileId", "0"])
        .args(args)
}

/// A running master.
#[derive(Debug)]
pub(crate) struct Master {
    line: Line,
    url: String,
    web: String,
    process: Process,
}

impl Master {
    /// Starts one and waits until it answers.
    pub(crate) async fn start(tools: &Tools, line: Line, dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let (port, web) = (free_port()?, free_port()?);
        let process =
            java(tools, line, &dir.join("master.log"), "-Xmx192m", "org.apache.spark.deploy.master.Master")
                .args(["--host", "127.0.0.1", "--port", &port.to_string(), "--webui-port", &web.to_string()])
                .start()?;
        let (url, web) = (format!("spark://127.0.0.1:{port}"), format!("http://127.0.0.1:{web}"));
        let master = Self { line, url, web, process };
        eventually("the master answers", || async {
            master.process.check()?;
            get(&format!("{}/json/", master.web)).await.map(Some)
        })
        .await?;
        Ok(master)
    }

    /// Address of its UI.
    pub(crate) fn web(&self) -> &str {
        &self.web
    }

    /// What a worker's Pod runs: one core, room for one executor.
    pub(crate) fn worker(&self) -> Image {
        self.worker_on("127.0.0.1", DRAIN)
    }

    /// The same on a host of its own, the Pod's. Nothing drains it: that is for the master to do.
    pub(crate) fn worker_of_its_own(&self) -> Image {
        self.worker_on(POD_IP, "true")
    }

    fn worker_on(&self, host: &str, drain: &str) -> Image {
        let args = ["--host", host, "--cores", "1", "--memory", "600m", "--webui-port", "0", &self.url];
        Image::SparkWorker {
            args: args.map(str::to_owned).to_vec(),
            drain: drain.to_owned(),
            line: self.line,
        }
    }
}

/// One of the suite's applications.
pub(crate) fn app(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/spark-app").join(file)
}

/// Settings, as a submission has them.
pub(crate) fn conf<K: std::fmt::Display>(
    settings: impl IntoIterator<Item = (K, String)>,
) -> impl Iterator<Item = String> {
    settings.into_iter().flat_map(|(key, value)| ["--conf".to_owned(), format!("{key}={value}")])
}

/// Submits to the master's workers, with one core for each executor; the application and its arguments follow.
pub(crate) fn submit(tools: &Tools, log: &Path, master: &Master, name: &str) -> Program {
    let python = tools.spark(master.line).join("python");
    let path =
        [python.clone(), python.join("lib").join(master.line.py4j())].map(|path| path.display().to_string());
    let settings = [
        ("spark.driver.host", "127.0.0.1"),
        ("spark.driver.bindAddress", "127.0.0.1"),
        ("spark.executor.cores", "1"),
        ("spark.executor.memory", "512m"),
        ("spark.locality.wait", "0s"),
        ("spark.sql.shuffle.partitions", "1"),
        ("spark.ui.showConsoleProgress", "false"),
    ];
    java(tools, master.line, log, "-Xmx640m", "org.apache.spark.deploy.SparkSubmit")
        .env("PYTHONPATH", path.join(":"))
        .env("PYSPARK_PYTHON", "python3")
        .args(["--master", &master.url, "--name", name])
        .args(conf(settings.map(|(key, value)| (key, value.to_owned()))))
        .args(conf([("spark.executor.extraJavaOptions", LEAN.join(" "))]))
}

/// What the suite's streaming application does.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    /// Its name, and its topic's.
    pub(crate) name: String,
    pub(crate) bootstrap: String,
    /// Milliseconds of an executor's core per record.
    pub(crate) cost: u32,
    /// Records in a batch at most.
    pub(crate) batch: u32,
    /// Seconds between two batches; none: as soon as the last one is done.
    pub(crate) trigger: Option<u32>,
    /// Whether the records are counted by the executors, with a shuffle, or by the driver, without one.
    pub(crate) grouped: bool,
}

impl Query {
    /// One batch after the other, counted by the executors.
    pub(crate) fn new(name: &str, bootstrap: &str, cost: u32, batch: u32) -> Self {
        let (name, bootstrap) = (name.to_owned(), bootstrap.to_owned());
        Self { name, bootstrap, cost, batch, trigger: None, grouped: true }
    }
}

/// A query of the suite's application, whose driver may come and go.
#[derive(Debug)]
pub(crate) struct Driver {
    /// What is started, up to its settings.
    program: Program,
    /// Further settings, by name.
    settings: BTreeMap<String, String>,
    /// The application's own arguments.
    app: Vec<String>,
    process: Option<Process>,
    dir: PathBuf,
    name: String,
    port: u16,
}

impl Driver {
    /// Starts it on the master's workers, and waits until its UI answers.
    pub(crate) async fn start(tools: &Tools, dir: &Path, master: &Master, query: &Query) -> Result<Self> {
        let mut driver = Self::prepare(tools, dir, master, query)?;
        driver.launch().await?;
        Ok(driver)
    }

    /// One that is not started yet.
    pub(crate) fn prepare(tools: &Tools, dir: &Path, master: &Master, query: &Query) -> Result<Self> {
        let Query { name, bootstrap, cost, batch, trigger, grouped } = query;
        let port = free_port()?;
        let settings = [
            ("spark.ui.port", port.to_string()),
            ("spark.decommission.enabled", "true".to_owned()),
            ("spark.sql.streaming.metricsEnabled", "true".to_owned()),
        ];
        let program = submit(tools, &dir.join("driver.log"), master, name).args(conf(settings));
        let app = app("app.py");
        let (checkpoint, counts) = (dir.join("checkpoints").join(name), dir.join("counts"));
        let app = [
            app.display().to_string(),
            name.clone(),
            bootstrap.clone(),
            name.clone(),
            checkpoint.display().to_string(),
            counts.display().to_string(),
            cost.to_string(),
            trigger.map_or_else(|| "asap".to_owned(), |seconds| seconds.to_string()),
            batch.to_string(),
            if *grouped { "executors" } else { "driver" }.to_owned(),
        ];
        let (app, settings) = (app.to_vec(), BTreeMap::new());
        Ok(Self { program, settings, app, process: None, dir: dir.to_owned(), name: name.clone(), port })
    }

    /// Other settings for its next start.
    pub(crate) fn set(&mut self, settings: BTreeMap<String, String>) {
        self.settings = settings;
    }

    /// Starts it again: it goes on from its checkpoint.
    pub(crate) async fn launch(&mut self) -> Result<()> {
        let further = conf(self.settings.clone());
        let process = self.program.clone().args(further).args(self.app.clone()).start()?;
        let answers = || {
            eventually("the driver answers", || async {
                process.check()?;
                get(&format!("{}/api/v1/applications", self.url())).await.map(Some)
            })
        };
        // Where it shares its cores with many it takes minutes; once it has ended, nothing is to be waited for.
        let mut outcome = answers().await;
        for _ in 0..3 {
            if outcome.is_ok() || process.exit()?.is_some() {
                break;
            }
            outcome = answers().await;
        }
        outcome?;
        self.process = Some(process);
        Ok(())
    }

    /// Kills it without a word.
    pub(crate) fn kill(&mut self) {
        drop(self.process.take());
    }

    /// Address of its UI.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The port of its UI.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The settings' connection to it.
    pub(crate) fn connection(&self) -> Value {
        json!({"checkpoints": self.dir.join("checkpoints"), "driver": self.url()})
    }

    /// The running application's id.
    pub(crate) async fn app(&self) -> Result<String> {
        let apps = get(&format!("{}/api/v1/applications", self.url())).await?;
        Ok(apps.pointer("/0/id").and_then(Value::as_str).context("no application")?.to_owned())
    }

    /// What an executor's Pod runs that this driver, which listens on `port`, takes in.
    pub(crate) async fn executor(&self, port: u16) -> Result<Image> {
        let url = format!("spark://CoarseGrainedScheduler@127.0.0.1:{port}");
        let args = ["--driver-url".to_owned(), url, "--app-id".to_owned(), self.app().await?];
        Ok(Image::SparkExecutor { args: args.to_vec(), drain: LEAVE.to_owned() })
    }

    /// One of the settings that it runs with.
    pub(crate) async fn in_force(&self, key: &str) -> Result<Option<String>> {
        let app = self.app().await?;
        let environment = get(&format!("{}/api/v1/applications/{app}/environment", self.url())).await?;
        let all: Vec<(String, String)> =
            serde_json::from_value(at(&environment, "/sparkProperties").clone())?;
        Ok(all.into_iter().find(|(name, _)| name == key).map(|(_, value)| value))
    }

    /// Executors at work.
    pub(crate) async fn executors(&self) -> Result<usize> {
        let app = self.app().await?;
        let all = get(&format!("{}/api/v1/applications/{app}/executors", self.url())).await?;
        let all = all.as_array().context("no list of executors")?;
        Ok(all.iter().filter(|one| at(one, "/id") != "driver" && at(one, "/isActive") == true).count())
    }

    /// All executors that there ever were, as the driver tells of them.
    pub(crate) async fn executors_ever(&self) -> Result<Vec<Value>> {
        let app = self.app().await?;
        let all = get(&format!("{}/api/v1/applications/{app}/allexecutors", self.url())).await?;
        let all = all.as_array().context("no list of executors")?;
        Ok(all.iter().filter(|one| at(one, "/id") != "driver").cloned().collect())
    }

    /// What the query said of its batches, in order.
    pub(crate) fn progress(&self) -> Result<Vec<Value>> {
        let text = fs::read_to_string(self.dir.join("counts/progress.jsonl")).unwrap_or_default();
        // The last line may still be on its way.
        let whole = text.rfind('\n').map_or("", |end| text.get(..end).unwrap_or_default());
        whole.lines().map(|line| serde_json::from_str(line).context("a line of the progress")).collect()
    }

    /// Batches that have left their counts.
    pub(crate) fn counts(&self) -> Result<Counts> {
        self.counting().read()
    }

    /// Where they are left.
    pub(crate) fn counting(&self) -> Counting {
        Counting(self.dir.join("counts"))
    }

    /// Whether the query has committed a batch.
    pub(crate) fn committed(&self) -> bool {
        self.checkpoint().join("commits/0").exists()
    }

    /// The query's checkpoint.
    pub(crate) fn checkpoint(&self) -> PathBuf {
        self.dir.join("checkpoints").join(&self.name)
    }
}

/// Where a query leaves what it has processed.
#[derive(Debug, Clone)]
pub(crate) struct Counting(PathBuf);

impl Counting {
    /// What was processed so far.
    pub(crate) fn read(&self) -> Result<Counts> {
        let mut batches = BTreeMap::new();
        for entry in fs::read_dir(&self.0)? {
            let path = entry?.path();
            let number =
                path.file_name().and_then(|name| name.to_str()?.strip_suffix(".json")?.parse::<u64>().ok());
            if let Some(number) = number {
                batches.insert(number, serde_json::from_str(&fs::read_to_string(&path)?)?);
            }
        }
        Ok(Counts(batches))
    }
}

/// What was processed, by batch.
#[derive(Debug)]
pub(crate) struct Counts(BTreeMap<u64, Vec<Share>>);

/// A batch's share of one partition.
#[derive(Debug, Clone, Deserialize)]
struct Share {
    partition: i32,
    records: u64,
    first: u64,
    last: u64,
}

impl Counts {
    /// Records in all.
    pub(crate) fn records(&self) -> u64 {
        self.0.values().flatten().map(|share| share.records).sum()
    }

    /// Batches in all.
    pub(crate) fn batches(&self) -> usize {
        self.0.len()
    }

    /// An error unless every record of every partition was processed once, in order, from the first on.
    pub(crate) fn exact(&self) -> Result<()> {
        let mut next: BTreeMap<i32, u64> = BTreeMap::new();
        for (number, share) in
            self.0.iter().flat_map(|(number, all)| all.iter().map(move |one| (number, one)))
        {
            let expected = next.entry(share.partition).or_default();
            ensure!(
                share.first == *expected && share.last + 1 - share.first == share.records,
                "batch {number} processed {share:?} where {expected} came next"
            );
            *expected = share.last + 1;
        }
        Ok(())
    }
}

/// Runs what a Pod's container wants to be run before it is asked to stop.
pub(crate) async fn drain(command: &[String], process: &Process, log: &Path, grace: Duration) {
    let Some((path, args)) = command.split_first() else { return };
    let hook = Program::new(path, log).args(args).env("MAIN_PID", process.id().to_string());
    if let Ok(hook) = hook.start() {
        // What outlasts the grace period is cut off with it.
        let (Ok(_) | Err(_)) = hook.ended(grace).await;
    }
}

/// What one of Spark's web servers answers.
pub(crate) async fn get(url: &str) -> Result<Value> {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build()?;
    Ok(client.get(url).send().await?.error_for_status()?.json().await?)
}
