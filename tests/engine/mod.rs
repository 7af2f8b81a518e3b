//! The engine over time: decision tables, closed loops against a small plant, and its invariants.

mod closed_loop;
mod plant;
