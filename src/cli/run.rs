//! `tidegate run`: the daemon.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::setup::{self, Setup};
use crate::daemon::logging::{self, Level};
use crate::daemon::run::{Daemon, STOP};
use crate::daemon::{DaemonError, clock};
use crate::policy::Mode;
use crate::policy::settings::Settings;
use crate::record::Recorder;
use crate::record::board::Board;
use crate::record::events::Events;
use crate::record::journal::Journal;
use crate::record::metrics::Metrics;
use crate::web;

/// Arguments of `tidegate run`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    setup: Setup,
    /// Files and directories with policies, besides those of the settings
    #[arg(long, value_name = "PATH", num_args = 1..)]
    policies: Vec<PathBuf>,
    /// Where to serve health, metrics and the API; overrides web.listen of the settings
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// The name that Kubernetes Events carry as their reporter: the Pod's
    #[arg(long, env = "POD_NAME", value_name = "NAME", default_value = "tidegate")]
    instance: String,
    /// Write nothing to any target, whatever the settings and the policies say
    #[arg(long)]
    recommend_only: bool,
}

/// Runs until it is asked to stop.
pub fn run(args: Args, level: Option<&str>) -> anyhow::Result<ExitCode> {
    let level = logging::start(level.unwrap_or("info"), std::io::stderr().is_terminal())?;
    let mut settings = args.setup.settings()?;
    settings.policy_paths.extend(args.policies);
    settings.web.listen = args.listen.unwrap_or(settings.web.listen);
    if args.recommend_only {
        settings.mode = Mode::Recommend;
    }
    setup::block_on(serve(args.setup, settings, level, args.instance))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(setup: Setup, settings: Settings, level: Level, instance: String) -> anyhow::Result<()> {
    let stop = stop_on_signal()?;
    let equip = setup.equip(&settings).await?;
    let address = settings.web.listen;
    let listener =
        TcpListener::bind(address).await.map_err(|source| DaemonError::Listen { address, source })?;
    let (board, metrics) = (Board::new(clock::now()), Metrics::new());
    let set_level = Box::new(move |filter: &str| level.set(filter).map_err(|error| error.to_string()));
    let router = web::router(board.clone(), metrics.clone(), Some(set_level));
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        mode = %settings.mode,
        interval = %settings.interval,
        listen = %listener.local_addr().unwrap_or(address),
        "started"
    );
    let journal = Journal::open(&settings.journal, metrics.journal.clone())?;
    let events = Events::start(equip.client.clone(), &instance, metrics.events.clone());
    let recorder =
        Recorder::new(board.clone(), metrics.clone()).with_journal(journal).with_events(Some(events));
    let daemon = Daemon {
        store: setup::store(&equip, &settings),
        histories: setup::histories(&equip, &settings),
        recorder: Arc::new(recorder),
        settings: Arc::new(settings),
        equip,
        board,
        metrics,
    };
    // The endpoints answer until the daemon is done: a stop must not look like a failure.
    let done = CancellationToken::new();
    let endpoints = web::serve(listener, router, done.clone());
    let work = async {
        daemon.run(stop.clone()).await;
        done.cancel();
    };
    let late = async {
        stop.cancelled().await;
        tokio::time::sleep(STOP).await;
    };
    tokio::select! {
        (served, ()) = async { tokio::join!(endpoints, work) } => served?,
        () = late => tracing::warn!("not all of it ended within {}s: left", STOP.as_secs()),
    }
    tracing::info!("stopped");
    Ok(())
}

/// A token that the first SIGTERM or SIGINT cancels; the second one ends the process at once.
fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let asked = stop.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if asked.is_cancelled() {
                std::process::exit(130);
            }
            tracing::info!("stopping: turns under way may finish");
            asked.cancel();
        }
    });
    Ok(stop)
}
