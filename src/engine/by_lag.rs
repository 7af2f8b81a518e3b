//! The objective in records per replica: KEDA's and the HPA's rule, with our damping.

use jiff::Timestamp;

use super::damp::stabilization::Side;
use super::decision::Stage;
use super::draft::Draft;
use super::estimate::Belief;
use super::explain::number;
use super::look::Look;
use super::memory::Memory;
use super::reason::Reason;
use super::{bounds, size};
use crate::policy::Rules;
use crate::policy::units::Replicas;

/// Proposes the count that the backlog asks for; the dampers do the rest. Returns the need.
pub(crate) fn decide(
    draft: &mut Draft,
    rules: &Rules,
    memory: &mut Memory,
    belief: &Belief,
    look: &Look,
    records: u64,
    now: Timestamp,
) -> Replicas {
    let need = size::by_lag(rules, look, belief, records);
    let detail = format!("{} unprocessed records, {} for each replica", number(need.demand), records);
    let (to, binding) = bounds::apply(draft, rules, belief, need);
    memory.highest.push(now, to, rules.down_window_seconds(), Side::High);
    memory.lowest.push(now, to, rules.up_window_seconds(), Side::Low);
    let wanted = need.replicas.max(bounds::demanded(belief));
    let floor_alone = binding.clone().filter(|_| to > draft.current && wanted <= draft.current);
    let (reason, detail) = if let Some(floor) = floor_alone {
        floor
    } else if to > draft.current {
        (Reason::LoadNeedsMore, detail)
    } else if to < draft.current {
        (Reason::LoadNeedsFewer, detail)
    } else if let Some(binding) = binding {
        binding
    } else if memory.idle_since.is_some() && rules.min_replicas.0 == 0 {
        (Reason::CooldownActive, format!("{detail}; the cooldown is {}", rules.cooldown))
    } else {
        (Reason::AtNeed, detail)
    };
    draft.set(Stage::Size, to, reason, detail);
    need.replicas
}
