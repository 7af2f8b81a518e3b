//! `tidegate schema`: the documents' JSON Schemas, for editors and other checkers.

use std::io::Write;
use std::process::ExitCode;

use crate::policy::schema;
use crate::simulate::plant_file;

/// Print the JSON Schema of a kind of document.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Args {
    /// Which one.
    #[arg(value_enum)]
    document: Document,
}

/// The kinds of documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Document {
    /// The daemon's settings.
    Settings,
    /// A workload's policy.
    Policy,
    /// A plant of `tidegate simulate`.
    Plant,
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { document } = args;
    std::io::stdout().lock().write_all(text(document).as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// What the command prints.
pub fn text(document: Document) -> String {
    let schema = match document {
        Document::Settings => schema::settings(),
        Document::Policy => schema::policy(),
        Document::Plant => plant_file::schema(),
    };
    format!("{schema:#}\n")
}
