//! A Prometheus server on loopback.

use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::Result;

use super::place::{Tools, free_port};
use super::process::{Process, Program};
use super::waiting::eventually;

/// A running server.
#[derive(Debug)]
pub(crate) struct Prometheus {
    program: Program,
    process: Mutex<Option<Process>>,
    url: String,
}

impl Prometheus {
    /// Starts one in `dir` that scrapes itself and evaluates `rules` (YAML) every second.
    pub(crate) async fn start(tools: &Tools, dir: &Path, rules: &str) -> Result<Self> {
        fs::create_dir_all(dir)?;
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
            &format!("--web.listen-address={url}"),
        ]);
        let server = Self { program, process: Mutex::new(None), url: format!("http://{url}") };
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
            let answer = reqwest::get(format!("{}/-/ready", self.url)).await?;
            Ok(answer.status().is_success().then_some(()))
        })
        .await?;
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = Some(process);
        Ok(())
    }
}
