//! A Prometheus server on loopback.

use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use reqwest::{Certificate, Client};

use super::place::{Tools, free_port};
use super::process::{Process, Program};
use super::tls::{Authority, LOOPBACK};
use super::waiting::eventually;

/// The one user of a server behind TLS, and bcrypt's hash (cost 4) of the password.
pub(crate) const READER: (&str, &str) = ("reader", "prometheus-password");
const HASH: &str = "$2b$04$abcdefghijklmnopqrstuuebck8Sc2ch9pyeXHtF37im9h8m1K5ue";

/// Who may ask, and how; empty: everybody, in plain text.
const WEB: &str = "web.yml";

/// A running server.
#[derive(Debug)]
pub(crate) struct Prometheus {
    program: Program,
    process: Mutex<Option<Process>>,
    client: Client,
    url: String,
}

impl Prometheus {
    /// Starts one in `dir` that scrapes itself and evaluates `rules` (YAML) every second.
    pub(crate) async fn start(tools: &Tools, dir: &Path, rules: &str) -> Result<Self> {
        Self::start_as("http", Client::new(), tools, dir, rules).await
    }

    /// The same behind TLS, for [`READER`] only. Signed by `authority`.
    pub(crate) async fn start_secured(
        tools: &Tools,
        dir: &Path,
        rules: &str,
        authority: &Authority,
    ) -> Result<Self> {
        fs::create_dir_all(dir)?;
        authority.sign("prometheus", LOOPBACK).await?;
        let [pem, key] = ["prometheus.pem", "prometheus.key"].map(|name| authority.path(name));
        let web = format!(
            "tls_server_config: {{cert_file: {}, key_file: {}}}\nbasic_auth_users: {{{}: '{HASH}'}}\n",
            pem.display(),
            key.display(),
            READER.0
        );
        fs::write(dir.join(WEB), web)?;
        let trusted = Certificate::from_pem(&fs::read(authority.certificate())?)?;
        let client = Client::builder().tls_certs_only([trusted]).build()?;
        Self::start_as("https", client, tools, dir, rules).await
    }

    async fn start_as(scheme: &str, client: Client, tools: &Tools, dir: &Path, rules: &str) -> Result<Self> {
        fs::create_dir_all(dir)?;
        if !dir.join(WEB).exists() {
            fs::write(dir.join(WEB), "")?;
        }
        let url = format!("127.0.0.1:{}", free_port()?);
        fs::write(dir.join("rules.yml"), rules)?;
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             rule_files: [rules.yml]\n\
             scrape_configs:\n- {{job_name: prometheus, static_configs: [{{targets: [\"{url}\"]}}]}}\n"
        );
        fs::write(dir.join("prometheus.yml"), config)?;
        let program = Program::new(tools.bin("prometheus"), dir.join("prometheus.log")).dir(dir).args([
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
            "--log.level=warn",
            &format!("--web.config.file={WEB}"),
            &format!("--web.listen-address={url}"),
        ]);
        let server = Self { program, process: Mutex::new(None), client, url: format!("{scheme}://{url}") };
        server.launch().await?;
        Ok(server)
    }

    /// Where it is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Kills it.
    pub(crate) fn kill(&self) {
        drop(self.process.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Starts it, again.
    pub(crate) async fn launch(&self) -> Result<()> {
        let process = self.program.start()?;
        eventually("Prometheus is ready", || async {
            process.check()?;
            let answer = self
                .client
                .get(format!("{}/-/ready", self.url))
                .basic_auth(READER.0, Some(READER.1))
                .send()
                .await?;
            Ok(answer.status().is_success().then_some(()))
        })
        .await?;
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = Some(process);
        Ok(())
    }
}
