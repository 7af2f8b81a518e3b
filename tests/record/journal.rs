//! What was written down can be evaluated again.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tidegate::engine::observation::{PartitionReading, Quality, SourceReading};
use tidegate::engine::{Memory, evaluate};
use tidegate::policy::Replicas;
use tidegate::policy::settings::{Journal as Settings, JournalFile};
use tidegate::record::Turn;
use tidegate::record::board::Board;
use tidegate::record::journal::Journal;
use tidegate::record::journal::replay::{Replay, Summary};
use tidegate::record::metrics::{Metrics, SinkCounters};

use super::turn;

/// A workload that is really evaluated, turn after turn, under a load that changes.
struct Run {
    memory: Memory,
    turn: Turn,
    number: u32,
}

impl Run {
    fn new(name: &str) -> Self {
        let turn = turn(name);
        Self { memory: Memory::default(), turn, number: 0 }
    }

    fn next(&mut self) -> Arc<Turn> {
        self.number += 1;
        let turn = &mut self.turn;
        turn.at += SignedDuration::from_secs(15);
        turn.observation.target.current = Some(Replicas(1 + self.number / 7 % 5));
        turn.observation.target.ready = turn.observation.target.current;
        turn.observation.target.sampled_at = turn.at;
        look(&mut turn.observation.sources[0], turn.at, i64::from(self.number));
        turn.memory = self.memory.clone();
        let memory = std::mem::take(&mut self.memory);
        let (after, decision) = evaluate(&turn.rules, memory, &turn.observation, turn.at);
        self.memory = after;
        turn.decision = decision;
        Arc::new(turn.clone())
    }
}

/// A complete look at both partitions: three times as much arrives in the middle of every 60 looks.
fn look(source: &mut SourceReading, at: Timestamp, number: i64) {
    let SourceReading::Backlog(backlog) = source else { panic!("the recorded turn has a backlog") };
    backlog.sampled_at = at;
    backlog.quality = Quality::Ok;
    backlog.problem = None;
    let first = backlog.partitions[0].clone();
    let peak = (20..40).contains(&(number % 60));
    let (arrived, lag) = if peak { (18_000, 30_000 + 100 * (number % 60)) } else { (6_000, 200) };
    for (partition, entry) in (0..).zip(&mut backlog.partitions) {
        let end = number * 10_000;
        *entry = PartitionReading {
            partition,
            end: Some(end),
            committed: Some(end - lag),
            lag: lag.try_into().ok(),
            arrived: Some(arrived),
            consumed: Some(arrived),
            arrived_in_window: Some(4 * arrived),
            overdue: Some(peak),
            age_seconds: Some(if peak { 75.5 } else { 0.5 }),
            ..first.clone()
        };
    }
}

fn settings(path: &Path, keep: u32) -> Settings {
    Settings::File(JournalFile { path: path.to_owned(), max_bytes: 65_536, keep })
}

fn replay(path: &Path) -> Summary {
    let mut replay = Replay::default();
    let text = fs::read_to_string(path).unwrap();
    for (number, line) in (1..).zip(text.lines()) {
        replay.line(number, line);
    }
    replay.finish()
}

fn starts(path: &Path) -> usize {
    fs::read_to_string(path).unwrap().lines().filter(|line| line.starts_with("{\"start\"")).count()
}

/// Writes `turns`, waiting for each to be taken, and closes.
fn write(settings: &Settings, turns: impl IntoIterator<Item = Arc<Turn>>) -> SinkCounters {
    let counters = SinkCounters::default();
    let journal = Journal::open(settings, counters.clone()).unwrap().unwrap();
    turns.into_iter().for_each(|turn| journal.record(turn));
    assert!(journal.close(Duration::from_mins(1)));
    assert_eq!((counters.dropped.get(), counters.failed.get()), (0, 0));
    counters
}

#[test]
fn every_file_of_a_rotated_journal_replays_on_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.jsonl");
    let mut runs = ["orders", "billing"].map(Run::new);
    let turns = (0..200).map(|number| runs[number % 2].next());
    write(&settings(&path, 9), turns);

    let numbered = |number| PathBuf::from(format!("{}.{number}", path.display()));
    let files: Vec<_> =
        std::iter::once(path.clone()).chain((1..=9).map(numbered)).filter(|file| file.exists()).collect();
    assert!(files.len() > 3, "{files:?}");
    let mut turns = 0;
    for file in &files {
        assert!(fs::metadata(file).unwrap().len() <= 65_536);
        let summary = replay(file);
        assert_eq!((summary.differing, summary.skipped, summary.broken), (0, 0, 0), "{file:?}: {summary:?}");
        assert_eq!(starts(file), summary.workloads.len());
        turns += summary.turns;
    }
    assert_eq!(turns, 200);
}

