//! What can go wrong when writing down.

use std::io;
use std::path::PathBuf;

use crate::words;

/// What could not be recorded. None of these ever stops the loop.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The journal's file could not be opened.
    #[error("the journal {} cannot be opened: {source} (settings: journal.file.path)", path.display())]
    OpenJournal {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The journal's thread could not be started.
    #[error("the journal's thread cannot be started: {0}")]
    StartJournal(io::Error),
    /// A ConfigMap with memories could not be read.
    #[error("the ConfigMap {name} with the damping state cannot be read: {problem}")]
    ReadMemory {
        /// Its name.
        name: String,
        /// What the API server said.
        problem: String,
        /// The rights for it are missing.
        forbidden: bool,
    },
    /// A ConfigMap with memories could not be written.
    #[error("the ConfigMap {name} with the damping state cannot be written: {problem}")]
    WriteMemory {
        /// Its name.
        name: String,
        /// What the API server said.
        problem: String,
        /// The rights for it are missing.
        forbidden: bool,
    },
    /// A ConfigMap with memories would become too large.
    #[error("the ConfigMap {name} with the damping state would hold {bytes} bytes: raise memory.shards")]
    MemoryTooLarge {
        /// Its name.
        name: String,
        /// Its size.
        bytes: usize,
    },
    /// A memory could not be encoded.
    #[error("a memory cannot be encoded: {0}")]
    EncodeMemory(serde_json::Error),
}

impl RecordError {
    /// Whether it is for want of rights, which asking again does not cure.
    pub fn is_forbidden(&self) -> bool {
        matches!(self, Self::ReadMemory { forbidden: true, .. } | Self::WriteMemory { forbidden: true, .. })
    }

    pub(super) fn read_memory(name: String, error: &kube::Error) -> Self {
        Self::ReadMemory { name, problem: words::of_kube(error), forbidden: is_forbidden(error) }
    }

    pub(super) fn write_memory(name: String, error: &kube::Error) -> Self {
        Self::WriteMemory { name, problem: words::of_kube(error), forbidden: is_forbidden(error) }
    }
}

fn is_forbidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 403)
}
