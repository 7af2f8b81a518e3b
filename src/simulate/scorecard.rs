//! The figures that everybody is judged by, counted the same way for all.
//!
//! Cost: `J = replica-hours + c_v x minutes over the objective + c_s x rescales`. The elasticity figures
//! (theta, tau, upsilon, sigma) are those of Herbst et al., "Ready for Rain?" (2016); they treat every
//! deficit as bad, which for a queue it is not.

use serde::Serialize;

use super::standing::Recovery;
use crate::fluid::course::{Course, STEP};
use crate::fluid::numbers::{quantile, real};
use crate::fluid::run::Run;
use crate::fluid::running::{Moment, Moved};

/// Seconds within which a move in the other direction is a reversal.
const REVERSED_WITHIN: f64 = 1800.0;

/// The figures of one policy over the judged part of a trace. Names end in their units.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Figures {
    /// `J`.
    pub cost_replica_hours: f64,
    /// Paid for.
    pub replica_hours: f64,
    /// On average.
    pub mean_replicas: f64,
    /// At the most.
    pub peak_replicas: u32,
    /// Minutes with a record older than the objective allows.
    pub violation_minutes: f64,
    /// Their share of the time.
    pub violation_share: f64,
    /// The greatest age of an unprocessed record.
    pub worst_age_seconds: f64,
    /// The age that 99 % of the steps' ends lie under.
    pub p99_age_seconds: f64,
    /// Changes of the replicas asked for.
    pub rescales: u32,
    /// The same per day.
    pub rescales_per_day: f64,
    /// Rescales taken back before they had paid for themselves.
    pub wasted_rescales: u32,
    /// Their share of all rescales.
    pub wasted_rescale_share: f64,
    /// Moves that undo one of the last half hour.
    pub reversals: u32,
    /// The same per day.
    pub reversals_per_day: f64,
    /// Seconds during which everything stood still.
    pub stopped_seconds: f64,
    /// Their share of the time.
    pub stopped_share: f64,
    /// Moves down at turns at which nothing could be known.
    pub lowered_while_blind: u32,
    /// `theta_U`: how much was missing, relative to the demand.
    pub under_provisioned_percent: f64,
    /// `theta_O`: how much was too much, relative to the demand.
    pub over_provisioned_percent: f64,
    /// `tau_U`: share of the time with too little.
    pub under_time_percent: f64,
    /// `tau_O`: share of the time with too much.
    pub over_time_percent: f64,
    /// upsilon: share of the time in which size and demand do not move alike.
    pub instability_percent: f64,
    /// sigma: the five before in one.
    pub deviation_percent: f64,
}

/// `J` of a run from the start of step `begin` to the start of step `end`.
pub fn cost(course: &Course, run: &Run, begin: usize, end: usize) -> f64 {
    let judged = run.moments.get(begin.saturating_sub(run.begin)..end.saturating_sub(run.begin));
    let lived = |moment: &Moment| {
        Course::hours(moment.replicas) + if moment.is_late { course.late_cost() } else { 0.0 }
    };
    let moves = run.moves.iter().filter(|moved| (begin..end).contains(&moved.step)).count();
    judged.unwrap_or_default().iter().map(lived).sum::<f64>() + course.plant.rescale_cost * real(moves)
}

