//! What one look at a job showed, and what follows from it: pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::answers::{
    Checkpoints, Config, Counters, Failure, Job, Overview, Requirement, Requirements, Summed, Vertex,
};
use super::rescales::Rescale;
use super::resource::{Overrides, Resource, autoscaler};
use super::work::Work;

mod buffers;
mod checkpoints;
mod deployed;
mod skew;
mod taskmanagers;
mod whole;

pub(super) use self::skew::skew;
pub(crate) use self::whole::Manner;

/// The first Flink that takes other resource requirements for a running job.
const LEAST_VERSION: (u32, u32) = (1, 18);
/// Seconds that the adaptive scheduler rests after a rescale unless it is told otherwise.
const COOLDOWN: f64 = 30.0;
/// What the tasks' clocks are called among their metrics: busy, idle, backpressured.
pub(super) const CLOCKS: [&str; 3] =
    ["accumulateBusyTimeMs", "accumulateIdleTimeMs", "accumulateBackPressuredTimeMs"];
/// Seconds for which a failure counts as the cause of what a job is going through.
const OF_LATE: f64 = 300.0;

/// One look at a job.
#[derive(Debug, Clone)]
pub(crate) struct Sight {
    /// When the look began.
    pub(crate) at: Timestamp,
    /// When the counters and positions were last seen to move: JobManagers ask their tasks only now and then.
    pub(crate) fresh_at: Timestamp,
    pub(super) version: String,
    pub(super) overview: Overview,
    pub(super) job: Job,
    /// What is asked for each vertex, or why that cannot be told.
    pub(super) requirements: Result<Requirements, String>,
    pub(super) config: Config,
    /// Milliseconds between checkpoints.
    pub(super) interval: Option<i64>,
    /// What it tells of them; `None` where it takes none.
    pub(super) checkpoints: Option<Checkpoints>,
    /// The last rescale that was asked for, where the JobManager tells of them.
    pub(super) rescale: Option<Rescale>,
    /// What last restarted the job, where it does not work now.
    pub(super) failure: Option<Failure>,
    /// Offset of the next record of each partition, by [`topic_key`].
    pub(super) positions: BTreeMap<(String, i32), i64>,
    /// Kafka partitions that each source vertex reads, by its id.
    pub(super) partitions: BTreeMap<String, u32>,
    /// How many times as busy as all of its tasks on average the busiest one of a vertex is, by its id, where that is
    /// known.
    pub(super) skews: BTreeMap<String, f64>,
    /// What its vertices were seen to do until now.
    pub(super) work: Work,
    /// The operator's object that the job belongs to, as it stood just before.
    pub(super) resource: Option<Arc<Resource>>,
}

/// What a job is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Every task of every vertex works.
    Running,
    /// It is being started, restarted or rescaled.
    Passing(String),
    /// Somebody is stopping it, or has.
    Ending(String),
}

/// A topic as metric names spell it: Flink replaces what separates their parts.
fn topic_key(topic: &str) -> String {
    topic.replace(['.', ':', ',', ' '], "_")
}

/// Topic and partition of a Kafka source's metric for its position.
pub(super) fn position_of(metric: &str) -> Option<(String, i32)> {
    let rest = metric.strip_suffix(".currentOffset")?;
    let rest = rest.split_once("KafkaSourceReader.")?.1;
    let rest = rest.get(rest.find("topic.")? + "topic.".len()..)?;
    let (topic, partition) = rest.rsplit_once(".partition.")?;
    Some((topic_key(topic), partition.parse().ok()?))
}

impl Sight {
    /// What the job is doing.
    pub(crate) fn phase(&self) -> Phase {
        match self.job.state.as_str() {
            "RUNNING" => {
                let waiting = self
                    .job
                    .vertices
                    .iter()
                    .find(|vertex| !matches!(vertex.status.as_str(), "RUNNING" | "FINISHED"));
                match waiting {
                    None => Phase::Running,
                    Some(vertex) => {
                        Phase::Passing(self.because(&format!("{} is {}", vertex.name, vertex.status)))
                    }
                }
            }
            state @ ("CREATED" | "INITIALIZING" | "RESTARTING" | "RECONCILING" | "FAILING") => {
                Phase::Passing(self.because(&format!("the job is {state}")))
            }
            state => Phase::Ending(format!("the job is {state}")),
        }
    }

    /// What is going on, with the failure that led to it where there is one of late.
    fn because(&self, what: &str) -> String {
        let of_late = |failure: &&Failure| millis(self.job.now.saturating_sub(failure.timestamp)) < OF_LATE;
        match self.failure.as_ref().filter(of_late) {
            Some(failure) => format!("{what} after {}", failure.exception_name),
            None => what.to_owned(),
        }
    }

