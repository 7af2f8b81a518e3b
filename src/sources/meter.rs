//! Counts and paces the requests to one server.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};

use governor::{DefaultDirectRateLimiter, Quota};

/// Every request to a server asks here first.
pub(crate) struct Meter {
    limiter: DefaultDirectRateLimiter,
    sent: AtomicU64,
}

impl Meter {
    /// Allows bursts of one second's worth.
    pub(crate) fn per_second(requests: u32) -> Self {
        let quota = Quota::per_second(NonZeroU32::new(requests).unwrap_or(NonZeroU32::MIN));
        Self { limiter: DefaultDirectRateLimiter::direct(quota), sent: AtomicU64::new(0) }
    }

    /// Waits until the next request may go.
    pub(crate) async fn permit(&self) {
        self.limiter.until_ready().await;
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    /// Requests so far.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}
