//! What the sources of a cluster ask for, and what a sweep saw of it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::groups::{Group, Groups};
use super::offsets::{Layout, Leader};
use super::reading::{Commit, Look, Raw, Since};
use super::trouble::{Trouble, lines};
use super::{Keeps, Positions, Subscription};
use crate::engine::observation::GroupState;
use crate::policy::TimeSpan;
use crate::policy::source::{IsolationLevel, KafkaLag};
use crate::sources::SweepStats;

/// What all sources of a cluster want to know.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Order {
    ids: BTreeSet<u64>,
    /// By consumer group; `None` for who keeps positions elsewhere.
    wishes: BTreeMap<Option<String>, BTreeSet<Wish>>,
}

/// What is wanted about the topics of one group; without topics: those it has committed for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Wish {
    topics: Vec<String>,
    level: IsolationLevel,
    window: TimeSpan,
}

impl Order {
    pub(super) fn of<'a>(subscriptions: impl Iterator<Item = &'a Subscription>) -> Self {
        let mut order = Self::default();
        for Subscription { id, spec, window, keeps } in subscriptions {
            order.ids.insert(*id);
            let wish = Wish { topics: spec.topics.clone(), level: spec.isolation_level, window: *window };
            let group = (*keeps == Keeps::WithCoordinator).then(|| spec.group.clone());
            order.wishes.entry(group).or_default().insert(wish);
        }
        order
    }

    /// Whether the source with this number was there when the order was written.
    pub(super) fn knows(&self, id: u64) -> bool {
        self.ids.contains(&id)
    }

    /// The groups to ask for.
    pub(super) fn groups(&self) -> BTreeSet<String> {
        self.wishes.keys().flatten().cloned().collect()
    }

    /// The isolation levels to read with.
    pub(super) fn levels(&self) -> BTreeSet<IsolationLevel> {
        self.wishes.values().flatten().map(|wish| wish.level).collect()
    }

    /// Topics by isolation level, each with the windows it is wanted for.
    pub(super) fn topics(&self, groups: &Groups) -> Wanted {
        let mut wanted = Wanted::new();
        for (group, wishes) in &self.wishes {
            let group = group.as_ref().and_then(|group| groups.get(group));
            for wish in wishes {
                let of_level = wanted.entry(wish.level).or_default();
                for topic in topics(&wish.topics, group) {
                    of_level.entry(topic.clone()).or_default().insert(wish.window);
                }
            }
        }
        wanted
    }
}

pub(super) type Wanted = BTreeMap<IsolationLevel, BTreeMap<String, BTreeSet<TimeSpan>>>;

fn topics<'a>(named: &'a [String], group: Option<&'a Result<Group, Trouble>>) -> Vec<&'a String> {
    match group {
        _ if !named.is_empty() => named.iter().collect(),
        Some(Ok(group)) => group.commits.keys().collect(),
        _ => Vec::new(),
    }
}

/// The log of one partition, as one isolation level sees it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Log {
    pub(super) start: Option<i64>,
    pub(super) end: Option<i64>,
    pub(super) since: BTreeMap<TimeSpan, Since>,
}

pub(super) type Logs = BTreeMap<String, BTreeMap<i32, Log>>;

/// What one sweep saw.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) at: Timestamp,
    pub(super) order: Order,
    /// One line per cause, each with the cluster's name.
    pub(super) problems: BTreeSet<String>,
    /// Whether the cluster answered at all.
    pub(super) reachable: bool,
    pub(super) stats: SweepStats,
    cluster: String,
    /// Why nothing was read, where nothing was.
    pub(super) failure: Option<Trouble>,
    pub(super) logs: BTreeMap<IsolationLevel, Logs>,
    pub(super) groups: Groups,
    pub(super) absent: BTreeMap<String, Trouble>,
    /// Why the partitions of a broker are not known.
    pub(super) leaders: BTreeMap<Leader, Trouble>,
    pub(super) layout: Layout,
}

