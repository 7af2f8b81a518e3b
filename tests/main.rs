//! Behaviour over time and against faults; needs no server.

// `cfg(test)` is always on here; it tells clippy that helpers may unwrap, as tests may.
#[cfg(test)]
mod actuators;
