//! Metadata and log offsets by librdkafka. Only calls that survived every outage they were tried in:
//! `fetch_metadata`, `offsets_for_times`, `poll`. All of them block: call them on a blocking thread.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::access::Access;
use super::reading::{Since, known};
use super::trouble::Trouble;
use crate::policy::settings::KafkaConnection;
use crate::policy::source::IsolationLevel;

/// How long a call may take; librdkafka's own requests give up a little earlier.
const PATIENCE: Duration = Duration::from_millis(3500);
/// Events taken off a handle's queue at once: more than an outage brings between two sweeps.
const EVENTS_AT_ONCE: usize = 2000;

/// Topics and the leader of each of their partitions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) topics: BTreeMap<String, BTreeMap<i32, Leader>>,
    /// `host:port` by broker id, for sentences.
    pub(super) brokers: BTreeMap<i32, String>,
}

/// A broker's id; negative where the partition has no leader.
pub(super) type Leader = i32;

/// One thing to be known of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Question {
    /// The log's end, by the handle's isolation level.
    End,
    /// The log's start.
    Start,
    /// The first record at or after a time, in milliseconds since 1970.
    Since(i64),
}

/// The answer to one [`Question`] about one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// An offset, or `None`: unknown.
    Offset(Option<i64>),
    /// The answer to [`Question::Since`].
    Since(Since),
}

/// One librdkafka client. It never joins a group: it has no `group.id`.
pub(super) struct Handle {
    consumer: BaseConsumer<Ear>,
}

impl Handle {
    /// Does not wait for a broker.
    pub(super) fn open(
        connection: &KafkaConnection,
        access: &Access,
        level: IsolationLevel,
    ) -> Result<Self, Trouble> {
        let (user, mechanism) = access.principal();
        let ear = Ear { user, mechanism, heard: Mutex::new(None) };
        let consumer = config(connection, access, level)
            .create_with_context(ear)
            .map_err(|error| Trouble::Credentials(format!("librdkafka refuses the settings: {error}")))?;
        Ok(Self { consumer })
    }

    /// Everything that we may see. Also makes librdkafka learn of new leaders, which it would otherwise
    /// do every few minutes.
    pub(super) fn layout(&self) -> Result<Layout, Trouble> {
        let metadata = self
            .consumer
            .fetch_metadata(None, PATIENCE)
            .map_err(|error| self.explain("the cluster", &error))?;
        let leaders = |topic: &rdkafka::metadata::MetadataTopic| {
            topic.partitions().iter().map(|partition| (partition.id(), partition.leader())).collect()
        };
        Ok(Layout {
            topics: metadata
                .topics()
                .iter()
                .filter(|topic| topic.error().is_none())
                .map(|topic| (topic.name().to_owned(), leaders(topic)))
                .collect(),
            brokers: metadata
                .brokers()
                .iter()
                .map(|broker| (broker.id(), format!("{}:{}", broker.host(), broker.port())))
                .collect(),
        })
    }

