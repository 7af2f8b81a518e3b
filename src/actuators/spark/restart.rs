//! One restart of a streaming application for other bounds: at a safe point, within a budget, proved afterwards, and
//! undone once where that fails.
//!
//! The kubeflow operator answers a change of the spec by ending the driver and submitting the application again, which
//! goes on from its checkpoint. So a restart is one patch, and everything that is known of it stands in the same one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use kube::api::DynamicObject;
use serde_json::Value;

use super::bounds::{Bounds, Range, refuse_owned};
use super::ledger::{Attempt, Ledger, Phase};
use super::verdict::{Sight, Verdict, judge};
use crate::engine::Change;
use crate::engine::observation::{Price, TargetHold};
use crate::policy::target::RestartRules;
use crate::spark::App;
use crate::spark::checkpoint::Standing;

/// The share of the time between two commits, counted from one of them, in which little is lost.
const YOUNG: f64 = 0.2;
/// How often, and how many times, a commit is waited for.
const LOOK: Duration = Duration::from_millis(200);
const LOOKS: usize = 12;

/// What it takes to restart one application.
pub(in crate::actuators) struct Restart {
    app: Arc<App>,
    checkpoint: String,
    trigger_seconds: f64,
    pub(super) rules: RestartRules,
    known: Mutex<Option<Known>>,
}

impl std::fmt::Debug for Restart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Restart")
            .field("app", &self.app.name)
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

/// What the last look showed.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) at: Timestamp,
    ledger: Ledger,
    pub(super) verdict: Verdict,
    app: Option<String>,
    standing: Option<Standing>,
}

impl Known {
    /// Why the application must be left alone.
    pub(super) fn hold(&self) -> Option<TargetHold> {
        match &self.verdict {
            Verdict::Free => None,
            Verdict::Unfit(problem) => Some(TargetHold::Unfit { problem: problem.clone() }),
            Verdict::Wait(what) | Verdict::Note(_, what) | Verdict::Undo(_, _, what) => {
                Some(TargetHold::Unsettled { what: what.clone() })
            }
        }
    }

    pub(super) fn price(&self) -> Price {
        self.ledger.price()
    }
}

impl Restart {
    pub(in crate::actuators) fn new(
        app: Arc<App>,
        checkpoint: &str,
        trigger_seconds: f64,
        rules: &RestartRules,
    ) -> Self {
        let (checkpoint, rules) = (checkpoint.to_owned(), rules.clone());
        Self { app, checkpoint, trigger_seconds, rules, known: Mutex::default() }
    }

    /// Looks at all there is to know, and judges it.
    pub(super) async fn look(&self, object: &DynamicObject, bounds: &Bounds, now: Timestamp) -> Known {
        let (driver, standing) =
            futures::join!(self.app.in_force(), self.app.standing(&self.checkpoint, Duration::ZERO));
        let none = || format!("the settings name no `driver` of the application {}", self.app.name);
        let driver = driver.map_or_else(|| Err(none()), |told| told.map_err(|trouble| trouble.to_string()));
        let text =
            |pointer: &str| object.data.pointer(pointer).and_then(Value::as_str).filter(|it| !it.is_empty());
        let sight = Sight {
            state: text("/status/applicationState/state").unwrap_or("NEW").to_owned(),
            owned: refuse_owned(object).err(),
            stated: bounds.range,
            app: text("/status/sparkApplicationId").map(str::to_owned),
            batch: standing.as_ref().map(|standing| standing.batch).map_err(ToString::to_string),
            driver,
        };
        let (ledger, verdict) = match Ledger::of(object) {
            Ok(ledger) => {
                let verdict = judge(&ledger, &sight, &self.rules, now);
                (ledger, verdict)
            }
            Err(problem) => (Ledger::default(), Verdict::Unfit(problem)),
        };
        let app = sight.driver.ok().map(|driver| driver.app);
        let known = Known { at: now, ledger, verdict, app, standing: standing.ok() };
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(known.clone());
        known
    }

    /// Forgets the last look.
    pub(super) fn forget(&self) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(super) fn known(&self) -> Option<Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The bounds that `change` is worth a restart for, or why it is not.
    pub(super) fn worth(&self, bounds: &Bounds, change: &Change) -> Result<Range, String> {
        let range = bounds.range;
        let to = bounds.moved(change.replicas, change.ceiling);
        if to.lower > range.upper {
            return Ok(to);
        }
        if to.lower < range.lower || 4 * u64::from(to.upper.0) <= 3 * u64::from(range.upper.0) {
            let known = self.known();
            let lower = known.map_or(0, |known| known.ledger.within_a_day(known.at).1);
            return if lower < usize::try_from(self.rules.lower_per_day).unwrap_or(usize::MAX) {
                Ok(to)
            } else {
                Err(format!("{lower} restarts in a day that make it smaller are all there may be"))
            };
        }
        Err(format!("not worth a restart: with {range}, dynamic allocation gets {} by itself", to.lower))
    }

    /// Waits a moment for a safe point, and tells what to write down with the restart.
    pub(super) async fn begin(&self, bounds: &Bounds, change: &Change) -> Result<(Range, Ledger), String> {
        let to = self.worth(bounds, change)?;
        let known = self.known().ok_or("nothing is known of it yet")?;
        if known.verdict != Verdict::Free {
            return Err("it is not to be restarted now".to_owned());
        }
        let (Some(app), Some(before)) = (known.app, known.standing) else {
            return Err("its driver or its checkpoint is not known".to_owned());
        };
        let batch = self.safe_point(before, known.at).await?;
        let (from, phase, why) = (bounds.range, Phase::Asked, String::new());
        let attempt = Attempt { at: known.at, from, to, app, batch, phase, why };
        Ok((to, known.ledger.and(attempt)))
    }

    /// Right after a commit there is next to nothing under way that would have to be done again.
    async fn safe_point(&self, before: Standing, now: Timestamp) -> Result<u64, String> {
        let usual = before.before.as_ref().map_or(0.0, |earlier| seconds(earlier.at, before.at));
        let young = YOUNG * usual.max(self.trigger_seconds);
        if before.planned.is_none() || seconds(before.at, now) <= young {
            return Ok(before.batch);
        }
        for _ in 0..LOOKS {
            tokio::time::sleep(LOOK).await;
            let standing = self.app.standing(&self.checkpoint, Duration::ZERO).await;
            if let Ok(standing) = standing
                && (standing.batch > before.batch || standing.planned.is_none())
            {
                return Ok(standing.batch);
            }
        }
        Err(format!("batch {} is under way: a restart waits for its end", before.batch + 1))
    }
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}
