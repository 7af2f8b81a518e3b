//! Behaviour that needs no server, in one binary.

mod record;
mod web;
