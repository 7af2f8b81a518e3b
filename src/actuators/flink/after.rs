//! What becomes of a move: it is held against what runs, seen through, or taken back; and what a job has lost is given
//! back.

use std::sync::Arc;

use jiff::Timestamp;

use super::keep::{self, Wish};
use super::route::Route;
use super::{Asked, JobActuator, Kept, keeps, lock};
use crate::actuators::ActuateError;
use crate::flink::{JobWatch, Obstacle, Phase, Sight};

/// Seconds after which a rescale that is not there is worth a word: Flink waits for a checkpoint, and up to a minute
/// for slots.
const LONG: f64 = 120.0;

/// Checkpoints that are asked for after a move, one a turn.
const NUDGES: u32 = 5;

impl JobActuator {
    /// Holds the last write against what became of it: accepted is not yet carried out.
    pub(super) fn verify(&self, sight: &Sight) {
        lock(&self.trial).take_if(|trial| !trial.goes_on(sight));
        let mut pending = lock(&self.asked);
        let Some(asked) = &mut *pending else { return };
        let (label, parallelism) = (&self.label, asked.parallelism);
        let seconds = sight.at.duration_since(asked.at).as_secs_f64();
        let others = sight.version().is_none_or(|(jid, _)| jid != asked.jid)
            || sight.scale(&self.manner) != Some(parallelism);
        if others {
            tracing::info!("flink job {label}: somebody else has asked for something else meanwhile");
            *pending = None;
        } else if sight.phase() == Phase::Running && sight.reached() {
            let history = sight.rescaled_since(asked.since).map_or(String::new(), |(took, stopped)| {
                format!("; the JobManager says that it took {took:.1} s and that nothing worked for {stopped:.1} s")
            });
            tracing::info!(
                "flink job {label}: runs at {parallelism}, seen {seconds:.0} s after it was asked for{history}"
            );
            *pending = None;
        } else if seconds > LONG && !asked.told {
            let runs = sight.present(&self.manner).map_or("?".to_owned(), |runs| runs.to_string());
            tracing::warn!("flink job {label}: asked for {parallelism} {seconds:.0} s ago, runs at {runs}");
            asked.told = true;
        }
    }

    /// Sees through what was asked for, where no decision asks for anything else.
    pub(super) async fn see_through(&self, now: Timestamp) -> Result<(), ActuateError> {
        let Ok(job) = &self.job else { return Ok(()) };
        let Some(sight) = job.seen().filter(|sight| sight.at == now) else { return Ok(()) };
        self.nudge(job, &sight).await;
        self.roll_back(job, &sight, now).await?;
        self.let_go(job, &sight, now).await?;
        let Some(resource) = sight.resource() else { return Ok(()) };
        let route = self.route(&sight);
        let in_place = route == Ok(Route::InPlace) && keeps(&sight, resource);
        if !in_place || self.hold(&sight, &route, now).is_some() {
            return Ok(());
        }
        if lock(&self.kept).life == Some(life(&sight)) {
            self.settle_owed(job).await;
            return Ok(());
        }
        self.restore(job, &sight).await.map(|_| ())
    }

    /// Gives a life of the job that is new to us what its object keeps, once, and never less than it has: Flink 2 in
    /// application mode starts without it. Whether there was anything to give.
    pub(super) async fn restore(&self, job: &JobWatch, sight: &Sight) -> Result<bool, ActuateError> {
        let life = Some(life(sight));
        let Some(resource) = sight.resource().filter(|resource| keeps(sight, resource)) else {
            return Ok(false);
        };
        if lock(&self.kept).life == life {
            return Ok(false);
        }
        let due = sight.given_back(&keep::ours(resource)).zip(sight.version());
        if let Some((wanted, (jid, version))) = &due {
            self.still_stands(job, resource.version().as_deref(), sight).await?;
            self.require(job, wanted, (jid, version)).await?;
            tracing::info!("flink {}: given back what it had before it was started anew", self.label);
        }
        *lock(&self.kept) = Kept { life, owed: None };
        Ok(due.is_some())
    }

    /// Writes into the operator's object what the job has been given. A failure is told, and made up for later.
    pub(super) async fn settle_owed(&self, job: &JobWatch) {
        let Some(owed) = lock(&self.kept).owed.clone() else { return };
        match self.keeper.keep(job, &Wish::Overrides(owed.overrides()), None).await {
            Ok(()) => lock(&self.kept).owed = None,
            Err(error) => {
                tracing::warn!("flink {}: moved, but a redeploy would not keep it yet: {error}", self.label);
            }
        }
    }

    /// Asks for another checkpoint where a scheduler that waits for one has not rescaled yet: the one next to the move may
    /// have failed, or have been refused.
    async fn nudge(&self, job: &JobWatch, sight: &Sight) {
        let waits = sight.waits_for_checkpoints() && sight.phase() == Phase::Running;
        let pays = waits && sight.checkpoint_first().is_some();
        let due = |asked: &&mut Asked| pays && asked.nudges < NUDGES && sight.at > asked.at;
        let jid = lock(&self.asked).as_mut().filter(due).map(|asked| {
            asked.nudges += 1;
            asked.jid.clone()
        });
        if let Some(jid) = jid {
            job.checkpoint(&jid, 0.0).await;
        }
    }

    /// Takes a move up back that the job does not bear, unless somebody has asked for something else since.
    async fn roll_back(&self, job: &JobWatch, sight: &Sight, now: Timestamp) -> Result<(), ActuateError> {
        let obstacle = sight.resource().and_then(|resource| resource.obstacle());
        if matches!(obstacle, Some(Obstacle::Owned(_) | Obstacle::Lasting(_))) {
            return Ok(());
        }
        let failed = lock(&self.trial).take_if(|trial| trial.verdict().is_some());
        let Some((trial, (jid, version))) = failed.zip(sight.version()) else { return Ok(()) };
        let verdict = trial.verdict().unwrap_or_default();
        let quarantine = trial.quarantine(now);
        if sight.scale(&self.manner) != quarantine.map(|quarantine| quarantine.parallelism) {
            return Ok(());
        }
        self.require(job, &trial.before, (&jid, &version)).await?;
        tracing::warn!("flink {}: {verdict} after the last move, which is taken back", self.label);
        *lock(&self.quarantine) = quarantine;
        *lock(&self.asked) = None;
        if sight.resource().is_some_and(|resource| keeps(sight, resource)) {
            lock(&self.kept).owed = Some(trial.before);
            self.settle_owed(job).await;
        }
        Ok(())
    }

    /// Takes TaskManagers away that the job has left.
    async fn let_go(&self, job: &Arc<JobWatch>, sight: &Sight, now: Timestamp) -> Result<(), ActuateError> {
        let Some(fleet) = &self.fleet else { return Ok(()) };
        let route = self.route(sight);
        if route != Ok(Route::InPlace) || self.hold(sight, &route, now).is_some() {
            return Ok(());
        }
        fleet.shrink(job, (sight, &self.manner), now).await
    }
}

/// Which run of which job, by the moment that it began at.
pub(super) fn life(sight: &Sight) -> (String, Option<i64>) {
    let (jid, since) = sight.life();
    (jid.to_owned(), since)
}