#[test]
fn only_so_many_old_files_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.jsonl");
    let mut run = Run::new("orders");
    write(&settings(&path, 1), (0..200).map(|_| run.next()));
    let names: Vec<_> =
        fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(path.with_extension("jsonl.1").exists());
}

#[test]
fn a_changed_rule_and_a_restart_start_again_and_nothing_else_does() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.jsonl");
    let mut run = Run::new("orders");
    let mut turns: Vec<_> = (0..5).map(|_| run.next()).collect();
    run.turn.rules.max_replicas = Replicas(20);
    turns.extend((0..5).map(|_| run.next()));
    assert_eq!(write(&settings(&path, 3), turns).written.get(), 12);
    assert_eq!(write(&settings(&path, 3), [run.next()]).written.get(), 2);
    assert_eq!(starts(&path), 3);
    let summary = replay(&path);
    assert_eq!((summary.turns, summary.agreed, summary.broken), (11, 11, 0));
}

#[test]
fn a_torn_line_is_named_and_what_follows_it_is_not_guessed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.jsonl");
    let mut run = Run::new("orders");
    write(&settings(&path, 3), (0..3).map(|_| run.next()));
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, &text[..text.len() - 40]).unwrap();
    // The next process ends the torn line before it starts its own.
    write(&settings(&path, 3), (0..2).map(|_| run.next()));
    let summary = replay(&path);
    assert_eq!((summary.turns, summary.agreed, summary.broken, summary.skipped), (4, 4, 1, 0));
    assert_eq!(summary.broken_lines[0].line, 4);

    let lines: Vec<_> = text.lines().collect();
    fs::write(&path, [lines[0], lines[1], "garbage", lines[3]].join("\n")).unwrap();
    let summary = replay(&path);
    assert_eq!((summary.turns, summary.broken, summary.skipped), (1, 1, 1));
}

#[test]
fn another_decision_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.jsonl");
    let mut run = Run::new("orders");
    let mut turns: Vec<_> = (0..4).map(|_| run.next()).collect();
    Arc::make_mut(&mut turns[2]).decision.desired = Some(Replicas(99));
    write(&settings(&path, 3), turns);
    let summary = replay(&path);
    assert_eq!((summary.turns, summary.agreed, summary.differing), (4, 3, 1));
    let first = summary.workloads[0].first.clone().unwrap();
    assert_eq!((first.line, first.field.as_str(), first.recorded), (4, "desired", 99.into()));
}

#[test]
fn a_forgotten_workload_starts_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.jsonl");
    let journal = Journal::open(&settings(&path, 3), SinkCounters::default()).unwrap().unwrap();
    journal.record(Run::new("orders").next());
    journal.forget(&turn("orders").workload);
    journal.record(Run::new("orders").next());
    assert!(journal.close(Duration::from_mins(1)));
    assert_eq!(starts(&path), 2);
    assert_eq!(replay(&path).agreed, 2);
}

#[test]
fn a_disk_that_refuses_is_counted_and_the_rest_is_replayable() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.jsonl");
    // A directory where the old file should go: the rotation fails, again and again.
    fs::create_dir_all(directory.path().join("journal.jsonl.1/in-the-way")).unwrap();
    let counters = SinkCounters::default();
    let journal = Journal::open(&settings(&path, 1), counters.clone()).unwrap().unwrap();
    let mut run = Run::new("orders");
    (0..200).for_each(|_| journal.record(run.next()));
    assert!(journal.close(Duration::from_mins(1)));
    assert!(counters.failed.get() > 0);
    let summary = replay(&path);
    assert_eq!(summary.turns, 200 - counters.failed.get());
    assert_eq!((summary.differing, summary.broken, summary.skipped), (0, 0, 0));
}

#[test]
fn the_recorder_writes_what_it_is_given() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.jsonl");
    let metrics = Metrics::new();
    let journal = Journal::open(&settings(&path, 1), metrics.journal.clone()).unwrap();
    let recorder = tidegate::record::Recorder::new(Board::new(Timestamp::UNIX_EPOCH), metrics.clone())
        .with_journal(journal);
    recorder.record(&Run::new("orders").next());
    recorder.close(Duration::from_mins(1));
    assert!(metrics.text().unwrap().contains("tidegate_journal_lines_written_total 2\n"));
    assert_eq!(replay(&path).agreed, 1);
}

#[test]
fn a_path_that_cannot_be_opened_names_the_setting() {
    let problem =
        Journal::open(&settings(Path::new("/nowhere/journal"), 1), SinkCounters::default()).unwrap_err();
    assert_eq!(
        problem.to_string(),
        "the journal /nowhere/journal cannot be opened: No such file or directory (os error 2) \
         (settings: journal.file.path)"
    );
}
