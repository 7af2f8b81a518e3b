//! Parallelism of a Flink job, moved in place: the adaptive scheduler is asked for other resources, keeps the job
//! running, and restarts its tasks alone. With free slots that stops them for less than a second.
//!
//! Read: the job, its requirements and the cluster's slots. Written: the requirements of every vertex, if the job and
//! its requirements still are those that the decision was made from.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;

use super::progress::Progress;
use super::reading::{self, Parts};
use super::{ActuateError, Actuator};
use crate::engine::Change;
use crate::engine::observation::{Fence, LimitCause, Price, Quality, TargetHold, TargetLimit, TargetReading};
use crate::flink::{FlinkError, JobWatch, Phase, Sight};
use crate::policy::target::FlinkCluster;
use crate::policy::{Replicas, TimeSpan};

/// Moves one job's parallelism.
pub struct JobActuator {
    /// `None` where the settings name no such JobManager.
    job: Option<Arc<JobWatch>>,
    target: FlinkCluster,
    max_age: Duration,
    /// The last write, until its outcome is known.
    asked: Mutex<Option<Asked>>,
}

/// A write whose outcome is awaited.
#[derive(Debug)]
struct Asked {
    jid: String,
    parallelism: Replicas,
    /// When the look was that it was made from.
    at: Timestamp,
    /// It was said that it takes long.
    told: bool,
}

/// Seconds after which a rescale that is not there is worth a word: Flink waits for a checkpoint, and up to a minute
/// for slots.
const LONG: f64 = 120.0;

impl std::fmt::Debug for JobActuator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("JobActuator").field(&self.target).finish()
    }
}

impl JobActuator {
    /// An actuator for `target`, which is looked at once per `interval`. Asks nothing yet.
    pub(super) fn new(job: Option<Arc<JobWatch>>, target: &FlinkCluster, interval: TimeSpan) -> Self {
        Self { job, target: target.clone(), max_age: interval.0 * 7 / 8, asked: Mutex::default() }
    }

    async fn read(&self, now: Timestamp) -> TargetReading {
        let Some(job) = &self.job else {
            let problem = format!("the settings have no flink connection named {}", self.target.cluster);
            return self.failed(now, Quality::Rejected, &problem, None);
        };
        match job.look(now, self.max_age).await {
            Ok(sight) => {
                self.verify(&sight);
                self.judge(&sight)
            }
            Err(error @ FlinkError::NoSuchJob(_)) => {
                self.failed(now, Quality::Ok, &error.to_string(), Some(TargetHold::NotFound))
            }
            Err(error @ FlinkError::Ambiguous(..)) => {
                let hold = TargetHold::Unfit { problem: error.to_string() };
                self.failed(now, Quality::Ok, &error.to_string(), Some(hold))
            }
            Err(error @ (FlinkError::Unreachable(_) | FlinkError::Refused(_))) => {
                self.failed(now, Quality::Missing, &error.to_string(), None)
            }
        }
    }

    /// Holds the last write against what became of it: accepted is not yet carried out.
    fn verify(&self, sight: &Sight) {
        let mut pending = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(asked) = &mut *pending else { return };
        let (label, parallelism) = (&self.target.job, asked.parallelism);
        let seconds = sight.at.duration_since(asked.at).as_secs_f64();
        let others = sight.version().is_none_or(|(jid, _)| jid != asked.jid)
            || sight.asked(&self.target.exclude) != Some(parallelism);
        if others {
            tracing::info!("flink job {label}: somebody else has asked for something else meanwhile");
            *pending = None;
        } else if sight.phase() == Phase::Running && sight.reached() {
            tracing::info!(
                "flink job {label}: runs at {parallelism}, seen {seconds:.0} s after it was asked for"
            );
            *pending = None;
        } else if seconds > LONG && !asked.told {
            let runs = sight.present(&self.target.exclude).map_or("?".to_owned(), |runs| runs.to_string());
            tracing::warn!("flink job {label}: asked for {parallelism} {seconds:.0} s ago, runs at {runs}");
            asked.told = true;
        }
    }

