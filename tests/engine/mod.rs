//! The engine over time: decision tables, closed loops against a small plant, and its invariants.

mod arbitrary;
mod batches;
mod bounds;
mod cheap;
mod closed_loop;
mod doubt;
mod faults;
mod hostile;
mod invariants;
mod invariants_of_loops;
mod keda;
mod long_faults;
mod objective;
mod plant;
mod presets;
mod scenarios;
mod schedules;
