//! The daemon: everything wired, until it is asked to stop.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::clock::{self, Clock};
use super::equip::Real;
use super::fleet::{Base, Fleet};
use super::keeper::{self, Keeper};
use super::memories::Memories;
use super::reload::{self, Known, configmaps};
use super::tuners::Tuners;
use super::tuning::{self, Histories};
use crate::policy::settings::Settings;
use crate::record::Recorder;
use crate::record::board::{Board, ConnectionStatus};
use crate::record::memory_store::MemoryStore;
use crate::record::metrics::Metrics;
use crate::sources::{Connections, SweepStats};

/// How long a stop may take in all, once it was asked for. Orchestrators wait for longer, and people do
/// not: less than ten seconds, with what it takes to leave the runtime.
pub const STOP: Duration = Duration::from_secs(9);
/// How long turns under way may take once the daemon is asked to stop.
const LAST_TURNS: Duration = Duration::from_secs(5);
/// How long the journal and the Kubernetes Events may take for their last.
const LAST_WORDS: Duration = Duration::from_secs(1);
const _: () = assert!(LAST_TURNS.as_secs() + keeper::LAST.as_secs() + LAST_WORDS.as_secs() < STOP.as_secs());
/// How often the connections are asked how they are.
const HEALTH: Duration = Duration::from_secs(1);

/// A daemon, ready to run.
#[derive(Debug)]
pub struct Daemon {
    /// What the administrator asked.
    pub settings: Arc<Settings>,
    /// Sources and targets.
    pub equip: Real,
    /// Where memory is kept between restarts.
    pub store: MemoryStore,
    /// Where histories are.
    pub histories: MemoryStore,
    /// Who is told of everything.
    pub recorder: Arc<Recorder>,
    /// What is known right now.
    pub board: Board,
    /// What is counted.
    pub metrics: Metrics,
}

impl Daemon {
    /// Runs until `stop`, then lets the turns under way finish and saves what is remembered, within
    /// [`STOP`].
    pub async fn run(self, stop: CancellationToken) {
        let Self { settings, equip, store, histories, recorder, board, metrics } = self;
        let (scopes, scopes_seen) = watch::channel(configmaps::scopes(&settings.watch_namespaces));
        let (known, known_seen) = watch::channel(None);
        let keeper = Keeper::new(store, metrics.clone());
        let lead =
            Lead { settings: &settings, equip: &equip, recorder: &recorder, metrics: &metrics, stop: &stop };
        // All of it in one task: whatever fails by a bug of ours ends the process, not only itself.
        tokio::join!(
            configmaps::follow(equip.client.clone(), scopes, stop.clone()),
            reload::keep(Arc::clone(&settings), scopes_seen, known, stop.clone()),
            watch_connections(&equip.connections, &recorder, &metrics, &stop),
            lead.lead((keeper, Histories::new(histories)), &board, known_seen),
        );
        let last = Arc::clone(&recorder);
        let lines = tokio::task::spawn_blocking(move || last.close(LAST_WORDS));
        let ((), lines) = tokio::join!(recorder.close_events(LAST_WORDS), lines);
        if lines.is_err() {
            tracing::error!("the journal was not closed, by a bug in tidegate");
        }
    }
}

/// What leads the fleet.
struct Lead<'a> {
    settings: &'a Settings,
    equip: &'a Real,
    recorder: &'a Arc<Recorder>,
    metrics: &'a Metrics,
    stop: &'a CancellationToken,
}

impl Lead<'_> {
    async fn lead(
        &self,
        (mut keeper, mut histories): (Keeper, Histories),
        board: &Board,
        known: watch::Receiver<Option<Known>>,
    ) {
        let Some(memories) = keeper.load(self.settings.mode, self.stop).await else { return };
        let Some(tuners) = histories.load(self.stop).await else { return };
        board.set_memory_loaded();
        let mut fleet = Fleet::new(self.base(memories.clone(), tuners.clone()));
        let clock = Clock::system();
        tokio::join!(
            self.follow(known, &mut fleet),
            keeper.keep(&memories, self.stop),
            tuning::tune(&tuners, &clock, self.metrics, self.stop),
            histories.keep(&tuners, self.stop),
        );
        if !fleet.disband(LAST_TURNS).await {
            tracing::warn!("turns were still under way after {}s: left", LAST_TURNS.as_secs());
        }
        let last = tokio::time::timeout(keeper::LAST, histories.save(&tuners));
        let ((), last) = tokio::join!(keeper.finish(&memories), last);
        if last.is_err() {
            tracing::warn!("the last histories could not be saved within {}s", keeper::LAST.as_secs());
        }
    }

    /// Hands every change of the policies to the fleet.
    async fn follow(&self, mut known: watch::Receiver<Option<Known>>, fleet: &mut Fleet) {
        loop {
            if let Some(known) = known.borrow_and_update().clone() {
                self.recorder.policies(reload::report(&known.admission, self.settings));
                self.recorder.refusals(clock::now());
                let policies = known.admission.policies.iter().map(|admitted| &admitted.policy);
                fleet.muster(policies, known.refused());
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                Ok(()) = known.changed() => {}
            }
        }
    }

    fn base(&self, memories: Memories, tuners: Tuners) -> Base {
        let (recorder, metrics) = (Arc::clone(self.recorder), self.metrics.clone());
        Base {
            equip: Box::new(self.equip.clone()),
            record: Box::new(move |turn, took| {
                metrics.turn_took(took);
                recorder.record(turn);
            }),
            clock: Clock::system(),
            memories,
            tuners,
            ceiling: self.settings.mode,
            interval: self.settings.interval.0,
            patience: self.settings.limits.source_timeout.0,
        }
    }
}

/// Puts the connections' health on the board, and counts what their sweeps cost.
async fn watch_connections(
    connections: &Connections,
    recorder: &Recorder,
    metrics: &Metrics,
    stop: &CancellationToken,
) {
    let mut counted = BTreeMap::<String, SweepStats>::new();
    loop {
        let statuses = connections.status().into_iter().map(|status| ConnectionStatus {
            kind: status.kind.to_owned(),
            name: status.name,
            healthy: status.healthy,
            problem: status.problem,
        });
        recorder.connections(statuses.collect());
        for now in connections.sweeps() {
            let then = counted.entry(now.cluster.clone()).or_default();
            let took = Duration::try_from_secs_f64(now.seconds_in_all - then.seconds_in_all);
            let (sweeps, requests) = (now.sweeps - then.sweeps, now.requests_in_all - then.requests_in_all);
            metrics.swept("kafka", &now.cluster, sweeps, requests, took.unwrap_or_default());
            *then = now;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(HEALTH) => {}
        }
    }
}
