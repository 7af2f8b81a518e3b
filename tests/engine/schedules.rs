//! Floors by the clock.

use jiff::Timestamp;
use tidegate::engine::observation::Observation;
use tidegate::engine::{Decision, Memory, Reason, Verdict, evaluate, explain};
use tidegate::policy::rules::Fallback;
use tidegate::policy::schedule::{Lasts, Schedule};
use tidegate::policy::{Replicas, Rules, TimeSpan};

use super::plant::{Plant, World, after, lag_rules, max_lag_rules, start};

/// At least six from 08:30 to 09:30 UTC; the tests begin at 08:00 on a Monday.
pub(super) fn peak() -> Schedule {
    Schedule {
        name: "peak".to_owned(),
        time_zone: "UTC".parse().unwrap(),
        start: "30 8 * * MON-FRI".parse().unwrap(),
        lasts: Lasts::Until("30 9 * * *".parse().unwrap()),
        min_replicas: Replicas(6),
    }
}

fn hinted() -> Rules {
    Rules { capacity_per_replica: Some(200.0), schedules: vec![peak()], ..max_lag_rules(60) }
}

/// Every decision with its second, on a plant that does as it is told.
fn run(
    plant: &mut Plant,
    rules: &Rules,
    until: u64,
    load: impl Fn(u64) -> u64,
    edit: impl Fn(u64, &mut Observation),
) -> Vec<(u64, Decision)> {
    let (mut memory, mut decisions) = (Memory::default(), Vec::new());
    for second in 1..=until {
        plant.step(load(second), 60);
        if second.is_multiple_of(15) {
            let mut seen = plant.observe(60);
            edit(second, &mut seen);
            let (next, decision) = evaluate(rules, memory, &seen, after(second));
            memory = next;
            if let Some(change) = decision.change {
                plant.scale(change.replicas);
            }
            decisions.push((second, decision));
        }
    }
    decisions
}

fn moves(decisions: &[(u64, Decision)]) -> Vec<(u64, u32, Reason)> {
    let moved = decisions.iter().filter(|(_, one)| one.change.is_some());
    moved.map(|(second, one)| (*second, one.desired.unwrap().0, one.reason)).collect()
}

/// The size at a second.
fn size(decisions: &[(u64, Decision)], second: u64) -> u32 {
    decisions.iter().find(|(at, _)| *at == second).unwrap().1.desired.unwrap().0
}

fn as_seen(_: u64, _: &mut Observation) {}

#[test]
fn the_floor_is_there_when_the_hour_begins_and_kept_until_it_ends() {
    let mut plant = Plant::new(World::default(), 2);
    let decisions = run(&mut plant, &hinted(), 9000, |_| 100, as_seen);
    let moved = moves(&decisions);
    let (second, to, reason) = moved[moved.len() - 2];
    // Two replicas' worth of load; a move up is believed to take 30 s, and a turn 15 s.
    assert_eq!((to, reason), (6, Reason::AtScheduledMinimum));
    assert!((1740..1800).contains(&second), "08:29 and some seconds: {second}");
    for second in (1800..5400).step_by(15) {
        assert_eq!(size(&decisions, second), 6, "{second}");
    }
    let (second, to, reason) = moved[moved.len() - 1];
    assert_eq!((to, reason), (1, Reason::LoadNeedsFewer));
    assert!((5400..7200).contains(&second), "{second}");
}

#[test]
fn slow_starts_are_asked_for_earlier() {
    let slow = World { start_seconds: 240, ..World::default() };
    let mut plant = Plant::new(slow, 2);
    // A move up before, which teaches what a start takes.
    let load = |second| if second < 600 { 600 } else { 100 };
    let decisions = run(&mut plant, &hinted(), 1815, load, as_seen);
    let asked = decisions.iter().find(|(_, one)| one.reason == Reason::AtScheduledMinimum).unwrap().0;
    assert!(asked < 1800 - 240, "{asked}");
    assert!(asked > 1800 - 600, "{asked}");
}

#[test]
fn the_load_may_ask_for_more_and_the_floor_binds_only_below() {
    let mut plant = Plant::new(World::default(), 2);
    let decisions =
        run(&mut plant, &hinted(), 5400, |second| if second < 3600 { 1900 } else { 100 }, as_seen);
    assert_eq!(size(&decisions, 2400), 12);
    assert_eq!(size(&decisions, 5385), 6, "down to the floor, and no further");
    let last = &decisions[decisions.len() - 2].1;
    assert_eq!((last.verdict, last.reason), (Verdict::Hold, Reason::AtScheduledMinimum));
    assert!(
        last.sentence
            .contains("1 needed, schedule `peak` asks for at least 6 until Mon 2026-01-05 09:30 UTC"),
        "{}",
        last.sentence
    );
    assert!(last.counterfactual.contains("the end of schedule `peak` on Mon 2026-01-05 09:30 UTC"));
}

#[test]
fn a_workload_at_rest_is_woken_by_the_clock_and_rests_again() {
    let rules = Rules { min_replicas: Replicas(0), ..hinted() };
    let mut plant = Plant::new(World::default(), 0);
    let decisions = run(&mut plant, &rules, 7200, |_| 0, as_seen);
    let moved = moves(&decisions);
    assert_eq!(moved.len(), 2, "{moved:?}");
    assert_eq!((moved[0].1, moved[0].2), (6, Reason::AtScheduledMinimum));
    assert_eq!((moved[1].1, moved[1].2), (0, Reason::Idle));
    assert!((1740..1800).contains(&moved[0].0) && (5400..5430).contains(&moved[1].0), "{moved:?}");
    let woken = decisions.iter().find(|(_, one)| one.change.is_some()).unwrap();
    assert_eq!(
        woken.1.sentence,
        "0 -> 6: schedule `peak` asks for at least 6 from Mon 2026-01-05 08:30 UTC until Mon 2026-01-05 09:30 UTC."
    );
}

