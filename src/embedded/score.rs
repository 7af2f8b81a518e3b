//! What a day cost and how it went, counted the same way for everybody.

use serde::Serialize;

use super::world::World;

/// Seconds within which a move in the other direction undoes the last one.
const UNDOES: i64 = 30 * 60;

/// The figures of one autoscaler for one workload.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Score {
    /// Seconds lived.
    pub seconds: u64,
    /// Seconds of all Pods, ready or not.
    pub replica_seconds: u64,
    /// Seconds with a record older than the objective allows.
    pub late_seconds: u64,
    /// Those of them while a broker was down.
    pub late_in_outage: u64,
    /// Seconds that the group stood still for a rebalance.
    pub stopped_seconds: u64,
    /// Greatest age of an unprocessed record, in seconds.
    pub worst_age: i64,
    /// Moves up.
    pub raised: u32,
    /// Moves down.
    pub lowered: u32,
    /// Moves that undid one of the last half hour.
    pub reversals: u32,
    /// Most replicas asked for.
    pub most: u32,
    #[serde(skip)]
    last: Option<(i64, bool)>,
}

impl Score {
    /// Counts one second of `world`.
    pub fn second(&mut self, world: &mut World, max_lag: i64) {
        let age = world.age();
        self.seconds += 1;
        self.replica_seconds += u64::try_from(world.deployment().pods()).unwrap_or(0);
        self.worst_age = self.worst_age.max(age);
        self.most = self.most.max(world.deployment().replicas());
        if age > max_lag {
            self.late_seconds += 1;
            self.late_in_outage += u64::from(world.broker_down());
        }
        self.stopped_seconds += u64::from(world.group().rebalancing(world.second()));
    }

    /// Counts a move.
    pub fn moved(&mut self, second: i64, from: u32, to: u32) {
        if from == to {
            return;
        }
        let up = to > from;
        self.raised += u32::from(up);
        self.lowered += u32::from(!up);
        let undone = self.last.is_some_and(|(at, then)| then != up && second - at <= UNDOES);
        self.reversals += u32::from(undone);
        self.last = Some((second, up));
    }

    /// Moves in both directions.
    pub fn moves(&self) -> u32 {
        self.raised + self.lowered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_back_within_half_an_hour_is_a_reversal() {
        let mut score = Score::default();
        score.moved(0, 4, 6);
        score.moved(600, 6, 8);
        score.moved(1800, 8, 6);
        score.moved(1800 + 1801, 6, 8);
        score.moved(4000, 8, 8);
        assert_eq!((score.raised, score.lowered, score.reversals), (3, 1, 1));
        assert_eq!(score.moves(), 4);
    }
}
