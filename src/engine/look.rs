//! One observation boiled down to the figures that the stages work with.

use super::observation::{
    BacklogReading, Meaning, MetricReading, Observation, PartitionReading, SourceReading,
};
use crate::policy::units::{Replicas, records_covering, records_f64};

/// Tasks beyond so many bound nobody.
const MOST_TASKS: u32 = 100_000;

/// Ages that can be, in seconds: up to three centuries.
const PLAUSIBLE_AGES: std::ops::RangeInclusive<f64> = 0.0..=1e10;

/// One observation in figures. `None` is unknown, never zero.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Look {
    /// Whether every source told all of its figures: see [`super::trust::Told`].
    pub(crate) complete: bool,
    /// One entry per consumer group.
    pub(crate) groups: Vec<Group>,
    /// Records per second that arrive, by metrics.
    pub(crate) metric_rate: Option<f64>,
    /// Unprocessed records, by metrics.
    pub(crate) metric_backlog: Option<f64>,
    /// Age of the oldest record in seconds, by metrics.
    pub(crate) metric_age: Option<f64>,
    /// Share of time that the replicas are busy, by metrics.
    pub(crate) busy_share: Option<f64>,
    /// Replicas that somebody else has worked out, by metrics.
    pub(crate) demand: Option<f64>,
}

/// One consumer group in figures.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Group {
    /// Partitions of all topics.
    pub(crate) partitions: u32,
    /// Those of them whose lag is known.
    pub(crate) known: u32,
    /// Whether a partition's age is no time that can be.
    pub(crate) impossible: bool,
    /// Partitions with lag that counts for the size.
    pub(crate) lagging: u32,
    /// Partitions with lag or arrivals.
    pub(crate) active: u32,
    /// Unprocessed records of the partitions that are known; `None` where none is.
    pub(crate) lag: Option<u64>,
    /// Those that count for the size.
    pub(crate) sizing_lag: Option<u64>,
    /// The most of those in one partition.
    pub(crate) deepest: u64,
    /// Seconds that arrivals and consumption were counted over.
    pub(crate) over: Option<f64>,
    /// Records that arrived in that time.
    pub(crate) arrived: Option<f64>,
    /// Records that were processed in that time.
    pub(crate) consumed: Option<f64>,
    /// Records per second that arrived within the window, as the broker's time index says.
    pub(crate) window_rate: Option<f64>,
    /// Whether the oldest unprocessed record is older than the window.
    pub(crate) overdue: Option<bool>,
    /// Whether every partition is known to hold nothing that old.
    pub(crate) in_time: bool,
    /// Age of the oldest unprocessed record, in seconds.
    pub(crate) age: Option<f64>,
    /// The same of the partitions that are being worked on: see [`pressing`].
    pub(crate) pressing: Option<f64>,
    /// The busiest partition's share of the arrivals.
    pub(crate) busiest_share: Option<f64>,
    /// Share of the active partitions whose consumers were certainly busy all the time.
    pub(crate) saturated_share: f64,
    /// Partitions that one replica works on at once; 0 where that is not known.
    pub(crate) slots: u32,
    /// Replicas that are at work, as the streaming engine says: one that is ready need not have joined yet.
    pub(crate) at_work: Option<u32>,
    /// Where work is done in batches, what is known of them. A look tells the pace of the last ones then.
    pub(crate) batches: Option<Batches>,
    /// Tasks that a batch is split into, where they are more than partitions.
    pub(crate) tasks: Option<u32>,
}

/// Batches in figures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Batches {
    /// Seconds between two triggers; 0: as soon as possible.
    pub(crate) trigger: f64,
    /// Seconds that the last one took.
    pub(crate) seconds: Option<f64>,
    /// Share of their time that the replicas have lately spent in its tasks.
    pub(crate) busy_share: Option<f64>,
}

impl Look {
    /// Boils an observation down. `busy_seconds`: see [`saturated`]. Whether it is complete is for trust to say.
    pub(crate) fn of(observation: &Observation, busy_seconds: f64) -> Self {
        let mut look = Self::default();
        for source in &observation.sources {
            match source {
                SourceReading::Backlog(reading) => look.groups.push(Group::of(reading, busy_seconds)),
                SourceReading::Metric(reading) => look.add(reading),
            }
        }
        look
    }

