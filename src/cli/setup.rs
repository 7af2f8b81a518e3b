//! What several commands need before they can do their work: settings, a cluster, a runtime.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::actuators::Actuators;
use crate::daemon::clients::{self, Access};
use crate::daemon::equip::Real;
use crate::daemon::memories::Kept;
use crate::daemon::reload::{self, Known, configmaps, files};
use crate::daemon::tuners::Tuners;
use crate::policy::WorkloadId;
use crate::policy::admit::Admission;
use crate::policy::read::read_settings;
use crate::policy::settings::Settings;
use crate::record::memory_store::MemoryStore;
use crate::sources::Connections;

/// Where the settings and the cluster are.
#[derive(Debug, Args)]
pub(super) struct Setup {
    /// The settings file
    #[arg(
        long,
        env = "TIDEGATE_SETTINGS",
        default_value = "/etc/tidegate/settings.yaml",
        value_name = "FILE"
    )]
    pub(super) settings: PathBuf,
    /// The kubeconfig file; by default what kubectl would use, or the cluster around this Pod
    #[arg(long, value_name = "FILE")]
    pub(super) kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context; by default its current one
    #[arg(long, value_name = "NAME")]
    pub(super) context: Option<String>,
}

impl Setup {
    /// Reads the settings; all that is wrong with them comes as one error.
    pub(super) fn settings(&self) -> anyhow::Result<Settings> {
        let text = std::fs::read_to_string(&self.settings).with_context(|| {
            format!("cannot read the settings file {}: name it with --settings FILE", self.settings.display())
        })?;
        read_settings(&self.settings.display().to_string(), &text).map_err(|problems| {
            let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
            anyhow::anyhow!("the settings are not usable\n{}", lines.join("\n"))
        })
    }

    /// The settings' connections and the cluster. Nothing is called yet.
    pub(super) async fn equip(&self, settings: &Settings) -> anyhow::Result<Real> {
        let access = Access { kubeconfig: self.kubeconfig.clone(), context: self.context.clone() };
        let client = clients::connect(&access, settings.limits.kubernetes_requests_per_second).await?;
        let connections = Arc::new(Connections::new(settings)?);
        let targets =
            Actuators::new(client.clone()).with_flink(connections.flink()).with_spark(connections.spark());
        Ok(Real { client, targets, connections })
    }
}

/// How long calls that cannot be interrupted (of librdkafka, of the resolver) may outlast the work.
const LEAVE: Duration = Duration::from_millis(500);

/// The runtime that a command runs on. Once the work is done, what else is under way is left.
pub(super) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the asynchronous runtime")?;
    let result = runtime.block_on(work);
    runtime.shutdown_timeout(LEAVE);
    result
}

/// The policies of these paths; of the settings' paths and the labelled ConfigMaps where there are none.
pub(super) async fn policies(paths: &[PathBuf], settings: &Settings, real: &Real) -> anyhow::Result<Known> {
    let (paths, scopes) = if paths.is_empty() {
        (settings.policy_paths.as_slice(), config_maps(settings, real).await?)
    } else {
        (paths, BTreeMap::new())
    };
    if paths.is_empty() && scopes.is_empty() {
        bail!(
            "no policies to look at: name a file or directory, or set policyPaths or watchNamespaces in the settings"
        );
    }
    let contents = files::read(paths, &files::Contents::default());
    Ok(reload::assemble(&contents, &scopes, settings, &Admission::default()))
}

/// The labelled ConfigMaps, listed once.
async fn config_maps(settings: &Settings, real: &Real) -> anyhow::Result<configmaps::Scopes> {
    let scopes = configmaps::scopes(&settings.watch_namespaces);
    if scopes.is_empty() {
        return Ok(scopes);
    }
    let (sender, mut seen) = watch::channel(scopes);
    let stop = CancellationToken::new();
    let answered =
        |scopes: &configmaps::Scopes| scopes.values().all(|scope| scope.listed || scope.problem.is_some());
    tokio::select! {
        () = configmaps::follow(real.client.clone(), sender, stop.clone()) => bail!("the watch of the ConfigMaps ended"),
        scopes = seen.wait_for(answered) => Ok(scopes.context("the watch of the ConfigMaps ended")?.clone()),
    }
}

/// Whether a path is there, for a message that comes before the work.
pub(super) fn must_exist(paths: &[PathBuf]) -> anyhow::Result<()> {
    match paths.iter().find(|path| !Path::exists(path)) {
        Some(missing) => bail!("{}: there is no such file or directory", missing.display()),
        None => Ok(()),
    }
}

/// Where the daemon's memory is.
pub(super) fn store(real: &Real, settings: &Settings) -> MemoryStore {
    let home = real.client.default_namespace().to_owned();
    MemoryStore::new(real.client.clone(), &home, &settings.memory)
}

/// Where its histories are.
pub(super) fn histories(real: &Real, settings: &Settings) -> MemoryStore {
    let home = real.client.default_namespace().to_owned();
    MemoryStore::of_histories(real.client.clone(), &home, &settings.memory)
}

/// What a running daemon has tuned; nothing where that cannot be read.
pub(super) async fn tuners(real: &Real, settings: &Settings) -> Tuners {
    match tokio::time::timeout(Duration::from_secs(5), histories(real, settings).load()).await {
        Ok(Ok(stored)) => Tuners::new(stored),
        Ok(Err(error)) => {
            tracing::info!("looking without what the daemon has tuned: {error}");
            Tuners::default()
        }
        Err(_) => Tuners::default(),
    }
}

/// What a running daemon remembers, so that a look sees what it sees; nothing where that cannot be read.
pub(super) async fn memories(real: &Real, settings: &Settings) -> BTreeMap<WorkloadId, Kept> {
    match tokio::time::timeout(Duration::from_secs(5), store(real, settings).load()).await {
        Ok(Ok(memories)) => memories,
        Ok(Err(error)) => {
            tracing::info!("looking without the daemon's memory: {error}");
            BTreeMap::new()
        }
        Err(_) => BTreeMap::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_call_that_is_stuck_holds_no_command_up() {
        let (release, released) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        block_on(async move {
            let stuck = move || tell.send(released.recv_timeout(Duration::from_mins(1)));
            drop(tokio::task::spawn_blocking(stuck));
            Ok(())
        })
        .unwrap();
        release.send(()).unwrap();
        assert_eq!(told.recv(), Ok(Ok(())), "it was left while it was stuck");
    }
}
