//! KEDA's `kafka` and `apache-kafka` triggers.

use super::Carried;
use crate::cli::import::connections::{Connections, Kafka, listed};
use crate::cli::import::keda::Trigger;
use crate::cli::import::notes::{Notes, Refusal};
use crate::cli::import::options::Options;
use crate::policy::rules::PartitionRule;
use crate::policy::settings::{SaslMechanism, Tls};
use crate::policy::source::{IsolationLevel, KafkaLag, OffsetResetPolicy, SourceSpec};

/// KEDA's default of `lagThreshold`.
const LAG_THRESHOLD: f64 = 10.0;

/// What only mechanisms need that there is no counterpart for.
const OTHER_SASL: [&str; 11] = [
    "saslTokenProvider",
    "scopes",
    "oauthTokenEndpointUri",
    "oauthExtensions",
    "keytab",
    "realm",
    "kerberosConfig",
    "kerberosServiceName",
    "kerberosDisableFAST",
    "awsRegion",
    "awsEndpoint",
];

/// The trigger at a dotted path as a source.
pub(super) fn map(
    trigger: &Trigger,
    path: &str,
    connections: &mut Connections,
    notes: &mut Notes,
) -> Result<Carried, Refusal> {
    let mut options = Options::of(trigger, path);
    let bootstrap = options.required("bootstrapServers")?;
    let group = options.required("consumerGroup")?.to_owned();
    let topics = topics(trigger, &mut options, notes)?;
    let threshold = options.number("lagThreshold", 1.0)?.unwrap_or(LAG_THRESHOLD);
    let activation = options.number("activationLagThreshold", 0.0)?.unwrap_or(0.0);
    let partitions = partitions(&mut options, notes);
    let source = KafkaLag {
        cluster: cluster(trigger, bootstrap, &mut options, connections, notes)?,
        group,
        topics,
        // KEDA never looks at the last stable offset.
        isolation_level: IsolationLevel::ReadUncommitted,
        offset_reset_policy: offset_reset_policy(&mut options)?,
        scale_to_zero_on_invalid_offset: options.flag("scaleToZeroOnInvalidOffset", false, notes),
        exclude_persistent_lag: options.flag("excludePersistentLag", false, notes),
    };
    if options.take("version").is_some() {
        notes.note(options.at("version"), "not needed: versions are negotiated with the brokers");
    }
    if options.take("fullMetadata").is_some() {
        notes.note(options.at("fullMetadata"), "not needed: all policies of a cluster share one reader");
    }
    if options.take("partitionLimitation").is_some() {
        notes.lost(
            options.at("partitionLimitation"),
            "all partitions of the topic count: the backlog may be larger than KEDA's",
        );
    }
    options.tell_rest(notes);
    Ok(Carried {
        path: path.to_owned(),
        source: SourceSpec::KafkaLag(source),
        threshold,
        activation,
        partitions,
    })
}

fn topics(trigger: &Trigger, options: &mut Options<'_>, notes: &mut Notes) -> Result<Vec<String>, Refusal> {
    let several = trigger.kind == "apache-kafka";
    let topics: Vec<String> = match options.optional("topic")? {
        Some(text) if several => listed(text),
        Some(topic) => vec![topic.to_owned()],
        None => Vec::new(),
    };
    if topics.is_empty() && several {
        notes.note(
            options.at("topic"),
            "without a topic, those count that the group has committed offsets for, not all of the cluster",
        );
    }
    Ok(topics)
}

fn offset_reset_policy(options: &mut Options<'_>) -> Result<OffsetResetPolicy, Refusal> {
    match options.take("offsetResetPolicy") {
        None | Some("latest") => Ok(OffsetResetPolicy::Latest),
        Some("earliest") => Ok(OffsetResetPolicy::Earliest),
        Some(_) => Err(Refusal::new(options.at("offsetResetPolicy"), "expected `latest` or `earliest`")),
    }
}

/// KEDA takes at most one of these; they are a rule of the policy here.
fn partitions(options: &mut Options<'_>, notes: &mut Notes) -> Option<PartitionRule> {
    let mut rule = None;
    for (name, meant) in [
        ("allowIdleConsumers", PartitionRule::AllowIdleConsumers),
        ("limitToPartitionsWithLag", PartitionRule::LimitToPartitionsWithLag),
        ("ensureEvenDistributionOfPartitions", PartitionRule::EvenDistribution),
    ] {
        if options.flag(name, false, notes) {
            match rule {
                None => rule = Some(meant),
                Some(first) => {
                    notes.lost(options.at(name), format!("a policy has one rule, and `{first}` came first"));
                }
            }
        }
    }
    rule
}