    /// The same tasks as `other`: counters of others cannot be compared.
    pub(crate) fn same_attempt(&self, other: &Self) -> bool {
        let started = |sight: &Self| sight.job.timestamps.get("RUNNING").copied();
        self.job.jid == other.job.jid && started(self) == started(other)
    }

    /// What stands in the way of moving the job at all, in words.
    pub(crate) fn unfit(&self) -> Option<String> {
        if version(&self.version).is_none_or(|version| version < LEAST_VERSION) {
            return Some(format!("Flink {} cannot rescale a running job: 1.18 or later can", self.version));
        }
        if self.is_reactive() {
            return Some("reactive mode takes all slots there are: move the TaskManagers instead".to_owned());
        }
        if let Some(scheduler) = self.config.get("jobmanager.scheduler")
            && !scheduler.eq_ignore_ascii_case("adaptive")
        {
            return Some(format!(
                "jobmanager.scheduler is {scheduler}: only adaptive rescales a running job"
            ));
        }
        match &self.requirements {
            Err(problem) => Some(problem.clone()),
            Ok(asked) => {
                let unknown = self.job.vertices.iter().find(|vertex| !asked.0.contains_key(&vertex.id));
                unknown.map(|vertex| format!("nothing is said of what {} may have", vertex.name))
            }
        }
    }

    /// Flink's own autoscaler, where the configuration has switched it on and lets it act.
    pub(crate) fn rival(&self) -> Option<String> {
        let on = autoscaler(|key| self.config.get(key))?;
        Some(format!("Flink's autoscaler ({on}: true)"))
    }

    /// Seconds since the job came into its state of work, by the JobManager's clock.
    pub(super) fn runs_for(&self) -> f64 {
        let since = self.job.timestamps.get("RUNNING").copied().filter(|at| *at > 0);
        since.map_or(0.0, |since| millis(self.job.now.saturating_sub(since)))
    }

    /// Seconds for which the adaptive scheduler still rests after its last rescale; 0 where it does not.
    pub(crate) fn cooldown(&self) -> f64 {
        let keys = [
            "jobmanager.adaptive-scheduler.executing.cooldown-after-rescaling",
            "jobmanager.adaptive-scheduler.scaling-interval.min",
        ];
        let set = keys.iter().find_map(|key| self.config.get(key)).and_then(duration);
        let since = self.job.timestamps.get("RUNNING").copied().filter(|at| *at > 0);
        let rested = since.map_or(f64::INFINITY, |since| millis(self.job.now.saturating_sub(since)));
        (set.unwrap_or(COOLDOWN) - rested).max(0.0)
    }

    /// Seconds that the last rescale that was asked for took, and seconds of them in which no task worked, as the
    /// JobManager has it: the last one since `since`, in milliseconds of its clock.
    pub(crate) fn rescaled_since(&self, since: i64) -> Option<(f64, f64)> {
        self.rescale.as_ref().filter(|rescale| rescale.began() >= since)?.took()
    }

    /// Whether every vertex has what is asked for it.
    pub(crate) fn reached(&self) -> bool {
        self.requirements.as_ref().is_ok_and(|asked| {
            self.job.vertices.iter().all(|vertex| {
                asked.0.get(&vertex.id).is_some_and(|one| one.parallelism.upper_bound == vertex.parallelism)
            })
        })
    }

    /// Whether the resource manager starts TaskManagers itself, as on native Kubernetes.
    pub(crate) fn makes_slots(&self) -> bool {
        self.config.get("kubernetes.cluster-id").is_some() || self.config.get("yarn.application.id").is_some()
    }

    /// What names a vertex in `exclude` that the job does not have.
    pub(crate) fn strangers(&self, exclude: &[String]) -> Vec<String> {
        let known = |name: &&String| {
            self.job.vertices.iter().any(|vertex| vertex.name == **name || vertex.id == **name)
        };
        exclude.iter().filter(|name| !known(name)).cloned().collect()
    }

    /// What a write is fenced with: the job's id, and the requirements in force.
    pub(crate) fn version(&self) -> Option<(String, String)> {
        let asked = self.requirements.as_ref().ok()?;
        Some((self.job.jid.clone(), asked.version()))
    }

    /// The operator's object that the job belongs to.
    pub(crate) fn resource(&self) -> Option<&Arc<Resource>> {
        self.resource.as_ref()
    }

    /// One life of a job, from its submission to its end: a rescale goes on with it, a redeploy or the loss of the
    /// JobManager begins another, which knows no requirements of the one before.
    pub(crate) fn life(&self) -> (&str, Option<i64>) {
        (&self.job.jid, self.job.timestamps.get("INITIALIZING").copied())
    }

    /// Whether the JobManager is known to have the adaptive scheduler.
    pub(crate) fn is_adaptive(&self) -> bool {
        self.config.get("jobmanager.scheduler").is_some_and(|is| is.eq_ignore_ascii_case("adaptive"))
    }

