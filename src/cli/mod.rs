//! The command line: one file per command.

pub mod backtest;
pub mod demo;
pub mod explain;
pub mod import;
mod output;
pub mod recommend;
pub mod replay;
pub mod run;
pub mod schema;
pub mod scorecard;
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
    Import(import::Args),
    Backtest(backtest::Args),
    Replay(replay::Args),
    Simulate(simulate::Args),
    Scorecard(scorecard::Args),
    Validate(validate::Args),
    Schema(schema::Args),
}

/// Parses the arguments, runs the command, and turns what went wrong into one message.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    match dispatch(cli) {
        Ok(code) => code,
        Err(error) => {
            output::complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// Prints help, the version, or what is wrong with the arguments. That fails with 1 and not with clap's 2,
/// which is an answer of some commands.
fn refuse(error: &clap::Error) -> ExitCode {
    // There is nowhere left to complain to.
    error.print().ok();
    if error.exit_code() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    let level = cli.log_level.as_deref();
    match cli.command {
        Command::Run(args) => run::run(args, level),
        Command::Demo(args) => demo::run(args),
        Command::Recommend(args) => quietly(level).and_then(|()| recommend::run(args)),
        Command::Explain(args) => quietly(level).and_then(|()| explain::run(args)),
        Command::Import(args) => quietly(level).and_then(|()| import::run(args)),
        Command::Replay(args) => replay::run(args),
        Command::Backtest(args) => quietly(level).and_then(|()| backtest::run(args)),
        Command::Simulate(args) => simulate::run(args),
        Command::Scorecard(args) => scorecard::run(args),
        Command::Validate(args) => validate::run(args),
        Command::Schema(args) => schema::run(args),
    }
}

/// Commands for people say what went wrong in their answer; their log only speaks when asked to.
fn quietly(level: Option<&str>) -> anyhow::Result<()> {
    crate::daemon::logging::start(level.unwrap_or("off"), true)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(arguments: &[&str]) -> ExitCode {
        refuse(&Cli::try_parse_from(arguments).unwrap_err())
    }

    #[test]
    fn wrong_usage_is_no_answer_and_help_no_failure() {
        assert_eq!(code(&["tidegate", "recommend", "--exit-cod"]), ExitCode::FAILURE);
        assert_eq!(code(&["tidegate"]), ExitCode::FAILURE);
        assert_eq!(code(&["tidegate", "recommend", "--help"]), ExitCode::SUCCESS);
        assert_eq!(code(&["tidegate", "--version"]), ExitCode::SUCCESS);
    }
}
