//! Behaviour that needs no server, in one binary.

mod actuators;
mod architecture;
mod daemon;
mod engine;
mod policy;
mod record;
mod sources;
mod web;
