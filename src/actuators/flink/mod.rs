//! Parallelism of a Flink job, moved in place: the adaptive scheduler is asked for other resources, keeps the job
//! running, and restarts its tasks alone. With free slots that stops them for less than a second.
//!
//! Read: the job, its requirements, the cluster's slots, and the operator's object where there is one. Written: the
//! requirements of every vertex, if the job and its requirements still are those that the decision was made from; and
//! then the same into that object, so that a redeploy keeps it.

mod after;
mod fleet;
mod keep;
mod route;
mod trial;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;

use self::after::life;
pub(super) use self::fleet::Fleet;
pub use self::keep::Keeper;
use self::keep::Wish;
use self::route::Route;
use self::trial::{Quarantine, Trial};
use super::owners::{Standing, Tenure};
use super::progress::Progress;
use super::reading::{self, Parts};
use super::{ActuateError, Actuator};
use crate::engine::Change;
use crate::engine::observation::{Fence, Quality, TargetHold, TargetReading};
use crate::flink::{FlinkError, JobWatch, Manner, Obstacle, Phase, Portion, Requirements, Resource, Sight};
use crate::policy::{Replicas, TimeSpan};

/// Moves one job's parallelism.
pub struct JobActuator {
    /// Or the name of a JobManager that the settings do not have.
    job: Result<Arc<JobWatch>, String>,
    label: String,
    manner: Manner,
    max_age: Duration,
    keeper: Keeper,
    /// What keeps the TaskManagers, where the policy says so.
    fleet: Option<Fleet>,
    /// The last write, until its outcome is known.
    asked: Mutex<Option<Asked>>,
    kept: Mutex<Kept>,
    /// The last move up, as long as it may yet turn out to be bad.
    trial: Mutex<Option<Trial>>,
    quarantine: Mutex<Option<Quarantine>>,
}

/// What is known of requirements and the operator's object: whether one has to follow the other.
#[derive(Debug, Default)]
struct Kept {
    /// The life of the job whose requirements are known to be at least what the object keeps.
    life: Option<(String, Option<i64>)>,
    /// What was asked for and is not yet in the object.
    owed: Option<Requirements>,
}

/// A write whose outcome is awaited.
#[derive(Debug)]
struct Asked {
    jid: String,
    parallelism: Replicas,
    /// When the look was that it was made from, by our clock and by the JobManager's.
    at: Timestamp,
    since: i64,
    /// It was said that it takes long.
    told: bool,
    /// Checkpoints that were asked for since.
    nudges: u32,
}

impl std::fmt::Debug for JobActuator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("JobActuator").field(&self.label).finish()
    }
}

impl JobActuator {
    /// An actuator for a job, called `label`, which is looked at once per `interval`. Asks nothing yet.
    pub(super) fn new(
        job: Result<Arc<JobWatch>, String>,
        (label, manner): (String, Manner),
        interval: TimeSpan,
        (keeper, fleet): (Keeper, Option<Fleet>),
    ) -> Self {
        Self {
            job,
            label,
            manner,
            max_age: interval.0 * 7 / 8,
            keeper,
            fleet,
            asked: Mutex::default(),
            kept: Mutex::default(),
            trial: Mutex::default(),
            quarantine: Mutex::default(),
        }
    }

    async fn read(&self, now: Timestamp) -> TargetReading {
        let job = match &self.job {
            Ok(job) => job,
            Err(name) => {
                let problem = format!("the settings have no flink connection named {name}");
                return self.failed(now, Quality::Rejected, &problem, None);
            }
        };
        match job.look(now, self.max_age).await {
            Ok(sight) => {
                if let Some(fleet) = &self.fleet {
                    fleet.look(&sight, &self.manner, now).await;
                }
                self.verify(&sight);
                self.judge(&sight, now)
            }
            Err(error) => {
                let words = error.to_string();
                let (quality, hold) = match error {
                    FlinkError::NoSuchJob(_) | FlinkError::NoSuchResource => {
                        (Quality::Ok, Some(TargetHold::NotFound))
                    }
                    FlinkError::Ambiguous(..) | FlinkError::Ending(_) => {
                        (Quality::Ok, Some(TargetHold::Unfit { problem: words.clone() }))
                    }
                    FlinkError::Passing(what) => (Quality::Ok, Some(TargetHold::Unsettled { what })),
                    FlinkError::Unreachable(_) | FlinkError::Refused(_) => (Quality::Missing, None),
                };
                self.failed(now, quality, &words, hold)
            }
        }
    }

