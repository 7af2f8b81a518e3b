//! Where a streaming query stands, from its checkpoint.
//!
//! A checkpoint holds `offsets/N`, written when batch N is planned, with the offsets where it will end, and
//! `commits/N`, written when it is done. So a query stands where `offsets/N` says for the highest N that has a
//! commit. Anything else, a file that is half written above all, is unknown.

mod objects;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

pub(crate) use self::objects::Objects;

/// Offsets by topic and partition: of the next record to process.
pub(crate) type Offsets = BTreeMap<String, BTreeMap<i32, i64>>;

/// The longest file that is read: about a hundred thousand partitions.
const LONGEST: u64 = 4 << 20;
/// Batches that are gone back at most.
const BATCHES_BACK: usize = 32;

/// Where a query stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Standing {
    /// The last batch that was committed.
    pub(crate) batch: u64,
    /// Where it ended.
    pub(crate) offsets: Offsets,
    /// When it was committed, by the file system's clock.
    pub(crate) at: Timestamp,
    /// The batch that is planned after it.
    pub(crate) planned: Option<u64>,
    /// An earlier batch, where there is one.
    pub(crate) before: Option<Earlier>,
    /// Tasks of the stages that hold state. Its first batch has fixed them for ever; `None` where there is no state.
    pub(crate) pinned: Option<u32>,
}

/// A batch that was committed before the last one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Earlier {
    pub(crate) batch: u64,
    pub(crate) offsets: Offsets,
    pub(crate) at: Timestamp,
}

/// Why it is not known where a query stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unknown {
    #[error("{path} cannot be read ({cause}): is the checkpoint mounted, and does `checkpoint` name it?")]
    Unreadable { path: String, cause: String },
    #[error(
        "{path} cannot be read ({cause}): does `checkpoints` name the store, and may these credentials list and get there?"
    )]
    NotReachable { path: String, cause: String },
    #[error("{path} holds no batch yet: nothing is known before the query's first commit")]
    NothingCommitted { path: String },
    #[error("{path} is incomplete: it is read again at the next turn")]
    Incomplete { path: String },
    #[error("{path} has a format that is not known: {found}")]
    Strange { path: String, found: String },
}

/// Reads the checkpoint in `directory`, and an earlier batch that was committed at least `back` before the
/// last one, or the earliest there is.
pub(crate) fn read(directory: &Path, back: Duration) -> Result<Standing, Unknown> {
    let commits = directory.join("commits");
    let mut numbers = batches(&commits)?;
    numbers.drain(..numbers.len().saturating_sub(BATCHES_BACK + 1));
    let last = numbers.last().copied();
    // One of the earlier ones that is gone by now has been cleaned up.
    let timed = numbers.into_iter().filter_map(|number| match modified(&commits.join(number.to_string())) {
        Err(error) if last == Some(number) => Some(Err(error)),
        time => Some(Ok((number, time.ok()?))),
    });
    let timed = timed.collect::<Result<Vec<_>, _>>()?;
    let picked = pick(&timed, back);
    let picked = picked.ok_or_else(|| Unknown::NothingCommitted { path: commits.display().to_string() })?;
    let path = commits.join(picked.batch.to_string());
    committed(&text(&path)?, &path.display().to_string())?;
    let planned = batches(&directory.join("offsets"))?.pop();
    let of = |batch: u64| {
        let path = directory.join("offsets").join(batch.to_string());
        offsets(&text(&path)?, &path.display().to_string())
    };
    let before = picked.before.and_then(|(batch, at)| Some((batch, at, of(batch).ok()?)));
    let state = directory.join("state");
    // Unknown is not stateless: its tasks may be what the size rests on.
    let stateful = state.try_exists().map_err(|error| unreadable(&state, &error))?;
    Ok(picked.standing(of(picked.batch)?, planned, before, stateful))
}

/// The batches that count.
struct Picked {
    batch: u64,
    at: Timestamp,
    before: Option<(u64, Timestamp)>,
}

/// Picks the last of the batches that were committed, which come in rising order, and an earlier one.
fn pick(commits: &[(u64, Timestamp)], back: Duration) -> Option<Picked> {
    let ((batch, at), earlier) = commits.split_last()?;
    let long_before = |(_, then): &&(u64, Timestamp)| at.duration_since(*then).unsigned_abs() >= back;
    let near = earlier.get(earlier.len().saturating_sub(BATCHES_BACK)..).unwrap_or_default();
    let before = near.iter().rev().find(long_before).or_else(|| near.first()).copied();
    Some(Picked { batch: *batch, at: *at, before })
}

impl Picked {
    fn standing(
        &self,
        planned: Planned,
        last: Option<u64>,
        before: Option<(u64, Timestamp, Planned)>,
        stateful: bool,
    ) -> Standing {
        let earlier =
            |(batch, at, planned): (u64, Timestamp, Planned)| Earlier { batch, offsets: planned.offsets, at };
        Standing {
            batch: self.batch,
            offsets: planned.offsets,
            at: self.at,
            planned: last.filter(|last| *last > self.batch),
            before: before.map(earlier),
            pinned: planned.shuffle_partitions.filter(|_| stateful),
        }
    }
}

