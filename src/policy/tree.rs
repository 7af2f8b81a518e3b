//! YAML text as documents and located nodes, so that every later complaint can point at its place.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value as Json};
use serde_saphyr::{Location, Spanned};

use super::problem::{Fault, Mark, Problem};
use super::secrets::Secrets;

/// The text of one document and where in which file it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Excerpt {
    file: String,
    /// The document's first line in the file, from 1.
    pub(crate) line: usize,
    text: String,
}

impl Excerpt {
    /// Splits a file at its document markers (`---`, `...` at a line's start, which no scalar may
    /// hold), so that a document that does not parse leaves its neighbours alone. Documents without
    /// content are left out.
    pub(crate) fn split(file: &str, text: &str) -> Vec<Self> {
        let mut excerpts = vec![Self::begin(file, 1)];
        for (index, line) in text.trim_start_matches('\u{feff}').split_inclusive('\n').enumerate() {
            if marks(line, "---") {
                excerpts.push(Self::begin(file, index + 1));
            }
            if let Some(current) = excerpts.last_mut() {
                current.text.push_str(line);
            }
            if marks(line, "...") {
                excerpts.push(Self::begin(file, index + 2));
            }
        }
        excerpts.retain(Self::has_content);
        excerpts
    }

    pub(crate) fn begin(file: &str, line: usize) -> Self {
        Self { file: file.to_owned(), line, text: String::new() }
    }

    fn has_content(&self) -> bool {
        self.text.lines().any(|line| {
            let rest = if marks(line, "---") { line.trim_start_matches('-') } else { line };
            let rest = rest.trim();
            !(rest.is_empty() || rest.starts_with('#') || rest == "..." || line.starts_with('%'))
        })
    }

    /// The document's nodes, or why it does not parse.
    pub(crate) fn parse(&self) -> Result<Node, Box<Problem>> {
        // Without aliases each node takes at least a character: more nodes are a bomb.
        let budget = serde_saphyr::budget! { max_nodes: self.text.len() };
        let options = serde_saphyr::options! { budget: budget };
        serde_saphyr::from_str_with_options::<Node>(&self.text, options).map_err(|error| {
            let mark = error.location().map_or_else(Mark::start, mark);
            let message = error.render_with_formatter(&serde_saphyr::UserMessageFormatter);
            // Only the words: the rest is a place and a drawing, and ours are those of the whole file.
            let message = message.lines().next().unwrap_or_default().trim_start_matches("error: ");
            let words = message.split_once(": ").filter(|(place, _)| place.starts_with("line "));
            let message = words.map_or(message, |(_, words)| words);
            Box::new(self.problem(&Fault::new(mark, format!("not valid YAML: {message}"))))
        })
    }

    /// A fault of this document as a problem of the file. Nobody should write a secret into a document;
    /// who does will not find it in our log.
    pub(crate) fn problem(&self, fault: &Fault) -> Problem {
        let line = self.text.lines().nth(fault.mark.line.saturating_sub(1)).unwrap_or_default();
        let secrets = Secrets::of(line.trim_end());
        let clean = |words: &str| clip(&secrets.strike(words), 0, LONGEST_WORDS);
        let before = fault.mark.column.saturating_sub(1);
        let skipped = if before > LONGEST_LINE / 2 { before - LONGEST_LINE / 4 } else { 0 };
        Problem {
            file: self.file.clone(),
            line: self.line + fault.mark.line.saturating_sub(1),
            column: fault.mark.column,
            width: fault.mark.width,
            text: clip(&secrets.masked, skipped, LONGEST_LINE),
            caret: before - skipped,
            message: clean(&fault.message),
            expected: fault.expected.as_deref().map(clean),
            hint: fault.hint.as_deref().map(clean),
        }
    }
}

/// Characters of a line that a problem shows. JSON may be one line of a megabyte.
const LONGEST_LINE: usize = 160;
/// Characters of a message, which repeats what a document says.
const LONGEST_WORDS: usize = 400;

