//! Stage 2: what is believed of the load, of one replica, and of the cost of a move.
//!
//! A turn decides by what was known before it, and learns afterwards: so a larger backlog can never make a
//! replica look faster, and with it the need smaller, within the same turn.

pub(crate) mod age;
pub(crate) mod batches;
pub(crate) mod capacity;
pub(crate) mod cost;
pub(crate) mod rate;

use jiff::Timestamp;

use self::age::Trend;
use self::capacity::Capacity;
use self::cost::Glance;
use self::rate::Sample;
use super::effect::Bound;
use super::holds::{self, Arrived};
use super::ladder::Ladder;
use super::look::{Look, most};
use super::memory::{Memory, lasted, since};
use super::observation::{Division, GroupState, Observation, SourceReading, TargetHold};
use super::size;
use super::trust::Trust;
use super::tuning::Tuning;
use crate::policy::units::Replicas;
use crate::policy::{Objective, Rules};

/// The weight of the latest look in the busiest partition's share.
const SHARE_WEIGHT: f64 = 0.2;
/// The least shares of time at which a busy share tells a capacity.
const BUSY_FROM: f64 = 0.3;

/// Consumption counts once it has been seen for so many seconds: consumers commit in batches.
const COUNTED_FROM: f64 = 15.0;
/// As a lower bound of the capacity it takes longer: one batch too many would be taken for strength.
const DEMONSTRATED_FROM: f64 = 30.0;

/// What is believed at this turn. `None` is unknown, never zero.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Belief {
    /// Records per second that arrive.
    pub(crate) rate: Option<f64>,
    /// Records per second to be ready for.
    pub(crate) anticipated: Option<f64>,
    /// Records per second that a move up is sized for: a surge counts once a move is due at all.
    pub(crate) sizing_rate: Option<f64>,
    /// Records not processed yet.
    pub(crate) backlog: Option<f64>,
    /// Records that had not been processed at the start of the look.
    pub(crate) backlog_before: Option<f64>,
    /// Those that count for the size.
    pub(crate) sizing_backlog: Option<f64>,
    /// Age of the oldest unprocessed record, in seconds.
    pub(crate) age: Option<f64>,
    /// Where the age is heading of the oldest record that waits for a working consumer.
    pub(crate) trend: Option<Trend>,
    /// Whether the oldest record is older than the objective allows.
    pub(crate) overdue: bool,
    /// Of one replica.
    pub(crate) capacity: Capacity,
    /// Records per second and replica that have lately been processed.
    pub(crate) working: Option<f64>,
    /// Seconds that a move up costs until its capacity is there.
    pub(crate) raise_seconds: f64,
    /// Those of them during which nothing is processed.
    pub(crate) raise_stop: f64,
    /// Seconds that a move down costs.
    pub(crate) lower_seconds: f64,
    /// What a move costs, in replica-seconds.
    pub(crate) price: f64,
    /// What is worth what.
    pub(crate) tuning: Tuning,
    /// The age up to which the oldest record leaves time for a move up.
    pub(crate) ready_age: f64,
    /// The counts that make a difference.
    pub(crate) ladder: Ladder,
    /// The busiest partition's share of the arrivals, smoothed.
    pub(crate) busiest_share: Option<f64>,
    /// Whether the last move is still under way.
    pub(crate) moving: bool,
    /// Whether replicas that were asked for are not ready, and have not been for so long that nobody waits
    /// for them any more.
    pub(crate) unsettled: bool,
    /// Where more replicas have been seen to do no more.
    pub(crate) bound: Option<Bound>,
    /// Replicas that somebody else has worked out: a floor.
    pub(crate) demand: Option<f64>,
    /// The largest part of the backlog that lies in one partition.
    pub(crate) deepest: f64,
}