impl Snapshot {
    /// With nothing read yet.
    pub(super) fn empty(cluster: &str, order: Order, at: Timestamp) -> Self {
        Self {
            at,
            order,
            problems: BTreeSet::new(),
            reachable: false,
            stats: SweepStats::default(),
            cluster: cluster.to_owned(),
            failure: None,
            logs: BTreeMap::new(),
            groups: Groups::new(),
            absent: BTreeMap::new(),
            leaders: BTreeMap::new(),
            layout: Layout::default(),
        }
    }

    /// Partitions that were asked for, once per isolation level.
    pub(super) fn partitions(&self) -> usize {
        self.logs.values().flat_map(BTreeMap::values).map(BTreeMap::len).sum()
    }

    /// Every cause of trouble, once.
    pub(super) fn causes(&self) -> BTreeSet<String> {
        let of_groups = self.groups.values().filter_map(|group| group.as_ref().err());
        let of_topics = self.absent.values().chain(self.leaders.values());
        lines(&self.cluster, self.failure.iter().chain(of_groups).chain(of_topics))
    }

    /// Whether positions that were read elsewhere lie past an end.
    pub(super) fn is_behind(&self, spec: &KafkaLag, told: &Positions) -> bool {
        let logs = self.logs.get(&spec.isolation_level);
        let past = |topic: &String, partition: &i32, commit: &Commit| {
            let log = logs.and_then(|logs| logs.get(topic)).and_then(|logs| logs.get(partition));
            let end = log.and_then(|log| log.end);
            matches!((commit, end), (Commit::At(position), Some(end)) if *position > end)
        };
        told.iter()
            .flat_map(|told| &told.commits)
            .any(|(topic, commits)| commits.iter().any(|(partition, commit)| past(topic, partition, commit)))
    }

    /// The part of it that one source asked for. `told`: where it stands, if that was read elsewhere.
    pub(super) fn look(&self, spec: &KafkaLag, window: TimeSpan, told: Option<&Positions>) -> Look {
        let asked = self.groups.get(&spec.group).filter(|_| told.is_none());
        let mut troubles: Vec<&Trouble> = self.failure.iter().collect();
        troubles.extend(asked.and_then(|group| group.as_ref().err()));
        let read = asked.and_then(|group| group.as_ref().ok());
        let group = told.map_or(read, |told| told.as_ref());
        let mut look = Look {
            at: self.at,
            group: group.map_or(GroupState::Unknown, |group| group.state),
            partitions: BTreeMap::new(),
            problems: Vec::new(),
            incomplete: false,
            as_of: None,
        };
        let named = topics(&spec.topics, asked);
        if named.is_empty() && group.is_some() {
            look.problems.push(format!(
                "kafka {}: group {} has committed nothing yet: name the policy's topics",
                self.cluster, spec.group
            ));
        }
        for topic in named {
            troubles.extend(self.absent.get(topic));
            let Some(partitions) = self.layout.topics.get(topic) else {
                look.incomplete = true;
                continue;
            };
            let logs = self.logs.get(&spec.isolation_level).and_then(|logs| logs.get(topic));
            for (partition, leader) in partitions {
                troubles.extend(self.leaders.get(leader));
                let log = logs.and_then(|logs| logs.get(partition));
                let commit = group.map_or(Commit::Unknown, |group| {
                    let commit = group.commits.get(topic).and_then(|commits| commits.get(partition));
                    commit.copied().unwrap_or(Commit::Nothing)
                });
                let raw = Raw {
                    start: log.and_then(|log| log.start),
                    end: log.and_then(|log| log.end),
                    since: log.and_then(|log| log.since.get(&window).copied()).unwrap_or_default(),
                    commit,
                };
                look.partitions.insert((topic.clone(), *partition), raw);
            }
        }
        look.problems.extend(lines(&self.cluster, troubles.into_iter()));
        look
    }
}
