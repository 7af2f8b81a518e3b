//! Behaviour that can be shown without any server.

mod sources;