impl Belief {
    /// The age of the oldest record that waits for a working consumer: as it was read, and no more than what
    /// waits took to arrive.
    pub(crate) fn queue_age(&self, rate: f64) -> f64 {
        let Some(backlog) = self.sizing_backlog.filter(|backlog| *backlog > 0.0) else { return 0.0 };
        let by_rate = if rate > 0.0 { backlog / rate } else { f64::INFINITY };
        self.age.map_or(by_rate, |age| age.min(by_rate))
    }

    /// Whether more than one partition has a part in the backlog: else more replicas would not help.
    pub(crate) fn is_spread(&self) -> bool {
        self.sizing_backlog.is_some_and(|backlog| self.deepest < 0.9 * backlog)
    }
}

/// Seconds of waiting work at which a consumer counts as busy: well over the usual commit interval.
pub(crate) fn busy_seconds(rules: &Rules) -> f64 {
    (rules.window().as_secs_f64() / 4.0).clamp(10.0, 30.0)
}

/// Seconds that rates are averaged over. What comes and goes faster than the objective lets wait is absorbed,
/// what lasts longer must be seen; and fewer than four looks tell nothing of noise.
fn look_back(rules: &Rules) -> f64 {
    rules.window().as_secs_f64().max(4.0 * rules.interval.as_secs_f64()).min(rate::WINDOW)
}

/// Seconds within which a move up takes effect, from the next look on.
pub(crate) fn horizon(rules: &Rules, memory: &Memory) -> f64 {
    memory.cost.raise_seconds() + rules.interval.as_secs_f64() + late(rules, memory)
}

/// Seconds by which what is seen lies in the past; 0 where that is only a moment.
fn late(rules: &Rules, memory: &Memory) -> f64 {
    let latest = memory.late.iter().map(|late| late.seconds).fold(0.0, f64::max);
    if latest < rules.interval.as_secs_f64() { 0.0 } else { latest }
}

/// Records that will have been waiting by now, where what is known of them lies `late` seconds back: what has
/// arrived since at the same rate, less what the replicas of that time could process, but for the stops.
fn by_now(memory: &Memory, belief: &Belief, late: f64, now: Timestamp) -> Option<f64> {
    let (rate, backlog, one) = (belief.rate?, belief.sizing_backlog?, belief.capacity.mean?);
    let recent = memory.moves.iter().filter(|made| made.seconds_ago(now) < late);
    let mut size = recent.clone().next().map_or(memory.current, |made| Some(made.1))?;
    let (mut waits, mut since, mut stop) = (backlog, late, 0.0);
    let mut pass = |size: Replicas, seconds: f64, stop: f64| {
        let works = (seconds - stop).max(0.0);
        waits = (waits + rate * seconds - size::together(belief, size.0, one) * works).max(0.0);
    };
    for made in recent {
        let ago = made.seconds_ago(now);
        pass(size, since - ago, stop);
        (size, since) = (made.2, ago);
        stop = if made.is_raise() { belief.raise_stop } else { belief.lower_seconds };
    }
    pass(size, since, stop);
    Some(waits)
}

/// The age up to which the oldest record leaves time for a move up: what is usable of the objective, less the
/// stop, and half of the time that passes before that, for a deficit only ages it by a part of a second each.
fn ready_age(rules: &Rules, memory: &Memory) -> f64 {
    let allowed = rules.window().as_secs_f64();
    let before = memory.cost.start_seconds() + rules.interval.as_secs_f64() + late(rules, memory);
    (Tuning::of(rules).usable * allowed - memory.cost.raise_stop() - before / 2.0).max(allowed / 8.0)
}