    /// What `kept` says of this job's vertices and is more than what is asked for them now, as far as it can be had:
    /// requirements that give it back. `None` where nothing is lost.
    pub(crate) fn given_back(&self, kept: &Overrides) -> Option<Requirements> {
        let most = self.feasible(&Manner::default()).map_or(u32::MAX, |most| most.0);
        let mut asked = self.requirements.as_ref().ok()?.clone();
        let before = asked.clone();
        for vertex in &self.job.vertices {
            let Some(kept) = kept.get(&vertex.id) else { continue };
            let bounds = &mut asked.0.get_mut(&vertex.id)?.parallelism;
            bounds.upper_bound = bounds.upper_bound.max((*kept).min(most).min(most_of(vertex)));
        }
        (asked != before).then_some(asked)
    }

    /// Offset of the next record of a partition that is not processed: as the source says, less what stands in buffers
    /// behind it. `None` where it does not.
    pub(crate) fn position(&self, topic: &str, partition: i32) -> Option<i64> {
        let read = *self.positions.get(&(topic_key(topic), partition))?;
        Some(read.saturating_sub(self.under_way_each()).max(0))
    }

    /// Whether any position is known.
    pub(crate) fn has_positions(&self) -> bool {
        !self.positions.is_empty()
    }

    /// The share of time that the tasks of the busiest vertex were busy since `before`, and its name; where its keys lie
    /// unevenly, that of its busiest task ([`Self::unevenness`]). Timed by the tasks' own clocks: busy, idle and
    /// backpressured time make up all of it. `None` while any vertex has not told all of its counters: it may be the
    /// busiest.
    pub(crate) fn busy_since(&self, before: &Self) -> Option<(f64, &str)> {
        if self.reticent().is_some() || !before.leads_to(self) {
            return None;
        }
        let shares = self.job.vertices.iter().filter_map(|vertex| {
            let then = before.job.vertices.iter().find(|other| other.id == vertex.id)?;
            let share = share(&then.metrics, &vertex.metrics)?;
            Some(((share * self.unevenness(vertex)).min(1.0).max(share), vertex.name.as_str()))
        });
        shares.max_by(|one, other| one.0.total_cmp(&other.0))
    }

    /// A vertex some of whose tasks have not told their counters.
    pub(crate) fn reticent(&self) -> Option<&str> {
        let reticent = self.job.vertices.iter().find(|vertex| !vertex.metrics.are_complete());
        reticent.map(|vertex| vertex.name.as_str())
    }

    /// Whether the counters of `self` can be held against later ones, such as those of `later`: all tasks have told
    /// theirs, and none of them has been counted anew since.
    pub(crate) fn leads_to(&self, later: &Self) -> bool {
        let told = |sight: &Self| sight.reticent().is_none();
        let goes_on = |vertex: &Vertex| {
            let now = later.job.vertices.iter().find(|other| other.id == vertex.id);
            now.is_some_and(|now| {
                now.parallelism == vertex.parallelism && vertex.metrics.lead_to(&now.metrics)
            })
        };
        self.same_attempt(later) && told(self) && (!told(later) || self.job.vertices.iter().all(goes_on))
    }

    /// Whether any counter or position has moved since `before`.
    pub(super) fn is_news(&self, before: &Self) -> bool {
        let counters = |sight: &Self| -> Vec<Counters> {
            sight.job.vertices.iter().map(|vertex| vertex.metrics).collect()
        };
        !self.same_attempt(before) || self.positions != before.positions || counters(self) != counters(before)
    }
}

/// The busy share of the time between two readings of one vertex's counters. While a task waits for those after it,
/// Flink moves up to a second to and fro between busy and backpressured: less of either than before is none.
fn share(then: &Counters, now: &Counters) -> Option<f64> {
    let all = now.time_since(then)?;
    let busy = now.busy_since(then)?;
    (all > 0.0).then(|| busy / all)
}

fn since(now: Option<f64>, then: Option<f64>) -> Option<f64> {
    Some((now? - then?).max(0.0))
}

impl Counters {
    /// The clocks as the tasks' own metrics have them, where all of `parallelism` tasks have told theirs.
    pub(super) fn by_tasks(&mut self, metrics: &[Summed], parallelism: u32) {
        let find = |name: &str| metrics.iter().find(|metric| metric.id == name);
        let [busy, idle, waiting] = CLOCKS.map(find);
        let (Some(busy), Some(idle), Some(waiting)) = (busy, idle, waiting) else { return };
        let all = |part: fn(&Summed) -> Option<f64>| Some(part(busy)? + part(idle)? + part(waiting)?);
        let (Some(sum), Some(mean)) = (all(|metric| metric.sum), all(|metric| metric.avg)) else { return };
        if mean > 0.0 && (sum / mean - f64::from(parallelism)).abs() < 0.01 {
            self.accumulated_busy_time = busy.sum;
            self.accumulated_idle_time = idle.sum;
            self.accumulated_backpressured_time = waiting.sum;
            (self.read_records_complete, self.write_records_complete) = (true, true);
        }
    }

