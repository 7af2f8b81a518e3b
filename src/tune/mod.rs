//! Self-tuning: what a workload lived through, replayed by the engine itself under other constants.
//!
//! [`history`] is what is kept of a workload, [`rehearsal`] runs it again on a plant like it, [`choice`] compares the
//! neighbours of the constants in force, and [`tuner`] is what has come of that so far. Nothing here reads a clock or
//! does I/O: the daemon, `simulate` and tests call the same.

pub mod choice;
pub mod glimpse;
pub mod history;
mod hour;
pub mod rehearsal;
pub mod tuner;
