//! What is remembered of every workload, between the tasks that use it and the store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::actuators::owners::Tenure;
use crate::policy::WorkloadId;
use crate::record::memory_store;

/// What is remembered of one workload.
pub type Kept = memory_store::Kept<Tenure>;

/// The shared shelf of memories. Cheap to clone; every clone is the same shelf.
#[derive(Debug, Clone, Default)]
pub struct Memories(Arc<Mutex<BTreeMap<WorkloadId, Kept>>>);

impl Memories {
    /// A shelf with what a store held.
    pub fn new(stored: BTreeMap<WorkloadId, Kept>) -> Self {
        Self(Arc::new(Mutex::new(stored)))
    }

    /// What is remembered of a workload, from now on kept up by [`Memories::put`].
    pub fn open(&self, id: &WorkloadId) -> Kept {
        self.lock().entry(id.clone()).or_default().clone()
    }

    /// Replaces what is remembered of a workload, unless the workload was removed in the meantime.
    pub fn put(&self, id: &WorkloadId, now: Kept) {
        if let Some(kept) = self.lock().get_mut(id) {
            *kept = now;
        }
    }

    /// Forgets every workload but these.
    pub fn retain(&self, ids: &BTreeSet<WorkloadId>) {
        self.lock().retain(|id, _| ids.contains(id));
    }

    /// The workloads that there is something to remember of, each with what is known of its target: what may
    /// not wait to be stored.
    pub fn urgent(&self) -> BTreeMap<WorkloadId, Tenure> {
        let empty = Kept::default();
        let lock = self.lock();
        let filled = lock.iter().filter(|(_, kept)| **kept != empty);
        filled.map(|(id, kept)| (id.clone(), kept.target.clone().urgent())).collect()
    }

    /// Everything, to be stored.
    pub fn snapshot(&self) -> BTreeMap<WorkloadId, Kept> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<WorkloadId, Kept>> {
        // No code panics while it holds the lock; and a map is whole whatever happens.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
