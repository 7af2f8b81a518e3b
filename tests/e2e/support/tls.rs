//! A certificate authority and what it signs, by openssl.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::process::Program;

/// A certificate authority in a folder.
#[derive(Debug, Clone)]
pub(crate) struct Authority {
    dir: PathBuf,
}

const NEW_KEY: [&str; 7] = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

impl Authority {
    /// A new one.
    pub(crate) async fn create(dir: impl Into<PathBuf>) -> Result<Self> {
        let authority = Self { dir: dir.into() };
        fs::create_dir_all(&authority.dir)?;
        authority
            .openssl(&["-days", "30", "-subj", "/CN=tidegate-e2e", "-keyout", "ca.key", "-out", "ca.pem"])
            .await?;
        Ok(authority)
    }

    /// The authority's own certificate.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// A file of the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Signs a certificate for NAME, which `extension` says more about: `NAME.pem` and `NAME.key`.
    pub(crate) async fn sign(&self, name: &str, extension: &str) -> Result<()> {
        let (subject, key, pem) = (format!("/CN={name}"), format!("{name}.key"), format!("{name}.pem"));
        let mut options = vec!["-days", "30", "-subj", &subject, "-addext", extension];
        options.extend(["-addext", "basicConstraints=critical,CA:FALSE"]);
        options.extend(["-keyout", &key, "-out", &pem, "-CA", "ca.pem", "-CAkey", "ca.key"]);
        self.openssl(&options).await
    }

    async fn openssl(&self, options: &[&str]) -> Result<()> {
        self.command(&NEW_KEY).args(options.iter().copied()).run().await
    }

    /// A private key for signing tokens.
    pub(crate) async fn signing_key(&self, name: &str) -> Result<()> {
        self.command(&["ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", name]).run().await
    }

    fn command(&self, args: &[&str]) -> Program {
        Program::new("openssl", self.dir.join("openssl.log")).args(args.iter().copied()).dir(&self.dir)
    }
}

/// What a server on this machine is called.
pub(crate) const LOOPBACK: &str =
    "subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:kubernetes.default.svc,DNS:kubernetes.default";

/// What a client's certificate is for.
pub(crate) const CLIENT: &str = "extendedKeyUsage=clientAuth";

/// Several PEM files in one.
pub(crate) fn concatenate(parts: &[&Path], into: &Path) -> Result<()> {
    let mut whole = String::new();
    for part in parts {
        whole.push_str(&fs::read_to_string(part)?);
    }
    Ok(fs::write(into, whole)?)
}
