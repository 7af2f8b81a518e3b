//! What an import has to say besides the policies: one note for each option that needs a word.

use strum::Display;

/// How much a note matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Display)]
pub(super) enum Level {
    /// Carried over, or needed no longer; how it works here is worth a word.
    #[strum(serialize = "note")]
    Note,
    /// Left for people: a credential, a meaning to check.
    #[strum(serialize = "to do")]
    ToDo,
    /// There is no counterpart: the policy goes without it.
    #[strum(serialize = "lost")]
    Lost,
    /// The ScaledObject or the trigger is not carried over.
    #[strum(serialize = "refused")]
    Refused,
}

/// One note, and the option that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) level: Level,
    /// Dotted path in the object, such as `spec.triggers[0].metadata.version`; empty: all of it.
    pub(super) path: String,
    /// Never holds a value that could be a secret.
    pub(super) text: String,
}

/// Why a trigger or an object is not carried over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) path: String,
    pub(super) text: String,
}

impl Refusal {
    pub(super) fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self { path: path.into(), text: text.into() }
    }
}

/// The notes about one object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Notes(Vec<Note>);

impl Notes {
    pub(super) fn note(&mut self, path: impl Into<String>, text: impl Into<String>) {
        self.add(Level::Note, path.into(), text.into());
    }

    pub(super) fn task(&mut self, path: impl Into<String>, text: impl Into<String>) {
        self.add(Level::ToDo, path.into(), text.into());
    }

    pub(super) fn lost(&mut self, path: impl Into<String>, text: impl Into<String>) {
        self.add(Level::Lost, path.into(), text.into());
    }

    pub(super) fn refused(&mut self, Refusal { path, text }: Refusal) {
        self.add(Level::Refused, path, text);
    }

    pub(super) fn append(&mut self, other: Self) {
        for Note { level, path, text } in other.0 {
            self.add(level, path, text);
        }
    }

    fn add(&mut self, level: Level, path: String, text: String) {
        let note = Note { level, path, text };
        if !self.0.contains(&note) {
            self.0.push(note);
        }
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, Note> {
        self.0.iter()
    }

    /// Sorts by what `key` says of a path.
    pub(super) fn sort_by_path<K: Ord>(&mut self, key: impl Fn(&str) -> K) {
        self.0.sort_by_key(|note| key(&note.path));
    }

    /// Leaves only what says why nothing is carried over.
    pub(super) fn keep_refusals(&mut self) {
        self.0.retain(|note| note.level == Level::Refused);
    }

    /// Whether all was carried over.
    pub(super) fn complete(&self) -> bool {
        self.0.iter().all(|note| note.level < Level::Lost)
    }
}
