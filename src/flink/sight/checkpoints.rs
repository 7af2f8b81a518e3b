//! What a look tells of a job's checkpoints: how far tasks that are restarted go back, and whether it is worth taking one
//! first. Pure.

use super::super::answers::{Checkpoints, Counts};
use super::super::resource::Obstacle;
use super::{Sight, duration, millis, version};

/// Seconds that a checkpoint next to a move must save, of processing that would be done again or of waiting: fewer pass
/// sooner than it can be asked for.
const WORTH_SAVING: f64 = 5.0;
/// A checkpoint must save so many times what it takes.
const PAYS: f64 = 4.0;
/// Seconds that a move may wait for a checkpoint.
const LONGEST_WAIT: f64 = 3.0;
/// For how long Flink 2 waits for a checkpoint, unless one is completed.
const MAX_DELAY: &str = "jobmanager.adaptive-scheduler.rescale-trigger.max-delay";
/// Intervals without a completed checkpoint after which they do not come any more as they should.
const OVERDUE: f64 = 2.0;
/// The last one so many seconds ago is sound, however short the interval: on a busy machine it comes late.
const SOUND: f64 = 60.0;

impl Sight {
    /// Seconds between checkpoints; `None` without them.
    pub(crate) fn checkpoint_seconds(&self) -> Option<f64> {
        self.interval.map(millis)
    }

    /// Seconds since the last completed checkpoint was triggered, at most one interval: what arrived since then may
    /// well have been processed, only not committed yet. `None` without checkpoints.
    pub(crate) fn uncommitted_seconds(&self) -> Option<f64> {
        let since = millis(self.job.now.saturating_sub(self.triggered()?)).max(0.0);
        Some(since.min(millis(self.interval?)))
    }

    fn checkpoints(&self) -> Option<&Checkpoints> {
        self.checkpoints.as_ref()
    }

    /// When the last completed checkpoint was triggered, in milliseconds of the JobManager's clock.
    fn triggered(&self) -> Option<i64> {
        Some(self.checkpoints()?.latest.completed.as_ref()?.trigger_timestamp)
    }

    /// Seconds that the last completed one took.
    fn checkpoint_took(&self) -> Option<f64> {
        Some(millis(self.checkpoints()?.latest.completed.as_ref()?.end_to_end_duration))
    }

    /// Seconds of processing that tasks restarted now would do again. `None` where there is nothing to go back to.
    pub(crate) fn done_since_checkpoint(&self) -> Option<f64> {
        let restored = || Some(self.checkpoints()?.latest.restored.as_ref()?.restore_timestamp);
        Some(millis(self.job.now.saturating_sub(self.triggered().or_else(restored)?)))
    }

    /// Why the job's tasks must not be restarted: they go back to the last checkpoint, and there is none.
    pub(crate) fn nothing_to_go_back_to(&self) -> Option<Obstacle> {
        match (self.done_since_checkpoint(), self.interval) {
            (Some(_), _) => None,
            (None, Some(_)) => Some(Obstacle::Passing(
                "no checkpoint is completed yet, and new tasks would begin where the job began".to_owned(),
            )),
            (None, None) => Some(Obstacle::Lasting(
                "it takes no checkpoints, and new tasks would begin without its state: set \
                 execution.checkpointing.interval"
                    .to_owned(),
            )),
        }
    }

    /// Seconds that a move may wait for a checkpoint, where one next to it saves far more than it takes; `None` where it
    /// does not, or where one is under way.
    pub(crate) fn checkpoint_first(&self) -> Option<f64> {
        let idle = self.checkpoints()?.counts.in_progress == 0;
        if self.waits_for_checkpoints() {
            // It is asked for and not waited for.
            let pays = pays(self.until_rescale(), self.checkpoint_took().unwrap_or(0.0));
            return (idle && pays).then_some(0.0);
        }
        let (done, took) = (self.done_since_checkpoint()?, self.checkpoint_took()?);
        (idle && took <= LONGEST_WAIT && pays(done, took)).then_some((2.0 * took + 1.0).min(LONGEST_WAIT))
    }

    /// Seconds that a scheduler which waits for the next checkpoint would wait for it.
    fn until_rescale(&self) -> f64 {
        let next = self.interval.map_or(f64::INFINITY, |interval| {
            (millis(interval) - self.done_since_checkpoint().unwrap_or(0.0)).max(0.0)
        });
        next.min(self.config.get(MAX_DELAY).and_then(duration).unwrap_or(f64::INFINITY))
    }