/// The numbers of the batches that a log directory holds, rising. Temporary files and checksums have other
/// names.
fn batches(directory: &Path) -> Result<Vec<u64>, Unknown> {
    let list = || -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(directory)? {
            numbers.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u64>().ok()));
        }
        Ok(numbers)
    };
    let mut numbers = list().map_err(|error| unreadable(directory, &error))?;
    numbers.sort_unstable();
    Ok(numbers)
}

fn text(path: &Path) -> Result<String, Unknown> {
    let read = || -> io::Result<String> {
        let mut text = String::new();
        File::open(path)?.take(LONGEST).read_to_string(&mut text)?;
        Ok(text)
    };
    read().map_err(|error| unreadable(path, &error))
}

fn modified(path: &Path) -> Result<Timestamp, Unknown> {
    let time =
        fs::metadata(path).and_then(|file| file.modified()).map_err(|error| unreadable(path, &error))?;
    Timestamp::try_from(time)
        .map_err(|error| Unknown::Unreadable { path: path.display().to_string(), cause: error.to_string() })
}

fn unreadable(path: &Path, error: &io::Error) -> Unknown {
    Unknown::Unreadable { path: path.display().to_string(), cause: error.kind().to_string() }
}

fn incomplete(path: &str) -> Unknown {
    Unknown::Incomplete { path: path.to_owned() }
}

/// What follows the line with the version. Both versions of either log are laid out alike, as far as is read
/// here.
fn body<'a>(text: &'a str, path: &str) -> Result<std::str::Lines<'a>, Unknown> {
    let mut lines = text.lines();
    match lines.next() {
        Some("v1" | "v2") => Ok(lines),
        None | Some("" | "v") => Err(incomplete(path)),
        Some(found) => {
            let found = found.chars().filter(|c| !c.is_control()).take(20).collect();
            Err(Unknown::Strange { path: path.to_owned(), found })
        }
    }
}

/// A commit is one object of metadata.
fn committed(text: &str, path: &str) -> Result<(), Unknown> {
    let whole = |line: &str| serde_json::from_str::<serde_json::Map<_, _>>(line).is_ok();
    body(text, path)?.next().filter(|line| whole(line)).map(drop).ok_or_else(|| incomplete(path))
}

/// What a batch was planned with.
struct Planned {
    /// Where it will end.
    offsets: Offsets,
    /// `spark.sql.shuffle.partitions`.
    shuffle_partitions: Option<u32>,
}

/// Offsets are one object of metadata and a line per source, which version 2 begins with the source's id and a
/// colon. Sources other than Kafka's say something else there, or `-` before they have any offset.
fn offsets(text: &str, path: &str) -> Result<Planned, Unknown> {
    let mut lines = body(text, path)?;
    let metadata = lines.next().unwrap_or_default();
    let metadata: serde_json::Value = serde_json::from_str(metadata)
        .ok()
        .filter(serde_json::Value::is_object)
        .ok_or_else(|| incomplete(path))?;
    let shuffle = metadata.pointer("/conf/spark.sql.shuffle.partitions").and_then(serde_json::Value::as_str);
    let shuffle_partitions = shuffle.and_then(|count| count.parse().ok());
    let (mut offsets, mut sources) = (Offsets::new(), 0);
    for line in lines {
        sources += 1;
        let json = line.find(['{', '[']).and_then(|at| line.get(at..)).unwrap_or(line);
        if let Ok(topics) = serde_json::from_str::<Offsets>(json) {
            for (topic, partitions) in topics {
                let known = offsets.entry(topic).or_default();
                for (partition, offset) in partitions {
                    // A topic that is read twice stands where its slower reader does.
                    known.entry(partition).and_modify(|known| *known = offset.min(*known)).or_insert(offset);
                }
            }
        } else if json.starts_with('{') && serde_json::from_str::<serde_json::Value>(json).is_err() {
            return Err(incomplete(path));
        }
    }
    if sources == 0 { Err(incomplete(path)) } else { Ok(Planned { offsets, shuffle_partitions }) }
}

/// The directory of a query's checkpoint.
pub(crate) fn directory(root: &Path, checkpoint: &str) -> PathBuf {
    root.join(checkpoint)
}

#[cfg(test)]
mod tests {
    use super::*;

    const METADATA: &str = r#"{"batchWatermarkMs":0,"batchTimestampMs":1795259166054,"conf":{"a.b":"1"}}"#;