    fn add(&mut self, reading: &MetricReading) {
        let slot = match reading.means {
            Meaning::ArrivalRate => &mut self.metric_rate,
            Meaning::Backlog => &mut self.metric_backlog,
            Meaning::BacklogAge => &mut self.metric_age,
            Meaning::BusyShare => &mut self.busy_share,
            Meaning::Demand => &mut self.demand,
        };
        // Two metrics with one meaning: the larger one asks for more.
        *slot = most(*slot, reading.value.filter(|value| value.is_finite() && *value >= 0.0));
    }

    /// Unprocessed records: the groups' together, or the metric's where that is more.
    pub(crate) fn backlog(&self) -> Option<f64> {
        most(sum(self.groups.iter().map(|group| group.lag.map(records_f64))), self.metric_backlog)
    }

    /// Those that count for the size.
    pub(crate) fn sizing_backlog(&self) -> Option<f64> {
        most(sum(self.groups.iter().map(|group| group.sizing_lag.map(records_f64))), self.metric_backlog)
    }

    /// The largest backlog of one partition, of those that count for the size.
    pub(crate) fn deepest(&self) -> f64 {
        self.groups.iter().map(|group| records_f64(group.deepest)).fold(0.0, f64::max)
    }

    /// Unprocessed records of the groups at the start of the look.
    pub(crate) fn backlog_before(&self) -> Option<f64> {
        self.groups.iter().try_fold(0.0, |sum, group| {
            Some(sum + records_f64(group.lag?) + group.consumed? - group.arrived?)
        })
    }

    /// Age of the oldest unprocessed record, in seconds.
    pub(crate) fn age(&self) -> Option<f64> {
        self.groups.iter().fold(self.metric_age, |age, group| most(age, group.age))
    }

    /// Age of the oldest record that waits for a consumer at work, in seconds.
    pub(crate) fn pressing(&self) -> Option<f64> {
        self.groups.iter().fold(self.metric_age, |age, group| most(age, group.pressing))
    }

    /// Whether the oldest unprocessed record is older than `allowed` seconds.
    pub(crate) fn overdue(&self, allowed: f64) -> Option<bool> {
        let by_metric = self.metric_age.map(|age| age > allowed);
        self.groups.iter().map(|group| group.overdue).fold(by_metric, either)
    }

    /// Records per second of the groups over the broker's window.
    pub(crate) fn window_rate(&self) -> Option<f64> {
        sum(self.groups.iter().map(|group| group.window_rate))
    }

    /// Partitions of the widest group.
    pub(crate) fn partitions(&self) -> Option<u32> {
        self.groups.iter().map(|group| group.partitions).max()
    }

    /// Partitions with lag or arrivals, of the widest group.
    pub(crate) fn active(&self) -> Option<u32> {
        self.groups.iter().map(|group| group.active).max()
    }

    /// Partitions that one replica works on at once: the least of all groups, 1 where it is not known.
    pub(crate) fn slots(&self) -> u32 {
        self.groups.iter().map(|group| group.slots.max(1)).min().unwrap_or(1)
    }

    /// Tasks that a batch is split into, where they are more than partitions.
    pub(crate) fn tasks(&self) -> Option<u32> {
        self.groups.iter().filter_map(|group| group.tasks).max().map(|tasks| tasks.min(MOST_TASKS))
    }

    /// Whether work is done in batches.
    pub(crate) fn in_batches(&self) -> bool {
        self.groups.iter().any(|group| group.batches.is_some())
    }

    /// Replicas that are at work, where a streaming engine says so.
    pub(crate) fn at_work(&self) -> Option<Replicas> {
        self.groups.iter().filter_map(|group| group.at_work).max().map(Replicas)
    }

    /// The largest share of a group's arrivals that one partition brings.
    pub(crate) fn busiest_share(&self) -> Option<f64> {
        self.groups.iter().fold(None, |share, group| most(share, group.busiest_share))
    }

