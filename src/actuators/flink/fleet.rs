//! TaskManagers that a Deployment or a StatefulSet keeps: more of them before the job is asked to use their slots, fewer
//! once it has left them. In reactive mode, where the job takes every slot there is, they are what is moved.
//!
//! Written: the scale sub-resource, and on a Deployment's Pods which of them go first. Only TaskManagers without a task
//! are taken away from a job that is moved in place: the loss of any other restarts it.

use std::sync::{Arc, Mutex, MutexGuard};

use jiff::{SignedDuration, Timestamp};
use kube::Client;
use kube::api::DynamicObject;

use super::lock;
use crate::actuators::api::unreadable;
use crate::actuators::owners::Tenure;
use crate::actuators::pods::{self, Load, Member};
use crate::actuators::scale::ScaleActuator;
use crate::actuators::{ActuateError, Actuator as _};
use crate::engine::Change;
use crate::engine::observation::{Fence, TargetHold};
use crate::flink::{FlinkError, JobWatch, Manner, Sight, TaskManager};
use crate::policy::Replicas;

/// For how long TaskManagers that were asked for may be on their way: then the job makes do with the slots there are.
const PATIENT: SignedDuration = SignedDuration::from_secs(120);
/// For how long a TaskManager must have been too many before it goes: a move back up finds it still there.
const SPARE: SignedDuration = SignedDuration::from_secs(30);

/// The TaskManagers of one job's cluster.
pub(in crate::actuators) struct Fleet {
    client: Client,
    scale: ScaleActuator,
    seen: Mutex<Seen>,
}

/// What is known of it.
#[derive(Debug, Default)]
struct Seen {
    look: Option<Look>,
    /// Why the last look showed nothing.
    problem: Option<String>,
    /// Slots of one of them. One that has just come has not told its own yet, and they seem to differ.
    each: Option<u32>,
    /// Since when fewer are there than were asked for.
    short_since: Option<Timestamp>,
    /// Since when there are more than the job takes.
    spare_since: Option<Timestamp>,
}

/// What one look showed.
#[derive(Debug, Clone)]
struct Look {
    asked: Replicas,
    object: DynamicObject,
    fence: Fence,
    hold: Option<TargetHold>,
    settled: bool,
}

impl Fleet {
    pub(in crate::actuators) fn new(client: &Client, scale: ScaleActuator) -> Self {
        Self { client: client.clone(), scale, seen: Mutex::default() }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }

    pub(super) fn tenure(&self) -> Tenure {
        self.scale.tenure()
    }

    /// Looks at it, beside the look at the job.
    pub(super) async fn look(&self, sight: &Sight, manner: &Manner, now: Timestamp) {
        let looked = self.scale.look(now).await;
        let mut seen = self.seen();
        (seen.look, seen.problem) = (None, None);
        match looked {
            Err(error) => seen.problem = Some(format!("its TaskManagers: {}: {error}", self.scale.scaled())),
            Ok((reading, object)) => {
                let known = reading.current.zip(reading.fence);
                seen.look = known.map(|(asked, fence)| Look {
                    asked,
                    object,
                    fence,
                    hold: reading.hold,
                    settled: reading.settled,
                });
            }
        }
        seen.each = sight.slots_of_a_taskmanager().filter(|slots| *slots > 0).or(seen.each);
        let asked = seen.look.as_ref().map(|look| look.asked);
        let short = asked.is_some_and(|asked| sight.taskmanagers() < asked);
        let spare = asked.is_some_and(|asked| seen.taken(sight, manner).is_some_and(|taken| taken < asked));
        seen.short_since = short.then(|| seen.short_since.unwrap_or(now));
        seen.spare_since = spare.then(|| seen.spare_since.unwrap_or(now));
    }

    /// How many are asked for.
    pub(super) fn asked(&self) -> Option<Replicas> {
        self.seen().look.as_ref().map(|look| look.asked)
    }

    /// Why nothing is known of it.
    pub(super) fn problem(&self) -> Option<String> {
        self.seen().problem.clone()
    }

    /// Why it is left alone.
    pub(super) fn hold(&self) -> Option<TargetHold> {
        self.seen().look.as_ref().and_then(|look| look.hold.clone())
    }

    /// Whether slots that are missing can be had: it is ours to move, and those that were asked for do not keep us
    /// waiting.
    pub(super) fn grows(&self, now: Timestamp) -> bool {
        let seen = self.seen();
        let waits = seen.short_since.is_some_and(|since| now.duration_since(since) > PATIENT);
        let free = seen.look.as_ref().is_some_and(|look| look.hold.is_none());
        free && !waits && seen.each.is_some()
    }

