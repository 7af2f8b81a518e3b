//! The thread that writes the journal.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use tracing::{error, info};

use super::super::Turn;
use super::super::metrics::SinkCounters;
use super::Line;
use super::file::RotatedFile;
use crate::policy::{Rules, WorkloadId};

/// What the thread is told.
#[derive(Debug)]
pub(super) enum Message {
    /// Write this turn.
    Turn {
        turn: Arc<Turn>,
        /// How many messages had been lost when this one was sent.
        losses: u64,
    },
    /// This workload is gone.
    Forget(WorkloadId),
}

/// Where lines go.
pub(super) enum Sink {
    Stream(Box<dyn Write + Send>),
    File(RotatedFile),
}

/// Writes turns, each with the line to start from where the chain of memories was broken.
#[derive(Debug)]
pub(super) struct Writer {
    sink: Sink,
    counters: SinkCounters,
    /// The rules that the last start line of each workload gave.
    started: BTreeMap<WorkloadId, Rules>,
    losses: u64,
    failing: bool,
}

impl Writer {
    pub(super) fn new(sink: Sink, counters: SinkCounters) -> Self {
        Self { sink, counters, started: BTreeMap::new(), losses: 0, failing: false }
    }

    /// Writes until nobody sends any more.
    pub(super) fn run(mut self, messages: &Receiver<Message>) {
        for message in messages {
            match message {
                Message::Forget(id) => {
                    self.started.remove(&id);
                }
                Message::Turn { turn, losses } => {
                    if losses != self.losses {
                        self.losses = losses;
                        self.started.clear();
                    }
                    let result = self.write(&turn);
                    self.note(result);
                }
            }
        }
    }

    /// Writes one turn and returns the number of lines.
    fn write(&mut self, turn: &Turn) -> io::Result<u64> {
        let mut text = Vec::new();
        if self.started.get(&turn.workload) == Some(&turn.rules) {
            append(&mut text, &Line::turn(turn))?;
            if !self.sink.is_full_with(&text) {
                self.sink.write(&text)?;
                return Ok(1);
            }
            text.clear();
        }
        append(&mut text, &Line::start(turn))?;
        append(&mut text, &Line::turn(turn))?;
        if self.sink.is_full_with(&text) {
            self.sink.rotate()?;
            self.started.clear();
        }
        self.sink.write(&text)?;
        self.started.insert(turn.workload.clone(), turn.rules.clone());
        Ok(2)
    }

    /// Counts, and says so once when it begins to fail and once when it works again.
    fn note(&mut self, result: io::Result<u64>) {
        match result {
            Ok(lines) => {
                self.counters.written.inc_by(lines);
                if self.failing {
                    info!("the journal is written again");
                }
                self.failing = false;
            }
            Err(problem) => {
                self.counters.failed.inc();
                self.started.clear();
                if !self.failing {
                    error!(%problem, "the journal cannot be written: decisions go on, but are not written down");
                }
                self.failing = true;
            }
        }
    }
}

fn append(text: &mut Vec<u8>, line: &Line<'_>) -> io::Result<()> {
    serde_json::to_writer(&mut *text, line)?;
    text.push(b'\n');
    Ok(())
}

impl Sink {
    fn is_full_with(&self, text: &[u8]) -> bool {
        match self {
            Self::Stream(_) => false,
            Self::File(file) => file.is_full_with(text),
        }
    }

    fn rotate(&mut self) -> io::Result<()> {
        match self {
            Self::Stream(_) => Ok(()),
            Self::File(file) => file.rotate(),
        }
    }

    fn write(&mut self, text: &[u8]) -> io::Result<()> {
        match self {
            Self::Stream(stream) => {
                stream.write_all(text)?;
                stream.flush()
            }
            Self::File(file) => file.write(text),
        }
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(_) => f.write_str("Stream"),
            Self::File(file) => file.fmt(f),
        }
    }
}
