//! Stage 1: what may be believed, and so what may be done on it.
//!
//! Zero must be earned: what is missing, stale, incomplete or impossible never lowers anything.

use jiff::Timestamp;

use super::look::{Group, Look};
use super::memory::{Memory, lasted, seconds_between};
use super::observation::{
    BacklogReading, GroupState, Meaning, MetricReading, Observation, Quality, SourceReading, TargetHold,
    TargetReading,
};
use super::reason::Reason;
use crate::policy::Rules;

/// A reading older than so many intervals is stale.
const STALE_INTERVALS: f64 = 3.0;
/// Records per second that two sources may differ by without contradicting each other.
const DISAGREE_FROM: f64 = 1.0;

/// Times that can be: a millisecond to three centuries.
const PLAUSIBLE_SECONDS: std::ops::RangeInclusive<f64> = 1e-3..=1e10;
/// The most that a metric can say: beyond it lie no records, only mistakes.
const PLAUSIBLE_MOST: f64 = 1e15;

/// What may be done on an observation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Trust {
    /// Anything.
    Full,
    /// A move up: what is known is a lower bound of the need. Nothing is learnt, nothing is lowered.
    UpOnly(Word),
    /// Nothing.
    Hold(Word),
}

/// A reason with its figures.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Word {
    pub(crate) reason: Reason,
    pub(crate) detail: String,
}

fn word(reason: Reason, detail: impl Into<String>) -> Word {
    Word { reason, detail: detail.into() }
}

impl Trust {
    /// The lesser of two; the first of equals. Less than a rebalance, which ends by itself, is only a
    /// reading that tells nothing.
    fn and(self, other: Self) -> Self {
        let rank = |trust: &Self| match trust {
            Self::Full => 0,
            Self::UpOnly(_) => 1,
            Self::Hold(_) if !trust.is_blind() => 2,
            Self::Hold(_) => 3,
        };
        if rank(&other) > rank(&self) { other } else { self }
    }

    /// What is left of it where two sources contradict each other about the arrivals.
    pub(crate) fn heeding(self, look: &Look) -> Self {
        match (self, disagreement(look.window_rate(), look.metric_rate)) {
            (Self::Full, Some(word)) => Self::UpOnly(word),
            (trust, _) => trust,
        }
    }

    /// Whether the sources told nothing that can be used. A rebalance is known, and ends by itself.
    pub(crate) fn is_blind(&self) -> bool {
        matches!(self, Self::Hold(word) if word.reason != Reason::GroupRebalancing)
    }

    /// Whether the sources are silent, or cannot tell the whole of it. What the group is known to be doing is
    /// no doubt.
    pub(crate) fn is_doubtful(&self) -> bool {
        match self {
            Self::Full => false,
            Self::UpOnly(word) | Self::Hold(word) => {
                !matches!(word.reason, Reason::GroupRebalancing | Reason::GroupWithoutMembers)
            }
        }
    }
}

/// Why the target must be left alone, if it must.
pub(crate) fn target(rules: &Rules, target: &TargetReading, now: Timestamp) -> Option<Word> {
    if rules.paused {
        return Some(word(Reason::Paused, "the policy says paused: true"));
    }
    match &target.hold {
        Some(TargetHold::Owned { owner }) => {
            return Some(word(Reason::OwnedByOther, format!("{owner} moves this target")));
        }
        Some(TargetHold::NotFound) => return Some(word(Reason::TargetNotFound, "there is no such object")),
        Some(TargetHold::RollingOut) => {
            return Some(word(Reason::TargetNotSettled, "a rollout is under way"));
        }
        Some(TargetHold::Unfit { problem }) => return Some(word(Reason::TargetUnfit, problem.clone())),
        Some(TargetHold::Unsettled { what }) => return Some(word(Reason::TargetNotSettled, what.clone())),
        None => {}
    }
    let age = seconds_between(target.sampled_at, now);
    if target.quality != Quality::Ok || target.current.is_none() {
        let problem = target.problem.clone().unwrap_or_else(|| "its replicas are unknown".to_owned());
        Some(word(Reason::TargetUnreadable, problem))
    } else if age.abs() > oldest(rules) {
        Some(word(Reason::TargetUnreadable, format!("it was read {age:.0} s ago")))
    } else {
        None
    }
}

