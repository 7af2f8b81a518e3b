//! One sweep over a cluster: every question that any source has, asked once.
//!
//! First the layout beside the groups, then the logs, one leader's failure ending what is asked of it,
//! beside the reasons for absent topics. With six seconds at most for the groups, three and a half for each
//! question to librdkafka, and none begun after [`LAST_QUESTION`], a sweep over a cluster with any number of
//! frozen brokers still ends within the ten seconds that a source has by default. Who was silent the last
//! time is asked last, so that healthy brokers are not among those that there is no time for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::join_all;
use jiff::Timestamp;
use tokio::time::Instant;

use super::access::Access;
use super::groups::GroupReader;
use super::offsets::{Answer, Handle, Layout, Leader, Question};
use super::snapshot::{Logs, Order, Snapshot, Wanted};
use super::tls;
use super::trouble::Trouble;
use super::wire::Door;
use crate::policy::TimeSpan;
use crate::policy::settings::KafkaConnection;
use crate::policy::source::IsolationLevel;
use crate::sources::SweepStats;
use crate::sources::meter::Meter;

/// Partitions in one request: more gains nothing.
const PARTITIONS_AT_ONCE: usize = 500;
/// How long after its beginning a sweep may still ask a leader something.
const LAST_QUESTION: Duration = Duration::from_secs(6);
/// How long leaders are asked in any case, however long it took to know whom to ask.
const FIRST_QUESTIONS: Duration = Duration::from_millis(250);
/// Absent topics whose reason is asked for in one sweep.
const ABSENT_AT_ONCE: usize = 8;

/// Sweeps one cluster with what it keeps open between two sweeps.
pub(super) struct Sweeper {
    name: String,
    connection: KafkaConnection,
    concurrency: usize,
    meter: Arc<Meter>,
    /// The last sweep's.
    stats: SweepStats,
    /// Leaders that failed in the last sweep.
    silent: BTreeSet<Leader>,
    open: Option<Open>,
}

/// Clients that were made with one set of credentials.
struct Open {
    access: Access,
    groups: GroupReader,
    handles: BTreeMap<IsolationLevel, Arc<Handle>>,
}

impl Sweeper {
    pub(super) fn new(name: &str, connection: KafkaConnection, concurrency: u32, meter: Arc<Meter>) -> Self {
        let concurrency = usize::try_from(concurrency).unwrap_or(1).max(1);
        let stats = SweepStats { cluster: name.to_owned(), ..SweepStats::default() };
        Self {
            name: name.to_owned(),
            connection,
            concurrency,
            meter,
            stats,
            silent: BTreeSet::new(),
            open: None,
        }
    }

    /// Reads everything that was ordered. Never fails: what could not be read is missing in the snapshot.
    pub(super) async fn sweep(&mut self, order: Order, now: Timestamp) -> Snapshot {
        let (began, sent) = (Instant::now(), self.meter.sent());
        let mut snapshot = Snapshot::empty(&self.name, order, now);
        match self.fill(&mut snapshot, now, began + LAST_QUESTION).await {
            Ok(()) => snapshot.reachable = true,
            Err(trouble) => snapshot.failure = Some(trouble),
        }
        snapshot.problems = snapshot.causes();
        let (requests, seconds) = (self.meter.sent() - sent, began.elapsed().as_secs_f64());
        self.stats = SweepStats {
            cluster: self.name.clone(),
            sweeps: self.stats.sweeps + 1,
            requests_in_all: self.stats.requests_in_all + requests,
            seconds_in_all: self.stats.seconds_in_all + seconds,
            requests,
            partitions: snapshot.partitions(),
            groups: snapshot.groups.len(),
            seconds,
        };
        snapshot.stats = self.stats.clone();
        snapshot
    }

