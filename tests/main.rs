//! Behaviour that needs no server, in one binary.

mod architecture;
mod daemon;
mod record;
mod web;
