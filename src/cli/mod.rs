//! The command line: one file per command.

pub mod schema;
pub mod validate;

/// Tidegate: freshness for Kafka consumers, Flink and Spark on Kubernetes, at the least capacity.
#[derive(Debug, clap::Parser)]
#[command(version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Check policies and settings.
    Validate(validate::Args),
    /// Print a JSON Schema.
    Schema(schema::Args),
}

/// Runs a command.
pub fn run(cli: Cli) -> anyhow::Result<std::process::ExitCode> {
    match cli.command {
        Command::Validate(args) => validate::run(args),
        Command::Schema(args) => schema::run(args),
    }
}
