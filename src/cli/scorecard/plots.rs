//! The page's drawings.

use super::page::Part;
use crate::cli::simulate::svg::{self, Bar, Line};
use crate::fluid::course::Course;
use crate::fluid::plant::Plant;
use crate::fluid::run::default_rules;
use crate::fluid::trace::Trace;
use crate::simulate::contest::{Contest, OURS};
use crate::simulate::grid::{geo_and_worst, on_plant};
use crate::simulate::rivals::RIVALS;

/// Names of files and what goes into them.
pub(super) fn all(
    shipped: &[Trace],
    plants: &[Plant],
    parts: &[Part<'_>],
    seed: u64,
) -> anyhow::Result<Vec<(&'static str, String)>> {
    let mut drawn = Vec::new();
    // What others recorded says more than what we made up.
    if let Some(part) = parts.last() {
        drawn.push(("scorecard-rho.svg", by_plant(plants, part)));
    }
    if let (Some(load), Some(plant)) = (shipped.iter().find(|trace| trace.name == "spikes"), plants.first()) {
        drawn.push(("scorecard-day.svg", a_day(load, plant, seed)?));
    }
    Ok(drawn)
}

/// Tidegate beside the best rivals, tuned and not, on each plant.
fn by_plant(plants: &[Plant], part: &Part<'_>) -> String {
    let policies = part.cells.first().map_or(&[][..], |cell| &cell.outcome.policies);
    let mut bars = Vec::new();
    for (place, plant) in plants.iter().enumerate() {
        let geo = |policy: usize| geo_and_worst(on_plant(&part.cells, place, policy).map(|one| one.rho)).0;
        let mut best: [Option<(f64, &str)>; 2] = [None, None];
        for (nth, policy) in policies.iter().enumerate().skip(1) {
            let rho = geo(nth);
            let [plain, tuned] = &mut best;
            let slot = if policy.tuned { tuned } else { plain };
            if slot.is_none_or(|(known, _)| rho < known) {
                *slot = Some((rho, &policy.name));
            }
        }
        bars.push(Bar { name: format!("{}: {OURS}", plant.name), value: geo(0), ours: true });
        for ((rho, name), how) in best.into_iter().flatten().zip(["as it comes", "tuned"]) {
            bars.push(Bar { name: format!("{name} {how}"), value: rho, ours: false });
        }
    }
    let (height, inner) = svg::bars(&bars, 4.0, &[]);
    let about = "Cost in parts of the optimum's on each plant: Tidegate, the best rival as it comes, the best rival tuned";
    svg::whole(height, about, &inner, true)
}

/// The last day of a load on a plant: arrivals, and the capacity of the optimum, Tidegate and HPA.
fn a_day(load: &Trace, plant: &Plant, seed: u64) -> anyhow::Result<String> {
    let course = Course::new(load, plant, seed)?;
    let rules = default_rules(&course);
    let rivals: Vec<_> = RIVALS.into_iter().filter(|rival| rival.name == "keda-lag").collect();
    let contest = Contest {
        course: &course,
        rules: &rules,
        seed,
        judge_from: 2.0 / 3.0,
        rivals: &rivals,
        self_tuning: false,
        foresight: false,
        recovery: false,
        robustness: false,
        weights: false,
        plots: true,
    };
    let plots = contest.run(|_, _, _| {}).plots;
    let peak = plots.arrivals.iter().copied().fold(0.0, f64::max);
    let shown = [OURS, "optimum", "keda-lag tuned"];
    let find = |(name, colour): (&str, usize)| {
        let series = plots.series.iter().find(|series| series.name == name)?;
        Some(Line { name: &series.name, values: &series.capacity, colour })
    };
    let lines: Vec<Line<'_>> = shown.into_iter().zip(0..).filter_map(find).collect();
    let (height, inner) = svg::lines("rec/s", plots.seconds, peak * 1.6, &lines, Some(&plots.arrivals), None);
    Ok(svg::whole(height, "A day of spikes: arrivals and capacity", &inner, true))
}
