//! The hard limit on moves within any hour, whoever makes them.

use crate::engine::decision::Stage;
use crate::engine::draft::Draft;
use crate::engine::memory::{MOVES_KEPT, Memory};
use crate::engine::reason::Reason;
use crate::policy::Rules;

/// Holds a move once the hour's changes are used up. The last change of an hour is kept for a move up, so
/// that saving a replica can never stand in the way of the objective.
pub(crate) fn apply(draft: &mut Draft, rules: &Rules, memory: &Memory) {
    if draft.to == draft.current {
        return;
    }
    let allowed = allowed(rules);
    let kept_for_up = usize::from(draft.lowers() && allowed > 1);
    let used = memory.moves.len();
    if used + kept_for_up >= allowed {
        let detail = if used >= allowed {
            format!("{used} of {allowed} changes were made within the last hour")
        } else {
            format!(
                "{used} of {allowed} changes were made within the last hour; the last is kept for a move up"
            )
        };
        draft.hold(Stage::Damp, Reason::BudgetExhausted, detail);
    }
}

/// Whether an upper bound may change by itself. That counts as a move like any other, so it leaves the last
/// change of an hour to the replicas; and a fall, which only saves, takes no more than half of the hour's.
pub(crate) fn allows_bound(rules: &Rules, memory: &Memory, rises: bool) -> bool {
    let (allowed, used) = (allowed(rules), memory.moves.len());
    if rises { used + usize::from(allowed > 1) < allowed } else { 2 * used < allowed }
}

fn allowed(rules: &Rules) -> usize {
    usize::try_from(rules.changes_per_hour).unwrap_or(usize::MAX).clamp(1, MOVES_KEPT)
}