    /// Seconds of processing that were lost since the look before, where `serving` records per second are
    /// processed when nothing is in the way. Where nothing waits at the end, but for the next trigger, nothing is
    /// known to be lost; nor by batches that go on, for their pace is that of earlier ones.
    pub(crate) fn lost(&self, serving: Option<f64>, stopped: bool) -> f64 {
        let Some(over) = self.groups.iter().filter_map(|group| group.over).reduce(f64::max) else {
            return 0.0;
        };
        let consumed = sum(self.groups.iter().map(|group| group.consumed));
        let waits = self.sizing_backlog().unwrap_or(0.0);
        match (consumed, serving) {
            (Some(consumed), _) if consumed <= 0.0 && waits > 0.0 => over,
            _ if stopped => over,
            // Commits hide a little of what was done.
            (Some(consumed), Some(serving)) if !self.in_batches() && waits > 2.0 * serving => {
                let lost = over - consumed / serving;
                if lost > 0.1 * over { lost.min(over) } else { 0.0 }
            }
            _ => 0.0,
        }
    }

    /// Whether the consumers of practically all partitions were busy all the time.
    pub(crate) fn saturated(&self) -> bool {
        !self.groups.is_empty() && self.groups.iter().all(|group| group.saturated_share >= 0.8)
    }
}

impl Group {
    /// One pass over the partitions, for all that anybody wants to know: there may be thousands.
    pub(crate) fn of(reading: &BacklogReading, busy_seconds: f64) -> Self {
        let (over, window) = (reading.over_seconds, reading.window_seconds);
        let trigger = reading.streaming.as_ref().map_or(0.0, |streaming| streaming.trigger_seconds);
        let busy_seconds = busy_seconds + trigger;
        let mut group = Self { partitions: count(reading.partitions.len()), over, ..Self::default() };
        let (mut in_window, mut arrived, mut consumed) = (Sum::default(), Sum::default(), Sum::default());
        let (mut lag, mut age, mut pressed) = (Sum::default(), Oldest::default(), Oldest::default());
        let (mut overdue, mut in_time) = (Sum::default(), true);
        let (mut active, mut saturated_count, mut persistent, mut impossible) = (0, 0, false, false);
        for one in &reading.partitions {
            in_window.add(one.arrived_in_window);
            arrived.add(one.arrived);
            consumed.add(one.consumed);
            lag.add(one.lag);
            overdue.add(one.overdue.map(u64::from));
            in_time &= one.overdue.map_or(one.lag == Some(0), |overdue| !overdue);
            active += u32::from(some(one.lag) | some(one.arrived) | some(one.arrived_in_window));
            saturated_count += u32::from(over.is_some_and(|over| saturated(one, over, busy_seconds)));
            persistent |= one.persistent;
            impossible |= one.age_seconds.is_some_and(|age| !PLAUSIBLE_AGES.contains(&age));
            age.add(one.age_seconds);
            pressed.add(pressing(one, window));
        }
        let sizing = if persistent || trigger > 0.0 { sizing(reading, trigger / window) } else { lag };
        (group.known, group.lag) = (lag.known, lag.total());
        (group.sizing_lag, group.lagging, group.deepest) = (sizing.total(), sizing.filled, sizing.most);
        (group.overdue, group.in_time) = (overdue.total().map(|many| many > 0), in_time);
        (group.age, group.pressing, group.impossible) = (age.0, pressed.0, impossible);
        if over.is_some() {
            group.arrived = arrived.total().map(records_f64);
            group.consumed = consumed.total().map(records_f64);
        }
        group.window_rate = in_window.total().map(|records| records_f64(records) / window);
        group.busiest_share = in_window.busiest_share().or_else(|| arrived.busiest_share());
        group.active = active;
        if active > 0 {
            group.saturated_share = f64::from(saturated_count) / f64::from(active);
        }
        if let Some(streaming) = &reading.streaming {
            group.slots = streaming.slots_per_executor.unwrap_or(0);
            group.at_work = streaming.executors;
            group.batches = Some(Batches {
                trigger: streaming.trigger_seconds,
                seconds: streaming.batch.as_ref().and_then(|batch| batch.seconds),
                busy_share: streaming.busy_share,
            });
            group.tasks = streaming.tasks;
        }
        group
    }
}

