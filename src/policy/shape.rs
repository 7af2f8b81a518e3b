//! A document's nodes against the form they should have: every fault in one pass, which serde cannot do.
//!
//! What is found is also mended (a misspelt field renamed, an optional one with an impossible value left
//! out, a placeholder put for any other), so that the checks of the meaning can go on with the rest.

use std::fmt;

use super::form::{Field, Form, Shape, Spelling};
use super::hints::{did_you_mean, familiar, nearest, one_of};
use super::problem::{Fault, Mark};
use super::schedule::Zone;
use super::tree::{Entry, Node, Value};

/// Compares a document with its form, and mends it.
pub(crate) fn check(form: &Form, root: &mut Node) -> Vec<Fault> {
    let mut faults = Vec::new();
    let place = Place { name: ROOT, mark: root.mark };
    if visit(form, root, place, &mut faults) == Verdict::Unfit {
        *root = form.placeholder(root.mark);
    }
    faults
}

/// Whether a value may stay, perhaps mended. Where it may not, a fault says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Fit,
    Unfit,
}

/// What holds a value: its name, and where to point when the value as a whole is at fault.
#[derive(Debug, Clone, Copy)]
struct Place<'a> {
    name: &'a str,
    mark: Mark,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name == ROOT { f.write_str("the document") } else { write!(f, "`{}`", self.name) }
    }
}

/// How a document as a whole is called where a field's name would be.
const ROOT: &str = "";

fn visit(form: &Form, node: &mut Node, place: Place<'_>, faults: &mut Vec<Fault>) -> Verdict {
    let Node { mark, value } = node;
    match (&form.shape, value) {
        (_, Value::Null) if form.optional => Verdict::Fit,
        (Shape::Map { fields, others }, Value::Map(entries)) => {
            visit_map(fields, others.as_deref(), entries, place, faults);
            Verdict::Fit
        }
        (Shape::List { item, least, most }, Value::List(items))
            if (*least..=*most).contains(&items.len()) =>
        {
            for node in items {
                let place = Place { name: place.name, mark: node.mark };
                if visit(item, node, place, faults) == Verdict::Unfit {
                    *node = item.placeholder(node.mark);
                }
            }
            Verdict::Fit
        }
        (Shape::Choice(choices), Value::Text(name)) => match bare_choice(choices, name, *mark, place) {
            Some(fault) => unfit(fault, faults),
            None => Verdict::Fit,
        },
        (Shape::Choice(choices), Value::Map(entries)) => {
            visit_choice(choices, entries, Place { mark: *mark, ..place }, faults)
        }
        (shape, value) => match misfit(shape, value) {
            Some(problem) => unfit(misfit_fault(form, value, *mark, place, problem), faults),
            None => Verdict::Fit,
        },
    }
}

/// What is wrong with a value that holds no others; nothing but its kind where the text is empty.
fn misfit(shape: &Shape, value: &Value) -> Option<&'static str> {
    match (shape, value) {
        (Shape::Anything, _) | (Shape::Flag, Value::Bool(_)) => None,
        (Shape::Number(range), Value::Number(number)) => range.fault(number),
        (Shape::Spelt(spelling), Value::Text(text)) => spelling.fault(text),
        (Shape::Text { least, most }, Value::Text(text)) => match text.chars().count() {
            length if length < *least => Some("too short"),
            length if most.is_some_and(|most| length > most) => Some("too long"),
            _ => None,
        },
        (Shape::List { least, .. }, Value::List(items)) if items.len() < *least => Some("too short"),
        (Shape::List { .. }, Value::List(_)) => Some("too long"),
        (_, _) => Some(""),
    }
}

fn misfit_fault(form: &Form, value: &Value, mark: Mark, place: Place<'_>, problem: &str) -> Fault {
    let message = if *value == Value::Null {
        format!("{place} has no value")
    } else if problem.is_empty() {
        format!("{} does not fit {place}", shown(value))
    } else {
        format!("{} is {problem}", shown(value))
    };
    let mark = if matches!(value, Value::Map(_) | Value::List(_) | Value::Null) { place.mark } else { mark };
    Fault::new(mark, message).expected(form.expected()).hint(cure(value, &form.shape))
}

fn visit_map(
    fields: &[Field],
    others: Option<&Form>,
    entries: &mut Vec<Entry>,
    place: Place<'_>,
    faults: &mut Vec<Fault>,
) {
    let known = |name: &str| fields.iter().find(|field| field.name == name);
    let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
    let mut free = names.clone();
    free.retain(|name| !entries.iter().any(|entry| entry.key == *name));
    entries.retain_mut(|entry| {
        if known(&entry.key).is_none() && others.is_none() {
            faults.push(unknown_field(entry, &names, place));
            match nearest(&entry.key, free.iter().copied()) {
                Some(meant) => meant.clone_into(&mut entry.key),
                None => return false,
            }
        }
        let field = known(&entry.key);
        let Some(form) = field.map(|field| &field.form).or(others) else { return false };
        let here = Place { name: &entry.key, mark: entry.mark };
        let fits = visit(form, &mut entry.node, here, faults) == Verdict::Fit;
        if !fits {
            entry.node = form.placeholder(entry.node.mark);
        }
        fits || field.is_none_or(|field| field.required)
    });
    for field in fields.iter().filter(|field| field.required) {
        if !entries.iter().any(|entry| entry.key == field.name) {
            let message = format!("`{}` is missing in {place}", field.name);
            faults.push(Fault::new(place.mark, message).expected(field.expected()));
            let (key, node) = (field.name.clone(), field.form.placeholder(place.mark));
            entries.push(Entry { key, mark: place.mark, node });
        }
    }
}

