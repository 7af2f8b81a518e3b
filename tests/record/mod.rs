//! What is said about turns.
#![expect(clippy::unwrap_used, reason = "helpers of tests, where a panic is a failure")]

mod metrics;

use tidegate::record::Turn;

/// The recorded turn, as that of workload `shop/NAME`.
pub(crate) fn turn(name: &str) -> Turn {
    let mut turn: Turn = serde_json::from_str(include_str!("turn.json")).unwrap();
    turn.workload.name = name.to_owned();
    turn.target = format!("Deployment/{name}");
    turn
}
