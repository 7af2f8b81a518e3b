//! A JSON Schema as far as ours use it, typed: what a value may look like, in data and in words.

use std::net::SocketAddr;
use std::sync::LazyLock;

use serde_json::Value as Json;

use super::hints::one_of;
use super::problem::Mark;
use super::schedule::{Cron, Zone};
use super::schema;
use super::tree::{Entry, Node, Value};
use super::units::TimeSpan;

/// What a policy document may look like.
pub(crate) static POLICY: LazyLock<Form> = LazyLock::new(|| Form::of(schema::policy(), &[schema::policy()]));
/// What a settings document may look like.
pub(crate) static SETTINGS: LazyLock<Form> =
    LazyLock::new(|| Form::of(schema::settings(), &[schema::settings()]));

/// The JSON Schema format that marks an address to listen on.
pub(crate) const ADDRESS_FORMAT: &str = "socket-address";

/// What a value may look like.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Form {
    /// Null will do.
    pub(crate) optional: bool,
    pub(crate) shape: Shape,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Shape {
    Anything,
    Flag,
    Number(Range),
    Text {
        least: usize,
        most: Option<usize>,
    },
    Spelt(Spelling),
    List {
        item: Box<Form>,
        least: usize,
        most: usize,
    },
    Map {
        fields: Vec<Field>,
        others: Option<Box<Form>>,
    },
    /// One of several names, alone or with content of its own: `name: {...}`.
    Choice(Vec<(String, Option<Form>)>),
}

/// What a text must spell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spelling {
    TimeSpan,
    Address,
    Cron,
    Zone,
}

impl Spelling {
    /// By the schema's `format`.
    fn of(format: &str) -> Option<Self> {
        match format {
            TimeSpan::FORMAT => Some(Self::TimeSpan),
            ADDRESS_FORMAT => Some(Self::Address),
            Cron::FORMAT => Some(Self::Cron),
            Zone::FORMAT => Some(Self::Zone),
            _ => None,
        }
    }

    /// What is wrong with a text.
    pub(crate) fn fault(self, text: &str) -> Option<&'static str> {
        match self {
            Self::TimeSpan => text.parse::<TimeSpan>().is_err().then_some("no duration"),
            Self::Address => text.parse::<SocketAddr>().is_err().then_some("no address"),
            Self::Cron => text.parse::<Cron>().is_err().then_some("no cron expression"),
            Self::Zone => text.parse::<Zone>().is_err().then_some("no time zone"),
        }
    }
}

/// A field of a mapping.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) form: Form,
    pub(crate) required: bool,
    /// What it is, in the first sentence of its documentation.
    about: Option<String>,
}

impl Field {
    /// What is asked for where the field is missing.
    pub(crate) fn expected(&self) -> String {
        let Self { name, form, about, .. } = self;
        match about {
            Some(about) => format!("`{name}`: {about}, {}", form.expected()),
            None => format!("`{name}`: {}", form.expected()),
        }
    }
}

/// Which numbers will do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Range {
    pub(crate) whole: bool,
    least: Option<f64>,
    most: Option<f64>,
    above: Option<f64>,
}

impl Form {
    /// Reads `schemas`, which all hold for the same value, out of the document `root`.
    fn of(root: &Json, schemas: &[&Json]) -> Self {
        let all = resolve(root, schemas);
        let find = |key: &str| all.iter().find_map(|schema| schema.get(key));
        let size = |key: &str| find(key).and_then(Json::as_u64).and_then(|size| usize::try_from(size).ok());
        let kinds: Vec<&str> = all.iter().filter_map(|schema| schema.get("type")).flat_map(names).collect();
        let optional = kinds.contains(&"null");
        let format = find("format").and_then(Json::as_str);
        let shape = match kinds.into_iter().find(|kind| *kind != "null") {
            Some("object") => Shape::Map {
                fields: fields(root, &all),
                others: find("additionalProperties")
                    .filter(|schema| schema.is_object())
                    .map(|schema| Box::new(Self::of(root, &[schema]))),
            },
            Some("array") => Shape::List {
                item: Box::new(Self::of(root, &find("items").into_iter().collect::<Vec<_>>())),
                least: size("minItems").unwrap_or(0),
                most: size("maxItems").unwrap_or(usize::MAX),
            },
            Some("boolean") => Shape::Flag,
            Some(kind @ ("integer" | "number")) => Shape::Number(Range::of(&all, kind == "integer", format)),
            Some("string") => match format.and_then(Spelling::of) {
                Some(spelling) => Shape::Spelt(spelling),
                None => Shape::Text { least: size("minLength").unwrap_or(0), most: size("maxLength") },
            },
            _ => find("oneOf").map_or(Shape::Anything, |choices| Shape::Choice(choice(root, choices))),
        };
        Self { optional, shape }
    }

