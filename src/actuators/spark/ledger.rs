//! What is known of an application's restarts. It stands in an annotation of the application itself, so that it
//! outlives the daemon, and is written together with what it tells of.

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use kube::api::DynamicObject;
use serde::{Deserialize, Serialize};

use super::bounds::Range;
use crate::engine::observation::Price;

/// The annotation.
pub(super) const RESTARTS: &str = "tidegate.dev/restarts";
/// Seconds that a restart takes until one was measured: a driver, its executors, and the batch that is run again.
const USUAL: f64 = 90.0;
/// Restarts that are remembered at most.
const REMEMBERED: usize = 100;

/// What is known of an application's restarts by us.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Ledger {
    /// Those of the last day, the latest last.
    past: Vec<Past>,
    /// The last one, with all that its proof needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last: Option<Attempt>,
}

/// One restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Past {
    at: Timestamp,
    /// It made the application smaller.
    #[serde(default)]
    lower: bool,
    /// Seconds until it was proved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
}

/// The last restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Attempt {
    /// When it was asked for.
    pub(super) at: Timestamp,
    pub(super) from: Range,
    pub(super) to: Range,
    /// The application's id before.
    pub(super) app: String,
    /// The last batch that was committed before.
    pub(super) batch: u64,
    pub(super) phase: Phase,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) why: String,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Phase {
    /// Asked for, not proved.
    Asked,
    /// It runs with the new bounds, and commits batches.
    Proved,
    /// Its old bounds were asked for again.
    Undoing { since: Timestamp },
    /// It runs with its old bounds again.
    Undone { at: Timestamp },
    /// Nothing more is tried.
    GivenUp { at: Timestamp },
}

impl Ledger {
    /// Reads it. One that cannot be read is not the same as none: it holds everything back.
    pub(super) fn of(object: &DynamicObject) -> Result<Self, String> {
        let Some(text) = object.annotations().get(RESTARTS) else { return Ok(Self::default()) };
        serde_json::from_str(text)
            .map_err(|error| format!("its annotation {RESTARTS} is not ours ({error}): remove it to go on"))
    }

    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// With one more restart.
    pub(super) fn and(mut self, attempt: Attempt) -> Self {
        let day = |past: &Past| attempt.at.duration_since(past.at) < SignedDuration::from_hours(24);
        self.past.retain(day);
        self.past.drain(..self.past.len().saturating_sub(REMEMBERED));
        let lower = attempt.to.upper < attempt.from.upper || attempt.to.lower < attempt.from.lower;
        self.past.push(Past { at: attempt.at, lower, seconds: None });
        Self { last: Some(attempt), ..self }
    }

    /// With the last restart in another phase.
    pub(super) fn now(mut self, phase: Phase, why: &str, now: Timestamp) -> Self {
        if let (Some(past), Phase::Proved) = (self.past.last_mut(), phase) {
            past.seconds = Some(now.duration_since(past.at).as_secs_f64());
        }
        if let Some(last) = &mut self.last {
            last.phase = phase;
            if last.why.is_empty() {
                why.clone_into(&mut last.why);
            }
        }
        self
    }

    /// Whether what became of the last one is not known yet.
    pub(super) fn is_open(&self) -> bool {
        self.last.as_ref().is_some_and(|last| matches!(last.phase, Phase::Asked | Phase::Undoing { .. }))
    }

    /// When the last one was asked for.
    pub(super) fn latest(&self) -> Option<Timestamp> {
        self.past.last().map(|past| past.at)
    }

    /// Restarts within the 24 hours before `now`, and those of them that made it smaller.
    pub(super) fn within_a_day(&self, now: Timestamp) -> (usize, usize) {
        let day = |past: &&Past| now.duration_since(past.at) < SignedDuration::from_hours(24);
        let recent = || self.past.iter().filter(day);
        (recent().count(), recent().filter(|past| past.lower).count())
    }

    /// What the next one is expected to cost: what they usually did.
    pub(super) fn price(&self) -> Price {
        let mut measured: Vec<f64> = self.past.iter().filter_map(|past| past.seconds).collect();
        measured.sort_by(f64::total_cmp);
        let seconds = measured.get(measured.len() / 2).copied().unwrap_or(USUAL);
        // Everything stops, whichever way it goes.
        Price { raise_seconds: seconds, lower_seconds: seconds }
    }
}
