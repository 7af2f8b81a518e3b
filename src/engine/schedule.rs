//! Floors by the clock: which schedule holds now, and which is next.

use std::cmp::Reverse;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::estimate;
use super::memory::Memory;
use super::reason::Reason;
use crate::policy::Rules;
use crate::policy::schedule::{Schedule, Window};
use crate::policy::units::Replicas;

/// Replicas are asked for at most so many seconds before a schedule begins, however slowly they start.
const LONGEST_LEAD: f64 = 1800.0;

/// What a policy's schedules say at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scheduled {
    /// The highest floor that holds: its window is open, or opens before replicas that are asked for now are
    /// there.
    pub holds: Option<Window>,
    /// The first window that has not begun, and is not held already.
    pub next: Option<Window>,
}

impl Scheduled {
    /// What holds, in words: `` schedule `peak` asks for at least 6 until Mon 2026-01-05 18:00 CET ``.
    pub fn holding(&self, at: Timestamp) -> Option<String> {
        let window = self.holds.as_ref()?;
        let (name, least, until) = (&window.schedule, window.min_replicas, window.clock(window.until));
        let early = (window.from > at).then(|| format!("from {} ", window.clock(window.from)));
        let early = early.unwrap_or_default();
        Some(format!("schedule `{name}` asks for at least {least} {early}until {until}"))
    }

    /// What comes next, in words.
    pub fn coming(&self) -> Option<String> {
        let window = self.next.as_ref()?;
        let (name, least, from) = (&window.schedule, window.min_replicas, window.clock(window.from));
        Some(format!("schedule `{name}` asks for at least {least} from {from}"))
    }
}

/// What the schedules say; `None` where the policy has none.
///
/// A floor counts from as long before its start as a move up has been measured to take on this workload, so that
/// the replicas are there when it begins; and what has been asked for early is not taken back because a move turns
/// out to be quicker.
pub(crate) fn now(rules: &Rules, memory: &mut Memory, now: Timestamp) -> Option<Scheduled> {
    if rules.schedules.is_empty() {
        return None;
    }
    let lead = SignedDuration::try_from_secs_f64(estimate::horizon(rules, memory).min(LONGEST_LEAD)).ok();
    let ahead =
        lead.and_then(|lead| now.checked_add(lead).ok()).unwrap_or(now).max(memory.early.unwrap_or(now));
    let open = |one: &Schedule| one.window(now).into_iter().chain(one.window(ahead)).collect::<Vec<_>>();
    // Of equal floors the one that lasts longest; of equal windows the one that is open already.
    let rank = |window: &Window| (window.min_replicas, window.until, Reverse(window.from));
    let holds = rules.schedules.iter().flat_map(open).max_by_key(rank);
    memory.early = holds.as_ref().map(|window| window.from).filter(|from| *from > now);
    let known = |window: &Window| {
        holds.as_ref().is_some_and(|held| held.schedule == window.schedule && held.from >= window.from)
    };
    let after = |one: &Schedule| {
        let first = one.next(now)?;
        if known(&first) { one.next(first.from) } else { Some(first) }
    };
    let next = rules.schedules.iter().filter_map(after).min_by_key(|window| window.from);
    Some(Scheduled { holds, next })
}

/// The fewest replicas of a workload that is awake, and who says so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Floor {
    /// At least 1, and never over `maxReplicas`.
    pub(crate) replicas: Replicas,
    /// The schedule's words, where one asks for more than `minReplicas`. No workload rests then.
    pub(crate) scheduled: Option<String>,
}

impl Floor {
    /// The floor by the policy, and by its schedules.
    pub(crate) fn of(rules: &Rules, scheduled: Option<&Scheduled>, now: Timestamp) -> Self {
        let held = scheduled.and_then(|scheduled| Some((scheduled.holds.as_ref()?, scheduled.holding(now)?)));
        let held = held.filter(|(window, _)| window.min_replicas > rules.min_replicas);
        let asked = held.as_ref().map_or(rules.min_replicas, |(window, _)| window.min_replicas);
        let replicas = asked.max(Replicas(1)).min(rules.max_replicas);
        Self { replicas, scheduled: held.map(|(_, words)| words) }
    }

    /// Why there are no fewer.
    pub(crate) fn reason(&self) -> Reason {
        if self.scheduled.is_some() { Reason::AtScheduledMinimum } else { Reason::AtMinReplicas }
    }

    /// The same with the figures.
    pub(crate) fn words(&self, rules: &Rules) -> String {
        self.scheduled.clone().unwrap_or_else(|| format!("minReplicas is {}", rules.min_replicas))
    }
}
