//! Spark queries in closed loop with the engine, on the simulator's plant: batches, and workers that take time to start.

use futures::FutureExt as _;
use tidegate::actuators::Actuator as _;
use tidegate::embedded::load::{Load, Pulse};
use tidegate::embedded::plugs::{Broker, Cluster, Shared};
use tidegate::embedded::runtime::Runtime;
use tidegate::embedded::world::{Setup, World};
use tidegate::engine::observation::SourceReading;
use tidegate::engine::{Decision, Memory, Observation, Reason, evaluate};
use tidegate::policy::source::SourceSpec;
use tidegate::policy::{Replicas, Rules, TimeSpan};
use tidegate::sources::Source as _;

use super::plant::{after, max_lag_rules};

/// Records per second of one worker.
const CAPACITY: i64 = 50;
const MAX_LAG: u64 = 60;

/// What became of a query.
#[derive(Default)]
struct Run {
    /// Second, from and to.
    moves: Vec<(u64, u32, u32)>,
    /// The decision of each.
    why: Vec<Decision>,
    /// The worst age of the oldest record, in seconds.
    worst_age: i64,
    /// The longest batch, in seconds.
    longest: i64,
}

impl Run {
    /// Moves in another direction than the one before.
    fn turns(&self) -> usize {
        let up = |(_, from, to): &(u64, u32, u32)| to > from;
        self.moves.windows(2).filter(|pair| up(&pair[0]) != up(&pair[1])).count()
    }
}

/// Four workers of a query with a trigger every ten seconds, and one to four allowed.
fn run(load: Load, seconds: u64, edit: impl Fn(&mut Observation)) -> Run {
    let world = Shared::new(World::new(Setup {
        partitions: 12,
        load,
        capacity_milli: vec![CAPACITY * 1000],
        runtime: Runtime::SparkQuery,
        replicas: 4,
        starts_at: 0,
        deploy_at: None,
        outage: None,
        seed: 7,
    }));
    let rules = Rules { max_replicas: Replicas(4), ..max_lag_rules(MAX_LAG) };
    let query: SourceSpec = serde_json::from_value(serde_json::json!({"spark": {
        "app": "report", "cluster": "main", "topics": ["views"], "checkpoint": "views", "triggerInterval": "10s",
    }})).unwrap();
    let broker = Broker::new(world.clone(), &query, TimeSpan::from_secs(MAX_LAG)).unwrap();
    let cluster = Cluster::new(world.clone(), "report".to_owned());
    let (mut run, mut memory) = (Run::default(), Memory::default());
    for second in 1..=seconds {
        let age = {
            let mut world = world.lock();
            world.step();
            run.longest = run.longest.max(world.group().batches().last().map_or(0, |last| last.seconds));
            world.age()
        };
        run.worst_age = run.worst_age.max(age);
        if !second.is_multiple_of(15) {
            continue;
        }
        let now = after(second);
        let target = cluster.observe(now).now_or_never().unwrap();
        let sources = vec![broker.observe(now).now_or_never().unwrap()];
        let mut seen = Observation { target, sources };
        edit(&mut seen);
        let (next, decision) = evaluate(&rules, memory, &seen, now);
        memory = next;
        if let Some(change) = decision.change {
            let fence = seen.target.fence.as_ref().unwrap();
            cluster.apply(&change, fence).now_or_never().unwrap().unwrap();
            run.moves.push((second, decision.current.unwrap().0, change.replicas.0));
            run.why.push(decision);
        }
    }
    run
}

fn flat(rate: i64) -> Load {
    Load::new([rate; 24], Vec::new(), 30, 7)
}

#[test]
fn four_workers_that_are_never_short_of_time_become_the_one_that_is_needed() {
    let made = run(flat(30), 3600, |_| {});
    let (last, _, to) = *made.moves.last().unwrap();
    assert!(to == 1 && last <= 900, "one worker within 15 minutes: {:?}", made.moves);
    assert!(made.moves.iter().all(|(_, from, to)| to < from), "none came back: {:?}", made.moves);
    assert!(made.why.iter().all(|why| why.reason == Reason::LoadNeedsFewer), "{}", made.why[0].sentence);
    assert!(made.longest <= 10, "a trigger was missed: {} s", made.longest);
    assert!(made.worst_age <= 30, "{} s", made.worst_age);
}

#[test]
fn without_figures_of_the_batches_they_stay() {
    let made = run(flat(30), 900, |seen| {
        for source in &mut seen.sources {
            if let SourceReading::Backlog(reading) = source {
                reading.streaming.as_mut().unwrap().busy_share = None;
            }
        }
    });
    assert_eq!(made.moves, []);
}

#[test]
fn batches_without_time_to_spare_take_no_worker_away() {
    let made = run(flat(130), 3600, |_| {});
    // After half an hour of calm one is taken to learn, as everywhere; three still end each batch in time.
    assert!(made.why.iter().all(|why| why.reason == Reason::Probing), "{:?}", made.moves);
    assert!(made.moves.iter().all(|(second, ..)| *second > 1800), "{:?}", made.moves);
    assert!(made.longest <= 10, "{} s", made.longest);
}

/// Up in half of the time and down in the other, again and again, from what one worker does to what takes three.
#[test]
fn a_sawtooth_of_half_an_hour_makes_at_most_two_turns_an_hour() {
    let tooth =
        |number: i64| Pulse { from: 1800 * number, until: 1800 * (number + 1), height: 105, ramp: 900 };
    let load = Load::new([15; 24], (0..8).map(tooth).collect(), 30, 7);
    let made = run(load, 4 * 3600, |_| {});
    assert!(made.turns() <= 8, "{} turns in four hours: {:?}", made.turns(), made.moves);
    let late = i64::try_from(MAX_LAG).unwrap();
    assert!(made.worst_age <= late, "{} s: {:?}", made.worst_age, made.moves);
}
