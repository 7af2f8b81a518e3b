//! A small deterministic plant: partitions, consumers that commit in batches, pods that take time to start,
//! and rebalances that stop everything for a while. Whole records and whole seconds only.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};
use tidegate::engine::observation::{
    BacklogReading, Fence, GroupState, Observation, PartitionReading, Quality, SourceReading, TargetReading,
};
use tidegate::engine::{Decision, Memory, Reason, Verdict, evaluate};
use tidegate::policy::behavior::Behavior;
use tidegate::policy::notches::{Notches, SelfTuning};
use tidegate::policy::preset::{Knobs, Preset};
use tidegate::policy::rules::PartitionRule;
use tidegate::policy::units::records_f64;
use tidegate::policy::{Objective, Replicas, Rules, TimeSpan};

pub(super) fn start() -> Timestamp {
    "2026-01-05T08:00:00Z".parse().unwrap()
}

pub(super) fn after(seconds: u64) -> Timestamp {
    start().checked_add(SignedDuration::from_secs(seconds.try_into().unwrap())).unwrap()
}

pub(super) fn max_lag_rules(max_lag: u64) -> Rules {
    Rules {
        objective: Objective::MaxLag {
            max_lag: TimeSpan::from_secs(max_lag),
            catch_up: TimeSpan::from_secs(5 * max_lag),
        },
        min_replicas: Replicas(1),
        max_replicas: Replicas(24),
        preset: Preset::Balanced,
        knobs: Knobs::default(),
        tuning: SelfTuning::Off,
        notches: Notches::default(),
        schedules: Vec::new(),
        activation_lag: 0,
        cooldown: TimeSpan::from_secs(300),
        behavior: Behavior::default(),
        changes_per_hour: 12,
        fallback: None,
        capacity_per_replica: None,
        partitions: PartitionRule::Ladder,
        interval: TimeSpan::from_secs(15),
        paused: false,
        metric_target: None,
    }
}

pub(super) fn lag_rules(records: u64) -> Rules {
    Rules { objective: Objective::LagPerReplica { records }, ..max_lag_rules(60) }
}

/// What the world is like.
#[derive(Debug, Clone)]
pub(super) struct World {
    /// Arrivals per partition in parts of their sum.
    pub(super) weights: Vec<u64>,
    /// Records per second of one consumer.
    pub(super) capacity: u64,
    /// Records per second that what lies downstream takes of all of them.
    pub(super) downstream: u64,
    /// Seconds between a consumer's commits.
    pub(super) commit_every: u64,
    /// Seconds until a new pod is ready.
    pub(super) start_seconds: u64,
    /// Seconds that a rebalance stops everybody for.
    pub(super) rebalance_seconds: u64,
    /// Noise of the arrivals, each second, in thousandths.
    pub(super) noise: u64,
    pub(super) seed: u64,
}

