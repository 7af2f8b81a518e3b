//! Charts as SVG: no script, no font, nothing to load, and readable on light and on dark paper.

use crate::engine::explain::{number, seconds};
use crate::policy::units::records_f64;

/// The width of every chart.
pub(crate) const WIDTH: f64 = 1000.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 14.0;
const HEIGHT: f64 = 230.0;
const BOTTOM: f64 = 24.0;

/// Colours by class: distinct for most eyes (after Okabe and Ito), and brighter where the paper is dark.
pub(crate) const STYLE: &str = ".chart{--c0:#0072b2;--c1:#008a63;--c2:#d55e00;--c3:#b0578d;--c4:#b07b00;--ink:#222;\
    --soft:#6a6a6a;--rule:#dcdcdc;--fill:#d5d5d5;--alarm:#c00020;background:#fff;font:13px system-ui,sans-serif}\
    @media(prefers-color-scheme:dark){.chart{--c0:#56b4e9;--c1:#2fce9b;--c2:#ff9448;--c3:#e59ac6;--c4:#e6b73d;\
    --ink:#e6e6e6;--soft:#a2a2a2;--rule:#3a3a3a;--fill:#474747;--alarm:#ff6b7d;background:#161616}}\
    .chart text{fill:var(--ink)}.chart .soft{fill:var(--soft)}.chart .rule{stroke:var(--rule)}\
    .chart .fill{fill:var(--fill)}.chart .alarm{stroke:var(--alarm);stroke-dasharray:6 4}\
    .chart .line{fill:none;stroke-width:1.5}.chart .s0{stroke:var(--c0);stroke-width:2}.chart .s1{stroke:var(--c1)}\
    .chart .s2{stroke:var(--c2)}.chart .s3{stroke:var(--c3)}.chart .s4{stroke:var(--c4)}.chart .f0{fill:var(--c0)}\
    .chart .f1{fill:var(--c1)}.chart .f2{fill:var(--c2)}.chart .f3{fill:var(--c3)}.chart .f4{fill:var(--c4)}";

/// One line of a chart.
#[derive(Debug, Clone)]
pub(crate) struct Line<'a> {
    /// Who.
    pub(crate) name: &'a str,
    /// Values at equal distances.
    pub(crate) values: &'a [f64],
    /// Its colour, 0 to 4.
    pub(crate) colour: usize,
}

/// One bar of a chart.
#[derive(Debug, Clone)]
pub(crate) struct Bar {
    /// Who.
    pub(crate) name: String,
    /// How much.
    pub(crate) value: f64,
    /// Whether it is the one that matters.
    pub(crate) ours: bool,
}

/// One point of a chart.
#[derive(Debug, Clone)]
pub(crate) struct Point {
    /// Who; empty: not written beside it.
    pub(crate) name: String,
    /// Rightwards.
    pub(crate) x: f64,
    /// Upwards.
    pub(crate) y: f64,
    /// Its colour, 0 to 4; `None`: one of many.
    pub(crate) colour: Option<usize>,
}

/// A chart that stands alone: in a page, or in a file with its own style.
pub(crate) fn whole(height: f64, about: &str, inner: &str, alone: bool) -> String {
    let style = if alone { format!("<style>{STYLE}</style>") } else { String::new() };
    let about = escape(about);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"chart\" viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" \
         aria-label=\"{about}\">{style}{inner}</svg>"
    )
}

