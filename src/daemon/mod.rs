//! The loop: one turn per workload and interval.

pub mod clients;
pub mod clock;
pub mod cycle;
pub mod equip;
mod error;
pub mod fleet;
mod keeper;
pub mod logging;
pub mod look;
pub mod memories;
mod pace;
pub mod reload;
pub mod run;
pub mod tuners;
pub mod tuning;

pub use error::DaemonError;