/// What the sources' readings amount to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    /// What may be done on them.
    pub(crate) trust: Trust,
    /// Whether every figure that counts something was read, and can be: what the groups are doing says nothing
    /// about that.
    pub(crate) complete: bool,
}

/// What the sources' readings amount to, which `look` is made of.
pub(crate) fn sources(
    rules: &Rules,
    memory: &Memory,
    seen: &Observation,
    look: &Look,
    now: Timestamp,
) -> Told {
    if seen.sources.is_empty() {
        let trust = Trust::Hold(word(Reason::SignalMissing, "the policy has no sources"));
        return Told { trust, complete: false };
    }
    let mut told = Told { trust: Trust::Full, complete: true };
    let mut groups = look.groups.iter();
    for (source, oldest) in seen.sources.iter().zip(allowed(rules, memory)) {
        let own = match source {
            SourceReading::Backlog(_) => groups.next(),
            SourceReading::Metric(_) => None,
        };
        let figures = figures(source, own, oldest, now);
        told.complete &= figures == Trust::Full || is_busy_share(source);
        let trust = match source {
            SourceReading::Backlog(reading) if !figures.is_blind() => {
                group(rules, memory, reading, &seen.target, now).and(figures)
            }
            SourceReading::Backlog(_) | SourceReading::Metric(_) => figures,
        };
        told.trust = told.trust.and(trust);
    }
    told
}

/// How old each source's answer may be: a few intervals, on top of how late it always is.
fn allowed(rules: &Rules, memory: &Memory) -> impl Iterator<Item = f64> {
    let late = memory.late.iter().map(|late| late.seconds).chain(std::iter::repeat(0.0));
    let least = oldest(rules);
    late.map(move |late| late + least)
}

/// What one source's figures are worth; `group`: what its partitions amount to.
fn figures(source: &SourceReading, group: Option<&Group>, oldest: f64, now: Timestamp) -> Trust {
    let told = freshness(source, oldest, now).map_or_else(
        || match source {
            SourceReading::Backlog(reading) => backlog(reading, group),
            SourceReading::Metric(reading) => metric(reading),
        },
        Trust::Hold,
    );
    if let (Trust::Hold(word), true) = (&told, is_busy_share(source)) {
        // It only teaches: without it nothing is lowered, and what is known may still ask for more.
        return Trust::UpOnly(word.clone());
    }
    told
}

fn is_busy_share(source: &SourceReading) -> bool {
    matches!(source, SourceReading::Metric(reading) if reading.means == Meaning::BusyShare)
}

fn oldest(rules: &Rules) -> f64 {
    STALE_INTERVALS * rules.interval.as_secs_f64()
}

fn freshness(source: &SourceReading, oldest: f64, now: Timestamp) -> Option<Word> {
    let (name, problem) = match source {
        SourceReading::Backlog(reading) => (&reading.source, &reading.problem),
        SourceReading::Metric(reading) => (&reading.source, &reading.problem),
    };
    let say = |otherwise: &str| format!("{name}: {}", problem.as_deref().unwrap_or(otherwise));
    let age = seconds_between(source.sampled_at(), now);
    match source.quality() {
        Quality::Missing => Some(word(Reason::SignalMissing, say("nothing was read"))),
        Quality::Rejected => Some(word(Reason::SignalRejected, say("the value cannot be"))),
        Quality::Stale => Some(word(Reason::SignalStale, say("the reading is too old"))),
        Quality::Ok | Quality::Partial if age > oldest => {
            Some(word(Reason::SignalStale, format!("{name}: the reading is {age:.0} s old")))
        }
        Quality::Ok | Quality::Partial if -age > oldest => {
            let detail = format!("{name}: the reading is from {:.0} s in the future", -age);
            Some(word(Reason::InputRejected, detail))
        }
        Quality::Ok | Quality::Partial => None,
    }
}

