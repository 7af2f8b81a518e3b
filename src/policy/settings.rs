//! The settings file: one per daemon, written by an administrator, read once at start.

use std::collections::BTreeMap;
use std::path::PathBuf;

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Mode;
use super::document::{ApiVersion, SettingsKind};
use super::form::ADDRESS_FORMAT;
use super::names::{host_and_port, http_address, label, label_or_any, no_secret_options, place, subdomain};
use super::units::TimeSpan;

/// Static configuration of the daemon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct Settings {
    /// The version of the document's format.
    pub api_version: ApiVersion,
    /// The kind of document.
    pub kind: SettingsKind,
    /// The ceiling: no policy is carried out beyond it.
    #[serde(default)]
    pub mode: Mode,
    /// How often every policy is evaluated. Each turn is jittered by a tenth.
    #[serde(default = "defaults::interval")]
    pub interval: TimeSpan,
    /// Namespaces whose labelled ConfigMaps hold policies. Empty: none. `"*"`: all.
    #[serde(default)]
    #[garde(inner(custom(label_or_any)))]
    pub watch_namespaces: Vec<String>,
    /// Files and directories with policies, read again when their contents change.
    #[serde(default)]
    pub policy_paths: Vec<PathBuf>,
    /// Servers that policies may name.
    #[serde(default)]
    #[garde(dive)]
    pub connections: Connections,
    /// The daemon's own HTTP endpoints.
    #[serde(default)]
    pub web: Web,
    /// Where decisions are written down.
    #[serde(default)]
    #[garde(dive)]
    pub journal: Journal,
    /// Where damping state is kept between restarts.
    #[serde(default)]
    #[garde(dive)]
    pub memory: MemoryStore,
    /// Limits on every call to the outside.
    #[serde(default)]
    #[garde(dive)]
    pub limits: Limits,
}

/// Named servers. Policies name them; only settings say where they are and who may use them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Connections {
    /// Kafka clusters by name.
    #[garde(dive)]
    pub kafka: BTreeMap<String, KafkaConnection>,
    /// Prometheus servers by name.
    #[garde(dive)]
    pub prometheus: BTreeMap<String, PrometheusConnection>,
    /// Flink JobManagers by name.
    #[garde(dive)]
    pub flink: BTreeMap<String, FlinkConnection>,
    /// Spark applications by name.
    #[garde(dive)]
    pub spark: BTreeMap<String, SparkConnection>,
    /// Spark history servers by name.
    #[garde(dive)]
    pub spark_history: BTreeMap<String, SparkHistoryConnection>,
}

/// One Kafka cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct KafkaConnection {
    /// `host:port` of some brokers.
    #[garde(length(min = 1), inner(custom(host_and_port)))]
    pub bootstrap_servers: Vec<String>,
    /// Namespaces whose policies may name this cluster; `["*"]` unless said.
    #[serde(default = "defaults::everywhere")]
    #[garde(inner(custom(label_or_any)))]
    pub namespaces: Vec<String>,
    /// TLS; plain text where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Authentication; none where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sasl: Option<Sasl>,
}

/// TLS to a server. Files are read again when they change.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Tls {
    /// PEM file of the authorities to trust; the system's where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// PEM file of a client certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_file: Option<PathBuf>,
    /// PEM file of the client certificate's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
}

/// SASL credentials, each in a file of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sasl {
    /// Mechanism, spelled as Kafka does.
    pub mechanism: SaslMechanism,
    /// File with the user's name.
    pub username_file: PathBuf,
    /// File with the password.
    pub password_file: PathBuf,
}

/// SASL mechanisms that are supported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::Display)]
pub enum SaslMechanism {
    /// User and password in the clear: only sensible over TLS.
    #[serde(rename = "PLAIN")]
    #[strum(serialize = "PLAIN")]
    Plain,
    /// RFC 7677 with SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    #[strum(serialize = "SCRAM-SHA-256")]
    ScramSha256,
    /// RFC 7677 with SHA-512.
    #[serde(rename = "SCRAM-SHA-512")]
    #[strum(serialize = "SCRAM-SHA-512")]
    ScramSha512,
}

/// One Prometheus server, or anything that speaks its query API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct PrometheusConnection {
    /// Base address, `http://` or `https://`, without credentials.
    #[garde(custom(http_address))]
    pub url: String,
    /// Namespaces whose policies may name this server; `["*"]` unless said.
    #[serde(default = "defaults::everywhere")]
    #[garde(inner(custom(label_or_any)))]
    pub namespaces: Vec<String>,
    /// File with a bearer token; not together with `basicAuth`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(custom(one_login(self.basic_auth.is_some())))]
    pub bearer_token_file: Option<PathBuf>,
    /// User and password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuth>,
    /// PEM file of the authorities to trust; the system's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

/// HTTP's basic authentication (RFC 7617): user and password, each in a file of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BasicAuth {
    /// File with the user's name.
    pub username_file: PathBuf,
    /// File with the password.
    pub password_file: PathBuf,
}

fn one_login(basic: bool) -> impl FnOnce(&Option<PathBuf>, &()) -> garde::Result {
    move |token, ()| match token {
        Some(_) if basic => {
            Err(garde::Error::new("not possible beside `basicAuth`; expected one of the two"))
        }
        _ => Ok(()),
    }
}

