//! `tidegate`: the daemon and its command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything speaks TLS: there is more than one provider in the dependency tree. It can only
    // fail when one is installed already.
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    tidegate::cli::main()
}