    async fn fill(&mut self, snapshot: &mut Snapshot, now: Timestamp, until: Instant) -> Result<(), Trouble> {
        self.refresh(&snapshot.order).await?;
        let Some(open) = &mut self.open else { return Ok(()) };
        let names = snapshot.order.groups();
        // Every handle has to learn of new partitions and leaders by itself.
        let layouts = join_all(open.handles.values().map(|handle| layout(handle, &self.meter)));
        let (layouts, groups) = tokio::join!(layouts, open.groups.fetch(&names));
        snapshot.groups = groups;
        snapshot.layout =
            layouts.into_iter().reduce(Result::or).unwrap_or_else(|| Ok(Layout::default())).map_err(
                |trouble| {
                    // The group reader knows the cause at once, where librdkafka may only know that time passed.
                    let of_groups = snapshot.groups.values().filter_map(|group| group.as_ref().err());
                    of_groups.filter(|trouble| trouble.is_of_connection()).fold(trouble, |worst, other| {
                        if other.weight() >= worst.weight() { other.clone() } else { worst }
                    })
                },
            )?;
        let wanted = snapshot.order.topics(&snapshot.groups);
        let handles = open.handles.clone();
        let absent = self.explain_absent(&wanted, &snapshot.layout);
        let until = until.max(Instant::now() + FIRST_QUESTIONS);
        let logs = async {
            for (level, topics) in &wanted {
                let Some(handle) = handles.get(level).cloned() else { continue };
                self.read_logs(handle, *level, topics, snapshot, (now, until)).await;
            }
        };
        let (absent, ()) = tokio::join!(absent, logs);
        snapshot.absent = absent;
        self.silent = snapshot.leaders.keys().copied().collect();
        Ok(())
    }

    /// Opens what is not open, or anew where a credential has changed.
    async fn refresh(&mut self, order: &Order) -> Result<(), Trouble> {
        let connection = self.connection.clone();
        let access = blocking(move || Access::load(&connection)).await?;
        if self.open.as_ref().is_none_or(|open| open.access != access) {
            if let Some(old) = self.open.take() {
                tracing::info!(cluster = self.name, "kafka {}: the credentials have changed", self.name);
                close(old);
            }
            let tls = access.tls.as_ref().map(tls::connector).transpose()?;
            let door = Door { tls, login: access.sasl.clone(), meter: Arc::clone(&self.meter) };
            let groups = GroupReader::new(self.connection.bootstrap_servers.clone(), door);
            self.open = Some(Open { access, groups, handles: BTreeMap::new() });
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        let levels = order.levels();
        let unused: Vec<_> = open.handles.keys().filter(|level| !levels.contains(*level)).copied().collect();
        for level in unused {
            close(open.handles.remove(&level));
        }
        for level in levels {
            if !open.handles.contains_key(&level) {
                let (connection, access) = (self.connection.clone(), open.access.clone());
                let handle = blocking(move || Handle::open(&connection, &access, level)).await?;
                open.handles.insert(level, Arc::new(handle));
            }
        }
        Ok(())
    }

    /// Ends, starts and windows of all partitions, leader by leader, a few leaders at a time.
    async fn read_logs(
        &self,
        handle: Arc<Handle>,
        level: IsolationLevel,
        topics: &BTreeMap<String, BTreeSet<TimeSpan>>,
        snapshot: &mut Snapshot,
        (now, until): (Timestamp, Instant),
    ) {
        let mut by_leader = BTreeMap::<Leader, Vec<(String, i32)>>::new();
        for topic in topics.keys() {
            for (partition, leader) in snapshot.layout.topics.get(topic).into_iter().flatten() {
                // One that was silent for the other isolation level would be so again.
                if snapshot.leaders.contains_key(leader) {
                    continue;
                }
                if *leader >= 0 {
                    by_leader.entry(*leader).or_default().push((topic.clone(), *partition));
                } else {
                    let trouble = Trouble::Other("some partitions have no leader: they are unknown".into());
                    snapshot.leaders.insert(*leader, trouble);
                }
            }
        }
        let brokers = &snapshot.layout.brokers;
        let asked = order(by_leader, &self.silent).into_iter().map(|(leader, partitions)| {
            let name = brokers.get(&leader).cloned().unwrap_or_else(|| format!("broker {leader}"));
            let (handle, meter) = (Arc::clone(&handle), Arc::clone(&self.meter));
            async move {
                let mut logs = Logs::new();
                let leader_asked = (name.as_str(), partitions.as_slice());
                let outcome =
                    ask_leader(&handle, &meter, leader_asked, topics, (now, until), &mut logs).await;
                (leader, logs, outcome)
            }
        });
        let mut answers = futures::stream::iter(asked).buffer_unordered(self.concurrency);
        while let Some((leader, logs, outcome)) = answers.next().await {
            let all = snapshot.logs.entry(level).or_default();
            for (topic, partitions) in logs {
                all.entry(topic).or_default().extend(partitions);
            }
            if let Err(trouble) = outcome {
                snapshot.leaders.insert(leader, trouble);
            }
        }
        drop(answers);
        let handle = Arc::clone(&handle);
        blocking(move || handle.drain()).await;
    }

    /// A topic that was named but not listed: is it missing, or may we not see it? Asked for a few at once,
    /// while the logs are read, so that it does not make the sweep longer.
    fn explain_absent(
        &self,
        wanted: &Wanted,
        layout: &Layout,
    ) -> impl Future<Output = BTreeMap<String, Trouble>> + use<> {
        let handle = self.open.as_ref().and_then(|open| open.handles.values().next().cloned());
        let named = wanted.values().flat_map(BTreeMap::keys).collect::<BTreeSet<_>>();
        let absent = named.into_iter().filter(|topic| !layout.topics.contains_key(*topic)).cloned();
        let reasons: Vec<_> = absent
            .enumerate()
            .map(|(index, topic)| {
                let handle = handle.clone().filter(|_| index < ABSENT_AT_ONCE);
                let meter = Arc::clone(&self.meter);
                async move {
                    let Some(handle) = handle else {
                        return (topic.clone(), Trouble::TopicMissing { topic });
                    };
                    meter.permit().await;
                    let asked = topic.clone();
                    (topic, blocking(move || handle.why_absent(&asked)).await)
                }
            })
            .collect();
        async move { join_all(reasons).await.into_iter().collect() }
    }
}

/// What one handle sees of the cluster.
async fn layout(handle: &Arc<Handle>, meter: &Meter) -> Result<Layout, Trouble> {
    meter.permit().await;
    let handle = Arc::clone(handle);
    blocking(move || {
        let layout = handle.layout();
        if layout.is_ok() {
            handle.forgive();
        }
        layout
    })
    .await
}

/// Closing a client takes a while, and nobody needs to wait for it.
fn close<T: Send + 'static>(client: T) {
    drop(tokio::task::spawn_blocking(move || drop(client)));
}

