//! The live view's charts, on one time axis.

use ratatui::Frame;
use ratatui::layout::{Alignment, Rect};
use ratatui::style::Style;
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Block, Borders, Chart, Dataset, GraphType};

use super::story::{LaneStory, Moment, Story, span};
use super::view::Paint;
use crate::embedded::day::Lane;
use crate::embedded::scenario::{STARTS_AT, Tone};
use crate::policy::units::records_f64;

type Points = Vec<(f64, f64)>;

fn points(told: &LaneStory, value: impl Fn(&Moment) -> f64) -> Points {
    told.minutes.iter().map(|moment| (moment.hour, value(moment))).collect()
}

/// What arrives, and what Tidegate's replicas can process.
pub(super) fn load(
    frame: &mut Frame<'_>,
    area: Rect,
    lane: &Lane,
    told: &LaneStory,
    story: &Story,
    paint: &Paint,
) {
    let load = points(told, |moment| moment.load);
    let capacity = points(told, |moment| milli(moment.sides[0].capacity_milli));
    let title = Line::from(vec![
        Span::raw(format!(" {}, records per second: ", lane.name())),
        Span::styled("load ", paint.load()),
        Span::styled("and what Tidegate's replicas can process ", paint.ours()),
    ]);
    let lines = [(&capacity, paint.ours(), Marker::Braille), (&load, paint.load(), paint.rival())];
    chart(frame, area, title, &lines, &Clock::new(story), paint);
}

/// The replicas that Tidegate and the usual rule ask for.
pub(super) fn replicas(
    frame: &mut Frame<'_>,
    area: Rect,
    lane: &Lane,
    told: &LaneStory,
    story: &Story,
    paint: &Paint,
) {
    let [ours, rule] = [0, 1].map(|side: usize| {
        points(told, |moment| moment.sides.get(side).map_or(0.0, |glimpse| f64::from(glimpse.replicas)))
    });
    let title = Line::from(vec![
        Span::raw(format!(" {} replicas: ", lane.name())),
        Span::styled("Tidegate ", paint.ours()),
        Span::styled(format!("{} ", lane.rule().name()), paint.rule()),
    ]);
    let lines = [(&rule, paint.rule(), paint.rival()), (&ours, paint.ours(), Marker::Braille)];
    chart(frame, area, title, &lines, &Clock::small(story, area), paint);
}

/// How old the oldest record is, under either.
pub(super) fn age(
    frame: &mut Frame<'_>,
    area: Rect,
    lane: &Lane,
    told: &LaneStory,
    story: &Story,
    paint: &Paint,
) {
    let limit = whole(lane.max_lag());
    // Past three times the objective it no longer matters how late: the rest stays readable.
    let [ours, rule] = [0, 1].map(|side: usize| {
        points(told, |moment| {
            moment.sides.get(side).map_or(0.0, |glimpse| whole(glimpse.age).min(3.0 * limit))
        })
    });
    let objective = vec![(0.0, limit), (story.hours(), limit)];
    let title = Line::from(vec![
        Span::raw(" oldest record, s: "),
        Span::styled(format!("objective {} ", span(lane.max_lag())), paint.tone(Tone::Trouble)),
    ]);
    let lines = [
        (&objective, paint.tone(Tone::Trouble), paint.rival()),
        (&rule, paint.rule(), paint.rival()),
        (&ours, paint.ours(), Marker::Braille),
    ];
    chart(frame, area, title, &lines, &Clock::small(story, area), paint);
}

fn chart(
    frame: &mut Frame<'_>,
    area: Rect,
    title: Line<'_>,
    lines: &[(&Points, Style, Marker)],
    clock: &Clock,
    paint: &Paint,
) {
    let highest = lines.iter().flat_map(|line| line.0).map(|point| point.1).fold(1.0, f64::max);
    let top = round_up(highest);
    let sets = lines.iter().map(|(points, style, marker)| {
        Dataset::default().data(points).style(*style).marker(*marker).graph_type(GraphType::Line)
    });
    let chart = Chart::new(sets.collect())
        .block(Block::new().borders(Borders::TOP).border_style(paint.faint()).title(title))
        .legend_position(None)
        .x_axis(Axis::default().bounds([0.0, clock.hours]).labels(clock.labels.clone()).style(paint.faint()))
        .y_axis(
            Axis::default()
                .bounds([0.0, top])
                .labels(["0".to_owned(), format!("{:.0}", top / 2.0), format!("{top:.0}")])
                .labels_alignment(Alignment::Right)
                .style(paint.faint()),
        );
    frame.render_widget(chart, area);
}

/// The axis that every chart shares.
struct Clock {
    hours: f64,
    labels: Vec<String>,
}

impl Clock {
    fn new(story: &Story) -> Self {
        let hours = story.hours();
        Self { hours, labels: [0.0, 0.5, 1.0].map(|part| hour(part * hours)).to_vec() }
    }

    /// Without labels where they would take the room of the curve.
    fn small(story: &Story, area: Rect) -> Self {
        let labels = if area.height < 9 { Vec::new() } else { Self::new(story).labels };
        Self { hours: story.hours(), labels }
    }
}

/// The day's time, so many hours from the start.
fn hour(hours: f64) -> String {
    let minutes = (hours * 60.0).round() + whole(STARTS_AT) / 60.0;
    format!("{:02.0}:{:02.0}", (minutes / 60.0).floor() % 24.0, minutes % 60.0)
}

/// The next round figure: 1, 2, 3, 4, 6, 8 or 10 times a power of ten.
fn round_up(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0];
    steps.iter().map(|step| step * power).find(|round| *round >= value).unwrap_or(value)
}

fn milli(milli: i64) -> f64 {
    whole(milli) / 1000.0
}

fn whole(value: i64) -> f64 {
    records_f64(value.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_figures() {
        let rounded = [1.0, 17.0, 24.0, 61.0, 2100.0].map(round_up);
        assert_eq!(rounded.map(|top| format!("{top}")), ["1", "20", "30", "80", "3000"]);
    }
}