    fn judge(&self, sight: &Sight) -> TargetReading {
        let exclude = &self.target.exclude;
        let phase = sight.phase();
        let progress = Progress {
            ready: sight.present(exclude).filter(|_| phase == Phase::Running),
            settled: phase == Phase::Running && sight.reached(),
            rolling_out: false,
        };
        let fence = sight.version().map(|(uid, resource_version)| Fence { uid, resource_version });
        let (current, hold) = (sight.asked(exclude), self.hold(sight, phase));
        let parts = Parts { current, hold, fence, ..Parts::default() };
        TargetReading {
            limit: self.limit(sight),
            price: Some(price(sight)),
            ..reading::reading(sight.at, parts, progress)
        }
    }

    fn hold(&self, sight: &Sight, phase: Phase) -> Option<TargetHold> {
        let strangers = sight.strangers(&self.target.exclude);
        let (resting, rival) = (sight.cooldown(), sight.rival());
        match phase {
            Phase::Ending(problem) => Some(TargetHold::Unfit { problem }),
            Phase::Passing(what) => Some(TargetHold::Unsettled { what }),
            Phase::Running => match sight.unfit() {
                Some(problem) => Some(TargetHold::Unfit { problem }),
                None if rival.is_some() => rival.map(|owner| TargetHold::Owned { owner }),
                None if !strangers.is_empty() => Some(TargetHold::Unfit {
                    problem: format!("exclude names {}, which the job does not have", strangers.join(", ")),
                }),
                None => (resting > 0.0).then(|| TargetHold::Unsettled {
                    what: format!(
                        "the adaptive scheduler rests for {resting:.0} s more after its last rescale"
                    ),
                }),
            },
        }
    }

    /// The lesser of what the slots and what the vertices allow.
    fn limit(&self, sight: &Sight) -> Option<TargetLimit> {
        let exclude = &self.target.exclude;
        let slots = sight.feasible(exclude).map(|most| TargetLimit { most, cause: LimitCause::Slots });
        let own = sight.max_parallelism(exclude);
        let own = own.map(|most| TargetLimit { most, cause: LimitCause::MaxParallelism });
        slots.into_iter().chain(own).min_by_key(|limit| limit.most)
    }

    fn failed(
        &self,
        now: Timestamp,
        quality: Quality,
        problem: &str,
        hold: Option<TargetHold>,
    ) -> TargetReading {
        let parts = Parts { hold, ..Parts::default() };
        let problem = format!("flink {}/{}: {problem}", self.target.cluster, self.target.job);
        TargetReading { quality, problem: Some(problem), ..reading::reading(now, parts, Progress::default()) }
    }

    async fn write(&self, change: &Change, fence: &Fence) -> Result<(), ActuateError> {
        let sight = self.job.as_ref().and_then(|job| Some((job, job.seen()?)));
        let Some((job, sight)) = sight else { return Err(ActuateError::Conflict) };
        let fence = (fence.uid.as_str(), fence.resource_version.as_str());
        match job.rescale(&sight, &self.target.exclude, change.replicas, fence).await {
            Ok(true) => {
                let asked = Asked {
                    jid: fence.0.to_owned(),
                    parallelism: change.replicas,
                    at: sight.at,
                    told: false,
                };
                *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(asked);
                Ok(())
            }
            Ok(false) => Err(ActuateError::Conflict),
            Err(error) => Err(ActuateError::Failed { problem: error.to_string() }),
        }
    }
}

/// What a rescale in place costs until one was measured: the wait for the next checkpoint, the restart of the tasks
/// (half a second with small state), and the reading again of what was processed since that checkpoint.
fn price(sight: &Sight) -> Price {
    let interval = sight.checkpoint_seconds().unwrap_or(0.0).min(60.0);
    Price { raise_seconds: 3.0 + interval, lower_seconds: 1.0 + interval / 2.0 }
}

impl Actuator for JobActuator {
    fn observe(&self, now: Timestamp) -> BoxFuture<'_, TargetReading> {
        Box::pin(self.read(now))
    }

    fn apply<'a>(&'a self, change: &'a Change, fence: &'a Fence) -> BoxFuture<'a, Result<(), ActuateError>> {
        Box::pin(self.write(change, fence))
    }
}
