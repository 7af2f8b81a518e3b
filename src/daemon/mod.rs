//! The loop: one turn per workload and interval.

pub mod clients;
pub mod clock;
pub mod cycle;
mod error;
pub mod fleet;
pub mod logging;
pub mod memories;
mod pace;
pub mod reload;

pub use error::DaemonError;
