//! The loop, with sources and targets that a test turns and a clock that stands still until asked.

mod fleet;
mod recommend;
mod reload;
mod support;
mod tuning;
