//! The invariants at every turn of long closed loops with faults, on the plants of the simulator; all but I5, whose
//! constant input is no matter of faults.
//!
//! 20,000 turns by default; `.ci/run` asks for a million by `TIDEGATE_LOOP_TURNS`.

use std::thread::{available_parallelism, scope};

use jiff::{SignedDuration, Timestamp};
use tidegate::engine::observation::{GroupState, Observation, Quality, SourceReading, TargetHold};
use tidegate::engine::{Decision, Memory, Reason, Verdict, evaluate, evaluate_wordless};
use tidegate::fluid::course::Course;
use tidegate::fluid::plant::{PRESETS, Plant};
use tidegate::fluid::run::default_rules;
use tidegate::fluid::running::Running;
use tidegate::fluid::sight::{Eyes, Sight};
use tidegate::fluid::trace::Trace;
use tidegate::policy::rules::Fallback;
use tidegate::policy::{Replicas, Rules, TimeSpan};

/// Turns of one world; the last of it is calm.
const EPISODE: usize = 1000;
const CALM: usize = 300;
/// Turns from one close inspection to the next.
const INSPECTED: usize = 50;

/// A xorshift: the same faults at every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn share(&mut self, most: f64) -> f64 {
        f64::from(u32::try_from(self.below(1000)).unwrap()) / 1000.0 * most
    }

    fn count(&mut self, bound: u64) -> u32 {
        u32::try_from(self.below(bound)).unwrap()
    }

    /// Steps, silence and noise, and a calm end.
    fn load(&mut self) -> Trace {
        let mut level = 500.0;
        let rate = |turn: usize| {
            if turn + CALM >= EPISODE {
                return 400.0;
            }
            level = match self.below(80) {
                0 => self.share(3000.0),
                1 => 0.0,
                _ => level,
            };
            level * (0.9 + self.share(0.2))
        };
        Trace { name: "faults".to_owned(), step: 15.0, rates: (0..EPISODE).map(rate).collect() }
    }

    fn plant(&mut self) -> Plant {
        let preset = PRESETS[usize::try_from(self.below(PRESETS.len() as u64)).unwrap()];
        Plant {
            partitions: 1 + self.count(12),
            max_replicas: 6 + self.count(10),
            min_replicas: self.count(2),
            capacity: 100.0 + self.share(300.0),
            delay_seconds: if self.below(4) == 0 { self.share(90.0) } else { 0.0 },
            gap_share: if self.below(3) == 0 { self.share(0.1) } else { 0.0 },
            stale_seconds: if self.below(4) == 0 { 600.0 } else { 0.0 },
            ..Plant::preset(preset).unwrap()
        }
    }

    fn rules(&mut self, course: &Course) -> Rules {
        let fallback = Fallback { after: TimeSpan::from_secs(120), replicas: Replicas(1 + self.count(8)) };
        Rules {
            changes_per_hour: 4 + self.count(60),
            fallback: (self.below(3) == 0).then_some(fallback),
            ..default_rules(course)
        }
    }

    /// Spoils what is seen. Whether a move down would be one on doubt; `None` where all is left as it was.
    fn spoil(&mut self, seen: &Observation) -> Option<(Observation, bool)> {
        let kind = self.below(120);
        if kind > 16 {
            return None;
        }
        let mut seen = seen.clone();
        let doubt = match seen.sources.first_mut() {
            Some(SourceReading::Backlog(reading)) if kind >= 9 => {
                let at = usize::try_from(self.below(reading.partitions.len() as u64)).unwrap();
                let one = &mut reading.partitions[at];
                match kind {
                    9 => one.lag = None,
                    10 => one.quality = Quality::Partial,
                    11 => (one.arrived, one.consumed) = (None, None),
                    12 => (one.arrived, one.consumed) = (Some(0), Some(u64::MAX)),
                    13 => one.lag = Some(u64::MAX),
                    14 => one.age_seconds = Some(f64::NAN),
                    15 => one.age_seconds = Some(f64::INFINITY),
                    _ => reading.over_seconds = Some(0.0),
                }
                matches!(kind, 9 | 14 | 15 | 16)
            }
            Some(SourceReading::Backlog(reading)) => {
                match kind {
                    0 => reading.quality = Quality::Missing,
                    1 => reading.quality = Quality::Stale,
                    2 => reading.quality = Quality::Rejected,
                    3 => reading.sampled_at = Timestamp::UNIX_EPOCH,
                    4 => reading.group = GroupState::Unknown,
                    5 => reading.group = GroupState::Rebalancing,
                    6 => seen.target.hold = Some(TargetHold::RollingOut),
                    7 => seen.target.quality = Quality::Missing,
                    _ => seen.sources.clear(),
                }
                kind != 3
            }
            Some(SourceReading::Metric(_)) | None => false,
        };
        Some((seen, doubt))
    }
}

