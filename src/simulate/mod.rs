//! The same daemon without a cluster: an embedded simulated Kafka and Kubernetes with a fast clock.
//!
//! The plant is discrete (one second a step), in whole numbers only, and deterministic: the same seed
//! gives the same day on every machine. What decides is not simulated: [`day::Day`] takes the daemon's
//! own turns ([`crate::daemon::cycle::Workload::turn`]) over it.
//!
//! Beside it lies the contest ([`contest`]): any trace on any plant, run by the engine, by the rules in use
//! elsewhere ([`rivals`]) and by somebody who knew all that comes ([`limit`]). Its plant is a fluid, so that
//! months take seconds.

pub mod contest;
pub mod course;
pub mod day;
pub mod deployment;
pub mod error;
pub mod generate;
pub mod group;
pub mod limit;
pub mod load;
pub mod log;
pub mod naive;
mod numbers;
pub mod plant;
pub mod plugs;
pub mod race;
pub mod random;
pub mod rivals;
pub mod robustness;
pub mod running;
pub mod scenario;
pub mod score;
pub mod scorecard;
pub mod series;
pub mod sight;
pub mod trace;
pub mod world;
