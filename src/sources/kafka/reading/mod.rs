//! From raw offsets to a backlog: pure. Every partition stands for itself, and unknown is never zero.

mod history;
mod markers;
mod notes;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::Timestamp;

use self::history::Ends;
use self::markers::Tail;
use self::notes::{Note, Notes};
use crate::engine::observation::{BacklogReading, GroupState, PartitionReading, Quality};
use crate::policy::TimeSpan;
use crate::policy::source::{IsolationLevel, KafkaLag, OffsetResetPolicy};
use crate::policy::units::records_between;

/// What a group has committed for one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::sources) enum Commit {
    /// The offset of the next record to process.
    At(i64),
    /// The broker says: nothing.
    Nothing,
    /// The broker did not say.
    #[default]
    Unknown,
}

/// The first record at or after the start of the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Since {
    /// Its offset.
    From(i64),
    /// No record is that new.
    Nothing,
    /// The broker did not say.
    #[default]
    Unknown,
}

/// What was read of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Raw {
    pub(super) start: Option<i64>,
    pub(super) end: Option<i64>,
    pub(super) since: Since,
    pub(super) commit: Commit,
}

/// What was read of one group at one time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Look {
    pub(super) at: Timestamp,
    pub(super) group: GroupState,
    pub(super) partitions: BTreeMap<(String, i32), Raw>,
    /// What went wrong, in words.
    pub(super) problems: Vec<String>,
    /// Some of the topics could not even be listed.
    pub(super) incomplete: bool,
    /// What is committed is where the consumer stood at that time, where it was not just now: what has arrived since
    /// counts as processed, for at that time it could not be.
    pub(super) as_of: Option<Timestamp>,
}

/// What one source remembers between its looks.
#[derive(Debug, Default)]
pub(super) struct Memory {
    before: Option<Look>,
    partitions: BTreeMap<(String, i32), Trace>,
}

/// What is remembered of one partition beside its last offsets.
#[derive(Debug, Default)]
struct Trace {
    ends: Ends,
    tail: Option<Tail>,
}

/// An offset as brokers and librdkafka write it: below zero stands for "unknown".
pub(super) fn known(offset: i64) -> Option<i64> {
    (offset >= 0).then_some(offset)
}

/// The backlog that `look` shows to the policy `spec`, whose objective looks back over `window`.
pub(super) fn read(spec: &KafkaLag, window: TimeSpan, look: Look, memory: &mut Memory) -> BacklogReading {
    let before = memory.before.take().filter(|before| before.at < look.at);
    let mut notes = Notes::default();
    let mut partitions = Vec::with_capacity(look.partitions.len());
    let mut traces = std::mem::take(&mut memory.partitions);
    let still = before.as_ref().is_some_and(|before| stands_still(before, &look));
    for (key, raw) in &look.partitions {
        let mut trace = traces.remove(key).unwrap_or_default();
        let then = before.as_ref().and_then(|before| before.partitions.get(key));
        // Who is at work elsewhere may yet come to the tail, if it is a record.
        let rested = trace.tail.filter(|_| still || spec.isolation_level == IsolationLevel::ReadCommitted);
        trace.tail = Tail::look(rested, raw, look.group, window, look.at);
        partitions.push(partition(spec, (look.at, look.as_of), (key, raw, then), &mut trace, &mut notes));
        memory.partitions.insert(key.clone(), trace);
    }
    if look.incomplete || look.partitions.is_empty() {
        // What was not seen this time may come back, and then it matters whether its end went back.
        memory.partitions.extend(traces);
    }
    let over_seconds = before.map(|before| look.at.duration_since(before.at).as_secs_f64());
    let mut problems = look.problems.clone();
    problems.extend(notes.sentences());
    let reading = BacklogReading {
        source: format!("{}/{}", spec.cluster, spec.group),
        sampled_at: look.at,
        quality: overall(&partitions, look.incomplete),
        problem: (!problems.is_empty()).then(|| problems.join("; ")),
        group: look.group,
        over_seconds,
        window_seconds: window.as_secs_f64(),
        partitions,
        streaming: None,
    };
    memory.before = Some(look);
    reading
}

/// Whether nobody in the group has committed anything since the look before, in any partition.
fn stands_still(before: &Look, look: &Look) -> bool {
    look.partitions.iter().all(|(key, raw)| {
        raw.commit != Commit::Unknown
            && before.partitions.get(key).is_some_and(|then| then.commit == raw.commit)
    })
}

/// Partial as soon as one part is not known; missing only where no lag at all is known.
fn overall(partitions: &[PartitionReading], incomplete: bool) -> Quality {
    let worst = partitions.iter().map(|partition| partition.quality).max().unwrap_or(Quality::Missing);
    if partitions.iter().all(|partition| partition.lag.is_none()) {
        return if worst == Quality::Rejected { worst } else { Quality::Missing };
    }
    if worst == Quality::Ok && !incomplete { Quality::Ok } else { Quality::Partial }
}