    /// Whether the scheduler itself waits for the next checkpoint before it restarts tasks: Flink 2 does.
    pub(crate) fn waits_for_checkpoints(&self) -> bool {
        version(&self.version).is_some_and(|(major, _)| major >= 2)
    }

    /// Seconds until a checkpoint that tasks are restarted from, and seconds that they do again, on average: for a
    /// restart that a checkpoint may be taken for.
    pub(crate) fn checkpoint_price(&self) -> (f64, f64) {
        let interval = self.checkpoint_seconds().unwrap_or(0.0);
        let (took, done) = (self.checkpoint_took(), self.done_since_checkpoint().unwrap_or(0.0));
        match took {
            Some(took) if took <= LONGEST_WAIT && pays(interval / 2.0, took) => (took, took),
            Some(_) | None if done > OVERDUE * interval + took.unwrap_or(0.0) => (interval, done),
            Some(_) | None => (interval, interval / 2.0),
        }
    }

    /// How many checkpoints were completed and failed in this life of the job, where the JobManager tells.
    pub(crate) fn checkpoint_counts(&self) -> Option<Counts> {
        Some(self.checkpoints()?.counts)
    }

    /// Whether checkpoints come as they should.
    pub(crate) fn checkpoints_are_sound(&self) -> bool {
        let (Some(interval), Some(took)) = (self.checkpoint_seconds(), self.checkpoint_took()) else {
            return false;
        };
        self.done_since_checkpoint().is_some_and(|done| done <= (OVERDUE * interval + took).max(SOUND))
    }
}

/// Whether a checkpoint that takes so long is worth so many seconds.
fn pays(saved: f64, took: f64) -> bool {
    saved > WORTH_SAVING.max(PAYS * took)
}

#[cfg(test)]
mod tests {
    use super::super::tests::sight;
    use super::*;
    use crate::flink::answers::Config;

    /// Seconds since the last checkpoint, that it took, and between two.
    fn job(line: &str, [since, took, interval]: [i64; 3], max_delay: Option<&str>) -> Sight {
        let mut sight = sight(line, "job");
        let option = |delay: &str| serde_json::json!([{"key": MAX_DELAY, "value": delay}]);
        sight.config =
            max_delay.map_or_else(Config::default, |delay| serde_json::from_value(option(delay)).unwrap());
        sight.interval = Some(1000 * interval);
        let checkpoints = sight.checkpoints.as_mut().unwrap();
        checkpoints.counts.in_progress = 0;
        let last = checkpoints.latest.completed.as_mut().unwrap();
        (last.trigger_timestamp, last.end_to_end_duration) = (sight.job.now - 1000 * since, 1000 * took);
        sight
    }

    #[test]
    fn flink_1_saves_what_would_be_done_again() {
        let first = |numbers: [i64; 3]| job("1.20", numbers, None).checkpoint_first();
        assert_eq!(first([60, 1, 600]), Some(3.0), "two such and a second");
        assert_eq!(first([4, 0, 600]), None, "as good as taken first");
        assert_eq!(first([60, 4, 600]), None, "a move does not wait for so long");
        assert_eq!(first([7, 2, 600]), None, "it does not save enough");
    }

    #[test]
    fn flink_2_saves_the_wait_for_the_next_one() {
        let first = |numbers, delay| job("2.2", numbers, delay).checkpoint_first();
        assert_eq!(first([1, 1, 600], None), Some(0.0), "the next one is ten minutes away");
        assert_eq!(first([598, 1, 600], None), None, "it comes by itself");
        assert_eq!(first([1, 1, 600], Some("2 s")), None, "the scheduler waits no longer than that");
        assert_eq!(first([1, 30, 600], None), Some(0.0), "nobody waits here");
        let mut under_way = job("2.2", [1, 1, 600], None);
        under_way.checkpoints.as_mut().unwrap().counts.in_progress = 1;
        assert_eq!(under_way.checkpoint_first(), None);
    }

    #[test]
    fn what_is_done_again_is_priced() {
        let price = |numbers| job("2.2", numbers, None).checkpoint_price();
        assert_eq!(price([1, 0, 2]), (2.0, 1.0), "half an interval on average");
        assert_eq!(price([1, 1, 600]), (1.0, 1.0), "one is taken first");
        assert_eq!(price([50, 1, 5]), (5.0, 50.0), "they do not come any more");
    }
}
