//! The command line: one file per command.

pub mod demo;
pub mod explain;
mod output;
pub mod recommend;
pub mod replay;
pub mod run;
pub mod schema;
mod setup;
pub mod simulate;
mod table;
pub mod validate;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Keeps Kafka consumers on Kubernetes inside a freshness objective, without thrashing, and says why.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, propagate_version = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// What is logged to standard error: error, warn, info, debug, trace, or a filter such as
    /// info,kube=debug
    #[arg(long, global = true, env = "TIDEGATE_LOG", value_name = "LEVEL")]
    log_level: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon
    Run(run::Args),
    Demo(demo::Args),
    /// Look at the real cluster once and say what should change; writes nothing
    Recommend(recommend::Args),
    /// Say why a workload has the size it has, and what would change it
    Explain(explain::Args),
    Replay(replay::Args),
    Simulate(simulate::Args),
    Validate(validate::Args),
    Schema(schema::Args),
}

/// Parses the arguments, runs the command, and turns what went wrong into one message.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match dispatch(cli) {
        Ok(code) => code,
        Err(error) => {
            output::complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    let level = cli.log_level.as_deref();
    match cli.command {
        Command::Run(args) => run::run(args, level),
        Command::Demo(args) => demo::run(args),
        Command::Recommend(args) => quietly(level).and_then(|()| recommend::run(args)),
        Command::Explain(args) => quietly(level).and_then(|()| explain::run(args)),
        Command::Replay(args) => replay::run(args),
        Command::Simulate(args) => simulate::run(args),
        Command::Validate(args) => validate::run(args),
        Command::Schema(args) => schema::run(args),
    }
}

/// Commands for people say what went wrong in their answer; their log only speaks when asked to.
fn quietly(level: Option<&str>) -> anyhow::Result<()> {
    crate::daemon::logging::start(level.unwrap_or("off"), true)?;
    Ok(())
}
