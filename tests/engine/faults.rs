//! Long closed loops with random loads, worlds and faults: what must hold at every single turn, and that whoever
//! was disturbed finds back.
//!
//! 20,000 turns by default; `TIDEGATE_FAULT_TURNS=1000000` for a long run (in release mode some minutes).

use std::collections::VecDeque;

use tidegate::engine::observation::{
    BacklogReading, GroupState, Observation, Quality, SourceReading, TargetHold,
};
use tidegate::engine::{Memory, Verdict, evaluate};
use tidegate::policy::{Replicas, Rules};

use super::plant::{Plant, World, after, max_lag_rules};

/// Turns of one world.
const EPISODE: u64 = 1000;

/// A xorshift: the same faults at every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn world(&mut self) -> World {
        World {
            weights: (0..12).map(|_| 1 + self.below(4)).collect(),
            capacity: 100 + self.below(300),
            downstream: if self.below(3) == 0 { 500 + self.below(1000) } else { u64::MAX },
            commit_every: 1 + self.below(10),
            start_seconds: self.below(90),
            rebalance_seconds: self.below(40),
            noise: self.below(300),
            seed: 1 + self.below(1 << 40),
        }
    }

    /// Spoils what is seen. Whether a move down would be one on doubt.
    fn spoil(&mut self, seen: &mut Observation, late: u64) -> bool {
        let kind = self.below(120);
        let Some(SourceReading::Backlog(reading)) = seen.sources.first_mut() else { return false };
        match kind {
            0 => reading.quality = Quality::Missing,
            1 => reading.quality = Quality::Stale,
            2 => reading.quality = Quality::Rejected,
            3 => reading.sampled_at = after(late),
            4 => reading.group = GroupState::Unknown,
            5 => reading.group = GroupState::Rebalancing,
            6 => seen.target.hold = Some(TargetHold::RollingOut),
            7 => seen.target.quality = Quality::Missing,
            8 => seen.sources.clear(),
            9..=16 => return self.spoil_partition(kind, reading),
            _ => return false,
        }
        true
    }

    /// What a broker that lost or restored data may say of one partition.
    fn spoil_partition(&mut self, kind: u64, reading: &mut BacklogReading) -> bool {
        let at = usize::try_from(self.below(12)).unwrap();
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
        // The others only ask for more, or for nothing.
        kind == 9
    }

    fn load(&mut self, before: u64) -> u64 {
        match self.below(60) {
            0 => self.below(3000),
            1 => 0,
            _ => before,
        }
    }
}

fn turns() -> u64 {
    let asked = std::env::var_os("TIDEGATE_FAULT_TURNS");
    asked.and_then(|turns| turns.to_str()?.parse().ok()).unwrap_or(20_000)
}

fn episode(chance: &mut Chance) {
    let rules: Rules = max_lag_rules(30 + chance.below(200));
    let (interval, window) = (rules.interval.0.as_secs(), rules.window().0.as_secs());
    let mut plant = Plant::new(chance.world(), 1 + usize::try_from(chance.below(12)).unwrap());
    let (mut memory, mut rate) = (Memory::default(), 500);
    let mut moves: VecDeque<u64> = VecDeque::new();
    for turn in 0..EPISODE {
        // The last of it is calm.
        let calm = turn > EPISODE * 4 / 5;
        rate = if calm { 400 } else { chance.load(rate) };
        (0..interval).for_each(|_| plant.step(rate, window));
        let mut seen = plant.observe(window);
        let doubt = !calm && chance.spoil(&mut seen, plant.second.saturating_sub(300));
        let now = after(plant.second);
        if turn % 50 == 7 {
            let (_, back) = evaluate(&rules, memory.clone(), &seen, after(plant.second - interval - 5));
            assert_eq!(back.change, None, "time ran backwards: {}", back.sentence);
            let written = serde_json::to_string(&memory).unwrap();
            assert!(written.len() < 8 * 1024, "{} bytes", written.len());
            memory = serde_json::from_str(&written).unwrap();
        }
        let (after, decision) = evaluate(&rules, memory, &seen, now);
        memory = after;
        assert!(!decision.sentence.contains("NaN"), "{}", decision.sentence);
        assert!(!(doubt && decision.verdict == Verdict::Lower), "turn {turn}: {}", decision.sentence);
        let Some(change) = decision.change else { continue };
        assert!(
            (rules.min_replicas..=rules.max_replicas).contains(&change.replicas),
            "{}",
            decision.sentence
        );
        if usize::try_from(change.replicas.0).unwrap() != plant.replicas() {
            moves.push_back(plant.second);
            moves.retain(|second| second + 3600 > plant.second);
            let allowed = usize::try_from(rules.changes_per_hour).unwrap();
            assert!(moves.len() <= allowed, "{} moves within an hour", moves.len());
        }
        plant.scale(change.replicas);
    }
    let fits = |count: usize| u64::try_from(count).unwrap() * plant.world.capacity >= 390;
    assert!(fits(plant.replicas()), "{} replicas of {:?} at the end", plant.replicas(), plant.world);
    assert!(Replicas(u32::try_from(plant.replicas()).unwrap()) <= rules.max_replicas);
}

#[test]
fn faults_never_lower_cross_a_bound_or_spend_more_than_the_budget() {
    let mut chance = Chance(0x5EED_CAFE);
    for _ in 0..turns().div_ceil(EPISODE) {
        episode(&mut chance);
    }
}