/// Lines over time, what lies above `top` cut off; with an area behind them, and a dashed line at `mark`.
pub(crate) fn lines(
    unit: &str,
    span: f64,
    top: f64,
    all: &[Line<'_>],
    area: Option<&[f64]>,
    mark: Option<f64>,
) -> (f64, String) {
    let top = if top > 0.0 { top } else { 1.0 };
    let head = 22.0;
    let base = head + HEIGHT;
    let y = |value: f64| base - HEIGHT * (value / top).clamp(0.0, 1.0);
    let x = |share: f64| LEFT + (WIDTH - LEFT - RIGHT) * share;
    let mut inner = vec![legend(all, area.is_some(), mark.map(|_| "objective"))];
    for tick in ticks(top) {
        inner.push(rule(y(tick), &number(tick).to_string()));
    }
    inner.push(format!(
        "<text class=\"soft\" x=\"{:.1}\" y=\"14\" text-anchor=\"end\">{unit}</text>",
        LEFT - 8.0
    ));
    for (share, label) in moments(span) {
        inner.push(format!(
            "<text class=\"soft\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
            x(share),
            base + 17.0
        ));
    }
    let points = |values: &[f64]| {
        let last = records_f64(u64::try_from(values.len()).unwrap_or(1).saturating_sub(1)).max(1.0);
        let point =
            |(value, place): (&f64, u32)| format!("{:.1},{:.1} ", x(f64::from(place) / last), y(*value));
        values.iter().zip(0_u32..).map(point).collect::<String>()
    };
    if let Some(area) = area {
        let (from, to) = (x(0.0), x(1.0));
        inner.push(format!(
            "<polygon class=\"fill\" points=\"{from:.1},{base} {}{to:.1},{base}\"/>",
            points(area)
        ));
    }
    // The first last, on top of the others.
    for line in all.iter().rev() {
        let (colour, points) = (line.colour, points(line.values));
        inner.push(format!("<polyline class=\"line s{colour}\" points=\"{points}\"/>"));
    }
    if let Some(mark) = mark {
        let (from, to, at) = (x(0.0), x(1.0), y(mark));
        inner
            .push(format!("<line class=\"alarm\" x1=\"{from}\" x2=\"{to}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>"));
    }
    (base + BOTTOM, inner.concat())
}

/// A row of ticks for each, below its name, over the same width as [`lines`].
pub(crate) fn rows(all: &[(&str, usize, &[f64])]) -> (f64, String) {
    let mut inner = Vec::new();
    let mut row = 2.0;
    for (name, colour, places) in all {
        inner.push(format!(
            "<text x=\"{LEFT}\" y=\"{:.1}\">{} <tspan class=\"soft\">{}</tspan></text>",
            row + 11.0,
            escape(name),
            places.len()
        ));
        for place in *places {
            let x = LEFT + (WIDTH - LEFT - RIGHT) * place;
            let (top, foot) = (row + 16.0, row + 28.0);
            inner.push(format!(
                "<line class=\"s{colour}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top:.1}\" y2=\"{foot:.1}\"/>"
            ));
        }
        row += 34.0;
    }
    (row, inner.concat())
}

const NAMES: f64 = 230.0;

/// Bars from 1 on: what lies left of it nobody reaches. Dashed marks with their names.
pub(crate) fn bars(all: &[Bar], most: f64, marks: &[(String, f64)]) -> (f64, String) {
    let worst =
        all.iter().map(|bar| bar.value).filter(|value| value.is_finite()).fold(1.5, f64::max).min(most);
    let x = |value: f64| NAMES + (WIDTH - NAMES - 60.0) * ((value.min(worst) - 1.0) / (worst - 1.0)).max(0.0);
    let mut inner = Vec::new();
    let head = if marks.is_empty() { 4.0 } else { 22.0 };
    let mut row = head;
    let foot = row + 20.0 * records_f64(u64::try_from(all.len()).unwrap_or(0));
    for bar in all {
        let colour = if bar.ours { "f0" } else { "fill" };
        let (end, base) = (x(bar.value), row + 12.0);
        let value = if bar.value.is_finite() { format!("{:.2}", bar.value) } else { "?".to_owned() };
        inner.push(format!(
            "<rect class=\"{colour}\" x=\"{NAMES}\" y=\"{row}\" width=\"{:.1}\" height=\"15\"/>\
             <text x=\"{:.1}\" y=\"{base}\" text-anchor=\"end\">{}</text>\
             <text x=\"{:.1}\" y=\"{base}\">{value}</text>",
            (end - NAMES).max(1.0),
            NAMES - 8.0,
            escape(&bar.name),
            end + 6.0
        ));
        row += 20.0;
    }
    for (name, value) in marks {
        let at = x(*value);
        inner.push(format!(
            "<line class=\"alarm\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{head}\" y2=\"{foot}\"/>\
             <text class=\"soft\" x=\"{:.1}\" y=\"14\">{}</text>",
            at + 4.0,
            escape(name)
        ));
    }
    (row + 4.0, inner.concat())
}

/// Points by replica-hours and minutes late; minutes by their square roots, so that few can be told apart.
pub(crate) fn points(all: &[Point], path: &[(f64, f64)]) -> (f64, String) {
    let every = || all.iter().map(|point| (point.x, point.y)).chain(path.iter().copied());
    let least = every().map(|(x, _)| x).fold(f64::INFINITY, f64::min);
    let most = every().map(|(x, _)| x).fold(1e-9, f64::max);
    let late = every().map(|(_, y)| y).fold(1.0, f64::max);
    let (head, height) = (34.0, 260.0);
    let base = head + height;
    let room = (most - least).max(most * 0.05);
    let x = |value: f64| LEFT + (WIDTH - LEFT - 190.0) * ((value - least) / room).clamp(0.0, 1.0);
    let y = |value: f64| base - height * (value / late).clamp(0.0, 1.0).sqrt();
    let mut inner = vec![
        "<text class=\"soft\" x=\"4\" y=\"14\">minutes late (square root) over replica-hours</text>"
            .to_owned(),
    ];
    for share in [0.0, 0.01, 0.1, 0.25, 0.5, 1.0] {
        inner.push(rule(y(late * share), &number(late * share).to_string()));
    }
    for share in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let value = least + room * share;
        inner.push(format!(
            "<text class=\"soft\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{} h</text>",
            x(value),
            base + 17.0,
            number(value)
        ));
    }
    let way: Vec<String> =
        path.iter().map(|(hours, minutes)| format!("{:.1},{:.1}", x(*hours), y(*minutes))).collect();
    let way = way.join(" ");
    inner.push(format!("<polyline class=\"line s1\" points=\"{way}\"/>"));
    for point in all {
        let (at, height) = (x(point.x), y(point.y));
        let class = point.colour.map_or_else(|| "soft".to_owned(), |colour| format!("f{colour}"));
        inner.push(format!(
            "<circle class=\"{class}\" cx=\"{at:.1}\" cy=\"{height:.1}\" r=\"4.5\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            at + 8.0,
            height - 5.0,
            escape(&point.name)
        ));
    }
    (base + BOTTOM, inner.concat())
}

