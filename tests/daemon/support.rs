//! Sources and targets that answer as a test wants, and a place where turns are looked at.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::{Timestamp, ToSpan};
use tidegate::actuators::owners::Tenure;
use tidegate::actuators::{ActuateError, Actuator};
use tidegate::daemon::clock::Clock;
use tidegate::daemon::fleet::{Base, Equip};
use tidegate::daemon::memories::Memories;
use tidegate::daemon::tuners::Tuners;
use tidegate::engine::Change;
use tidegate::engine::observation::{Fence, Quality, SourceReading, TargetReading};
use tidegate::policy::read::read_policies;
use tidegate::policy::source::SourceSpec;
use tidegate::policy::{Mode, Policy, Replicas, TimeSpan};
use tidegate::record::Turn;
use tidegate::sources::{Source, missing};
use tokio::time::Instant;

pub(super) const START: &str = "2026-01-01T00:00:00Z";
pub(super) const INTERVAL: Duration = Duration::from_secs(15);

/// A policy for `shop/NAME`, with what is laid over its spec.
pub(super) fn policy(name: &str, over: &serde_json::Value) -> Policy {
    let mut document = serde_json::json!({
        "apiVersion": "tidegate.dev/v1alpha1",
        "kind": "ScalingPolicy",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {
            "mode": "Apply",
            "target": {"scaleTargetRef": {"kind": "Deployment", "name": name}},
            "sources": [{"kafkaLag": {"cluster": "main", "group": name}}],
            "objective": {"lagPerReplica": 100},
            "maxReplicas": 10,
        },
    });
    for (key, value) in over.as_object().unwrap() {
        document["spec"][key] = value.clone();
    }
    let parsed = read_policies("policy.json", &document.to_string(), None, TimeSpan(INTERVAL));
    parsed.into_iter().next().unwrap().result.unwrap()
}

/// How a workload's source and target behave, by the workload's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    Prompt,
    /// Answers after so long.
    Slow(Duration),
    Panics,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Stage {
    pub(super) manners: BTreeMap<String, Manner>,
    /// Every time that sources or targets were looked up: `sources orders`.
    pub(super) equipped: Arc<Mutex<Vec<String>>>,
    /// Every turn, with the seconds since the start of the test at which it ended.
    pub(super) turns: Arc<Mutex<Vec<(f64, Turn)>>>,
}

impl Stage {
    pub(super) fn manner(mut self, name: &str, manner: Manner) -> Self {
        self.manners.insert(name.to_owned(), manner);
        self
    }

    pub(super) fn base(&self, memories: Memories) -> Base {
        let started = Instant::now();
        let start: Timestamp = START.parse().unwrap();
        let turns = Arc::clone(&self.turns);
        Base {
            equip: Box::new(self.clone()),
            record: Box::new(move |turn, _| {
                turns.lock().unwrap().push((started.elapsed().as_secs_f64(), turn.clone()));
            }),
            clock: Clock::new(move || {
                start + i64::try_from(started.elapsed().as_millis()).unwrap().milliseconds()
            }),
            memories,
            tuners: Tuners::default(),
            ceiling: Mode::Recommend,
            interval: INTERVAL,
            patience: Duration::from_secs(10),
        }
    }

    /// When the turns of a workload ended.
    pub(super) fn ends(&self, name: &str) -> Vec<f64> {
        let turns = self.turns.lock().unwrap();
        turns.iter().filter(|(_, turn)| turn.workload.name == name).map(|(at, _)| *at).collect()
    }

    pub(super) fn last(&self, name: &str) -> Turn {
        let turns = self.turns.lock().unwrap();
        turns.iter().rfind(|(_, turn)| turn.workload.name == name).map(|(_, turn)| turn.clone()).unwrap()
    }

    pub(super) fn equipped(&self) -> Vec<String> {
        self.equipped.lock().unwrap().clone()
    }

    fn of(&self, policy: &Policy) -> Manner {
        self.manners.get(&policy.id.name).copied().unwrap_or(Manner::Prompt)
    }
}

impl Equip for Stage {
    fn sources(&self, policy: &Policy) -> Vec<Arc<dyn Source>> {
        self.equipped.lock().unwrap().push(format!("sources {}", policy.id.name));
        let source = |spec: &SourceSpec| -> Arc<dyn Source> {
            Arc::new(Actor { manner: self.of(policy), spec: spec.clone() })
        };
        policy.sources.iter().map(source).collect()
    }

    fn target(&self, policy: &Policy, _known: Tenure) -> Arc<dyn Actuator> {
        self.equipped.lock().unwrap().push(format!("target {}", policy.id.name));
        Arc::new(Actor { manner: Manner::Prompt, spec: policy.sources[0].clone() })
    }
}

struct Actor {
    manner: Manner,
    spec: SourceSpec,
}

impl Source for Actor {
    fn observe(&self, now: Timestamp) -> BoxFuture<'_, SourceReading> {
        Box::pin(async move {
            match self.manner {
                Manner::Prompt => {}
                Manner::Slow(time) => tokio::time::sleep(time).await,
                Manner::Panics => panic!("a bug in a source"),
            }
            missing(&self.spec, TimeSpan::from_secs(60), now, "nothing to see")
        })
    }
}

impl Actuator for Actor {
    fn observe(&self, now: Timestamp) -> BoxFuture<'_, TargetReading> {
        let reading = TargetReading {
            sampled_at: now,
            quality: Quality::Ok,
            current: Some(Replicas(3)),
            ceiling: None,
            metric_target: None,
            ready: Some(Replicas(3)),
            settled: true,
            hold: None,
            problem: None,
            fence: Some(Fence { uid: "uid".into(), resource_version: "1".into() }),
            limit: None,
            price: None,
        };
        Box::pin(async move { reading })
    }

    fn apply<'a>(&'a self, _: &'a Change, _: &'a Fence) -> BoxFuture<'a, Result<(), ActuateError>> {
        Box::pin(async { Ok(()) })
    }
}
