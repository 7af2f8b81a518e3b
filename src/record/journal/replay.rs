//! A journal, evaluated again: the decisions must be the same, bit for bit.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::Line;
use crate::engine::{Decision, Memory, evaluate};
use crate::policy::{Rules, WorkloadId};

/// Broken lines to name; all are counted.
const NAMED: usize = 10;

/// A journal being read, line by line.
#[derive(Debug, Default)]
pub struct Replay {
    memories: BTreeMap<WorkloadId, (Rules, Memory)>,
    summary: Summary,
}

/// What came out.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Turns that were evaluated again.
    pub turns: u64,
    /// Of these, turns that were decided as recorded.
    pub agreed: u64,
    /// Of these, turns that were not.
    pub differing: u64,
    /// Turns that could not be evaluated: their start line is not in this file, or a line before them
    /// is broken.
    pub skipped: u64,
    /// Lines that could not be read.
    pub broken: u64,
    /// Of these, the first.
    pub broken_lines: Vec<BrokenLine>,
    /// By workload.
    pub workloads: Vec<WorkloadSummary>,
}

/// A line that could not be read.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BrokenLine {
    /// Its number, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub problem: String,
}

/// One workload's turns.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadSummary {
    /// Whose.
    #[serde(flatten)]
    pub id: WorkloadId,
    /// Turns that were evaluated again.
    pub turns: u64,
    /// Of these, turns that were not decided as recorded.
    pub differing: u64,
    /// Where it differed first; what follows may be a consequence.
    pub first: Option<Difference>,
}

/// One figure that came out differently.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// The line's number, from 1.
    pub line: u64,
    /// The turn's time.
    pub at: Timestamp,
    /// The field: `trail[2].to`.
    pub field: String,
    /// As recorded.
    pub recorded: Value,
    /// As decided now.
    pub now: Value,
}

impl Replay {
    /// Takes the next line.
    pub fn line(&mut self, number: u64, text: &str) {
        if text.trim_ascii().is_empty() {
            return;
        }
        match serde_json::from_str(text) {
            // serde_json counts lines within the text it is given: here, always one.
            Err(error) => self.broken(number, error.to_string().replace(" at line 1 column", ", column")),
            Ok(Line::Start { workload, rules, memory, .. }) => {
                self.memories.insert(workload.into_owned(), (rules.into_owned(), memory.into_owned()));
            }
            Ok(Line::Turn { workload, at, observation, decision, .. }) => {
                let Some((rules, memory)) = self.memories.get_mut(&*workload) else {
                    self.summary.skipped += 1;
                    return;
                };
                let (after, now) = evaluate(rules, std::mem::take(memory), &observation, at);
                *memory = after;
                let difference = difference(number, at, &decision, &now);
                self.count(workload.into_owned(), difference);
            }
        }
    }

    /// Notes a line that cannot be read. It may have been anybody's turn: from here on no memory is
    /// known, until the next start line.
    pub fn broken(&mut self, number: u64, problem: String) {
        self.memories.clear();
        self.summary.broken += 1;
        if self.summary.broken_lines.len() < NAMED {
            self.summary.broken_lines.push(BrokenLine { line: number, problem });
        }
    }

    /// What came out.
    pub fn finish(self) -> Summary {
        self.summary
    }

    fn count(&mut self, id: WorkloadId, difference: Option<Difference>) {
        let summary = &mut self.summary;
        let place = summary.workloads.binary_search_by(|known| known.id.cmp(&id)).unwrap_or_else(|place| {
            summary.workloads.insert(place, WorkloadSummary { id, turns: 0, differing: 0, first: None });
            place
        });
        let Some(workload) = summary.workloads.get_mut(place) else { return };
        summary.turns += 1;
        workload.turns += 1;
        if difference.is_none() {
            summary.agreed += 1;
            return;
        }
        summary.differing += 1;
        workload.differing += 1;
        workload.first = workload.first.take().or(difference);
    }
}

/// The first field in which two decisions differ, as JSON spells them: -0 is not 0, and the shortest
/// spelling of a float tells it from every other.
fn difference(line: u64, at: Timestamp, recorded: &Decision, now: &Decision) -> Option<Difference> {
    let [recorded, now] = [recorded, now].map(|decision| serde_json::to_value(decision).unwrap_or_default());
    let (field, recorded, now) = first_difference(String::new(), &recorded, &now)?;
    Some(Difference { line, at, field, recorded, now })
}

fn spelling(value: &Value) -> String {
    value.to_string()
}

fn first_difference(path: String, one: &Value, other: &Value) -> Option<(String, Value, Value)> {
    let absent = Value::Null;
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let keys = one.keys().chain(other.keys().filter(|key| !one.contains_key(*key)));
            keys.into_iter().find_map(|key| {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                first_difference(path, one.get(key).unwrap_or(&absent), other.get(key).unwrap_or(&absent))
            })
        }
        (Value::Array(one), Value::Array(other)) => (0..one.len().max(other.len())).find_map(|place| {
            let entries = [one, other].map(|list| list.get(place).unwrap_or(&absent));
            first_difference(format!("{path}[{place}]"), entries[0], entries[1])
        }),
        _ if spelling(one) == spelling(other) => None,
        _ => Some((path, one.clone(), other.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_first_difference_is_named_by_its_path() {
        let one = json!({"a": 1, "trail": [{"to": 3}, {"to": 4}], "x": 0.5});
        let other = json!({"a": 1, "trail": [{"to": 3}], "x": 0.25});
        assert_eq!(
            first_difference(String::new(), &one, &other),
            Some(("trail[1]".into(), json!({"to": 4}), json!(null)))
        );
        assert_eq!(first_difference(String::new(), &one, &one), None);
        let signed = first_difference(String::new(), &json!({"x": 0.0}), &json!({"x": -0.0}));
        assert_eq!(signed.unwrap().0, "x");
    }
}