#[test]
fn the_floor_counts_in_records_too_and_says_so() {
    let rules = Rules { schedules: vec![peak()], ..lag_rules(1000) };
    let mut plant = Plant::new(World::default(), 2);
    let decisions = run(&mut plant, &rules, 1815, |_| 100, as_seen);
    let raised = decisions.iter().find(|(_, one)| one.desired == Some(Replicas(6))).unwrap();
    assert_eq!(raised.1.reason, Reason::AtScheduledMinimum, "{}", raised.1.sentence);
}

#[test]
fn neither_silence_nor_dampers_nor_the_fallback_lower_it() {
    let fallback = Fallback { after: TimeSpan::from_secs(60), replicas: Replicas(3) };
    let rules = Rules { fallback: Some(fallback), changes_per_hour: 2, ..hinted() };
    let mut plant = Plant::new(World::default(), 2);
    let decisions = run(
        &mut plant,
        &rules,
        5400,
        |_| 100,
        |second, seen| {
            if second > 600 {
                seen.sources.clear();
            }
        },
    );
    assert_eq!(size(&decisions, 1500), 3, "the fallback");
    for second in (1800..5400).step_by(15) {
        assert_eq!(size(&decisions, second), 6, "{second}");
    }
}

#[test]
fn only_the_hours_budget_keeps_it_waiting() {
    let rules = Rules { changes_per_hour: 1, ..hinted() };
    let mut plant = Plant::new(World::default(), 2);
    let decisions = run(&mut plant, &rules, 5400, |_| 100, as_seen);
    let moved = moves(&decisions);
    let (first, second) = (moved[0], moved[1]);
    assert!(first.0 < 1740 && first.2 != Reason::AtScheduledMinimum, "{moved:?}");
    assert!(
        (second.1, second.2) == (6, Reason::AtScheduledMinimum) && second.0 >= first.0 + 3600,
        "{moved:?}"
    );
    let waiting = &decisions.iter().find(|(at, _)| *at == 1815).unwrap().1;
    assert_eq!((waiting.verdict, waiting.reason), (Verdict::Hold, Reason::BudgetExhausted));
}

#[test]
fn of_two_that_hold_the_higher_counts_and_never_more_than_the_most() {
    let night = Schedule {
        name: "night".to_owned(),
        start: "0 22 * * *".parse().unwrap(),
        lasts: Lasts::For(TimeSpan::from_secs(12 * 3600)),
        min_replicas: Replicas(3),
        ..peak()
    };
    let rules = Rules { schedules: vec![night, peak()], max_replicas: Replicas(5), ..hinted() };
    let mut plant = Plant::new(World::default(), 1);
    let decisions = run(&mut plant, &rules, 2400, |_| 100, as_seen);
    let first = decisions[0].1.schedule.as_ref().unwrap();
    assert_eq!(first.holds.as_ref().map(|window| window.schedule.as_str()), Some("night"));
    assert_eq!(first.next.as_ref().map(|window| window.schedule.as_str()), Some("peak"));
    assert_eq!(size(&decisions, 15), 3);
    assert_eq!(size(&decisions, 1800), 5, "six asked for, maxReplicas is 5");
    let later = decisions.last().unwrap().1.schedule.as_ref().unwrap();
    assert_eq!(later.holds.as_ref().map(|window| window.schedule.as_str()), Some("peak"));
    assert_eq!(later.next.as_ref().map(|window| window.from), Some(at("2026-01-05T22:00:00Z")));
}

#[test]
fn the_words_tell_what_holds_and_what_is_next() {
    let mut plant = Plant::new(World::default(), 6);
    let decisions = run(&mut plant, &hinted(), 1815, |_| 100, as_seen);
    let shown = |second: u64| {
        let rendered = explain::render(&decisions.iter().find(|(at, _)| *at == second).unwrap().1);
        let lines = rendered.lines().filter(|line| line.contains("by the clock"));
        lines.map(|line| line.trim().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        shown(15),
        [
            "by the clock      no schedule holds",
            "next by the clock schedule `peak` asks for at least 6 from Mon 2026-01-05 08:30 UTC"
        ]
    );
    assert_eq!(
        shown(1815),
        [
            "by the clock      schedule `peak` asks for at least 6 until Mon 2026-01-05 09:30 UTC",
            "next by the clock schedule `peak` asks for at least 6 from Tue 2026-01-06 08:30 UTC"
        ]
    );
}

#[test]
fn a_schedule_is_part_of_the_rules_that_are_written_down() {
    let text = serde_json::to_string(&hinted()).unwrap();
    assert_eq!(serde_json::from_str::<Rules>(&text).unwrap(), hinted());
    let without = serde_json::to_string(&max_lag_rules(60)).unwrap();
    assert!(!without.contains("schedules"), "rules without any read as before");
}

fn at(text: &str) -> Timestamp {
    let at = text.parse().unwrap();
    assert!(at > start());
    at
}
