//! The engine without words decides as the engine with them.

use tidegate::engine::{Memory, evaluate, evaluate_wordless};
use tidegate::fluid::course::Course;
use tidegate::fluid::plant::Plant;
use tidegate::fluid::run::default_rules;
use tidegate::fluid::running::Running;
use tidegate::fluid::sight::{Eyes, Sight};
use tidegate::simulate::generate::generate;

#[test]
fn nothing_but_the_words_is_missing() {
    let load = "daily:mean=900,swing=600+spike:height=2000,width=6m,every=3h+noise:deviation=0.1";
    let trace = generate(load, "1d".parse().unwrap(), 4).unwrap();
    let plant = Plant { gap_share: 0.05, capacity_noise: 0.1, ..Plant::preset("consumer-eager").unwrap() };
    let course = Course::new(&trace, &plant, 4).unwrap();
    let rules = default_rules(&course);
    let mut running = Running::new(&course, 0, 4);
    let (mut sight, mut eyes) = (Sight::new(&course, 4), Eyes::new(&course, rules.window().as_secs_f64()));
    let mut memory = Memory::default();
    let mut moves = 0;
    for step in 0..course.steps() {
        let seen = sight.look(&running);
        let observation = eyes.observe(&running, seen);
        let (terse, mut bare) = evaluate_wordless(&rules, memory.clone(), observation, course.time(step));
        let (after, told) = evaluate(&rules, memory, observation, course.time(step));
        assert!(bare.trail.is_empty() && bare.sentence.is_empty() && bare.counterfactual.is_empty());
        assert!(!told.sentence.is_empty() && !told.counterfactual.is_empty());
        bare.trail = told.trail.clone();
        bare.sentence.clone_from(&told.sentence);
        bare.counterfactual.clone_from(&told.counterfactual);
        assert_eq!((&terse, &bare), (&after, &told), "step {step}");
        memory = after;
        if let Some(change) = told.change {
            moves += u32::from(running.ask(change.replicas.0));
        }
        sight.note(running.advance());
    }
    assert!(moves > 5, "{moves} moves tell little");
}
