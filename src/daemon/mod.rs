//! The loop: one turn per workload and interval.

pub mod clock;
pub mod cycle;
