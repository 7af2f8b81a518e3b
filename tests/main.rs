//! Behaviour that needs no server, in one binary.

mod engine;
