//! Workers of a standalone cluster, which its master decommissions before they are taken away.
//!
//! More workers are asked for at once. For fewer, those that go are told the master first; it gives them no more tasks,
//! and once their executors have gone, or after [`PATIENT`] seconds, the set is made smaller. A decommissioned worker
//! never takes a task again: what was begun is brought to its end, whatever the load does meanwhile.

use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use jiff::Timestamp;
use kube::Client;
use kube::api::DynamicObject;

use crate::actuators::api::{ReadError, unreadable};
use crate::actuators::owners::Tenure;
use crate::actuators::pods::{self, Load, Member};
use crate::actuators::progress::number;
use crate::actuators::scale::ScaleActuator;
use crate::actuators::{ActuateError, Actuator, reading, sighting};
use crate::engine::Change;
use crate::engine::observation::{Fence, TargetReading};
use crate::policy::Replicas;
use crate::spark::master::{DECOMMISSIONED, Master, Told, Worker};

/// Seconds that a worker's executors may take to end their tasks.
const PATIENT: f64 = 120.0;

/// Moves a Deployment or a StatefulSet of workers.
pub(in crate::actuators) struct Workers {
    client: Client,
    scale: ScaleActuator,
    /// `None` where there is no HTTP client to ask it with.
    master: Option<Arc<Master>>,
    /// What was seen last.
    known: Mutex<Option<Known>>,
    drain: Mutex<Option<Drain>>,
}

impl std::fmt::Debug for Workers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Workers").field(&self.scale).finish()
    }
}

#[derive(Debug, Clone)]
struct Known {
    at: Timestamp,
    object: DynamicObject,
    /// Pods that nobody finds room for, in words.
    waiting: Option<String>,
}

/// Workers that are on their way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Drain {
    /// So many remain.
    to: Replicas,
    since: Timestamp,
}

/// A Pod that goes, with its worker where the master knows one.
type Going<'a> = (&'a Member, Option<&'a Worker>);

impl Workers {
    pub(in crate::actuators) fn new(
        client: &Client,
        scale: ScaleActuator,
        master: Option<Arc<Master>>,
    ) -> Self {
        let client = client.clone();
        Self { client, scale, master, known: Mutex::default(), drain: Mutex::default() }
    }

    /// Looks at the set.
    pub(super) async fn look(&self, now: Timestamp) -> Result<TargetReading, ReadError> {
        self.keep(None);
        let (mut reading, object) = self.scale.look(now).await?;
        let (stuck, waiting) = pods::stuck(&self.client, &object, &reading, now).await;
        reading.limit = stuck;
        self.keep(Some(Known { at: now, object, waiting }));
        Ok(reading)
    }

