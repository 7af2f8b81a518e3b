//! SHIM, to be replaced by the record room's own: a store that is always empty.

use std::collections::BTreeMap;

use crate::engine::Memory;
use crate::policy::WorkloadId;

/// Never.
#[derive(Debug, thiserror::Error)]
#[error("no store")]
pub struct MemoryError;

/// Nothing.
#[derive(Debug, Clone)]
pub struct MemoryStore;

impl MemoryStore {
    /// Nothing.
    pub fn new(_: &kube::Client, _: &crate::policy::settings::MemoryStore) -> Self {
        Self
    }

    /// Nothing.
    pub async fn load(&self) -> Result<BTreeMap<WorkloadId, Memory>, MemoryError> {
        Ok(BTreeMap::new())
    }

    /// Nothing.
    pub async fn save(&self, _: &BTreeMap<WorkloadId, Memory>) -> Result<(), MemoryError> {
        Ok(())
    }
}

impl MemoryError {
    /// No.
    pub fn forbidden(&self) -> bool {
        false
    }
}