/// Works out what is believed, from the memory and this look.
pub(crate) fn believe(
    rules: &Rules,
    memory: &mut Memory,
    seen: &Observation,
    look: &Look,
    trust: &Trust,
    now: Timestamp,
) -> Belief {
    memory.capacity.fade(memory.seconds_since_turn(now), now);
    let fresh = count(rules, memory, seen, look);
    if let Some(current) = seen.target.current {
        memory.effect.watch(now, current);
    }
    if fresh {
        watch_move(rules, memory, seen, look);
    }
    let patience = (4.0 * memory.cost.raise_seconds()).max(300.0);
    let moving = (memory.cost.under_way() || memory.unsettled_since.is_some())
        && lasted(memory.unsettled_since, now) < patience
        && memory.last_move.is_some_and(|last| last.seconds_ago(now) < patience);
    if moving || !is_stable(seen) {
        memory.age.disturb();
    } else if fresh && let Some(age) = look.pressing() {
        memory.age.push(now, age);
    }
    let usable = !trust.is_blind();
    let known = |figure: Option<f64>| figure.filter(|_| usable);
    let rate = known(arrivals(rules, memory, look, now));
    let overdue = usable && look.overdue(rules.window().as_secs_f64()) == Some(true);
    since(&mut memory.overdue_since, overdue, now);
    let (reach, tuning) = (horizon(rules, memory), Tuning::of(rules));
    let anticipated = rate.map(|rate| {
        let drift = memory.rate.drift();
        memory.margin.bound(&tuning, (rate, drift), reach, now)
    });
    let division = seen.target.binding.as_ref().map_or(Division::Partitions, |binding| binding.division);
    let fill = seen.target.binding.as_ref().and_then(|binding| binding.fill);
    let ladder = Ladder::of(rules, look, division).filling(fill);
    // What lies in which partition tells nothing of work that is divided anew.
    let by_partitions = division == Division::Partitions && !ladder.is_of_tasks();
    let share = known(look.busiest_share());
    let smoothed = match (memory.rate.share, share) {
        (Some(before), Some(now)) => Some(before + SHARE_WEIGHT * (now - before)),
        (kept, None) | (None, kept) => kept,
    };
    if fresh {
        memory.rate.share = smoothed;
    }
    let mut belief = Belief {
        rate,
        anticipated,
        sizing_rate: anticipated.map(|rate| rate.max(memory.rate.surge().unwrap_or(0.0))),
        backlog: known(look.backlog()),
        backlog_before: known(look.backlog_before()),
        sizing_backlog: known(look.sizing_backlog()),
        age: known(look.age()),
        trend: memory.age.trend(now).filter(|_| usable),
        overdue,
        capacity: Capacity {
            spare: memory.batches.least(),
            ..memory.capacity.capacity(rules.capacity_per_replica)
        },
        working: memory.rate.per_replica(COUNTED_FROM),
        raise_seconds: memory.cost.raise_seconds(),
        raise_stop: memory.cost.raise_stop(),
        lower_seconds: memory.cost.lower_seconds(),
        price: memory.cost.price(&tuning),
        tuning,
        ready_age: ready_age(rules, memory),
        ladder,
        busiest_share: if by_partitions { smoothed } else { Some(0.0) },
        unsettled: memory.unsettled_since.is_some() && lasted(memory.unsettled_since, now) < patience,
        moving,
        bound: memory.effect.bound(now).filter(|_| matches!(rules.objective, Objective::MaxLag { .. })),
        demand: known(look.demand),
        deepest: if by_partitions { look.deepest() } else { 0.0 },
    };
    if fresh {
        note_holds(rules, memory, &belief, now);
    }
    let late = late(rules, memory);
    if late > 0.0
        && let Some(waits) = by_now(memory, &belief, late, now)
    {
        belief.sizing_backlog = Some(waits);
        belief.age = belief.rate.filter(|rate| *rate > 0.0).map(|rate| waits / rate);
    }
    belief
}

