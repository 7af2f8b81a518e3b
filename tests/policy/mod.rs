//! Documents, from text to what is in force.

#![expect(clippy::unwrap_used, reason = "a panic is how a test's helper fails")]

mod admit;
mod read;
mod recipes;

use tidegate::policy::TimeSpan;

const INTERVAL: TimeSpan = TimeSpan::from_secs(15);
