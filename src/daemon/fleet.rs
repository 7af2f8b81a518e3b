//! One task per workload: a slow one delays nobody else, and no workload takes two turns at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::OptionFuture;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::clock::Clock;
use super::cycle::Workload;
use super::memories::{Kept, Memories};
use super::pace;
use super::tuners::Tuners;
use crate::actuators::Actuator;
use crate::actuators::owners::Tenure;
use crate::policy::{Mode, Policy, WorkloadId};
use crate::record::Turn;
use crate::sources::Source;

/// Finds what a policy names: its sources and its target. Never fails: what cannot be had answers
/// with a reading that says so.
pub trait Equip: Send + Sync {
    /// The policy's sources, in its order.
    fn sources(&self, policy: &Policy) -> Vec<Arc<dyn Source>>;
    /// The policy's target, and what was known of it before.
    fn target(&self, policy: &Policy, known: Tenure) -> Arc<dyn Actuator>;
}

/// Takes a turn and the time that it took, without ever blocking.
pub type Record = dyn Fn(&Turn, Duration) + Send + Sync;

/// What all tasks share.
pub struct Base {
    /// Finds sources and targets.
    pub equip: Box<dyn Equip>,
    /// Where every turn goes.
    pub record: Box<Record>,
    /// What tells the time.
    pub clock: Clock,
    /// What is remembered.
    pub memories: Memories,
    /// What self-tuning knows.
    pub tuners: Tuners,
    /// The mode that no policy exceeds.
    pub ceiling: Mode,
    /// The time between turns.
    pub interval: Duration,
    /// How long a source or a target may take.
    pub patience: Duration,
}

impl fmt::Debug for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Base")
            .field("ceiling", &self.ceiling)
            .field("interval", &self.interval)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

/// A member's task, and the way to tell it of a changed policy.
#[derive(Debug)]
struct Running {
    orders: watch::Sender<Policy>,
    task: JoinHandle<()>,
}

/// The workloads under way.
#[derive(Debug)]
pub struct Fleet {
    base: Arc<Base>,
    members: BTreeMap<WorkloadId, Running>,
    /// Those that were dropped while in a turn, until it has ended.
    leaving: BTreeMap<WorkloadId, JoinHandle<()>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Fleet {
    /// Nobody yet.
    pub fn new(base: Base) -> Self {
        Self {
            base: Arc::new(base),
            members: BTreeMap::new(),
            leaving: BTreeMap::new(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        }
    }

    /// Makes these, and only these, the workloads under way: starts what is new, hands changed policies
    /// to their tasks, and drops what is gone, of which nothing is written any more.
    ///
    /// Memories of workloads that are neither here nor among those `refused` are forgotten; none where
    /// it is unknown who is refused.
    pub fn muster<'a>(
        &mut self,
        policies: impl IntoIterator<Item = &'a Policy>,
        refused: Option<BTreeSet<WorkloadId>>,
    ) {
        let mut ids = BTreeSet::new();
        for policy in policies {
            ids.insert(policy.id.clone());
            match self.members.get(&policy.id) {
                Some(member) => {
                    member.orders.send_if_modified(|known| {
                        let changed = known != policy;
                        if changed {
                            known.clone_from(policy);
                        }
                        changed
                    });
                }
                None => self.start(policy.clone()),
            }
        }
        self.leaving.retain(|_, task| !task.is_finished());
        // Without its sender a task ends.
        let (members, gone) =
            std::mem::take(&mut self.members).into_iter().partition(|(id, _)| ids.contains(id));
        self.members = members;
        self.leaving.extend(BTreeMap::into_iter(gone).map(|(id, gone)| (id, gone.task)));
        if let Some(mut refused) = refused {
            refused.append(&mut ids);
            self.base.memories.retain(&refused);
            self.base.tuners.retain(&refused);
        }
    }

    fn start(&mut self, policy: Policy) {
        let id = policy.id.clone();
        let (sender, orders) = watch::channel(policy);
        let (base, stop) = (Arc::clone(&self.base), self.stop.clone());
        let previous = self.leaving.remove(&id);
        let task = self.tasks.spawn(async move {
            // It may still be in its last turn, and no workload takes two at once.
            if let Some(Err(_)) = OptionFuture::from(previous).await {
                tracing::error!("a workload's task ended by a bug in tidegate");
            }
            let policy = orders.borrow().clone();
            Member::new(base, policy).serve(orders, stop).await;
        });
        self.members.insert(id, Running { orders: sender, task });
    }

    /// Lets every turn under way finish, for as long as `patience`. Says whether all did.
    pub async fn disband(self, patience: Duration) -> bool {
        self.stop.cancel();
        self.tasks.close();
        tokio::time::timeout(patience, self.tasks.wait()).await.is_ok()
    }
}

/// One workload's task.
struct Member {
    base: Arc<Base>,
    workload: Workload,
}

impl Member {
    fn new(base: Arc<Base>, policy: Policy) -> Self {
        let Kept { memory, target } = base.memories.open(&policy.id);
        let workload = Workload {
            mode: policy.mode_within(base.ceiling),
            sources: base.equip.sources(&policy),
            target: base.equip.target(&policy, target),
            memory,
            policy,
        };
        Self { base, workload }
    }

