//! Where results are kept, so that a long bench can be gone on with: a folder beside the build's.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The folder.
pub(super) struct Store(PathBuf);

impl Store {
    /// The one of this bench; emptied first if `fresh`.
    pub(super) fn open(bench: &str, fresh: bool) -> Result<Self> {
        let exe = std::env::current_exe()?;
        let dir = exe.ancestors().nth(3).context("the test binary lies outside of target/")?.join(bench);
        if fresh && dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        fs::create_dir_all(&dir)?;
        Ok(Self(dir))
    }

    /// What was kept under this name, if it is there and of this kind.
    pub(super) fn get<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_slice(&fs::read(self.0.join(format!("{name}.json"))).ok()?).ok()
    }

    /// Keeps it.
    pub(super) fn put<T: Serialize>(&self, name: &str, value: &T) -> Result<()> {
        Ok(fs::write(self.0.join(format!("{name}.json")), serde_json::to_vec(value)?)?)
    }

    /// Writes what people read; where.
    pub(super) fn write(&self, file: &str, text: &str) -> Result<PathBuf> {
        let path = self.0.join(file);
        fs::write(&path, text)?;
        Ok(path)
    }
}