    fn keep(&self, known: Option<Known>) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = known;
    }

    fn known(&self) -> Option<Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn drain(&self) -> Option<Drain> {
        *self.drain.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn drains(&self, drain: Option<Drain>) {
        *self.drain.lock().unwrap_or_else(PoisonError::into_inner) = drain;
    }

    async fn write(&self, change: &Change, fence: &Fence) -> Result<(), ActuateError> {
        let unknown = || ActuateError::Failed { problem: "its workers are not known".to_owned() };
        let known = self.known().ok_or_else(unknown)?;
        let asked = number(&known.object.data, "/spec/replicas").ok_or_else(unknown)?;
        match self.drain() {
            // Not below what remains once those have gone: they would take no more tasks if they stayed.
            Some(drain) if change.replicas > drain.to => {
                self.set(drain.to, fence).await?;
                Err(deferred(format!(
                    "decommissioned workers go first, {} remain: more at the next turn",
                    drain.to
                )))
            }
            _ if change.replicas >= asked => self.set(change.replicas, fence).await,
            Some(_) | None => self.lower(&known, asked, change.replicas, fence).await,
        }
    }

    async fn set(&self, replicas: Replicas, fence: &Fence) -> Result<(), ActuateError> {
        self.scale.write(&Change { replicas, ceiling: None, metric_target: None }, fence).await?;
        self.drains(None);
        Ok(())
    }

    /// Decommissions what is to go, and takes away what has been.
    async fn lower(
        &self,
        known: &Known,
        asked: Replicas,
        to: Replicas,
        fence: &Fence,
    ) -> Result<(), ActuateError> {
        let none = || deferred("there is no HTTP client to ask the master with".to_owned());
        let master = self.master.as_ref().ok_or_else(none)?;
        let told = master.look().await.map_err(deferred)?;
        let members = pods::members(&self.client, &known.object).await.map_err(|error| unreadable(&error))?;
        let fewer = asked.0.saturating_sub(to.0) as usize;
        let going = going(&members, &told, fewer, self.scale.scaled().kind);
        let alone =
            |host: &str| told.workers.iter().filter(|one| one.is_alive() && one.host == host).count() == 1;
        if let Some((_, Some(shared))) =
            going.iter().find(|(_, worker)| worker.is_some_and(|one| one.is_alive() && !alone(&one.host)))
        {
            return Err(ActuateError::Failed {
                problem: format!(
                    "several workers are on {}, and the master would decommission all of them: start each with a \
                     --host of its own",
                    shared.host
                ),
            });
        }
        if self.scale.scaled().kind == "Deployment" {
            let chosen: Vec<&Member> = going.iter().map(|(member, _)| *member).collect();
            pods::mark(&self.client, self.scale.scaled().namespace, &members, &chosen).await?;
        }
        for worker in going.iter().filter_map(|(_, worker)| worker.filter(|one| one.is_alive())) {
            let asked = master.decommission(&worker.host).await;
            asked.map_err(|problem| ActuateError::Failed { problem })?;
        }
        let since = self.drain().map_or(known.at, |drain| drain.since);
        self.drains(Some(Drain { to, since }));
        let mut busy = Vec::new();
        for worker in going.iter().filter_map(|(_, worker)| *worker) {
            // Until the master is asked again, one that was alive has been asked to end its tasks this moment.
            if worker.is_alive() || !master.has_ended(worker).await {
                busy.push(worker.host.as_str());
            }
        }
        let waited = known.at.duration_since(since).as_secs_f64();
        if !busy.is_empty() && waited < PATIENT {
            return Err(deferred(format!(
                "decommissioned for {waited:.0} s, of {PATIENT:.0} s at most: the executors on {} end their tasks",
                busy.join(", ")
            )));
        }
        self.set(to, fence).await
    }

    /// Brings what was begun to its end.
    async fn finish(&self) -> Result<(), ActuateError> {
        let Some((drain, known)) = self.drain().zip(self.known()) else { return Ok(()) };
        let asked = number(&known.object.data, "/spec/replicas");
        let (Some(asked), Some(fence)) = (asked, sighting::fence(&known.object)) else { return Ok(()) };
        if asked <= drain.to {
            self.drains(None);
            return Ok(());
        }
        match self.lower(&known, asked, drain.to, &fence).await {
            Err(ActuateError::Deferred { .. }) => Ok(()),
            done => done,
        }
    }

    pub(super) fn on_rung(&self) -> String {
        let scaled = self.scale.scaled();
        let drain = self.drain().map_or_else(String::new, |drain| {
            format!("; decommissioned since {:.0}: {} remain", drain.since, drain.to)
        });
        let waiting = self.known().and_then(|known| known.waiting);
        let waiting = waiting.map_or_else(String::new, |waiting| format!("; {waiting}"));
        format!(
            "rung workers: replicas of the {} {}; the master decommissions those that go{drain}{waiting}",
            scaled.kind, scaled.name
        )
    }
}

fn deferred(problem: String) -> ActuateError {
    ActuateError::Deferred { problem }
}

/// The Pods that go: of a StatefulSet those with the highest numbers, of a Deployment the idlest, and first of all those
/// that are decommissioned already.
fn going<'a>(members: &'a [Member], told: &'a Told, fewer: usize, kind: &str) -> Vec<Going<'a>> {
    let load = |member: &Member| -> Load {
        let alive = worker(member, told).filter(|worker| worker.is_alive());
        alive.map_or((0, 0), |worker| (1 + u64::from(worker.cores_used), 0))
    };
    let chosen = match kind {
        "Deployment" => pods::easiest(members, fewer, load),
        _ => pods::highest(members, fewer),
    };
    chosen.into_iter().map(|member| (member, worker(member, told))).collect()
}

/// The worker in a Pod, which says its address or its name for a host. Of several that were there, the one that lives.
fn worker<'a>(member: &Member, told: &'a Told) -> Option<&'a Worker> {
    let here = |worker: &&Worker| {
        let host = worker.host.as_str();
        let named = host.strip_prefix(member.name.as_str());
        member.ip.as_deref() == Some(host)
            || named.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let all = || told.workers.iter().filter(here);
    all().find(|worker| worker.is_alive()).or_else(|| all().find(|worker| worker.state == DECOMMISSIONED))
}

impl Actuator for Workers {
    fn observe(&self, now: Timestamp) -> BoxFuture<'_, TargetReading> {
        Box::pin(reading::look(now, self.scale.scaled(), self.look(now)))
    }

    fn apply<'a>(&'a self, change: &'a Change, fence: &'a Fence) -> BoxFuture<'a, Result<(), ActuateError>> {
        Box::pin(self.write(change, fence))
    }

    fn tenure(&self) -> Tenure {
        self.scale.tenure()
    }

    fn tend(&self, _now: Timestamp) -> BoxFuture<'_, Result<(), ActuateError>> {
        Box::pin(self.finish())
    }

    fn rung(&self) -> Option<String> {
        Some(self.on_rung())
    }

    fn plan(&self, change: &Change) -> Option<String> {
        let scaled = self.scale.scaled();
        let (kind, name) = (scaled.kind.to_lowercase(), scaled.name);
        Some(format!("kubectl scale {kind} {name} --replicas={}", change.replicas))
    }
}
