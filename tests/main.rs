//! Behaviour that needs no server, in one binary.
//!
//! `cfg(test)` is always on here: it tells clippy that helpers may unwrap, as tests may.

#[cfg(test)]
mod actuators;
#[cfg(test)]
mod architecture;
#[cfg(test)]
mod daemon;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod engine;
#[cfg(test)]
mod flink;
#[cfg(test)]
mod import;
mod policy;
mod record;
#[cfg(test)]
mod simulate;
#[cfg(test)]
mod sources;
mod web;
