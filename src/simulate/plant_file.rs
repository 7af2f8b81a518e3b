//! A plant as a YAML file: one mapping of figures over a preset, with every mistake at once and in its place.
//!
//! ```yaml
//! preset: flink
//! stop_seconds: 22
//! start_seconds: 45s
//! ```

use std::sync::LazyLock;

use serde_json::{Value as Json, json};

use crate::fluid::plant::{FIGURES, PRESETS, Plant, Wrong};
use crate::policy::hints::did_you_mean;
use crate::policy::problem::{Fault, Problem};
use crate::policy::tree::{Entry, Excerpt, Node, Value};

const PRESET: &str = "preset";

/// The plant that a text describes, called `name` in reports.
pub fn read_plant(file: &str, name: &str, text: &str) -> Result<Plant, Vec<Problem>> {
    let excerpts = Excerpt::split(file, text);
    let excerpt = match &excerpts[..] {
        [one] => one,
        [] => {
            return Err(vec![Problem::whole(
                file,
                "an empty file: expected figures such as `preset: flink`",
            )]);
        }
        [_, ..] => return Err(vec![Problem::whole(file, "several documents: expected one plant")]),
    };
    let root = excerpt.parse().map_err(|problem| vec![*problem])?;
    let (plant, faults) = plant(&root, name);
    if faults.is_empty() {
        return Ok(plant);
    }
    Err(faults.iter().map(|fault| excerpt.problem(fault)).collect())
}

fn plant(root: &Node, name: &str) -> (Plant, Vec<Fault>) {
    let otherwise = Plant::preset(PRESETS[0]).unwrap_or_else(|| Plant::of(PRESETS[0], [0.0; 5]));
    let Value::Map(entries) = &root.value else {
        let fault =
            Fault::new(root.mark, "a plant is a mapping").expected("lines such as `stop_seconds: 22`");
        return (otherwise, vec![fault]);
    };
    let mut faults = Vec::new();
    let mut plant = match root.entry(PRESET).map(preset) {
        None => otherwise,
        Some(Ok(plant)) => plant,
        Some(Err(fault)) => {
            faults.push(fault);
            otherwise
        }
    };
    name.clone_into(&mut plant.name);
    for entry in entries.iter().filter(|entry| entry.key != PRESET) {
        faults.extend(assign(&mut plant, entry));
    }
    if faults.is_empty()
        && let Err(error) = plant.check()
    {
        faults.push(Fault::new(root.mark, error.to_string()));
    }
    faults.sort_by_key(|fault| fault.mark);
    (plant, faults)
}

fn preset(entry: &Entry) -> Result<Plant, Fault> {
    let said = text(&entry.node);
    let found = said.as_deref().and_then(Plant::preset);
    found.ok_or_else(|| {
        let said = said.unwrap_or_default();
        let fault = Fault::new(entry.node.mark, format!("there is no preset `{said}`"));
        fault.expected(format!("one of {}", PRESETS.join(", "))).hint(did_you_mean(&said, &PRESETS))
    })
}

fn assign(plant: &mut Plant, entry: &Entry) -> Option<Fault> {
    let said = text(&entry.node).unwrap_or_default();
    let wrong = plant.assign(&entry.key, &said).err()?;
    Some(match wrong {
        Wrong::Name => {
            let names = FIGURES.map(|(name, _)| name);
            let fault = Fault::new(entry.mark, format!("a plant has no figure `{}`", entry.key));
            match did_you_mean(&entry.key, &names) {
                Some(hint) => fault.hint(Some(hint)),
                None => fault.expected(format!("{PRESET} or one of {}", names.join(", "))),
            }
        }
        Wrong::Value(_) | Wrong::Whole(_) => Fault::new(entry.node.mark, wrong.to_string()),
    })
}

fn text(node: &Node) -> Option<String> {
    match &node.value {
        Value::Number(number) => Some(number.to_string()),
        Value::Text(text) => Some(text.clone()),
        Value::Null | Value::Bool(_) | Value::List(_) | Value::Map(_) => None,
    }
}

static SCHEMA: LazyLock<Json> = LazyLock::new(describe);

/// The JSON Schema of a plant file.
pub fn schema() -> &'static Json {
    &SCHEMA
}

fn describe() -> Json {
    let figure = |(name, about): (&str, &str)| {
        let value = if name.ends_with("_seconds") {
            json!({"description": about, "anyOf": [{"type": "number", "minimum": 0}, {"type": "string"}]})
        } else if matches!(name, "partitions" | "min_replicas" | "max_replicas") {
            json!({"description": about, "type": "integer", "minimum": 0})
        } else {
            json!({"description": about, "type": "number", "minimum": 0})
        };
        (name.to_owned(), value)
    };
    let mut properties: serde_json::Map<String, Json> = FIGURES.into_iter().map(figure).collect();
    let about = "The plant that everything not said here is taken from; consumer-eager unless it is named.";
    properties.insert(PRESET.to_owned(), json!({"description": about, "enum": PRESETS}));
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Plant",
        "description": "What `tidegate simulate --plant FILE.yaml` scales.",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        let problems = read_plant("ours.yaml", "ours", text).unwrap_err();
        problems.iter().map(Problem::line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_file_starts_from_a_preset() {
        let read =
            read_plant("f", "ours", "# measured\npreset: flink\nstop_seconds: 22\nstart_seconds: 2m\n")
                .unwrap();
        let flink = Plant::preset("flink").unwrap();
        let expected = Plant { name: "ours".to_owned(), stop_seconds: 22.0, start_seconds: 120.0, ..flink };
        assert_eq!(read, expected);
    }

    #[test]
    fn every_mistake_is_said_at_once_in_its_place() {
        assert_eq!(
            said("preset: flnk\nstop_second: 3\nskew: -1\npartitions: 1.5\n"),
            "ours.yaml:1:9: there is no preset `flnk`; expected one of consumer-eager, consumer-cooperative, \
             flink, flink-in-place, flink-heavy, spark; did you mean `flink`?\n\
             ours.yaml:2:1: a plant has no figure `stop_second`; did you mean `stop_seconds`?\n\
             ours.yaml:3:7: `-1` is no number of at least 0\n\
             ours.yaml:4:13: `1.5` is no whole number of at least 0"
        );
        assert_eq!(
            said("min_replicas: 30\n"),
            "ours.yaml:1:1: plant: min_replicas 30 is above max_replicas 24"
        );
        assert!(said("").contains("an empty file"));
        assert!(said("- 3\n").contains("a plant is a mapping"));
    }

    #[test]
    fn the_schema_knows_every_figure() {
        let schema = schema();
        assert_eq!(schema["properties"].as_object().unwrap().len(), FIGURES.len() + 1);
    }
}
