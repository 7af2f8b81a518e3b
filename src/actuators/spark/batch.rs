//! Bounds of a batch for its next run, from its last ones; taken back where the next one is worse for them.
//!
//! What the engine moves here is the upper bound: how many executors a run may have. Those that it keeps, and those that
//! it starts with, follow from the same runs.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::DynamicObject;
use serde::{Deserialize, Serialize};

use super::bounds::{Bounds, Range};
use crate::engine::observation::TargetHold;
use crate::policy::Replicas;
use crate::policy::source::SparkRuns;
use crate::policy::units::records_f64;
use crate::spark::history::History;
use crate::spark::replay::{Run, Sizes, quantile, sizes};

/// The annotation that says what was changed, and what came of it.
pub(super) const CHANGES: &str = "tidegate.dev/runs";
/// Runs that must be known before anything is changed.
const KNOWN: usize = 3;
/// Runs that must pass after a change was taken back.
const REST: usize = 5;
/// The most that the upper bound changes by for one run, in percent.
const STEP: u32 = 30;
/// A run that takes so much longer than nearly all before it is worse, in percent.
const WORSE: u64 = 115;

/// The last change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Changed {
    at: Timestamp,
    from: Range,
    to: Range,
    /// Milliseconds that nearly all runs before it took at most.
    usual: u64,
    /// Whether they spilled to disk.
    spilled: bool,
    outcome: Outcome,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Outcome {
    /// No run has ended since.
    Open,
    /// The next run was no worse.
    Kept,
    /// It was worse, or somebody else took over.
    TakenBack { at: Timestamp, why: String },
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Verdict {
    /// It may be changed.
    Free,
    /// It must be left alone for some runs.
    Wait(String),
    /// What came of the last change is to be written down.
    Note(Changed, String),
    /// The last change is to be taken back.
    Undo(Changed, Range, String),
}

/// What it takes.
pub(in crate::actuators) struct Batch {
    history: Arc<History>,
    app: String,
    known: Mutex<Option<Known>>,
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch").field("app", &self.app).finish_non_exhaustive()
    }
}

/// What the last look showed.
#[derive(Debug, Clone)]
pub(super) struct Known {
    at: Timestamp,
    runs: Vec<Run>,
    pub(super) verdict: Verdict,
}

impl Known {
    pub(super) fn hold(&self) -> Option<TargetHold> {
        match &self.verdict {
            Verdict::Free => None,
            Verdict::Wait(what) | Verdict::Note(_, what) | Verdict::Undo(_, _, what) => {
                Some(TargetHold::Unsettled { what: what.clone() })
            }
        }
    }
}

impl Batch {
    pub(in crate::actuators) fn new(history: Arc<History>, runs: &SparkRuns) -> Self {
        Self { history, app: runs.app.clone(), known: Mutex::default() }
    }

    pub(super) fn forget(&self) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(super) fn known(&self) -> Option<Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at its runs, and judges them.
    pub(super) async fn look(
        &self,
        object: &DynamicObject,
        bounds: &Bounds,
        now: Timestamp,
    ) -> Result<Known, String> {
        let changed = match object.annotations().get(CHANGES) {
            Some(text) => Some(serde_json::from_str(text).map_err(|error| {
                format!("its annotation {CHANGES} is not ours ({error}): remove it to go on")
            })?),
            None => None,
        };
        let runs = self.history.runs(&self.app).await?;
        let verdict = judge(changed.as_ref(), &runs, bounds.range, now);
        let known = Known { at: now, runs, verdict };
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(known.clone());
        Ok(known)
    }

    /// Seconds that a task took on average.
    pub(super) fn task_seconds(&self) -> Option<f64> {
        let known = self.known()?;
        let stages = || known.runs.iter().flat_map(|run| &run.stages);
        let tasks: u64 = stages().map(|stage| stage.tasks).sum();
        let worked: u64 = stages().map(|stage| stage.worked).sum();
        (tasks > 0).then(|| records_f64(worked) / records_f64(tasks) / 1000.0)
    }

