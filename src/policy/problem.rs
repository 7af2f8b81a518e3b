//! What is wrong with a document, where, and what to write instead.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One problem of one document.
///
/// Its `Display` form shows the place, the offending line with a caret under it, what was expected and
/// a cure. Documents hold no secrets, only the names of files that do: so the line may be shown.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// The file, or whatever else names the text.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Characters that the problem spans.
    pub width: usize,
    /// The offending line, or the part of a long one around the column.
    pub text: String,
    /// Characters of `text` before the caret.
    pub caret: usize,
    /// What is wrong.
    pub message: String,
    /// What was expected instead.
    pub expected: Option<String>,
    /// What would most likely cure it.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem with a text as a whole, for example that it could not be read.
    pub fn whole(file: &str, message: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: 1,
            column: 1,
            width: 1,
            text: String::new(),
            caret: 0,
            message: message.into(),
            expected: None,
            hint: None,
        }
    }

    /// The problem in one line, without the excerpt: for logs and events.
    pub fn line(&self) -> String {
        let Self { file, line, column, message, .. } = self;
        let mut text = format!("{file}:{line}:{column}: {message}");
        if let Some(expected) = &self.expected {
            text.push_str("; expected ");
            text.push_str(expected);
        }
        if let Some(hint) = &self.hint {
            text.push_str("; ");
            text.push_str(hint);
        }
        text
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, message, .. } = self;
        write!(f, "{file}:{line}:{column}: {message}")?;
        let gutter = line.to_string();
        let blank = " ".repeat(gutter.len());
        if !self.text.is_empty() {
            // Tabs stay tabs, so that the caret stands under its character.
            let before = self.text.chars().take(self.caret);
            let indent: String = before.map(|c| if c == '\t' { c } else { ' ' }).collect();
            let room = self.text.chars().count().saturating_sub(self.caret).max(1);
            let carets = "^".repeat(self.width.clamp(1, room));
            write!(f, "\n  {gutter} | {}\n  {blank} | {indent}{carets}", self.text)?;
        }
        if let Some(expected) = &self.expected {
            write!(f, "\n  {blank} = expected {expected}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  {blank} = {hint}")?;
        }
        Ok(())
    }
}

/// A place in a document: line and column from 1, and the characters from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark {
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) width: usize,
}

impl Mark {
    /// The start of a document.
    pub(crate) const fn start() -> Self {
        Self { line: 1, column: 1, width: 1 }
    }
}

/// A problem before it is known which file it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) mark: Mark,
    pub(crate) message: String,
    pub(crate) expected: Option<String>,
    pub(crate) hint: Option<String>,
}

impl Fault {
    pub(crate) fn new(mark: Mark, message: impl Into<String>) -> Self {
        Self { mark, message: message.into(), expected: None, hint: None }
    }

    pub(crate) fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    pub(crate) fn hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }
}

/// A fault of a document's meaning, at a dotted path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flaw {
    pub(crate) path: String,
    pub(crate) message: String,
    pub(crate) expected: Option<String>,
    pub(crate) hint: Option<String>,
}

impl Flaw {
    pub(crate) fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into(), expected: None, hint: None }
    }

    pub(crate) fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
