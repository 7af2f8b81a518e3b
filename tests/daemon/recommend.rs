//! `tidegate recommend` where neither the cluster nor Kafka answers.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// Ends the process with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A look at one policy, with nobody at any address.
fn recommend(home: &TempDir, arguments: &[&str]) -> Command {
    let write = |name: &str, text: &str| {
        let file = home.path().join(name);
        fs::write(&file, text).unwrap();
        file
    };
    let settings = "apiVersion: tidegate.dev/v1alpha1\nkind: Settings\ninterval: 1s\nlimits: {sourceTimeout: 1s}\n\
                    connections: {kafka: {main: {bootstrapServers: ['127.0.0.1:1'], namespaces: ['*']}}}\n";
    let kubeconfig = "apiVersion: v1\nkind: Config\ncurrent-context: none\n\
                      clusters: [{name: none, cluster: {server: 'http://127.0.0.1:1'}}]\n\
                      users: [{name: none, user: {}}]\n\
                      contexts: [{name: none, context: {cluster: none, user: none}}]\n";
    let policy = super::reload::policy("orders", "5");
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(["recommend", "--format", "json"]).args(arguments);
    command.arg("--settings").arg(write("settings.yaml", settings));
    command.arg("--kubeconfig").arg(write("kubeconfig", kubeconfig));
    command.arg(write("orders.yaml", &policy)).stdout(Stdio::piped());
    command
}

#[test]
fn a_watch_looks_again() {
    let home = tempfile::tempdir().unwrap();
    let mut running = Running(recommend(&home, &["--watch"]).spawn().unwrap());
    let lines = BufReader::new(running.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let looks = lines.filter(|line| line.contains("\"workloads\"")).take(2).count();
    assert_eq!(looks, 2);
}

#[test]
fn what_cannot_be_told_is_neither_something_nor_nothing_to_do() {
    let home = tempfile::tempdir().unwrap();
    let output = recommend(&home, &["--exit-code"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("\"orders\""), "{text}");
    let output = recommend(&home, &["--exit-cod"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "wrong usage is no answer either");
}
