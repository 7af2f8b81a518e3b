//! The binary: parse, dispatch, exit code.

use clap::Parser;
use tidegate::cli::{Cli, run};

fn main() -> anyhow::Result<std::process::ExitCode> {
    run(Cli::parse())
}
