//! One page with everything on it: no script, no font, nothing to load.

use super::report::{HEADINGS, Report, cells};
use crate::policy::units::records_f64;
use crate::simulate::contest::{OURS, Plots, Standing};
use crate::simulate::series::Series;

const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 240.0;
/// Others whose lines are drawn; all are in the table.
const DRAWN: usize = 3;
/// Distinct for most eyes (Okabe and Ito): Tidegate, the optimum, the others.
const COLOURS: [&str; 5] = ["#0072b2", "#009e73", "#d55e00", "#cc79a7", "#e69f00"];
const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:1040px;margin:2rem auto;padding:0 1rem;\
    color:#222}table{border-collapse:collapse;font-variant-numeric:tabular-nums}td,th{padding:.2rem .7rem;\
    text-align:right}td:first-child,th:first-child{text-align:left}tr:nth-child(even){background:#f4f4f4}\
    svg{width:100%;height:auto;background:#fafafa;border:1px solid #ddd}.key{margin-right:1.2rem}\
    text{font:12px system-ui,sans-serif;fill:#444}";

/// The page.
pub(super) fn page(report: &Report, plots: &Plots) -> String {
    let drawn = drawn(&report.policies, plots);
    let mut body: Vec<String> = Vec::new();
    for line in report.title() {
        body.push(format!("<p>{}</p>\n", escape(&line)));
    }
    body.push(legend(&drawn));
    let objective = report.objective();
    let peak = plots.arrivals.iter().copied().fold(0.0, f64::max);
    let capacity: Vec<_> = drawn.iter().map(|(series, colour)| (&series.capacity, *colour)).collect();
    body.push(section(
        "Arrivals (grey) and capacity, records/s",
        &lines(&capacity, Some(&plots.arrivals), peak * 1.6, None),
    ));
    let age: Vec<_> = drawn.iter().map(|(series, colour)| (&series.age, *colour)).collect();
    body.push(section(
        "Age of the oldest record, seconds; the dashed line is the objective",
        &lines(&age, None, objective * 3.0, Some(objective)),
    ));
    body.push(section("Moves", &moves(&drawn)));
    body.push(section("Cost in parts of the optimum's", &bars(&report.policies)));
    body.push(section(
        "Replica-hours and minutes late: further left and down is better",
        &front(&report.policies),
    ));
    body.push(section("Scorecard", &table(&report.policies)));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Tidegate: {}</title>\
         <style>{STYLE}</style></head>\n<body><h1>Tidegate simulate</h1>\n{}</body></html>\n",
        escape(report.name()),
        body.concat()
    )
}

/// The engine, the optimum, and the best of the others, each with its colour.
fn drawn<'a>(policies: &[Standing], plots: &'a Plots) -> Vec<(&'a Series, &'static str)> {
    let mut others: Vec<&Standing> = policies.iter().filter(|one| one.tuned).collect();
    others.sort_by(|a, b| a.rho.total_cmp(&b.rho));
    let tuned = others.into_iter().take(DRAWN).map(Standing::title);
    let names = [OURS.to_owned(), "optimum".to_owned()].into_iter().chain(tuned);
    let find = |name: String| plots.series.iter().find(move |series| series.name == name);
    names.filter_map(find).zip(COLOURS).collect()
}

fn section(title: &str, inner: &str) -> String {
    format!("<h2>{title}</h2>\n{inner}\n")
}

fn legend(drawn: &[(&Series, &str)]) -> String {
    let key = |(series, colour): &(&Series, &str)| {
        format!("<span class=\"key\"><b style=\"color:{colour}\">&#9632;</b> {}</span>", escape(&series.name))
    };
    format!("<p>{}</p>\n", drawn.iter().map(key).collect::<String>())
}

fn svg(height: f64, inner: &str) -> String {
    format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">{inner}</svg>")
}

