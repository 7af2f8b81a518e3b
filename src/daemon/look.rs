//! Looks that write nothing: the same turns as the daemon's, on demand.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{StreamExt, stream};
use jiff::Timestamp;

use super::cycle::Workload;
use super::fleet::Equip;
use super::memories::Kept;
use super::tuners::Tuners;
use crate::policy::{Mode, Policy, WorkloadId};
use crate::record::Turn;

/// Workloads looked at at once.
const AT_ONCE: usize = 16;

/// Workloads that are looked at, and never touched.
#[derive(Debug)]
pub struct Look {
    workloads: Vec<(Mode, Workload)>,
    patience: Duration,
    tuners: Tuners,
}

impl Look {
    /// Prepares a look. With the memories of a running daemon it sees what that daemon sees.
    pub fn new<'a>(
        policies: impl IntoIterator<Item = &'a Policy>,
        equip: &dyn Equip,
        (memories, tuners): (&BTreeMap<WorkloadId, Kept>, &Tuners),
        ceiling: Mode,
        patience: Duration,
    ) -> Self {
        let prepare = |policy: &Policy| {
            let Kept { memory, target } = memories.get(&policy.id).cloned().unwrap_or_default();
            let mut policy = policy.clone();
            policy.rules.notches = tuners.notches(&policy.id, &policy.rules);
            let workload = Workload {
                mode: Mode::Recommend,
                sources: equip.sources(&policy),
                target: equip.target(&policy, target),
                memory,
                policy,
            };
            (workload.policy.mode_within(ceiling), workload)
        };
        Self { workloads: policies.into_iter().map(prepare).collect(), patience, tuners: tuners.clone() }
    }

    /// Looks at every workload once, as of `now`. The turns are in the order of the policies, and show
    /// the mode that is in force for the daemon.
    pub async fn look(&mut self, now: Timestamp) -> Vec<Turn> {
        let (patience, tuners) = (self.patience, &self.tuners);
        let turns = self.workloads.iter_mut().map(|(mode, workload)| async move {
            let turn = workload.turn(now, patience).await;
            Turn { mode: *mode, tuning: tuners.report(&turn.workload, &turn.rules), ..turn }
        });
        stream::iter(turns).buffered(AT_ONCE).collect().await
    }
}
