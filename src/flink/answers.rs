//! The shapes of a JobManager's answers, as far as we read them: the same in Flink 1.18 to 2.3.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

/// `/overview`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Overview {
    pub(crate) taskmanagers: u32,
    pub(crate) slots_total: u32,
    pub(crate) slots_available: u32,
    pub(crate) flink_version: String,
}

/// `/taskmanagers`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct TaskManagers {
    pub(crate) taskmanagers: Vec<TaskManager>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TaskManager {
    /// `taskmanager.resource-id`, or else made of its host, port and chance.
    pub(crate) id: String,
    /// Where it is to be reached.
    pub(crate) path: String,
    pub(crate) slots_number: u32,
    pub(crate) free_slots: u32,
}

/// `/jobs/overview`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Jobs {
    pub(crate) jobs: Vec<JobLine>,
}

/// One line of it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct JobLine {
    pub(crate) jid: String,
    pub(crate) name: String,
    pub(crate) state: String,
}

/// `/jobs/:id`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Job {
    pub(crate) jid: String,
    pub(crate) state: String,
    /// Milliseconds since 1970, by the JobManager's clock.
    pub(crate) now: i64,
    /// When the job last came into each state; 0 where it never has.
    pub(crate) timestamps: BTreeMap<String, i64>,
    pub(crate) vertices: Vec<Vertex>,
    pub(crate) plan: Plan,
}

/// One vertex of a job.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Vertex {
    pub(crate) id: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) slot_sharing_group_id: String,
    pub(crate) max_parallelism: i64,
    pub(crate) parallelism: u32,
    pub(crate) status: String,
    pub(crate) metrics: Counters,
}

/// What the tasks of a vertex have counted since they were started.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Counters {
    pub(crate) read_records: u64,
    pub(crate) read_records_complete: bool,
    pub(crate) write_records: u64,
    pub(crate) write_records_complete: bool,
    /// Milliseconds, summed over the tasks; `None` where Flink says that this is not a number.
    #[serde(default, deserialize_with = "number")]
    pub(crate) accumulated_busy_time: Option<f64>,
    #[serde(default, deserialize_with = "number")]
    pub(crate) accumulated_idle_time: Option<f64>,
    #[serde(default, deserialize_with = "number")]
    pub(crate) accumulated_backpressured_time: Option<f64>,
}

/// Flink writes what is not a number as a text.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(value.as_f64().filter(|value| value.is_finite() && *value >= 0.0))
}

/// The job's graph.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Plan {
    pub(crate) nodes: Vec<Node>,
}

/// One vertex in it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Node {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) inputs: Vec<Input>,
}

/// How records come to a vertex from another.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Input {
    /// The other.
    pub(crate) id: String,
    /// `HASH`, `REBALANCE`, `RESCALE`, `FORWARD`, `BROADCAST`, `GLOBAL`, `CUSTOM` or `SHUFFLE`.
    #[serde(default)]
    pub(crate) ship_strategy: String,
}

impl Plan {
    /// Every vertex that records come to, with each way that they come.
    pub(crate) fn edges(&self) -> impl Iterator<Item = (&Node, &Input)> {
        self.nodes.iter().flat_map(|node| node.inputs.iter().map(move |input| (node, input)))
    }
}

/// `/jobs/:id/resource-requirements`: the parallelism asked for, by vertex.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Requirements(pub(crate) BTreeMap<String, Requirement>);

/// What is asked for one vertex.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Requirement {
    pub(crate) parallelism: Bounds,
}

/// The least and the most parallelism of a vertex.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Bounds {
    pub(crate) lower_bound: u32,
    pub(crate) upper_bound: u32,
}

/// `/jobs/:id/checkpoints`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Checkpoints {
    pub(crate) counts: Counts,
    pub(crate) latest: Latest,
}

/// How many there were in this life of the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) struct Counts {
    pub(crate) in_progress: u64,
    pub(crate) completed: u64,
    pub(crate) failed: u64,
}

/// The latest checkpoints.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Latest {
    pub(crate) completed: Option<Completed>,
    pub(crate) restored: Option<Restored>,
}

/// The latest one that was completed.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Completed {
    /// Milliseconds since 1970, by the JobManager's clock.
    pub(crate) trigger_timestamp: i64,
    /// Milliseconds.
    pub(crate) end_to_end_duration: i64,
}

/// The latest one that tasks were started from.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Restored {
    /// When they were, in milliseconds since 1970 by the JobManager's clock.
    pub(crate) restore_timestamp: i64,
}

/// `POST /jobs/:id/checkpoints`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Triggered {
    pub(crate) request_id: String,
}

/// `/jobs/:id/checkpoints/:request`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Progress {
    pub(crate) status: Status,
}

/// How far it is: `IN_PROGRESS` or `COMPLETED`, the latter also where it has failed.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Status {
    pub(crate) id: String,
}

/// `/jobs/:id/checkpoints/config`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct CheckpointConfig {
    /// Milliseconds; a huge number where there are none.
    pub(crate) interval: i64,
}

/// `/jobs/:id/jobmanager/config` and `/jobmanager/config`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(from = "Vec<Setting>")]
pub(crate) struct Config(BTreeMap<String, String>);

#[derive(Deserialize)]
struct Setting {
    key: String,
    value: String,
}

impl From<Vec<Setting>> for Config {
    fn from(settings: Vec<Setting>) -> Self {
        Self(settings.into_iter().map(|setting| (setting.key, setting.value)).collect())
    }
}

impl Config {
    /// What one option says, where it is set.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }
}

/// The name of one metric.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Name {
    pub(crate) id: String,
}

/// One metric over all subtasks, by its greatest value.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Greatest {
    pub(crate) id: String,
    #[serde(default, deserialize_with = "number")]
    pub(crate) max: Option<f64>,
}

/// One metric over all subtasks, by its greatest value and the mean.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Spread {
    #[serde(default, deserialize_with = "number")]
    pub(crate) max: Option<f64>,
    #[serde(default, deserialize_with = "number")]
    pub(crate) avg: Option<f64>,
}

/// One metric over all subtasks, by its sum; with the mean, it tells over how many.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Summed {
    pub(crate) id: String,
    #[serde(default, deserialize_with = "number")]
    pub(crate) sum: Option<f64>,
    #[serde(default, deserialize_with = "number")]
    pub(crate) avg: Option<f64>,
}

/// `/jobs/:id/exceptions`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Exceptions {
    pub(crate) exception_history: History,
}

/// The failures that restarted a job, the latest first.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct History {
    pub(crate) entries: Vec<Failure>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Failure {
    /// Its Java class.
    pub(crate) exception_name: String,
    /// Milliseconds since 1970, by the JobManager's clock.
    pub(crate) timestamp: i64,
}
