//! A fixed size for the highest rate of the whole trace at a target utilisation: what capacity planning
//! with perfect knowledge of the peak would deploy. No operator knows it that well.

use super::{Candidate, Rule, Signals};
use crate::fluid::course::{Course, STEP};

/// Always the same size.
#[derive(Debug)]
struct StaticPeak(u32);

impl Rule for StaticPeak {
    fn desired(&mut self, _: &Signals) -> u32 {
        self.0
    }
}

pub(super) fn grid(course: &Course) -> Vec<Candidate> {
    let peak = course.arrivals.iter().copied().fold(0.0, f64::max) / STEP;
    [0.8, 0.6, 1.0, 1.25]
        .into_iter()
        .map(|utilisation| {
            let needed = peak / utilisation * STEP;
            let (least, most) = (course.plant.min_replicas, course.plant.max_replicas);
            let steady = |replicas: &u32| course.nominal(*replicas) >= needed;
            let size = (least..=most).find(steady).unwrap_or(most);
            Candidate::new(format!("peak at {utilisation} utilisation"), StaticPeak(size))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::turn;
    use super::*;
    use crate::fluid::plant::Plant;
    use crate::fluid::trace::Trace;

    #[test]
    fn it_is_sized_for_the_peak_and_stays() {
        let plant = Plant { capacity: 10.0, ..Plant::preset("consumer-eager").unwrap() };
        let trace = Trace { name: "t".to_owned(), step: 15.0, rates: vec![10.0, 40.0, 10.0] };
        let course = Course::new(&trace, &plant, 1).unwrap();
        // 40 / 0.8 = 50 records/s: 5 replicas leave the busiest with 5 of 24 partitions, 48 records/s.
        let mut rule = grid(&course).remove(0).rule;
        assert_eq!(rule.desired(&turn(0.0, 2, None)), 6);
        assert_eq!(rule.desired(&turn(900.0, 6, None)), 6);
    }
}
