//! Load: records at a steady rate that can be changed while it runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, ThreadedProducer};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

const TICKS_PER_SECOND: u64 = 20;

/// A running producer; it stops when dropped.
#[derive(Debug)]
pub(crate) struct Load {
    rate: Arc<AtomicU64>,
    produced: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Load {
    /// Spreads `rate` records per second evenly over the partitions.
    pub(crate) fn start(bootstrap: &str, topic: &str, partitions: i32, rate: u64) -> Result<Self> {
        let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("client.id", "suite-load")
            .set("linger.ms", "5")
            // What is sent again on a busy machine is there once still: scenarios count.
            .set("enable.idempotence", "true")
            .set("topic.metadata.refresh.interval.ms", "1000")
            .create()?;
        let rate = Arc::new(AtomicU64::new(rate));
        let produced = Arc::new(AtomicU64::new(0));
        let task = tokio::spawn(run(
            producer,
            topic.to_owned(),
            partitions,
            Arc::clone(&rate),
            Arc::clone(&produced),
        ));
        Ok(Self { rate, produced, task })
    }

    /// Records per second from now on.
    pub(crate) fn set(&self, rate: u64) {
        self.rate.store(rate, Ordering::Relaxed);
    }

    /// Records so far.
    pub(crate) fn produced(&self) -> u64 {
        self.produced.load(Ordering::Relaxed)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(
    producer: ThreadedProducer<DefaultProducerContext>,
    topic: String,
    partitions: i32,
    rate: Arc<AtomicU64>,
    produced: Arc<AtomicU64>,
) {
    let mut ticks = interval(Duration::from_secs(1) / u32::try_from(TICKS_PER_SECOND).unwrap_or(1));
    // A late tick is made up for: the rate holds on average.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut owed, mut partition) = (0, 0);
    loop {
        ticks.tick().await;
        owed += rate.load(Ordering::Relaxed);
        while owed >= TICKS_PER_SECOND {
            let record = BaseRecord::<(), _>::to(&topic).partition(partition).payload("a record of the load");
            match producer.send(record) {
                Ok(()) => {
                    produced.fetch_add(1, Ordering::Relaxed);
                    owed -= TICKS_PER_SECOND;
                    partition = (partition + 1) % partitions;
                }
                // Full, while a broker is away: the rest is owed.
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => break,
                Err(_) => return,
            }
        }
    }
}
