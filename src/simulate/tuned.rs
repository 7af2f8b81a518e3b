//! The engine with self-tuning: it learns while nobody judges, by the very code that the daemon tunes by, and keeps to
//! what it has learnt.

use crate::fluid::course::Course;
use crate::fluid::run::{Run, by_engine_under};
use crate::policy::Rules;
use crate::policy::notches::SelfTuning;
use crate::tune::glimpse::Glimpse;
use crate::tune::tuner::Tuner;

/// The rules, with self-tuning.
pub(crate) fn tuned_rules(rules: &Rules) -> Rules {
    Rules { tuning: SelfTuning::Auto, ..rules.clone() }
}

/// The whole course by the engine, tuned up to the start of step `begin`; and by what.
pub fn by_tuned_engine(course: &Course, rules: &Rules, seed: u64, begin: usize) -> (Run, Tuner) {
    let mut tuner = Tuner::default();
    let run = by_engine_under(course, seed, &tuned_rules(rules), |rules, (step, turned)| {
        if step >= begin {
            return;
        }
        let now = course.time(step);
        tuner.note(&Glimpse::of(turned.observation, &turned.decision, true), now);
        if let Some(look) = tuner.due(rules, now) {
            tuner.settle(rules, look.run(), now);
            rules.notches = tuner.notches(rules);
        }
    });
    (run, tuner)
}
