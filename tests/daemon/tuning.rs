//! Self-tuning on a paused clock: a day is lived through, a notch is turned, a restart keeps it, and `Off` undoes it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::{Timestamp, ToSpan};
use serde_json::json;
use tidegate::actuators::owners::Tenure;
use tidegate::actuators::{ActuateError, Actuator};
use tidegate::daemon::clock::Clock;
use tidegate::daemon::fleet::{Base, Equip, Fleet};
use tidegate::daemon::memories::Memories;
use tidegate::daemon::tuners::Tuners;
use tidegate::daemon::tuning::tune;
use tidegate::engine::observation::{Fence, SourceReading, TargetReading};
use tidegate::engine::{Change, Observation};
use tidegate::fluid::course::Course;
use tidegate::fluid::plant::Plant;
use tidegate::fluid::running::Running;
use tidegate::fluid::sight::{Eyes, Sight};
use tidegate::fluid::trace::Trace;
use tidegate::policy::{Mode, Policy};
use tidegate::record::Turn;
use tidegate::record::metrics::Metrics;
use tidegate::sources::Source;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::support::{START, policy};

/// Turns are a minute apart: four steps of the plant.
const INTERVAL: Duration = Duration::from_mins(1);

/// A workload that lives through a smooth day again and again.
#[derive(Debug)]
struct World {
    course: &'static Course,
    plant: Running<'static>,
    sight: Sight<'static>,
    eyes: Eyes<'static>,
    seen: Option<Observation>,
}

impl World {
    fn new() -> Self {
        let load = |minute: f64| 1200.0 + 500.0 * (minute / 1440.0 * std::f64::consts::TAU).sin();
        let rates = (0..4 * 1440).map(|minute| load(f64::from(minute))).collect();
        let trace = Trace { name: "days".to_owned(), step: 60.0, rates };
        let plant = Plant {
            partitions: 0,
            capacity: 100.0,
            objective_seconds: 300.0,
            ..Plant::preset("consumer-cooperative").unwrap()
        };
        let course = Course::new(&trace, &plant, 1).unwrap();
        let paces = vec![1.0; course.steps()];
        let course: &'static Course = Box::leak(Box::new(course.lived(START.parse().unwrap(), paces)));
        Self {
            course,
            plant: Running::new(course, 0, 16),
            sight: Sight::new(course, 1),
            eyes: Eyes::new(course, 300.0),
            seen: None,
        }
    }

    /// Lives on until `now`, and looks.
    fn look(&mut self, now: Timestamp) -> Observation {
        while self.course.time(self.plant.step() + 1) <= now {
            let moment = self.plant.advance();
            self.sight.note(moment);
            self.seen = None;
        }
        let (eyes, sight, plant) = (&mut self.eyes, &mut self.sight, &self.plant);
        self.seen.get_or_insert_with(|| eyes.observe(plant, sight.look(plant)).clone()).clone()
    }
}

#[derive(Debug, Clone)]
struct Workshop(Arc<Mutex<World>>);

impl Equip for Workshop {
    fn sources(&self, _: &Policy) -> Vec<Arc<dyn Source>> {
        vec![Arc::new(self.clone())]
    }

    fn target(&self, _: &Policy, _: Tenure) -> Arc<dyn Actuator> {
        Arc::new(self.clone())
    }
}

impl Source for Workshop {
    fn observe(&self, now: Timestamp) -> BoxFuture<'_, SourceReading> {
        Box::pin(async move { self.0.lock().unwrap().look(now).sources.remove(0) })
    }
}

impl Actuator for Workshop {
    fn observe(&self, now: Timestamp) -> BoxFuture<'_, TargetReading> {
        Box::pin(async move {
            let target = self.0.lock().unwrap().look(now).target;
            TargetReading { fence: Some(Fence { uid: "uid".into(), resource_version: "1".into() }), ..target }
        })
    }

    fn apply<'a>(&'a self, change: &'a Change, _: &'a Fence) -> BoxFuture<'a, Result<(), ActuateError>> {
        Box::pin(async {
            let mut world = self.0.lock().unwrap();
            world.plant.ask(change.replicas.0);
            world.seen = None;
            Ok(())
        })
    }
}

