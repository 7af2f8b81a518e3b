//! The live view: drawn anew from the story for every frame, from 80 x 24 up.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Block, Borders, Chart, Dataset, GraphType, Paragraph, Wrap};

use super::plain::clock;
use super::story::{Kind, LaneStory, Moment, News, Story, span};
use crate::policy::units::records_f64;
use crate::simulate::day::{Day, Lane, RIVALS};
use crate::simulate::scenario::{STARTS_AT, Tone};
use crate::simulate::score::Score;

/// Draws the day so far.
pub(super) fn draw(frame: &mut Frame<'_>, day: &Day, story: &Story, colour: bool) {
    let paint = Paint { colour };
    let rows = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Fill(3),
        Constraint::Fill(3),
        Constraint::Length(4),
        Constraint::Min(5),
    ]);
    let [header, event, load, pair, scores, news] = rows.areas(frame.area());
    let [replicas, age] = Layout::horizontal([Constraint::Fill(1); 2]).spacing(2).areas(pair);
    frame.render_widget(title(story, header.width, &paint), header);
    frame.render_widget(happening(story, &paint), event);
    if let Some((lane, told)) = day.lanes().iter().zip(&story.lanes).next() {
        load_chart(frame, load, lane, told, story, &paint);
        replica_chart(frame, replicas, lane, told, story, &paint);
        age_chart(frame, age, lane, told, story, &paint);
    }
    frame.render_widget(figures(day, &paint), scores);
    frame.render_widget(decisions(story, &paint), news);
}

/// Who is drawn how.
struct Paint {
    colour: bool,
}

impl Paint {
    fn of(&self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }

    /// Without colours the rivals are told apart by their dots.
    fn rival(&self) -> Marker {
        if self.colour { Marker::Braille } else { Marker::Dot }
    }

    fn load(&self) -> Style {
        self.of(Color::Gray)
    }

