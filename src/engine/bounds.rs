//! The hard bounds: `minReplicas`, `maxReplicas`, and the floor for when the inputs cannot be trusted.

use jiff::Timestamp;

use super::decision::Stage;
use super::draft::Draft;
use super::effect::Bound;
use super::estimate::Belief;
use super::explain::{number, seconds};
use super::ladder::Ladder;
use super::memory::{Memory, lasted};
use super::observation::LimitCause;
use super::reason::Reason;
use super::schedule::Floor;
use super::size::Need;
use crate::policy::Rules;
use crate::policy::rules::PartitionRule;
use crate::policy::units::Replicas;

/// Brings a need into the bounds: to `maxReplicas`, also between two rungs, for then all but a few of the
/// replicas have the lesser share; and never under the floor. `Some` with the reason where that changed it.
fn fit(rules: &Rules, floor: &Floor, ladder: &Ladder, need: Replicas) -> (Replicas, Option<Reason>) {
    if need > rules.max_replicas {
        let most = match rules.partitions {
            PartitionRule::EvenDistribution => ladder.within(rules.max_replicas),
            PartitionRule::Ladder
            | PartitionRule::LimitToPartitionsWithLag
            | PartitionRule::AllowIdleConsumers => rules.max_replicas,
        };
        (most.max(floor.replicas), Some(Reason::AtMaxReplicas))
    } else if need < floor.replicas {
        (floor.replicas, (floor.replicas.0 > 1).then(|| floor.reason()))
    } else {
        (need, None)
    }
}

/// The last word: a result outside of the bounds is brought to the bound that it crosses, whatever held it
/// there. A bound is the operator's order, and not a matter of trust in any reading.
pub(crate) fn enforce(draft: &mut Draft, rules: &Rules) {
    let resting = draft.to.0 == 0 && rules.min_replicas.0 == 0;
    let least = rules.min_replicas.max(Replicas(1)).min(rules.max_replicas);
    if draft.to > rules.max_replicas {
        let detail = format!("maxReplicas is {}", rules.max_replicas);
        draft.set(Stage::Damp, rules.max_replicas, Reason::AtMaxReplicas, detail);
    } else if !resting && draft.to < least {
        let detail = format!("minReplicas is {}", rules.min_replicas);
        draft.set(Stage::Damp, least, Reason::AtMinReplicas, detail);
    }
    if let Some(limit) = draft.limit {
        let most = limit.most.max(draft.current);
        if draft.to > most {
            let (reason, what) = match limit.cause {
                LimitCause::Slots => (Reason::SlotsMissing, "there are slots for"),
                LimitCause::MaxParallelism => (Reason::AtMaxParallelism, "maxParallelism is"),
                LimitCause::Vertex => (Reason::AtVertexLimit, "the job's vertices can follow up to"),
                LimitCause::Quarantine => (Reason::Quarantined, "the job did not bear more than"),
                LimitCause::Quota => (Reason::QuotaReached, "quotas leave room for"),
                LimitCause::Pending => (Reason::PodsPending, "Pods have been Pending for long at"),
            };
            let own = matches!(limit.cause, LimitCause::Vertex | LimitCause::MaxParallelism);
            let by = draft.binding.as_ref().filter(|_| own).and_then(|binding| binding.limited_by.as_ref());
            let by = by.map(|by| format!(" ({by})")).unwrap_or_default();
            let detail = format!("{} needed, {what} {}{by}", draft.to, limit.most);
            draft.set(Stage::Damp, most, reason, detail);
        }
    }
}

/// Up to what a schedule asks for, whatever holds the number below it but the hour's budget. Like a bound it is the
/// operator's order; and no workload rests while it holds.
pub(crate) fn keep_schedule(draft: &mut Draft) {
    if let Some(words) = draft.floor.scheduled.clone()
        && draft.to < draft.floor.replicas
    {
        draft.set(Stage::Damp, draft.floor.replicas, Reason::AtScheduledMinimum, words);
    }
}

/// While silent or doubtful for too long: up to the fallback floor, never down.
pub(crate) fn fall_back(draft: &mut Draft, rules: &Rules, memory: &Memory, now: Timestamp) {
    let Some(fallback) = rules.fallback else { return };
    let doubtful = lasted(memory.doubtful_since, now);
    if memory.doubtful_since.is_none() || doubtful < fallback.after.as_secs_f64() {
        return;
    }
    let to = fallback.replicas.min(rules.max_replicas);
    if to > draft.to {
        let detail = format!("no trusted readings for {}: at least {to}", seconds(doubtful));
        draft.set(Stage::Size, to, Reason::Fallback, detail);
    }
}

/// What somebody else has worked out to be needed, on the ladder; 0 where nobody has.
pub(crate) fn demanded(belief: &Belief) -> Replicas {
    belief.demand.and_then(Replicas::covering).map_or(Replicas(0), |floor| belief.ladder.at_least(floor))
}

/// What was found out about larger sizes, in words.
pub(crate) fn no_gain(bound: Bound) -> String {
    format!(
        "more than {} were seen to process no more than {} records/s; looked at again after {:.0}",
        bound.useful,
        number(bound.rate),
        bound.until
    )
}

/// Brings the need into every bound there is, and says which ones bind. `Some` with the reason where
/// nothing else will have the last word.
pub(crate) fn apply(
    draft: &mut Draft,
    rules: &Rules,
    belief: &Belief,
    need: Need,
) -> (Replicas, Option<(Reason, String)>) {
    let mut binding = None;
    let wanted = need.replicas.max(demanded(belief));
    if need.hot {
        let share = belief.busiest_share.unwrap_or(0.0) * 100.0;
        let detail =
            format!("one partition brings {share:.0} % of the load, more than one replica processes");
        binding = Some((Reason::HotPartition, detail));
    } else if need.quotient > need.replicas && belief.ladder.partitions().is_some() {
        let top = belief.ladder.top();
        let detail = format!("{} would be needed, but no more than {top} can share the load", need.quotient);
        let tasks = belief.ladder.is_of_tasks();
        let reason = if tasks { Reason::ClampedToTasks } else { Reason::ClampedToPartitions };
        binding = Some((reason, detail));
    }
    let (to, reason) = fit(rules, &draft.floor, &belief.ladder, wanted);
    if let Some(reason) = reason {
        let detail = if to < wanted {
            format!("{wanted} needed, maxReplicas is {}", rules.max_replicas)
        } else {
            format!("{wanted} needed, {}", draft.floor.words(rules))
        };
        binding = Some((reason, detail));
    }
    let to = match belief.bound.filter(|bound| to > bound.useful) {
        Some(bound) => {
            binding = Some((Reason::NoGain, no_gain(bound)));
            bound.useful.max(draft.floor.replicas)
        }
        None => to,
    };
    if let Some((reason, detail)) = &binding {
        draft.note(Stage::Size, *reason, detail.clone());
    }
    (to, binding)
}
