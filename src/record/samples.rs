//! One complete turn, shared with `tests/`.

use super::Turn;

/// The recorded turn, as that of workload `shop/NAME`.
pub(crate) fn turn(name: &str) -> Turn {
    let mut turn: Turn = serde_json::from_str(include_str!("../../tests/record/turn.json")).unwrap();
    name.clone_into(&mut turn.workload.name);
    turn.target = format!("Deployment/{name}");
    turn
}