    fn ours(&self) -> Style {
        self.of(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    fn rule(&self) -> Style {
        self.of(Color::Magenta)
    }

    fn faint(&self) -> Style {
        self.of(Color::DarkGray)
    }

    fn tone(&self, tone: Tone) -> Style {
        match tone {
            Tone::Trouble => self.of(Color::Yellow),
            Tone::Relief => self.of(Color::Green),
        }
    }
}

fn title<'a>(story: &Story, width: u16, paint: &Paint) -> Line<'a> {
    let (left, right) = (format!(" Tidegate demo   {}   ", clock(story.now)), " q quits ");
    let room = usize::from(width).saturating_sub(left.len() + right.len()).saturating_sub(2);
    let cells = u32::try_from(room).unwrap_or(0);
    let full = (0..cells).filter(|cell| f64::from(*cell) < story.share() * f64::from(cells)).count();
    Line::from(vec![
        Span::styled(left, paint.ours().add_modifier(Modifier::REVERSED)),
        Span::raw(" "),
        Span::styled("━".repeat(full), paint.ours()),
        Span::styled("─".repeat(room - full), paint.faint()),
        Span::raw(" "),
        Span::styled(right, paint.faint()),
    ])
}

fn happening<'a>(story: &Story, paint: &Paint) -> Line<'a> {
    match story.event() {
        Some(News { kind: Kind::World(tone), at, text, .. }) => {
            Line::styled(format!(" {} {text}", clock(*at)), paint.tone(*tone).add_modifier(Modifier::BOLD))
        }
        Some(_) | None => Line::styled(
            " Three copies of one day: Tidegate, a lag rule (KEDA + HPA), and a fixed size",
            paint.faint(),
        ),
    }
}

type Points = Vec<(f64, f64)>;

fn points(told: &LaneStory, value: impl Fn(&Moment) -> f64) -> Points {
    told.minutes.iter().map(|moment| (moment.hour, value(moment))).collect()
}

fn load_chart(
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

fn replica_chart(
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
        Span::styled("lag rule ", paint.rule()),
    ]);
    let lines = [(&rule, paint.rule(), paint.rival()), (&ours, paint.ours(), Marker::Braille)];
    chart(frame, area, title, &lines, &Clock::small(story, area), paint);
}

fn age_chart(frame: &mut Frame<'_>, area: Rect, lane: &Lane, told: &LaneStory, story: &Story, paint: &Paint) {
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

/// One line per rival with the figures so far.
fn figures<'a>(day: &Day, paint: &Paint) -> Paragraph<'a> {
    let heads: String = day.lanes().iter().map(heads).collect();
    let mut lines = vec![Line::styled(format!("{:<11}{heads}", " so far"), paint.faint())];
    for (side, name) in RIVALS.into_iter().enumerate() {
        let style = [paint.ours(), paint.rule(), paint.load()].get(side).copied().unwrap_or_default();
        let row: String =
            day.lanes().iter().filter_map(|lane| lane.scores().get(side).map(|s| figure(s))).collect();
        lines.push(Line::styled(format!(" {name:<10}{row}"), style));
    }
    Paragraph::new(lines)
}

fn heads(lane: &Lane) -> String {
    format!("{:>18} {:>6} {:>7}", format!("{}: repl.-h", lane.name()), "late", "moves")
}

fn figure(score: &Score) -> String {
    let hours = records_f64(score.replica_seconds) / 3600.0;
    let late = records_f64(score.late_seconds) / 60.0;
    format!("{hours:>18.1} {late:>5.1}m {:>7}", score.moves())
}

/// The last decisions, newest first.
fn decisions<'a>(story: &Story, paint: &Paint) -> Paragraph<'a> {
    let lines: Vec<Line<'a>> = story
        .news
        .iter()
        .rev()
        .filter(|news| news.who.is_some())
        .take(12)
        .map(|news| entry(news, paint))
        .collect();
    Paragraph::new(lines).wrap(Wrap { trim: false }).block(
        Block::new()
            .borders(Borders::TOP)
            .border_style(paint.faint())
            .title(" decisions and what came of them, newest first "),
    )
}

fn entry<'a>(news: &News, paint: &Paint) -> Line<'a> {
    let style = match news.kind {
        Kind::World(tone) => paint.tone(tone),
        Kind::Decision => paint.ours(),
    };
    Line::from(vec![
        Span::styled(format!(" {} ", clock(news.at)), paint.faint()),
        Span::styled(format!("{} ", news.who.unwrap_or_default()), style),
        Span::raw(news.text.clone()),
    ])
}

fn milli(milli: i64) -> f64 {
    whole(milli) / 1000.0
}

fn whole(value: i64) -> f64 {
    records_f64(value.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    async fn three_hours() -> (Day, Story) {
        let starts = Timestamp::from_second(super::super::STARTS).unwrap();
        let mut day = Day::new(starts, 1).unwrap();
        let mut story = Story::new(&day, starts, 6 * 3600);
        for _ in 0..3 * 240 {
            let tick = day.turn().await;
            story.take(&day, tick);
        }
        (day, story)
    }

    fn rows(day: &Day, story: &Story, (width, height): (u16, u16), colour: bool) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        let frame = terminal.draw(|frame| draw(frame, day, story, colour)).unwrap();
        let cells = frame.buffer.content().chunks(width.into());
        cells.map(|row| row.iter().map(ratatui::buffer::Cell::symbol).collect()).collect()
    }

    #[tokio::test]
    async fn everything_fits_a_small_terminal() {
        let (day, story) = three_hours().await;
        let rows = rows(&day, &story, (80, 24), true);
        assert!(rows[0].starts_with(" Tidegate demo   09:00    ━"), "{}", rows[0]);
        assert!(rows[0].ends_with("─  q quits "), "{}", rows[0]);
        let half = rows[0].matches('━').count().abs_diff(rows[0].matches('─').count());
        assert!(half <= 1, "half of the day is over: {}", rows[0]);
        let has = |text: &str| assert!(rows.iter().any(|row| row.contains(text)), "{text}: {rows:#?}");
        has(" orders, records per second: load and what Tidegate's replicas can process ");
        has("06:00                                   09:00                              12:00");
        has(" orders replicas: Tidegate lag rule ");
        has(" oldest record, s: objective 2m ");
        has(" decisions and what came of them, newest first ");
        let [ours, rule, fixed] = day.lanes()[0].scores().map(figure);
        has(&format!(" Tidegate  {ours}"));
        has(&format!(" lag rule  {rule}"));
        has(&format!(" fixed size{fixed}"));
    }

    #[tokio::test]
    async fn a_tiny_terminal_is_no_reason_to_fall_over() {
        let (day, story) = three_hours().await;
        for size in [(1, 1), (20, 5), (79, 10), (300, 2)] {
            assert_eq!(rows(&day, &story, size, true).len(), usize::from(size.1));
        }
    }

    #[tokio::test]
    async fn without_colours_there_are_none_and_the_rivals_differ_by_their_dots() {
        let (day, story) = three_hours().await;
        let mut terminal = Terminal::new(TestBackend::new(100, 40)).unwrap();
        let frame = terminal.draw(|frame| draw(frame, &day, &story, false)).unwrap();
        assert!(frame.buffer.content().iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
        assert!(frame.buffer.content().iter().any(|cell| cell.symbol() == "•"));
    }

    #[test]
    fn axes_end_at_round_figures() {
        let rounded = [1.0, 17.0, 24.0, 61.0, 2100.0].map(round_up);
        assert_eq!(rounded.map(|top| format!("{top}")), ["1", "20", "30", "80", "3000"]);
    }
}
