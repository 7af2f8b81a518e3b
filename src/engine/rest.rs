//! Workloads that may rest at 0 replicas: what wakes them, and what lets the last replica go.

use jiff::Timestamp;

use super::decision::Stage;
use super::draft::Draft;
use super::estimate::Belief;
use super::explain::{number, seconds};
use super::look::Look;
use super::memory::{Memory, lasted, since};
use super::reason::Reason;
use super::trust::Trust;
use crate::policy::units::{Replicas, records_f64};
use crate::policy::{Objective, Rules};

/// Takes note of whether there is nothing to do. Doubt starts the clock again.
pub(crate) fn watch(rules: &Rules, memory: &mut Memory, look: &Look, trust: &Trust, now: Timestamp) {
    let idle = *trust == Trust::Full && is_idle(rules, look);
    since(&mut memory.idle_since, idle, now);
}

/// Nothing waits; and where the objective is an age, nothing arrives either: a workload that keeps up has
/// no backlog, and is not idle for that. (KEDA's rule for its own objective looks at the backlog alone.)
fn is_idle(rules: &Rules, look: &Look) -> bool {
    let waits = look.backlog().is_none_or(|backlog| backlog > records_f64(rules.activation_lag));
    let wanted = look.demand.is_some_and(|demand| demand > 0.0);
    let arrives = match rules.objective {
        Objective::LagPerReplica { .. } => false,
        Objective::MaxLag { .. } => {
            look.groups.iter().any(|group| group.arrived.is_none_or(|arrived| arrived > 0.0))
                || look.metric_rate.is_some_and(|rate| rate > 0.0)
        }
    };
    !(waits || wanted || arrives)
}

/// Whether work waits for a workload without replicas: by the backlog, or where nobody counts one by anything
/// that arrives or has grown old.
fn wakes(rules: &Rules, belief: &Belief) -> bool {
    let some = |figure: Option<f64>| figure.is_some_and(|figure| figure > 0.0);
    let waits = belief.backlog.map_or_else(
        || some(belief.rate) || some(belief.age),
        |backlog| backlog > records_f64(rules.activation_lag),
    );
    waits || some(belief.demand)
}

/// Wakes a workload at rest that something waits for, whatever is known of what it takes. Where nobody counts
/// what waits, nothing but waking it can tell how much that is.
pub(crate) fn wake(draft: &mut Draft, rules: &Rules, belief: &Belief) {
    if draft.current.0 > 0 || !(wakes(rules, belief) || draft.raises()) {
        return;
    }
    let to = draft.to.max(draft.floor.replicas);
    if !draft.at_rest && draft.to == to {
        return; // Somebody else has woken it, and the need has been told.
    }
    let waits = match (belief.backlog, belief.rate) {
        (Some(backlog), _) => format!("{} records wait", number(backlog)),
        (None, Some(rate)) if rate > 0.0 => format!("{} records/s arrive", number(rate)),
        (None, _) => "work waits".to_owned(),
    };
    let (reason, who) = if draft.at_rest {
        (Reason::Activated, "workload at rest")
    } else {
        (Reason::LoadNeedsMore, "lower bound of 0")
    };
    draft.set(Stage::Up, to, reason, format!("{waits} for a {who}"));
}

/// Whether the decision is made here: at rest and nothing to wake for, or idle for long enough to rest.
pub(crate) fn decide(
    draft: &mut Draft,
    rules: &Rules,
    memory: &Memory,
    belief: &Belief,
    trust: &Trust,
    now: Timestamp,
) -> bool {
    if rules.min_replicas.0 > 0 {
        return false;
    }
    if draft.current.0 == 0 {
        if wakes(rules, belief) {
            return false;
        }
        match trust {
            Trust::UpOnly(word) | Trust::Hold(word) => {
                draft.hold(Stage::Trust, word.reason, word.detail.clone());
            }
            Trust::Full => {
                let waits = belief.backlog.map_or("nothing arrives".to_owned(), |backlog| {
                    format!("{} records wait", number(backlog))
                });
                let (reason, would) = if draft.at_rest {
                    (Reason::Idle, "wake it")
                } else {
                    (Reason::AtNeed, "raise the bound")
                };
                let detail =
                    format!("{waits}; more than {} {would}", number(records_f64(rules.activation_lag)));
                draft.hold(Stage::Size, reason, detail);
            }
        }
        return true;
    }
    let idle = lasted(memory.idle_since, now);
    let cooldown = rules.cooldown.as_secs_f64();
    if *trust != Trust::Full || memory.idle_since.is_none() {
        return false;
    }
    if idle < cooldown {
        let detail = format!("idle for {} of {}", seconds(idle), seconds(cooldown));
        draft.note(Stage::Size, Reason::CooldownActive, detail);
        return false;
    }
    let detail = format!("idle for {}, longer than the cooldown of {}", seconds(idle), seconds(cooldown));
    draft.set(Stage::Size, Replicas(0), Reason::Idle, detail);
    true
}
