//! SHIM, to be replaced by the sources room's own: no connection works.

use std::sync::Arc;

use super::Source;
use crate::policy::TimeSpan;
use crate::policy::settings::Settings;
use crate::policy::source::SourceSpec;

/// Always.
#[derive(Debug, thiserror::Error)]
#[error("sources are not there yet")]
pub struct SourceError;

/// None.
#[derive(Debug)]
pub struct Connections;

/// Unknown.
#[derive(Debug)]
pub struct ConnectionStatus {
    /// Kind.
    pub kind: &'static str,
    /// Name.
    pub name: String,
    /// Health.
    pub healthy: Option<bool>,
    /// Problem.
    pub problem: Option<String>,
}

impl Connections {
    /// None.
    pub fn new(_: &Settings) -> Result<Self, SourceError> {
        Ok(Self)
    }

    /// None.
    pub fn source(&self, _: &SourceSpec, _: TimeSpan, _: TimeSpan) -> Result<Arc<dyn Source>, SourceError> {
        Err(SourceError)
    }

    /// None.
    pub fn status(&self) -> Vec<ConnectionStatus> {
        Vec::new()
    }
}
