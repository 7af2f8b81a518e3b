//! What is odd about partitions, gathered into a sentence per oddity.

use std::collections::BTreeMap;

/// What can be odd about one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Note {
    /// The commit lies past the log's end.
    BeyondEnd,
    /// Records were removed before the group read them.
    Expired,
    /// The end is lower than it was.
    EndWentBack,
    /// The log starts after its end.
    Impossible,
}

/// Notes by kind: how many partitions, and the first of them.
#[derive(Debug, Default)]
pub(super) struct Notes(BTreeMap<Note, (usize, String)>);

impl Notes {
    /// Notes one partition.
    pub(super) fn add(&mut self, note: Note, (topic, partition): &(String, i32)) {
        self.0.entry(note).or_insert_with(|| (0, format!("{topic}-{partition}"))).0 += 1;
    }

    /// One sentence per kind.
    pub(super) fn sentences(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(note, (count, first))| {
            let which = match count - 1 {
                0 => first.clone(),
                more => format!("{first} and {more} more"),
            };
            let what = match note {
                Note::BeyondEnd => {
                    "the commit lies beyond the log's end (was the topic recreated?): counted by offsetResetPolicy"
                }
                Note::Expired => {
                    "retention removed records before the group read them: counted from the log's start"
                }
                Note::EndWentBack => "the log's end went back (was the topic recreated?): counted anew",
                Note::Impossible => "the log's start lies after its end: not believed",
            };
            format!("{which}: {what}")
        })
    }
}
