//! Child processes that cannot outlive the suite.
//!
//! Each child leads a process group of its own, so that it goes with everything it started, and asks the
//! kernel to be killed when its parent dies, however the parent dies. The kernel means the *thread* that
//! forked: one thread, which lives as long as the suite, starts them all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

struct Order {
    command: Command,
    reply: mpsc::Sender<io::Result<Child>>,
}

fn spawn(command: Command) -> Result<Child> {
    static SPAWNER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for Order { mut command, reply } in inbox {
                // Nobody waits for the answer only where the asking task was dropped.
                drop(reply.send(command.spawn()));
            }
        });
        orders
    });
    let (reply, answer) = mpsc::channel();
    spawner.send(Order { command, reply }).ok().context("the spawning thread is gone")?;
    Ok(answer.recv().context("the spawning thread is gone")??)
}

/// What to start.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    path: PathBuf,
    args: Vec<String>,
    env: Vec<(String, String)>,
    log: PathBuf,
    stdout: Option<PathBuf>,
    dir: Option<PathBuf>,
}

impl Program {
    /// `path`, which writes what it says to `log`.
    pub(crate) fn new(path: impl Into<PathBuf>, log: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            args: Vec::new(),
            env: Vec::new(),
            log: log.into(),
            stdout: None,
            dir: None,
        }
    }

    pub(crate) fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    pub(crate) fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// Standard output into a file of its own.
    pub(crate) fn stdout(mut self, file: impl Into<PathBuf>) -> Self {
        self.stdout = Some(file.into());
        self
    }

    /// The working directory.
    pub(crate) fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    fn command(&self) -> Result<Command> {
        let log = append(&self.log)?;
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(&self.path)
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(match &self.stdout {
                Some(file) => append(file)?,
                None => log.try_clone()?,
            })
            .stderr(log)
            .process_group(0);
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        Ok(command)
    }

    /// Starts it.
    pub(crate) fn start(&self) -> Result<Process> {
        let child = spawn(self.command()?).with_context(|| format!("start {}", self.path.display()))?;
        let group = Pid::from_raw(i32::try_from(child.id())?);
        Ok(Process { child: Mutex::new(child), group, program: self.clone() })
    }

    /// Runs it to its end, which must be a success.
    pub(crate) async fn run(&self) -> Result<()> {
        let status = self.start()?.ended(Duration::from_mins(2)).await?;
        if !status.success() {
            bail!("{} ended with {status}:\n{}", self.path.display(), tail(&self.log, 20));
        }
        Ok(())
    }
}

fn append(path: &Path) -> Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("open {}", path.display()))
}

/// A child that should run has ended: waiting for it is in vain.
#[derive(Debug, thiserror::Error)]
#[error("{program} ended with {status}:\n{log}")]
pub(crate) struct Ended {
    program: String,
    status: ExitStatus,
    log: String,
}

/// A running child; killed with its whole group when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Mutex<Child>,
    group: Pid,
    program: Program,
}

impl Process {
    /// The process id.
    pub(crate) fn id(&self) -> i32 {
        self.group.as_raw()
    }

    /// Its log file.
    pub(crate) fn log(&self) -> &Path {
        &self.program.log
    }

    /// How it ended, if it has.
    pub(crate) fn exit(&self) -> Result<Option<ExitStatus>> {
        Ok(self.child.lock().unwrap_or_else(PoisonError::into_inner).try_wait()?)
    }

    /// An error with the end of its log unless it still runs.
    pub(crate) fn check(&self) -> Result<()> {
        match self.exit()? {
            None => Ok(()),
            Some(status) => Err(Ended {
                program: self.program.path.display().to_string(),
                status,
                log: tail(self.log(), 25),
            }
            .into()),
        }
    }

    /// Sends a signal to the group.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        if self.exit()?.is_some() {
            bail!("{} is not running", self.program.path.display());
        }
        Ok(killpg(self.group, signal)?)
    }

    /// Waits for its end.
    pub(crate) async fn ended(&self, patience: Duration) -> Result<ExitStatus> {
        let wait = async {
            loop {
                if let Some(status) = self.exit()? {
                    return Ok(status);
                }
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
        };
        tokio::time::timeout(patience, wait)
            .await
            .with_context(|| format!("{} did not end within {patience:?}", self.program.path.display()))?
    }

    /// Kills it, and returns once it is gone.
    pub(crate) fn kill(&self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(child.try_wait(), Ok(None)) {
            // Both fail only where there is nothing left to kill.
            let (Ok(()) | Err(_)) = killpg(self.group, Signal::SIGKILL);
            let (Ok(_) | Err(_)) = child.wait();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The last lines of a log.
pub(crate) fn tail(path: &Path, lines: usize) -> String {
    const REACH: u64 = 64 << 10;
    let read = || -> io::Result<String> {
        let mut file = File::open(path)?;
        let length = fs::metadata(path)?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(REACH)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join("\n")
}