    fn judge(&self, sight: &Sight, now: Timestamp) -> TargetReading {
        let (manner, route) = (&self.manner, self.route(sight));
        let fleet = self.fleet.as_ref();
        let problem =
            fleet.and_then(Fleet::problem).map(|problem| format!("flink {}: {problem}", self.label));
        let hold = self.hold(sight, &route, now);
        // Where no way is open, it is still told what the scheduler is asked for.
        let route = route.unwrap_or(Route::InPlace);
        let current = route.current(sight, manner, fleet.and_then(Fleet::asked));
        let fence = fence(sight, route);
        let made = fleet.is_some_and(|fleet| fleet.grows(now));
        let progress = route.progress(sight, manner, current);
        let unread = route == Route::TaskManagers && problem.is_some();
        let parts = Parts { current, hold, fence, ..Parts::default() };
        let quarantine = lock(&self.quarantine).and_then(|quarantine| quarantine.limit(now));
        TargetReading {
            limit: quarantine
                .into_iter()
                .chain(route.limit(sight, manner, made))
                .min_by_key(|limit| limit.most),
            price: Some(route.price(sight)),
            binding: route.binding(sight, manner),
            quality: if unread { Quality::Missing } else { Quality::Ok },
            problem,
            ..reading::reading(sight.at, parts, progress)
        }
    }

    fn hold(&self, sight: &Sight, route: &Result<Route, String>, now: Timestamp) -> Option<TargetHold> {
        if let Some(hold) = sight.resource().and_then(|resource| stands_against(resource, route, now)) {
            return Some(hold);
        }
        let strangers = sight.strangers(&self.manner.exclude);
        let (resting, rival) = (sight.cooldown(), sight.rival());
        let unfit = |problem: String| Some(TargetHold::Unfit { problem });
        let fleet = self.fleet.as_ref();
        match (sight.phase(), route) {
            (_, _) if fleet.is_some() && sight.makes_slots() => {
                unfit("Flink starts its TaskManagers itself: take taskManagers out of the target".to_owned())
            }
            (Phase::Ending(problem), _) => unfit(problem),
            (Phase::Running, Err(problem)) => unfit(problem.clone()),
            (Phase::Passing(what), _) => Some(TargetHold::Unsettled { what }),
            (Phase::Running, Ok(_)) if rival.is_some() => rival.map(|owner| TargetHold::Owned { owner }),
            (Phase::Running, Ok(Route::TaskManagers))
                if fleet.is_some_and(|fleet| fleet.hold().is_some()) =>
            {
                fleet.and_then(Fleet::hold)
            }
            (Phase::Running, Ok(Route::TaskManagers)) if !self.manner.exclude.is_empty() => {
                unfit("exclude keeps vertices back, and reactive mode moves all of them".to_owned())
            }
            (Phase::Running, Ok(_)) if !strangers.is_empty() => {
                unfit(format!("exclude names {}, which the job does not have", strangers.join(", ")))
            }
            (Phase::Running, Ok(Route::Redeploy)) => None,
            (Phase::Running, Ok(Route::InPlace | Route::TaskManagers)) if resting > 0.0 => {
                let what =
                    format!("the adaptive scheduler rests for {resting:.0} s more after its last rescale");
                Some(TargetHold::Unsettled { what })
            }
            (Phase::Running, Ok(Route::InPlace | Route::TaskManagers)) => {
                sight.nothing_to_go_back_to().map(hold_of)
            }
        }
    }

    fn failed(
        &self,
        now: Timestamp,
        quality: Quality,
        problem: &str,
        hold: Option<TargetHold>,
    ) -> TargetReading {
        let parts = Parts { hold, ..Parts::default() };
        let problem = format!("flink {}: {problem}", self.label);
        TargetReading { quality, problem: Some(problem), ..reading::reading(now, parts, Progress::default()) }
    }

