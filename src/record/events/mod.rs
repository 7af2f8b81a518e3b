//! Kubernetes Events on the target, on a change of (outcome, reason) only.
//!
//! Events are created here and not through kube's `Recorder`: that one folds events which differ only in
//! their note into a series with the first note, so `4 to 6` would hide the `6 to 9` that follows.

mod object;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::events::v1::Event;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::board::RejectedPolicy;
use super::metrics::SinkCounters;
use super::{Outcome, Turn};
use crate::engine::Reason;
use crate::policy::WorkloadId;
use crate::words;

/// Events that may wait for the API server.
const QUEUE: usize = 256;
/// The same words about a workload are said at most once within this time, but for what was applied.
const QUIET: SignedDuration = SignedDuration::from_mins(10);
/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A queue to the task that creates events. Nothing here waits for the API server.
#[derive(Debug)]
pub struct Events {
    pipe: Mutex<Pipe>,
    counters: SinkCounters,
    instance: String,
    told: Mutex<BTreeMap<WorkloadId, Told>>,
    refused: Mutex<BTreeSet<RejectedPolicy>>,
}

#[derive(Debug)]
struct Pipe {
    /// `None` once closed.
    queue: Option<Sender<Event>>,
    /// Sent, and not yet answered.
    waiting: Arc<AtomicU64>,
    task: Option<JoinHandle<()>>,
}

type Words = (&'static str, Reason);

#[derive(Debug, Default)]
struct Told {
    last: Option<Words>,
    at: BTreeMap<Words, Timestamp>,
}

impl Events {
    /// Starts the task, on the current runtime. `instance` says which process reports: the Pod's name.
    pub fn start(client: Client, instance: &str, counters: SinkCounters) -> Self {
        let (queue, events) = channel(QUEUE);
        let waiting = Arc::default();
        let task = tokio::spawn(create_all(client, events, counters.clone(), Arc::clone(&waiting)));
        let pipe = Pipe { queue: Some(queue), waiting, task: Some(task) };
        Self {
            pipe: Mutex::new(pipe),
            counters,
            instance: instance.to_owned(),
            told: Mutex::default(),
            refused: Mutex::default(),
        }
    }

    /// Takes the turn's event, if it is worth one.
    pub fn record(&self, turn: &Turn) {
        let worth = {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            told.entry(turn.workload.clone()).or_default().is_news(turn)
        };
        if worth {
            self.send(object::turn(turn, &self.instance));
        }
    }

    /// Takes an event for each policy that was not refused before, or not for this. A refused file has
    /// no object to attach one to: it is in the log, the metrics and the API.
    pub fn refused(&self, rejected: &[RejectedPolicy], now: Timestamp) {
        let now_refused: BTreeSet<_> = rejected.iter().cloned().collect();
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let news = now_refused.difference(&refused).enumerate();
        news.filter_map(|(number, policy)| object::refusal(policy, number, now, &self.instance))
            .for_each(|event| self.send(event));
        *refused = now_refused;
    }

    fn send(&self, event: Event) {
        let pipe = self.pipe();
        pipe.waiting.fetch_add(1, Ordering::Relaxed);
        if pipe.queue.as_ref().is_none_or(|queue| queue.try_send(event).is_err()) {
            pipe.waiting.fetch_sub(1, Ordering::Relaxed);
            self.counters.dropped.inc();
        }
    }

    /// Takes no more, and waits until all are created or `patience` is over. How many were not.
    pub async fn close(&self, patience: Duration) -> u64 {
        let (task, waiting) = {
            let mut pipe = self.pipe();
            pipe.queue = None;
            (pipe.task.take(), Arc::clone(&pipe.waiting))
        };
        if let Some(mut task) = task
            && tokio::time::timeout(patience, &mut task).await.is_err()
        {
            task.abort();
        }
        let left = waiting.swap(0, Ordering::Relaxed);
        self.counters.failed.inc_by(left);
        left
    }

    fn pipe(&self) -> MutexGuard<'_, Pipe> {
        self.pipe.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets a workload.
    pub fn forget(&self, id: &WorkloadId) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

impl Told {
    /// Whether the turn says something new. Warming up is silent: it is so after every start.
    fn is_news(&mut self, turn: &Turn) -> bool {
        let words: Words = ((&turn.outcome).into(), turn.decision.reason);
        let repeated = self.last.replace(words) == Some(words);
        if turn.outcome != Outcome::Applied {
            let recent = |at: &Timestamp| turn.at.duration_since(*at) < QUIET;
            let said = self.at.get(&words).is_some_and(recent);
            if repeated || said || turn.decision.reason == Reason::WarmingUp {
                return false;
            }
        }
        self.at.insert(words, turn.at);
        true
    }
}

/// Creates what is queued, one after the other.
async fn create_all(
    client: Client,
    mut events: Receiver<Event>,
    counters: SinkCounters,
    waiting: Arc<AtomicU64>,
) {
    let mut failing = false;
    while let Some(event) = events.recv().await {
        let result = create(&client, &event).await;
        waiting.fetch_sub(1, Ordering::Relaxed);
        match &result {
            Ok(()) => {
                counters.written.inc();
                if failing {
                    info!("Kubernetes Events are written again");
                }
            }
            Err(problem) => {
                counters.failed.inc();
                if !failing {
                    warn!(%problem, "Kubernetes Events cannot be written: decisions go on without them");
                }
            }
        }
        failing = result.is_err();
    }
}

async fn create(client: &Client, event: &Event) -> Result<(), String> {
    let namespace = event.metadata.namespace.as_deref().unwrap_or_default();
    let api: Api<Event> = Api::namespaced(client.clone(), namespace);
    match tokio::time::timeout(PATIENCE, api.create(&PostParams::default(), event)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(words::of_kube(&error)),
        Err(_) => Err(format!("no answer within {PATIENCE:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::samples;

    fn turn(seconds: i64, outcome: Outcome, reason: Reason) -> Turn {
        let mut turn = samples::turn("orders");
        turn.at = Timestamp::from_second(1_772_366_400 + seconds).unwrap();
        turn.outcome = outcome;
        turn.decision.reason = reason;
        turn
    }

    #[test]
    fn only_a_change_is_news_and_the_same_words_not_within_ten_minutes() {
        let mut told = Told::default();
        let mut news = |at, outcome, reason| told.is_news(&turn(at, outcome, reason));
        assert!(!news(0, Outcome::Held, Reason::WarmingUp));
        assert!(news(15, Outcome::Held, Reason::AtNeed));
        assert!(!news(30, Outcome::Held, Reason::AtNeed));
        assert!(news(45, Outcome::Held, Reason::SignalMissing));
        assert!(!news(60, Outcome::Held, Reason::AtNeed));
        assert!(news(75, Outcome::Applied, Reason::LoadNeedsMore));
        assert!(news(90, Outcome::Applied, Reason::LoadNeedsMore));
        assert!(news(105, Outcome::Failed { problem: "no".into() }, Reason::LoadNeedsMore));
        assert!(!news(120, Outcome::Failed { problem: "still no".into() }, Reason::LoadNeedsMore));
        assert!(news(615, Outcome::Held, Reason::AtNeed));
    }
}
