//! A decision in the making: the number so far, the reason that bound it, and the trail.

use std::fmt::Display;

use super::decision::{Stage, Step};
use super::observation::{Binding, TargetLimit, TargetReading};
use super::reason::Reason;
use super::schedule::Floor;
use crate::policy::units::Replicas;

/// The number so far and how it came about. Stages change it in order; each change leaves a step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Draft {
    /// The replicas asked for now.
    pub(crate) current: Replicas,
    /// Whether nothing runs, and nothing is asked to.
    pub(crate) at_rest: bool,
    /// The replicas to ask for, so far.
    pub(crate) to: Replicas,
    /// What bound `to`.
    pub(crate) reason: Reason,
    /// What is not gone below.
    pub(crate) floor: Floor,
    /// What the target cannot go beyond now.
    pub(crate) limit: Option<TargetLimit>,
    /// Which part of the target decides what its replicas can do.
    pub(crate) binding: Option<Binding>,
    /// Every word so far; `None` where nobody reads them.
    pub(crate) trail: Option<Vec<Step>>,
}

impl Draft {
    /// Starts at what is; in words, or without any.
    pub(crate) fn new(target: &TargetReading, current: Replicas, words: bool) -> Self {
        // A lower bound of 0 rests nobody: whoever moves the replicas above it may have woken them.
        let may_run = target.ceiling.is_some() && target.ready != Some(Replicas(0));
        let at_rest = current.0 == 0 && !may_run;
        Self {
            current,
            at_rest,
            to: current,
            reason: Reason::AtNeed,
            floor: Floor::default(),
            limit: target.limit,
            binding: target.binding.clone(),
            trail: words.then(Vec::new),
        }
    }

    /// Changes the number, or says why it stays. What was merely noted in the same words just before is not
    /// said twice.
    pub(crate) fn set(&mut self, stage: Stage, to: Replicas, reason: Reason, detail: impl Display) {
        if let Some(trail) = &mut self.trail {
            let detail = detail.to_string();
            trail.pop_if(|last| {
                last.from == last.to && (last.stage, last.reason, &last.detail) == (stage, reason, &detail)
            });
            trail.push(Step { stage, from: Some(self.to), to: Some(to), reason, detail });
        }
        self.to = to;
        self.reason = reason;
    }

    /// Back to what is.
    pub(crate) fn hold(&mut self, stage: Stage, reason: Reason, detail: impl Display) {
        self.set(stage, self.current, reason, detail);
    }

    /// Says something that does not change the number.
    pub(crate) fn note(&mut self, stage: Stage, reason: Reason, detail: impl Display) {
        let at = Some(self.to);
        if let Some(trail) = &mut self.trail {
            trail.push(Step { stage, from: at, to: at, reason, detail: detail.to_string() });
        }
    }

    /// Whether the number lies over what is.
    pub(crate) fn raises(&self) -> bool {
        self.to > self.current
    }

    /// Whether the number lies under what is.
    pub(crate) fn lowers(&self) -> bool {
        self.to < self.current
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_note_said_is_not_said_again() {
        let (from, to) = (Replicas(6), Replicas(6));
        let mut draft = Draft {
            current: from,
            at_rest: false,
            to: from,
            reason: Reason::AtNeed,
            floor: Floor::default(),
            limit: None,
            binding: None,
            trail: Some(Vec::new()),
        };
        let word = || "9 needed, maxReplicas is 6".to_owned();
        draft.note(Stage::Size, Reason::AtMaxReplicas, word());
        draft.set(Stage::Size, to, Reason::AtMaxReplicas, word());
        assert_eq!((draft.trail.as_ref().unwrap().len(), draft.reason), (1, Reason::AtMaxReplicas));
        draft.set(Stage::Damp, to, Reason::AtMaxReplicas, word());
        assert_eq!(draft.trail.as_ref().unwrap().len(), 2, "another stage has a word of its own");
    }
}
