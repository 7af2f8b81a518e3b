//! What the dampers leave of a move. One file each, in the order applied; names and meaning are HPA v2's
//! where HPA has the damper.
//!
//! An urgent move up meets only those that somebody configured, and the hard budget; what a schedule asks for meets
//! the budget alone.

pub(crate) mod budget;
pub(crate) mod fall;
pub(crate) mod flap;
pub(crate) mod stabilization;
pub(crate) mod step_limit;
pub(crate) mod tolerance;

use jiff::Timestamp;

use super::bounds;
use super::draft::Draft;
use super::memory::Memory;
use crate::policy::Rules;

/// Applies every damper in order.
pub(crate) fn apply(draft: &mut Draft, rules: &Rules, memory: &mut Memory, in_batches: bool, now: Timestamp) {
    tolerance::apply(draft, rules);
    stabilization::apply(draft, rules, memory);
    if !in_batches {
        fall::apply(draft, rules, memory, now);
    }
    step_limit::apply(draft, rules, memory, now);
    bounds::keep_schedule(draft);
    budget::apply(draft, rules, memory);
    flap::apply(draft, rules, memory, in_batches, now);
}
