//! What keeps the daemon from starting.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use kube::config::{InferConfigError, KubeconfigError};

/// What keeps the daemon from starting. Nothing that happens later ends it.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// There is neither a kubeconfig nor a cluster around us.
    #[error(
        "no Kubernetes cluster found: set KUBECONFIG, pass --kubeconfig FILE, or run inside a Pod with a ServiceAccount"
    )]
    NoCluster {
        /// What was tried.
        #[source]
        source: Box<InferConfigError>,
    },
    /// The kubeconfig that was named cannot be used.
    #[error("cannot use the kubeconfig {}", file.display())]
    Kubeconfig {
        /// Which.
        file: PathBuf,
        /// Why.
        #[source]
        source: Box<KubeconfigError>,
    },
    /// The context that was named cannot be used.
    #[error("cannot use the kubeconfig's context `{context}`: `kubectl config get-contexts` lists them")]
    Context {
        /// Which.
        context: String,
        /// Why.
        #[source]
        source: Box<KubeconfigError>,
    },
    /// The configuration was found, but makes no client.
    #[error("cannot make a Kubernetes client of the configuration found")]
    Client {
        /// Why.
        #[source]
        source: Box<kube::Error>,
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