    /// Sees to the slots for a scale, where some are missing: the job is asked to use them once they are there.
    pub(super) async fn grow(
        &self,
        sight: &Sight,
        manner: &Manner,
        scale: Replicas,
    ) -> Result<(), ActuateError> {
        let Some((needed, asked)) = self.needed(sight, manner, scale).zip(self.asked()) else {
            return Ok(());
        };
        if needed > asked {
            self.set(needed).await?;
        }
        Err(ActuateError::Deferred {
            problem: format!(
                "{} TaskManagers are there of {} that it takes: the job is asked to use them once they are",
                sight.taskmanagers(),
                needed.max(asked)
            ),
        })
    }

    /// How many a scale takes for which slots are missing.
    pub(super) fn needed(&self, sight: &Sight, manner: &Manner, scale: Replicas) -> Option<Replicas> {
        sight.taskmanagers_for(manner, scale, self.seen().each?).filter(|_| sight.lacks_slots(manner, scale))
    }

    /// Asks for so many.
    pub(super) async fn set(&self, replicas: Replicas) -> Result<(), ActuateError> {
        let look = self.seen().look.clone().ok_or(ActuateError::Conflict)?;
        self.scale.write(&Change { replicas, ceiling: None, metric_target: None }, &look.fence).await
    }

    /// Takes away what has been too many for a while and has no task.
    pub(super) async fn shrink(
        &self,
        job: &Arc<JobWatch>,
        (sight, manner): (&Sight, &Manner),
        now: Timestamp,
    ) -> Result<(), ActuateError> {
        let Some((look, fewer)) = self.spare(sight, manner, now) else { return Ok(()) };
        let failed = |error: FlinkError| ActuateError::Failed { problem: error.to_string() };
        let all = job.taskmanagers().await.map_err(failed)?;
        let members = pods::members(&self.client, &look.object).await.map_err(|error| unreadable(&error))?;
        let numbered = self.scale.scaled().kind == "StatefulSet";
        let going = going(&members, &all, fewer, numbered);
        let Ok(count) = u32::try_from(going.len()) else { return Ok(()) };
        if count == 0 {
            return Ok(());
        }
        if !numbered {
            pods::mark(&self.client, self.scale.scaled().namespace, &members, &going).await?;
        }
        self.set(Replicas(look.asked.0.saturating_sub(count))).await?;
        let scaled = self.scale.scaled();
        tracing::info!("{scaled}: {count} TaskManagers without a task are taken away");
        Ok(())
    }

    /// How many are too many, where that has been so for a while and nothing is under way.
    fn spare(&self, sight: &Sight, manner: &Manner, now: Timestamp) -> Option<(Look, usize)> {
        let seen = self.seen();
        let since = seen.spare_since?;
        let look = seen.look.clone().filter(|look| look.hold.is_none() && look.settled)?;
        let still = now.duration_since(since) >= SPARE && sight.taskmanagers() == look.asked;
        let fewer = look.asked.0.checked_sub(seen.taken(sight, manner)?.0).filter(|fewer| *fewer > 0)?;
        still.then_some((look, fewer as usize))
    }

    /// What it is and how many there are, in words.
    pub(super) fn words(&self, sight: &Sight) -> String {
        let scaled = self.scale.scaled();
        let seen = self.seen();
        match &seen.look {
            None => seen.problem.clone().unwrap_or_default(),
            Some(Look { asked, hold, .. }) => {
                let held = match hold {
                    Some(TargetHold::Owned { owner }) => format!(", moved by {owner}"),
                    Some(_) => ", not to be moved now".to_owned(),
                    None => String::new(),
                };
                format!(
                    "TaskManagers follow by the {} {}: {} of {asked} are there{held}",
                    scaled.kind,
                    scaled.name,
                    sight.taskmanagers()
                )
            }
        }
    }
}

impl Seen {
    /// How many the job takes as it stands, once it runs as it was asked to.
    fn taken(&self, sight: &Sight, manner: &Manner) -> Option<Replicas> {
        sight.taskmanagers_for(manner, sight.scale(manner).filter(|_| sight.reached())?, self.each?)
    }
}

/// At most `count` Pods that can go without a task: of a StatefulSet those with the highest numbers, down to the first
/// that works.
fn going<'a>(members: &'a [Member], all: &[TaskManager], count: usize, numbered: bool) -> Vec<&'a Member> {
    let taken = |one: &Member| TaskManager::taken_of(all, &one.name, one.ip.as_deref());
    let idle = |one: &&Member| taken(one) == Some(0);
    if numbered {
        return pods::highest(members, count).into_iter().take_while(idle).collect();
    }
    let load = |one: &Member| -> Load { (taken(one).map_or(u64::MAX, u64::from), 0) };
    pods::easiest(members, members.len(), load).into_iter().filter(idle).take(count).collect()
}
