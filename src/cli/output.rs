//! How answers get out: on a terminal, in a file, in a pull request.

use std::io::{self, Write};

use super::table;
use crate::record::report::WorkloadList;

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people
    Table,
    /// The documented contract (docs/api.md)
    Json,
    /// The same as YAML
    Yaml,
    /// For pull requests and tickets
    Markdown,
}

/// Whether colour is welcome: not where `NO_COLOR` is set to anything (no-color.org). Whether there is a
/// terminal to show it is another question.
pub(super) fn colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Writes to standard output. A reader that has gone away is no error.
pub(super) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Writes one line to standard error.
pub(super) fn say(line: &str) {
    // There is nowhere left to complain to.
    writeln!(io::stderr().lock(), "{line}").ok();
}

/// Writes an error and its causes to standard error, each said once.
pub(super) fn complain(error: &anyhow::Error) {
    say(&chain(error));
}

fn chain(error: &anyhow::Error) -> String {
    let mut text = format!("error: {error}");
    for cause in error.chain().skip(1) {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str("\n  caused by: ");
            text.push_str(&words);
        }
    }
    text
}

/// The workloads in the format asked for.
pub(super) fn render(list: &WorkloadList, format: Format) -> anyhow::Result<String> {
    Ok(match format {
        Format::Table => table::terminal(list, table::Look::of_this_terminal()),
        Format::Json => serde_json::to_string_pretty(list)? + "\n",
        Format::Yaml => serde_saphyr::to_string(list)?,
        Format::Markdown => table::markdown(list),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::samples;

    #[test]
    fn every_format_of_the_contract_reads_back() {
        let list: WorkloadList = [&samples::turn("orders")].into_iter().collect();
        let json = render(&list, Format::Json).unwrap();
        assert_eq!(serde_json::from_str::<WorkloadList>(&json).unwrap(), list);
        let yaml = render(&list, Format::Yaml).unwrap();
        assert_eq!(serde_saphyr::from_str::<WorkloadList>(&yaml).unwrap(), list);
    }

    #[test]
    fn an_error_says_each_cause_once() {
        let error = anyhow::anyhow!("no route").context("cannot read it: no route").context("outermost");
        assert_eq!(chain(&error), "error: outermost\n  caused by: cannot read it: no route");
    }
}