/// What there is while a daemon runs; dropped, it is down.
struct Daemon {
    fleet: Fleet,
    tuners: Tuners,
    turns: Arc<Mutex<Vec<Turn>>>,
    stop: CancellationToken,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Daemon {
    fn start(workshop: &Workshop, clock: &Clock, tuners: Tuners) -> Self {
        let turns = Arc::new(Mutex::new(Vec::new()));
        let (told, stop) = (Arc::clone(&turns), CancellationToken::new());
        let base = Base {
            equip: Box::new(workshop.clone()),
            record: Box::new(move |turn: &Turn, _| told.lock().unwrap().push(turn.clone())),
            clock: clock.clone(),
            memories: Memories::default(),
            tuners: tuners.clone(),
            ceiling: Mode::Apply,
            interval: INTERVAL,
            patience: Duration::from_secs(10),
        };
        let (known, clock, stopping) = (tuners.clone(), clock.clone(), stop.clone());
        tokio::spawn(async move { tune(&known, &clock, &Metrics::new(), &stopping).await });
        Self { fleet: Fleet::new(base), tuners, turns, stop }
    }

    fn last(&self) -> Turn {
        self.turns.lock().unwrap().last().unwrap().clone()
    }
}

fn orders(tuning: &str) -> Policy {
    let over = json!({
        "objective": {"maxLag": "5m"}, "preset": "latency", "tuning": tuning, "maxReplicas": 24,
        "partitions": "allowIdleConsumers", "knobs": {"usableLag": 70},
    });
    let mut policy = policy("orders", &over);
    policy.rules.interval = tidegate::policy::TimeSpan(INTERVAL);
    policy
}

#[tokio::test(start_paused = true)]
async fn a_day_is_lived_through_a_notch_turned_kept_over_a_restart_and_undone() {
    let workshop = Workshop(Arc::new(Mutex::new(World::new())));
    let (start, started): (Timestamp, _) = (START.parse().unwrap(), Instant::now());
    let clock =
        Clock::new(move || start + i64::try_from(started.elapsed().as_millis()).unwrap().milliseconds());
    let mut daemon = Daemon::start(&workshop, &clock, Tuners::default());
    let all = || Some(BTreeSet::new());
    daemon.fleet.muster(&[orders("Auto")], all());

    sleep(Duration::from_hours(24)).await;
    let turn = daemon.last();
    assert!(turn.rules.notches.is_none(), "{:?}", turn.tuning);
    let told = turn.tuning.unwrap();
    assert!(told.looked.is_none() && told.known_hours > 22.0, "{told}");

    sleep(Duration::from_hours(4)).await;
    let turn = daemon.last();
    let told = turn.tuning.clone().unwrap();
    let [tuned] = told.in_force[..] else { panic!("one notch: {told}") };
    assert!(tuned.saves.iter().all(|saved| *saved >= 0.03), "{told}");
    assert_eq!(turn.rules.notches.get(tuned.knob).abs(), 1, "{told}");
    assert!((tuned.value - tuned.preset).abs() > 1e-9, "{told}");
    assert_ne!(tuned.knob.to_string(), "usableLag", "the policy states it");

    // What is stored is all that a restart needs.
    let stored =
        serde_json::to_string(&daemon.tuners.snapshot(1 << 20).into_iter().collect::<Vec<_>>()).unwrap();
    drop(daemon);
    let stored: Vec<_> = serde_json::from_str(&stored).unwrap();
    let mut daemon = Daemon::start(&workshop, &clock, Tuners::new(stored.into_iter().collect()));
    daemon.fleet.muster(&[orders("Auto")], all());
    sleep(Duration::from_mins(5)).await;
    assert_eq!(daemon.last().rules.notches, turn.rules.notches);
    assert_eq!(daemon.last().tuning.unwrap().in_force, told.in_force);
    sleep(Duration::from_hours(12)).await;
    assert_eq!(daemon.last().rules.notches, turn.rules.notches, "no second notch on the same day");

    daemon.fleet.muster(&[orders("Off")], all());
    sleep(Duration::from_millis(1)).await;
    assert!(daemon.last().rules.notches.is_none() && daemon.last().tuning.is_none());
}