    /// What is asked for, in words.
    pub(crate) fn expected(&self) -> String {
        match &self.shape {
            Shape::Anything => "any value".to_owned(),
            Shape::Flag => "`true` or `false`".to_owned(),
            Shape::Number(range) => range.expected(),
            Shape::Text { most: Some(most), .. } => format!("a text of at most {most} characters"),
            Shape::Text { .. } => "a text".to_owned(),
            Shape::Spelt(Spelling::TimeSpan) => "a duration such as 45s, 5m or 1h30m".to_owned(),
            Shape::Spelt(Spelling::Address) => "IP:PORT, such as 0.0.0.0:8080".to_owned(),
            Shape::Spelt(Spelling::Cron) => {
                "five fields (minute, hour, day of month, month, day of week) such as 0 8 * * MON-FRI"
                    .to_owned()
            }
            Shape::Spelt(Spelling::Zone) => "an IANA name such as Europe/Berlin or UTC".to_owned(),
            Shape::List { least: 0, most: usize::MAX, .. } => "a list".to_owned(),
            Shape::List { least: 0, most, .. } => format!("a list of at most {most}"),
            Shape::List { least, most: usize::MAX, .. } => format!("a list of at least {least}"),
            Shape::List { least, most, .. } => format!("a list of {least} to {most}"),
            Shape::Map { .. } => "a mapping".to_owned(),
            Shape::Choice(choices) => {
                one_of(&choices.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>())
            }
        }
    }

    /// A value that will do, to stand in for one that does not.
    pub(crate) fn placeholder(&self, mark: Mark) -> Node {
        let entry =
            |key: &str, form: &Self| Entry { key: key.to_owned(), mark, node: form.placeholder(mark) };
        let value = match &self.shape {
            Shape::Anything => Value::Null,
            Shape::Flag => Value::Bool(false),
            Shape::Number(range) => Value::Number(range.largest().into()),
            Shape::Text { .. } => Value::Text("x".to_owned()),
            Shape::Spelt(Spelling::TimeSpan) => Value::Text("1m".to_owned()),
            Shape::Spelt(Spelling::Address) => Value::Text("127.0.0.1:8080".to_owned()),
            Shape::Spelt(Spelling::Cron) => Value::Text("0 0 * * *".to_owned()),
            Shape::Spelt(Spelling::Zone) => Value::Text("UTC".to_owned()),
            Shape::List { .. } => Value::List(Vec::new()),
            Shape::Map { fields, .. } => {
                let required = fields.iter().filter(|field| field.required);
                Value::Map(required.map(|field| entry(&field.name, &field.form)).collect())
            }
            Shape::Choice(choices) => match choices.first() {
                Some((name, Some(form))) => Value::Map(vec![entry(name, form)]),
                Some((name, None)) => Value::Text(name.clone()),
                None => Value::Null,
            },
        };
        Node { mark, value }
    }
}

