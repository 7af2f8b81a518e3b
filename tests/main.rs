//! Behaviour that needs no server, in one binary.

mod demo;
mod engine;
mod record;
mod web;
