//! Behaviour that needs no server, in one binary.

mod architecture;
mod daemon;
mod policy;
mod record;
mod web;