    async fn write(&self, change: &Change, fence: &Fence) -> Result<(), ActuateError> {
        let sight = self.job.as_ref().ok().and_then(|job| Some((job, job.seen()?)));
        let Some((job, sight)) = sight else { return Err(ActuateError::Conflict) };
        let (requirements, object) = fence.resource_version.split_once('@').unzip();
        let requirements = requirements.unwrap_or(&fence.resource_version);
        self.still_stands(job, object, &sight).await?;
        match self.route(&sight) {
            // What was decided for a job that has lost what it had is decided again once that is given back.
            Ok(Route::InPlace) if self.restore(job, &sight).await? => Err(ActuateError::Conflict),
            Ok(Route::InPlace) => {
                if let Some(fleet) = &self.fleet {
                    fleet.grow(&sight, &self.manner, change.replicas).await?;
                }
                self.rescale(job, &sight, change.replicas, (&fence.uid, requirements)).await
            }
            Ok(route @ (Route::Redeploy | Route::TaskManagers)) => {
                if sight.jid() != fence.uid || requirements != route.to_string() {
                    return Err(ActuateError::Conflict);
                }
                if let (Some(fleet), None) = (&self.fleet, sight.resource()) {
                    return fleet.set(change.replicas).await;
                }
                let overrides = || sight.resource().map(|resource| resource.overrides()).unwrap_or_default();
                let wish = if route == Route::TaskManagers {
                    Wish::TaskManagers(change.replicas)
                } else {
                    Wish::Overrides(sight.redeployed(&overrides(), &self.manner, change.replicas).overrides())
                };
                self.keeper.keep(job, &wish, object).await
            }
            Err(problem) => Err(ActuateError::Failed { problem }),
        }
    }

    async fn rescale(
        &self,
        job: &JobWatch,
        sight: &Sight,
        parallelism: Replicas,
        (jid, requirements): (&str, &str),
    ) -> Result<(), ActuateError> {
        let wanted = sight.wanted(&self.manner, parallelism).ok_or(ActuateError::Conflict)?;
        self.ask(job, sight, &wanted, (jid, requirements)).await?;
        *lock(&self.trial) = Trial::of(sight, parallelism, sight.scale(&self.manner));
        *lock(&self.asked) = Some(Asked {
            jid: jid.to_owned(),
            parallelism,
            at: sight.at,
            since: sight.now(),
            told: false,
            nudges: 0,
        });
        if sight.resource().is_some_and(|resource| keeps(sight, resource)) {
            // The job has it; what follows is for the next one.
            *lock(&self.kept) = Kept { life: Some(life(sight)), owed: Some(wanted) };
            self.settle_owed(job).await;
        }
        Ok(())
    }

    /// Asks for other requirements, with a checkpoint next to it where that saves more than it takes: just before, for
    /// what new tasks would do again; or just after, where the scheduler itself waits for the next one. The wait is
    /// short, and what becomes of the checkpoint stops no move.
    async fn ask(
        &self,
        job: &JobWatch,
        sight: &Sight,
        wanted: &Requirements,
        fence: (&str, &str),
    ) -> Result<(), ActuateError> {
        let (patience, after) = (sight.checkpoint_first(), sight.waits_for_checkpoints());
        if let Some(patience) = patience.filter(|_| !after) {
            job.checkpoint(fence.0, patience).await;
        }
        self.require(job, wanted, fence).await?;
        if patience.is_some() && after {
            job.checkpoint(fence.0, 0.0).await;
        }
        Ok(())
    }

    /// Whether the operator's object still is what the decision was made from.
    async fn still_stands(
        &self,
        job: &JobWatch,
        object: Option<&str>,
        sight: &Sight,
    ) -> Result<(), ActuateError> {
        if sight.resource().is_none() {
            return Ok(());
        }
        let failed = |error: FlinkError| ActuateError::Failed { problem: error.to_string() };
        let fresh = job.fresh_resource().await.map_err(failed)?.ok_or(ActuateError::Conflict)?;
        let same = fresh.version().is_some_and(|version| Some(version.as_str()) == object);
        match fresh.obstacle() {
            Some(Obstacle::Owned(owner)) => {
                Err(ActuateError::Owned { owner, field: "spec.flinkConfiguration".to_owned() })
            }
            Some(_) => Err(ActuateError::Conflict),
            None => same.then_some(()).ok_or(ActuateError::Conflict),
        }
    }

    async fn require(
        &self,
        job: &JobWatch,
        wanted: &Requirements,
        fence: (&str, &str),
    ) -> Result<(), ActuateError> {
        match job.require(wanted, fence).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(ActuateError::Conflict),
            Err(error) => Err(ActuateError::Failed { problem: error.to_string() }),
        }
    }

    /// The way that is open, or why none is.
    fn route(&self, sight: &Sight) -> Result<Route, String> {
        Route::of(sight, self.fleet.is_some())
    }
}

