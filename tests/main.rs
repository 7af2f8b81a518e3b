//! Behaviour tests that need no server.

mod policy;
