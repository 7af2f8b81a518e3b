//! What we decide: one pure function for the daemon, the dry run, `explain`, `replay` and the demo.
//!
//! No clock, no I/O, no randomness and no error return: missing, stale or impossible input is data and
//! ends in a hold with a reason. The same arguments give the same bytes.

pub mod decision;
pub mod memory;
pub mod observation;
pub mod reason;

use jiff::Timestamp;

pub use decision::{Change, Decision, Verdict};
pub use memory::Memory;
pub use observation::Observation;
pub use reason::Reason;

use crate::policy::Rules;

/// Decides about one workload, now.
///
/// `memory` is what the last call returned, or [`Memory::default`] for a workload never seen. What
/// became of earlier decisions is learnt from `observation` alone, so that a dry run, a crash between
/// deciding and writing, and a change by somebody else all need no special case.
pub fn evaluate(
    rules: &Rules,
    memory: Memory,
    observation: &Observation,
    now: Timestamp,
) -> (Memory, Decision) {
    let current = observation.target.current;
    let decision = Decision {
        at: now,
        current,
        desired: current,
        ceiling: None,
        verdict: Verdict::Hold,
        change: None,
        reason: if rules.paused { Reason::Paused } else { Reason::WarmingUp },
        trail: Vec::new(),
        estimate: decision::Estimate::default(),
        sentence: String::new(),
        counterfactual: String::new(),
    };
    (memory, decision)
}