/// The figures of a run from the start of step `begin` to the start of step `end`.
pub fn figures(course: &Course, run: &Run, begin: usize, end: usize) -> Figures {
    let from = begin.saturating_sub(run.begin);
    let until = end.saturating_sub(run.begin).min(run.moments.len());
    let moments = run.moments.get(from..until).unwrap_or_default();
    let judged: Vec<Moved> =
        run.moves.iter().filter(|moved| (begin..end).contains(&moved.step)).copied().collect();
    let steps = real(moments.len()).max(1.0);
    let days = steps * STEP / 86_400.0;
    let share = |of: &dyn Fn(&Moment) -> f64| moments.iter().map(of).sum::<f64>() / steps;
    let ages: Vec<f64> = moments.iter().map(|moment| moment.age).collect();
    let late_share = share(&|moment| f64::from(u8::from(moment.is_late)));
    let violation_minutes = late_share * steps * STEP / 60.0;
    let mean_replicas = share(&|moment| f64::from(moment.replicas));
    let replica_hours = mean_replicas * steps * STEP / 3600.0;
    let stopped_share = share(&|moment| moment.stopped);
    let rescales = count(judged.len());
    let wasted = count(judged.iter().filter(|moved| is_wasted(course, &run.moves, **moved)).count());
    let reversals = reversals(&judged);
    let plant = &course.plant;
    let mut figures = Figures {
        cost_replica_hours: replica_hours
            + plant.violation_cost * violation_minutes
            + plant.rescale_cost * f64::from(rescales),
        replica_hours,
        mean_replicas,
        peak_replicas: moments.iter().map(|moment| moment.replicas).max().unwrap_or(0),
        violation_minutes,
        violation_share: late_share,
        worst_age_seconds: ages.iter().copied().fold(0.0, f64::max),
        p99_age_seconds: quantile(&ages, 0.99),
        rescales,
        rescales_per_day: f64::from(rescales) / days,
        wasted_rescales: wasted,
        wasted_rescale_share: f64::from(wasted) / f64::from(rescales.max(1)),
        reversals,
        reversals_per_day: f64::from(reversals) / days,
        stopped_seconds: stopped_share * steps * STEP,
        stopped_share,
        lowered_while_blind: count(
            run.blind_lowers.iter().filter(|step| (begin..end).contains(*step)).count(),
        ),
        ..Figures::default()
    };
    elasticity(course, moments, begin, &mut figures);
    figures
}

/// Whether a move was taken back before what it saved or gave had paid for it and its stop.
fn is_wasted(course: &Course, moves: &[Moved], moved: Moved) -> bool {
    let size = f64::from(moved.from.abs_diff(moved.to));
    let stop = f64::from(moved.to) * course.plant.stop_seconds / 3600.0;
    let hours = (course.plant.rescale_cost + stop) / size.max(1.0);
    let is_back = |later: &Moved| (later.to > later.from) != (moved.to > moved.from);
    let next = moves.iter().position(|one| one.step > moved.step).and_then(|at| moves.get(at..));
    let back = next.into_iter().flatten().find(|later| is_back(later));
    back.is_some_and(|back| real(back.step - moved.step) * STEP < hours * 3600.0)
}

fn reversals(moves: &[Moved]) -> u32 {
    let undoes = |pair: &&[Moved]| {
        let [before, after] = pair else { return false };
        (before.to > before.from) != (after.to > after.from)
            && real(after.step - before.step) * STEP <= REVERSED_WITHIN
    };
    count(moves.windows(2).filter(undoes).count())
}

/// What a run made of its course's outage.
pub fn recovery(course: &Course, run: &Run) -> Recovery {
    let outage = course.outage();
    let after = outage.end.saturating_sub(run.begin);
    let moments = run.moments.get(after..).unwrap_or_default();
    let Some(back) = moments.iter().position(|moment| !moment.is_late).filter(|_| !outage.is_empty()) else {
        return Recovery::default();
    };
    let during = |moved: &&Moved| (outage.start..=outage.end + back).contains(&moved.step);
    let moves: Vec<&Moved> = run.moves.iter().filter(during).collect();
    let ups = moves.iter().filter(|moved| moved.to > moved.from);
    let size = moments.get(back).map_or(0, |moment| moment.replicas);
    let largest = moves.iter().map(|moved| moved.to).max().unwrap_or(size);
    Recovery {
        recovery_minutes: Some(real(back + 1) * STEP / 60.0),
        recovery_decisions: Some(count(moves.len())),
        recovery_first_decision_off_replicas: ups.map(|up| largest - up.to).next(),
        recovery_overshoot_replicas: Some(largest.saturating_sub(size)),
    }
}