fn hold_of(obstacle: Obstacle) -> TargetHold {
    match obstacle {
        Obstacle::Owned(owner) => TargetHold::Owned { owner },
        Obstacle::Lasting(problem) => TargetHold::Unfit { problem },
        Obstacle::Passing(what) => TargetHold::Unsettled { what },
    }
}

/// Why the operator's object says that its job is left alone.
fn stands_against(resource: &Resource, route: &Result<Route, String>, now: Timestamp) -> Option<TargetHold> {
    if let Some(obstacle) = resource.obstacle() {
        return Some(hold_of(obstacle));
    }
    let standing = match route {
        Ok(Route::TaskManagers) => keep::standing(resource, &keep::TASKMANAGERS, now),
        Ok(Route::InPlace) if !resource.keeps_overrides_in_place() => return None,
        Ok(Route::InPlace | Route::Redeploy) | Err(_) => keep::standing(resource, &keep::FIELD, now),
    };
    match standing {
        Standing::Yield { owner } => Some(TargetHold::Owned { owner }),
        Standing::Free | Standing::Adopt => None,
    }
}

/// Which job, what it is asked for, and, behind an `@`, which version of the operator's object.
fn fence(sight: &Sight, route: Route) -> Option<Fence> {
    let (uid, asked) = match route {
        Route::InPlace => sight.version()?,
        Route::Redeploy | Route::TaskManagers => (sight.jid().to_owned(), route.to_string()),
    };
    let resource_version = match sight.resource() {
        None => asked,
        Some(resource) => format!("{asked}@{}", resource.version()?),
    };
    Some(Fence { uid, resource_version })
}

/// Whether the operator's object is where what the job was given is kept: not where that would restart it.
fn keeps(sight: &Sight, resource: &Resource) -> bool {
    sight.is_adaptive() && resource.keeps_overrides_in_place()
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Actuator for JobActuator {
    fn observe(&self, now: Timestamp) -> BoxFuture<'_, TargetReading> {
        Box::pin(self.read(now))
    }

    fn apply<'a>(&'a self, change: &'a Change, fence: &'a Fence) -> BoxFuture<'a, Result<(), ActuateError>> {
        Box::pin(self.write(change, fence))
    }

    fn tend(&self, now: Timestamp) -> BoxFuture<'_, Result<(), ActuateError>> {
        Box::pin(self.see_through(now))
    }

    fn tenure(&self) -> Tenure {
        let mut tenure = self.fleet.as_ref().map(Fleet::tenure).unwrap_or_default();
        tenure.learnt = self.job.as_ref().ok().and_then(|job| job.learnt());
        tenure
    }

    fn rung(&self) -> Option<String> {
        let sight = self.job.as_ref().ok()?.seen()?;
        let route = self.route(&sight).ok()?;
        let known = route.graph(&sight, &self.manner).and_then(|graph| graph.words());
        let fleet = self.fleet.as_ref().map(|fleet| fleet.words(&sight));
        let parts: Vec<String> =
            [Some(route.words().to_owned()), fleet, known, sight.uneven()].into_iter().flatten().collect();
        Some(parts.join("; "))
    }

    fn plan(&self, change: &Change) -> Option<String> {
        let sight = self.job.as_ref().ok()?.seen()?;
        let route = self.route(&sight).ok()?;
        let portions = route.graph(&sight, &self.manner)?.portions(change.replicas.0);
        let one = |one: &Portion| format!("{} {} -> {} ({})", one.name, one.from, one.to, one.why);
        let all: Vec<String> = portions.iter().map(one).collect();
        let more = self.fleet.as_ref().and_then(|fleet| {
            let needed = fleet.needed(&sight, &self.manner, change.replicas)?;
            Some(format!("; first TaskManagers {} -> {needed}", fleet.asked()?))
        });
        let more = more.unwrap_or_default();
        (route != Route::TaskManagers).then(|| format!("{}: {}{more}", route.words(), all.join(", ")))
    }

    fn advice(&self) -> Option<String> {
        let sight = self.job.as_ref().ok()?.seen()?;
        let patch = sight.resource()?.hand_over()?;
        Some(format!("to hand the job over without a restart, in one patch: {patch}"))
    }
}
