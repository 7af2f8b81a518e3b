//! Logs on standard error: JSON for machines, text for a terminal, the level changeable at run time.

use std::fmt;
use std::sync::Arc;

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt as format, reload};

/// Libraries whose lines would repeat, less clearly, what we say ourselves.
const QUIET: &str = "warn,kube_client=off,kube_runtime=off,rdkafka=error,librdkafka=error";

/// A level is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{given}` is not a log level: expected error, warn, info, debug, trace, or a filter such as info,kube=debug"
)]
pub struct BadLevel {
    given: String,
}

/// Changes the level while the program runs.
#[derive(Clone)]
pub struct Level(Arc<Switch>);

type Switch = dyn Fn(&str) -> Result<(), BadLevel> + Send + Sync;

impl Level {
    /// Sets the level: one word, or a filter such as `info,kube=debug`.
    pub fn set(&self, level: &str) -> Result<(), BadLevel> {
        (self.0)(level)
    }
}

impl fmt::Debug for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Level")
    }
}

/// Starts logging, once per process.
pub fn start(level: &str, terminal: bool) -> Result<Level, BadLevel> {
    let (filter, handle) = reload::Layer::new(filter(level)?);
    let lines = format::layer().with_writer(std::io::stderr);
    let lines = if terminal {
        lines.with_target(false).boxed()
    } else {
        // `target` is the workload's target in our lines, not the module that speaks.
        lines
            .json()
            .with_target(false)
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .boxed()
    };
    // A second start, as in tests, keeps the first one's lines.
    if tracing_subscriber::registry().with(filter).with(lines).try_init().is_err() {
        tracing::debug!("logging was started before");
    }
    Ok(Level(Arc::new(move |level| {
        let next = self::filter(level)?;
        handle.reload(next).map_err(|_| BadLevel { given: level.to_owned() })
    })))
}

/// One word is our own level; everything else stays quiet. A filter is taken as it is.
fn filter(level: &str) -> Result<EnvFilter, BadLevel> {
    let bad = || BadLevel { given: level.to_owned() };
    let directives = if level.contains([',', '=']) {
        level.to_owned()
    } else {
        let word = level.to_ascii_lowercase();
        if !["off", "error", "warn", "info", "debug", "trace"].contains(&word.as_str()) {
            return Err(bad());
        }
        if word == "off" { word } else { format!("{QUIET},tidegate={word}") }
    };
    EnvFilter::builder().parse(directives).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_word_is_our_own_level() {
        let filter = filter("DEBUG").unwrap().to_string();
        assert!(filter.contains("tidegate=debug") && filter.contains("kube_client=off"), "{filter}");
        assert_eq!(super::filter("info,kube=debug").unwrap().to_string(), "kube=debug,info");
    }

    #[test]
    fn another_word_is_refused_by_name() {
        let problem = filter("loud").unwrap_err().to_string();
        assert!(problem.starts_with("`loud` is not a log level"), "{problem}");
        assert!(filter("info,=").is_err());
    }
}
