//! A document's nodes against its JSON Schema: every fault in one pass, which serde cannot do.
//!
//! What is found is also mended where that is possible (a misspelt field renamed, an optional one with
//! an impossible value left out), so that the checks of the meaning can go on with the rest.

use serde_json::Value as Json;

use super::hints::{did_you_mean, familiar, nearest, one_of};
use super::problem::{Fault, Mark};
use super::tree::{Entry, Node, Value};
use super::units::TimeSpan;

/// Compares `root` with `schema`, which is one of [`super::schema`]'s, and mends it.
pub(crate) fn check(schema: &Json, root: &mut Node) -> Vec<Fault> {
    let mut shape = Shape { root: schema, faults: Vec::new() };
    shape.visit(&[schema], root, root.mark, "the document");
    shape.faults
}

struct Shape<'a> {
    root: &'a Json,
    faults: Vec<Fault>,
}

impl<'a> Shape<'a> {
    /// Checks one node. `schemas` all apply; `place` is where to point when the node as a whole is at
    /// fault, `name` what to call it. Tells whether the node may stay.
    fn visit(&mut self, schemas: &[&'a Json], node: &mut Node, place: Mark, name: &str) -> bool {
        let schemas = self.resolve(schemas);
        let expected = expected(&schemas);
        let kinds: Vec<&str> = schemas.iter().flat_map(|schema| kinds(schema)).collect();
        let fits = |kind: &str| kinds.contains(&kind);
        if let Some(variants) = self.variants(&schemas).filter(|_| node.value != Value::Null || !fits("null"))
        {
            return self.visit_variant(&variants, node, name);
        }
        let shown = shown(&node.value);
        match &mut node.value {
            Value::Null if fits("null") => true,
            Value::Map(entries) if fits("object") => self.visit_map(&schemas, entries, place, name),
            Value::List(items) if fits("array") => self.visit_list(&schemas, items, place, name),
            Value::Bool(_) if fits("boolean") => true,
            Value::Number(number) if fits("number") => {
                let problem = out_of_range(&schemas, number.as_f64());
                self.report(problem, node.mark, &shown, &expected)
            }
            Value::Number(number) if fits("integer") => {
                let whole = number.is_i64() || number.is_u64();
                let problem = if whole { out_of_range(&schemas, number.as_f64()) } else { Some("not whole") };
                self.report(problem, node.mark, &shown, &expected)
            }
            Value::Text(text) if fits("string") => {
                let problem = misspelt(&schemas, text);
                self.report(problem, node.mark, &shown, &expected)
            }
            Value::Null => {
                let fault = Fault::new(place, format!("`{name}` has no value"));
                self.faults.push(fault.expected(expected).hint(Some("leave it out, or give it one".into())));
                false
            }
            value => {
                let hint = cure(value, &schemas);
                let mark = if matches!(value, Value::Map(_) | Value::List(_)) { place } else { node.mark };
                self.faults.push(
                    Fault::new(mark, format!("{shown} does not fit `{name}`")).expected(expected).hint(hint),
                );
                false
            }
        }
    }

    fn report(&mut self, problem: Option<&str>, mark: Mark, shown: &str, expected: &str) -> bool {
        if let Some(problem) = problem {
            self.faults.push(Fault::new(mark, format!("{shown} is {problem}")).expected(expected));
        }
        problem.is_none()
    }

    fn visit_map(&mut self, schemas: &[&'a Json], entries: &mut Vec<Entry>, place: Mark, name: &str) -> bool {
        let fields: Vec<(&str, &Json)> = schemas
            .iter()
            .filter_map(|schema| schema.get("properties")?.as_object())
            .flat_map(|fields| fields.iter().map(|(key, schema)| (key.as_str(), schema)))
            .collect();
        let names: Vec<&str> = fields.iter().map(|(key, _)| *key).collect();
        let others =
            schemas.iter().find_map(|schema| schema.get("additionalProperties")).filter(|s| s.is_object());
        let required: Vec<&str> = schemas.iter().flat_map(|schema| strings(schema.get("required"))).collect();

        let mut kept = Vec::with_capacity(entries.len());
        let present: Vec<String> = entries.iter().map(|entry| entry.key.clone()).collect();
        for mut entry in entries.drain(..) {
            let mut schema =
                fields.iter().find(|(key, _)| *key == entry.key).map(|(_, schema)| *schema).or(others);
            if schema.is_none() {
                self.faults.push(unknown_field(&entry, &names, name));
                let free = names.iter().copied().filter(|name| !present.iter().any(|key| key == name));
                if let Some(meant) = nearest(&entry.key, free) {
                    meant.clone_into(&mut entry.key);
                    schema = fields.iter().find(|(key, _)| *key == meant).map(|(_, schema)| *schema);
                }
            }
            let Some(schema) = schema else { continue };
            let key = entry.key.clone();
            if self.visit(&[schema], &mut entry.node, entry.mark, &key) || required.contains(&key.as_str()) {
                kept.push(entry);
            }
        }
        for key in required {
            if !kept.iter().any(|entry| entry.key == key) {
                let schema = fields.iter().find(|(name, _)| *name == key).map(|(_, schema)| *schema);
                let fault = Fault::new(place, format!("`{key}` is missing in `{name}`"));
                self.faults
                    .push(fault.expected(schema.map_or_else(String::new, |schema| self.wanted(key, schema))));
            }
        }
        *entries = kept;
        true
    }

    fn visit_list(&mut self, schemas: &[&'a Json], items: &mut Vec<Node>, place: Mark, name: &str) -> bool {
        if items.is_empty()
            && schemas.iter().any(|schema| number(schema, "minItems").is_some_and(|min| min > 0.0))
        {
            self.faults.push(Fault::new(place, format!("`{name}` is empty")).expected("at least one item"));
            return false;
        }
        let schema: Vec<&Json> = schemas.iter().filter_map(|schema| schema.get("items")).collect();
        items.retain_mut(|item| {
            let mark = item.mark;
            self.visit(&schema, item, mark, name)
        });
        true
    }

    /// A choice by name: either a bare name, or a mapping with the name as its only key.
    fn visit_variant(
        &mut self,
        variants: &[(&'a str, Option<&'a Json>)],
        node: &mut Node,
        name: &str,
    ) -> bool {
        let names: Vec<&str> = variants.iter().map(|(name, _)| *name).collect();
        let content = |key: &str| variants.iter().find(|(name, _)| *name == key).map(|(_, content)| *content);
        let shown = shown(&node.value);
        let fault = match &mut node.value {
            Value::Text(text) => match content(text) {
                Some(None) => return true,
                Some(Some(_)) => {
                    Fault::new(node.mark, format!("`{text}` needs a mapping: `{text}: {{...}}`"))
                }
                None => {
                    Fault::new(node.mark, format!("unknown {name} `{text}`")).hint(did_you_mean(text, &names))
                }
            },
            Value::Map(entries) => {
                let [entry] = entries.as_mut_slice() else {
                    let mark = entries.get(1).map_or(node.mark, |entry| entry.mark);
                    let message = format!("`{name}` holds {} entries", entries.len());
                    self.faults.push(
                        Fault::new(mark, message).expected(format!("exactly one of {}", one_of(&names))),
                    );
                    return false;
                };
                let key = nearest(&entry.key, names.iter().copied()).unwrap_or(&entry.key).to_owned();
                if content(&entry.key).is_none() {
                    self.faults.push(unknown_field(entry, &names, name));
                }
                let Some(Some(schema)) = content(&key) else { return false };
                entry.key.clone_from(&key);
                return self.visit(&[schema], &mut entry.node, entry.mark, &key);
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::List(_) => {
                Fault::new(node.mark, format!("{shown} does not fit `{name}`"))
            }
        };
        self.faults.push(fault.expected(one_of(&names)));
        false
    }

    /// The schemas with references followed, and without the null that an optional one allows.
    fn resolve(&self, schemas: &[&'a Json]) -> Vec<&'a Json> {
        let mut all: Vec<&Json> = Vec::new();
        let mut queue = schemas.to_vec();
        while let Some(schema) = queue.pop() {
            let target = schema.get("$ref").and_then(Json::as_str).and_then(|path| path.strip_prefix('#'));
            queue.extend(target.and_then(|path| self.root.pointer(path)));
            queue.extend(schema.get("anyOf").and_then(Json::as_array).into_iter().flatten());
            all.push(schema);
        }
        all
    }

    /// The names that a choice offers, each with the schema of its content, if it has any.
    fn variants(&self, schemas: &[&'a Json]) -> Option<Vec<(&'a str, Option<&'a Json>)>> {
        if schemas.iter().any(|schema| schema.get("properties").is_some()) {
            return None;
        }
        let choices = schemas.iter().find_map(|schema| schema.get("oneOf")?.as_array())?;
        let mut variants = Vec::new();
        for choice in choices {
            variants.extend(choice.get("const").and_then(Json::as_str).map(|name| (name, None)));
            variants.extend(strings(choice.get("enum")).map(|name| (name, None)));
            let fields = choice.get("properties").and_then(Json::as_object);
            variants.extend(fields.into_iter().flatten().map(|(name, schema)| (name.as_str(), Some(schema))));
        }
        Some(variants)
    }

    /// What a missing field should hold.
    fn wanted(&self, key: &str, schema: &'a Json) -> String {
        let schemas = self.resolve(&[schema]);
        let what = match self.variants(&schemas) {
            Some(variants) => one_of(&variants.iter().map(|(name, _)| *name).collect::<Vec<_>>()),
            None => expected(&schemas),
        };
        format!("`{key}`: {what}")
    }
}

fn unknown_field(entry: &Entry, names: &[&str], holder: &str) -> Fault {
    let fault = Fault::new(entry.mark, format!("unknown field `{}` in `{holder}`", entry.key));
    let hint = familiar(&entry.key).map(str::to_owned).or_else(|| did_you_mean(&entry.key, names));
    if hint.is_some() { fault.hint(hint) } else { fault.expected(one_of(names)) }
}

fn strings(list: Option<&Json>) -> impl Iterator<Item = &str> {
    list.and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str)
}

/// A schema's `type`, which is one name or several.
fn kinds(schema: &Json) -> impl Iterator<Item = &str> {
    let kind = schema.get("type");
    kind.and_then(Json::as_str).into_iter().chain(strings(kind))
}

fn number(schema: &Json, key: &str) -> Option<f64> {
    schema.get(key).and_then(Json::as_f64)
}

fn has_format(schemas: &[&Json], format: &str) -> bool {
    schemas.iter().any(|schema| schema.get("format").and_then(Json::as_str) == Some(format))
}

/// The tightest bounds that the schemas state.
fn bounds(schemas: &[&Json]) -> (Option<f64>, Option<f64>) {
    let all = |key| schemas.iter().filter_map(move |schema| number(schema, key));
    let implied = has_format(schemas, "uint32").then_some(f64::from(u32::MAX));
    (all("minimum").reduce(f64::max), all("maximum").chain(implied).reduce(f64::min))
}

fn out_of_range(schemas: &[&Json], value: Option<f64>) -> Option<&'static str> {
    let (least, most) = bounds(schemas);
    let above = schemas.iter().find_map(|schema| number(schema, "exclusiveMinimum"));
    let value = value?;
    if least.is_some_and(|least| value < least) || above.is_some_and(|above| value <= above) {
        Some("too small")
    } else {
        most.filter(|most| value > *most).map(|_| "too large")
    }
}

fn misspelt(schemas: &[&Json], text: &str) -> Option<&'static str> {
    let length = text.chars().count();
    let limit = |key| schemas.iter().find_map(move |schema| schema.get(key)?.as_u64()?.try_into().ok());
    if has_format(schemas, TimeSpan::FORMAT) && text.parse::<TimeSpan>().is_err() {
        Some("not a duration")
    } else if limit("minLength").is_some_and(|least: usize| length < least) {
        Some("too short")
    } else {
        limit("maxLength").filter(|most: &usize| length > *most).map(|_| "too long")
    }
}

/// What a schema asks for, in words.
fn expected(schemas: &[&Json]) -> String {
    let kinds: Vec<&str> =
        schemas.iter().flat_map(|schema| kinds(schema)).filter(|kind| *kind != "null").collect();
    let range = || {
        let most = schemas.iter().find_map(|schema| number(schema, "maximum"));
        match (bounds(schemas).0, most) {
            (Some(least), Some(most)) => format!(" from {least} to {most}"),
            (Some(least), None) => format!(" of at least {least}"),
            (None, Some(most)) => format!(" of at most {most}"),
            (None, None) => schemas
                .iter()
                .find_map(|schema| number(schema, "exclusiveMinimum"))
                .map_or_else(String::new, |above| format!(" above {above}")),
        }
    };
    match kinds.first() {
        Some(&"integer") => format!("a whole number{}", range()),
        Some(&"number") => format!("a number{}", range()),
        Some(&"boolean") => "`true` or `false`".to_owned(),
        Some(&"array") => "a list".to_owned(),
        Some(&"object") => "a mapping".to_owned(),
        Some(&"string") if has_format(schemas, TimeSpan::FORMAT) => {
            "a duration such as 45s, 5m or 1h30m".to_owned()
        }
        Some(&"string") => match schemas.iter().find_map(|schema| number(schema, "maxLength")) {
            Some(most) => format!("a text of at most {most} characters"),
            None => "a text".to_owned(),
        },
        _ => "something else".to_owned(),
    }
}

/// A value as a message shows it.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "an empty value".to_owned(),
        Value::Bool(value) => format!("`{value}`"),
        Value::Number(value) => format!("`{value}`"),
        Value::Text(text) if text.chars().count() > 40 => "the text".to_owned(),
        Value::Text(text) => format!("`{}`", text.escape_debug()),
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "a mapping".to_owned(),
    }
}

/// How to write a value of the wrong kind in the right one.
fn cure(value: &Value, schemas: &[&Json]) -> Option<String> {
    let fits = |kind: &str| schemas.iter().any(|schema| kinds(schema).any(|k| k == kind));
    match value {
        Value::Number(number) if has_format(schemas, TimeSpan::FORMAT) => {
            Some(format!("if these are seconds, write `{number}s`"))
        }
        Value::Bool(_) | Value::Number(_) if fits("string") => {
            Some(format!("write {} in quotes", shown(value)))
        }
        Value::Text(text) if fits("boolean") => match text.to_lowercase().as_str() {
            "yes" | "on" | "y" | "true" => Some("write `true`".to_owned()),
            "no" | "off" | "n" | "false" => Some("write `false`".to_owned()),
            _ => None,
        },
        Value::Text(text) if (fits("integer") || fits("number")) && text.parse::<f64>().is_ok() => {
            Some("leave out the quotes".to_owned())
        }
        Value::Text(text) if fits("array") => Some(format!("write `[{text}]`")),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) | Value::Map(_) => {
            None
        }
    }
}
