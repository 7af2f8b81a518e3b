//! What is not known lowers nothing, is not told as known, and is not waited for for ever.

use jiff::SignedDuration;
use tidegate::engine::observation::{GroupState, Meaning, Observation, Quality, SourceReading, TargetHold};
use tidegate::engine::{Memory, Reason, evaluate};
use tidegate::policy::read::read_policies;
use tidegate::policy::rules::Fallback;
use tidegate::policy::{Replicas, Rules, TimeSpan};

use super::plant::{Plant, Run, World, after, lag_rules, run_edited};
use super::scenarios::{backlog, edited, group, hinted, metric, quality};

/// The second of the first move after nothing but doubt until `until`.
fn first_move_after_doubt(replicas: usize, rules: &Rules, until: u64, doubt: fn(&mut Observation)) -> u64 {
    let mut plant = Plant::new(World { weights: vec![1; 24], ..World::default() }, replicas);
    let mut run = Run::default();
    let edit = |second, seen: &mut Observation| {
        if second < until {
            doubt(seen);
        }
    };
    run_edited(&mut run, &mut plant, rules, until + 1800, |_| 20, edit);
    let first = run.moves[0];
    assert!(first.2 < first.1, "{}", run.table());
    first.0
}

#[test]
fn a_move_down_takes_a_whole_window_of_sight_after_doubt() {
    let one_unknown = |seen: &mut Observation| {
        quality(seen, Quality::Partial);
        backlog(seen, |one| one.lag = one.lag.filter(|_| one.partition != 3));
    };
    assert_eq!(first_move_after_doubt(10, &lag_rules(1000), 330, one_unknown), 318 + 300);
    let unknown_group = |seen: &mut Observation| group(seen, GroupState::Unknown);
    let mut windowed = hinted();
    windowed.behavior.scale_down.stabilization_window_seconds = Some(300);
    assert!(first_move_after_doubt(20, &windowed, 1200, unknown_group) >= 1188 + 300);
    let disagreeing = |seen: &mut Observation| metric(seen, Meaning::ArrivalRate, 500.0);
    assert_eq!(first_move_after_doubt(10, &lag_rules(1000), 600, disagreeing), 588 + 300);
}

#[test]
fn a_target_left_alone_is_no_sight_either() {
    let rolling = |seen: &mut Observation| seen.target.hold = Some(TargetHold::RollingOut);
    assert_eq!(first_move_after_doubt(10, &lag_rules(1000), 600, rolling), 588 + 300);
}

#[test]
fn whether_the_objective_holds_is_told_only_where_it_is_known() {
    let told = |rules: &Rules, edit: fn(&mut Observation)| {
        let run = edited(4, rules, 30, |_| 300, |_, seen| edit(seen));
        run.decisions.last().unwrap().estimate.overdue
    };
    let unknown = |seen: &mut Observation| backlog(seen, |one| one.overdue = None);
    let one_late = |seen: &mut Observation| {
        quality(seen, Quality::Partial);
        backlog(seen, |one| one.overdue = (one.partition == 1).then_some(true));
    };
    let partial = |seen: &mut Observation| quality(seen, Quality::Partial);
    assert_eq!(told(&hinted(), |_| {}), Some(false));
    assert_eq!(told(&hinted(), unknown), None);
    assert_eq!(told(&hinted(), one_late), Some(true));
    assert_eq!(told(&hinted(), partial), None, "what is not known may be late");
    assert_eq!(told(&hinted(), |seen| quality(seen, Quality::Missing)), None);
    assert_eq!(told(&lag_rules(1000), |_| {}), None, "no age is asked for");
}

/// The clock of the machine was ahead by `ahead` seconds until the turn at 300 s. Five replicas are four too many.
fn clock_set_back(ahead: i64) -> Vec<(u64, Reason, Option<Replicas>)> {
    let mut plant = Plant::new(World::default(), 5);
    let mut memory = Memory::default();
    let mut told = Vec::new();
    for second in 1..=1200_u64 {
        plant.step(10, 60);
        if second.is_multiple_of(15) {
            let wrong = SignedDuration::from_secs(if second <= 300 { ahead } else { 0 });
            let now = after(second).checked_add(wrong).unwrap();
            let mut seen = plant.observe(60);
            seen.target.sampled_at = now;
            if let Some(SourceReading::Backlog(reading)) = seen.sources.first_mut() {
                reading.sampled_at = now;
            }
            backlog(&mut seen, |one| one.lag = Some(0));
            let (next, decision) = evaluate(&lag_rules(1000), memory, &seen, now);
            memory = next;
            told.push((second, decision.reason, decision.desired));
        }
    }
    told
}

#[test]
fn a_clock_that_was_wrong_is_not_waited_for() {
    let first = |told: &[(u64, Reason, Option<Replicas>)], seconds: std::ops::Range<u64>| {
        told.iter().find(|one| seconds.contains(&one.0) && one.2 < Some(Replicas(5))).map(|one| one.0)
    };
    let far = clock_set_back(24 * 3600);
    assert!(far.iter().all(|one| one.1 != Reason::InputRejected), "{far:?}");
    assert_eq!(first(&far, 301..1200), Some(615), "a whole window after the clock was set right");
    let near = clock_set_back(120);
    let held: Vec<u64> = near.iter().filter(|one| one.1 == Reason::InputRejected).map(|one| one.0).collect();
    assert_eq!((held.first(), held.last()), (Some(&315), Some(&405)), "until the last turn is passed");
}

