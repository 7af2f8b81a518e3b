//! What is said about turns.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests, where a panic is a failure"
)]

mod events;
mod journal;
mod memory_store;
mod metrics;

use tidegate::record::Turn;

/// The recorded turn, as that of workload `shop/NAME`.
pub(crate) fn turn(name: &str) -> Turn {
    let mut turn: Turn = serde_json::from_str(include_str!("turn.json")).unwrap();
    name.clone_into(&mut turn.workload.name);
    turn.target = format!("Deployment/{name}");
    turn
}
