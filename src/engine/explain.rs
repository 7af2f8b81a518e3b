//! Stage 9: the decision in words.

use std::cmp::Ordering;
use std::fmt;

use jiff::Timestamp;

use super::decision::{Decision, Stage, Verdict};
use super::reason::{Reason, ReasonKind};
use crate::policy::Rules;
use crate::policy::preset::{Knobs, Preset};
use crate::policy::units::{Replicas, records_f64};

/// A figure for people: `1,200`, `205`, `7.5`, `0.04`. Spelt out only where it is read.
pub(crate) fn number(value: f64) -> impl fmt::Display {
    fmt::from_fn(move |to| spell(value, to))
}

fn spell(value: f64, to: &mut fmt::Formatter<'_>) -> fmt::Result {
    if !value.is_finite() {
        return to.write_str("unlimited");
    }
    let short = |text: String| text.trim_end_matches('0').trim_end_matches('.').to_owned();
    if value.abs() < 0.995 {
        return to.write_str(&short(format!("{value:.2}")));
    }
    if value.abs() < 99.5 {
        return to.write_str(&short(format!("{value:.1}")));
    }
    let digits = format!("{:.0}", value.abs());
    let mut grouped = String::from(if value < 0.0 { "-" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    to.write_str(&grouped)
}

/// A time for people: `45 s`, `12 min`, `3.5 h`. Spelt out only where it is read.
pub(crate) fn seconds(value: f64) -> impl fmt::Display {
    fmt::from_fn(move |to| {
        if !value.is_finite() {
            to.write_str("for ever")
        } else if value < 120.0 {
            write!(to, "{value:.0} s")
        } else if value < 7200.0 {
            write!(to, "{} min", number(value / 60.0))
        } else {
            write!(to, "{} h", number(value / 3600.0))
        }
    })
}

/// The decision in one sentence: the move, and the words of the stage that bound it.
pub(crate) fn sentence(decision: &Decision) -> String {
    let said = decision.trail.iter().rev().find(|step| step.reason == decision.reason);
    let detail = said.map_or_else(|| decision.reason.meaning().to_owned(), |step| step.detail.clone());
    match (decision.verdict, decision.current, decision.desired) {
        (Verdict::Raise | Verdict::Lower, Some(from), Some(to)) => {
            // A damper that only shortened the move says so; what moved it comes first.
            let cause = decision.trail.iter().rev().find(|step| {
                matches!(step.stage, Stage::Up | Stage::Down | Stage::Size)
                    && step.reason != decision.reason
                    // What wanted no more is not why a schedule asks for more.
                    && (decision.reason != Reason::AtScheduledMinimum || step.to > decision.current)
            });
            match cause {
                Some(cause) if said.is_some_and(|step| step.stage == Stage::Damp) => {
                    format!("{from} -> {to}: {}; {detail}.", cause.detail)
                }
                _ => format!("{from} -> {to}: {detail}."),
            }
        }
        (_, Some(at), _) => format!("Hold at {at}: {detail}."),
        (_, None, _) => format!("Hold: {detail}."),
    }
}

/// What would flip the decision, and when it is looked at next.
pub(crate) fn counterfactual(decision: &Decision, rules: &Rules) -> String {
    let estimate = &decision.estimate;
    let mut flips = Vec::new();
    if let (Some(capacity), Some(current)) = (estimate.capacity_per_replica, decision.desired) {
        let most = capacity * current.as_f64();
        flips.push(format!("more would be asked for once about {} records/s arrive", number(most)));
    }
    let by_reason = awaited(decision, rules);
    if let Some(by_reason) = by_reason {
        flips = vec![by_reason];
    } else if let (Some(need), Some(desired)) = (estimate.need, decision.desired)
        && need < desired
        && need >= rules.min_replicas
    {
        flips.push(format!("{need} would be gone down to if the need stays there"));
    }
    if flips.is_empty() {
        flips.push("a change of the load".to_owned());
    }
    let flips = flips.join("; ");
    format!("What would flip it: {flips}. Looked at again in {}.{}", rules.interval, weighing(rules))
}

/// What freshness and replicas are weighed by, where that is not the usual.
fn weighing(rules: &Rules) -> String {
    let Knobs { target_utilization, usable_lag, rescale_cost, payback } = rules.knobs;
    let knobs = [
        target_utilization.map(|percent| format!("targetUtilization {percent} %")),
        usable_lag.map(|percent| format!("usableLag {percent} %")),
        rescale_cost.map(|span| format!("rescaleCost {span}")),
        payback.map(|times| format!("payback {}", number(times))),
    ];
    let knobs: Vec<String> = knobs.into_iter().flatten().collect();
    match (rules.preset, knobs.join(", ")) {
        (Preset::Balanced, knobs) if knobs.is_empty() => String::new(),
        (preset, knobs) if knobs.is_empty() => format!(" Weighed by preset {preset}."),
        (preset, knobs) => format!(" Weighed by preset {preset} with {knobs}."),
    }
}

/// As [`counterfactual`], where the clock has stepped back since the last turn.
pub(crate) fn clock(seen: Timestamp, rules: &Rules) -> String {
    format!(
        "What would flip it: a clock past {seen:.0}, the last turn. Looked at again in {}.",
        rules.interval
    )
}

/// What a decision waits for that does not depend on the load; `None` where only the load counts.
fn awaited(decision: &Decision, rules: &Rules) -> Option<String> {
    let doubtful = [Reason::SignalPartial, Reason::SignalsDisagree, Reason::GroupUnknown];
    let reason = decision.reason;
    let held = decision.schedule.as_ref().and_then(|scheduled| scheduled.holds.as_ref());
    if let (Reason::AtScheduledMinimum, Some(window)) = (reason, held) {
        let until = window.clock(window.until);
        Some(format!("the end of schedule `{}` on {until}, or a load that needs more", window.schedule))
    } else if reason == Reason::Paused {
        Some("nothing, until the policy is no longer paused".to_owned())
    } else if reason == Reason::OwnedByOther {
        Some("nothing, while somebody else moves the target".to_owned())
    } else if matches!(reason, Reason::TargetNotFound | Reason::TargetUnreadable) {
        Some("nothing, until the target can be read".to_owned())
    } else if reason == Reason::GroupRebalancing {
        Some("the end of the rebalance".to_owned())
    } else if reason == Reason::WarmingUp {
        Some("a rate: two looks in a row, or a source that tells it".to_owned())
    } else if doubtful.contains(&reason) {
        let known = "complete readings, or a load that needs more by what is known";
        Some(rules.fallback.map_or_else(
            || known.to_owned(),
            |floor| format!("{known}; after {} without, at least {}", floor.after, floor.replicas),
        ))
    } else if reason.kind() == ReasonKind::Blind {
        Some(rules.fallback.map_or_else(
            || "trusted readings".to_owned(),
            |floor| format!("trusted readings; after {} without, at least {}", floor.after, floor.replicas),
        ))
    } else if reason == Reason::Idle && decision.desired == Some(Replicas(0)) {
        Some(format!("more than {} unprocessed records wake it", rules.activation_lag))
    } else {
        None
    }
}

/// The whole decision for people: the sentence, what was believed, and every stage's word.
pub fn render(decision: &Decision) -> String {
    let estimate = &decision.estimate;
    let figures = [
        ("arrives", estimate.arrival_rate.map(|rate| format!("{} records/s", number(rate)))),
        ("to be ready for", estimate.anticipated_rate.map(|rate| format!("{} records/s", number(rate)))),
        ("waits", estimate.backlog.map(|records| format!("{} records", number(records_f64(records))))),
        ("oldest record", estimate.backlog_age_seconds.map(|one| seconds(one).to_string())),
        (
            "one replica",
            estimate
                .capacity_per_replica
                .map(|rate| format!("{} records/s ({})", number(rate), estimate.capacity_basis)),
        ),
        ("a move up takes", estimate.raise_seconds.map(|one| seconds(one).to_string())),
        ("a move down stops", estimate.lower_seconds.map(|one| seconds(one).to_string())),
        ("partitions", estimate.partitions.map(|count| count.to_string())),
        ("needed", estimate.need.map(|count| count.to_string())),
    ];
    let believed = figures
        .iter()
        .map(|(name, figure)| format!("  {name:<18}{}", figure.as_deref().unwrap_or("unknown")));
    let clock = decision.schedule.as_ref().map(|scheduled| {
        let holding = scheduled.holding(decision.at).unwrap_or_else(|| "no schedule holds".to_owned());
        let coming = scheduled.coming().unwrap_or_else(|| "none".to_owned());
        format!("  {:<18}{holding}\n  {:<18}{coming}", "by the clock", "next by the clock")
    });
    let said = decision.trail.iter().map(|step| {
        let counts = match (step.from, step.to) {
            (Some(from), Some(to)) if from != to => format!("{from} -> {to}"),
            (_, Some(at)) => at.to_string(),
            (_, None) => "-".to_owned(),
        };
        format!("  {:<9} {counts:<9} {}: {}", step.stage.to_string(), step.reason, step.detail)
    });
    let words = [decision.sentence.clone(), decision.counterfactual.clone()];
    let mut text = words.into_iter().chain(believed).chain(clock).chain(said).collect::<Vec<_>>().join("\n");
    text.push('\n');
    text
}

/// The verdict, as it lies between two counts.
pub(crate) fn verdict(from: Replicas, to: Replicas) -> Verdict {
    match to.cmp(&from) {
        Ordering::Greater => Verdict::Raise,
        Ordering::Less => Verdict::Lower,
        Ordering::Equal => Verdict::Hold,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        let cases = [(1200.0, "1,200"), (1_234_567.0, "1,234,567"), (205.4, "205"), (7.5, "7.5"), (2.0, "2")];
        for (value, text) in cases {
            assert_eq!(number(value).to_string(), text);
        }
        assert_eq!(number(0.04).to_string(), "0.04");
        assert_eq!(number(0.0).to_string(), "0");
        assert_eq!(seconds(45.2).to_string(), "45 s");
        assert_eq!(seconds(720.0).to_string(), "12 min");
        assert_eq!(seconds(f64::INFINITY).to_string(), "for ever");
    }
}
