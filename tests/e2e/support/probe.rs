//! The suite's own measure of what users feel: the age of the oldest unprocessed record, read record by
//! record. It shares no code and no method with the daemon, which asks the broker's time index.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};
use tokio::time::Instant;

use super::kafka::CALL;

/// One look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) at: Instant,
    /// Age of the oldest unprocessed record, in seconds.
    pub(crate) age: f64,
    /// Unprocessed records.
    pub(crate) backlog: i64,
}

/// Looks about once a second until dropped.
#[derive(Debug)]
pub(crate) struct Probe {
    samples: Arc<Mutex<Vec<Sample>>>,
}

impl Probe {
    /// Watches a group's progress through a topic.
    pub(crate) fn start(bootstrap: &str, group: &str, topic: &str, partitions: i32) -> Result<Self> {
        let config = |group: &str| {
            let mut config = ClientConfig::new();
            config
                .set("bootstrap.servers", bootstrap)
                .set("client.id", "suite-probe")
                .set("group.id", group)
                .set("enable.auto.commit", "false")
                .set("isolation.level", "read_uncommitted")
                .set("fetch.wait.max.ms", "50")
                .set("queued.min.messages", "1")
                .set("fetch.message.max.bytes", "4096");
            config
        };
        let eyes = Eyes {
            commits: config(group).create()?,
            records: config(&format!("{group}-probe")).create()?,
            topic: topic.to_owned(),
            partitions,
        };
        let samples = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::downgrade(&samples);
        std::thread::spawn(move || {
            while let Some(samples) = kept.upgrade() {
                // An outage of the brokers is part of some tests: no sample then.
                if let Ok(sample) = eyes.look() {
                    samples.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
                }
                drop(samples);
                std::thread::sleep(Duration::from_secs(1));
            }
        });
        Ok(Self { samples })
    }

    /// Every sample so far.
    pub(crate) fn samples(&self) -> Vec<Sample> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The highest age between two moments, in seconds.
    pub(crate) fn worst(&self, from: Instant, to: Instant) -> Result<f64> {
        let within = self.samples().into_iter().filter(|sample| sample.at >= from && sample.at <= to);
        within.map(|sample| sample.age).max_by(f64::total_cmp).context("the probe saw nothing")
    }
}

struct Eyes {
    commits: BaseConsumer,
    records: BaseConsumer,
    topic: String,
    partitions: i32,
}

impl Eyes {
    fn look(&self) -> Result<Sample> {
        let behind = self.behind()?;
        let at = Instant::now();
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
        let mut list = TopicPartitionList::new();
        for (partition, (committed, _)) in &behind {
            list.add_partition_offset(&self.topic, *partition, Offset::Offset(*committed))?;
        }
        self.records.assign(&list)?;
        let mut first: BTreeMap<i32, i64> = BTreeMap::new();
        while first.len() < behind.len() {
            let record = self.records.poll(CALL).context("a record that must be there did not come")??;
            let at = record.timestamp().to_millis().context("a record without a timestamp")?;
            first.entry(record.partition()).or_insert(at);
        }
        let oldest = first.values().min().map_or(0, |oldest| now.saturating_sub(*oldest).max(0));
        Ok(Sample {
            at,
            age: Duration::from_millis(oldest.unsigned_abs()).as_secs_f64(),
            backlog: behind.values().map(|(committed, end)| end - committed).sum(),
        })
    }

    /// Committed offset and end of every partition with something left to do.
    fn behind(&self) -> Result<BTreeMap<i32, (i64, i64)>> {
        let mut list = TopicPartitionList::new();
        for partition in 0..self.partitions {
            list.add_partition(&self.topic, partition);
        }
        let committed = self.commits.committed_offsets(list, CALL)?;
        let mut behind = BTreeMap::new();
        for element in committed.elements() {
            let (start, end) = self.records.fetch_watermarks(&self.topic, element.partition(), CALL)?;
            let committed = element.offset().to_raw().filter(|offset| *offset > start).unwrap_or(start);
            if committed < end {
                behind.insert(element.partition(), (committed, end));
            }
        }
        Ok(behind)
    }
}
