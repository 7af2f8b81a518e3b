//! What is to be done about an application that may be restarted, from what is known of it. Pure.

use jiff::{SignedDuration, Timestamp};

use super::bounds::Range;
use super::ledger::{Attempt, Ledger, Phase};
use crate::policy::target::RestartRules;
use crate::policy::{Replicas, TimeSpan};
use crate::spark::driver::InForce;

/// What one look at it shows.
#[derive(Debug, Clone)]
pub(super) struct Sight {
    /// The state that the operator gives, `NEW` where there is none yet.
    pub(super) state: String,
    /// Who else has taken it over.
    pub(super) owned: Option<String>,
    /// The bounds that its spec states.
    pub(super) stated: Range,
    /// The application's id that the operator gives.
    pub(super) app: Option<String>,
    /// What the driver runs with.
    pub(super) driver: Result<InForce, String>,
    /// The last batch that was committed.
    pub(super) batch: Result<u64, String>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Verdict {
    /// It may be restarted.
    Free,
    /// It must be left alone for a while.
    Wait(String),
    /// It must be left alone until somebody changes it.
    Unfit(String),
    /// What became of the last restart is to be written down.
    Note(Box<Ledger>, String),
    /// The last restart is to be undone.
    Undo(Box<Ledger>, Range, String),
}

/// Judges it.
pub(super) fn judge(ledger: &Ledger, sight: &Sight, rules: &RestartRules, now: Timestamp) -> Verdict {
    let Some(last) = &ledger.last else { return rested(ledger, sight, rules, now) };
    match last.phase {
        Phase::Asked => asked(ledger, last, sight, rules, now),
        Phase::Undoing { since } => undoing(ledger, last, sight, (since, rules), now),
        Phase::Undone { at } | Phase::GivenUp { at } if now < later(at, rules.freeze) => {
            let until = later(at, rules.freeze);
            Verdict::Wait(format!("frozen until {until:.0} after a restart that failed: {}", last.why))
        }
        Phase::Proved | Phase::Undone { .. } | Phase::GivenUp { .. } => rested(ledger, sight, rules, now),
    }
}

fn asked(ledger: &Ledger, last: &Attempt, sight: &Sight, rules: &RestartRules, now: Timestamp) -> Verdict {
    let note = |phase: Phase, why: String| Verdict::Note(Box::new(ledger.clone().now(phase, &why, now)), why);
    if sight.stated != last.to {
        let why = format!("somebody else stated {} after the restart for {}", sight.stated, last.to);
        return note(Phase::GivenUp { at: now }, why);
    }
    if let Some(why) = over(sight) {
        return note(Phase::GivenUp { at: now }, why);
    }
    let missing = match proof(sight, last, last.to) {
        Ok(()) => {
            let seconds = now.duration_since(last.at).as_secs_f64();
            let why = format!("proved: it runs with {} after {seconds:.0} s", last.to);
            return Verdict::Note(Box::new(ledger.clone().now(Phase::Proved, "", now)), why);
        }
        Err(missing) => missing,
    };
    let why = if failed(&sight.state) {
        format!("it is {} with {}", sight.state, last.to)
    } else if now >= later(last.at, rules.prove_within) {
        format!("not proved within {} with {}: {missing}", rules.prove_within, last.to)
    } else {
        return Verdict::Wait(format!("restarted for {}: {missing}", last.to));
    };
    let undone = ledger.clone().now(Phase::Undoing { since: now }, &why, now);
    Verdict::Undo(Box::new(undone), last.from, why)
}

fn undoing(
    ledger: &Ledger,
    last: &Attempt,
    sight: &Sight,
    (since, rules): (Timestamp, &RestartRules),
    now: Timestamp,
) -> Verdict {
    let note = |phase: Phase, why: String| Verdict::Note(Box::new(ledger.clone().now(phase, &why, now)), why);
    if sight.stated != last.from {
        let why = format!("somebody else stated {} when {} were to be back", sight.stated, last.from);
        return note(Phase::GivenUp { at: now }, why);
    }
    if let Some(why) = over(sight) {
        return note(Phase::GivenUp { at: now }, why);
    }
    match proof(sight, last, last.from) {
        Ok(()) => note(Phase::Undone { at: now }, format!("undone: it runs with {} again", last.from)),
        Err(missing) if now >= later(since, rules.prove_within) => {
            note(Phase::GivenUp { at: now }, format!("undone, and it does not run: {missing}"))
        }
        Err(missing) => {
            Verdict::Wait(format!("a restart failed ({}), back to {}: {missing}", last.why, last.from))
        }
    }
}

/// Another driver than before runs with these bounds, the operator means the same one, and a batch was committed.
fn proof(sight: &Sight, last: &Attempt, wanted: Range) -> Result<(), String> {
    if sight.state != "RUNNING" {
        return Err(format!("it is {}", sight.state));
    }
    let driver = sight.driver.as_ref().map_err(Clone::clone)?;
    if driver.app == last.app {
        return Err(format!("the old driver ({}) still answers", driver.app));
    }
    same_app(sight, driver)?;
    let found = in_force(driver);
    if found != (Some(wanted.lower), Some(wanted.upper)) {
        return Err(format!("its driver runs with {}", shown(found)));
    }
    match &sight.batch {
        Ok(batch) if *batch > last.batch => Ok(()),
        Ok(batch) => Err(format!("no batch was committed after {batch}")),
        Err(unknown) => Err(unknown.clone()),
    }
}

/// No restart is under way: what stands against the next one.
fn rested(ledger: &Ledger, sight: &Sight, rules: &RestartRules, now: Timestamp) -> Verdict {
    unfit(sight).map_or_else(|| unready(ledger, sight, rules, now), Verdict::Unfit)
}

/// What does not go by itself.
fn unfit(sight: &Sight) -> Option<String> {
    let driver = sight.driver.as_ref().ok()?;
    if driver.profiles > 1 {
        return Some(format!(
            "it asks for {} kinds of executors (resource profiles), and bounds hold for each: nothing says how to share",
            driver.profiles
        ));
    }
    if driver.property("spark.dynamicAllocation.enabled") != Some("true") {
        return Some("its driver runs without dynamic allocation, whatever its spec says".to_owned());
    }
    let (found, stated) = (in_force(driver), sight.stated);
    (found != (Some(stated.lower), Some(stated.upper)) && same_app(sight, driver).is_ok()).then(|| {
        format!(
            "its spec says {stated}, and its driver runs with {}: a change was never acted on",
            shown(found)
        )
    })
}

fn unready(ledger: &Ledger, sight: &Sight, rules: &RestartRules, now: Timestamp) -> Verdict {
    if sight.state != "RUNNING" {
        return Verdict::Wait(format!("it is {}", sight.state));
    }
    let driver = match &sight.driver {
        Ok(driver) => driver,
        Err(problem) => return Verdict::Wait(problem.clone()),
    };
    if let Err(problem) = same_app(sight, driver).and(sight.batch.as_ref().map_err(Clone::clone).map(drop)) {
        return Verdict::Wait(problem);
    }
    let spaced = ledger.latest().map(|at| later(at, rules.spacing)).filter(|until| now < *until);
    if let Some(until) = spaced {
        return Verdict::Wait(format!("it was restarted lately: the next time not before {until:.0}"));
    }
    let (all, _) = ledger.within_a_day(now);
    if all >= usize::try_from(rules.per_day).unwrap_or(usize::MAX) {
        return Verdict::Wait(format!("{all} restarts in a day are all there may be"));
    }
    match driver.since.map(|since| later(since, rules.warmup)) {
        Some(until) if now < until => {
            Verdict::Wait(format!("it has to run for {} first: until {until:.0}", rules.warmup))
        }
        Some(_) => Verdict::Free,
        None => Verdict::Wait("its driver does not say since when it runs".to_owned()),
    }
}

fn same_app(sight: &Sight, driver: &InForce) -> Result<(), String> {
    match &sight.app {
        Some(app) if *app != driver.app => {
            Err(format!("the operator says {app}, and the driver that answers is {}", driver.app))
        }
        Some(_) | None => Ok(()),
    }
}

/// The bounds that a driver runs with, Spark's own defaults where it was given none.
fn in_force(driver: &InForce) -> (Option<Replicas>, Option<Replicas>) {
    let bound =
        |field: &str, otherwise: u32| match driver.property(&format!("spark.dynamicAllocation.{field}")) {
            Some(text) => text.trim().parse().ok().map(Replicas),
            None => Some(Replicas(otherwise)),
        };
    (bound("minExecutors", 0), bound("maxExecutors", i32::MAX.unsigned_abs()))
}

fn shown((lower, upper): (Option<Replicas>, Option<Replicas>)) -> String {
    let text = |bound: Option<Replicas>| bound.map_or_else(|| "?".to_owned(), |bound| bound.to_string());
    format!("{} to {} executors", text(lower), text(upper))
}

/// Whether it does not run because somebody wants that.
fn over(sight: &Sight) -> Option<String> {
    let state = sight.state.as_str();
    let ended = matches!(state, "COMPLETED" | "SUCCEEDING" | "SUSPENDING" | "SUSPENDED");
    sight.owned.clone().or_else(|| ended.then(|| format!("it is {state}: only its owner starts it again")))
}

fn failed(state: &str) -> bool {
    matches!(state, "FAILED" | "SUBMISSION_FAILED")
}

fn later(at: Timestamp, span: TimeSpan) -> Timestamp {
    let span = SignedDuration::try_from(span.0).unwrap_or(SignedDuration::MAX);
    at.checked_add(span).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const SMALL: Range = range(1, 2);
    const LARGE: Range = range(4, 6);

    const fn range(lower: u32, upper: u32) -> Range {
        Range { lower: Replicas(lower), upper: Replicas(upper), initial: None }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    /// It was started at second 0 with these bounds, and has committed this batch.
    fn runs(app: &str, stated: Range, batch: u64) -> Sight {
        let bound =
            |field: &str, value: Replicas| (format!("spark.dynamicAllocation.{field}"), value.to_string());
        let enabled = ("spark.dynamicAllocation.enabled".to_owned(), "true".to_owned());
        let properties = [enabled, bound("minExecutors", stated.lower), bound("maxExecutors", stated.upper)];
        let driver = InForce::new(app, Some(at(0)), 1, properties);
        Sight {
            state: "RUNNING".to_owned(),
            owned: None,
            stated,
            app: Some(app.to_owned()),
            driver: Ok(driver),
            batch: Ok(batch),
        }
    }

    fn in_state(state: &str, sight: Sight) -> Sight {
        Sight { state: state.to_owned(), driver: Err("nobody answers".to_owned()), ..sight }
    }

    /// Restarted at second 1000.
    fn restarted() -> Ledger {
        Ledger::default().and(Attempt {
            at: at(1000),
            from: SMALL,
            to: LARGE,
            app: "app-1".to_owned(),
            batch: 7,
            phase: Phase::Asked,
            why: String::new(),
        })
    }

    fn after(seconds: i64, ledger: &Ledger, sight: &Sight) -> Verdict {
        judge(ledger, sight, &RestartRules::default(), at(1000 + seconds))
    }

    fn phase(verdict: &Verdict) -> (Phase, &str) {
        match verdict {
            Verdict::Note(ledger, why) | Verdict::Undo(ledger, _, why) => {
                (ledger.last.as_ref().unwrap().phase, why)
            }
            Verdict::Free | Verdict::Wait(_) | Verdict::Unfit(_) => panic!("{verdict:?}"),
        }
    }

    #[rstest]
    #[case::old_driver(runs("app-1", LARGE, 9), "the old driver (app-1) still answers")]
    #[case::another_one(Sight { app: Some("app-3".to_owned()), ..runs("app-2", LARGE, 9) }, "the operator says app-3, and the driver that answers is app-2")]
    #[case::no_batch(runs("app-2", LARGE, 7), "no batch was committed after 7")]
    #[case::on_its_way(in_state("SUBMITTED", runs("app-2", LARGE, 7)), "it is SUBMITTED")]
    #[case::old_bounds(Sight { stated: LARGE, ..runs("app-2", SMALL, 9) }, "its driver runs with 1 to 2 executors")]
    #[case::silent(Sight { driver: Err("nobody answers".to_owned()), ..runs("app-2", LARGE, 9) }, "nobody answers")]
    fn a_restart_is_not_proved_yet(#[case] sight: Sight, #[case] missing: &str) {
        let waits = after(299, &restarted(), &sight);
        assert_eq!(waits, Verdict::Wait(format!("restarted for 4 to 6 executors: {missing}")));
        let undone = after(300, &restarted(), &sight);
        let why = format!("not proved within 5m with 4 to 6 executors: {missing}");
        assert!(matches!(&undone, Verdict::Undo(_, SMALL, told) if *told == why), "{undone:?}");
        assert_eq!(phase(&undone).0, Phase::Undoing { since: at(1300) });
    }

    #[test]
    fn a_restart_is_proved_by_bounds_and_a_batch_and_its_cost_is_kept() {
        let proved = after(80, &restarted(), &runs("app-2", LARGE, 8));
        assert_eq!(phase(&proved), (Phase::Proved, "proved: it runs with 4 to 6 executors after 80 s"));
        let Verdict::Note(ledger, _) = proved else { panic!("{proved:?}") };
        assert!((ledger.price().lower_seconds - 80.0).abs() < 1e-9 && !ledger.is_open());
        assert!((restarted().price().lower_seconds - 90.0).abs() < 1e-9, "not measured yet");
    }

    #[test]
    fn a_restart_that_fails_is_undone_once_and_then_left_alone() {
        let failed = after(20, &restarted(), &in_state("FAILED", runs("app-1", LARGE, 7)));
        assert_eq!(
            phase(&failed),
            (Phase::Undoing { since: at(1020) }, "it is FAILED with 4 to 6 executors")
        );
        let Verdict::Undo(ledger, SMALL, _) = failed else { panic!("{failed:?}") };
        let again = after(30, &ledger, &in_state("FAILED", runs("app-1", SMALL, 7)));
        let told =
            "a restart failed (it is FAILED with 4 to 6 executors), back to 1 to 2 executors: it is FAILED";
        assert_eq!(again, Verdict::Wait(told.to_owned()), "undone once, whatever becomes of it");
        let given_up = after(320, &ledger, &in_state("FAILED", runs("app-1", SMALL, 7)));
        assert_eq!(
            phase(&given_up),
            (Phase::GivenUp { at: at(1320) }, "undone, and it does not run: it is FAILED")
        );

        let undone = after(60, &ledger, &runs("app-3", SMALL, 8));
        assert_eq!(
            phase(&undone),
            (Phase::Undone { at: at(1060) }, "undone: it runs with 1 to 2 executors again")
        );
        let Verdict::Note(ledger, _) = undone else { panic!("{undone:?}") };
        let healthy = runs("app-3", SMALL, 900);
        let frozen = after(60 + 6 * 3600 - 1, &ledger, &healthy);
        assert!(
            matches!(&frozen, Verdict::Wait(why) if why.starts_with("frozen until") && why.ends_with("it is FAILED with 4 to 6 executors")),
            "{frozen:?}"
        );
        assert_eq!(after(60 + 6 * 3600, &ledger, &healthy), Verdict::Free);
    }

    #[rstest]
    #[case::completed(
        in_state("COMPLETED", runs("app-1", LARGE, 7)),
        "it is COMPLETED: only its owner starts it again"
    )]
    #[case::suspended(Sight { owned: Some("it is suspended".to_owned()), ..runs("app-1", LARGE, 7) }, "it is suspended")]
    #[case::overtaken(
        runs("app-2", range(9, 9), 8),
        "somebody else stated 9 to 9 executors after the restart for 4 to 6 executors"
    )]
    fn a_restart_that_somebody_else_ends_is_not_undone(#[case] sight: Sight, #[case] why: &str) {
        assert_eq!(phase(&after(900, &restarted(), &sight)), (Phase::GivenUp { at: at(1900) }, why));
    }

    #[rstest]
    #[case::free(runs("app-1", SMALL, 7), Verdict::Free)]
    #[case::profiles(
        Sight { driver: Ok(InForce::new("app-1", Some(at(0)), 2, [])), ..runs("app-1", SMALL, 7) },
        Verdict::Unfit("it asks for 2 kinds of executors (resource profiles), and bounds hold for each: nothing says how to share".to_owned())
    )]
    #[case::off(
        Sight { driver: Ok(InForce::new("app-1", Some(at(0)), 1, [])), ..runs("app-1", SMALL, 7) },
        Verdict::Unfit("its driver runs without dynamic allocation, whatever its spec says".to_owned())
    )]
    #[case::drift(
        Sight { stated: LARGE, ..runs("app-1", SMALL, 7) },
        Verdict::Unfit("its spec says 4 to 6 executors, and its driver runs with 1 to 2 executors: a change was never acted on".to_owned())
    )]
    #[case::silent(
        Sight { driver: Err("nobody answers".to_owned()), ..runs("app-1", SMALL, 7) },
        Verdict::Wait("nobody answers".to_owned())
    )]
    #[case::checkpoint(
        Sight { batch: Err("no batch yet".to_owned()), ..runs("app-1", SMALL, 7) },
        Verdict::Wait("no batch yet".to_owned())
    )]
    #[case::starting(in_state("SUBMITTED", runs("app-1", SMALL, 7)), Verdict::Wait("it is SUBMITTED".to_owned()))]
    fn what_stands_against_a_first_restart(#[case] sight: Sight, #[case] verdict: Verdict) {
        assert_eq!(after(0, &Ledger::default(), &sight), verdict);
    }

    #[test]
    fn restarts_are_spaced_counted_and_warmed_up_for() {
        let sight = runs("app-1", SMALL, 7);
        let young = judge(&Ledger::default(), &sight, &RestartRules::default(), at(599));
        assert!(
            matches!(&young, Verdict::Wait(why) if why.starts_with("it has to run for 10m first")),
            "{young:?}"
        );
        let proved = restarted().now(Phase::Proved, "", at(1080));
        let sight = runs("app-2", LARGE, 9);
        let soon = after(1799, &proved, &sight);
        assert!(
            matches!(&soon, Verdict::Wait(why) if why.starts_with("it was restarted lately")),
            "{soon:?}"
        );
        assert_eq!(after(1800, &proved, &sight), Verdict::Free);
        let last = proved.last.clone().unwrap();
        let many = (0..5).fold(proved, |ledger, _| ledger.and(last.clone()));
        let spent = after(7200, &many, &sight);
        assert_eq!(spent, Verdict::Wait("6 restarts in a day are all there may be".to_owned()));
        assert_eq!(after(24 * 3600, &many, &sight), Verdict::Free);
    }
}
