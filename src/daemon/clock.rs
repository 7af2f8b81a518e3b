//! The only place that reads a clock.

use jiff::Timestamp;

/// The time, now.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn now() -> Timestamp {
    Timestamp::now()
}
