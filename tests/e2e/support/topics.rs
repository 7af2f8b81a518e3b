//! What the suite itself does with Kafka: topics, records, commits. All of it without a consumer group
//! membership.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::metadata::Metadata;
use rdkafka::producer::{BaseProducer, BaseRecord, FutureProducer, FutureRecord, Producer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::kafka::CALL;
use super::waiting::eventually;

/// A client with every right.
#[derive(Clone)]
pub(crate) struct Admin {
    bootstrap: String,
    reader: Arc<BaseConsumer>,
    writer: Arc<AdminClient<DefaultClientContext>>,
    producer: FutureProducer,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").field("bootstrap", &self.bootstrap).finish_non_exhaustive()
    }
}

/// Offsets by partition of one topic.
pub(crate) type Offsets = BTreeMap<i32, i64>;

impl Admin {
    /// A client of the plain listeners `bootstrap`.
    pub(crate) fn new(bootstrap: &str) -> Result<Self> {
        Ok(Self {
            bootstrap: bootstrap.to_owned(),
            reader: Arc::new(config(bootstrap).create()?),
            writer: Arc::new(config(bootstrap).create()?),
            producer: config(bootstrap).set("linger.ms", "0").set("message.timeout.ms", "30000").create()?,
        })
    }

    /// What the cluster looks like.
    pub(crate) async fn metadata(&self) -> Result<Metadata> {
        let reader = Arc::clone(&self.reader);
        Ok(tokio::task::spawn_blocking(move || reader.fetch_metadata(None, CALL)).await??)
    }

    /// Makes a topic and waits until every partition has a leader.
    pub(crate) async fn create(&self, topic: &str, partitions: i32) -> Result<()> {
        self.create_with(topic, partitions, &[]).await
    }

