//! Moves down of a target that stops for each of them: to where the need has come to rest, and one at a time.
//!
//! The load's estimate follows a fall step by step. Each step would be worth a move by itself, and all of them together
//! one.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::engine::decision::Stage;
use crate::engine::draft::Draft;
use crate::engine::memory::{Memory, seconds_between};
use crate::engine::reason::Reason;
use crate::policy::Rules;
use crate::policy::units::Replicas;

/// Seconds for which what is enough must not have fallen any further.
const AT_REST: f64 = 30.0;
/// Seconds from one move down to the next, unless there was one up in between.
const BETWEEN: f64 = 300.0;

/// What has been enough, and since when no less has been.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Fall {
    to: Replicas,
    since: Timestamp,
}

/// Holds a move down that another would soon follow. A window that the policy states stands in place of this; a size that
/// did no more is given back at once.
pub(crate) fn apply(draft: &mut Draft, rules: &Rules, memory: &mut Memory, now: Timestamp) {
    let stated = rules.behavior.scale_down.stabilization_window_seconds.is_some();
    let settles = draft.lowers() && memory.cost.stops() && !stated;
    if !settles || matches!(draft.reason, Reason::Idle | Reason::NoGain) {
        memory.fall = None;
        return;
    }
    let before = memory.fall.filter(|fall| draft.to >= fall.to);
    let fall = *memory.fall.insert(before.unwrap_or(Fall { to: draft.to, since: now }));
    let last = memory.moves.iter().rev().find(|made| made.1 != made.2);
    let since_last = last.filter(|made| !made.is_raise()).map(|made| made.seconds_ago(now));
    if let Some(seconds) = since_last.filter(|seconds| *seconds < BETWEEN) {
        let detail = format!(
            "{} would do; the last move down was {seconds:.0} s ago, and each stops all of it: one in 5 min",
            draft.to
        );
        draft.hold(Stage::Damp, Reason::DownStabilizing, detail);
    } else if seconds_between(fall.since, now) < AT_REST {
        let detail = format!("{} would do, and what is needed may still be falling", draft.to);
        draft.hold(Stage::Damp, Reason::DownStabilizing, detail);
    }
}