fn legend(all: &[Line<'_>], area: bool, mark: Option<&str>) -> String {
    let mut inner = Vec::new();
    let mut at = LEFT;
    let area = area.then(|| ("fill".to_owned(), "arrivals"));
    let lines = all.iter().map(|line| (format!("f{}", line.colour), line.name));
    for (class, name) in area.into_iter().chain(lines) {
        inner.push(format!(
            "<rect class=\"{class}\" x=\"{at:.1}\" y=\"4\" width=\"11\" height=\"11\"/><text x=\"{:.1}\" y=\"14\">{}</text>",
            at + 16.0,
            escape(name)
        ));
        at += 40.0 + 7.2 * records_f64(u64::try_from(name.chars().count()).unwrap_or(0));
    }
    if let Some(mark) = mark {
        inner.push(format!(
            "<line class=\"alarm\" x1=\"{at:.1}\" x2=\"{:.1}\" y1=\"10\" y2=\"10\"/><text x=\"{:.1}\" y=\"14\">{mark}</text>",
            at + 22.0,
            at + 28.0
        ));
    }
    inner.concat()
}

fn rule(at: f64, label: &str) -> String {
    format!(
        "<line class=\"rule\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
         <text class=\"soft\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
        WIDTH - RIGHT,
        LEFT - 8.0,
        at + 4.0
    )
}

/// Up to five round values up to `top`.
fn ticks(top: f64) -> Vec<f64> {
    let rough = top / 4.0;
    let power = 10.0_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|times| times * power).find(|step| *step >= rough);
    let step = step.unwrap_or(rough);
    (0..=4_u32).map(|tick| step * f64::from(tick)).filter(|tick| *tick <= top * 1.001).collect()
}

/// Shares of a span and what to write there.
fn moments(span: f64) -> Vec<(f64, String)> {
    const STEPS: [f64; 14] = [
        15.0,
        60.0,
        300.0,
        600.0,
        1800.0,
        3600.0,
        7200.0,
        14_400.0,
        21_600.0,
        43_200.0,
        86_400.0,
        172_800.0,
        604_800.0,
        2_419_200.0,
    ];
    let step = STEPS.into_iter().find(|step| span / step <= 9.0).unwrap_or(span.max(1.0) / 4.0);
    let label = |at: f64| match at {
        at if step >= 86_400.0 => format!("day {}", number(at / 86_400.0)),
        at if step >= 3600.0 => format!("{} h", number(at / 3600.0)),
        at => seconds(at).to_string(),
    };
    let all = (0..32_u32).map(|tick| step * f64::from(tick)).take_while(|at| *at <= span * 1.001);
    all.map(|at| (at / span.max(1e-9), label(at))).collect()
}

/// Text as it may stand in a page.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_off_at_the_top_and_reach_from_edge_to_edge() {
        let line = Line { name: "us", values: &[0.0, 50.0, 500.0], colour: 0 };
        let (_, drawn) = lines("s", 60.0, 100.0, &[line], None, Some(25.0));
        assert!(drawn.contains("points=\"70.0,252.0 528.0,137.0 986.0,22.0 \""), "{drawn}");
        assert!(drawn.contains("y1=\"194.5\""), "{drawn}");
    }

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(ticks(180.0), [0.0, 50.0, 100.0, 150.0]);
        assert_eq!(ticks(1.0), [0.0, 0.25, 0.5, 0.75, 1.0]);
        let labels: Vec<String> = moments(129_600.0).into_iter().map(|(_, label)| label).collect();
        assert_eq!(labels, ["0 h", "4 h", "8 h", "12 h", "16 h", "20 h", "24 h", "28 h", "32 h", "36 h"]);
    }

    #[test]
    fn names_cannot_break_the_page() {
        assert_eq!(escape("<a b=\"c&d\">"), "&lt;a b=&quot;c&amp;d&quot;&gt;");
    }
}
