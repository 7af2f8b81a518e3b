//! Self-tuning beside the loop: one look at a time, for a small share of one processor, and its store.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::clock::Clock;
use super::reload::chain;
use super::tuners::Tuners;
use crate::policy::WorkloadId;
use crate::record::memory_store::MemoryStore;
use crate::record::metrics::Metrics;
use crate::tune::choice::Choice;
use crate::tune::tuner::Tuner;

/// How often it is looked whether a look is due.
const GLANCE: Duration = Duration::from_mins(1);
/// After a look it rests for so many times as long: one part in a hundred of one processor, however large the fleet.
const REST: u32 = 99;
/// How often histories are written. What a crash loses of them is a gap.
const PERIOD: Duration = Duration::from_mins(15);

/// Looks at the neighbours of one workload after the other, whenever it is due, until `stop`.
pub async fn tune(tuners: &Tuners, clock: &Clock, metrics: &Metrics, stop: &CancellationToken) {
    let looks = async {
        loop {
            tokio::time::sleep(GLANCE).await;
            if let Some(took) = look(tuners, clock, metrics).await {
                tokio::time::sleep(took * REST).await;
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = looks => {}
    }
}

/// One look, if one is due, and how long it took.
async fn look(tuners: &Tuners, clock: &Clock, metrics: &Metrics) -> Option<Duration> {
    let due = tuners.due(clock.now())?;
    let (look, started) = (due.look.clone(), Instant::now());
    let choice = tokio::task::spawn_blocking(move || look.run()).await;
    let took = started.elapsed();
    let choice = choice.unwrap_or_else(|_| {
        tracing::error!(workload = %due.id, "a look at other constants failed by a bug in tidegate");
        Choice::Keep
    });
    let turned = tuners.settle(&due, choice, clock.now());
    metrics.tuning_looked(&choice, took);
    if let Some(turn) = turned {
        tracing::info!(workload = %due.id, "self-tuning: {turn}");
    } else {
        tracing::debug!(workload = %due.id, "self-tuning: {choice}");
    }
    Some(took)
}

/// Where histories are between restarts.
#[derive(Debug)]
pub(super) struct Histories {
    store: MemoryStore,
    saved: BTreeMap<WorkloadId, Tuner>,
    problem: Option<String>,
    /// Nothing may be read or written: said once, not tried again.
    without: bool,
}

impl Histories {
    pub(super) fn new(store: MemoryStore) -> Self {
        Self { store, saved: BTreeMap::new(), problem: None, without: false }
    }

    /// Waits for what earlier runs kept: without it what they tuned would be undone. `None` if stopped before. Where
    /// the store is forbidden, as by a chart of an earlier version, histories begin with the process.
    pub(super) async fn load(&mut self, stop: &CancellationToken) -> Option<Tuners> {
        let mut pause = Duration::from_secs(1);
        loop {
            let loaded = tokio::select! {
                () = stop.cancelled() => return None,
                loaded = self.store.load::<Tuner>() => loaded,
            };
            match loaded {
                Ok(stored) => {
                    self.say(None);
                    self.saved.clone_from(&stored);
                    return Some(Tuners::new(stored));
                }
                Err(error) if error.is_forbidden() => {
                    self.without = true;
                    tracing::info!("self-tuning begins anew with every start: {}", chain(&error));
                    return Some(Tuners::default());
                }
                Err(error) => self.say(Some(format!("waiting for the stored histories: {}", chain(&error)))),
            }
            tokio::select! {
                () = stop.cancelled() => return None,
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(Duration::from_secs(10)),
            }
        }
    }

    /// Writes what changed from time to time, until `stop`.
    pub(super) async fn keep(&mut self, tuners: &Tuners, stop: &CancellationToken) {
        let save = async {
            loop {
                tokio::time::sleep(PERIOD).await;
                self.save(tuners).await;
            }
        };
        // A save that is cut short is made good by the last one.
        tokio::select! {
            () = stop.cancelled() => {}
            () = save => {}
        }
    }

    /// Writes what changed.
    pub(super) async fn save(&mut self, tuners: &Tuners) {
        let now = tuners.snapshot(self.store.room());
        if self.without || now == self.saved {
            return;
        }
        match self.store.save(&now).await {
            Ok(()) => {
                self.saved = now;
                self.say(None);
            }
            Err(error) => self.say(Some(format!("histories not saved: {}", chain(&error)))),
        }
    }

    /// Once per change.
    fn say(&mut self, problem: Option<String>) {
        match &problem {
            Some(problem) if self.problem.as_ref() != Some(problem) => tracing::warn!("{problem}"),
            None if self.problem.is_some() => tracing::info!("the store of the histories answers again"),
            Some(_) | None => {}
        }
        self.problem = problem;
    }
}
