//! What can go wrong when writing down.

use std::io;
use std::path::PathBuf;

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
}
