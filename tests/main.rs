//! Behaviour that needs no server.

mod architecture;
mod daemon;
