//! What happened, told by Spark and by the broker, and nothing of it by Tidegate: executors by the driver, batches by
//! the query's own progress, ages by the records' timestamps.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::support::daemon::at;
use crate::support::kafka::CALL;
use crate::support::spark::Driver;

/// A batch that processed something.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Batch {
    /// When it was committed: milliseconds since 1970; in a record, seconds since the first that counts.
    pub(crate) at: f64,
    /// Seconds that its trigger took.
    pub(crate) took: f64,
    pub(crate) records: u64,
    /// Where it ended, by partition.
    #[serde(skip)]
    ends: BTreeMap<i32, u64>,
}

/// From when to when an executor was there, in seconds since the first that counts.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Stay {
    pub(crate) from: f64,
    pub(crate) to: f64,
}

/// Seconds from one moment to another.
pub(crate) fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64()
}

/// All batches so far, in order.
pub(crate) fn batches(driver: &Driver) -> Result<Vec<Batch>> {
    driver.progress()?.iter().filter(|progress| *at(progress, "/numInputRows") != 0).map(batch).collect()
}

fn batch(progress: &Value) -> Result<Batch> {
    let begun: Timestamp = at(progress, "/timestamp").as_str().context("no timestamp")?.parse()?;
    let took = at(progress, "/durationMs/triggerExecution").as_f64().context("no duration")? / 1000.0;
    let ends = at(progress, "/sources/0/endOffset").as_object().context("no offsets")?;
    let ends = ends.values().next().and_then(Value::as_object).context("no topic")?;
    let end = |(partition, offset): (&String, &Value)| Some((partition.parse().ok()?, offset.as_u64()?));
    Ok(Batch {
        at: f64::from(u32::try_from(begun.as_second())?) * 1000.0
            + f64::from(begun.subsec_millisecond())
            + took * 1000.0,
        took,
        records: at(progress, "/numInputRows").as_u64().context("no records")?,
        ends: ends.iter().filter_map(end).collect(),
    })
}

fn milliseconds(at: Timestamp) -> f64 {
    Timestamp::UNIX_EPOCH.duration_until(at).as_secs_f64() * 1000.0
}

/// Those that were committed between two moments.
pub(crate) fn within(all: &[Batch], begin: Timestamp, end: Timestamp) -> Vec<Batch> {
    let within = all.iter().filter(|batch| batch.at >= milliseconds(begin) && batch.at <= milliseconds(end));
    within.map(|batch| Batch { at: (batch.at - milliseconds(begin)) / 1000.0, ..batch.clone() }).collect()
}

/// Executors that were there between two moments. One that was there before begins below 0, one that is there still
/// ends after the last second.
pub(crate) async fn executors(driver: &Driver, begin: Timestamp, end: Timestamp) -> Result<Vec<Stay>> {
    let moment = |executor: &Value, field: &str| -> Result<Option<Timestamp>> {
        let text = at(executor, field).as_str();
        Ok(text.map(|text| text.replace("GMT", "Z").parse()).transpose()?)
    };
    let mut stays = Vec::new();
    for executor in driver.executors_ever().await? {
        let from = moment(&executor, "/addTime")?.context("an executor that was never added")?;
        let to = moment(&executor, "/removeTime")?.map_or(f64::INFINITY, |to| seconds(begin, to));
        let from = seconds(begin, from);
        if to > 0.0 && from < seconds(begin, end) {
            // JSON knows no infinity.
            stays.push(Stay { from, to: to.min(seconds(begin, end) + 1.0) });
        }
    }
    Ok(stays)
}

/// When every record of a topic was produced, in milliseconds since 1970, by partition.
pub(crate) async fn timestamps(bootstrap: &str, topic: &str, partitions: i32) -> Result<Vec<Vec<f64>>> {
    let (bootstrap, topic) = (bootstrap.to_owned(), topic.to_owned());
    tokio::task::spawn_blocking(move || read(&bootstrap, &topic, partitions)).await?
}

fn read(bootstrap: &str, topic: &str, partitions: i32) -> Result<Vec<Vec<f64>>> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("group.id", "suite-witness");
    let consumer: BaseConsumer = config.set("enable.auto.commit", "false").create()?;
    let mut places = TopicPartitionList::new();
    let mut left = 0;
    for partition in 0..partitions {
        places.add_partition_offset(topic, partition, Offset::Beginning)?;
        left += consumer.fetch_watermarks(topic, partition, CALL)?.1;
    }
    consumer.assign(&places)?;
    let mut all = vec![Vec::new(); usize::try_from(partitions)?];
    while left > 0 {
        let message = consumer.poll(Duration::from_secs(10)).context("records are missing")??;
        let at = message.timestamp().to_millis().context("a record without a timestamp")?;
        let of = all.get_mut(usize::try_from(message.partition())?).context("no such partition")?;
        ensure!(message.offset() == i64::try_from(of.len())?, "a record is missing");
        of.push(milliseconds(Timestamp::from_millisecond(at)?));
        left -= 1;
    }
    Ok(all)
}

/// Age of the oldest record that was in no committed batch, once a second.
pub(crate) fn ages(
    batches: &[Batch],
    records: &[Vec<f64>],
    begin: Timestamp,
    end: Timestamp,
) -> Vec<(f64, f64)> {
    let (mut ages, mut second) = (Vec::new(), 0_u32);
    while f64::from(second) <= seconds(begin, end) {
        let now = milliseconds(begin) + f64::from(second) * 1000.0;
        let done = batches.iter().rev().find(|batch| batch.at <= now);
        let oldest = (0..).zip(records).filter_map(|(partition, produced)| {
            let next = done.and_then(|batch| batch.ends.get(&partition)).copied().unwrap_or(0);
            produced.get(usize::try_from(next).ok()?).copied().filter(|at| *at <= now)
        });
        let oldest = oldest.fold(now, f64::min);
        ages.push((f64::from(second), (now - oldest) / 1000.0));
        second += 1;
    }
    ages
}
