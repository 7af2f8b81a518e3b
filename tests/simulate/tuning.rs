//! Self-tuning turns notches where they are worth something, by what was lived through before.

use tidegate::fluid::course::Course;
use tidegate::fluid::plant::Plant;
use tidegate::fluid::run;
use tidegate::policy::TimeSpan;
use tidegate::simulate::generate::generate;
use tidegate::simulate::scorecard;
use tidegate::simulate::tuned::by_tuned_engine;

/// Where every rescale stops for a minute, a load of nothing but noise is not worth following as closely as the preset
/// does. Two days of it tell so, though not of every one; the days after them are cheaper for it on the whole.
#[test]
fn loads_of_noise_are_learnt_to_be_sat_out() {
    let (mut preset, mut tuned, mut forward) = (0.0, 0.0, 0);
    for seed in 1..=3 {
        let length = TimeSpan::from_secs(5 * 86_400);
        let trace = generate("constant:rate=800+noise:deviation=0.3", length, seed).unwrap();
        let course = Course::new(&trace, &Plant::preset("flink").unwrap(), seed).unwrap();
        let rules = run::default_rules(&course);
        let (begin, end) = (course.steps() / 2, course.steps());
        let (run, tuner) = by_tuned_engine(&course, &rules, seed, begin);
        let turns = tuner.turns().iter().map(|turned| turned.turn).filter(|turn| !turn.is_back());
        for turn in turns {
            assert!(turn.saves.iter().all(|saved| *saved >= 0.03), "{turn}");
            forward += 1;
        }
        tuned += scorecard::cost(&course, &run, begin, end);
        preset += scorecard::cost(&course, &run::by_engine(&course, &rules, seed), begin, end);
    }
    assert!(forward > 0, "nothing was turned");
    assert!(tuned < 0.99 * preset, "{tuned:.1} replica-hours for {preset:.1} with {forward} notches");
}