fn clip(text: &str, skipped: usize, longest: usize) -> String {
    let mut rest = text.chars().skip(skipped);
    let mut clipped: String = rest.by_ref().take(longest).collect();
    if rest.next().is_some() {
        clipped.push('…');
    }
    clipped
}

/// Whether a line is a document marker.
fn marks(line: &str, marker: &str) -> bool {
    line.strip_prefix(marker).is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
}

/// A value with its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) mark: Mark,
    pub(crate) value: Value,
}

/// What YAML can say.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One line of a mapping.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) mark: Mark,
    pub(crate) node: Node,
}

impl Node {
    /// The entry of a mapping by its key.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => None,
        }
    }

    /// The text at a path of keys.
    pub(crate) fn text(&self, path: &[&str]) -> Option<&str> {
        let mut node = self;
        for key in path {
            node = &node.entry(key)?.node;
        }
        match &node.value {
            Value::Text(text) => Some(text),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// What a dotted path such as `spec.sources[0].kafkaLag.cluster` leads to, and the place to point at:
    /// a scalar's own, the key's where the value is a mapping or a list, and that of the path's deepest
    /// part that exists where there is nothing at its end. Keys may be spelled in snake case, as the checks
    /// of the Rust types name them.
    pub(crate) fn locate(&self, path: &str) -> (Option<&Self>, Mark) {
        let (mut node, mut place) = (self, Mark::start());
        for step in path.split(['.', '[', ']']).filter(|step| !step.is_empty()) {
            let next = match &node.value {
                Value::Map(entries) => {
                    let wanted = camel_case(step);
                    let found = entries.iter().find(|entry| entry.key == step || entry.key == wanted);
                    // An enum's content has index 0 in such a path, and its variant's name in the text.
                    let entry = found.or_else(|| entries.first().filter(|_| step == "0"));
                    entry.map(|entry| (&entry.node, entry.mark))
                }
                Value::List(items) => {
                    let item = step.parse().ok().and_then(|index: usize| items.get(index));
                    item.map(|item| (item, item.mark))
                }
                // As a single rule for an optional value names it.
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => Some((node, place)),
            };
            match next {
                Some(next) => (node, place) = next,
                None => return (None, place),
            }
        }
        let whole = matches!(node.value, Value::Map(_) | Value::List(_) | Value::Null);
        (Some(node), if whole { place } else { node.mark })
    }

    /// Whether a place is in this value.
    pub(crate) fn holds(&self, mark: Mark) -> bool {
        self.mark == mark
            || match &self.value {
                Value::Map(entries) => {
                    entries.iter().any(|entry| entry.mark == mark || entry.node.holds(mark))
                }
                Value::List(items) => items.iter().any(|item| item.holds(mark)),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => false,
            }
    }

    /// Without the places.
    pub(crate) fn to_json(&self) -> Json {
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Number(value) => Json::Number(value.clone()),
            Value::Text(text) => Json::String(text.clone()),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => {
                entries.iter().map(|entry| (entry.key.clone(), entry.node.to_json())).collect()
            }
        }
    }
}

/// A Rust field's name as the documents spell it.
pub(crate) fn camel_case(name: &str) -> String {
    let mut parts = name.split('_');
    let mut camel = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut letters = part.chars();
        camel.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    camel
}

fn mark(location: Location) -> Mark {
    let number = |value: u64| usize::try_from(value).unwrap_or(1).max(1);
    let width = usize::try_from(location.span().len()).unwrap_or(1).max(1);
    Mark { line: number(location.line()), column: number(location.column()), width }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self { mark: mark(spanned.referenced), value: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or_else(|| Value::Text(value.to_string()), Value::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = entries.next_key::<Spanned<String>>()? {
            map.push(Entry { key: key.value, mark: mark(key.referenced), node: entries.next_value()? });
        }
        Ok(Value::Map(map))
    }
}
