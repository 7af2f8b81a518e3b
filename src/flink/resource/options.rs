//! Flink's options as objects of the operator state them: flat, as a tree, or half of each.

use std::collections::BTreeMap;

use kube::api::DynamicObject;
use serde_json::Value;

/// Parallelism by vertex, which a deployed job starts with.
pub(crate) const OVERRIDES: &str = "pipeline.jobvertex-parallelism-overrides";
/// What the autoscaler's options may begin with, the newer first.
const AUTOSCALER: [&str; 2] = ["job.autoscaler.", "kubernetes.operator.job.autoscaler."];

/// Parallelism by vertex id.
pub(crate) type Overrides = BTreeMap<String, u32>;

/// The key by which a configuration switches the autoscaler on and lets it act. Of the two spellings of an option the
/// newer one counts where both are there, as Flink's fallback keys have it.
pub(crate) fn autoscaler<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Option<String> {
    let says = |option: &str| {
        let mut keys = AUTOSCALER.iter().map(|prefix| format!("{prefix}{option}"));
        keys.find_map(|key| Some((get(&key)?.trim().to_ascii_lowercase(), key)))
    };
    let (word, key) = says("enabled")?;
    let advises = says("scaling.enabled").is_some_and(|(word, _)| word == "false");
    (word == "true" && !advises).then_some(key)
}

/// Options by their dotted keys.
#[derive(Debug, Default)]
pub(super) struct Options(BTreeMap<String, String>);

impl Options {
    /// Those of several objects, the later before the earlier.
    pub(super) fn of(layers: &[&DynamicObject]) -> Self {
        let mut all = BTreeMap::new();
        for layer in layers {
            if let Some(options) = layer.data.pointer("/spec/flinkConfiguration") {
                flatten("", options, &mut all);
            }
        }
        Self(all)
    }

    pub(super) fn get(&self, key: &str) -> Option<String> {
        self.0.get(key).cloned()
    }

    /// Whether an option says so.
    pub(super) fn says(&self, key: &str, word: &str) -> bool {
        self.0.get(key).is_some_and(|value| value.trim().eq_ignore_ascii_case(word))
    }

    /// The key by which the operator's autoscaler is on and lets itself act.
    pub(super) fn autoscaler(&self) -> Option<String> {
        autoscaler(|key| self.0.get(key).map(String::as_str))
    }

    /// Whether it is switched off here, whatever the operator's defaults are: those may state the newer keys, which go
    /// before the older ones.
    pub(super) fn autoscaler_is_off(&self) -> bool {
        let [newer, _] = AUTOSCALER;
        ["enabled", "scaling.enabled"].iter().any(|option| self.says(&format!("{newer}{option}"), "false"))
    }

    /// The keys that switch it on or off.
    pub(super) fn autoscaler_keys(&self) -> impl Iterator<Item = String> {
        let keys = AUTOSCALER.iter().map(|prefix| format!("{prefix}enabled"));
        keys.filter(|key| self.0.contains_key(key))
    }

    /// What is said of parallelism by vertex.
    pub(super) fn overrides(&self) -> Overrides {
        self.0.get(OVERRIDES).map(|text| read(text)).unwrap_or_default()
    }

    /// The overrides' key, where an object states it in any other way than as one flat key: a flat one beside it
    /// would be a second opinion.
    pub(super) fn nested(object: &DynamicObject) -> Option<&'static str> {
        let options = object.data.pointer("/spec/flinkConfiguration")?;
        let flat = options.get(OVERRIDES).is_some_and(Value::is_string);
        let mut all = BTreeMap::new();
        flatten("", options, &mut all);
        let said = all.keys().any(|key| key.starts_with(OVERRIDES));
        (said && !flat).then_some(OVERRIDES)
    }
}

fn flatten(prefix: &str, value: &Value, all: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(below) => {
            for (name, value) in below {
                let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                flatten(&key, value, all);
            }
        }
        Value::Null => {}
        Value::String(text) => drop(all.insert(prefix.to_owned(), text.clone())),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
            drop(all.insert(prefix.to_owned(), value.to_string()));
        }
    }
}

/// `id:4,id:2` as Flink reads a map.
fn read(text: &str) -> Overrides {
    let entries = text.split(',').filter_map(|entry| entry.rsplit_once(':'));
    entries
        .filter_map(|(id, count)| Some((id.trim().trim_matches('\'').to_owned(), count.trim().parse().ok()?)))
        .collect()
}

/// As Flink reads it.
pub(crate) fn spelt(overrides: &Overrides) -> String {
    let entries: Vec<String> = overrides.iter().map(|(id, count)| format!("{id}:{count}")).collect();
    entries.join(",")
}

/// The overrides in a spec that the operator keeps as a text in its status.
pub(super) fn reconciled(text: &str) -> Overrides {
    let Ok(last) = serde_json::from_str::<Value>(text) else { return Overrides::default() };
    let options = last.pointer("/spec/flinkConfiguration").or_else(|| last.get("flinkConfiguration"));
    let mut all = BTreeMap::new();
    if let Some(options) = options {
        flatten("", options, &mut all);
    }
    Options(all).overrides()
}
