//! One sweep over a cluster: every question that any source has, asked once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::join_all;
use jiff::Timestamp;
use tokio::time::timeout;

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
/// How long all groups together may take. With the log offsets after them, a sweep over a cluster with a
/// frozen broker still ends within the ten seconds that a source has by default.
const GROUPS_PATIENCE: Duration = Duration::from_secs(6);
/// Absent topics whose reason is asked for in one sweep.
const ABSENT_AT_ONCE: usize = 8;

/// Sweeps one cluster with what it keeps open between two sweeps.
pub(super) struct Sweeper {
    name: String,
    connection: KafkaConnection,
    concurrency: usize,
    meter: Arc<Meter>,
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
        Self { name: name.to_owned(), connection, concurrency, meter, open: None }
    }

    /// Reads everything that was ordered. Never fails: what could not be read is missing in the snapshot.
    pub(super) async fn sweep(&mut self, order: Order, now: Timestamp) -> Snapshot {
        let (began, sent) = (tokio::time::Instant::now(), self.meter.sent());
        let mut snapshot = Snapshot::empty(&self.name, order, now);
        match self.fill(&mut snapshot, now).await {
            Ok(()) => snapshot.reachable = true,
            Err(trouble) => snapshot.failure = Some(trouble),
        }
        snapshot.problems = snapshot.causes();
        snapshot.stats = SweepStats {
            cluster: self.name.clone(),
            requests: self.meter.sent() - sent,
            partitions: snapshot.partitions(),
            groups: snapshot.groups.len(),
            seconds: began.elapsed().as_secs_f64(),
        };
        snapshot
    }

    async fn fill(&mut self, snapshot: &mut Snapshot, now: Timestamp) -> Result<(), Trouble> {
        self.refresh(&snapshot.order).await?;
        let Some(open) = &mut self.open else { return Ok(()) };
        let names = snapshot.order.groups();
        // Every handle has to learn of new partitions and leaders by itself.
        let layouts = join_all(open.handles.values().map(|handle| layout(handle, &self.meter)));
        let (layouts, groups) = tokio::join!(layouts, timeout(GROUPS_PATIENCE, open.groups.fetch(&names)));
        snapshot.groups = groups.unwrap_or_else(|_| {
            let seconds = GROUPS_PATIENCE.as_secs();
            let address = "the group coordinator".to_owned();
            let silent = Trouble::Silent { address, seconds };
            names.into_iter().map(|group| (group, Err(silent.clone()))).collect()
        });
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
        for (level, topics) in &wanted {
            let Some(handle) = handles.get(level).cloned() else { continue };
            self.read_logs(handle, *level, topics, snapshot, now).await;
        }
        self.explain_absent(&wanted, snapshot).await;
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
        now: Timestamp,
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
        let asked = by_leader.into_iter().map(|(leader, partitions)| {
            let name = brokers.get(&leader).cloned().unwrap_or_else(|| format!("broker {leader}"));
            let (handle, meter) = (Arc::clone(&handle), Arc::clone(&self.meter));
            async move {
                let mut logs = Logs::new();
                let outcome = ask_leader(&handle, &meter, &name, &partitions, topics, now, &mut logs).await;
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

    /// A topic that was named but not listed: is it missing, or may we not see it?
    async fn explain_absent(&self, wanted: &Wanted, snapshot: &mut Snapshot) {
        let Some(handle) = self.open.as_ref().and_then(|open| open.handles.values().next().cloned()) else {
            return;
        };
        let named = wanted.values().flat_map(BTreeMap::keys).collect::<BTreeSet<_>>();
        let absent: Vec<String> =
            named.into_iter().filter(|topic| !snapshot.layout.topics.contains_key(*topic)).cloned().collect();
        for topic in absent {
            let trouble = if snapshot.absent.len() < ABSENT_AT_ONCE {
                self.meter.permit().await;
                let (handle, topic) = (Arc::clone(&handle), topic.clone());
                blocking(move || handle.why_absent(&topic)).await
            } else {
                Trouble::TopicMissing { topic: topic.clone() }
            };
            snapshot.absent.insert(topic, trouble);
        }
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

/// Asks one leader everything, in chunks. The first failure ends it: what follows would fail too, and
/// each time cost a time-out.
async fn ask_leader(
    handle: &Arc<Handle>,
    meter: &Meter,
    name: &str,
    partitions: &[(String, i32)],
    topics: &BTreeMap<String, BTreeSet<TimeSpan>>,
    now: Timestamp,
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
