//! Kafka: one collector per cluster, shared by all its sources and swept when one of them asks.
//!
//! Offsets and metadata come through librdkafka ([`offsets`]), groups through a small reader of Kafka's
//! own protocol ([`groups`]); [`sweep`] puts them together, [`reading`] turns them into backlogs.
//!
//! How often: a source takes the last sweep's snapshot if that is younger than seven eighths of its
//! interval, and else has a new one made. Turns of one workload begin nine tenths of the interval apart
//! or more, so none sees the same snapshot twice in a row; and however many workloads ask, spread over
//! the interval, that is eight sweeps in seven intervals.

mod access;
mod flink;
mod groups;
mod offsets;
mod reading;
mod sasl;
mod snapshot;
mod sweep;
mod tls;
mod trouble;
mod wire;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use jiff::Timestamp;

pub(super) use self::groups::Group;
pub(super) use self::reading::Commit;
use self::snapshot::{Order, Snapshot};
use self::sweep::Sweeper;
use super::meter::Meter;
use super::{ConnectionStatus, Source, SweepStats};
use crate::engine::observation::{BacklogReading, GroupState, Quality, SourceReading};
use crate::flink::{FlinkError, JobWatch, Sight};
use crate::policy::TimeSpan;
use crate::policy::settings::{KafkaConnection, Limits};
use crate::policy::source::KafkaLag;

/// One Kafka cluster: who asks, what was seen last, and the sweep under way.
pub(super) struct Cluster {
    name: String,
    sweeper: Arc<tokio::sync::Mutex<Sweeper>>,
    next_id: AtomicU64,
    board: Mutex<Board>,
}

#[derive(Default)]
struct Board {
    subscriptions: Vec<Weak<Subscription>>,
    snapshot: Option<Arc<Snapshot>>,
    running: Option<Sweeping>,
    /// What was wrong at the last sweep: said once, when it changes.
    problems: BTreeSet<String>,
}

type Sweeping = Shared<BoxFuture<'static, ()>>;

/// What one source wants to know.
#[derive(Debug)]
struct Subscription {
    id: u64,
    spec: KafkaLag,
    window: TimeSpan,
    keeps: Keeps,
}

/// Where a consumer keeps its positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keeps {
    /// With its group's coordinator.
    WithCoordinator,
    /// In a place of its own, which somebody else reads.
    Elsewhere,
}

/// Positions that somebody else has read; `None` where they are unknown.
pub(super) type Positions = Option<Group>;

impl Cluster {
    pub(super) fn new(name: &str, connection: &KafkaConnection, limits: &Limits) -> Arc<Self> {
        let meter = Arc::new(Meter::per_second(limits.kafka_requests_per_second));
        let sweeper = Sweeper::new(name, connection.clone(), limits.kafka_concurrency, meter);
        Arc::new(Self {
            name: name.to_owned(),
            sweeper: Arc::new(tokio::sync::Mutex::new(sweeper)),
            next_id: AtomicU64::new(0),
            board: Mutex::default(),
        })
    }

    /// A source of this cluster. It is swept for as long as the source lives. `job`: the Flink job that consumes,
    /// where it is one.
    pub(super) fn source(
        self: &Arc<Self>,
        spec: &KafkaLag,
        window: TimeSpan,
        interval: TimeSpan,
        job: Option<Arc<JobWatch>>,
    ) -> Arc<dyn Source> {
        Arc::new(View { job, ..self.view(spec, window, interval, Keeps::WithCoordinator) })
    }

    /// A view for a reader of `spec.topics` whose positions are kept elsewhere; `spec.group` only names it.
    pub(super) fn positionless(
        self: &Arc<Self>,
        spec: &KafkaLag,
        window: TimeSpan,
        interval: TimeSpan,
    ) -> View {
        self.view(spec, window, interval, Keeps::Elsewhere)
    }

    fn view(self: &Arc<Self>, spec: &KafkaLag, window: TimeSpan, interval: TimeSpan, keeps: Keeps) -> View {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let subscription = Arc::new(Subscription { id, spec: spec.clone(), window, keeps });
        self.board().subscriptions.push(Arc::downgrade(&subscription));
        View { cluster: Arc::clone(self), subscription, interval, job: None, seen: Mutex::default() }
    }

    pub(super) fn status(&self) -> ConnectionStatus {
        let board = self.board();
        ConnectionStatus {
            kind: "kafka",
            name: self.name.clone(),
            healthy: board.snapshot.as_ref().map(|snapshot| snapshot.reachable),
            problem: (!board.problems.is_empty())
                .then(|| board.problems.iter().map(String::as_str).collect::<Vec<_>>().join("; ")),
        }
    }