/// Lines over time, what lies above `top` cut off; with an area behind them, and a dashed line at `mark`.
fn lines(all: &[(&Vec<f64>, &str)], area: Option<&Vec<f64>>, top: f64, mark: Option<f64>) -> String {
    let y = |value: f64| HEIGHT - HEIGHT * (value / top.max(1e-9)).min(1.0);
    let points = |values: &[f64]| {
        let last = records_f64(u64::try_from(values.len()).unwrap_or(1).saturating_sub(1)).max(1.0);
        let point =
            |(value, place): (&f64, u32)| format!("{:.1},{:.1} ", WIDTH * f64::from(place) / last, y(*value));
        values.iter().zip(0_u32..).map(point).collect::<String>()
    };
    let mut inner: Vec<String> = Vec::new();
    if let Some(area) = area {
        inner
            .push(format!("<polygon fill=\"#ccc\" points=\"0,{HEIGHT} {}{WIDTH},{HEIGHT}\"/>", points(area)));
    }
    // The engine last, on top of the others.
    for (values, colour) in all.iter().rev() {
        inner.push(format!(
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.4\" points=\"{}\"/>",
            points(values)
        ));
    }
    if let Some(mark) = mark {
        let at = y(mark);
        inner.push(format!(
            "<line x1=\"0\" x2=\"{WIDTH}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#b00\" stroke-dasharray=\"6 4\"/>"
        ));
    }
    inner
        .push(format!("<text x=\"4\" y=\"14\">{top:.0}</text><text x=\"4\" y=\"{}\">0</text>", HEIGHT - 4.0));
    svg(HEIGHT, &inner.concat())
}

/// A row of ticks for each.
fn moves(drawn: &[(&Series, &str)]) -> String {
    let mut inner: Vec<String> = Vec::new();
    let mut row = 4.0;
    for (series, colour) in drawn {
        for at in &series.moves {
            let x = WIDTH * at;
            inner.push(format!(
                "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{row}\" y2=\"{}\" stroke=\"{colour}\"/>",
                row + 18.0
            ));
        }
        row += 24.0;
    }
    svg(row, &inner.concat())
}

fn bars(policies: &[Standing]) -> String {
    let worst = policies.iter().map(|one| one.rho).fold(1.0, f64::max).min(8.0);
    let mut inner: Vec<String> = Vec::new();
    let mut row = 4.0;
    for policy in policies {
        let width = (WIDTH - 300.0) * policy.rho.min(worst) / worst;
        let colour = if policy.name == OURS { "#0072b2" } else { "#bbb" };
        inner.push(format!(
            "<rect x=\"220\" y=\"{row}\" width=\"{width:.1}\" height=\"15\" fill=\"{colour}\"/>\
             <text x=\"212\" y=\"{base}\" text-anchor=\"end\">{}</text><text x=\"{:.1}\" y=\"{base}\">{:.2}</text>",
            escape(&policy.title()),
            226.0 + width,
            policy.rho,
            base = row + 12.0
        ));
        row += 20.0;
    }
    svg(row, &inner.concat())
}

/// Everybody's replica-hours over minutes late, both as shares of the greatest but for outliers.
fn front(policies: &[Standing]) -> String {
    let most = |figure: fn(&Standing) -> f64| policies.iter().map(figure).fold(1e-9, f64::max);
    let (hours, late) = (most(|one| one.figures.replica_hours), most(|one| one.figures.violation_minutes));
    let mut inner: Vec<String> = Vec::new();
    for policy in policies {
        let x = 20.0 + (WIDTH - 240.0) * policy.figures.replica_hours / hours;
        let y = HEIGHT - 14.0 - (HEIGHT - 40.0) * (policy.figures.violation_minutes / late).sqrt();
        let colour = if policy.name == OURS { "#0072b2" } else { "#888" };
        inner.push(format!(
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            x + 7.0,
            y + 4.0,
            escape(&policy.title())
        ));
    }
    svg(HEIGHT, &inner.concat())
}

fn table(policies: &[Standing]) -> String {
    let tagged = |tag: &str, cells: &[String]| {
        let inside: Vec<String> =
            cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", escape(cell))).collect();
        inside.concat()
    };
    let head = tagged("th", &HEADINGS.map(str::to_lowercase));
    let row = |policy: &Standing| {
        let setting = escape(&policy.setting);
        format!("<tr title=\"{setting}\">{}</tr>\n", tagged("td", &cells(policy)))
    };
    let rows: Vec<String> = policies.iter().map(row).collect();
    format!("<table><tr>{head}</tr>\n{}</table>", rows.concat())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_off_at_the_top_and_reach_from_edge_to_edge() {
        let drawn = lines(&[(&vec![0.0, 50.0, 500.0], "#000")], None, 100.0, Some(25.0));
        assert!(drawn.contains("points=\"0.0,240.0 500.0,120.0 1000.0,0.0 \""), "{drawn}");
        assert!(drawn.contains("y1=\"180.0\""), "{drawn}");
    }

    #[test]
    fn names_cannot_break_the_page() {
        assert_eq!(escape("<a b=\"c&d\">"), "&lt;a b=&quot;c&amp;d&quot;&gt;");
    }
}
