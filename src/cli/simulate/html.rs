//! One page with everything on it: no script, no font, nothing to load.

use super::report::{HEADINGS, Report, cells};
use super::svg::{self, Bar, Line, Point, escape};
use crate::simulate::contest::OURS;
use crate::simulate::series::Series;
use crate::simulate::standing::{Plots, Standing};

/// Others whose lines are drawn; all are in the table.
const DRAWN: usize = 3;
const STYLE: &str = ":root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;max-width:1040px;\
    margin:1.5rem auto;padding:0 1rem;color:#222;background:#fff}h1{font-size:1.4rem}h2{font-size:1.05rem;\
    margin:1.6rem 0 .4rem}p{margin:.3rem 0}table{border-collapse:collapse;font-size:13px;\
    font-variant-numeric:tabular-nums}td,th{padding:.15rem .6rem;text-align:right;white-space:nowrap}\
    td:first-child,th:first-child{text-align:left}tr:nth-child(even){background:#f3f3f3}.wide{overflow-x:auto}\
    tr.ours{font-weight:600}svg{width:100%;height:auto;display:block}\
    @media(prefers-color-scheme:dark){body{color:#e6e6e6;background:#161616}tr:nth-child(even){background:#222}}";

/// The page.
pub(super) fn page(report: &Report, plots: &Plots) -> String {
    let drawn = drawn(&report.policies, plots);
    let mut body: Vec<String> = Vec::new();
    for line in report.title() {
        body.push(format!("<p>{}</p>\n", escape(&line)));
    }
    let capacity = chart(&drawn, |series| &series.capacity);
    let peak = plots.arrivals.iter().copied().fold(0.0, f64::max);
    let (height, inner) =
        svg::lines("rec/s", plots.seconds, peak * 1.5, &capacity, Some(&plots.arrivals), None);
    body.push(section("Arrivals and capacity over the judged part", height, &inner));
    let age = chart(&drawn, |series| &series.age);
    let objective = report.objective();
    let (height, inner) = svg::lines("s", plots.seconds, objective * 3.0, &age, None, Some(objective));
    body.push(section(
        "Age of the oldest record; what is older than three objectives is cut off",
        height,
        &inner,
    ));
    let rows: Vec<_> = drawn
        .iter()
        .zip(0..)
        .map(|(series, colour)| (series.name.as_str(), colour, &series.moves[..]))
        .collect();
    let (height, inner) = svg::rows(&rows);
    body.push(section("Moves, and how many", height, &inner));
    let foresight = report.foresight_marks();
    let (height, inner) = svg::bars(&bars(&report.policies), 8.0, &foresight);
    body.push(section(
        "Cost in parts of the optimum's: bars begin at 1, and are cut off at 8",
        height,
        &inner,
    ));
    let (points, path) = front(report);
    let (height, inner) = svg::points(&points, &path);
    let title = "What freshness costs: Tidegate, and the optimum and the others by twelve choices of weights";
    body.push(section(title, height, &inner));
    body.push(format!("<h2>Scorecard</h2>\n<div class=\"wide\">{}</div>\n", table(&report.policies)));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>Tidegate: {}</title><style>{STYLE}{}</style></head>\n\
         <body><h1>Tidegate simulate</h1>\n{}</body></html>\n",
        escape(report.name()),
        svg::STYLE,
        body.concat()
    )
}

/// The engine, the optimum, and the best of the others.
fn drawn<'a>(policies: &[Standing], plots: &'a Plots) -> Vec<&'a Series> {
    let mut others: Vec<&Standing> = policies.iter().filter(|one| one.tuned).collect();
    others.sort_by(|a, b| a.rho.total_cmp(&b.rho));
    let tuned = others.into_iter().take(DRAWN).map(Standing::title);
    let names = [OURS.to_owned(), "optimum".to_owned()].into_iter().chain(tuned);
    names.filter_map(|name| plots.series.iter().find(|series| series.name == name)).collect()
}

