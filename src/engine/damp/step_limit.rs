//! Step limits by `behavior.*.policies`, as HPA v2 counts them.

use jiff::Timestamp;

use crate::engine::decision::Stage;
use crate::engine::draft::Draft;
use crate::engine::memory::Memory;
use crate::engine::reason::Reason;
use crate::policy::Rules;
use crate::policy::behavior::{ScalingRules, SelectPolicy, StepKind, StepPolicy};
use crate::policy::units::Replicas;

/// Limits the step. Unset policies limit nothing. Going to rest and waking up are not steps.
pub(crate) fn apply(draft: &mut Draft, rules: &Rules, memory: &Memory, now: Timestamp) {
    if draft.to == draft.current {
        return;
    }
    let up = draft.raises();
    let direction = if up { &rules.behavior.scale_up } else { &rules.behavior.scale_down };
    if direction.select_policy == SelectPolicy::Disabled {
        let way = if up { "scaleUp" } else { "scaleDown" };
        draft.hold(Stage::Damp, Reason::StepLimited, format!("behavior.{way} is disabled"));
        return;
    }
    if draft.current.0 == 0 || draft.to.0 == 0 {
        return;
    }
    let Some(limit) = limit(direction, up, draft.current, memory, now) else { return };
    let to = if up { draft.to.min(limit) } else { draft.to.max(limit) };
    if to != draft.to {
        let detail = format!("behavior.policies allow {limit} now, not {}", draft.to);
        draft.set(Stage::Damp, to, Reason::StepLimited, detail);
    }
}

/// The furthest count that the direction's policies allow; `None` where there are none.
fn limit(
    direction: &ScalingRules,
    up: bool,
    current: Replicas,
    memory: &Memory,
    now: Timestamp,
) -> Option<Replicas> {
    let limits = direction.policies.iter().map(|policy| reach(*policy, up, current, memory, now));
    match (direction.select_policy, up) {
        (SelectPolicy::Max, true) | (SelectPolicy::Min, false) => limits.max(),
        (SelectPolicy::Max, false) | (SelectPolicy::Min, true) => limits.min(),
        (SelectPolicy::Disabled, _) => Some(current),
    }
}

/// How far one policy lets the size go: it counts from the size at the start of its period, which is the
/// present one less what has been moved this way within the period.
fn reach(policy: StepPolicy, up: bool, current: Replicas, memory: &Memory, now: Timestamp) -> Replicas {
    let moved: u32 = memory
        .moves
        .iter()
        .filter(|made| made.is_raise() == up && made.seconds_ago(now) < f64::from(policy.period_seconds))
        .fold(0, |sum, made| sum.saturating_add(made.1.0.abs_diff(made.2.0)));
    let start = if up { current.0.saturating_sub(moved) } else { current.0.saturating_add(moved) };
    let step = match policy.kind {
        StepKind::Pods => policy.value,
        // At least one replica, as HPA rounds a move up: else 10 % of 5 would never move.
        StepKind::Percent => Replicas::covering(f64::from(start) * f64::from(policy.value) / 100.0)
            .unwrap_or_default()
            .0
            .max(1),
    };
    // A larger move than allowed, made by somebody else, never turns the limit around.
    Replicas(if up {
        start.saturating_add(step).max(current.0)
    } else {
        start.saturating_sub(step).min(current.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::memory::Move;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_step_counts_from_the_start_of_its_period() {
        let policy = StepPolicy { kind: StepKind::Pods, value: 4, period_seconds: 60 };
        let mut memory = Memory::default();
        assert_eq!(reach(policy, true, Replicas(2), &memory, at(100)), Replicas(6));
        memory.moves.push_back(Move(90, Replicas(2), Replicas(5)));
        assert_eq!(reach(policy, true, Replicas(5), &memory, at(100)), Replicas(6));
        assert_eq!(reach(policy, true, Replicas(5), &memory, at(150)), Replicas(9));
        let half = StepPolicy { kind: StepKind::Percent, value: 50, period_seconds: 60 };
        assert_eq!(reach(half, false, Replicas(5), &Memory::default(), at(0)), Replicas(2));
    }

    #[test]
    fn the_most_or_the_least_generous_policy_counts() {
        let pods = StepPolicy { kind: StepKind::Pods, value: 4, period_seconds: 60 };
        let double = StepPolicy { kind: StepKind::Percent, value: 100, period_seconds: 60 };
        let mut direction = ScalingRules { policies: vec![pods, double], ..ScalingRules::default() };
        let memory = Memory::default();
        assert_eq!(limit(&direction, true, Replicas(10), &memory, at(0)), Some(Replicas(20)));
        direction.select_policy = SelectPolicy::Min;
        assert_eq!(limit(&direction, true, Replicas(10), &memory, at(0)), Some(Replicas(14)));
    }
}
