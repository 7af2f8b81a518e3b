//! Behaviour that needs no server, in one binary.

#[cfg(test)] // So that clippy knows these for tests, where unwrap and indexing are the assertion.
mod engine;