fn chart<'a>(drawn: &[&'a Series], values: fn(&Series) -> &Vec<f64>) -> Vec<Line<'a>> {
    let line =
        |(series, colour): (&&'a Series, usize)| Line { name: &series.name, values: values(series), colour };
    drawn.iter().zip(0..).map(line).collect()
}

fn section(title: &str, height: f64, inner: &str) -> String {
    format!("<h2>{title}</h2>\n{}\n", svg::whole(height, title, inner, false))
}

/// The best first.
fn bars(policies: &[Standing]) -> Vec<Bar> {
    let mut sorted: Vec<&Standing> = policies.iter().collect();
    sorted.sort_by(|a, b| a.rho.total_cmp(&b.rho));
    sorted
        .into_iter()
        .map(|policy| Bar { name: policy.title(), value: policy.rho, ours: policy.name == OURS })
        .collect()
}

/// Everybody's points by every choice of weights, and the optimum's in a line.
fn front(report: &Report) -> (Vec<Point>, Vec<(f64, f64)>) {
    let mut path: Vec<(f64, f64)> =
        report.weights().iter().map(|one| (one.replica_hours, one.violation_minutes)).collect();
    path.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    let mut least = f64::INFINITY;
    path.retain(|(_, late)| {
        let is_less = *late < least;
        least = least.min(*late);
        is_less
    });
    let mut points = Vec::new();
    for policy in report.policies.iter().filter(|one| one.tuned) {
        let spread = policy.weights.iter().map(|one| (one.replica_hours, one.violation_minutes));
        let own = (policy.figures.replica_hours, policy.figures.violation_minutes);
        for (x, y) in spread.chain([own]) {
            points.push(Point { name: String::new(), x, y, colour: None });
        }
    }
    name_the_best(report, &mut points);
    let optimum = path.iter().enumerate().map(|(nth, (x, y))| {
        let name = if nth == 0 { "optimum" } else { "" };
        Point { name: name.to_owned(), x: *x, y: *y, colour: Some(1) }
    });
    points.extend(optimum);
    if let Some(ours) = report.policies.iter().find(|one| one.name == OURS) {
        let (x, y) = (ours.figures.replica_hours, ours.figures.violation_minutes);
        points.push(Point { name: OURS.to_owned(), x, y, colour: Some(0) });
    }
    (points, path)
}

/// Names the points that nobody else is both cheaper and fresher than.
fn name_the_best(report: &Report, points: &mut [Point]) {
    let all: Vec<(f64, f64)> = points.iter().map(|point| (point.x, point.y)).collect();
    let mut named: Vec<String> = Vec::new();
    for point in points {
        let beats = |(x, y): &(f64, f64)| *x <= point.x && *y <= point.y && (*x < point.x || *y < point.y);
        let whose = report.policies.iter().filter(|one| one.tuned).find(|one| {
            let mut own = one.weights.iter().map(|own| (own.replica_hours, own.violation_minutes));
            own.any(|own| same(own, (point.x, point.y)))
        });
        if let Some(whose) = whose.filter(|whose| !named.contains(&whose.name) && !all.iter().any(beats)) {
            point.name.clone_from(&whose.name);
            named.push(whose.name.clone());
        }
    }
}

fn same(a: (f64, f64), b: (f64, f64)) -> bool {
    (a.0 - b.0).abs() < 1e-9 && (a.1 - b.1).abs() < 1e-9
}

fn table(policies: &[Standing]) -> String {
    let tagged = |tag: &str, cells: &[String]| {
        let inside: Vec<String> =
            cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", escape(cell))).collect();
        inside.concat()
    };
    let head = tagged("th", &HEADINGS.map(str::to_lowercase));
    let row = |policy: &Standing| {
        let class = if policy.name == OURS { " class=\"ours\"" } else { "" };
        let setting = escape(&policy.setting);
        format!("<tr{class} title=\"{setting}\">{}</tr>\n", tagged("td", &cells(policy)))
    };
    let rows: Vec<String> = policies.iter().map(row).collect();
    format!("<table><tr>{head}</tr>\n{}</table>", rows.concat())
}