/// Closer, and dearer: equal inputs, a memory read back, another count of ready replicas, a larger backlog, a clock
/// that goes back.
fn inspect(rules: &Rules, memory: &Memory, seen: &Observation, now: Timestamp, decided: &Decision) {
    let (same, told) = evaluate(rules, memory.clone(), seen, now);
    assert_eq!(
        (told.desired, told.change, told.reason),
        (decided.desired, decided.change, decided.reason),
        "I4"
    );
    assert!(!told.sentence.is_empty() && !told.sentence.contains("NaN"), "I10: {}", told.sentence);
    let written = serde_json::to_string(memory).unwrap();
    assert!(written.len() < 8 * 1024, "{} bytes", written.len());
    let read: Memory = serde_json::from_str(&written).unwrap();
    assert_eq!(&read, memory, "I7");
    let (after, again) = evaluate(rules, read, seen, now);
    assert_eq!((&after, &again), (&same, &told), "I4, I7");
    let earlier = now.checked_sub(SignedDuration::from_secs(20)).unwrap();
    let (_, back) = evaluate_wordless(rules, same, seen, earlier);
    assert_eq!((back.change, back.reason), (None, Reason::InputRejected), "I10: time ran backwards");
    let with = |ready: u32| {
        let mut seen = seen.clone();
        seen.target.ready = Some(Replicas(ready));
        if let Some(SourceReading::Backlog(reading)) = seen.sources.first_mut() {
            reading.group = GroupState::Stable;
        }
        let decided = evaluate_wordless(rules, Memory::default(), &seen, now).1;
        (decided.desired, decided.change)
    };
    assert_eq!(with(1), with(100), "I8");
}

/// I6, of what was not spoilt: more backlog never gives fewer.
fn asks_no_less_for_more(
    rules: &Rules,
    memory: &Memory,
    seen: &Observation,
    now: Timestamp,
    decided: &Decision,
) {
    let mut more = seen.clone();
    if let Some(SourceReading::Backlog(reading)) = more.sources.first_mut()
        && let Some(one) = reading.partitions.first_mut()
    {
        one.lag = one.lag.map(|lag| lag + 5000);
    }
    let (_, other) = evaluate(rules, memory.clone(), &more, now);
    assert!(other.desired >= decided.desired, "I6: {:?} and {}", decided.desired, other.sentence);
}

fn episode(chance: &mut Chance) {
    let course = Course::new(&chance.load(), &chance.plant(), chance.below(1 << 40)).unwrap();
    let rules = chance.rules(&course);
    let mut plant = Running::new(&course, 0, 1 + chance.count(6));
    let (mut sight, mut eyes) =
        (Sight::new(&course, chance.0), Eyes::new(&course, rules.window().as_secs_f64()));
    let mut memory = Memory::default();
    for step in 0..EPISODE {
        let shown = sight.look(&plant);
        let clear = eyes.observe(&plant, shown);
        let spoilt = if step + CALM >= EPISODE { None } else { chance.spoil(clear) };
        let (seen, doubt) = spoilt.as_ref().map_or((clear, shown.is_none()), |(seen, doubt)| (seen, *doubt));
        let before = (step % INSPECTED == 7).then(|| memory.clone());
        let (after, decision) = evaluate_wordless(&rules, memory, seen, course.time(step));
        memory = after;
        let about = || format!("step {step}, {decision:?}, {:?}", course.plant);
        if let Some(before) = before {
            inspect(&rules, &before, seen, course.time(step), &decision);
            if spoilt.is_none() && shown.is_some() {
                asks_no_less_for_more(&rules, &before, seen, course.time(step), &decision);
            }
        }
        assert!(!(doubt && decision.verdict == Verdict::Lower), "I2: {}", about());
        assert!(
            decision.reason != Reason::Fallback || decision.desired >= decision.current,
            "I9: {}",
            about()
        );
        if let Some(change) = decision.change {
            let within = rules.min_replicas..=rules.max_replicas;
            assert!(within.contains(&change.replicas), "I1: {}", about());
            if plant.ask(change.replicas.0) {
                let hour = plant.moves().iter().filter(|made| made.step + 240 > step).count();
                assert!(hour <= usize::try_from(rules.changes_per_hour).unwrap(), "I3: {hour}, {}", about());
            }
        }
        sight.note(plant.advance());
    }
}

fn turns() -> usize {
    let asked = std::env::var_os("TIDEGATE_LOOP_TURNS");
    asked.and_then(|turns| turns.to_str()?.parse().ok()).unwrap_or(20_000)
}

#[test]
fn every_invariant_holds_at_every_turn_of_disturbed_loops() {
    let threads = available_parallelism().map_or(1, usize::from);
    let episodes = turns().div_ceil(EPISODE).div_ceil(threads);
    scope(|scope| {
        for thread in 1..=threads {
            let mut chance = Chance(0x5EED_CAFE * thread as u64);
            scope.spawn(move || (0..episodes).for_each(|_| episode(&mut chance)));
        }
    });
}