impl Range {
    fn of(schemas: &[&Json], whole: bool, format: Option<&str>) -> Self {
        let all = |key| schemas.iter().filter_map(move |schema| schema.get(key)?.as_f64());
        let of_format = (format == Some("uint32")).then_some(f64::from(u32::MAX));
        Self {
            whole,
            least: all("minimum").reduce(f64::max),
            most: all("maximum").chain(of_format).reduce(f64::min),
            above: all("exclusiveMinimum").reduce(f64::max),
        }
    }

    /// What is wrong with a number.
    pub(crate) fn fault(&self, number: &serde_json::Number) -> Option<&'static str> {
        let value = number.as_f64()?;
        if self.whole && !(number.is_u64() || number.is_i64()) {
            return Some("no whole number");
        }
        if self.least.is_some_and(|least| value < least) || self.above.is_some_and(|above| value <= above) {
            return Some("too small");
        }
        self.most.filter(|most| value > *most).map(|_| "too large")
    }

    fn expected(&self) -> String {
        let kind = if self.whole { "a whole number" } else { "a number" };
        // That a number must fit its type is worth a word only where it does not.
        let most = self.most.filter(|most| *most < f64::from(u32::MAX));
        match (self.least, most, self.above) {
            (Some(least), Some(most), _) => format!("{kind} from {least} to {most}"),
            (Some(least), None, _) => format!("{kind} of at least {least}"),
            (None, Some(most), _) => format!("{kind} of at most {most}"),
            (None, None, Some(above)) => format!("{kind} above {above}"),
            (None, None, None) => kind.to_owned(),
        }
    }

    /// Large, so that nothing that must stay below seems to be above it.
    fn largest(&self) -> u32 {
        let most = self.most.and_then(super::Replicas::covering);
        most.map_or(u32::MAX, |most| most.0)
    }
}

/// The schemas with references and alternatives to null followed.
fn resolve<'a>(root: &'a Json, schemas: &[&'a Json]) -> Vec<&'a Json> {
    let (mut all, mut queue) = (Vec::new(), schemas.to_vec());
    while let Some(schema) = queue.pop() {
        let path = schema.get("$ref").and_then(Json::as_str).and_then(|path| path.strip_prefix('#'));
        queue.extend(path.and_then(|path| root.pointer(path)));
        queue.extend(schema.get("anyOf").and_then(Json::as_array).into_iter().flatten());
        all.push(schema);
    }
    all
}

fn fields(root: &Json, schemas: &[&Json]) -> Vec<Field> {
    let required: Vec<&str> =
        schemas.iter().filter_map(|schema| schema.get("required")).flat_map(names).collect();
    let listed = schemas.iter().filter_map(|schema| schema.get("properties")?.as_object()).flatten();
    listed
        .map(|(name, schema)| Field {
            name: name.clone(),
            form: Form::of(root, &[schema]),
            required: required.contains(&name.as_str()),
            about: schema.get("description").and_then(Json::as_str).map(first_sentence),
        })
        .collect()
}

fn choice(root: &Json, choices: &Json) -> Vec<(String, Option<Form>)> {
    let mut all = Vec::new();
    for choice in choices.as_array().into_iter().flatten() {
        let bare = choice.get("const").into_iter().chain(choice.get("enum")).flat_map(names);
        all.extend(bare.map(|name| (name.to_owned(), None)));
        let content = choice.get("properties").and_then(Json::as_object).into_iter().flatten();
        all.extend(content.map(|(name, schema)| (name.clone(), Some(Form::of(root, &[schema])))));
    }
    all
}

fn first_sentence(text: &str) -> String {
    let ends = [". ", ": ", "; ", "\n"].into_iter().filter_map(|end| text.find(end)).min();
    let sentence = text.get(..ends.unwrap_or(text.len())).unwrap_or(text).trim_end_matches('.');
    let mut letters = sentence.chars();
    let first = letters.next().map(|first| first.to_lowercase().to_string()).unwrap_or_default();
    first + letters.as_str()
}

/// One name or a list of them.
fn names(json: &Json) -> impl Iterator<Item = &str> {
    json.as_str().into_iter().chain(json.as_array().into_iter().flatten().filter_map(Json::as_str))
}
