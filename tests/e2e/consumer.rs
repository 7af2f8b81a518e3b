//! A Kafka consumer that takes a fixed time per record: what runs behind each Pod of the end-to-end
//! suite. It commits what it has processed, leaves its group cleanly on SIGTERM, and joins by the
//! cooperative protocol.
//!
//! ```text
//! consumer --bootstrap HOST:PORT --group G --topics A,B --rate 200
//!     [--start-ms 3000] [--commit-ms 1000|0] [--set key=value]...
//! ```

#![expect(clippy::disallowed_methods, reason = "a consumer that is slow on purpose lives in real time")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use tokio::signal::unix::{SignalKind, signal};

/// How much lateness is made up for.
const SLACK: Duration = Duration::from_millis(100);

#[derive(Debug, Parser)]
struct Args {
    /// Brokers.
    #[arg(long)]
    bootstrap: String,
    /// Consumer group.
    #[arg(long)]
    group: String,
    /// Topics, separated by commas.
    #[arg(long, value_delimiter = ',')]
    topics: Vec<String>,
    /// Records per second.
    #[arg(long, default_value_t = 200.0)]
    rate: f64,
    /// Milliseconds that it takes to start.
    #[arg(long, default_value_t = 0)]
    start_ms: u64,
    /// Milliseconds between commits; 0 never commits.
    #[arg(long, default_value_t = 1000)]
    commit_ms: u64,
    /// Further librdkafka properties.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    properties: Vec<String>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let stop = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let asked = Arc::clone(&stop);
    let mut terminated = runtime.block_on(async { signal(SignalKind::terminate()) })?;
    let worker = std::thread::spawn(move || consume(&args, &stop));
    runtime.block_on(terminated.recv());
    asked.store(true, Ordering::Relaxed);
    worker.join().map_err(|_| anyhow::anyhow!("the consumer panicked"))?
}

fn consume(args: &Args, stop: &AtomicBool) -> anyhow::Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(args.start_ms) {
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &args.bootstrap)
        .set("group.id", &args.group)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", "10000")
        .set("auto.offset.reset", "earliest")
        .set("topic.metadata.refresh.interval.ms", "2000")
        .set("fetch.wait.max.ms", "100")
        .set("enable.auto.offset.store", "false")
        .set("enable.auto.commit", if args.commit_ms > 0 { "true" } else { "false" })
        .set("auto.commit.interval.ms", args.commit_ms.max(1).to_string());
    for property in &args.properties {
        let (key, value) = property.split_once('=').context("--set wants key=value")?;
        config.set(key, value);
    }
    let consumer: BaseConsumer = config.create()?;
    consumer.subscribe(&args.topics.iter().map(String::as_str).collect::<Vec<_>>())?;
    let pace = Duration::from_secs_f64(1.0 / args.rate);
    let mut next = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        match consumer.poll(Duration::from_millis(100)) {
            None => {}
            Some(Ok(message)) => {
                // A late wake-up is made up for; idle time is not saved up for a burst.
                next = next.max(Instant::now().checked_sub(SLACK).unwrap_or(next)) + pace;
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
                // Fails where the partition has just been taken away: the next owner processes it again.
                if let Err(error) = consumer.store_offset_from_message(&message) {
                    eprintln!("not stored: {error}");
                }
            }
            Some(Err(error)) => eprintln!("poll: {error}"),
        }
    }
    if args.commit_ms > 0 {
        match consumer.commit_consumer_state(CommitMode::Sync) {
            Ok(()) | Err(KafkaError::ConsumerCommit(_)) => {}
            Err(error) => eprintln!("last commit: {error}"),
        }
    }
    consumer.unsubscribe();
    Ok(())
}