    async fn serve(mut self, mut orders: watch::Receiver<Policy>, stop: CancellationToken) {
        let id = self.workload.policy.id.clone();
        let mut due = Instant::now() + pace::first(&id, self.base.interval);
        let mut turn = 0_u32;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                changed = orders.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let policy = orders.borrow_and_update().clone();
                    self.change(policy);
                    due = Instant::now();
                }
                () = tokio::time::sleep_until(due) => {
                    self.take_turn(&orders).await;
                    // Turns that a slow one ran into are left out, not made up for.
                    due = (due + pace::between(&id, turn, self.base.interval)).max(Instant::now());
                    turn = turn.wrapping_add(1);
                }
            }
        }
    }

    /// Goes on under a changed policy with the memory kept; and with the sources and the target kept
    /// where the change is not about them, since a source knows what it saw last.
    fn change(&mut self, policy: Policy) {
        let known = &self.workload.policy;
        let same_window =
            known.rules.window() == policy.rules.window() && known.rules.interval == policy.rules.interval;
        if known.sources != policy.sources || !same_window {
            self.workload.sources = self.base.equip.sources(&policy);
        }
        if known.target != policy.target {
            self.workload.target = self.base.equip.target(&policy, Tenure::default());
        }
        self.workload.mode = policy.mode_within(self.base.ceiling);
        self.workload.policy = policy;
    }

    /// A turn that panics is a bug of ours. It must not take the other workloads along, so it is said
    /// and left out; what was remembered before it still is.
    async fn take_turn(&mut self, orders: &watch::Receiver<Policy>) {
        let before = self.workload.memory.clone();
        let rules = &mut self.workload.policy.rules;
        rules.notches = self.base.tuners.notches(&self.workload.policy.id, rules);
        let (now, started) = (self.base.clock.now(), Instant::now());
        // Gone or changed: then the last word is not carried out.
        let in_force = || matches!(orders.has_changed(), Ok(false));
        let turn = self.workload.turn_while(now, self.base.patience, in_force);
        let turn = AssertUnwindSafe(turn).catch_unwind().await;
        let id = &self.workload.policy.id;
        if let Ok(mut turn) = turn {
            let Workload { memory, target, .. } = &self.workload;
            self.base.memories.put(id, Kept { memory: memory.clone(), target: target.tenure() });
            self.base.tuners.note(&turn);
            turn.tuning = self.base.tuners.report(id, &turn.rules);
            (self.base.record)(&turn, started.elapsed());
        } else {
            self.workload.memory = before;
            tracing::error!(workload = %id, "this turn failed by a bug in tidegate; it is left out");
        }
    }
}