    /// The bounds for a run with so many executors at most, and what to write down with them.
    pub(super) fn moved(&self, bounds: &Bounds, upper: Replicas) -> Option<(Range, Changed)> {
        let known = self.known()?;
        let good: Vec<&Run> = known.runs.iter().filter(|run| run.failed.is_none()).collect();
        let to = step(bounds, upper, sizes(&good)?);
        let mut took: Vec<u64> = good.iter().map(|run| run.took).collect();
        took.sort_unstable();
        let (usual, spilled) = (quantile(&took, 95)?, good.iter().any(|run| run.spilled > 0));
        let (at, from, outcome) = (known.at, bounds.range, Outcome::Open);
        Some((to, Changed { at, from, to, usual, spilled, outcome }))
    }
}

/// A step towards the bounds that runs need: one run says little about ten times as many executors.
fn step(bounds: &Bounds, upper: Replicas, sizes: Sizes) -> Range {
    let now = bounds.range.upper.0;
    let most = (u64::from(now) * u64::from(STEP)).div_ceil(100).max(1);
    let most = u32::try_from(most).unwrap_or(u32::MAX);
    let upper = Replicas(upper.0.clamp(now.saturating_sub(most), now.saturating_add(most)));
    let range = bounds.moved(sizes.lower.min(upper), Some(upper));
    Range { initial: range.initial.map(|_| sizes.initial.clamp(range.lower, range.upper)), ..range }
}

fn judge(changed: Option<&Changed>, runs: &[Run], stated: Range, now: Timestamp) -> Verdict {
    let good = runs.iter().filter(|run| run.failed.is_none()).count();
    let Some(changed) = changed else { return enough(good) };
    let since = |at: Timestamp| runs.iter().filter(move |run| run.begun > at);
    match &changed.outcome {
        Outcome::Open if stated != changed.to => {
            let why = format!("somebody else stated {stated} after {}", changed.to);
            Verdict::Note(changed.taken_back(now, &why), why)
        }
        // The latest comes first.
        Outcome::Open => match since(changed.at).next_back() {
            None => Verdict::Wait(format!("no run has ended with {} yet", changed.to)),
            Some(run) => match changed.worse(run) {
                None => {
                    let kept = Changed { outcome: Outcome::Kept, ..changed.clone() };
                    Verdict::Note(kept, format!("kept: a run with {} was no worse", changed.to))
                }
                Some(why) => {
                    let why = format!("a run with {} {why}", changed.to);
                    Verdict::Undo(changed.taken_back(now, &why), changed.from, why)
                }
            },
        },
        Outcome::TakenBack { at, why } if since(*at).count() < REST => {
            Verdict::Wait(format!("taken back, for {why}: left alone for {REST} runs"))
        }
        Outcome::Kept | Outcome::TakenBack { .. } => enough(good),
    }
}

fn enough(good: usize) -> Verdict {
    if good < KNOWN {
        return Verdict::Wait(format!("{good} runs that ended well are known, and {KNOWN} are needed"));
    }
    Verdict::Free
}

impl Changed {
    fn taken_back(&self, at: Timestamp, why: &str) -> Self {
        Self { outcome: Outcome::TakenBack { at, why: why.to_owned() }, ..self.clone() }
    }

    /// How a run was worse than those before the change.
    fn worse(&self, run: &Run) -> Option<String> {
        if let Some(why) = &run.failed {
            return Some(format!("failed ({why})"));
        }
        if 100 * run.took > WORSE * self.usual {
            return Some(format!("took {} s, where {} s were usual", run.took / 1000, self.usual / 1000));
        }
        (run.spilled > 0 && !self.spilled).then(|| "spilled to disk, which none did before".to_owned())
    }

    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    const fn range(lower: u32, upper: u32) -> Range {
        Range { lower: Replicas(lower), upper: Replicas(upper), initial: None }
    }

