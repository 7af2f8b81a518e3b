//! What can go wrong with a cluster: the cause and the cure in one line, without any secret.

use std::collections::{BTreeMap, BTreeSet};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// One cause, as a person should read it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Trouble {
    #[error("cannot resolve {host}: check bootstrapServers and the cluster's advertised listeners")]
    Resolve { host: String },
    #[error("{address} refuses connections: check bootstrapServers and that the broker runs")]
    Refused { address: String },
    #[error(
        "TLS with {address} failed ({detail}): check tls.caFile and that the certificate names this host"
    )]
    Untrusted { address: String, detail: String },
    #[error(
        "{address} refuses us during the TLS handshake ({detail}): check tls.certificateFile and tls.keyFile"
    )]
    RefusedByTls { address: String, detail: String },
    #[error("{address} closed the connection{hint}")]
    Closed { address: String, hint: &'static str },
    #[error("{address} does not speak Kafka's protocol here: is it a TLS listener, or no Kafka at all?")]
    NotKafka { address: String },
    #[error("{address} does not answer within {seconds} s")]
    Silent { address: String, seconds: u64 },
    #[error("{address} was not asked this time: other brokers took too long")]
    Unasked { address: String },
    #[error("authentication failed as user {user} ({mechanism}): check usernameFile and passwordFile")]
    Authentication { user: String, mechanism: String },
    #[error("the brokers do not offer {mechanism} but {offered}: correct sasl.mechanism")]
    Mechanism { mechanism: String, offered: String },
    #[error("no right to DESCRIBE topic {topic}: grant Describe on it (kafka-acls --operation Describe)")]
    TopicForbidden { topic: String },
    #[error("there is no topic {topic}, or no right to DESCRIBE it: check the policy and the ACLs")]
    TopicMissing { topic: String },
    #[error("no right to DESCRIBE group {group}: grant Describe on it (kafka-acls --operation Describe)")]
    GroupForbidden { group: String },
    #[error("the group coordinator is not ready ({0}): looking again at the next turn")]
    Coordinator(&'static str),
    #[error("group {group} cannot be read: {error}")]
    Group { group: String, error: String },
    #[error("the brokers are too old: {api} is missing")]
    TooOld { api: &'static str },
    #[error("{0}")]
    Credentials(String),
    #[error("{0}")]
    Other(String),
}

impl Trouble {
    /// How much a line says; of several, the one that says most is told.
    pub(super) fn weight(&self) -> u8 {
        match self {
            Self::Credentials(_) | Self::Authentication { .. } | Self::Mechanism { .. } => 5,
            Self::Untrusted { .. } | Self::RefusedByTls { .. } | Self::NotKafka { .. } => 4,
            Self::Resolve { .. } => 3,
            Self::Refused { .. } | Self::Closed { .. } | Self::TooOld { .. } => 2,
            Self::TopicForbidden { .. }
            | Self::TopicMissing { .. }
            | Self::GroupForbidden { .. }
            | Self::Coordinator(_)
            | Self::Group { .. } => 1,
            Self::Silent { .. } | Self::Unasked { .. } | Self::Other(_) => 0,
        }
    }

    /// The broker that it is about, where it is about one.
    fn address(&self) -> Option<&str> {
        match self {
            Self::Refused { address }
            | Self::Untrusted { address, .. }
            | Self::RefusedByTls { address, .. }
            | Self::Closed { address, .. }
            | Self::NotKafka { address }
            | Self::Silent { address, .. }
            | Self::Unasked { address } => Some(address),
            Self::Resolve { .. }
            | Self::Authentication { .. }
            | Self::Mechanism { .. }
            | Self::TopicForbidden { .. }
            | Self::TopicMissing { .. }
            | Self::GroupForbidden { .. }
            | Self::Coordinator(_)
            | Self::Group { .. }
            | Self::TooOld { .. }
            | Self::Credentials(_)
            | Self::Other(_) => None,
        }
    }

    /// Whether it concerns the way to the brokers, rather than what one of them said.
    pub(super) fn is_of_connection(&self) -> bool {
        self.weight() != 1
    }

    /// The one of two that says more.
    pub(super) fn clearer(self, other: Option<Self>) -> Self {
        match other {
            Some(other) if other.weight() > self.weight() => other,
            _ => self,
        }
    }

    /// From a failure to connect, read or write.
    pub(super) fn io(address: &str, error: &std::io::Error) -> Self {
        use std::io::ErrorKind as Kind;
        let address = address.to_owned();
        // A failed handshake arrives as an I/O error that wraps the TLS one.
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<tokio_rustls::rustls::Error>());
        if let Some(cause) = tls {
            let detail = cause.to_string();
            return if matches!(cause, tokio_rustls::rustls::Error::AlertReceived(_)) {
                Self::RefusedByTls { address, detail }
            } else {
                Self::Untrusted { address, detail }
            };
        }
        let closed = [Kind::UnexpectedEof, Kind::ConnectionReset, Kind::BrokenPipe, Kind::ConnectionAborted];
        if error.kind() == Kind::ConnectionRefused {
            Self::Refused { address }
        } else if error.kind() == Kind::TimedOut {
            Self::Silent { address, seconds: super::wire::PATIENCE.as_secs() }
        } else if closed.contains(&error.kind()) {
            Self::Closed { address, hint: "" }
        } else {
            Self::Other(format!("{address}: {error}"))
        }
    }

    /// From what librdkafka says about a connection, beside the text it says it with. `user` is empty
    /// without SASL.
    pub(super) fn heard(error: &KafkaError, text: &str, user: &str, mechanism: &str) -> Self {
        let address = address_in(text);
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::Authentication) => {
                Self::Authentication { user: user.to_owned(), mechanism: mechanism.to_owned() }
            }
            Some(_) if text.contains(" alert ") => Self::RefusedByTls { address, detail: brief(text) },
            Some(RDKafkaErrorCode::SSL) => Self::Untrusted { address, detail: brief(text) },
            Some(RDKafkaErrorCode::Resolve) => Self::Resolve { host: address },
            Some(RDKafkaErrorCode::BrokerTransportFailure) if text.contains("refused") => {
                Self::Refused { address }
            }
            Some(RDKafkaErrorCode::BrokerTransportFailure) if text.contains("SSL") => {
                Self::Untrusted { address, detail: brief(text) }
            }
            _ => Self::Other(brief(text)),
        }
    }
}

