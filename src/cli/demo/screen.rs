//! The terminal: taken, drawn on, and given back whatever happens.

use std::io;
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};

use super::story::Story;
use super::view;
use crate::embedded::day::Day;

/// The terminal in raw mode on its alternate screen. Dropping it gives the terminal back.
#[derive(Debug)]
pub(super) struct Screen {
    terminal: DefaultTerminal,
}

impl Screen {
    /// Takes the terminal. A panic gives it back too.
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self { terminal: ratatui::try_init()? })
    }

    /// Draws the day so far.
    pub(super) fn draw(&mut self, day: &Day, story: &Story, colour: bool) -> io::Result<()> {
        self.terminal.draw(|frame| view::draw(frame, day, story, colour)).map(drop)
    }

    /// Whether somebody has asked to leave: `q`, Escape or Ctrl-C, which arrives as a key here.
    #[expect(clippy::unused_self, reason = "keys can only be read from a terminal that was taken")]
    pub(super) fn left(&self) -> io::Result<bool> {
        while event::poll(Duration::ZERO)? {
            let Event::Key(key) = event::read()? else { continue };
            let interrupt = key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c');
            let quit = matches!(key.code, KeyCode::Char('q') | KeyCode::Esc);
            if key.kind == KeyEventKind::Press && (quit || interrupt) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}
