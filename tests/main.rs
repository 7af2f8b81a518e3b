//! Behaviour that needs no server, in one binary.
//!
//! `cfg(test)` is always on here: it tells clippy that helpers may unwrap, as tests may.

#[cfg(test)]
mod actuators;
mod architecture;
mod daemon;
mod engine;
mod policy;
mod record;
#[cfg(test)] // Says to clippy that helpers, too, may unwrap.
mod sources;
mod web;
