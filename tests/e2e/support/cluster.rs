//! A Kubernetes control plane on loopback: etcd, kube-apiserver with RBAC and an audit log,
//! kube-controller-manager, API aggregation, and a process kubelet as its only node.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::{Value, json};

use super::audit;
use super::kubelet::Kubelet;
use super::place::{Tools, free_port};
use super::process::{Process, Program};
use super::tls::{Authority, LOOPBACK};
use super::waiting::eventually;

/// Who may speak to the API server. Each has every right; the audit log tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum User {
    /// The suite itself, and the process kubelet.
    Suite,
    /// A daemon that applies.
    Tidegate,
    /// A daemon that recommends.
    DryTidegate,
    /// KEDA's operator and metrics adapter.
    Keda,
}

impl User {
    const ALL: [Self; 4] = [Self::Suite, Self::Tidegate, Self::DryTidegate, Self::Keda];

    /// The user's name, which is its token, too.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Suite => "suite",
            Self::Tidegate => "tidegate",
            Self::DryTidegate => "dry-tidegate",
            Self::Keda => "keda",
        }
    }
}

/// The HPA controller's timers, in seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timers {
    /// `--horizontal-pod-autoscaler-sync-period`; 15 by default.
    pub(crate) sync: f64,
    /// `--horizontal-pod-autoscaler-downscale-stabilization`; 300 by default.
    pub(crate) downscale_stabilization: f64,
}

/// Quick: scenarios should be short.
impl Default for Timers {
    fn default() -> Self {
        Self { sync: 2.0, downscale_stabilization: 5.0 }
    }
}

/// A running control plane.
pub(crate) struct Cluster {
    dir: PathBuf,
    authority: Authority,
    client: Client,
    api_program: Program,
    api: Mutex<Option<Process>>,
    _etcd: Process,
    _controllers: Process,
    _kubelet: Kubelet,
}

impl Cluster {
    /// Starts one in `dir` and waits until Pods can be made.
    pub(crate) async fn start(tools: &Tools, dir: &Path, timers: Timers) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let authority = Authority::create(dir.join("tls")).await?;
        authority.sign("apiserver", LOOPBACK).await?;
        authority.sign("front-proxy", "extendedKeyUsage=clientAuth").await?;
        authority.signing_key("accounts.key").await?;
        let (port, etcd_port) = (free_port()?, free_port()?);
        write_access(dir, &authority, port)?;
        let etcd = etcd(tools, dir, etcd_port).start()?;
        let api_program = api_server(tools, dir, &authority, port, etcd_port);
        let api = api_program.start()?;
        let client = client(&kubeconfig(dir, User::Suite)).await?;
        wait_ready(&client, &api).await.context("kube-apiserver")?;
        let controllers = controllers(tools, dir, &authority, timers).start()?;
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
        eventually("the controllers work", || async {
            controllers.check()?;
            Ok(accounts.get_opt("default").await?)
        })
        .await?;
        let kubelet = Kubelet::start(client.clone(), tools.clone(), port, dir.join("pods")).await?;
        Ok(Self {
            dir: dir.to_owned(),
            authority,
            client,
            api_program,
            api: Mutex::new(Some(api)),
            _etcd: etcd,
            _controllers: controllers,
            _kubelet: kubelet,
        })
    }

    /// A client of the suite's.
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// What signed the API server's certificate, and may sign those of servers behind it.
    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// A kubeconfig file of `user`'s.
    pub(crate) fn kubeconfig(&self, user: User) -> PathBuf {
        kubeconfig(&self.dir, user)
    }

    /// Every write that the API server was asked for, from its audit log.
    pub(crate) fn audit(&self) -> Result<Vec<audit::Write>> {
        audit::read(&self.dir.join("audit.log"))
    }

    /// Stops the API server; etcd keeps what it knows.
    pub(crate) fn stop_api(&self) {
        drop(self.api.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take());
    }

    /// Starts the API server again.
    pub(crate) async fn start_api(&self) -> Result<()> {
        let api = self.api_program.start()?;
        wait_ready(&self.client, &api).await?;
        *self.api.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(api);
        Ok(())
    }
}

fn kubeconfig(dir: &Path, user: User) -> PathBuf {
    dir.join(format!("{}.kubeconfig", user.name()))
}

