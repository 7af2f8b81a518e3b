//! What keeps the daemon from starting.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What keeps the daemon from starting. Nothing that happens later ends it.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// There is neither a kubeconfig nor a cluster around us.
    #[error(
        "no Kubernetes cluster found: set KUBECONFIG, pass --kubeconfig FILE, or run inside a Pod with a ServiceAccount: {problem}"
    )]
    NoCluster {
        /// What was tried, in words.
        problem: String,
    },
    /// The kubeconfig that was named cannot be used.
    #[error("cannot use the kubeconfig {}: {problem}", file.display())]
    Kubeconfig {
        /// Which.
        file: PathBuf,
        /// Why.
        problem: String,
    },
    /// The context that was named cannot be used.
    #[error(
        "cannot use the kubeconfig's context `{context}`: `kubectl config get-contexts` lists them: {problem}"
    )]
    Context {
        /// Which.
        context: String,
        /// Why.
        problem: String,
    },
    /// The configuration was found, but makes no client.
    #[error("cannot make a Kubernetes client of the configuration found: {problem}")]
    Client {
        /// Why.
        problem: String,
    },
    /// The HTTP endpoints cannot be served.
    #[error("cannot listen on {address}: choose another address with --listen or web.listen")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
}
