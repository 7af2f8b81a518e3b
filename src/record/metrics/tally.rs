//! What is counted of one workload over its turns.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::super::report::age_seconds;
use super::super::{Outcome, Turn};
use crate::engine::decision::Stage;
use crate::engine::{Reason, Verdict};

/// A move against the one before counts as a reversal if it follows within this time.
const REVERSAL_WINDOW: SignedDuration = SignedDuration::from_mins(30);

/// Figures of one workload. Rebuilt from nothing after a restart, as counters may be.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) latest: Arc<Turn>,
    pub(super) decisions: BTreeMap<(Reason, &'static str), u64>,
    pub(super) writes: BTreeMap<Write, u64>,
    pub(super) stages: BTreeMap<Stage, u64>,
    pub(super) objective: Objective,
    pub(super) replica_seconds: f64,
    pub(super) saved_replica_seconds: f64,
    pub(super) moves: Moves,
}

/// What became of an attempt to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, strum::EnumIter, strum::IntoStaticStr)]
pub(super) enum Write {
    Applied,
    Conflicted,
    Yielded,
    Deferred,
    Failed,
}

/// Seconds by what is known of the objective.
#[derive(Debug, Default)]
pub(super) struct Objective {
    pub(super) met: f64,
    pub(super) violated: f64,
    pub(super) unknown: f64,
}

/// Changes of the replicas asked for, whoever made them.
#[derive(Debug, Default)]
pub(super) struct Moves {
    pub(super) up: u64,
    pub(super) down: u64,
    pub(super) reversals: u64,
    last: Option<(Timestamp, Verdict)>,
    recent: VecDeque<Timestamp>,
}

impl Tally {
    pub(super) fn new(turn: &Arc<Turn>) -> Self {
        let mut tally = Self {
            latest: Arc::clone(turn),
            decisions: BTreeMap::new(),
            writes: BTreeMap::new(),
            stages: BTreeMap::new(),
            objective: Objective::default(),
            replica_seconds: 0.0,
            saved_replica_seconds: 0.0,
            moves: Moves::default(),
        };
        tally.count(turn);
        tally
    }

    /// Counts the turn after the latest.
    pub(super) fn add(&mut self, turn: &Arc<Turn>) {
        self.integrate(turn.at);
        let (before, after) = (self.latest.decision.current, turn.decision.current);
        if let (Some(before), Some(after)) = (before, after) {
            match after.cmp(&before) {
                std::cmp::Ordering::Greater => self.moves.add(turn.at, Verdict::Raise),
                std::cmp::Ordering::Less => self.moves.add(turn.at, Verdict::Lower),
                std::cmp::Ordering::Equal => self.moves.forget_before(turn.at),
            }
        }
        self.latest = Arc::clone(turn);
        self.count(turn);
    }

    fn count(&mut self, turn: &Turn) {
        let decision = &turn.decision;
        *self.decisions.entry((decision.reason, decision.verdict.into())).or_default() += 1;
        if let Some(write) = Write::of(&turn.outcome) {
            *self.writes.entry(write).or_default() += 1;
        }
        for step in decision.trail.iter().filter(|step| step.from != step.to) {
            *self.stages.entry(step.stage).or_default() += 1;
        }
    }

    /// Adds up what held from the latest turn until `now`. A gap of more than four intervals, as after
    /// a long suspension, is not extrapolated over.
    fn integrate(&mut self, now: Timestamp) {
        let most = 4.0 * self.latest.rules.interval.as_secs_f64();
        let seconds = age_seconds(now, self.latest.at).clamp(0.0, most);
        *match self.latest.decision.estimate.overdue {
            Some(true) => &mut self.objective.violated,
            Some(false) => &mut self.objective.met,
            None => &mut self.objective.unknown,
        } += seconds;
        if let Some(current) = self.latest.decision.current {
            let most = self.latest.rules.max_replicas;
            self.replica_seconds += current.as_f64() * seconds;
            self.saved_replica_seconds += (most.as_f64() - current.as_f64()).max(0.0) * seconds;
        }
    }
}

impl Write {
    fn of(outcome: &Outcome) -> Option<Self> {
        match outcome {
            Outcome::Held | Outcome::Recommended => None,
            Outcome::Deferred { .. } => Some(Self::Deferred),
            Outcome::Applied => Some(Self::Applied),
            Outcome::Conflicted => Some(Self::Conflicted),
            Outcome::Yielded { .. } => Some(Self::Yielded),
            Outcome::Failed { .. } => Some(Self::Failed),
        }
    }
}

impl Moves {
    /// Changes seen within the hour before the latest turn.
    pub(super) fn last_hour(&self) -> usize {
        self.recent.len()
    }

    fn add(&mut self, at: Timestamp, direction: Verdict) {
        match direction {
            Verdict::Raise => self.up += 1,
            Verdict::Lower => self.down += 1,
            Verdict::Hold => {}
        }
        if self
            .last
            .is_some_and(|(last, before)| before != direction && at.duration_since(last) <= REVERSAL_WINDOW)
        {
            self.reversals += 1;
        }
        self.last = Some((at, direction));
        self.recent.push_back(at);
        self.forget_before(at);
    }

    fn forget_before(&mut self, now: Timestamp) {
        let hour = SignedDuration::from_hours(1);
        while self.recent.front().is_some_and(|first| now.duration_since(*first) >= hour) {
            self.recent.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::units::Replicas;
    use crate::record::samples;

    fn turn(at: i64, current: u32, overdue: Option<bool>) -> Arc<Turn> {
        let mut turn = samples::turn("orders");
        turn.at = Timestamp::from_second(at).unwrap();
        turn.decision.current = Some(Replicas(current));
        turn.decision.estimate.overdue = overdue;
        Arc::new(turn)
    }

    #[test]
    fn a_move_back_within_half_an_hour_is_a_reversal() {
        let mut tally = Tally::new(&turn(0, 2, None));
        tally.add(&turn(15, 4, None));
        tally.add(&turn(30, 6, None));
        tally.add(&turn(45, 3, None));
        tally.add(&turn(45 + 1801, 5, None));
        assert_eq!((tally.moves.up, tally.moves.down, tally.moves.reversals), (3, 1, 1));
        assert_eq!(tally.moves.last_hour(), 4);
        tally.add(&turn(3700, 5, None));
        assert_eq!(tally.moves.last_hour(), 1);
    }

    #[test]
    fn time_counts_by_what_was_known_and_a_gap_is_capped() {
        let mut tally = Tally::new(&turn(0, 2, Some(true)));
        tally.add(&turn(15, 2, Some(false)));
        tally.add(&turn(25, 3, None));
        tally.add(&turn(100_000, 3, None));
        let Objective { met, violated, unknown } = tally.objective;
        assert_eq!([met, violated, unknown].map(|seconds| seconds.to_string()), ["10", "15", "60"]);
        // 2 x 15 + 2 x 10 + 3 x 60 of 12 allowed.
        assert_eq!(tally.replica_seconds.to_string(), "230");
        assert_eq!(tally.saved_replica_seconds.to_string(), "790");
    }
}
