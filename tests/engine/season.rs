//! Past days: no move down shortly before the hour that has needed more, and none held without a rhythm.

use tidegate::engine::{Reason, Verdict};
use tidegate::policy::preset::Knobs;
use tidegate::policy::{Rules, TimeSpan};

use super::plant::{Plant, Run, World, max_lag_rules, run, start};

const DAY: u64 = 86_400;

/// Moves as dear as those of a job with much state.
fn rules() -> Rules {
    let knobs = Knobs { rescale_cost: Some(TimeSpan::from_secs(15_000)), ..Knobs::default() };
    Rules { capacity_per_replica: Some(200.0), knobs, ..max_lag_rules(60) }
}

/// A lull of 45 minutes at noon, and a night of six hours.
fn square(second: u64) -> u64 {
    match second % DAY {
        14_400..17_100 | 50_400..72_000 => 300,
        _ => 1500,
    }
}

/// So many days of it.
pub(super) fn rhythm(days: u64) -> Run {
    run(&mut Plant::new(World::default(), 8), &rules(), days * DAY, square)
}

/// Decisions in the lull at noon of a day, with whether they lower, and their reason.
fn noon(run: &Run, day: u64) -> Vec<(Verdict, Reason)> {
    let lull = |second: u64| (day * DAY + 14_400..day * DAY + 17_100).contains(&second);
    let second = |at: jiff::Timestamp| u64::try_from(at.duration_since(start()).as_secs()).unwrap();
    run.decisions.iter().filter(|one| lull(second(one.at))).map(|one| (one.verdict, one.reason)).collect()
}

#[test]
fn nothing_goes_down_shortly_before_the_hour_that_has_needed_more() {
    let run = rhythm(5);
    let lowers = |day| noon(&run, day).iter().any(|one| one.0 == Verdict::Lower);
    assert!(lowers(1), "by how long it has done before, a night among them: {:?}", run.moves);
    for day in 3..5 {
        assert!(!lowers(day), "day {day}: {:?}", run.moves);
        assert!(noon(&run, day).iter().any(|one| one.1 == Reason::PastDaysNeedMore), "day {day}");
        let night = run.moves.iter().any(|made| made.0 / DAY == day && made.2 < made.1);
        assert!(night, "the night of day {day} is long enough: {:?}", run.moves);
    }
}

#[test]
fn a_load_without_rhythm_is_hardly_ever_held_by_past_days() {
    // One level for each 50 minutes, drawn by a multiplicative hash.
    let load = |second: u64| 300 + (second / 3000).wrapping_mul(0x9E37_79B9_7F4A_7C15) % 1200;
    let run = run(&mut Plant::new(World::default(), 8), &rules(), 5 * DAY, load);
    let held = run.decisions.iter().filter(|one| one.reason == Reason::PastDaysNeedMore).count();
    assert!(100 * held < run.decisions.len(), "{held} of {}", run.decisions.len());
}
