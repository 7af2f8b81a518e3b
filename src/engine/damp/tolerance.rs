//! Differences too small to act on.

use crate::engine::decision::Stage;
use crate::engine::draft::Draft;
use crate::engine::reason::Reason;
use crate::policy::{Objective, Rules};

/// Holds a move whose relative size is within the direction's tolerance. A move up under `maxLag` is only
/// held by a tolerance that somebody configured; and the upper bound is always reached, where HPA's own
/// rule stays a replica short of it.
pub(crate) fn apply(draft: &mut Draft, rules: &Rules) {
    if draft.to == draft.current || draft.current.0 == 0 || draft.to.0 == 0 {
        return;
    }
    let up = draft.raises();
    let direction = if up { &rules.behavior.scale_up } else { &rules.behavior.scale_down };
    let urgent = up && matches!(rules.objective, Objective::MaxLag { .. }) && direction.tolerance.is_none();
    if urgent || (up && draft.to == rules.max_replicas) {
        return;
    }
    let tolerance = Rules::tolerance(direction);
    let change = (draft.to.as_f64() - draft.current.as_f64()).abs() / draft.current.as_f64();
    if change <= tolerance {
        let detail = format!(
            "{} to {} is a change of {:.0} % with {:.0} % tolerated",
            draft.current,
            draft.to,
            change * 100.0,
            tolerance * 100.0
        );
        draft.hold(Stage::Damp, Reason::WithinTolerance, detail);
    }
}