impl Default for World {
    fn default() -> Self {
        Self {
            weights: vec![1; 12],
            capacity: 200,
            downstream: u64::MAX,
            commit_every: 5,
            start_seconds: 8,
            rebalance_seconds: 4,
            noise: 50,
            seed: 1,
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Partition {
    end: u64,
    processed: u64,
    committed: u64,
    carry: u64,
    /// End offset after each second.
    ends: VecDeque<u64>,
    seen_end: u64,
    seen_committed: u64,
}

/// The running plant.
#[derive(Debug, Clone)]
pub(super) struct Plant {
    pub(super) world: World,
    pub(super) second: u64,
    partitions: Vec<Partition>,
    /// Seconds at which pods get ready, for those asked for.
    pods: Vec<u64>,
    members: usize,
    stopped_until: u64,
    observed: Option<u64>,
    random: u64,
    /// Sum over seconds of the pods asked for.
    pub(super) replica_seconds: u64,
    /// The worst age of the oldest unprocessed record, as a probe sees it.
    pub(super) worst_age: u64,
    /// Seconds with an age above the objective, probed every 5 s.
    pub(super) late_seconds: u64,
}

impl Plant {
    pub(super) fn new(world: World, replicas: usize) -> Self {
        let random = world.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        Self {
            partitions: vec![Partition::default(); world.weights.len()],
            world,
            second: 0,
            pods: vec![0; replicas],
            members: replicas,
            stopped_until: 0,
            observed: None,
            random,
            replica_seconds: 0,
            worst_age: 0,
            late_seconds: 0,
        }
    }

    pub(super) fn replicas(&self) -> usize {
        self.pods.len()
    }

    pub(super) fn scale(&mut self, replicas: Replicas) {
        let wanted = usize::try_from(replicas.0).unwrap();
        self.pods.resize(wanted, self.second + self.world.start_seconds);
    }

    fn noise(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        1000 - self.world.noise + self.random % (2 * self.world.noise + 1)
    }

    fn ready(&self) -> usize {
        self.pods.iter().filter(|at| **at <= self.second).count()
    }

    /// One second in which `rate` records arrive.
    pub(super) fn step(&mut self, rate: u64, max_lag: u64) {
        self.second += 1;
        let arriving = rate * self.noise();
        let sum: u64 = self.world.weights.iter().sum();
        for (partition, weight) in self.partitions.iter_mut().zip(&self.world.weights) {
            partition.carry += arriving * weight;
            partition.end += partition.carry / (1000 * sum);
            partition.carry %= 1000 * sum;
        }
        let ready = self.ready();
        if ready != self.members {
            self.members = ready;
            self.stopped_until = self.second + self.world.rebalance_seconds;
            for partition in &mut self.partitions {
                partition.committed = partition.processed;
            }
        }
        if self.second >= self.stopped_until {
            self.consume();
        }
        self.replica_seconds += self.pods.len() as u64;
        for partition in &mut self.partitions {
            partition.ends.push_back(partition.end);
            if partition.ends.len() > 1200 {
                partition.ends.pop_front();
            }
        }
        if !self.second.is_multiple_of(5) {
            return;
        }
        let age = self.partitions.iter().map(|one| age(one, one.processed)).max().unwrap();
        self.worst_age = self.worst_age.max(age);
        self.late_seconds += 5 * u64::from(age > max_lag);
    }

    fn consume(&mut self) {
        let (members, all) = (self.members, self.partitions.len());
        for member in 0..members.min(all) {
            // The range assignor: the first ones get one more.
            let (share, more) = (all / members, all % members);
            let from = member * share + member.min(more);
            let to = from + share + usize::from(member < more);
            let mut budget = self.world.capacity.min(self.world.downstream / members as u64);
            let mine = &mut self.partitions[from..to];
            for left in (1..=mine.len() as u64).rev() {
                // Evenly over those with records, the emptiest first, so that nothing is left unused.
                let mut order: Vec<&mut Partition> = mine.iter_mut().collect();
                order.sort_by_key(|one| one.end - one.processed);
                let index = order.len() - usize::try_from(left).unwrap();
                let taken = (order[index].end - order[index].processed).min(budget / left);
                order[index].processed += taken;
                budget -= taken;
            }
            if (self.second + member as u64 * 3).is_multiple_of(self.world.commit_every) {
                for partition in mine {
                    partition.committed = partition.processed;
                }
            }
        }
    }

    pub(super) fn observe(&mut self, window: u64) -> Observation {
        let now = after(self.second);
        let ready = self.ready();
        let group = if ready == 0 {
            GroupState::Empty
        } else if self.second < self.stopped_until || ready != self.members {
            GroupState::Rebalancing
        } else {
            GroupState::Stable
        };
        let over = self.observed.map(|before| self.second - before);
        let partitions = self
            .partitions
            .iter_mut()
            .enumerate()
            .map(|(number, one)| reading(number, one, over.is_some(), window))
            .collect();
        self.observed = Some(self.second);
        Observation {
            target: target(now, self.pods.len(), ready),
            sources: vec![SourceReading::Backlog(BacklogReading {
                source: "main/orders".to_owned(),
                sampled_at: now,
                quality: Quality::Ok,
                problem: None,
                group,
                over_seconds: over.map(records_f64),
                window_seconds: records_f64(window),
                partitions,
                streaming: None,
            })],
        }
    }
}

fn age(partition: &Partition, position: u64) -> u64 {
    // Ends rise, so those that lie above the position are the latest.
    let newer = partition.ends.iter().rev().take_while(|end| **end > position).count();
    newer as u64
}

fn reading(number: usize, one: &mut Partition, counted: bool, window: u64) -> PartitionReading {
    let past = one.ends.len().checked_sub(1 + usize::try_from(window).unwrap());
    let past_end = past.map_or(0, |index| one.ends[index]);
    let reading = PartitionReading {
        topic: "orders".to_owned(),
        partition: i32::try_from(number).unwrap(),
        start: Some(0),
        end: Some(i64::try_from(one.end).unwrap()),
        committed: Some(i64::try_from(one.committed).unwrap()),
        uncommitted: false,
        lag: Some(one.end - one.committed),
        persistent: false,
        arrived: counted.then_some(one.end - one.seen_end),
        consumed: counted.then_some(one.committed - one.seen_committed),
        arrived_in_window: Some(one.end - past_end),
        overdue: Some(one.committed < past_end),
        age_seconds: Some(records_f64(age(one, one.committed))),
        quality: Quality::Ok,
    };
    (one.seen_end, one.seen_committed) = (one.end, one.committed);
    reading
}

pub(super) fn target(now: Timestamp, asked: usize, ready: usize) -> TargetReading {
    TargetReading {
        sampled_at: now,
        quality: Quality::Ok,
        current: Some(Replicas(asked.try_into().unwrap())),
        ceiling: None,
        metric_target: None,
        ready: Some(Replicas(ready.try_into().unwrap())),
        settled: asked == ready,
        hold: None,
        problem: None,
        fence: Some(Fence { uid: "u".to_owned(), resource_version: "1".to_owned() }),
        limit: None,
        price: None,
    }
}

/// What became of a run.
#[derive(Debug, Clone, Default)]
pub(super) struct Run {
    /// Second, from, to.
    pub(super) moves: Vec<(u64, u32, u32)>,
    pub(super) decisions: Vec<Decision>,
    pub(super) memory: Memory,
}

impl Run {
    pub(super) fn raises(&self) -> usize {
        self.moves.iter().filter(|made| made.2 > made.1).count()
    }

    pub(super) fn lowers(&self) -> usize {
        self.moves.iter().filter(|made| made.2 < made.1).count()
    }

    /// Changes of direction.
    pub(super) fn reversals(&self) -> usize {
        self.moves.windows(2).filter(|pair| (pair[0].2 > pair[0].1) != (pair[1].2 > pair[1].1)).count()
    }

    /// The run as a table: a row whenever the count or the reason changes.
    pub(super) fn table(&self) -> String {
        let mut rows = Vec::new();
        let mut last = None;
        for one in &self.decisions {
            let told = (one.verdict, one.reason, one.desired);
            if last.replace(told) != Some(told) {
                let second = one.at.duration_since(start()).as_secs();
                let count = |count: Option<Replicas>| count.map_or("-".to_owned(), |count| count.to_string());
                let (from, to) = (count(one.current), count(one.desired));
                rows.push(format!("{second:>6} s  {from:>2} -> {to:<2}  {}: {}", one.reason, one.sentence));
            }
        }
        rows.join("\n")
    }

    /// Steps down into the unknown, to learn.
    pub(super) fn probes_down(&self) -> usize {
        let probed = |one: &&Decision| one.reason == Reason::Probing && one.verdict == Verdict::Lower;
        self.decisions.iter().filter(probed).count()
    }
}

/// Runs the engine in a loop with the plant: `load` gives records per second for each second.
pub(super) fn run(plant: &mut Plant, rules: &Rules, seconds: u64, load: impl Fn(u64) -> u64) -> Run {
    let mut run = Run::default();
    run_on(&mut run, plant, rules, seconds, load);
    run
}

/// Goes on with a run.
pub(super) fn run_on(
    run: &mut Run,
    plant: &mut Plant,
    rules: &Rules,
    seconds: u64,
    load: impl Fn(u64) -> u64,
) {
    run_edited(run, plant, rules, seconds, load, |_, _| {});
}

/// Goes on with a run in which `edit` may spoil what is seen, by the plant's second.
pub(super) fn run_edited(
    run: &mut Run,
    plant: &mut Plant,
    rules: &Rules,
    seconds: u64,
    load: impl Fn(u64) -> u64,
    edit: impl Fn(u64, &mut Observation),
) {
    let interval = rules.interval.0.as_secs();
    let window = rules.window().0.as_secs();
    for second in 0..seconds {
        plant.step(load(second), window);
        if plant.second % interval != 3 % interval {
            continue;
        }
        let mut observation = plant.observe(window);
        edit(plant.second, &mut observation);
        let memory = std::mem::take(&mut run.memory);
        let (memory, decision) = evaluate(rules, memory, &observation, after(plant.second));
        run.memory = memory;
        if let Some(change) = decision.change {
            let from = decision.current.unwrap();
            if change.replicas != from {
                run.moves.push((plant.second, from.0, change.replicas.0));
            }
            plant.scale(change.replicas);
        }
        run.decisions.push(decision);
    }
}
