//! The live view: drawn anew from the story for every frame, from 80 x 24 up.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph, Wrap};

use super::charts;
use super::plain::clock;
use super::story::{Kind, News, Story};
use crate::embedded::day::{Day, RIVALS};
use crate::embedded::scenario::Tone;
use crate::embedded::score::Score;
use crate::policy::units::records_f64;

/// Draws the day so far.
pub(super) fn draw(frame: &mut Frame<'_>, day: &Day, story: &Story, colour: bool) {
    let paint = Paint { colour };
    let rows = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Fill(3),
        Constraint::Fill(3),
        Constraint::Length(5),
        Constraint::Min(5),
    ]);
    let [header, event, load, pair, scores, news] = rows.areas(frame.area());
    let [replicas, age] = Layout::horizontal([Constraint::Fill(1); 2]).spacing(2).areas(pair);
    frame.render_widget(title(story, header.width, &paint), header);
    frame.render_widget(happening(story, &paint), event);
    if let Some((lane, told)) = day.lanes().iter().zip(&story.lanes).next() {
        charts::load(frame, load, lane, told, story, &paint);
        charts::replicas(frame, replicas, lane, told, story, &paint);
        charts::age(frame, age, lane, told, story, &paint);
    }
    frame.render_widget(figures(day, &paint), scores);
    frame.render_widget(decisions(story, &paint), news);
}

/// Who is drawn how.
pub(super) struct Paint {
    colour: bool,
}

impl Paint {
    pub(super) fn of(&self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }

    /// Without colours the rivals are told apart by their dots.
    pub(super) fn rival(&self) -> Marker {
        if self.colour { Marker::Braille } else { Marker::Dot }
    }

    pub(super) fn load(&self) -> Style {
        self.of(Color::Gray)
    }

    pub(super) fn ours(&self) -> Style {
        self.of(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    pub(super) fn rule(&self) -> Style {
        self.of(Color::Magenta)
    }

    pub(super) fn faint(&self) -> Style {
        self.of(Color::DarkGray)
    }

    pub(super) fn tone(&self, tone: Tone) -> Style {
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
            " Three copies of one day: Tidegate, the usual rule, and a fixed size",
            paint.faint(),
        ),
    }
}

/// One line per workload with everybody's figures so far.
fn figures<'a>(day: &Day, paint: &Paint) -> Paragraph<'a> {
    let styles = [paint.ours(), paint.rule(), paint.load()];
    let heads = RIVALS.map(|name| format!("{:>12}{:>6}{:>5}", name, "late", "moves"));
    let row = |name: &str, cells: [String; 3]| {
        let cells = cells.into_iter().zip(styles).map(|(cell, style)| Span::styled(cell, style));
        let name = Span::styled(format!(" {name:<9}"), paint.faint());
        Line::from(std::iter::once(name).chain(cells).collect::<Vec<_>>())
    };
    let lanes = day.lanes().iter().map(|lane| row(lane.name(), lane.scores().map(figure)));
    Paragraph::new(std::iter::once(row("repl.-h", heads)).chain(lanes).collect::<Vec<_>>())
}

fn figure(score: &Score) -> String {
    let hours = records_f64(score.replica_seconds) / 3600.0;
    let late = records_f64(score.late_seconds) / 60.0;
    format!("{hours:>12.1}{:>6}{:>5}", format!("{late:.1}m"), score.moves())
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
        for lane in day.lanes() {
            let [ours, rule, fixed] = lane.scores().map(figure);
            has(&format!(" {:<9}{ours}{rule}{fixed}", lane.name()));
        }
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
}