/// What is decided about a workload at rest by these metrics alone.
fn at_rest_by(metrics: &[(Meaning, f64)]) -> (Reason, u32) {
    let rules = Rules { min_replicas: Replicas(0), ..hinted() };
    let mut seen = Plant::new(World::default(), 0).observe(60);
    seen.sources.clear();
    for (means, value) in metrics {
        metric(&mut seen, *means, *value);
    }
    let (_, decision) = evaluate(&rules, Memory::default(), &seen, after(0));
    (decision.reason, decision.desired.unwrap().0)
}

#[test]
fn whatever_tells_of_work_wakes() {
    assert_eq!(at_rest_by(&[(Meaning::ArrivalRate, 500.0)]), (Reason::Activated, 4));
    assert_eq!(at_rest_by(&[(Meaning::ArrivalRate, 0.0)]), (Reason::Idle, 0));
    assert_eq!(at_rest_by(&[(Meaning::BacklogAge, 5.0)]), (Reason::Activated, 1));
    assert_eq!(at_rest_by(&[(Meaning::Demand, 3.0)]), (Reason::Activated, 3));
    assert_eq!(at_rest_by(&[(Meaning::Backlog, 7.0), (Meaning::ArrivalRate, 1.0)]).0, Reason::Activated);
}

#[test]
fn doubt_about_a_workload_at_rest_is_told() {
    let rules = Rules { min_replicas: Replicas(0), ..hinted() };
    let run = edited(0, &rules, 60, |_| 0, |_, seen| quality(seen, Quality::Partial));
    let last = run.decisions.last().unwrap();
    assert_eq!((last.reason, last.desired), (Reason::SignalPartial, Some(Replicas(0))));
}

#[test]
fn lasting_doubt_raises_to_the_floor_too() {
    let fallback = Fallback { after: TimeSpan::from_secs(180), replicas: Replicas(8) };
    let rules = Rules { fallback: Some(fallback), ..hinted() };
    let told = |doubt: fn(&mut Observation)| {
        let spoil = |second, seen: &mut Observation| {
            if (60..420).contains(&second) {
                doubt(seen);
            }
        };
        let run = edited(4, &rules, 420, |_| 300, spoil);
        run.moves.first().copied()
    };
    let partial = |seen: &mut Observation| quality(seen, Quality::Partial);
    let unknown_group = |seen: &mut Observation| group(seen, GroupState::Unknown);
    let disagreeing = |seen: &mut Observation| metric(seen, Meaning::ArrivalRate, 0.0);
    for doubt in [partial, unknown_group, disagreeing] {
        assert_eq!(told(doubt), Some((243, 4, 8)), "the first doubt is at 63 s");
    }
    assert_eq!(told(|seen| group(seen, GroupState::Empty)), None, "what the group does is known");
    let more = Rules { min_replicas: Replicas(1), ..rules.clone() };
    assert_eq!(edited(12, &more, 420, |_| 300, |_, seen| partial(seen)).moves, [], "it never lowers");
}

/// The recipe for work outside of Kafka, on what a queue may look like.
#[test]
fn the_prometheus_recipe_scales() {
    let text = include_str!("../../config/policies/prometheus-backlog.yaml");
    let interval = TimeSpan::from_secs(15);
    let policy = read_policies("recipe", text, None, interval).remove(0).result.unwrap();
    let mut replicas = Replicas(1);
    let mut memory = Memory::default();
    let mut moves = Vec::new();
    for turn in 0..240_u64 {
        let busy = turn < 40;
        let mut seen = Plant::new(World::default(), usize::try_from(replicas.0).unwrap()).observe(300);
        let now = after(15 * turn);
        seen.target.sampled_at = now;
        seen.sources.clear();
        metric(&mut seen, Meaning::Backlog, if busy { 40_000.0 } else { 10.0 });
        metric(&mut seen, Meaning::ArrivalRate, if busy { 90.0 } else { 5.0 });
        let (next, decision) = evaluate(&policy.rules, memory, &seen, now);
        memory = next;
        if let Some(change) = decision.change {
            moves.push((turn, decision.reason, change.replicas.0));
            replicas = change.replicas;
        }
    }
    assert_eq!(moves[0].1, Reason::LoadNeedsMore, "{moves:?}");
    assert!(moves[0].0 <= 1 && moves[0].2 >= 5, "{moves:?}");
    assert_eq!(moves.last().map(|last| (last.1, last.2)), Some((Reason::LoadNeedsFewer, 1)), "{moves:?}");
}

#[test]
fn a_clock_that_went_back_says_until_when() {
    let seen = Plant::new(World::default(), 2).observe(60);
    let (memory, _) = evaluate(&hinted(), Memory::default(), &seen, after(60));
    let (_, decision) = evaluate(&hinted(), memory, &seen, after(45));
    assert_eq!(decision.reason, Reason::InputRejected);
    assert_eq!(
        decision.counterfactual,
        "What would flip it: a clock past 2026-01-05T08:01:00Z, the last turn. Looked at again in 15s."
    );
}

#[test]
fn what_fits_is_said_with_what_it_can_take() {
    let sentence = |rules: &Rules, load: u64| {
        edited(2, rules, 300, |_| load, |_, _| {}).decisions.last().unwrap().sentence.clone()
    };
    let known = sentence(&hinted(), 210);
    assert!(known.starts_with("Hold at 2: 2 replicas can process about 400 records/s; "), "{known}");
    assert!(known.ends_with("; 210 arrive."), "{known}");
}