/// The name of the trigger's cluster, after noting how to get in.
fn cluster(
    trigger: &Trigger,
    bootstrap: &str,
    options: &mut Options<'_>,
    connections: &mut Connections,
    notes: &mut Notes,
) -> Result<String, Refusal> {
    let wrong = |server: &String| {
        let legal = |host: &str| !host.is_empty() && !host.contains(['/', '@', ' ']);
        server.rsplit_once(':').is_none_or(|(host, port)| !legal(host) || port.parse::<u16>().is_err())
    };
    let servers = listed(bootstrap);
    if servers.is_empty() || servers.iter().any(wrong) {
        return Err(Refusal::new(options.at("bootstrapServers"), "expected HOST:PORT,HOST:PORT,..."));
    }
    let nobody = || Refusal::new(options.at("bootstrapServers"), "no server");
    let cluster = connections.kafka(bootstrap).ok_or_else(nobody)?;
    tls(cluster, options, notes);
    sasl(cluster, options, notes);
    if let Some(reference) = &trigger.authentication_ref {
        let name = &cluster.name;
        notes.task(
            format!("{}.authenticationRef", options.path()),
            format!(
                "what {reference} holds goes into files, named at connections.kafka.{name} of the settings: \
                 sasl.usernameFile and sasl.passwordFile, tls.caFile, tls.certificateFile and tls.keyFile"
            ),
        );
    }
    Ok(cluster.name.clone())
}

fn tls(cluster: &mut Kafka, options: &mut Options<'_>, notes: &mut Notes) {
    let name = cluster.name.clone();
    let (certificate, key) = (cluster.file("tls.crt"), cluster.file("tls.key"));
    if options.take("tls").is_some_and(|tls| tls != "disable") {
        cluster.tls.get_or_insert_with(Tls::default);
    }
    for (option, field, file) in
        [("ca", "caFile", "ca.crt"), ("cert", "certificateFile", "tls.crt"), ("key", "keyFile", "tls.key")]
    {
        if options.take_any(&[option, &format!("{option}FromEnv")]) {
            let path = cluster.file(file);
            notes.task(
                options.at(option),
                format!("its PEM text goes into {}, connections.kafka.{name}.tls.{field}", path.display()),
            );
            let tls = cluster.tls.get_or_insert_with(Tls::default);
            if option == "ca" {
                tls.ca_file = Some(path);
            } else {
                // Each is of no use without the other.
                tls.certificate_file = Some(certificate.clone());
                tls.key_file = Some(key.clone());
            }
        }
    }
    if options.take_any(&["keyPassword", "keyPasswordFromEnv"]) {
        notes.lost(options.at("keyPassword"), "the client certificate's key must not be encrypted");
    }
    if options.flag("unsafeSsl", false, notes) {
        notes.lost(
            options.at("unsafeSsl"),
            "certificates are always verified: name the authority in tls.caFile",
        );
    }
}

fn sasl(cluster: &mut Kafka, options: &mut Options<'_>, notes: &mut Notes) {
    let other = options.take_any(&OTHER_SASL);
    let mechanism = match options.take("sasl") {
        None | Some("none") => None,
        Some("plaintext") => Some(SaslMechanism::Plain),
        Some("scram_sha256") => Some(SaslMechanism::ScramSha256),
        Some("scram_sha512") => Some(SaslMechanism::ScramSha512),
        Some(_) => {
            notes.lost(
                options.at("sasl"),
                "this mechanism is not supported: give Tidegate a user with PLAIN, SCRAM-SHA-256 or \
                 SCRAM-SHA-512, or a client certificate",
            );
            options.take_any(&["username", "password", "usernameFromEnv", "passwordFromEnv"]);
            return;
        }
    };
    if let Some(mechanism) = mechanism {
        match cluster.sasl {
            Some(first) if first != mechanism => notes.lost(
                options.at("sasl"),
                format!("another trigger enters cluster `{}` with {first}, which is kept", cluster.name),
            ),
            _ => cluster.sasl = Some(mechanism),
        }
        notes.task(
            options.at("sasl"),
            format!(
                "name and password go into files: {} and {}",
                cluster.file("username").display(),
                cluster.file("password").display()
            ),
        );
    }
    for secret in ["username", "password"] {
        if options.take_any(&[secret, &format!("{secret}FromEnv")]) {
            notes.task(
                options.at(secret),
                format!("its value goes into {}, and out of manifests", cluster.file(secret).display()),
            );
        }
    }
    if other {
        notes.lost(options.at("sasl"), "options of mechanisms that are not supported are left out");
    }
}