/// The leaders in the order to ask them in: who failed the last time comes last.
fn order<T>(by_leader: BTreeMap<Leader, T>, silent: &BTreeSet<Leader>) -> Vec<(Leader, T)> {
    let (late, prompt): (Vec<_>, Vec<_>) =
        by_leader.into_iter().partition(|(leader, _)| silent.contains(leader));
    prompt.into_iter().chain(late).collect()
}

/// Asks one leader everything, in chunks. The first failure ends it: what follows would fail too, and
/// each time cost a time-out. So does the time that there is for questions.
async fn ask_leader(
    handle: &Arc<Handle>,
    meter: &Meter,
    (name, partitions): (&str, &[(String, i32)]),
    topics: &BTreeMap<String, BTreeSet<TimeSpan>>,
    (now, until): (Timestamp, Instant),
    logs: &mut Logs,
) -> Result<(), Trouble> {
    let windows: BTreeSet<TimeSpan> = topics.values().flatten().copied().collect();
    let plain = [(Question::End, None), (Question::Start, None)];
    let timed = windows.iter().map(|window| {
        let millis = i64::try_from(window.0.as_millis()).unwrap_or(i64::MAX);
        (Question::Since(now.as_millisecond().saturating_sub(millis)), Some(*window))
    });
    for (question, window) in plain.into_iter().chain(timed) {
        let wanted: Vec<_> = partitions
            .iter()
            .filter(|(topic, _)| {
                window.is_none_or(|window| topics.get(topic).is_some_and(|windows| windows.contains(&window)))
            })
            .cloned()
            .collect();
        for chunk in wanted.chunks(PARTITIONS_AT_ONCE) {
            meter.permit().await;
            if Instant::now() > until {
                return Err(Trouble::Unasked { address: name.to_owned() });
            }
            let (handle, asked, leader) = (Arc::clone(handle), chunk.to_vec(), name.to_owned());
            let answers = blocking(move || handle.ask(question, &asked, &leader)).await?;
            for ((topic, partition), answer) in chunk.iter().zip(answers) {
                let log = logs.entry(topic.clone()).or_default().entry(*partition).or_default();
                match (question, answer, window) {
                    (Question::End, Answer::Offset(end), _) => log.end = end,
                    (Question::Start, Answer::Offset(start), _) => log.start = start,
                    (Question::Since(_), Answer::Since(since), Some(window)) => {
                        log.since.insert(window, since);
                    }
                    _ => {}
                }
            }
        }
    }
    Ok(())
}