    fn run(second: i64, took: u64) -> Run {
        let app = format!("app-{second}");
        Run { app, begun: at(second), took, slots: 1, stages: Vec::new(), failed: None, spilled: 0 }
    }

    fn runs(later: &[Run]) -> Vec<Run> {
        later.iter().cloned().chain([run(30, 100_000), run(20, 90_000), run(10, 95_000)]).collect()
    }

    fn changed() -> Changed {
        let (from, to) = (range(1, 10), range(1, 7));
        Changed { at: at(50), from, to, usual: 100_000, spilled: false, outcome: Outcome::Open }
    }

    fn after(runs: &[Run], changed: &Changed) -> Verdict {
        judge(Some(changed), runs, range(1, 7), at(1000))
    }

    fn undone(later: Run) -> String {
        match after(&runs(&[later]), &changed()) {
            Verdict::Undo(Changed { outcome: Outcome::TakenBack { at: when, .. }, .. }, back, why) => {
                assert_eq!((when, back), (at(1000), range(1, 10)));
                why
            }
            other @ (Verdict::Free | Verdict::Wait(_) | Verdict::Note(..) | Verdict::Undo(..)) => {
                panic!("{other:?}")
            }
        }
    }

    #[test]
    fn three_runs_are_needed() {
        let first = judge(None, &[run(20, 1), run(10, 1)], range(1, 7), at(50));
        assert_eq!(first, Verdict::Wait("2 runs that ended well are known, and 3 are needed".to_owned()));
        let failed = Run { failed: Some("its last job failed".to_owned()), ..run(40, 1) };
        assert_ne!(judge(None, &[failed, run(20, 1), run(10, 1)], range(1, 7), at(50)), Verdict::Free);
        assert_eq!(judge(None, &runs(&[]), range(1, 7), at(50)), Verdict::Free);
    }

    #[test]
    fn a_change_is_kept_where_the_next_run_is_no_worse() {
        let waits = after(&runs(&[]), &changed());
        assert_eq!(waits, Verdict::Wait("no run has ended with 1 to 7 executors yet".to_owned()));
        let kept = after(&runs(&[run(60, 115_000)]), &changed());
        let Verdict::Note(kept, why) = kept else { panic!("{kept:?}") };
        assert_eq!(why, "kept: a run with 1 to 7 executors was no worse");
        assert_eq!(after(&runs(&[run(60, 115_000)]), &kept), Verdict::Free);
    }

    #[test]
    fn a_change_is_taken_back_where_the_next_run_is_worse() {
        let head = "a run with 1 to 7 executors";
        assert_eq!(undone(run(60, 116_000)), format!("{head} took 116 s, where 100 s were usual"));
        let failed = Run { failed: Some("its last job failed".to_owned()), ..run(60, 1000) };
        assert_eq!(undone(failed), format!("{head} failed (its last job failed)"));
        let spilled = Run { spilled: 1, ..run(60, 1000) };
        assert_eq!(undone(spilled.clone()), format!("{head} spilled to disk, which none did before"));
        let as_before = Changed { spilled: true, ..changed() };
        assert!(matches!(after(&runs(&[spilled]), &as_before), Verdict::Note(..)));
    }

    #[test]
    fn after_that_five_runs_pass() {
        let back = changed().taken_back(at(100), "it was slow");
        let later: Vec<Run> = (1..=5).rev().map(|hour| run(100 + 3600 * hour, 90_000)).collect();
        let four = after(&runs(&later[1..]), &back);
        assert_eq!(four, Verdict::Wait("taken back, for it was slow: left alone for 5 runs".to_owned()));
        assert_eq!(after(&runs(&later), &back), Verdict::Free);
    }

    #[test]
    fn what_somebody_else_states_stands() {
        let overtaken = judge(Some(&changed()), &runs(&[run(60, 1)]), range(2, 20), at(1000));
        assert!(
            matches!(&overtaken, Verdict::Note(_, why) if why == "somebody else stated 2 to 20 executors after 1 to 7 executors"),
            "{overtaken:?}"
        );
    }
}