fn partition(
    spec: &KafkaLag,
    (at, as_of): (Timestamp, Option<Timestamp>),
    (key, raw, then): (&(String, i32), &Raw, Option<&Raw>),
    trace: &mut Trace,
    notes: &mut Notes,
) -> PartitionReading {
    let rests = trace.tail.is_some_and(|tail| tail.is_at_rest());
    let markers = rests && spec.isolation_level == IsolationLevel::ReadCommitted;
    let place = place(spec, raw, markers);
    if let Some(note) = place.note {
        notes.add(note, key);
    }
    let shrunk = matches!((trace.ends.last(), raw.end), (Some(then), Some(now)) if now < then);
    if shrunk {
        notes.add(Note::EndWentBack, key);
    }
    if let Some(end) = raw.end {
        trace.ends.push(at, end);
    }
    if let Some(next) = place.next {
        trace.ends.processed(next);
    }
    let place = place.by(as_of.and_then(|at| trace.ends.end_at(at)), raw);
    let comparable = then.filter(|_| !shrunk);
    PartitionReading {
        topic: key.0.clone(),
        partition: key.1,
        start: raw.start,
        end: raw.end,
        committed: match raw.commit {
            Commit::At(offset) => Some(offset),
            Commit::Nothing | Commit::Unknown => None,
        },
        uncommitted: raw.commit == Commit::Nothing,
        lag: place.lag,
        persistent: spec.exclude_persistent_lag
            && place.lag.is_some_and(|lag| lag > 0)
            && matches!((raw.commit, then), (Commit::At(_), Some(then)) if then.commit == raw.commit),
        arrived: comparable.and_then(|then| Some(records_between(then.end?, raw.end?))),
        consumed: comparable.and_then(|then| consumed(then, raw)),
        arrived_in_window: arrived_in_window(raw),
        overdue: overdue(raw, &place).filter(|_| !rests || markers),
        age_seconds: match (place.lag, place.next) {
            _ if rests && !markers => None,
            (Some(0), _) => Some(0.0),
            (Some(_), Some(next)) if Some(next) == raw.end => Some(0.0),
            (Some(_), Some(next)) => trace.ends.age(next, at),
            _ => None,
        },
        quality: quality(raw, &place, shrunk),
    }
}

/// Where the group stands in a partition.
struct Place {
    /// Offset of the next record to process.
    next: Option<i64>,
    lag: Option<u64>,
    note: Option<Note>,
}

impl Place {
    /// The same, where it is known of the time when the log ended at `then`: the lag is that of then.
    fn by(self, then: Option<i64>, raw: &Raw) -> Self {
        let (Some(then), Some(next), Some(end), Commit::At(_), None) =
            (then, self.next, raw.end, raw.commit, self.note)
        else {
            return self;
        };
        let lag = then.saturating_sub(next).max(0);
        Self { next: Some(end - lag), lag: u64::try_from(lag).ok(), note: None }
    }
}

fn place(spec: &KafkaLag, raw: &Raw, markers: bool) -> Place {
    let unknown = Place { next: None, lag: None, note: None };
    let Some(end) = raw.end else { return unknown };
    let start = raw.start.unwrap_or(0);
    if start > end {
        return Place { note: Some(Note::Impossible), ..unknown };
    }
    match raw.commit {
        Commit::Unknown => unknown,
        Commit::Nothing => reset(spec, raw.start, end),
        // The consumer cannot go on from there: it starts anew by its reset policy.
        Commit::At(committed) if committed > end => {
            Place { note: Some(Note::BeyondEnd), ..reset(spec, raw.start, end) }
        }
        Commit::At(_) if markers => Place { next: Some(end), lag: Some(0), note: None },
        Commit::At(committed) => {
            let next = committed.max(start);
            let note = (committed < start).then_some(Note::Expired);
            Place { next: Some(next), lag: Some(records_between(next, end)), note }
        }
    }
}

/// A group without a usable commit, as KEDA counts it: at the end with one record, to keep one consumer
/// that commits, or everything that the log holds; nothing with `scaleToZeroOnInvalidOffset`.
fn reset(spec: &KafkaLag, start: Option<i64>, end: i64) -> Place {
    let (next, lag) = match (spec.offset_reset_policy, spec.scale_to_zero_on_invalid_offset) {
        (_, true) => (Some(end), Some(0)),
        (OffsetResetPolicy::Latest, false) => (Some(end), Some(1)),
        (OffsetResetPolicy::Earliest, false) => (start, start.map(|start| records_between(start, end))),
    };
    Place { next, lag, note: None }
}

/// Records processed between two looks. Where retention passed the commit, the records that went away
/// unread are not counted.
fn consumed(then: &Raw, now: &Raw) -> Option<u64> {
    let (Commit::At(from), Commit::At(to)) = (then.commit, now.commit) else { return None };
    if to < from || to > now.end? {
        return None;
    }
    let gone = if from < now.start? { now.start? } else { from };
    Some(records_between(gone, to))
}

fn arrived_in_window(raw: &Raw) -> Option<u64> {
    match raw.since {
        Since::From(first) => Some(records_between(first, raw.end?)),
        Since::Nothing => Some(0),
        Since::Unknown => None,
    }
}

/// The oldest unprocessed record is older than the window iff it lies before the first one of the window.
fn overdue(raw: &Raw, place: &Place) -> Option<bool> {
    let (next, end) = (place.next?, raw.end?);
    if next >= end {
        return Some(false);
    }
    match raw.since {
        Since::From(first) => Some(next < first),
        Since::Nothing => Some(true),
        Since::Unknown => None,
    }
}

fn quality(raw: &Raw, place: &Place, shrunk: bool) -> Quality {
    let nothing = raw.end.is_none() && raw.start.is_none() && raw.commit == Commit::Unknown;
    match place.note {
        Some(Note::Impossible) => Quality::Rejected,
        _ if nothing => Quality::Missing,
        Some(Note::BeyondEnd) => Quality::Partial,
        _ if shrunk || place.lag.is_none() || raw.start.is_none() || raw.since == Since::Unknown => {
            Quality::Partial
        }
        _ => Quality::Ok,
    }
}