    pub(super) fn stats(&self) -> Option<SweepStats> {
        self.board().snapshot.as_ref().map(|snapshot| snapshot.stats.clone())
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A look at the cluster that holds what `id` asked for and is at most `max_age` old. All who ask
    /// while a sweep is under way wait for that one.
    async fn snapshot(self: &Arc<Self>, id: u64, now: Timestamp, max_age: TimeSpan) -> Option<Arc<Snapshot>> {
        // At most: one sweep that began before this source was there, and one that knows it.
        for _ in 0..2 {
            let sweeping = {
                let mut board = self.board();
                let fresh = board.snapshot.as_ref().filter(|snapshot| {
                    snapshot.order.knows(id) && now.duration_since(snapshot.at).unsigned_abs() < max_age.0
                });
                if let Some(snapshot) = fresh {
                    return Some(Arc::clone(snapshot));
                }
                let sweeping = board.running.take().unwrap_or_else(|| self.start(&mut board, now));
                board.running = Some(sweeping.clone());
                sweeping
            };
            sweeping.await;
            let landed = self.board().snapshot.clone().filter(|snapshot| snapshot.order.knows(id));
            if landed.is_some() {
                return landed;
            }
        }
        None
    }

    /// Sweeps in a task of its own: a caller that gives up does not cancel it.
    fn start(self: &Arc<Self>, board: &mut Board, now: Timestamp) -> Sweeping {
        board.subscriptions.retain(|subscription| subscription.strong_count() > 0);
        let live: Vec<_> = board.subscriptions.iter().filter_map(Weak::upgrade).collect();
        let order = Order::of(live.iter().map(Arc::as_ref));
        let sweeper = Arc::clone(&self.sweeper);
        let sweep = tokio::spawn(async move { sweeper.lock().await.sweep(order, now).await });
        let cluster = Arc::clone(self);
        let landing = tokio::spawn(async move {
            let outcome = sweep.await;
            let mut board = cluster.board();
            board.running = None;
            match outcome {
                Ok(snapshot) => {
                    cluster.tell(&mut board, &snapshot.problems);
                    board.snapshot = Some(Arc::new(snapshot));
                }
                Err(error) => {
                    tracing::error!(cluster = cluster.name, %error, "a sweep ended before its time");
                }
            }
        });
        landing.map(|_| ()).boxed().shared()
    }

    /// One line per change of state.
    fn tell(&self, board: &mut Board, problems: &BTreeSet<String>) {
        for problem in problems.difference(&board.problems) {
            tracing::warn!(cluster = self.name, "{problem}");
        }
        if problems.is_empty() && !board.problems.is_empty() {
            tracing::info!(cluster = self.name, "kafka {}: all is well again", self.name);
        }
        board.problems.clone_from(problems);
    }
}

/// One policy's view of a cluster.
pub(super) struct View {
    cluster: Arc<Cluster>,
    subscription: Arc<Subscription>,
    interval: TimeSpan,
    job: Option<Arc<JobWatch>>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    memory: reading::Memory,
    last: Option<BacklogReading>,
}

impl Source for View {
    fn observe(&self, now: Timestamp) -> BoxFuture<'_, SourceReading> {
        async move {
            // The job first: what it has read by then, the log surely holds.
            let job = match &self.job {
                Some(job) => Some(job.look(now, self.interval.0 * 7 / 8).await),
                None => None,
            };
            SourceReading::Backlog(self.sight(now, None, job.as_ref()).await)
        }
        .boxed()
    }
}

impl View {
    /// The backlog behind the group's commits, or behind positions that were read elsewhere, not after `now`.
    pub(super) async fn look(&self, now: Timestamp, told: Option<&Positions>) -> BacklogReading {
        self.sight(now, told, None).await
    }

    async fn sight(
        &self,
        now: Timestamp,
        told: Option<&Positions>,
        job: Option<&Result<Arc<Sight>, FlinkError>>,
    ) -> BacklogReading {
        let max_age = TimeSpan(self.interval.0 * 7 / 8);
        let mut snapshot = self.cluster.snapshot(self.subscription.id, now, max_age).await;
        if let (Some(seen), Some(told)) = (&snapshot, told)
            && seen.is_behind(&self.subscription.spec, told)
        {
            // Read before the positions were: look again, so that only a true contradiction is one.
            snapshot = self.cluster.snapshot(self.subscription.id, now, TimeSpan::default()).await;
        }
        let Some(snapshot) = snapshot else {
            let problem = format!("kafka {}: the sweep broke off", self.cluster.name);
            let Subscription { spec, window, .. } = &*self.subscription;
            return nothing(spec, *window, now, &problem);
        };
        let mut reading = self.read(&snapshot, told, job);
        let age = now.duration_since(reading.sampled_at).unsigned_abs();
        if age > self.interval.0 * 2 {
            reading.quality = reading.quality.max(Quality::Stale);
            reading.problem.get_or_insert_with(|| {
                format!("kafka {}: the last sweep began {} s ago", self.cluster.name, age.as_secs())
            });
        }
        reading
    }

    /// A snapshot that was read before gives the same reading again: it is one look, not two.
    fn read(
        &self,
        snapshot: &Snapshot,
        told: Option<&Positions>,
        job: Option<&Result<Arc<Sight>, FlinkError>>,
    ) -> BacklogReading {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = seen.last.as_ref().filter(|last| last.sampled_at == snapshot.at) {
            return last.clone();
        }
        let Subscription { spec, window, .. } = &*self.subscription;
        let mut look = snapshot.look(spec, *window, told);
        if let Some(job) = job {
            flink::amend(&mut look, job);
        }
        let reading = reading::read(spec, *window, look, &mut seen.memory);
        seen.last = Some(reading.clone());
        reading
    }
}

/// The reading of a consumer of which nothing is known, with the problem in words.
pub(super) fn nothing(spec: &KafkaLag, window: TimeSpan, now: Timestamp, problem: &str) -> BacklogReading {
    BacklogReading {
        source: format!("{}/{}", spec.cluster, spec.group),
        sampled_at: now,
        quality: Quality::Missing,
        problem: Some(problem.to_owned()),
        group: GroupState::Unknown,
        over_seconds: None,
        window_seconds: window.as_secs_f64(),
        partitions: Vec::new(),
        streaming: None,
    }
}
