//! What a Flink job says of itself: how busy its tasks are, and how far its Kafka sources have read.

use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;

use super::Source;
use crate::engine::observation::{Meaning, MetricReading, Quality, SourceReading};
use crate::flink::{JobWatch, Phase, Sight};
use crate::policy::TimeSpan;

/// The busy share of a job's busiest vertex.
pub(super) struct BusyShare {
    job: Arc<JobWatch>,
    interval: TimeSpan,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    before: Option<Arc<Sight>>,
    share: Option<f64>,
}

impl BusyShare {
    pub(super) fn new(job: Arc<JobWatch>, interval: TimeSpan) -> Self {
        Self { job, interval, seen: Mutex::default() }
    }

    /// The share since the look before, or the last one where no counter has moved since: a JobManager asks its
    /// tasks only now and then.
    fn share(&self, sight: &Arc<Sight>) -> Result<f64, String> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Phase::Passing(what) | Phase::Ending(what) = sight.phase() {
            *seen = Seen::default();
            return Err(what);
        }
        let before = seen.before.clone().filter(|before| before.same_attempt(sight));
        if before.is_none() {
            seen.share = None;
        }
        let share = before.as_ref().and_then(|before| sight.busy_since(before)).map(|(share, _)| share);
        if share.is_some() || before.is_none() {
            seen.before = Some(Arc::clone(sight));
        }
        seen.share = share.or(seen.share);
        seen.share.ok_or_else(|| "its tasks have not told yet how busy they are".to_owned())
    }
}

impl Source for BusyShare {
    fn observe(&self, now: Timestamp) -> BoxFuture<'_, SourceReading> {
        async move {
            let looked = self.job.look(now, self.interval.0 * 7 / 8).await;
            let share = match &looked {
                Ok(sight) => self.share(sight),
                Err(error) => Err(error.to_string()),
            };
            let (value, problem) = match share {
                Ok(share) => (Some(share), None),
                Err(problem) => (None, Some(format!("flink {}: {problem}", self.job.label()))),
            };
            SourceReading::Metric(MetricReading {
                source: self.job.label(),
                means: Meaning::BusyShare,
                sampled_at: looked.map_or(now, |sight| sight.at),
                value,
                quality: if value.is_some() { Quality::Ok } else { Quality::Missing },
                problem,
            })
        }
        .boxed()
    }
}
