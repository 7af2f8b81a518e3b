//! Every turn as a line of JSON, enough to evaluate it again bit for bit (`tidegate replay`).
//!
//! A `start` line holds rules and memory; from there on each `turn` line's memory follows from the one
//! before, so it is not written. A workload starts again wherever that chain breaks: at its first turn,
//! when its rules change, in a new file, and after a line was lost.

mod file;
pub mod replay;
mod writer;

use std::borrow::Cow;
use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::metrics::SinkCounters;
use super::{Outcome, RecordError, Turn};
use crate::engine::{Decision, Memory, Observation};
use crate::policy::settings;
use crate::policy::{Mode, Rules, WorkloadId};
use file::RotatedFile;
use writer::{Message, Sink, Writer};

/// Turns that may wait for the disk. Each holds its whole observation.
const QUEUE: usize = 1024;

/// One line of a journal.
#[expect(clippy::large_enum_variant, reason = "there is only ever one at a time")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Line<'a> {
    /// What the following turns of a workload are decided by.
    Start {
        /// Whose.
        workload: Cow<'a, WorkloadId>,
        /// When.
        at: Timestamp,
        /// The version of Tidegate that decided.
        version: Cow<'a, str>,
        /// The target's kind and name.
        target: Cow<'a, str>,
        /// The rules.
        rules: Cow<'a, Rules>,
        /// What was remembered before the next turn.
        memory: Cow<'a, Memory>,
    },
    /// One turn.
    Turn {
        /// Whose.
        workload: Cow<'a, WorkloadId>,
        /// When.
        at: Timestamp,
        /// The mode in force.
        mode: Mode,
        /// What was seen.
        observation: Cow<'a, Observation>,
        /// What was decided.
        decision: Cow<'a, Decision>,
        /// What became of it.
        outcome: Cow<'a, Outcome>,
    },
}

impl<'a> Line<'a> {
    /// The line that `turn` starts from.
    pub fn start(turn: &'a Turn) -> Self {
        Self::Start {
            workload: Cow::Borrowed(&turn.workload),
            at: turn.at,
            version: Cow::Borrowed(env!("CARGO_PKG_VERSION")),
            target: Cow::Borrowed(&turn.target),
            rules: Cow::Borrowed(&turn.rules),
            memory: Cow::Borrowed(&turn.memory),
        }
    }

    /// The line of `turn` itself.
    pub fn turn(turn: &'a Turn) -> Self {
        Self::Turn {
            workload: Cow::Borrowed(&turn.workload),
            at: turn.at,
            mode: turn.mode,
            observation: Cow::Borrowed(&turn.observation),
            decision: Cow::Borrowed(&turn.decision),
            outcome: Cow::Borrowed(&turn.outcome),
        }
    }
}

/// A queue to the thread that writes. Nothing here waits for the disk.
#[derive(Debug)]
pub struct Journal {
    counters: SinkCounters,
    pipe: Mutex<Pipe>,
}

#[derive(Debug)]
struct Pipe {
    /// `None` once closed.
    queue: Option<SyncSender<Message>>,
    /// Disconnects when the thread has ended.
    done: Receiver<()>,
    /// Messages that found the queue full, ever.
    losses: u64,
    /// The last one did.
    full: bool,
}

impl Journal {
    /// Opens what the settings ask for; `None` where they ask for nothing.
    pub fn open(settings: &settings::Journal, counters: SinkCounters) -> Result<Option<Self>, RecordError> {
        let sink = match settings {
            settings::Journal::Off => return Ok(None),
            settings::Journal::Stdout => Sink::Stream(Box::new(io::stdout())),
            settings::Journal::File(file) => Sink::File(
                RotatedFile::open(file)
                    .map_err(|source| RecordError::OpenJournal { path: file.path.clone(), source })?,
            ),
        };
        Self::start(sink, counters, QUEUE).map(Some)
    }

    fn start(sink: Sink, counters: SinkCounters, queue: usize) -> Result<Self, RecordError> {
        let (queue, messages) = mpsc::sync_channel(queue);
        let (ended, done) = mpsc::sync_channel(0);
        let writer = Writer::new(sink, counters.clone());
        thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || {
                writer.run(&messages);
                drop(ended);
            })
            .map_err(RecordError::StartJournal)?;
        let pipe = Pipe { queue: Some(queue), done, losses: 0, full: false };
        Ok(Self { counters, pipe: Mutex::new(pipe) })
    }

    /// Takes a turn to be written, or counts it as dropped where too many wait.
    pub fn record(&self, turn: Arc<Turn>) {
        self.send(|losses| Message::Turn { turn, losses });
    }

    /// Forgets a workload: should it come back, it starts again.
    pub fn forget(&self, id: &WorkloadId) {
        self.send(|_| Message::Forget(id.clone()));
    }

    /// Takes no more, and waits until all is written or `patience` is over. Whether all was written.
    pub fn close(&self, patience: Duration) -> bool {
        let mut pipe = self.pipe.lock().unwrap_or_else(PoisonError::into_inner);
        pipe.queue = None;
        matches!(pipe.done.recv_timeout(patience), Err(RecvTimeoutError::Disconnected))
    }

    fn send(&self, message: impl FnOnce(u64) -> Message) {
        let mut pipe = self.pipe.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(queue) = &pipe.queue else { return };
        let sent = queue.try_send(message(pipe.losses)).is_ok();
        if !sent {
            self.counters.dropped.inc();
            pipe.losses += 1;
            if !pipe.full {
                warn!("the journal cannot keep up: turns are not written down (journal_lines_dropped)");
            }
        }
        pipe.full = !sent;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;
    use crate::record::samples;

    /// A stream that waits at each write until it is let go.
    struct Gate {
        entered: SyncSender<()>,
        go: Receiver<()>,
        lines: SyncSender<String>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.entered.send(()).unwrap();
            self.go.recv().unwrap();
            self.lines.send(String::from_utf8(bytes.to_vec()).unwrap()).unwrap();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn kinds(text: &str) -> Vec<&'static str> {
        text.lines().map(|line| if line.starts_with("{\"start\"") { "start" } else { "turn" }).collect()
    }

    #[test]
    fn a_full_queue_drops_counts_and_starts_again() {
        let (entered, at_the_gate) = sync_channel(8);
        let (let_go, go) = sync_channel(8);
        let (lines, written) = sync_channel(8);
        let counters = SinkCounters::default();
        let gate = Sink::Stream(Box::new(Gate { entered, go, lines }));
        let journal = Journal::start(gate, counters.clone(), 1).unwrap();
        let turn = Arc::new(samples::turn("orders"));

        journal.record(Arc::clone(&turn));
        at_the_gate.recv().unwrap(); // The first is being written, so the queue is empty,
        journal.record(Arc::clone(&turn)); // full,
        journal.record(Arc::clone(&turn)); // and this one finds no room.
        for _ in 0..2 {
            let_go.send(()).unwrap();
        }
        let both = [written.recv().unwrap(), written.recv().unwrap()];
        at_the_gate.recv().unwrap();
        journal.record(Arc::clone(&turn));
        let_go.send(()).unwrap();
        assert!(journal.close(Duration::from_mins(1)));
        assert_eq!(kinds(&both[0]), ["start", "turn"]);
        assert_eq!(kinds(&both[1]), ["turn"]);
        assert_eq!(kinds(&written.recv().unwrap()), ["start", "turn"]);
        assert_eq!((counters.written.get(), counters.dropped.get()), (5, 1));
    }
}
