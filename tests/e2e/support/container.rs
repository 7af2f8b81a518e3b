//! A container without a runtime: the image's own files in a chroot, the Pod's volumes laid out as a
//! kubelet lays them out, the image's user, and nothing of this machine's environment.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{
    ConfigMap, Container, EnvVar, Pod, ProjectedVolumeSource, Secret, ServiceAccount, Volume,
};
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

use super::process::Program;

/// The image's user, as the Dockerfile has it.
const USER: &str = "65532:65532";
/// Nothing of the suite lives longer; this ends what would outlive a killed suite.
const LIFE_SECONDS: &str = "1800";

type Files = BTreeMap<String, Vec<u8>>;

/// The files of a volume; `None` for a kind that is an empty directory.
async fn contents(client: &Client, pod: &Pod, volume: &Volume) -> Result<Option<Files>> {
    let namespace = pod.namespace().unwrap_or_default();
    if let Some(source) = &volume.config_map {
        return config_map(client, &namespace, &source.name).await.map(Some);
    }
    if let Some(source) = &volume.secret {
        let name = source.secret_name.as_deref().context("a volume without a Secret's name")?;
        let secret = Api::<Secret>::namespaced(client.clone(), &namespace).get(name).await?;
        let data = secret.data.unwrap_or_default();
        return Ok(Some(data.into_iter().map(|(key, value)| (key, value.0)).collect()));
    }
    if let Some(source) = &volume.projected {
        return projected(client, pod, source).await.map(Some);
    }
    if volume.empty_dir.is_some() {
        return Ok(None);
    }
    bail!("a kind of volume that this kubelet does not know: {}", volume.name)
}

async fn config_map(client: &Client, namespace: &str, name: &str) -> Result<Files> {
    let map = Api::<ConfigMap>::namespaced(client.clone(), namespace).get(name).await?;
    Ok(map.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.into_bytes())).collect())
}

/// What the API server adds to every Pod: its account's token, the authority's certificate, the namespace.
async fn projected(client: &Client, pod: &Pod, source: &ProjectedVolumeSource) -> Result<Files> {
    let namespace = pod.namespace().unwrap_or_default();
    let mut files = Files::new();
    for source in source.sources.iter().flatten() {
        if let Some(token) = &source.service_account_token {
            files.insert(token.path.clone(), account_token(client, pod).await?.into_bytes());
        }
        if let Some(map) = &source.config_map {
            files.extend(config_map(client, &namespace, &map.name).await?);
        }
        for item in source.downward_api.iter().filter_map(|api| api.items.as_ref()).flatten() {
            files.insert(item.path.clone(), namespace.clone().into_bytes());
        }
    }
    Ok(files)
}

async fn account_token(client: &Client, pod: &Pod) -> Result<String> {
    let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref());
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
    let request: TokenRequest = serde_json::from_value(json!({
        "spec": {"audiences": [], "boundObjectRef": {
            "apiVersion": "v1", "kind": "Pod", "name": pod.name_any(), "uid": pod.uid(),
        }},
    }))?;
    let account = account.context("a Pod without a service account")?;
    let request = accounts.create_token_request(account, &PostParams::default(), &request).await?;
    request.status.and_then(|status| status.token).context("a token request without a token")
}

/// Writes a volume as a kubelet does: the files in a directory of their own, `..data` pointing at it, and
/// a link per file through `..data`; so that one rename changes all of them at once.
fn project(into: &Path, files: &Files) -> Result<()> {
    fs::create_dir_all(into)?;
    let generation =
        (0..u32::MAX).map(|n| format!("..generation-{n}")).find(|name| !into.join(name).exists());
    let generation = generation.context("no name for a new generation")?;
    fs::create_dir(into.join(&generation))?;
    for (name, contents) in files {
        fs::write(into.join(&generation).join(name), contents)?;
        let link = into.join(name);
        if !link.is_symlink() {
            symlink(format!("..data/{name}"), link)?;
        }
    }
    let old = fs::read_link(into.join("..data")).ok();
    symlink(&generation, into.join("..data_tmp"))?;
    fs::rename(into.join("..data_tmp"), into.join("..data"))?;
    if let Some(old) = old {
        fs::remove_dir_all(into.join(old))?;
    }
    Ok(())
}

/// A container's file system.
#[derive(Debug)]
pub(crate) struct Sandbox {
    root: PathBuf,
    written: BTreeMap<PathBuf, Files>,
}

impl Sandbox {
    /// Copies the image's files to `root` and mounts the container's volumes.
    pub(crate) async fn create(
        client: &Client,
        pod: &Pod,
        container: &Container,
        image: &Path,
        root: &Path,
    ) -> Result<Self> {
        fs::create_dir_all(root)?;
        Program::new("cp", root.with_extension("cp.log"))
            .args(["-a", &format!("{}/.", image.display()), &root.display().to_string()])
            .run()
            .await?;
        let mut sandbox = Self { root: root.to_owned(), written: BTreeMap::new() };
        sandbox.refresh(client, pod, container).await?;
        Ok(sandbox)
    }

    /// Brings the volumes up to date. Files that are there already, such as tokens, stay as they are
    /// unless their source changed.
    pub(crate) async fn refresh(&mut self, client: &Client, pod: &Pod, container: &Container) -> Result<()> {
        let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
        let volumes: BTreeMap<&str, &Volume> = volumes.map(|volume| (volume.name.as_str(), volume)).collect();
        for mount in container.volume_mounts.iter().flatten() {
            let volume = volumes.get(mount.name.as_str()).context("a mount of no volume")?;
            let into = self.root.join(mount.mount_path.trim_start_matches('/'));
            if volume.projected.is_some() && self.written.contains_key(&into) {
                continue;
            }
            let Some(files) = contents(client, pod, volume).await? else {
                fs::create_dir_all(&into)?;
                fs::set_permissions(&into, fs::Permissions::from_mode(0o1777))?;
                continue;
            };
            if self.written.get(&into) != Some(&files) {
                project(&into, &files)?;
                self.written.insert(into, files);
            }
        }
        Ok(())
    }

    /// The container's process: the image's entry point with the container's arguments and environment.
    pub(crate) fn program(&self, pod: &Pod, container: &Container, api_port: u16, log: &Path) -> Program {
        let mut environment = vec![
            "KUBERNETES_SERVICE_HOST=127.0.0.1".to_owned(),
            format!("KUBERNETES_SERVICE_PORT={api_port}"),
        ];
        environment.extend(container.env.iter().flatten().map(|variable| entry(pod, variable)));
        Program::new("timeout", log)
            .args(["--signal=KILL", LIFE_SECONDS, "env", "-i"])
            .args(environment)
            .args(["/usr/sbin/chroot", &format!("--userspec={USER}")])
            .arg(self.root.display().to_string())
            .arg("/usr/bin/tidegate")
            .args(container.args.clone().unwrap_or_default())
    }
}

fn entry(pod: &Pod, variable: &EnvVar) -> String {
    let from_pod = variable.value_from.as_ref().map(|_| pod.name_any());
    format!("{}={}", variable.name, variable.value.clone().or(from_pod).unwrap_or_default())
}