fn metric(reading: &MetricReading) -> Trust {
    match reading.value {
        None => Trust::Hold(word(Reason::SignalMissing, format!("{}: no value", reading.source))),
        Some(value) if !(0.0..=PLAUSIBLE_MOST).contains(&value) => {
            let detail = format!("{}: {value} is no {}", reading.source, reading.means);
            Trust::Hold(word(Reason::SignalRejected, detail))
        }
        Some(_) if reading.quality == Quality::Partial => {
            Trust::UpOnly(word(Reason::SignalPartial, format!("{}: incomplete", reading.source)))
        }
        Some(_) => Trust::Full,
    }
}

fn backlog(reading: &BacklogReading, group: Option<&Group>) -> Trust {
    let name = &reading.source;
    let figures = [reading.over_seconds.unwrap_or(1.0), reading.window_seconds];
    if figures.iter().any(|seconds| !PLAUSIBLE_SECONDS.contains(seconds))
        || group.is_some_and(|group| group.impossible)
    {
        return Trust::Hold(word(Reason::SignalRejected, format!("{name}: a time that cannot be")));
    }
    let (known, of) = group.map_or((0, 0), |group| (group.known, group.partitions));
    if known == 0 {
        return Trust::Hold(word(Reason::SignalMissing, format!("{name}: no partition's lag is known")));
    }
    if reading.quality == Quality::Partial || known < of {
        let detail = format!("{name}: {known} of {of} partitions are known");
        Trust::UpOnly(word(Reason::SignalPartial, detail))
    } else {
        Trust::Full
    }
}

fn group(
    rules: &Rules,
    memory: &Memory,
    reading: &BacklogReading,
    target: &TargetReading,
    now: Timestamp,
) -> Trust {
    let name = &reading.source;
    let idle = target.ready.or(target.current).is_some_and(|replicas| replicas.0 == 0);
    match reading.group {
        GroupState::Stable => Trust::Full,
        GroupState::Empty | GroupState::Dead if idle => Trust::Full,
        GroupState::Empty | GroupState::Dead => Trust::UpOnly(word(
            Reason::GroupWithoutMembers,
            format!("{name}: the group is {} although replicas are ready", reading.group),
        )),
        GroupState::Unknown => {
            let problem = reading.problem.as_deref().unwrap_or("the group's state is unknown");
            Trust::UpOnly(word(Reason::GroupUnknown, format!("{name}: {problem}")))
        }
        GroupState::Rebalancing => {
            // A rebalance that outlasts what a move was ever seen to cost, with the objective breached, is
            // no passing state: waiting for its end could mean waiting for ever.
            let patience = 2.0 * memory.cost.raise_seconds().max(memory.cost.lower_seconds());
            let rebalancing = lasted(memory.rebalancing_since, now);
            let breached = lasted(memory.overdue_since, now) > 0.0
                && reading.partitions.iter().any(|one| one.overdue == Some(true));
            let detail = format!("{name}: the group has been rebalancing for {rebalancing:.0} s");
            let word = word(Reason::GroupRebalancing, detail);
            if breached && rebalancing > patience.max(2.0 * rules.interval.as_secs_f64()) {
                Trust::UpOnly(word)
            } else {
                Trust::Hold(word)
            }
        }
    }
}

/// Whether what Kafka and a metric say about the arrivals contradict each other.
fn disagreement(kafka: Option<f64>, metric: Option<f64>) -> Option<Word> {
    let (kafka, metric) = (kafka?, metric?);
    let (low, high) = if kafka < metric { (kafka, metric) } else { (metric, kafka) };
    (high > 2.0 * low + DISAGREE_FROM).then(|| {
        let detail = format!("Kafka counts {kafka:.0} records/s, the metric {metric:.0}");
        word(Reason::SignalsDisagree, detail)
    })
}
