//! What Kubernetes and Kafka allow as a name, as garde rules.

#![expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is garde's")]

// Each message is split at its `; expected ` for the reader.
const LABEL: &str = "not a DNS label; expected at most 63 of a-z, 0-9 and, inside, -";
const SUBDOMAIN: &str = "not a DNS name; expected at most 253 of a-z, 0-9 and, inside, - and .";
const TOPIC: &str = "not a topic's name; expected at most 249 of A-Z, a-z, 0-9, ., _ and -";
const ADDRESS: &str = "not an address; expected http://HOST[:PORT] or https://HOST[:PORT]";

/// A namespace (RFC 1123 label).
pub(crate) fn label(name: &str, (): &()) -> garde::Result {
    must(is_label(name), name, LABEL)
}

/// An object's name (RFC 1123 subdomain).
pub(crate) fn subdomain(name: &str, (): &()) -> garde::Result {
    must(name.len() <= 253 && name.split('.').all(is_label_of_any_length), name, SUBDOMAIN)
}

/// A namespace, or `*` for all of them.
pub(crate) fn label_or_any(name: &str, (): &()) -> garde::Result {
    must(name == "*" || is_label(name), name, "not a namespace; expected a DNS label, or `*` for all")
}

/// A Kafka topic.
pub(crate) fn topic(name: &str, (): &()) -> garde::Result {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    must(
        (1..=249).contains(&name.len()) && name.chars().all(legal) && name != "." && name != "..",
        name,
        TOPIC,
    )
}

/// A server as Kafka's `bootstrap.servers` spells it.
pub(crate) fn host_and_port(server: &str, (): &()) -> garde::Result {
    let legal = server.rsplit_once(':').is_some_and(|(host, port)| {
        let (host, port): (&str, Result<u16, _>) = (host, port.parse());
        !host.is_empty() && !host.contains(['/', '@', ',', ' ']) && port.is_ok_and(|port| port > 0)
    });
    must(legal, server, "not a server; expected HOST:PORT, such as kafka-0.kafka:9092")
}

/// An HTTP server without credentials.
pub(crate) fn http_address(url: &str, (): &()) -> garde::Result {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let authority = rest.and_then(|rest| rest.split('/').next()).unwrap_or_default();
    if authority.contains('@') {
        // Not shown: this is where a password would stand.
        return Err(garde::Error::new(
            "an address with credentials; expected them in files: `bearerTokenFile` or `basicAuth`",
        ));
    }
    must(!authority.is_empty(), url, ADDRESS)
}

/// A directory, or an object store without credentials. An Azure container stands before an `@`, too.
pub(crate) fn place(place: &str, (): &()) -> garde::Result {
    let Some((scheme, rest)) = place.split_once("://") else {
        return must(!place.is_empty(), place, "not a directory or an address; expected one of them");
    };
    let authority = rest.split('/').next().unwrap_or_default();
    let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
    if user.contains(':') || rest.contains(['?', '#']) {
        // Not shown: this is where a password or a signature would stand.
        return Err(garde::Error::new(
            "an address with credentials; expected them in the environment or in `objectStore.optionFiles`",
        ));
    }
    let known = ["s3", "s3a", "gs", "az", "adl", "azure", "abfs", "abfss", "http", "https", "file"];
    let expected = "not an object store; expected s3://, gs://, az://, abfss://, https:// or a directory";
    must(known.contains(&scheme) && !rest.is_empty(), place, expected)
}

/// Options of an object store that may stand in a document.
pub(crate) fn no_secret_options(
    options: &std::collections::BTreeMap<String, String>,
    (): &(),
) -> garde::Result {
    let secret = |key: &&String| {
        let key = key.to_lowercase();
        [
            "secret",
            "password",
            "token",
            "sas",
            "account_key",
            "master_key",
            "access_key",
            "service_account_key",
            "customer_key",
        ]
        .iter()
        .any(|word| key.contains(word))
            && !key.ends_with("access_key_id")
            && !key.ends_with("file")
    };
    match options.keys().find(secret) {
        None => Ok(()),
        Some(key) => Err(garde::Error::new(format!(
            "`{}` is a secret; expected it in a file that `optionFiles` names",
            key.escape_debug()
        ))),
    }
}

/// A path that stays below where it starts from.
pub(crate) fn below(path: &str, (): &()) -> garde::Result {
    let stays = !path.is_empty() && !path.starts_with('/') && path.split('/').all(|part| part != "..");
    must(stays, path, "not a path below another; expected one without a leading / and without ..")
}

fn must(holds: bool, value: &str, message: &'static str) -> garde::Result {
    if holds { Ok(()) } else { Err(garde::Error::new(format!("`{}` is {message}", value.escape_debug()))) }
}

fn is_label(name: &str) -> bool {
    name.len() <= 63 && is_label_of_any_length(name)
}

fn is_label_of_any_length(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !name.is_empty() && name.chars().all(legal) && !name.starts_with('-') && !name.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubernetes_names() {
        assert!(label("streaming-2", &()).is_ok());
        assert!(subdomain("orders.v1", &()).is_ok());
        for name in ["", "-a", "a-", "A", "a_b", "a b", "ä"] {
            assert!(label(name, &()).is_err() && subdomain(name, &()).is_err(), "{name:?}");
        }
        assert!(label("a.b", &()).is_err() && subdomain("a..b", &()).is_err());
        assert!(label(&"a".repeat(64), &()).is_err() && subdomain(&"a".repeat(254), &()).is_err());
        assert!(label_or_any("*", &()).is_ok() && label_or_any("**", &()).is_err());
    }

    #[test]
    fn paths_that_stay_below() {
        assert!(below("orders", &()).is_ok() && below("a/b..c/", &()).is_ok());
        for path in ["", "/etc", "..", "a/../..", "../a"] {
            assert!(below(path, &()).is_err(), "{path:?}");
        }
    }

    #[test]
    fn kafka_names_and_addresses() {
        assert!(topic("Orders_v1.new-2", &()).is_ok());
        assert!(topic("..", &()).is_err() && topic("a b", &()).is_err() && topic("", &()).is_err());
        assert!(host_and_port("kafka:9092", &()).is_ok() && host_and_port("[::1]:9092", &()).is_ok());
        for server in ["kafka", "kafka:", ":9092", "kafka:0", "kafka:99999", "sasl://k:9092", "a:1,b:2"] {
            assert!(host_and_port(server, &()).is_err(), "{server:?}");
        }
        assert!(http_address("https://prometheus:9090/path@x", &()).is_ok());
        assert!(
            http_address("http://user:pw@host", &()).is_err()
                && http_address("prometheus:9090", &()).is_err()
        );
    }
}
