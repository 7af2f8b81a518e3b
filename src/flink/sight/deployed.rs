//! What a job runs with where no scheduler is asked: overrides of a deployment, TaskManagers of reactive mode.

use super::{Sight, most_of};
use crate::flink::Overrides;
use crate::flink::answers::Requirements;
use crate::policy::Replicas;

impl Sight {
    /// Whether the job takes every slot there is.
    pub(crate) fn is_reactive(&self) -> bool {
        self.config.get("scheduler-mode").is_some_and(|mode| mode.eq_ignore_ascii_case("reactive"))
    }

    /// Whether the JobManager takes requirements.
    pub(crate) fn has_requirements(&self) -> bool {
        self.requirements.is_ok()
    }

    /// What is asked for each vertex.
    pub(crate) fn requirements_in_force(&self) -> Option<&Requirements> {
        self.requirements.as_ref().ok()
    }

    /// Milliseconds since 1970, by the JobManager's clock.
    pub(crate) fn now(&self) -> i64 {
        self.job.now
    }

    /// When the job last failed, by the same clock, where it does not work now.
    pub(crate) fn failed_at(&self) -> Option<i64> {
        self.failure.as_ref().map(|failure| failure.timestamp)
    }

    /// The job's id.
    pub(crate) fn jid(&self) -> &str {
        &self.job.jid
    }

    /// What every vertex is deployed with: its override, or else what it has.
    pub(crate) fn deployment(&self, overrides: &Overrides) -> Overrides {
        let vertices = self.job.vertices.iter();
        let one = |vertex: &super::Vertex| overrides.get(&vertex.id).copied().unwrap_or(vertex.parallelism);
        vertices.map(|vertex| (vertex.id.clone(), one(vertex))).collect()
    }

    /// Whether every vertex has what it is to be deployed with.
    pub(crate) fn runs_with(&self, overrides: &Overrides) -> bool {
        let all = self.deployment(overrides);
        self.job.vertices.iter().all(|vertex| all.get(&vertex.id) == Some(&vertex.parallelism))
    }

    /// TaskManagers that are there.
    pub(crate) fn taskmanagers(&self) -> Replicas {
        Replicas(self.overview.taskmanagers)
    }

    /// Slots of one TaskManager, where all have as many.
    pub(crate) fn slots_of_a_taskmanager(&self) -> Option<u32> {
        let (total, each) = (self.overview.slots_total, self.overview.taskmanagers);
        total.checked_div(each).filter(|slots| slots.saturating_mul(each) == total)
    }

    /// Whether reactive mode has taken every slot that the vertices can use.
    pub(crate) fn slots_are_all_taken(&self) -> bool {
        let widest = self.job.vertices.iter().all(|vertex| vertex.parallelism >= most_of(vertex));
        self.overview.slots_available == 0 || widest
    }
}
