//! A document's nodes against the form they should have: every fault in one pass, which serde cannot do.
//!
//! What is found is also mended (a misspelt field renamed, an optional one with an impossible value left
//! out, a placeholder put for any other), so that the checks of the meaning can go on with the rest.

use super::form::{Field, Form, Shape};
use super::hints::{did_you_mean, familiar, nearest, one_of};
use super::problem::{Fault, Mark};
use super::tree::{Entry, Node, Value};
use super::units::TimeSpan;

/// Compares a document with its form, and mends it.
pub(crate) fn check(form: &Form, root: &mut Node) -> Vec<Fault> {
    let mut faults = Vec::new();
    let place = Place { name: "the document", mark: root.mark };
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

fn visit(form: &Form, node: &mut Node, place: Place<'_>, faults: &mut Vec<Fault>) -> Verdict {
    let Node { mark, value } = node;
    let problem = match (&form.shape, &mut *value) {
        (Shape::Anything, _) | (Shape::Flag, Value::Bool(_)) => return Verdict::Fit,
        (_, Value::Null) if form.optional => return Verdict::Fit,
        (Shape::Map { fields, others }, Value::Map(entries)) => {
            visit_map(fields, others.as_deref(), entries, place, faults);
            return Verdict::Fit;
        }
        (Shape::List { item, least }, Value::List(items)) if items.len() >= *least => {
            for node in items {
                let place = Place { name: place.name, mark: node.mark };
                if visit(item, node, place, faults) == Verdict::Unfit {
                    *node = item.placeholder(node.mark);
                }
            }
            return Verdict::Fit;
        }
        (Shape::Choice(choices), Value::Text(_) | Value::Map(_)) => {
            return visit_choice(choices, node, place, faults);
        }
        (Shape::Number(range), Value::Number(number)) => match range.fault(number) {
            Some(problem) => problem,
            None => return Verdict::Fit,
        },
        (Shape::TimeSpan, Value::Text(text)) if text.parse::<TimeSpan>().is_ok() => return Verdict::Fit,
        (Shape::TimeSpan, Value::Text(_)) => "no duration",
        (Shape::Text { least, most }, Value::Text(text)) => match text.chars().count() {
            length if length < *least => "too short",
            length if most.is_some_and(|most| length > most) => "too long",
            _ => return Verdict::Fit,
        },
        (Shape::List { .. }, Value::List(_)) => "too short",
        (_, _) => "",
    };
    let message = match value {
        Value::Null => format!("`{}` has no value", place.name),
        _ if problem.is_empty() => format!("{} does not fit `{}`", shown(value), place.name),
        _ => format!("{} is {problem}", shown(value)),
    };
    let mark = if matches!(value, Value::Map(_) | Value::List(_) | Value::Null) { place.mark } else { *mark };
    faults.push(Fault::new(mark, message).expected(form.expected()).hint(cure(value, &form.shape)));
    Verdict::Unfit
}

fn visit_map(
    fields: &[Field],
    others: Option<&Form>,
    entries: &mut Vec<Entry>,
    place: Place<'_>,
    faults: &mut Vec<Fault>,
) {
    let known = |name: &str| fields.iter().find(|field| field.name == name);
    let present: Vec<String> = entries.iter().map(|entry| entry.key.clone()).collect();
    entries.retain_mut(|entry| {
        if known(&entry.key).is_none() && others.is_none() {
            let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
            faults.push(unknown_field(entry, &names, place));
            let free = names.into_iter().filter(|name| !present.iter().any(|key| key == name));
            match nearest(&entry.key, free) {
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
    for Field { name, form, .. } in fields.iter().filter(|field| field.required) {
        if !entries.iter().any(|entry| entry.key == *name) {
            let fault = Fault::new(place.mark, format!("`{name}` is missing in `{}`", place.name));
            faults.push(fault.expected(format!("`{name}`: {}", form.expected())));
            let (key, node) = (name.clone(), form.placeholder(place.mark));
            entries.push(Entry { key, mark: place.mark, node });
        }
    }
}

/// A choice by name: either the bare name, or a mapping with the name as its only key.
fn visit_choice(
    choices: &[(String, Option<Form>)],
    node: &mut Node,
    place: Place<'_>,
    faults: &mut Vec<Fault>,
) -> Verdict {
    let names: Vec<&str> = choices.iter().map(|(name, _)| name.as_str()).collect();
    let content = |key: &str| choices.iter().find(|(name, _)| name == key).map(|(_, form)| form.as_ref());
    let fault = match &mut node.value {
        Value::Map(entries) => {
            if let [entry] = entries.as_mut_slice() {
                if content(&entry.key).is_none() {
                    faults.push(unknown_field(entry, &names, place));
                    match nearest(&entry.key, names) {
                        Some(meant) => meant.clone_into(&mut entry.key),
                        None => return Verdict::Unfit,
                    }
                }
                let key = &entry.key;
                if let Some(Some(form)) = content(key) {
                    return visit(form, &mut entry.node, Place { name: key, mark: entry.mark }, faults);
                }
                Fault::new(entry.mark, format!("`{key}` holds nothing")).expected(format!("`{key}` alone"))
            } else {
                let mark = entries.get(1).map_or(node.mark, |entry| entry.mark);
                Fault::new(mark, format!("`{}` holds {} entries", place.name, entries.len()))
                    .expected(format!("exactly one of {}", one_of(&names)))
            }
        }
        value => match text_of(value).map(|text| (text, content(text))) {
            Some((_, Some(None))) => return Verdict::Fit,
            Some((text, Some(Some(form)))) => Fault::new(node.mark, format!("`{text}` has no content"))
                .expected(format!("`{text}: {{...}}` with {}", form.expected())),
            unknown => {
                let hint = unknown.and_then(|(text, _)| did_you_mean(text, &names));
                Fault::new(node.mark, format!("unknown {} {}", place.name, shown(value)))
                    .expected(one_of(&names))
                    .hint(hint)
            }
        },
    };
    faults.push(fault);
    Verdict::Unfit
}

fn text_of(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) => Some(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Map(_) => None,
    }
}

fn unknown_field(entry: &Entry, names: &[&str], place: Place<'_>) -> Fault {
    let fault = Fault::new(entry.mark, format!("unknown field `{}` in `{}`", entry.key, place.name));
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
        Value::Text(text) if text.chars().count() > 40 => "this text".to_owned(),
        Value::Text(text) => format!("`{}`", text.escape_debug()),
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "a mapping".to_owned(),
    }
}

/// How to write a value of the wrong kind in the right one.
fn cure(value: &Value, shape: &Shape) -> Option<String> {
    match (value, shape) {
        (Value::Null, _) => Some("give it one, or leave the line out".to_owned()),
        (Value::Number(number), Shape::TimeSpan) => Some(format!("if these are seconds: `{number}s`")),
        (Value::Bool(_) | Value::Number(_), Shape::Text { .. }) => {
            Some(format!("write {} in quotes", shown(value)))
        }
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
