//! Kubernetes Events on the target, on a change of (outcome, reason) only.
//!
//! Events are created here and not through kube's `Recorder`: that one folds events which differ only in
//! their note into a series with the first note, so `4 to 6` would hide the `6 to 9` that follows.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tracing::{info, warn};

use super::metrics::SinkCounters;
use super::{Outcome, Turn};
use crate::engine::Reason;
use crate::policy::WorkloadId;

/// Events that may wait for the API server.
const QUEUE: usize = 256;
/// The same words about a workload are said at most once within this time, but for what was applied.
const QUIET: SignedDuration = SignedDuration::from_mins(10);
/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The API's limit on a note, in bytes.
const NOTE: usize = 1024;
/// Bytes of the target's name within an event's name, which is limited to 253.
const NAME: usize = 200;

/// A queue to the task that creates events. Nothing here waits for the API server.
#[derive(Debug)]
pub struct Events {
    queue: Sender<Event>,
    counters: SinkCounters,
    instance: String,
    told: Mutex<BTreeMap<WorkloadId, Told>>,
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
        tokio::spawn(create_all(client, events, counters.clone()));
        Self { queue, counters, instance: instance.to_owned(), told: Mutex::default() }
    }

    /// Takes the turn's event, if it is worth one.
    pub fn record(&self, turn: &Turn) {
        let worth = {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            told.entry(turn.workload.clone()).or_default().is_news(turn)
        };
        if worth && self.queue.try_send(event(turn, &self.instance)).is_err() {
            self.counters.dropped.inc();
        }
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

/// The turn's event, on its target.
fn event(turn: &Turn, instance: &str) -> Event {
    let (kind, name) = turn.target.split_once('/').unwrap_or(("", &turn.target));
    let namespace = Some(turn.workload.namespace.clone());
    let outcome: &'static str = (&turn.outcome).into();
    let warning = is_trouble(turn.decision.reason)
        || matches!(turn.outcome, Outcome::Yielded { .. } | Outcome::Failed { .. });
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{}.{:x}", shortened(name, NAME), turn.at.as_nanosecond())),
            namespace: namespace.clone(),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(turn.at)),
        type_: Some(if warning { "Warning" } else { "Normal" }.to_owned()),
        reason: Some(turn.decision.reason.to_string()),
        action: Some(outcome.to_owned()),
        note: Some(note(turn)),
        regarding: Some(ObjectReference {
            api_version: api_version(kind).map(str::to_owned),
            kind: Some(kind.to_owned()),
            name: Some(name.to_owned()),
            namespace,
            uid: turn.observation.target.fence.as_ref().map(|fence| fence.uid.clone()),
            ..ObjectReference::default()
        }),
        reporting_controller: Some("tidegate.dev/tidegate".to_owned()),
        reporting_instance: Some(shortened(instance, 128).to_owned()),
        ..Event::default()
    }
}

fn note(turn: &Turn) -> String {
    let sentence = &turn.decision.sentence;
    let text = match turn.outcome.problem() {
        Some(problem) => format!("{sentence} Not written: {problem}"),
        None => sentence.clone(),
    };
    if text.len() <= NOTE { text } else { format!("{}…", shortened(&text, NOTE - "…".len())) }
}

/// At most `bytes` of the text's start.
fn shortened(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or_default()).unwrap_or_default()
}

/// The API version of kinds that everybody has; others are found by their name and uid.
fn api_version(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "Deployment" | "StatefulSet" | "ReplicaSet" => "apps/v1",
        "HorizontalPodAutoscaler" => "autoscaling/v2",
        "ScaledObject" => "keda.sh/v1alpha1",
        _ => return None,
    })
}

/// Whether somebody should look. What the operator asked for (paused, a bound, a budget that he set)
/// is no trouble, unless the objective is at risk by it.
fn is_trouble(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::AtMaxReplicas
            | Reason::BudgetExhausted
            | Reason::ClampedToPartitions
            | Reason::HotPartition
            | Reason::ObjectiveInfeasible
            | Reason::SignalMissing
            | Reason::SignalStale
            | Reason::SignalPartial
            | Reason::SignalRejected
            | Reason::SignalsDisagree
            | Reason::GroupWithoutMembers
            | Reason::TargetNotFound
            | Reason::TargetUnreadable
            | Reason::OwnedByOther
            | Reason::Fallback
            | Reason::InputRejected
    )
}

/// Creates what is queued, one after the other.
async fn create_all(client: Client, mut events: Receiver<Event>, counters: SinkCounters) {
    let mut failing = false;
    while let Some(event) = events.recv().await {
        let result = create(&client, &event).await;
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
        Ok(Err(error)) => Err(error.to_string()),
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

    #[test]
    fn an_event_is_about_the_target() {
        let event = event(&samples::turn("orders"), "tidegate-0");
        let expected = serde_json::json!({
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": "orders.1898b5d9b3d68000", "namespace": "shop"},
            "eventTime": "2026-03-01T12:00:00.000000Z",
            "type": "Normal",
            "reason": "LoadNeedsMore",
            "action": "Applied",
            "note": "Raise 2 to 4: 600 records/s arrive, 2 replicas process 400.",
            "regarding": {
                "apiVersion": "apps/v1", "kind": "Deployment", "name": "orders", "namespace": "shop",
                "uid": "5f0c0a52-2f4e-4b0e-9a65-6f4a4f2f2a10",
            },
            "reportingController": "tidegate.dev/tidegate",
            "reportingInstance": "tidegate-0",
        });
        assert_eq!(serde_json::to_value(event).unwrap(), expected);
    }

    #[test]
    fn a_long_note_is_cut_within_the_limit_and_trouble_is_a_warning() {
        let problem = "ü".repeat(2000);
        let long = event(&turn(0, Outcome::Failed { problem }, Reason::LoadNeedsMore), "tidegate-0");
        let note = long.note.unwrap();
        assert!(note.len() <= 1024 && note.ends_with("ü…"), "{}", note.len());
        assert_eq!(long.type_.as_deref(), Some("Warning"));
        assert_eq!(
            event(&turn(0, Outcome::Held, Reason::SignalMissing), "x").type_.as_deref(),
            Some("Warning")
        );
        assert_eq!(event(&turn(0, Outcome::Held, Reason::Paused), "x").type_.as_deref(), Some("Normal"));
    }
}
