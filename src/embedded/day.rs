//! The demo's run: the daemon's own turns over the simulated world, beside its rivals in copies of it.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::naive::Rule;
use super::plugs::{Broker, Cluster, Shared, Tasks};
use super::scenario::{Event, Plan, ScenarioError, events, plans};
use super::score::Score;
use super::world::World;
use crate::actuators::Actuator;
use crate::daemon::cycle::Workload;
use crate::engine::Memory;
use crate::policy::source::SourceSpec;
use crate::policy::{Objective, Policy, TimeSpan};
use crate::record::Turn;
use crate::sources::Source;

/// Seconds between turns: the daemon's default.
pub const INTERVAL: i64 = 15;

/// The rivals, in the order of every list of three. The usual rule is that of the workload's plan.
pub const RIVALS: [&str; 3] = ["Tidegate", "usual rule", "fixed size"];

/// A day under way.
#[derive(Debug)]
pub struct Day {
    starts: Timestamp,
    second: i64,
    lanes: Vec<Lane>,
    events: Vec<Event>,
}

/// One workload, run by Tidegate, by the usual rule, and at a fixed size.
#[derive(Debug)]
pub struct Lane {
    name: &'static str,
    max_lag: i64,
    workload: Workload,
    rule: Rule,
    fixed: u32,
    sides: [Side; 3],
}

/// A copy of the world and what became of it.
#[derive(Debug)]
struct Side {
    world: Shared,
    score: Score,
}

/// What one turn of all workloads brought.
#[derive(Debug)]
pub struct Tick {
    /// Simulated time.
    pub at: Timestamp,
    /// What happened since the last.
    pub events: Vec<Event>,
    /// One entry per workload.
    pub lanes: Vec<LaneTick>,
}

/// What one turn of one workload brought.
#[derive(Debug)]
pub struct LaneTick {
    /// The daemon's turn.
    pub turn: Turn,
    /// Thousandths of a record per second that arrive.
    pub load_milli: i64,
    /// How everybody is doing, in the order of [`RIVALS`].
    pub sides: [Glimpse; 3],
}

/// How one copy of a world is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Glimpse {
    /// Thousandths of a record per second that the replicas can process; 0 during a rebalance.
    pub capacity_milli: i64,
    /// Replicas asked for.
    pub replicas: u32,
    /// Age of the oldest unprocessed record in seconds.
    pub age: i64,
}

impl Day {
    /// A day that starts at `starts`, with the noise that `seed` names.
    pub fn new(starts: Timestamp, seed: u64) -> Result<Self, ScenarioError> {
        let lanes = plans(seed).iter().map(Lane::new).collect::<Result<_, _>>()?;
        Ok(Self { starts, second: 0, lanes, events: events() })
    }

    /// The workloads.
    pub fn lanes(&self) -> &[Lane] {
        &self.lanes
    }

    /// Seconds since the start.
    pub fn second(&self) -> i64 {
        self.second
    }

    /// Lets everybody live until the next turn, and then decide.
    pub async fn turn(&mut self) -> Tick {
        let before = self.second;
        self.second += INTERVAL;
        let at = self.starts + SignedDuration::from_secs(self.second);
        let mut lanes = Vec::with_capacity(self.lanes.len());
        for lane in &mut self.lanes {
            lanes.push(lane.turn(at, self.second).await);
        }
        let since = |event: &&Event| event.second > before && event.second <= self.second;
        Tick { at, events: self.events.iter().filter(since).cloned().collect(), lanes }
    }
}

