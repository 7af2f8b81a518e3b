//! Readings from what the API server said.

use std::future::Future;

use jiff::Timestamp;

use super::api::ReadError;
use super::owners::Standing;
use super::progress::Progress;
use super::scaled::Scaled;
use crate::engine::observation::{Fence, Quality, TargetHold, TargetReading};
use crate::policy::Replicas;

/// What was asked of the target, and what stands against moving it.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) current: Option<Replicas>,
    pub(super) ceiling: Option<Replicas>,
    pub(super) metric_target: Option<f64>,
    pub(super) hold: Option<TargetHold>,
    pub(super) fence: Option<Fence>,
}

/// A good reading.
pub(super) fn reading(now: Timestamp, parts: Parts, progress: Progress) -> TargetReading {
    TargetReading {
        sampled_at: now,
        quality: Quality::Ok,
        current: parts.current,
        ceiling: parts.ceiling,
        metric_target: parts.metric_target,
        ready: progress.ready,
        settled: progress.settled,
        hold: parts.hold,
        problem: None,
        fence: parts.fence,
        limit: None,
        price: None,
        binding: None,
    }
}

/// Why to leave the target alone: another owner goes before a rollout.
pub(super) fn hold(standing: &Standing, progress: Progress) -> Option<TargetHold> {
    match standing {
        Standing::Yield { owner } => Some(TargetHold::Owned { owner: owner.clone() }),
        Standing::Free | Standing::Adopt => progress.rolling_out.then_some(TargetHold::RollingOut),
    }
}

/// Turns a look at `what` into a reading. How long it may take is the caller's to say.
pub(super) async fn look(
    now: Timestamp,
    what: Scaled<'_>,
    look: impl Future<Output = Result<TargetReading, ReadError>>,
) -> TargetReading {
    look.await.unwrap_or_else(|error| failed(now, what, &error))
}

fn failed(now: Timestamp, what: Scaled<'_>, error: &ReadError) -> TargetReading {
    // That there is no such object was read all right: the hold says so.
    let (quality, hold) = match error {
        ReadError::NotFound => (Quality::Ok, Some(TargetHold::NotFound)),
        ReadError::Unreadable(_) => (Quality::Missing, None),
        ReadError::Unfit(_) => (Quality::Rejected, None),
    };
    TargetReading {
        quality,
        problem: Some(format!("{what}: {error}")),
        ..reading(now, Parts { hold, ..Parts::default() }, Progress::default())
    }
}
