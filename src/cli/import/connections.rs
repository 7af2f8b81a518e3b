//! The servers that the triggers name: in Tidegate connections of the settings, each with a name.

use std::path::PathBuf;
use std::str::FromStr;

use crate::policy::settings::{
    Connections as Settings, KafkaConnection, PrometheusConnection, Sasl, SaslMechanism, Tls,
};
use crate::policy::source::{KafkaLag, PrometheusQuery, SourceSpec};

/// A server and the name to give it: `NAME=BOOTSTRAP` or `NAME=URL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedServer {
    name: String,
    address: String,
}

impl FromStr for NamedServer {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((name, address)) if !name.is_empty() && !address.is_empty() => {
                Ok(Self { name: name.to_owned(), address: address.to_owned() })
            }
            _ => Err("expected NAME=ADDRESS, such as main=kafka-0:9092,kafka-1:9092"),
        }
    }
}

/// All servers met so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Connections {
    pub(super) kafka: Vec<Kafka>,
    pub(super) prometheus: Vec<Prometheus>,
}

/// A Kafka cluster.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Kafka {
    pub(super) name: String,
    servers: Vec<String>,
    pub(super) sasl: Option<SaslMechanism>,
    pub(super) tls: Option<Tls>,
}

/// A Prometheus server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Prometheus {
    pub(super) name: String,
    url: String,
    pub(super) bearer: bool,
    pub(super) ca: bool,
}

impl Connections {
    /// With the names that were asked for.
    pub(super) fn named(servers: &[NamedServer]) -> Self {
        let mut all = Self::default();
        for NamedServer { name, address } in servers {
            let name = name.clone();
            if address.contains("://") {
                let url = plain_url(address).0;
                all.prometheus.push(Prometheus { name, url, ..Prometheus::default() });
            } else {
                all.kafka.push(Kafka { name, servers: listed(address), ..Kafka::default() });
            }
        }
        all
    }

    /// The cluster of these brokers. Clusters that share a broker are one.
    pub(super) fn kafka(&mut self, bootstrap: &str) -> Option<&mut Kafka> {
        let servers = listed(bootstrap);
        let known =
            self.kafka.iter().position(|one| servers.iter().any(|server| one.servers.contains(server)));
        let index = known.unwrap_or_else(|| {
            let taken: Vec<&str> = self.kafka.iter().map(|one| one.name.as_str()).collect();
            let name = free_name(servers.first().map_or("", String::as_str), "kafka", &taken);
            self.kafka.push(Kafka { name, ..Kafka::default() });
            self.kafka.len() - 1
        });
        let cluster = self.kafka.get_mut(index)?;
        for server in servers {
            if !cluster.servers.contains(&server) {
                cluster.servers.push(server);
            }
        }
        Some(cluster)
    }

    /// The Prometheus server at this address.
    pub(super) fn prometheus(&mut self, url: &str) -> Option<&mut Prometheus> {
        let known = self.prometheus.iter().position(|one| one.url == url);
        let index = known.unwrap_or_else(|| {
            let taken: Vec<&str> = self.prometheus.iter().map(|one| one.name.as_str()).collect();
            let host = url.split_once("://").map_or(url, |(_, rest)| rest);
            let name = free_name(host, "prometheus", &taken);
            self.prometheus.push(Prometheus { name, url: url.to_owned(), ..Prometheus::default() });
            self.prometheus.len() - 1
        });
        self.prometheus.get_mut(index)
    }

    /// As the settings file spells those that these sources name.
    pub(super) fn settings<'a>(&self, sources: &(impl Iterator<Item = &'a SourceSpec> + Clone)) -> Settings {
        let clusters = self.kafka.iter().filter(|one| {
            let names = |source| matches!(source, &SourceSpec::KafkaLag(KafkaLag { ref cluster, .. }) if *cluster == one.name);
            sources.clone().any(names)
        });
        let servers = self.prometheus.iter().filter(|one| {
            let names = |source| matches!(source, &SourceSpec::Prometheus(PrometheusQuery { ref server, .. }) if *server == one.name);
            sources.clone().any(names)
        });
        Settings {
            kafka: clusters.map(|one| (one.name.clone(), one.settings())).collect(),
            prometheus: servers.map(|one| (one.name.clone(), one.settings())).collect(),
            ..Settings::default()
        }
    }
}

