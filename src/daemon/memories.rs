//! What the engine remembers of every workload, between the tasks that use it and the store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::engine::Memory;
use crate::policy::WorkloadId;

/// The shared shelf of memories. Cheap to clone; every clone is the same shelf.
#[derive(Debug, Clone, Default)]
pub struct Memories(Arc<Mutex<BTreeMap<WorkloadId, Memory>>>);

impl Memories {
    /// A shelf with what a store held.
    pub fn new(stored: BTreeMap<WorkloadId, Memory>) -> Self {
        Self(Arc::new(Mutex::new(stored)))
    }

    /// What is remembered of a workload, from now on kept up by [`Memories::put`].
    pub fn open(&self, id: &WorkloadId) -> Memory {
        self.lock().entry(id.clone()).or_default().clone()
    }

    /// Replaces a workload's memory, unless the workload was removed in the meantime.
    pub fn put(&self, id: &WorkloadId, memory: &Memory) {
        if let Some(kept) = self.lock().get_mut(id) {
            kept.clone_from(memory);
        }
    }

    /// Forgets every workload but these.
    pub fn retain(&self, ids: &BTreeSet<WorkloadId>) {
        self.lock().retain(|id, _| ids.contains(id));
    }

    /// The workloads that there is something to remember of.
    pub fn filled(&self) -> BTreeSet<WorkloadId> {
        let empty = Memory::default();
        self.lock().iter().filter(|(_, memory)| **memory != empty).map(|(id, _)| id.clone()).collect()
    }

    /// Everything, to be stored.
    pub fn snapshot(&self) -> BTreeMap<WorkloadId, Memory> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<WorkloadId, Memory>> {
        // No code panics while it holds the lock; and a map is whole whatever happens.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
