//! Tidegate keeps Kafka consumers, Flink jobs and Spark applications on Kubernetes inside a freshness
//! objective at the least capacity, without thrashing, and says why.
//!
//! Data moves one way, through rooms that may only look to their left:
//!
//! ```text
//! policy <- { engine, flink } <- fluid <- tune <- { sources, actuators, record } <- daemon <- { embedded, simulate, web } <- cli <- main
//! ```

pub mod actuators;
pub mod cli;
pub mod daemon;
pub mod embedded;
pub mod engine;
pub mod flink;
pub mod fluid;
pub mod policy;
pub mod random;
pub mod record;
pub mod simulate;
pub mod sources;
pub mod spark;
pub mod tune;
pub mod web;
mod words;