/// What is wrong with a choice by its bare name.
fn bare_choice(
    choices: &[(String, Option<Form>)],
    chosen: &str,
    mark: Mark,
    place: Place<'_>,
) -> Option<Fault> {
    match choices.iter().find(|(name, _)| name == chosen) {
        Some((_, None)) => None,
        Some((_, Some(form))) => Some(
            Fault::new(mark, format!("`{chosen}` has no content"))
                .expected(format!("`{chosen}: {{...}}` with {}", form.expected())),
        ),
        None => {
            let names: Vec<&str> = choices.iter().map(|(name, _)| name.as_str()).collect();
            let message = format!("unknown {} {}", place.name, quoted(chosen));
            Some(Fault::new(mark, message).expected(one_of(&names)).hint(did_you_mean(chosen, &names)))
        }
    }
}

/// A choice with content: a mapping with the chosen name as its only key.
fn visit_choice(
    choices: &[(String, Option<Form>)],
    entries: &mut [Entry],
    place: Place<'_>,
    faults: &mut Vec<Fault>,
) -> Verdict {
    let names: Vec<&str> = choices.iter().map(|(name, _)| name.as_str()).collect();
    let [entry] = entries else {
        let mark = entries.get(1).map_or(place.mark, |entry| entry.mark);
        let fault = Fault::new(mark, format!("{place} holds {} entries", entries.len()));
        return unfit(fault.expected(format!("exactly one of {}", one_of(&names))), faults);
    };
    if !names.contains(&entry.key.as_str()) {
        faults.push(unknown_field(entry, &names, place));
        match nearest(&entry.key, names) {
            Some(meant) => meant.clone_into(&mut entry.key),
            None => return Verdict::Unfit,
        }
    }
    let Entry { key, mark, node } = entry;
    if let Some((_, Some(form))) = choices.iter().find(|(name, _)| name == key) {
        return visit(form, node, Place { name: key, mark: *mark }, faults);
    }
    let fault = Fault::new(*mark, format!("`{key}` holds nothing"));
    unfit(fault.expected(format!("`{key}` alone")), faults)
}

fn unfit(fault: Fault, faults: &mut Vec<Fault>) -> Verdict {
    faults.push(fault);
    Verdict::Unfit
}

fn unknown_field(entry: &Entry, names: &[&str], place: Place<'_>) -> Fault {
    let fault = Fault::new(entry.mark, format!("unknown field `{}` in {place}", entry.key));
    match familiar(place.name, &entry.key).map(str::to_owned).or_else(|| did_you_mean(&entry.key, names)) {
        None => fault.expected(one_of(names)),
        hint => fault.hint(hint),
    }
}

/// A value as a message shows it.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "an empty value".to_owned(),
        Value::Bool(value) => format!("`{value}`"),
        Value::Number(value) => format!("`{value}`"),
        Value::Text(text) => quoted(text),
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "a mapping".to_owned(),
    }
}

/// A text as a message shows it, unless it is long: it stands above the caret anyway.
fn quoted(text: &str) -> String {
    if text.chars().count() > 40 { "this text".to_owned() } else { format!("`{}`", text.escape_debug()) }
}

/// How to write a value of the wrong kind in the right one.
fn cure(value: &Value, shape: &Shape) -> Option<String> {
    match (value, shape) {
        (Value::Null, _) => Some("give it one, or leave the line out".to_owned()),
        (Value::Number(number), Shape::Spelt(Spelling::TimeSpan)) => {
            Some(format!("if these are seconds: `{number}s`"))
        }
        (Value::Bool(_) | Value::Number(_), Shape::Text { .. }) => {
            Some(format!("write {} in quotes", shown(value)))
        }
        (Value::Text(text), Shape::Spelt(Spelling::Zone)) => Zone::meant(text),
        (Value::Text(text), Shape::Spelt(Spelling::Cron)) => match text.split_whitespace().count() {
            6 => Some("there are no seconds here: leave out the first field".to_owned()),
            _ => None,
        },
        (Value::Text(text), Shape::Flag) => match text.to_lowercase().as_str() {
            "yes" | "on" | "y" | "true" => Some("write `true`".to_owned()),
            "no" | "off" | "n" | "false" => Some("write `false`".to_owned()),
            _ => None,
        },
        (Value::Text(text), Shape::Number(_)) if text.parse::<f64>().is_ok() => {
            Some("leave out the quotes".to_owned())
        }
        (Value::Text(text), Shape::List { .. }) => Some(format!("write `[{text}]`")),
        (_, _) => None,
    }
}