/// Tokens, kubeconfigs and the audit policy.
fn write_access(dir: &Path, authority: &Authority, port: u16) -> Result<()> {
    let tokens: String = User::ALL.map(|user| format!("{0},{0},{0},system:masters\n", user.name())).concat();
    fs::write(dir.join("tokens.csv"), tokens)?;
    for user in User::ALL {
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "e2e",
            "clusters": [{"name": "e2e", "cluster": {
                "server": format!("https://127.0.0.1:{port}"),
                "certificate-authority": authority.certificate(),
            }}],
            "users": [{"name": user.name(), "user": {"token": user.name()}}],
            "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": user.name()}}],
        });
        fs::write(kubeconfig(dir, user), config.to_string())?;
    }
    let policy: Value = json!({
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
        "rules": [{"level": "None", "verbs": ["get", "list", "watch"]}, {"level": "Metadata"}],
    });
    Ok(fs::write(dir.join("audit-policy.json"), policy.to_string())?)
}

async fn client(kubeconfig: &Path) -> Result<Client> {
    let config = Kubeconfig::read_from(kubeconfig)?;
    let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

async fn wait_ready(client: &Client, api: &Process) -> Result<()> {
    eventually("kube-apiserver is ready", || async {
        api.check()?;
        let request = axum::http::Request::get("/readyz").body(Vec::new())?;
        Ok((client.request_text(request).await? == "ok").then_some(()))
    })
    .await
}

fn etcd(tools: &Tools, dir: &Path, port: u16) -> Program {
    let url = format!("http://127.0.0.1:{port}");
    Program::new(tools.bin("etcd"), dir.join("etcd.log")).dir(dir).args([
        "--data-dir=etcd",
        "--unsafe-no-fsync",
        "--log-level=warn",
        "--listen-peer-urls=http://127.0.0.1:0",
        &format!("--listen-client-urls={url}"),
        &format!("--advertise-client-urls={url}"),
    ])
}

fn api_server(tools: &Tools, dir: &Path, authority: &Authority, port: u16, etcd_port: u16) -> Program {
    let file = |option: &str, name: &str| format!("--{option}={}", authority.path(name).display());
    Program::new(tools.bin("kube-apiserver"), dir.join("kube-apiserver.log"))
        .dir(dir)
        .args([
            &format!("--etcd-servers=http://127.0.0.1:{etcd_port}"),
            &format!("--secure-port={port}"),
            &file("tls-cert-file", "apiserver.pem"),
            &file("tls-private-key-file", "apiserver.key"),
            &file("client-ca-file", "ca.pem"),
            &file("service-account-key-file", "accounts.key"),
            &file("service-account-signing-key-file", "accounts.key"),
            &file("requestheader-client-ca-file", "ca.pem"),
            &file("proxy-client-cert-file", "front-proxy.pem"),
            &file("proxy-client-key-file", "front-proxy.key"),
        ])
        .args([
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--authorization-mode=Node,RBAC",
            "--token-auth-file=tokens.csv",
            "--audit-policy-file=audit-policy.json",
            "--audit-log-path=audit.log",
            "--disable-admission-plugins=TaintNodesByCondition",
            "--requestheader-allowed-names=front-proxy",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        ])
}

fn controllers(tools: &Tools, dir: &Path, authority: &Authority, timers: Timers) -> Program {
    let file = |option: &str, name: &str| format!("--{option}={}", authority.path(name).display());
    Program::new(tools.bin("kube-controller-manager"), dir.join("kube-controller-manager.log"))
        .dir(dir)
        .args([
            &format!("--kubeconfig={}", kubeconfig(dir, User::Suite).display()),
            &file("service-account-private-key-file", "accounts.key"),
            &file("root-ca-file", "ca.pem"),
        ])
        .args([
            "--leader-elect=false",
            "--secure-port=0",
            "--use-service-account-credentials=true",
            // The node of the process kubelet sends no heartbeats.
            "--controllers=*,-node-lifecycle-controller",
            "--flex-volume-plugin-dir=flexvolume",
        ])
        .args([
            format!("--horizontal-pod-autoscaler-sync-period={}s", timers.sync),
            format!(
                "--horizontal-pod-autoscaler-downscale-stabilization={}s",
                timers.downscale_stabilization
            ),
        ])
}
