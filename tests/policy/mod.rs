//! Documents, from text to what is in force.

mod admit;
mod read;

use tidegate::policy::TimeSpan;

const INTERVAL: TimeSpan = TimeSpan::from_secs(15);
