//! Behaviour that needs no server, in one binary.

mod demo;
mod record;
mod web;