impl Lane {
    fn new(plan: &Plan) -> Result<Self, ScenarioError> {
        let interval = TimeSpan::from_secs(INTERVAL.unsigned_abs());
        let policy = plan.read_policy(interval)?;
        let sides = [plan.setup.replicas, plan.setup.replicas, plan.fixed].map(|replicas| {
            let world = World::new(super::world::Setup { replicas, ..plan.setup.clone() });
            Side { world: Shared::new(world), score: Score::default() }
        });
        let world = &sides[0].world;
        let sources = sources(&policy, world).ok_or(ScenarioError::NoSource { name: plan.name })?;
        let target: Arc<dyn Actuator> = Arc::new(Cluster::new(world.clone(), format!("demo-{}", plan.name)));
        Ok(Self {
            name: plan.name,
            max_lag: match policy.rules.objective {
                Objective::MaxLag { max_lag, .. } => seconds(max_lag),
                Objective::LagPerReplica { .. } => i64::MAX,
            },
            rule: plan.rule.clone(),
            fixed: plan.fixed,
            workload: Workload { mode: policy.mode, policy, sources, target, memory: Memory::default() },
            sides,
        })
    }

    async fn turn(&mut self, at: Timestamp, second: i64) -> LaneTick {
        for side in &mut self.sides {
            side.live(INTERVAL, self.max_lag);
        }
        let [ours, naive, _] = &mut self.sides;
        naive.decide(&mut self.rule, second);
        let before = ours.replicas();
        // Nothing here waits for anything but the world's own lock: patience is never needed.
        let turn = self.workload.turn(at, Duration::from_secs(10)).await;
        ours.score.moved(second, before, ours.replicas());
        let load_milli = ours.world.lock().load_milli();
        LaneTick { turn, load_milli, sides: self.sides.each_ref().map(Side::glimpse) }
    }

    /// The policy's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What runs in its replicas, in words.
    pub fn what(&self) -> &'static str {
        self.sides[0].world.lock().group().runtime().what()
    }

    /// What Tidegate is asked.
    pub fn policy(&self) -> &Policy {
        &self.workload.policy
    }

    /// The oldest that an unprocessed record may get, in seconds.
    pub fn max_lag(&self) -> i64 {
        self.max_lag
    }

    /// The usual rule.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// The fixed size.
    pub fn fixed(&self) -> u32 {
        self.fixed
    }

    /// Everybody's figures so far, in the order of [`RIVALS`].
    pub fn scores(&self) -> [&Score; 3] {
        self.sides.each_ref().map(|side| &side.score)
    }

    /// Whether a rolling update is under way in Tidegate's copy of the world.
    pub fn rolling(&self) -> bool {
        self.sides[0].world.lock().deployment().rolling()
    }
}

impl Side {
    fn live(&mut self, seconds: i64, max_lag: i64) {
        let mut world = self.world.lock();
        for _ in 0..seconds {
            world.step();
            self.score.second(&mut world, max_lag);
        }
    }

    fn decide(&mut self, rule: &mut Rule, second: i64) {
        let mut world = self.world.lock();
        let (current, lag) = (world.deployment().replicas(), world.committed_lag());
        let desired = rule.desired(second, current, lag, world.tasks());
        world.deployment_mut().scale(desired);
        self.score.moved(second, current, desired);
    }

    fn glimpse(&self) -> Glimpse {
        let mut world = self.world.lock();
        Glimpse {
            capacity_milli: world.capacity_milli(),
            replicas: world.deployment().replicas(),
            age: world.age(),
        }
    }

    fn replicas(&self) -> u32 {
        self.world.lock().deployment().replicas()
    }
}

/// The simulated counterparts of a policy's sources; `None` where it has one that there is no counterpart of.
fn sources(policy: &Policy, world: &Shared) -> Option<Vec<Arc<dyn Source>>> {
    let window = policy.rules.window();
    let source = |spec: &SourceSpec| -> Option<Arc<dyn Source>> {
        if let SourceSpec::FlinkResource(job) = spec {
            return Some(Arc::new(Tasks::new(world.clone(), format!("{}/{}", job.kind, job.name))));
        }
        Some(Arc::new(Broker::new(world.clone(), spec, window)?))
    };
    policy.sources.iter().map(source).collect()
}

fn seconds(span: TimeSpan) -> i64 {
    i64::try_from(span.0.as_secs()).unwrap_or(i64::MAX)
}