/// Runs a call that blocks where that does no harm.
async fn blocking<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(call).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime ends, and this task with it.
            Err(_) => std::future::pending().await,
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::groups::peer::{Manners, Peer};
    use super::*;

    /// Reads one group as the next sweep would, without librdkafka.
    async fn look(sweeper: &mut Sweeper) -> Result<(), Trouble> {
        sweeper.refresh(&Order::default()).await?;
        let groups = &mut sweeper.open.as_mut().unwrap().groups;
        let group = groups.fetch(&BTreeSet::from(["g".to_owned()])).await.remove("g").unwrap();
        group.map(drop)
    }

    #[test]
    fn who_was_silent_is_asked_last() {
        let leaders = (1..=4).map(|leader| (leader, ())).collect();
        let order: Vec<_> =
            order(leaders, &BTreeSet::from([1, 3])).into_iter().map(|(one, ())| one).collect();
        assert_eq!(order, [2, 4, 1, 3]);
    }

    #[tokio::test]
    async fn after_the_last_question_nobody_is_asked() {
        let connection: KafkaConnection =
            serde_json::from_value(json!({"bootstrapServers": ["127.0.0.1:1"]})).unwrap();
        let access = Access::load(&connection).unwrap();
        let handle = Arc::new(Handle::open(&connection, &access, IsolationLevel::ReadUncommitted).unwrap());
        let meter = Meter::per_second(1000);
        let partitions = [("orders".to_owned(), 0)];
        let topics = [("orders".to_owned(), BTreeSet::new())].into();
        let until = Instant::now();
        tokio::time::sleep(Duration::from_millis(1)).await;
        let mut logs = Logs::new();
        let leader = ("kafka-1:9092", partitions.as_slice());
        let asked = ask_leader(&handle, &meter, leader, &topics, (Timestamp::UNIX_EPOCH, until), &mut logs);
        let unasked = Trouble::Unasked { address: "kafka-1:9092".to_owned() };
        assert_eq!((asked.await, logs), (Err(unasked), Logs::new()));
    }

    #[tokio::test]
    async fn a_rotated_password_is_used_at_the_next_sweep() {
        let peer = Peer::start(Manners::default()).await;
        let files = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = files.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let connection = json!({
            "bootstrapServers": [peer.address],
            "sasl": {
                "mechanism": "PLAIN",
                "usernameFile": file("user", "ann\n"),
                "passwordFile": file("password", "first-secret\n"),
            },
        });
        let connection: KafkaConnection = serde_json::from_value(connection).unwrap();
        let meter = Arc::new(Meter::per_second(1000));
        let mut sweeper = Sweeper::new("main", connection, 1, meter);
        let logins = || peer.manners.lock().unwrap().logins.clone();

        assert_eq!(look(&mut sweeper).await, Ok(()));
        assert_eq!(look(&mut sweeper).await, Ok(()));
        assert_eq!(logins(), ["\0ann\0first-secret"], "the connection is kept");
        file("password", "second-secret\n");
        assert_eq!(look(&mut sweeper).await, Ok(()));
        assert_eq!(logins(), ["\0ann\0first-secret", "\0ann\0second-secret"]);

        // A secret that is being replaced may be away for a moment: the cause is told, and it comes back.
        std::fs::remove_file(files.path().join("password")).unwrap();
        let gone = look(&mut sweeper).await.unwrap_err().to_string();
        assert!(gone.contains("cannot read") && gone.contains("password"), "{gone}");
        file("password", "third-secret\n");
        assert_eq!(look(&mut sweeper).await, Ok(()));
        assert_eq!(logins().last().map(String::as_str), Some("\0ann\0third-secret"));
    }
}
