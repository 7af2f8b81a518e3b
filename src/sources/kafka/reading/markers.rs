//! Transaction markers at the end of a partition: offsets that no consumer ever sees.
//!
//! A consumer that commits "last record + 1" stays one short of the end after each transaction, for ever.
//! Nothing that needs no more than DESCRIBE can tell a marker from a record: the broker's time index
//! answers with the offsets of markers as it does with those of records (seen on Kafka 4.3). So this is
//! an inference, and a narrow one. A tail is taken for markers when all of this holds:
//!
//! - the policy says `isolationLevel: readCommitted`, that is, that transactions are in use (what
//!   `readUncommitted` makes of it follows below);
//! - it is at most [`LONGEST`] offsets long;
//! - neither the commit nor the end moved over [`LOOKS`] looks and [`LEAST_SECONDS`] (or the window, if that
//!   is longer), while the group had members that held their partitions, so somebody could have read it.
//!
//! Once taken, it stays taken until either side moves, also when the members have gone: otherwise a
//! workload that went to zero because of it would be woken by it. (A restart forgets it, and so wakes such
//! a workload once.)
//!
//! What that costs: a consumer that is stuck on the last one or two records of a partition looks the same,
//! and they count as nothing then, for waking it too, until something arrives or is committed. So the
//! rule stays narrow where markers would look the same but the policy does not speak of transactions: with
//! `readUncommitted`, which is also what plain topics are read with, one slow or poisonous record would
//! become "no backlog". There, and where a tail is longer (several aborted transactions in a row), the
//! markers stay backlog: too much rather than too little.
//!
//! With `readUncommitted` such a tail stays backlog, which keeps the last replica and wakes it. But once all
//! of that holds and nobody in the whole group has committed anything meanwhile, its age becomes unknown:
//! either it has none, or it is stuck with a member that has taken longer over it than the objective allows,
//! and more replicas would help neither. Otherwise every idle topic would look late for ever. While a member
//! commits elsewhere, it may be a record that waits behind others: then it is late by all that is known. Measured on Kafka 4 with a topic that was read to
//! its end: a consumer of librdkafka that commits what it processed stays one offset behind each partition
//! that ends with a transaction, committed or aborted, until a record follows it; the Java client's own
//! commit passes the marker and leaves nothing.

use jiff::Timestamp;

use super::{Commit, Raw};
use crate::engine::observation::GroupState;
use crate::policy::TimeSpan;

/// The longest tail that is taken for markers: that of a transaction, and of an empty or aborted one.
const LONGEST: i64 = 2;
/// Looks at members that hold their partitions, beside the first one.
const LOOKS: u32 = 3;
/// The shortest rest, in seconds.
const LEAST_SECONDS: f64 = 60.0;

/// A short tail that may be markers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Tail {
    committed: i64,
    end: i64,
    since: Timestamp,
    looks: u32,
    taken: bool,
}

impl Tail {
    /// The tail as it stands now, given the one before.
    pub(super) fn look(
        before: Option<Self>,
        raw: &Raw,
        group: GroupState,
        window: TimeSpan,
        at: Timestamp,
    ) -> Option<Self> {
        let (Commit::At(committed), Some(end)) = (raw.commit, raw.end) else {
            // Not seen this time: neither confirmed nor refuted.
            return before;
        };
        if !(1..=LONGEST).contains(&(end - committed)) || raw.start.is_none_or(|start| committed < start) {
            return None;
        }
        let fresh = Self { committed, end, since: at, looks: 0, taken: false };
        let Some(before) = before.filter(|before| (before.committed, before.end) == (committed, end)) else {
            return Some(fresh);
        };
        if before.taken {
            return Some(before);
        }
        if group != GroupState::Stable {
            return Some(fresh);
        }
        let looks = before.looks.saturating_add(1);
        let rest = at.duration_since(before.since).as_secs_f64();
        let taken = looks >= LOOKS && rest >= window.as_secs_f64().max(LEAST_SECONDS);
        Some(Self { looks, taken, ..before })
    }

    /// Whether it has been there for long enough to be markers.
    pub(super) fn is_at_rest(&self) -> bool {
        self.taken
    }
}