impl Kafka {
    /// The file that one of its credentials goes to.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/etc/tidegate/kafka/{}/{name}", self.name))
    }

    fn settings(&self) -> KafkaConnection {
        KafkaConnection {
            bootstrap_servers: self.servers.clone(),
            namespaces: vec!["*".to_owned()],
            tls: self.tls.clone(),
            sasl: self.sasl.map(|mechanism| Sasl {
                mechanism,
                username_file: self.file("username"),
                password_file: self.file("password"),
            }),
        }
    }
}

impl Prometheus {
    /// The file that one of its credentials goes to.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/etc/tidegate/prometheus/{}/{name}", self.name))
    }

    fn settings(&self) -> PrometheusConnection {
        PrometheusConnection {
            url: self.url.clone(),
            namespaces: vec!["*".to_owned()],
            bearer_token_file: self.bearer.then(|| self.file("token")),
            ca_file: self.ca.then(|| self.file("ca.crt")),
        }
    }
}

/// An address without credentials and parameters, and whether it had any.
pub(super) fn plain_url(address: &str) -> (String, bool) {
    let address = address.trim();
    let bare = address.split(['?', '#']).next().unwrap_or_default();
    let cut = bare.len() < address.len();
    let address = bare.trim_end_matches('/');
    let Some((scheme, rest)) = address.split_once("://") else { return (address.to_owned(), cut) };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    match authority.rsplit_once('@') {
        Some((_, host)) => (format!("{scheme}://{host}{path}"), true),
        None => (address.to_owned(), cut),
    }
}

/// The items of a comma-separated list.
pub(super) fn listed(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

/// A name after the host's first label that nobody has yet.
fn free_name(host: &str, kind: &str, taken: &[&str]) -> String {
    let label = host.split(['.', ':', '/']).next().unwrap_or_default();
    let label = label.strip_suffix("-kafka-bootstrap").unwrap_or(label);
    // kafka-0 is the first Pod of the cluster `kafka`.
    let label = label.trim_end_matches(|c: char| c.is_ascii_digit()).strip_suffix('-').unwrap_or(label);
    let fit = |c: char| c.is_ascii_alphanumeric() || c == '-';
    // An IP address makes no name.
    let usable = label.chars().all(fit) && label.chars().any(|c| c.is_ascii_alphabetic());
    let base = if usable { label } else { kind };
    let numbered = (2..).map(|number| format!("{base}-{number}"));
    let mut names = std::iter::once(base.to_owned()).chain(numbered);
    names.find(|name| !taken.contains(&name.as_str())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_that_share_a_broker_are_one_cluster() {
        let mut all = Connections::named(&["main=b:9092".parse().unwrap()]);
        let name = |all: &mut Connections, bootstrap| all.kafka(bootstrap).unwrap().name.clone();
        assert_eq!(name(&mut all, "a:9092, b:9092"), "main");
        assert_eq!(name(&mut all, "a:9092"), "main");
        assert_eq!(name(&mut all, "shop-kafka-bootstrap.kafka:9092"), "shop");
        assert_eq!(name(&mut all, "shop.other:9092"), "shop-2");
        assert_eq!(name(&mut all, "10.0.0.1:9092"), "kafka");
        assert_eq!(all.kafka[0].settings().bootstrap_servers, ["b:9092", "a:9092"]);
    }

    #[test]
    fn credentials_leave_an_address() {
        assert_eq!(plain_url("http://u:p@h:9090/x@y/"), ("http://h:9090/x@y".to_owned(), true));
        assert_eq!(plain_url("https://h/x@y"), ("https://h/x@y".to_owned(), false));
        assert_eq!(plain_url("https://h/x/?token=t"), ("https://h/x".to_owned(), true));
    }

    #[test]
    fn a_name_needs_both_halves() {
        for text in ["", "main", "=b:9092", "main="] {
            assert!(text.parse::<NamedServer>().is_err(), "{text:?}");
        }
    }
}
