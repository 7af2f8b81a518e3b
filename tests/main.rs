//! Behaviour over time and against faults; needs no server.

mod actuators;