    /// Makes a topic with properties of its own.
    pub(crate) async fn create_with(
        &self,
        topic: &str,
        partitions: i32,
        properties: &[(&str, &str)],
    ) -> Result<()> {
        let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1));
        for (key, value) in properties {
            new = new.set(key, value);
        }
        self.create_all(&[new]).await?;
        self.led(topic, partitions).await
    }

    /// Makes topics in one request.
    pub(crate) async fn create_all(&self, topics: &[NewTopic<'_>]) -> Result<()> {
        for result in self.writer.create_topics(topics, &AdminOptions::new()).await? {
            if let Err((topic, code)) = result {
                bail!("create topic {topic}: {code}");
            }
        }
        Ok(())
    }

    /// Waits until every partition of a topic has a leader.
    pub(crate) async fn led(&self, topic: &str, partitions: i32) -> Result<()> {
        let wanted = usize::try_from(partitions)?;
        eventually(&format!("topic {topic} has leaders"), || async {
            let metadata = self.metadata().await?;
            let topic = metadata.topics().iter().find(|entry| entry.name() == topic);
            let led = topic.map(|topic| topic.partitions().iter().filter(|p| p.leader() >= 0).count());
            Ok((led == Some(wanted)).then_some(()))
        })
        .await
    }

    /// Deletes a topic and waits until it is gone.
    pub(crate) async fn delete(&self, topic: &str) -> Result<()> {
        for result in self.writer.delete_topics(&[topic], &AdminOptions::new()).await? {
            if let Err((topic, code)) = result {
                bail!("delete topic {topic}: {code}");
            }
        }
        eventually(&format!("topic {topic} is gone"), || async {
            let metadata = self.metadata().await?;
            Ok((!metadata.topics().iter().any(|entry| entry.name() == topic)).then_some(()))
        })
        .await
    }

    /// Deletes what one partition holds before `offset`, as retention does.
    pub(crate) async fn truncate(&self, topic: &str, offsets: &Offsets) -> Result<()> {
        let list = list(topic, offsets)?;
        for element in self.writer.delete_records(&list, &AdminOptions::new()).await?.elements() {
            element.error().with_context(|| format!("truncate {topic}"))?;
        }
        Ok(())
    }

    /// Writes `count` records to one partition.
    pub(crate) async fn produce(&self, topic: &str, partition: i32, count: usize) -> Result<()> {
        let sends = (0..count).map(|_| {
            let record = FutureRecord::<(), _>::to(topic).partition(partition).payload("x");
            self.producer.send(record, CALL)
        });
        for sent in futures::future::join_all(sends).await {
            sent.map_err(|(error, _)| error).with_context(|| format!("produce to {topic}"))?;
        }
        Ok(())
    }

    /// Writes `count` records to one partition in a transaction, and commits or aborts it.
    pub(crate) async fn transact(
        &self,
        topic: &str,
        partition: i32,
        count: usize,
        commit: bool,
    ) -> Result<()> {
        let open = self.transaction(topic, partition, count).await?;
        if commit { open.commit().await } else { open.abort().await }
    }

    /// Adds partitions to a topic until it has so many.
    pub(crate) async fn grow(&self, topic: &str, partitions: usize) -> Result<()> {
        let grown = [NewPartitions::new(topic, partitions)];
        for result in self.writer.create_partitions(&grown, &AdminOptions::new()).await? {
            if let Err((topic, code)) = result {
                bail!("grow topic {topic}: {code}");
            }
        }
        self.led(topic, i32::try_from(partitions)?).await
    }

    /// Opens a transaction that writes `count` records to one partition. It is aborted when dropped.
    pub(crate) async fn transaction(&self, topic: &str, partition: i32, count: usize) -> Result<Transaction> {
        let id = format!("{topic}-{partition}-{count}");
        let producer: BaseProducer = config(&self.bootstrap).set("transactional.id", id).create()?;
        let (topic, producer) = (topic.to_owned(), Arc::new(producer));
        let own = Arc::clone(&producer);
        tokio::task::spawn_blocking(move || -> Result<()> {
            own.init_transactions(CALL * 6)?;
            own.begin_transaction()?;
            for _ in 0..count {
                let record = BaseRecord::<(), _>::to(&topic).partition(partition).payload("x");
                own.send(record).map_err(|(error, _)| error)?;
            }
            Ok(own.flush(CALL)?)
        })
        .await??;
        Ok(Transaction(producer))
    }

    /// Commits offsets for a group that has no members. A fresh cluster first has to find a coordinator.
    pub(crate) async fn commit(&self, group: &str, topic: &str, offsets: &Offsets) -> Result<()> {
        let consumer: Arc<BaseConsumer> = Arc::new(config(&self.bootstrap).set("group.id", group).create()?);
        let list = list(topic, offsets)?;
        eventually(&format!("commit {topic} for {group}"), || async {
            let (consumer, list) = (Arc::clone(&consumer), list.clone());
            tokio::task::spawn_blocking(move || consumer.commit(&list, CommitMode::Sync)).await??;
            Ok(Some(()))
        })
        .await
    }

    /// The end of every partition of a topic. A fresh topic's leaders first have to know that they lead.
    pub(crate) async fn ends(&self, topic: &str, partitions: i32) -> Result<Offsets> {
        let mut question = TopicPartitionList::new();
        for partition in 0..partitions {
            question.add_partition_offset(topic, partition, Offset::End)?;
        }
        eventually(&format!("the ends of {topic}"), || async {
            let (reader, question) = (Arc::clone(&self.reader), question.clone());
            let answer =
                tokio::task::spawn_blocking(move || reader.offsets_for_times(question, CALL)).await??;
            let elements = answer.elements();
            let ends = elements.iter().map(|element| match (element.error(), element.offset()) {
                (Ok(()), Offset::Offset(offset)) => Ok((element.partition(), offset)),
                (error, offset) => bail!("{}: {error:?} {offset:?}", element.partition()),
            });
            ends.collect::<Result<_>>().map(Some)
        })
        .await
    }

    /// Commits the end of every partition: the group has nothing left to do.
    pub(crate) async fn commit_ends(&self, group: &str, topic: &str, partitions: i32) -> Result<()> {
        let ends = self.ends(topic, partitions).await?;
        self.commit(group, topic, &ends).await
    }

    /// The broker that leads a partition.
    pub(crate) async fn leader(&self, topic: &str, partition: i32) -> Result<usize> {
        let metadata = self.metadata().await?;
        let topic = metadata.topics().iter().find(|entry| entry.name() == topic).context("no such topic")?;
        let partition = topic.partitions().iter().find(|entry| entry.id() == partition);
        Ok(usize::try_from(partition.context("no such partition")?.leader())?)
    }

    /// The broker that coordinates a group, as the partitioner of the offsets topic has it.
    pub(crate) async fn coordinator(&self, group: &str) -> Result<usize> {
        let metadata = self.metadata().await?;
        let topic = metadata.topics().iter().find(|topic| topic.name() == "__consumer_offsets");
        let partitions = topic.context("there is no offsets topic yet")?.partitions();
        let hash = group
            .encode_utf16()
            .fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
        let index = (hash & i32::MAX) % i32::try_from(partitions.len())?;
        let partition = partitions.iter().find(|partition| partition.id() == index);
        Ok(usize::try_from(partition.context("the offsets topic has no such partition")?.leader())?)
    }
}

/// An open transaction.
#[derive(Clone)]
pub(crate) struct Transaction(Arc<BaseProducer>);

impl Transaction {
    /// Commits it.
    pub(crate) async fn commit(self) -> Result<()> {
        Ok(tokio::task::spawn_blocking(move || self.0.commit_transaction(CALL * 6)).await??)
    }

    /// Aborts it, and waits until that is done.
    pub(crate) async fn abort(self) -> Result<()> {
        Ok(tokio::task::spawn_blocking(move || self.0.abort_transaction(CALL * 6)).await??)
    }
}

fn config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("client.id", "suite")
        .set("socket.timeout.ms", "5000")
        .set("topic.metadata.refresh.interval.ms", "1000")
        .set("isolation.level", "read_uncommitted")
        .set("enable.auto.commit", "false");
    config
}

fn list(topic: &str, offsets: &Offsets) -> Result<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in offsets {
        list.add_partition_offset(topic, *partition, Offset::Offset(*offset))?;
    }
    Ok(list)
}
