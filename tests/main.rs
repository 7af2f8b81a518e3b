//! Behaviour that can be shown without any server.

#[cfg(test)] // Says to clippy that helpers, too, may unwrap.
mod sources;