    /// Milliseconds that the tasks were busy since `then`, together.
    pub(super) fn busy_since(&self, then: &Self) -> Option<f64> {
        since(self.accumulated_busy_time, then.accumulated_busy_time)
    }

    /// Milliseconds that passed on the tasks' clocks since `then`, together.
    pub(super) fn time_since(&self, then: &Self) -> Option<f64> {
        let idle = since(self.accumulated_idle_time, then.accumulated_idle_time)?;
        let waiting = since(self.accumulated_backpressured_time, then.accumulated_backpressured_time)?;
        Some(self.busy_since(then)? + idle + waiting)
    }

    /// Every task has told its own.
    pub(super) fn are_complete(&self) -> bool {
        self.read_records_complete && self.write_records_complete
    }

    /// All time that its tasks have counted.
    fn time(&self) -> Option<f64> {
        let rest = self.accumulated_idle_time? + self.accumulated_backpressured_time?;
        Some(self.accumulated_busy_time? + rest)
    }

    /// The clocks have not gone back since, and none has come up that was no number before: a task that is being
    /// started has no busy time yet.
    fn lead_to(&self, later: &Self) -> bool {
        later.time().is_none_or(|now| self.time().is_some_and(|then| now >= then))
    }
}

impl Requirements {
    /// What a redeploy is to start with: the most that each vertex may have.
    pub(crate) fn overrides(&self) -> Overrides {
        self.0.iter().map(|(vertex, asked)| (vertex.clone(), asked.parallelism.upper_bound)).collect()
    }

    /// One text for one set of requirements.
    pub(super) fn version(&self) -> String {
        let one = |(vertex, asked): (&String, &Requirement)| {
            format!("{vertex}:{}-{}", asked.parallelism.lower_bound, asked.parallelism.upper_bound)
        };
        self.0.iter().map(one).collect::<Vec<_>>().join(",")
    }
}

/// The parallelism that a vertex cannot exceed.
fn most_of(vertex: &Vertex) -> u32 {
    u32::try_from(vertex.max_parallelism).ok().filter(|most| *most > 0).unwrap_or(u32::MAX)
}

pub(super) fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split(['.', '-']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn millis(count: i64) -> f64 {
    std::time::Duration::from_millis(u64::try_from(count).unwrap_or(0)).as_secs_f64()
}

/// Seconds of a duration as Flink's options spell it: `30 s`, `500 ms`, `1min`, `PT30S`.
fn duration(text: &str) -> Option<f64> {
    let text = text.trim();
    if text.starts_with(['P', 'p']) {
        return text.parse::<jiff::SignedDuration>().ok().map(|span| span.as_secs_f64());
    }
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let count: f64 = text.get(..digits)?.parse().ok()?;
    let unit = match text.get(digits..)?.trim() {
        "" | "ms" | "milli" | "millis" | "millisecond" | "milliseconds" => 1e-3,
        "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
        "m" | "min" | "minute" | "minutes" => 60.0,
        "h" | "hour" | "hours" => 3600.0,
        "d" | "day" | "days" => 86_400.0,
        _ => return None,
    };
    Some(count * unit)
}

#[cfg(test)]
impl Sight {
    /// The same of a job whose sources tell no positions.
    pub(crate) fn without_positions(self) -> Self {
        Self { positions: BTreeMap::new(), ..self }
    }

    /// The same of a job that has just told nothing but zeros.
    pub(crate) fn without_counters(mut self) -> Self {
        for vertex in &mut self.job.vertices {
            vertex.metrics.read_records_complete = false;
            vertex.metrics.accumulated_busy_time = Some(0.0);
        }
        self
    }

    /// The same of a job whose tasks' busy time is not a number.
    pub(crate) fn without_busy_time(mut self) -> Self {
        for vertex in &mut self.job.vertices {
            vertex.metrics.accumulated_busy_time = None;
        }
        self
    }

    /// Two seconds later, with so many milliseconds of each vertex's tasks busy in each.
    pub(crate) fn later(&self, busy: [f64; 2]) -> Self {
        let mut after = self.clone();
        for (vertex, busy) in after.job.vertices.iter_mut().zip(busy) {
            let add = |time: &mut Option<f64>, more: f64| *time = time.map(|time| time + more);
            add(&mut vertex.metrics.accumulated_busy_time, 2.0 * busy);
            add(&mut vertex.metrics.accumulated_idle_time, 2.0 * (1000.0 - busy));
        }
        after
    }
}

#[cfg(test)]
pub(crate) mod tests;
