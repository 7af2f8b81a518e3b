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
    /// tasks only now and then. A look that cannot be held against later ones gives way to the next: what a busy
    /// JobManager tells first of new tasks is incomplete, and stays so in that look for ever.
    fn share(&self, sight: &Arc<Sight>) -> Result<f64, String> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Phase::Passing(what) | Phase::Ending(what) = sight.phase() {
            *seen = Seen::default();
            return Err(what);
        }
        let before = seen.before.clone().filter(|before| before.same_attempt(sight));
        let share = before.as_ref().and_then(|before| sight.busy_since(before)).map(|(share, _)| share);
        let broken = before.as_ref().is_none_or(|before| !before.leads_to(sight));
        if share.is_some() || broken {
            seen.before = Some(Arc::clone(sight));
        }
        if broken {
            seen.share = None;
        }
        seen.share = share.or(seen.share);
        let before = before.filter(|_| !broken);
        seen.share.ok_or_else(|| match (sight.reticent(), before) {
            (Some(vertex), _) => format!("not all tasks of {vertex} have told yet how busy they are"),
            (None, None) => "its tasks have not told yet how busy they are".to_owned(),
            (None, Some(before)) => {
                let since = sight.at.duration_since(before.at).as_secs_f64();
                format!("its JobManager has had no news from its tasks for {since:.0} s")
            }
        })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flink::{Clusters, recorded};
    use crate::policy::settings::Settings;

    fn source() -> BusyShare {
        let settings: Settings = serde_json::from_value(serde_json::json!({
            "apiVersion": "tidegate.dev/v1alpha1", "kind": "Settings",
            "connections": {"flink": {"main": {"url": "http://127.0.0.1:1"}}},
        }))
        .unwrap();
        BusyShare::new(Clusters::new(&settings).job("main", "orders").unwrap(), TimeSpan::from_secs(15))
    }

    /// What a busy JobManager said after a rescale: RUNNING, and zeros that are not complete. Held against it, no
    /// later look could ever tell a share.
    #[test]
    fn the_first_words_after_a_rescale_do_not_silence_the_later_ones() {
        for line in ["1.20", "2.2"] {
            let (source, told) = (source(), Arc::new(recorded(line, "job")));
            let first = recorded(line, "job").without_counters();
            let unknown = || Err("its tasks have not told yet how busy they are".to_owned());
            let vertex = first.reticent().unwrap().to_owned();
            let reticent = Err(format!("not all tasks of {vertex} have told yet how busy they are"));
            assert_eq!(source.share(&Arc::new(first)), reticent, "{line}");
            assert_eq!(source.share(&told), unknown(), "one complete look is no stretch of time: {line}");
            let later = Arc::new(told.later([100.0, 750.0]));
            assert_eq!(source.share(&later), Ok(0.75), "{line}");
            let gap = Arc::new(Sight::clone(&later).without_counters());
            assert_eq!(source.share(&gap), Ok(0.75), "a gap: the last word counts: {line}");
            assert_eq!(source.share(&told), unknown(), "clocks that went back: {line}");
            assert_eq!(source.share(&later), Ok(0.75), "and on from there: {line}");
        }
    }

    /// What was seen of a real job after a rescale: all counters complete, and the busy time not a number yet.
    #[test]
    fn a_clock_that_starts_late_silences_nobody() {
        let (source, told) = (source(), Arc::new(recorded("2.2", "job")));
        let unknown = || Err("its tasks have not told yet how busy they are".to_owned());
        assert_eq!(source.share(&Arc::new(Sight::clone(&told).without_busy_time())), unknown());
        assert_eq!(source.share(&told), unknown());
        assert_eq!(source.share(&Arc::new(told.later([100.0, 750.0]))), Ok(0.75));
    }
}
