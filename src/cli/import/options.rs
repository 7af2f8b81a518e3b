//! The options of one trigger: taken one by one, so that what is left over can be told.

use std::collections::BTreeMap;

use super::keda::Trigger;
use super::notes::{Notes, Refusal};

/// What is left of a trigger's options.
#[derive(Debug)]
pub(super) struct Options<'a> {
    /// Dotted path of the trigger.
    path: &'a str,
    left: BTreeMap<&'a str, &'a str>,
}

impl<'a> Options<'a> {
    pub(super) fn of(trigger: &'a Trigger, path: &'a str) -> Self {
        let all = trigger.metadata.iter().flatten();
        Self { path, left: all.map(|(name, value)| (name.as_str(), value.0.trim())).collect() }
    }

    /// Dotted path of the trigger.
    pub(super) fn path(&self) -> &'a str {
        self.path
    }

    /// Dotted path of an option.
    pub(super) fn at(&self, name: &str) -> String {
        format!("{}.metadata.{name}", self.path)
    }

    /// An option's value, if it has one.
    pub(super) fn take(&mut self, name: &str) -> Option<&'a str> {
        self.left.remove(name).filter(|value| !value.is_empty())
    }

    /// Whether any of these options has a value. They are all taken.
    pub(super) fn take_any(&mut self, names: &[&str]) -> bool {
        names.iter().filter(|name| self.take(name).is_some()).count() > 0
    }

    /// An option that no trigger of its kind can do without.
    pub(super) fn required(&mut self, name: &str) -> Result<&'a str, Refusal> {
        if let Some(value) = self.optional(name)? {
            return Ok(value);
        }
        let text = format!("no `{name}` here (one in an authenticationRef cannot be read): write it down");
        Err(Refusal::new(format!("{}.metadata", self.path), text))
    }

    /// An option that may also stand in the environment of the target's container.
    pub(super) fn optional(&mut self, name: &str) -> Result<Option<&'a str>, Refusal> {
        let from_env = format!("{name}FromEnv");
        match (self.take(name), self.take(&from_env)) {
            (Some(value), _) => Ok(Some(value)),
            (None, Some(_)) => {
                let text = format!("its value is in a container's environment: write it down as `{name}`");
                Err(Refusal::new(self.at(&from_env), text))
            }
            (None, None) => Ok(None),
        }
    }

    pub(super) fn flag(&mut self, name: &str, default: bool, notes: &mut Notes) -> bool {
        let Some(value) = self.take(name) else { return default };
        truth(value).unwrap_or_else(|| {
            notes.lost(self.at(name), format!("neither true nor false: taken as {default}"));
            default
        })
    }

    /// A number that is not below `least`.
    pub(super) fn number(&mut self, name: &str, least: f64) -> Result<Option<f64>, Refusal> {
        let Some(value) = self.optional(name)? else { return Ok(None) };
        let number = value.parse().ok().filter(|number: &f64| number.is_finite() && *number >= least);
        let text = || format!("expected a number of at least {least}");
        number.map(Some).ok_or_else(|| Refusal::new(self.at(name), text()))
    }

    /// Says what nobody has taken, by name only: the values may be secret.
    pub(super) fn tell_rest(self, notes: &mut Notes) {
        for (name, value) in &self.left {
            if !value.is_empty() {
                notes.lost(self.at(name), "not known here, and left out");
            }
        }
    }
}

/// As Go's `strconv.ParseBool` reads it, and so KEDA.
pub(super) fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}