fn elasticity(course: &Course, moments: &[Moment], begin: usize, figures: &mut Figures) {
    let percent = 100.0 / real(moments.len()).max(1.0);
    let mut before: Option<(u32, u32)> = None;
    for (moment, step) in moments.iter().zip(begin..) {
        let (supply, demand) = (moment.replicas, course.demand(step));
        let relative = (f64::from(supply) - f64::from(demand)) / f64::from(demand.max(1));
        figures.under_provisioned_percent += percent * (-relative).max(0.0);
        figures.over_provisioned_percent += percent * relative.max(0.0);
        figures.under_time_percent += if supply < demand { percent } else { 0.0 };
        figures.over_time_percent += if supply > demand { percent } else { 0.0 };
        if let Some((supplied, demanded)) = before
            && supply.cmp(&supplied) != demand.cmp(&demanded)
        {
            figures.instability_percent += percent;
        }
        before = Some((supply, demand));
    }
    let terms = [
        figures.under_provisioned_percent,
        figures.over_provisioned_percent,
        figures.under_time_percent,
        figures.over_time_percent,
        figures.instability_percent,
    ];
    figures.deviation_percent = terms.iter().map(|term| term.powi(5)).sum::<f64>().powf(0.2);
}

/// For each of several, the share of duels won against all others of another name, over what it costs,
/// how fresh it is and how often it moves: a draw is half a win.
pub fn duels(all: &[(&str, &Figures)]) -> Vec<f64> {
    let terms = |one: &Figures| {
        [
            one.cost_replica_hours,
            one.replica_hours,
            one.violation_minutes,
            one.p99_age_seconds,
            f64::from(one.rescales),
            f64::from(one.reversals),
        ]
    };
    all.iter()
        .map(|(name, own)| {
            let others = all.iter().filter(|(other, _)| other != name);
            let results: Vec<f64> = others
                .flat_map(|(_, other)| terms(own).into_iter().zip(terms(other)))
                .map(|(own, other)| match own.total_cmp(&other) {
                    std::cmp::Ordering::Less => 1.0,
                    std::cmp::Ordering::Equal => 0.5,
                    std::cmp::Ordering::Greater => 0.0,
                })
                .collect();
            if results.is_empty() { 0.0 } else { results.iter().sum::<f64>() / real(results.len()) }
        })
        .collect()
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fluid::plant::Plant;
    use crate::fluid::trace::Trace;
    use crate::simulate::race::by_path;

    fn close(value: f64, expected: f64) {
        assert!((value - expected).abs() < 1e-6, "{value} is not {expected}");
    }

    #[test]
    fn a_run_is_counted_as_it_was() {
        let plant = Plant { capacity: 10.0, ..Plant::preset("consumer-eager").unwrap() };
        let trace = Trace { name: "t".to_owned(), step: 15.0, rates: [[15.0; 8], [5.0; 8]].concat() };
        let course = Course::new(&trace, &plant, 1).unwrap();
        // Too small for 8 steps, so that 5/s too many arrive; then 3, of which the first step stops.
        let run = by_path(&course, &[(0, 1), (8, 3), (12, 1)], 0);
        close(cost(&course, &run, 0, 16), figures(&course, &run, 0, 16).cost_replica_hours);
        let figures = figures(&course, &run, 0, 16);
        close(figures.replica_hours, (1.0 * 12.0 + 3.0 * 4.0) * 15.0 / 3600.0);
        close(figures.mean_replicas, 1.5);
        assert_eq!((figures.peak_replicas, figures.rescales, figures.reversals), (3, 2, 1));
        // Up for 2 replicas costs 0.05 h and a stop of 3 x 15 s: 1/32 h, and only 1 minute has passed.
        assert_eq!(figures.wasted_rescales, 1);
        close(figures.stopped_seconds, 30.0);
        close(figures.violation_minutes, 0.0);
        close(figures.cost_replica_hours, figures.replica_hours + 0.1);
        close(figures.under_time_percent, 50.0);
        close(figures.under_provisioned_percent, 25.0);
        close(figures.over_time_percent, 25.0);
        close(figures.over_provisioned_percent, 50.0);
    }

    #[test]
    fn duels_are_won_by_the_lesser_figure() {
        let cheap = Figures { cost_replica_hours: 1.0, ..Figures::default() };
        let dear = Figures { cost_replica_hours: 2.0, ..Figures::default() };
        let won = duels(&[("a", &cheap), ("b", &dear), ("b", &dear)]);
        close(won[0], (1.0 + 5.0 * 0.5) / 6.0);
        close(won[1], (5.0 * 0.5) / 6.0);
    }
}