/// Records of all partitions, as far as they are known, and the most of one.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    records: u64,
    most: u64,
    /// Partitions that are known, and those of them with any records.
    known: u32,
    filled: u32,
}

impl Sum {
    #[inline]
    fn add(&mut self, records: Option<u64>) {
        let Some(records) = records else { return };
        self.records = self.records.saturating_add(records);
        self.most = self.most.max(records);
        self.known += 1;
        self.filled += u32::from(records > 0);
    }

    /// `None` where nothing is known.
    fn total(self) -> Option<u64> {
        (self.known > 0).then_some(self.records)
    }

    /// The busiest partition's share; `None` where there are no records.
    fn busiest_share(self) -> Option<f64> {
        let total = self.total().filter(|total| *total > 0)?;
        Some(records_f64(self.most) / records_f64(total))
    }
}

/// The greatest of the ages that are known. What is no number stays only where it is the first: such ages are
/// [`Group::impossible`].
#[derive(Debug, Clone, Copy, Default)]
struct Oldest(Option<f64>);

impl Oldest {
    #[inline]
    fn add(&mut self, age: Option<f64>) {
        let Some(age) = age else { return };
        self.0 = Some(self.0.map_or(age, |oldest| if age > oldest { age } else { oldest }));
    }
}

fn some(figure: Option<u64>) -> bool {
    figure.is_some_and(|records| records > 0)
}

/// What counts for the size: nothing of a persistent lag, and not what waits for the next trigger.
fn sizing(reading: &BacklogReading, share: f64) -> Sum {
    let mut sizing = Sum::default();
    for one in &reading.partitions {
        sizing.add(sizing_lag(one).map(|lag| beyond(one, lag, share)));
    }
    sizing
}

/// The part of a partition's lag that waits for more than the next trigger: `share` of what arrived within the
/// window waits for that alone. Never 0 of something.
fn beyond(one: &PartitionReading, lag: u64, share: f64) -> u64 {
    if share <= 0.0 {
        return lag;
    }
    let waits = one.arrived_in_window.map_or(0.0, |arrived| records_f64(arrived) * share);
    records_covering(records_f64(lag) - waits).unwrap_or(lag).max(lag.min(1))
}

/// Whether a partition held at least `busy_seconds` worth of work at the end of a look, and half of that
/// at its start: more than commits in batches (every 5 s unless configured) leave behind while the consumer
/// keeps up. Its consumer can then not have been waiting for records.
fn saturated(one: &PartitionReading, over: f64, busy_seconds: f64) -> bool {
    let (Some(lag), Some(arrived), Some(consumed)) = (one.lag, one.arrived, one.consumed) else {
        return false;
    };
    let (end, worth) = (records_f64(lag), busy_seconds * records_f64(arrived.max(consumed)) / over);
    lag > 0 && end >= worth && end + records_f64(consumed) - records_f64(arrived) >= worth / 2.0
}

/// Age of a partition's oldest record, where its consumer is at work on it: as it was read, or what arrived
/// since, by the mean of the window. A partition that stands still would not move with more replicas
/// either; 0 then, as without a backlog. `None` where it cannot be told.
fn pressing(one: &PartitionReading, window: f64) -> Option<f64> {
    if sizing_lag(one)? == 0 || one.consumed? == 0 {
        return Some(0.0);
    }
    let arrived = one.arrived_in_window.filter(|arrived| *arrived > 0);
    one.age_seconds.or_else(|| one.overdue?.then_some(window)).or_else(|| {
        let lasts = records_f64(one.lag?) / records_f64(arrived?) * window;
        Some(lasts.min(window))
    })
}

fn sizing_lag(one: &PartitionReading) -> Option<u64> {
    if one.persistent { Some(0) } else { one.lag }
}

/// Whether any of what is known holds.
fn either(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a || b),
        (known, None) | (None, known) => known,
    }
}

/// The sum of what is known; `None` where nothing is.
fn sum(figures: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    figures.flatten().reduce(|a, b| a + b)
}

/// The larger of what is known.
pub(crate) fn most(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (known, None) | (None, known) => known,
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