/// Takes note of which sizes would do for what has arrived.
fn note_holds(rules: &Rules, memory: &mut Memory, belief: &Belief, now: Timestamp) {
    let seconds_since = memory.seconds_since_turn(now);
    // What was counted; or where nobody counts, the rate since the last turn.
    let told =
        || belief.rate.map(|rate| (seconds_since, rate * seconds_since)).filter(|_| seconds_since > 0.0);
    let Some((seconds, records)) = memory.rate.latest_sample().or_else(told) else { return };
    let Some(capacity) = belief.capacity.for_less().map(|one| one * belief.tuning.utilization) else {
        return;
    };
    let arrived = Arrived {
        seconds,
        records,
        allowed: belief.ready_age,
        backlog: belief.sizing_backlog.unwrap_or(f64::INFINITY),
        stop: (belief.lower_seconds - belief.ready_age / 2.0)
            .max(0.0)
            .min(0.75 * belief.tuning.usable * rules.window().as_secs_f64()),
        usable: belief.tuning.usable * rules.window().as_secs_f64(),
    };
    let least = rules.min_replicas.0.max(1);
    let sizes = belief.ladder.sizes(least, rules.max_replicas.0, holds::SIZES);
    memory.holds.note(
        now,
        arrived,
        sizes.into_iter().map(|size| (size, size::together(belief, size, capacity))),
    );
}

/// The arrivals: by what was counted lately, by the broker's window before anything was, and never less
/// than a metric says. Of an incomplete look, what is known of it where that is more.
fn arrivals(rules: &Rules, memory: &Memory, look: &Look, now: Timestamp) -> Option<f64> {
    let counted = memory.rate.arrivals(look_back(rules), now).or_else(|| look.window_rate());
    let partial = look
        .groups
        .iter()
        .filter_map(|group| Some(group.arrived? / group.over?))
        .reduce(|a, b| a + b)
        .filter(|_| !look.complete);
    most(most(counted, partial), look.metric_rate)
}

/// Takes the look's counts into the memory, unless it was seen before. Says whether it was new.
fn count(rules: &Rules, memory: &mut Memory, seen: &Observation, look: &Look) -> bool {
    let Some(sampled) = seen.sources.iter().map(SourceReading::sampled_at).max() else { return false };
    if !look.complete || memory.looked_at.is_some_and(|before| sampled <= before) {
        return false;
    }
    memory.looked_at = Some(sampled);
    let ready = seen.target.ready;
    let calm = is_stable(seen) && seen.target.settled && ready.is_some() && ready == memory.ready;
    memory.steady_looks = if calm { memory.steady_looks.saturating_add(1) } else { 0 };
    memory.ready = ready;
    let sum = |figure: fn(&super::look::Group) -> Option<f64>| {
        look.groups.iter().map(figure).try_fold(0.0, |sum, one| Some(sum + one?))
    };
    let over = look.groups.iter().filter_map(|group| group.over).reduce(f64::max);
    if let (Some(seconds), Some(arrived)) = (over, sum(|group| group.arrived)) {
        // A late look tells of replicas that were there that long ago.
        let steady = f64::from(memory.steady_looks) >= 2.0 + late(rules, memory) / seconds;
        let replicas = look.at_work().or(ready).filter(|ready| ready.0 > 0 && steady);
        let per_replica = sum(|group| group.consumed).zip(replicas).map(|(all, by)| all / by.as_f64());
        memory.rate.push(Sample { at: sampled, seconds, arrived, per_replica });
    }
    true
}

fn is_stable(seen: &Observation) -> bool {
    seen.sources.iter().all(|source| match source {
        SourceReading::Backlog(reading) => reading.group == GroupState::Stable,
        SourceReading::Metric(_) => true,
    })
}

/// Whether consumers are told to stop. An engine that works in batches goes on while executors come and go: its batch
/// under way only says nothing of their number.
fn stands_still(seen: &Observation) -> bool {
    seen.sources.iter().any(|source| match source {
        SourceReading::Backlog(reading) => match reading.group {
            GroupState::Stable => false,
            GroupState::Rebalancing => reading.streaming.is_none(),
            GroupState::Empty | GroupState::Dead | GroupState::Unknown => true,
        },
        SourceReading::Metric(_) => false,
    })
}