/// One Flink JobManager's REST API, or a proxy in front of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct FlinkConnection {
    /// Base address, `http://` or `https://`, without credentials.
    #[garde(custom(http_address))]
    pub url: String,
    /// Namespaces whose policies may name this JobManager; `["*"]` unless said.
    #[serde(default = "defaults::everywhere")]
    #[garde(inner(custom(label_or_any)))]
    pub namespaces: Vec<String>,
    /// File with a bearer token, for a proxy that asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer_token_file: Option<PathBuf>,
    /// PEM file of the authorities to trust; the system's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

/// One Spark application: where its streaming queries keep their checkpoints, and who answers for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct SparkConnection {
    /// What the checkpoints of its queries lie below: a directory, mounted read-only, or an object store's address
    /// (`s3://BUCKET/PATH`, `gs://`, `az://`, `abfss://`, or a `WebDAV` server's `https://`), without credentials.
    #[garde(custom(place))]
    pub checkpoints: String,
    /// How that object store is reached, beyond what the environment says.
    #[serde(default, skip_serializing_if = "ObjectStoreOptions::is_empty")]
    #[garde(dive)]
    pub object_store: ObjectStoreOptions,
    /// Base address of the driver's UI, without credentials; where absent, nothing is known of executors, and
    /// only its commits tell that a query is alive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(custom(http_address)))]
    pub driver: Option<String>,
    /// Base address of the UI of the standalone cluster's master, without credentials: where it is named, workers are
    /// decommissioned through it before they are taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(custom(http_address)))]
    pub master: Option<String>,
    /// Namespaces whose policies may name this application; `["*"]` unless said.
    #[serde(default = "defaults::everywhere")]
    #[garde(inner(custom(label_or_any)))]
    pub namespaces: Vec<String>,
}

/// How an object store is reached. Its own tools' environment variables (`AWS_...`, `GOOGLE_...`, `AZURE_...`), and what
/// a cloud gives its Pods, hold without being stated here.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[garde(allow_unvalidated)]
pub struct ObjectStoreOptions {
    /// Options by the names of those variables, in lower case, such as `aws_endpoint`; none of them a secret.
    #[garde(custom(no_secret_options))]
    pub options: BTreeMap<String, String>,
    /// Further options, each from a file of its own, such as `aws_secret_access_key`. Read again when they change.
    pub option_files: BTreeMap<String, PathBuf>,
}

impl ObjectStoreOptions {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// One Spark history server, which remembers finished runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct SparkHistoryConnection {
    /// Base address, `http://` or `https://`, without credentials.
    #[garde(custom(http_address))]
    pub url: String,
    /// Namespaces whose policies may name this server; `["*"]` unless said.
    #[serde(default = "defaults::everywhere")]
    #[garde(inner(custom(label_or_any)))]
    pub namespaces: Vec<String>,
}

/// The daemon's own HTTP endpoints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Web {
    /// Address to listen on.
    #[schemars(extend("format" = ADDRESS_FORMAT))]
    pub listen: std::net::SocketAddr,
}

impl Default for Web {
    fn default() -> Self {
        Self { listen: std::net::SocketAddr::from(([127, 0, 0, 1], 8080)) }
    }
}

/// Where decisions are written down, one JSON object a line.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Journal {
    /// Nowhere.
    #[default]
    Off,
    /// To standard output, between the log lines of standard error.
    Stdout,
    /// To a file that is rotated by size.
    File(#[garde(dive)] JournalFile),
}

/// A rotated journal file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct JournalFile {
    /// The file; older ones get `.1`, `.2`, ... appended.
    pub path: PathBuf,
    /// Size at which the file is rotated.
    #[serde(default = "defaults::journal_bytes")]
    #[garde(range(min = 65_536))]
    pub max_bytes: u64,
    /// Old files to keep.
    #[serde(default = "defaults::journal_keep")]
    pub keep: u32,
}

/// Where damping state is kept between restarts: ConfigMaps `NAME-0`, `NAME-1`, ...
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[garde(allow_unvalidated)]
pub struct MemoryStore {
    /// Namespace of the ConfigMaps; the daemon's own unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[garde(inner(custom(label)))]
    pub namespace: Option<String>,
    /// What the ConfigMaps' names start with.
    #[garde(length(min = 1, max = 200), custom(subdomain))]
    pub name: String,
    /// ConfigMaps to spread the policies over.
    #[garde(range(min = 1, max = 64))]
    pub shards: u32,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self { namespace: None, name: "tidegate-memory".to_owned(), shards: 1 }
    }
}

/// Limits on every call to the outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// Kafka requests per second and cluster.
    #[garde(range(min = 1))]
    pub kafka_requests_per_second: u32,
    /// Blocking Kafka calls under way at once, per cluster.
    #[garde(range(min = 1, max = 64))]
    pub kafka_concurrency: u32,
    /// Kubernetes API requests per second.
    #[garde(range(min = 1))]
    pub kubernetes_requests_per_second: u32,
    /// HTTP requests per second and server.
    #[garde(range(min = 1))]
    pub http_requests_per_second: u32,
    /// How long one source may take before its reading counts as missing.
    #[garde(skip)]
    pub source_timeout: TimeSpan,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            kafka_requests_per_second: 200,
            kafka_concurrency: 4,
            kubernetes_requests_per_second: 20,
            http_requests_per_second: 20,
            source_timeout: TimeSpan::from_secs(10),
        }
    }
}

mod defaults {
    use super::TimeSpan;

    pub(super) fn interval() -> TimeSpan {
        TimeSpan::from_secs(15)
    }
    pub(super) fn everywhere() -> Vec<String> {
        vec!["*".to_owned()]
    }
    pub(super) fn journal_bytes() -> u64 {
        64 << 20
    }
    pub(super) fn journal_keep() -> u32 {
        3
    }
}
