//! The same daemon without a cluster: an embedded simulated Kafka and Kubernetes with a fast clock.
//!
//! The plant is discrete (one second a step), in whole numbers only, and deterministic: the same seed
//! gives the same day on every machine. What decides is not simulated: [`day::Day`] takes the daemon's
//! own turns ([`crate::daemon::cycle::Workload::turn`]) over it.

pub mod batches;
pub mod day;
pub mod deployment;
pub mod group;
pub mod load;
pub mod log;
pub mod naive;
pub mod plugs;
pub mod runtime;
pub mod scenario;
pub mod score;
pub mod world;
