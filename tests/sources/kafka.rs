//! The collector of a cluster, against librdkafka's in-process brokers. They cannot tell all that a group
//! has committed, so every lag is unknown here although the logs are known; what needs commits is shown
//! beside the code and on real brokers.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use rdkafka::config::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _};
use serde_json::json;
use tidegate::engine::observation::{BacklogReading, Quality, SourceReading};
use tidegate::policy::TimeSpan;
use tidegate::policy::source::SourceSpec;
use tidegate::sources::{Connections, Source};

type Brokers = MockCluster<'static, DefaultProducerContext>;

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1_700_000_000 + seconds)
}

/// Brokers with a topic `orders` of six partitions, and ten records in each of the first two.
fn brokers() -> Brokers {
    let brokers = MockCluster::new(2).unwrap();
    brokers.create_topic("orders", 6, 1).unwrap();
    let mut config = ClientConfig::new();
    let producer: BaseProducer =
        config.set("bootstrap.servers", brokers.bootstrap_servers()).create().unwrap();
    for partition in [0, 1] {
        for _ in 0..10 {
            let record: BaseRecord<'_, (), str> = BaseRecord::to("orders").partition(partition).payload("x");
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
    }
    producer.flush(Duration::from_secs(30)).unwrap();
    brokers
}

fn connections(bootstrap: &str) -> Connections {
    let servers: Vec<&str> = bootstrap.split(',').collect();
    let kafka = json!({"kafka": {"main": {"bootstrapServers": servers}}});
    Connections::new(&super::settings(&kafka, &json!({}))).unwrap()
}

fn source(connections: &Connections, group: &str, topics: &[&str]) -> Arc<dyn Source> {
    let spec = json!({"kafkaLag": {
        "cluster": "main", "group": group, "topics": topics, "offsetResetPolicy": "earliest",
    }});
    let spec: SourceSpec = serde_json::from_value(spec).unwrap();
    connections.source(&spec, TimeSpan::from_secs(60), TimeSpan::from_secs(15)).unwrap()
}

async fn look(source: &dyn Source, now: Timestamp) -> BacklogReading {
    match source.observe(now).await {
        SourceReading::Backlog(reading) => reading,
        SourceReading::Metric(reading) => panic!("{reading:?}"),
    }
}

fn ends(reading: &BacklogReading) -> Vec<Option<i64>> {
    reading.partitions.iter().map(|partition| partition.end).collect()
}

const ENDS: [Option<i64>; 6] = [Some(10), Some(10), Some(0), Some(0), Some(0), Some(0)];

#[tokio::test]
async fn all_who_ask_at_once_share_one_sweep() {
    let brokers = brokers();
    let connections = connections(&brokers.bootstrap_servers());
    let sources: Vec<_> = ["a", "b", "b", "c"].map(|group| source(&connections, group, &["orders"])).into();
    assert_eq!(connections.sweeps(), [], "nothing is asked before a source looks");

    let readings = join_all(sources.iter().map(|source| look(&**source, at(0)))).await;
    for reading in &readings {
        assert_eq!(ends(reading), ENDS);
        assert!(reading.partitions.iter().all(|partition| partition.lag.is_none() && !partition.uncommitted));
        assert_eq!(reading.quality, Quality::Missing, "without commits no lag is known");
    }
    let first = connections.sweeps();
    assert_eq!((first[0].groups, first[0].partitions), (3, 6));

    // For seven eighths of an interval the same look is told again, whoever asks and however often.
    let again = look(&*sources[0], at(13)).await;
    assert_eq!(again, readings[0]);
    assert_eq!(connections.sweeps(), first);
    assert_eq!(first[0].sweeps, 1);

    let later = look(&*sources[0], at(15)).await;
    assert_eq!((later.sampled_at, later.over_seconds), (at(15), Some(15.0)));
    assert_eq!(later.partitions[0].arrived, Some(0));
    assert_eq!(connections.sweeps()[0].sweeps, 2);
}

/// Turns as the daemon spreads them: each workload at a place of its own in the interval, and some a
/// tenth of the interval early.
#[tokio::test]
async fn many_workloads_share_about_one_sweep_per_interval_and_none_sees_one_twice() {
    let brokers = brokers();
    let connections = connections(&brokers.bootstrap_servers());
    let sources: Vec<_> = (0..15).map(|_| source(&connections, "a", &["orders"])).collect();
    let mut last = vec![None; sources.len()];
    for second in 0..150_i64 {
        let (turn, place) = (second / 15, usize::try_from(second % 15).unwrap());
        let early = if turn % 2 == 1 { 1_500 } else { 0 };
        let now = at(second) - SignedDuration::from_millis(early);
        let seen = look(&*sources[place], now).await.sampled_at;
        assert_ne!(last[place].replace(seen), Some(seen), "workload {place} in turn {turn}");
    }
    let sweeps = connections.sweeps()[0].sweeps;
    assert!((10..=12).contains(&sweeps), "{sweeps} sweeps in ten intervals");
}

#[tokio::test]
async fn a_caller_that_gives_up_does_not_stop_the_sweep() {
    let brokers = brokers();
    let connections = connections(&brokers.bootstrap_servers());
    let source = source(&connections, "a", &["orders"]);
    {
        let mut impatient = source.observe(at(0));
        assert!(futures::poll!(&mut impatient).is_pending());
    }
    let reading = look(&*source, at(1)).await;
    assert_eq!(reading.sampled_at, at(0), "the answer is that of the first sweep");
    assert_eq!(reading.partitions.len(), 6);
}

#[tokio::test]
async fn a_source_that_comes_later_gets_a_sweep_that_knows_it() {
    let brokers = brokers();
    let connections = connections(&brokers.bootstrap_servers());
    let first = source(&connections, "a", &["orders"]);
    look(&*first, at(0)).await;
    let second = source(&connections, "b", &["orders"]);
    let reading = look(&*second, at(1)).await;
    assert_eq!((reading.sampled_at, reading.partitions.len()), (at(1), 6));
    assert_eq!(connections.sweeps()[0].groups, 2);

    drop(first);
    look(&*second, at(16)).await;
    assert_eq!(connections.sweeps()[0].groups, 1, "nobody asks for the other one any more");
}

#[tokio::test]
async fn a_topic_that_is_not_there_is_unknown_and_not_empty() {
    let brokers = brokers();
    let connections = connections(&brokers.bootstrap_servers());
    let both = look(&*source(&connections, "a", &["orders", "payments"]), at(0)).await;
    assert_eq!(both.partitions.len(), 6);
    let cause =
        "kafka main: there is no topic payments, or no right to DESCRIBE it: check the policy and the ACLs";
    assert!(both.problem.unwrap().contains(cause));
    let none = look(&*source(&connections, "a", &["payments"]), at(1)).await;
    assert_eq!((none.quality, none.partitions.len()), (Quality::Missing, 0));
    assert!(none.problem.unwrap().contains(cause));
}

#[tokio::test]
async fn a_cluster_that_is_gone_is_missing_names_the_cause_and_comes_back() {
    let brokers = brokers();
    let connections = connections(&brokers.bootstrap_servers());
    let source = source(&connections, "a", &["orders"]);
    assert_eq!(look(&*source, at(0)).await.partitions.len(), 6);
    assert_eq!(connections.status()[0].healthy, Some(true));

    for broker in [1, 2] {
        brokers.broker_down(broker).unwrap();
    }
    let gone = look(&*source, at(15)).await;
    assert_eq!((gone.quality, gone.partitions.len()), (Quality::Missing, 0));
    let problem = gone.problem.unwrap();
    assert!(problem.contains("refuses connections: check bootstrapServers"), "{problem}");
    assert_eq!(connections.status()[0].healthy, Some(false));

    for broker in [1, 2] {
        brokers.broker_up(broker).unwrap();
    }
    // librdkafka waits up to a second before it connects again.
    let mut now = 30;
    let back = loop {
        let reading = look(&*source, at(now)).await;
        if ends(&reading) == ENDS || now > 300 {
            break reading;
        }
        now += 15;
    };
    assert_eq!(ends(&back), ENDS);
    assert_eq!(connections.status()[0].healthy, Some(true));
}

#[test]
fn an_address_needs_a_port() {
    let kafka = json!({"kafka": {"main": {"bootstrapServers": ["kafka-0:9092", "kafka-1"]}}});
    let refused = Connections::new(&super::settings(&kafka, &json!({})));
    assert_eq!(
        refused.err().map(|error| error.to_string()).as_deref(),
        Some("kafka main: bootstrapServers: expected host:port, found `kafka-1`")
    );
}