    /// A checkpoint of whole files: its path, to be kept as long as it is read.
    fn checkpoint(files: &[(&str, String)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for log in ["offsets", "commits"] {
            fs::create_dir(directory.path().join(log)).unwrap();
        }
        for (file, text) in files {
            fs::write(directory.path().join(file), text).unwrap();
        }
        directory
    }

    fn planned(version: &str, source: &str) -> String {
        format!("{version}\n{METADATA}\n{source}")
    }

    fn done() -> String {
        "v1\n{\"nextBatchWatermarkMs\":0}".to_owned()
    }

    fn stands(files: &[(&str, String)]) -> Result<Standing, Unknown> {
        read(checkpoint(files).path(), Duration::ZERO)
    }

    fn told(error: &Unknown) -> String {
        // The temporary directory's name does not matter.
        let text = error.to_string();
        text.split_once("commits").or_else(|| text.split_once("offsets")).unwrap().1.to_owned()
    }

    #[test]
    fn a_query_stands_where_its_last_committed_batch_ended() {
        for version in ["v1", "v2"] {
            let id = if version == "v2" { "0:" } else { "" };
            let standing = stands(&[
                ("offsets/8", planned(version, &format!(r#"{id}{{"orders":{{"0":3,"1":4}}}}"#))),
                ("offsets/9", planned(version, &format!(r#"{id}{{"orders":{{"0":5,"1":70}}}}"#))),
                ("offsets/10", planned(version, &format!(r#"{id}{{"orders":{{"0":6,"1":90}}}}"#))),
                ("offsets/.10.crc", String::new()),
                ("offsets/.11.a-b.tmp", String::new()),
                ("commits/8", done()),
                ("commits/9", done()),
            ])
            .unwrap();
            assert_eq!((standing.batch, standing.planned), (9, Some(10)));
            assert_eq!(standing.offsets, Offsets::from([("orders".into(), [(0, 5), (1, 70)].into())]));
            assert_eq!(standing.before.unwrap().offsets["orders"][&1], 4);
        }
    }

    #[test]
    fn a_half_written_file_is_unknown() {
        let whole = planned("v1", r#"{"orders":{"0":5}}"#);
        for cut in [0, 1, 3, 20, METADATA.len() + 3, METADATA.len() + 10, whole.len() - 1] {
            let outcome =
                stands(&[("offsets/0", whole.get(..cut).unwrap().to_owned()), ("commits/0", done())]);
            assert_eq!(
                told(&outcome.unwrap_err()),
                "/0 is incomplete: it is read again at the next turn",
                "{cut}"
            );
        }
        for cut in [0, 1, 2, 3, 10] {
            let commit = done().get(..cut).unwrap().to_owned();
            let outcome = stands(&[("offsets/0", whole.clone()), ("commits/0", commit)]);
            assert_eq!(
                told(&outcome.unwrap_err()),
                "/0 is incomplete: it is read again at the next turn",
                "{cut}"
            );
        }
    }

    #[test]
    fn what_is_not_there_is_unknown() {
        let nothing = stands(&[]).unwrap_err();
        assert!(matches!(nothing, Unknown::NothingCommitted { .. }), "{nothing}");
        let planned_only = stands(&[("offsets/0", planned("v1", r#"{"orders":{"0":5}}"#))]).unwrap_err();
        assert!(matches!(planned_only, Unknown::NothingCommitted { .. }), "{planned_only}");
        let cleaned = stands(&[("commits/7", done())]).unwrap_err();
        assert!(cleaned.to_string().contains("offsets/7 cannot be read (entity not found)"), "{cleaned}");
        let absent = read(Path::new("/nonexistent"), Duration::ZERO).unwrap_err();
        assert!(absent.to_string().starts_with("/nonexistent/commits cannot be read"), "{absent}");
        let new = stands(&[("offsets/0", "v9\n{}\n{}".to_owned()), ("commits/0", done())]).unwrap_err();
        assert_eq!(told(&new), "/0 has a format that is not known: v9");
    }

    #[test]
    fn other_sources_are_passed_over() {
        let lines = "{\"orders\":{\"0\":5}}\n-\n17\n{\"logOffset\":3}\n{\"orders\":{\"0\":4,\"1\":9}}";
        let standing = stands(&[("offsets/0", planned("v1", lines)), ("commits/0", done())]).unwrap();
        assert_eq!(standing.offsets, Offsets::from([("orders".into(), [(0, 4), (1, 9)].into())]));
        assert_eq!(standing.planned, None);
    }

    #[test]
    fn state_pins_the_tasks_of_its_stages() {
        let metadata = r#"{"batchWatermarkMs":0,"conf":{"spark.sql.shuffle.partitions":"8"}}"#;
        let planned = format!("v1\n{metadata}\n{{\"orders\":{{\"0\":5}}}}");
        let files = [("offsets/0", planned), ("commits/0", done())];
        assert_eq!(stands(&files).unwrap().pinned, None, "nothing is pinned without state");
        let directory = checkpoint(&files);
        fs::create_dir(directory.path().join("state")).unwrap();
        assert_eq!(read(directory.path(), Duration::ZERO).unwrap().pinned, Some(8));
    }
}