/// Lines for a cluster's troubles: one for each broker, however many ways it failed in, and one for each
/// of the others.
pub(super) fn lines<'a>(cluster: &str, troubles: impl Iterator<Item = &'a Trouble>) -> BTreeSet<String> {
    let mut of_brokers = BTreeMap::<&str, &Trouble>::new();
    let mut lines = BTreeSet::new();
    for trouble in troubles {
        match trouble.address() {
            None => {
                lines.insert(format!("kafka {cluster}: {trouble}"));
            }
            Some(address) => {
                let known = of_brokers.entry(address).or_insert(trouble);
                if trouble.weight() > known.weight() {
                    *known = trouble;
                }
            }
        }
    }
    lines.extend(of_brokers.values().map(|trouble| format!("kafka {cluster}: {trouble}")));
    lines
}

/// librdkafka starts most texts with `[security_protocol://]host:port/id: `.
fn address_in(text: &str) -> String {
    let head = text.split(": ").next().unwrap_or(text);
    let head = head.rsplit("://").next().unwrap_or(head);
    head.split('/').next().unwrap_or(head).to_owned()
}

/// One line of bounded length.
fn brief(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(160).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(code: RDKafkaErrorCode, text: &str) -> String {
        Trouble::heard(&KafkaError::Global(code), text, "tidegate", "SCRAM-SHA-512").to_string()
    }

    #[test]
    fn a_cause_names_its_cure() {
        assert_eq!(
            heard(
                RDKafkaErrorCode::Authentication,
                "sasl_ssl://kafka:9093/bootstrap: SASL authentication error: ..."
            ),
            "authentication failed as user tidegate (SCRAM-SHA-512): check usernameFile and passwordFile"
        );
        assert_eq!(
            heard(
                RDKafkaErrorCode::BrokerTransportFailure,
                "kafka:9092/1: Connect to ipv4#10.0.0.1:9092 failed: Connection refused (after 1ms)"
            ),
            "kafka:9092 refuses connections: check bootstrapServers and that the broker runs"
        );
    }

    #[test]
    fn a_broker_gets_one_line() {
        let troubles = [
            Trouble::Silent { address: "a:1".into(), seconds: 3 },
            Trouble::Refused { address: "a:1".into() },
            Trouble::Coordinator("it is loading"),
            Trouble::Coordinator("it is loading"),
        ];
        let lines: Vec<_> = lines("main", troubles.iter()).into_iter().collect();
        assert_eq!(
            lines,
            [
                "kafka main: a:1 refuses connections: check bootstrapServers and that the broker runs",
                "kafka main: the group coordinator is not ready (it is loading): looking again at the next turn",
            ]
        );
    }

    #[test]
    fn the_clearer_cause_wins() {
        let silent = Trouble::Silent { address: "a:1".into(), seconds: 3 };
        let refused = Trouble::Refused { address: "a:1".into() };
        assert_eq!(silent.clone().clearer(Some(refused.clone())), refused);
        assert_eq!(refused.clone().clearer(Some(silent)), refused);
    }
}