    /// Why a topic is not in the layout: missing and forbidden look alike there.
    pub(super) fn why_absent(&self, topic: &str) -> Trouble {
        let code = self.consumer.fetch_metadata(Some(topic), PATIENCE).ok().and_then(|metadata| {
            metadata
                .topics()
                .first()
                .and_then(rdkafka::metadata::MetadataTopic::error)
                .map(RDKafkaErrorCode::from)
        });
        match code {
            Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
                Trouble::TopicForbidden { topic: topic.to_owned() }
            }
            _ => Trouble::TopicMissing { topic: topic.to_owned() },
        }
    }

    /// Asks one question about partitions that one broker leads: one request.
    pub(super) fn ask(
        &self,
        question: Question,
        partitions: &[(String, i32)],
        leader: &str,
    ) -> Result<Vec<Answer>, Trouble> {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        let offset = match question {
            Question::End => Offset::End,
            Question::Start => Offset::Beginning,
            Question::Since(millis) => Offset::Offset(millis.max(0)),
        };
        for (topic, partition) in partitions {
            list.add_partition_offset(topic, *partition, offset)
                .map_err(|error| Trouble::Other(format!("{topic}-{partition}: {error}")))?;
        }
        let found =
            self.consumer.offsets_for_times(list, PATIENCE).map_err(|error| self.explain(leader, &error))?;
        let answers: BTreeMap<(String, i32), Answer> = found
            .elements()
            .iter()
            .map(|cell| {
                let offset = cell.error().is_ok().then(|| cell.offset());
                ((cell.topic().to_owned(), cell.partition()), answer(question, offset))
            })
            .collect();
        let nothing = answer(question, None);
        Ok(partitions.iter().map(|partition| answers.get(partition).copied().unwrap_or(nothing)).collect())
    }

    /// Takes the events off the queue, where they would pile up, and listens to them.
    pub(super) fn drain(&self) {
        for _ in 0..EVENTS_AT_ONCE {
            if self.consumer.poll(Duration::ZERO).is_none() {
                return;
            }
        }
    }

    /// Forgets what was heard before things went well again.
    pub(super) fn forgive(&self) {
        *self.consumer.context().heard.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// librdkafka's calls only ever say that they timed out; the cause comes as an event.
    fn explain(&self, whom: &str, error: &KafkaError) -> Trouble {
        self.drain();
        let heard = self.consumer.context().heard.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let said = match error.rdkafka_error_code() {
            Some(
                RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::RequestTimedOut
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown,
            ) => Trouble::Silent { address: whom.to_owned(), seconds: PATIENCE.as_secs() },
            Some(code) => Trouble::Other(format!("{whom} answers {code}: looking again at the next turn")),
            None => Trouble::Other(format!("{whom}: {error}")),
        };
        said.clearer(heard)
    }
}

/// A negative offset is unknown, whatever else is said; so is the echo of a question.
fn answer(question: Question, offset: Option<Offset>) -> Answer {
    let number = match offset {
        Some(Offset::Offset(number)) => known(number),
        _ => None,
    };
    match question {
        Question::End | Question::Start => Answer::Offset(number),
        Question::Since(_) => Answer::Since(match (number, offset) {
            (Some(number), _) => Since::From(number),
            (None, Some(Offset::End)) => Since::Nothing,
            _ => Since::Unknown,
        }),
    }
}

fn config(connection: &KafkaConnection, access: &Access, level: IsolationLevel) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", connection.bootstrap_servers.join(","))
        .set("client.id", "tidegate")
        .set(
            "isolation.level",
            match level {
                IsolationLevel::ReadCommitted => "read_committed",
                IsolationLevel::ReadUncommitted => "read_uncommitted",
            },
        )
        .set(
            "security.protocol",
            match (&access.tls, &access.sasl) {
                (None, None) => "plaintext",
                (Some(_), None) => "ssl",
                (None, Some(_)) => "sasl_plaintext",
                (Some(_), Some(_)) => "sasl_ssl",
            },
        )
        // A frozen broker is given up after this, instead of after a minute.
        .set("socket.timeout.ms", "3000")
        .set("socket.connection.setup.timeout.ms", "3000")
        .set("reconnect.backoff.max.ms", "1000")
        .set("allow.auto.create.topics", "false")
        .set("enable.auto.commit", "false")
        .set_log_level(RDKafkaLogLevel::Warning);
    if let Some(tls) = &connection.tls {
        let files = [
            ("ssl.ca.location", &tls.ca_file),
            ("ssl.certificate.location", &tls.certificate_file),
            ("ssl.key.location", &tls.key_file),
        ];
        for (name, file) in files {
            if let Some(file) = file {
                config.set(name, file.to_string_lossy());
            }
        }
    }
    if let Some(login) = &access.sasl {
        config
            .set("sasl.mechanism", login.mechanism.to_string())
            .set("sasl.username", &login.user)
            .set("sasl.password", &login.password);
    }
    config
}

/// Keeps the clearest thing that librdkafka said. Its logs would be a storm in an outage: debug only.
struct Ear {
    user: String,
    mechanism: String,
    heard: Mutex<Option<Trouble>>,
}

impl ClientContext for Ear {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(facility, message, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka");
        let trouble = Trouble::heard(&error, reason, &self.user, &self.mechanism);
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let before = heard.take();
        *heard = Some(trouble.clearer(before));
    }
}

impl ConsumerContext for Ear {}