/// Watches a move: whether every replica is there, work goes on, and what processing was lost since the last
/// look.
fn watch_move(rules: &Rules, memory: &mut Memory, seen: &Observation, look: &Look) {
    if !memory.cost.under_way() {
        return;
    }
    let Some(sampled) = seen.sources.iter().map(SourceReading::sampled_at).max() else { return };
    let at_rest = seen.target.ready == Some(Replicas(0));
    let stable = is_stable(seen);
    let works = look
        .groups
        .iter()
        .all(|group| group.consumed.is_some_and(|consumed| consumed > 0.0) || group.lag == Some(0));
    let capacity = memory.capacity.capacity(rules.capacity_per_replica).mean;
    let serving = capacity.zip(seen.target.ready).map(|(one, ready)| one * ready.as_f64());
    let lost = if at_rest { 0.0 } else { look.lost(serving, stands_still(seen)) };
    let glance = Glance { settled: seen.target.settled, works: at_rest || (stable && works), lost, sampled };
    memory.cost.watch(glance, 4.0 * rules.interval.as_secs_f64());
    if memory.effect.is_doubtful() {
        // What is missing then is not lost to the move.
        memory.cost.give_up();
    }
}

/// Learns from a look what one replica can do.
pub(crate) fn learn(
    rules: &Rules,
    memory: &mut Memory,
    (seen, look): (&Observation, &Look),
    belief: &Belief,
    trust: &Trust,
    now: Timestamp,
) {
    if matches!(seen.target.hold, Some(TargetHold::RollingOut)) {
        memory.capacity.unsettle();
        memory.batches.unsettle();
        memory.effect.unsettle();
        return;
    }
    let hint = rules.capacity_per_replica;
    let latest = memory.rate.latest().filter(|_| *trust == Trust::Full);
    let Some((seconds, records)) = latest else {
        memory.capacity.not_busy();
        memory.effect.not_busy();
        return;
    };
    if let Some(rate) = memory.rate.per_replica(DEMONSTRATED_FROM) {
        memory.capacity.demonstrate(rate, hint);
    }
    learn_from_batches(rules, memory, look, belief, now);
    let grows = if look.saturated() && records > 0.0 {
        gains(rules, memory, (seen, look), belief, (seconds, records), now)
    } else {
        memory.effect.not_busy();
        true
    };
    if !grows {
        memory.capacity.not_busy();
    } else if let Some(busy) = look.busy_share.filter(|busy| (BUSY_FROM..=1.0).contains(busy)) {
        memory.capacity.busy(seconds, records / busy, hint);
    } else if look.saturated() && records > 0.0 {
        memory.capacity.busy(seconds, records, hint);
    } else {
        memory.capacity.not_busy();
    }
}

/// Learns from batches with time to spare what one replica could do.
fn learn_from_batches(rules: &Rules, memory: &mut Memory, look: &Look, belief: &Belief, now: Timestamp) {
    if belief.moving || memory.steady_looks == 0 {
        memory.batches.disturb();
        return;
    }
    let (fill, allowed) = (belief.tuning.utilization, rules.window().as_secs_f64());
    let one = memory
        .rate
        .usual_per_replica(COUNTED_FROM)
        .and_then(|rate| batches::per_replica(look, rate, fill, allowed));
    if let Some(one) = one {
        memory.batches.push(now, one);
    }
}

/// Whether more replicas still do more, by what so many processed in a busy look. Not asked where the size follows
/// from the backlog alone.
fn gains(
    rules: &Rules,
    memory: &mut Memory,
    (seen, look): (&Observation, &Look),
    belief: &Belief,
    (seconds, records): (f64, f64),
    now: Timestamp,
) -> bool {
    if !matches!(rules.objective, Objective::MaxLag { .. }) {
        return true;
    }
    let at_work = look.at_work().or(seen.target.ready);
    let Some((size, one)) = at_work.zip(belief.capacity.mean) else { return true };
    let sizes: Vec<(u32, f64)> = belief
        .ladder
        .sizes(rules.min_replicas.0.max(1), rules.max_replicas.0, holds::SIZES)
        .into_iter()
        .map(|size| (size, size::together(belief, size, one)))
        .collect();
    memory.effect.busy(now, size, (seconds, records * size.as_f64()), &sizes)
}
