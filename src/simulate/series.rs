//! A run thinned out to as many points as a plot can show.

use crate::fluid::course::{Course, STEP};
use crate::fluid::numbers::real;
use crate::fluid::run::Run;

/// The most points of a series.
const POINTS: usize = 600;

/// One run over the judged part.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Who.
    pub name: String,
    /// Records per second that could have been processed, on average over each stretch.
    pub capacity: Vec<f64>,
    /// The greatest age of the oldest record in each stretch, in seconds.
    pub age: Vec<f64>,
    /// When it was moved, as a share of the judged part.
    pub moves: Vec<f64>,
}

impl Series {
    /// Thins a run out.
    pub fn of(name: &str, run: &Run, begin: usize, end: usize) -> Self {
        let moments = run.moments.get(begin - run.begin..end - run.begin).unwrap_or_default();
        let length = real(end - begin).max(1.0);
        let stretches = moments.chunks(stretch(moments.len()));
        Self {
            name: name.to_owned(),
            capacity: stretches
                .clone()
                .map(|some| some.iter().map(|one| one.capacity).sum::<f64>() / real(some.len()) / STEP)
                .collect(),
            age: stretches.map(|some| some.iter().map(|one| one.age).fold(0.0, f64::max)).collect(),
            moves: run
                .moves
                .iter()
                .filter(|moved| (begin..end).contains(&moved.step))
                .map(|moved| real(moved.step - begin) / length)
                .collect(),
        }
    }
}

/// Records per second that arrive, on average over each stretch.
pub fn arrivals(course: &Course, begin: usize, end: usize) -> Vec<f64> {
    let judged = course.arrivals.get(begin..end).unwrap_or_default();
    judged
        .chunks(stretch(judged.len()))
        .map(|some| some.iter().sum::<f64>() / real(some.len()) / STEP)
        .collect()
}

/// Steps for each point.
fn stretch(steps: usize) -> usize {
    steps.div_ceil(POINTS).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fluid::plant::Plant;
    use crate::fluid::trace::Trace;
    use crate::simulate::race::by_path;

    #[test]
    fn a_long_run_keeps_its_worst_age_and_its_moves() {
        let plant = Plant { capacity: 10.0, ..Plant::preset("consumer-eager").unwrap() };
        let trace = Trace { name: "t".to_owned(), step: 15.0, rates: vec![15.0; 2400] };
        let course = Course::new(&trace, &plant, 1).unwrap();
        let run = by_path(&course, &[(0, 2), (1500, 3)], 0);
        let series = Series::of("us", &run, 0, 2400);
        assert_eq!((series.capacity.len(), series.age.len()), (600, 600));
        assert_eq!(series.moves, [0.625]);
        assert!((series.age[375] - 15.0).abs() < 1e-3);
        assert!((series.capacity[375] - 30.0 * 3.0 / 4.0).abs() < 1e-6);
        assert!(arrivals(&course, 0, 2400).iter().all(|rate| (rate - 15.0).abs() < 1e-6));
    }
}
