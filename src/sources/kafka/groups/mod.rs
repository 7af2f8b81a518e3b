//! What consumer groups have committed and what they are doing, asked over Kafka's own protocol: one
//! `OffsetFetch` for many groups and one `ListGroups` per coordinator. librdkafka is not asked, because
//! its group calls can abort the process when a coordinator comes back after a time-out.

#[cfg(test)]
pub(super) mod peer;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::{FindCoordinatorRequest, GroupId, ListGroupsRequest, OffsetFetchRequest};
use kafka_protocol::protocol::StrBytes;
use tokio::time::{Instant, timeout_at};

use super::reading::Commit;
use super::trouble::Trouble;
use super::wire::{Door, Wire};
use crate::engine::observation::GroupState;

/// Groups asked for in one request: the answer stays far below the limit of a frame.
const GROUPS_AT_ONCE: usize = 500;

/// How long all groups together may take.
const PATIENCE: Duration = Duration::from_secs(6);
/// How long it may take to learn coordinators, and how long one coordinator may take: less than everything
/// together, so that a silent one leaves time to look for what has moved.
const EACH: Duration = Duration::from_secs(4);
/// How long a broker is waited for before the next one is asked beside it.
const STAGGER: Duration = Duration::from_millis(500);

mod code {
    pub(super) const COORDINATOR_LOAD_IN_PROGRESS: i16 = 14;
    pub(super) const COORDINATOR_NOT_AVAILABLE: i16 = 15;
    pub(super) const NOT_COORDINATOR: i16 = 16;
    pub(super) const GROUP_AUTHORIZATION_FAILED: i16 = 30;
}

/// What one group said. A partition that it does not hold is one that nothing was committed for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sources) struct Group {
    pub(in crate::sources) state: GroupState,
    pub(in crate::sources) commits: BTreeMap<String, BTreeMap<i32, Commit>>,
}

pub(super) type Groups = BTreeMap<String, Result<Group, Trouble>>;

/// Reads groups over connections of its own, which it keeps.
pub(super) struct GroupReader {
    bootstrap: Vec<String>,
    /// The named broker to begin with: the one that answered last, or the one after those that did not.
    first: usize,
    door: Door,
    wires: BTreeMap<String, Wire>,
    /// Address of each group's coordinator, as far as known.
    coordinators: BTreeMap<String, String>,
}

impl GroupReader {
    pub(super) fn new(bootstrap: Vec<String>, door: Door) -> Self {
        Self { bootstrap, first: 0, door, wires: BTreeMap::new(), coordinators: BTreeMap::new() }
    }

    /// Asks for every group, for [`PATIENCE`] at most. Each gets an answer or the reason why there is none;
    /// who is silent costs nobody else an answer.
    pub(super) async fn fetch(&mut self, groups: &BTreeSet<String>) -> Groups {
        let until = Instant::now() + PATIENCE;
        self.coordinators.retain(|group, _| groups.contains(group));
        let mut answers = self.round(groups, until).await;
        // A coordinator that has moved is found at once; one that is starting gets time until the next turn.
        let moved: BTreeSet<String> = answers
            .iter()
            .filter(|(_, answer)| matches!(answer, Err(Trouble::Coordinator(MOVED))))
            .map(|(group, _)| group.clone())
            .collect();
        if !moved.is_empty() {
            answers.extend(self.round(&moved, until).await);
        }
        answers
    }

    async fn round(&mut self, groups: &BTreeSet<String>, until: Instant) -> Groups {
        let mut answers = self.find_coordinators(groups, until).await;
        let until = until.min(Instant::now() + EACH);
        let mut by_address = BTreeMap::<String, Vec<String>>::new();
        for group in groups {
            if let Some(address) = self.coordinators.get(group) {
                by_address.entry(address.clone()).or_default().push(group.clone());
            }
        }
        let asked = by_address.into_iter().map(|(address, groups)| {
            let (wire, door) = (self.wires.remove(&address), &self.door);
            async move {
                let answer = timeout_at(until, ask(wire, &address, door, &groups)).await;
                let answer = answer.unwrap_or_else(|_| Err(silent(&address)));
                (address, groups, answer)
            }
        });
        for (address, groups, answer) in join_all(asked).await {
            match answer {
                Ok((wire, of_address)) => {
                    self.wires.insert(address, wire);
                    answers.extend(of_address);
                }
                Err(trouble) => {
                    answers.extend(groups.into_iter().map(|group| (group, Err(trouble.clone()))));
                }
            }
        }
        for (group, answer) in &answers {
            if matches!(answer, Err(trouble) if !matches!(trouble, Trouble::GroupForbidden { .. })) {
                self.coordinators.remove(group);
            }
        }
        answers
    }

    /// Learns the coordinators that are not known. Answers for those groups that have none.
    async fn find_coordinators(&mut self, groups: &BTreeSet<String>, until: Instant) -> Groups {
        let unknown: Vec<&String> =
            groups.iter().filter(|group| !self.coordinators.contains_key(*group)).collect();
        let mut failed = Groups::new();
        if unknown.is_empty() {
            return failed;
        }
        match self.ask_anyone(&unknown, until.min(Instant::now() + EACH)).await {
            Err(trouble) => {
                failed.extend(unknown.into_iter().map(|group| (group.clone(), Err(trouble.clone()))));
            }
            Ok(found) => {
                for coordinator in found {
                    let group = coordinator.key.to_string();
                    if coordinator.error_code == 0 {
                        let address = address(&coordinator.host, coordinator.port);
                        self.coordinators.insert(group, address);
                    } else {
                        let trouble = verdict(&group, coordinator.error_code);
                        failed.insert(group, Err(trouble));
                    }
                }
                for group in unknown {
                    if !self.coordinators.contains_key(group) && !failed.contains_key(group) {
                        failed.insert(group.clone(), Err(Trouble::Coordinator("none was named")));
                    }
                }
            }
        }
        failed
    }

    /// Any broker knows the coordinators: first those that we are connected to, then the named ones. One
    /// that fails, or takes longer than [`STAGGER`], does not hold up the next one.
    async fn ask_anyone(&mut self, groups: &[&String], until: Instant) -> Result<Vec<Coordinator>, Trouble> {
        let Self { bootstrap, first, door, wires, .. } = self;
        let door = &*door;
        let named = bootstrap.iter().enumerate().cycle().skip(*first).take(bootstrap.len());
        let named = named.map(|(place, address)| (Some(place), address.clone()));
        let kept: Vec<_> = wires.keys().map(|address| (None, address.clone())).collect();
        let mut waiting: VecDeque<_> = kept.into_iter().chain(named).collect();
        let foremost = waiting.front().map(|(_, address)| address.clone()).unwrap_or_default();
        let mut asked = FuturesUnordered::new();
        let mut worst = None;
        loop {
            if let Some((place, address)) = waiting.pop_front() {
                // Whatever interrupts us: the next look goes on after the ones that were tried.
                if let Some(place) = place {
                    *first = (place + 1) % bootstrap.len();
                }
                let wire = if place.is_none() { wires.remove(&address) } else { None };
                asked.push(async move { (place, find(wire, &address, door, groups).await) });
            }
            let turn = if waiting.is_empty() { until } else { until.min(Instant::now() + STAGGER) };
            match timeout_at(turn, asked.next()).await {
                Ok(Some((place, Ok((wire, found))))) => {
                    *first = place.unwrap_or(*first);
                    wires.insert(wire.address().to_owned(), wire);
                    return Ok(found);
                }
                // The next broker would refuse us too, and may lock the account.
                Ok(Some((_, Err(trouble @ Trouble::Authentication { .. })))) => return Err(trouble),
                Ok(Some((Some(_), Err(trouble)))) => worst = Some(trouble.clearer(worst)),
                Ok(None) if waiting.is_empty() => {
                    let nobody = || Trouble::Other("bootstrapServers names no broker".into());
                    return Err(worst.unwrap_or_else(nobody));
                }
                Err(_) if Instant::now() >= until => {
                    return Err(worst.unwrap_or_else(|| silent(&foremost)));
                }
                // A kept connection may merely have been closed while idle.
                Ok(Some((None, Err(_))) | None) | Err(_) => {}
            }
        }
    }
}

/// Asks one broker for coordinators, on a kept connection or a new one.
async fn find(
    wire: Option<Wire>,
    address: &str,
    door: &Door,
    groups: &[&String],
) -> Result<(Wire, Vec<Coordinator>), Trouble> {
    let mut wire = match wire {
        Some(wire) => wire,
        None => Wire::open(address, door).await?,
    };
    let found = coordinators(&mut wire, groups).await?;
    Ok((wire, found))
}

fn silent(address: &str) -> Trouble {
    Trouble::Silent { address: address.to_owned(), seconds: EACH.as_secs() }
}

/// Asks one coordinator. A kept connection may have been closed while idle: then once more on a new one.
async fn ask(
    wire: Option<Wire>,
    address: &str,
    door: &Door,
    groups: &[String],
) -> Result<(Wire, Groups), Trouble> {
    if let Some(mut wire) = wire {
        match read(&mut wire, groups).await {
            Err(Trouble::Closed { .. } | Trouble::Other(_)) => {}
            answer => return answer.map(|answer| (wire, answer)),
        }
    }
    let mut wire = Wire::open(address, door).await?;
    let answer = read(&mut wire, groups).await?;
    Ok((wire, answer))
}

/// Commits first: offsets are read after them, so that a commit never seems to lie past the end.
async fn read(wire: &mut Wire, groups: &[String]) -> Result<Groups, Trouble> {
    let mut answers = Groups::new();
    for some in groups.chunks(GROUPS_AT_ONCE) {
        answers.extend(commits(wire, some).await?);
    }
    let states = states(wire).await?;
    for (group, answer) in &mut answers {
        if let Ok(answer) = answer {
            answer.state = match &states {
                None => GroupState::Unknown,
                Some(states) => match states.get(group) {
                    Some(state) => *state,
                    // A coordinator that has just started lists nothing at first: only a group that has
                    // not committed anything either does not exist.
                    None if answer.commits.is_empty() => GroupState::Dead,
                    None => GroupState::Unknown,
                },
            };
        }
    }
    Ok(answers)
}

async fn coordinators(wire: &mut Wire, groups: &[&String]) -> Result<Vec<Coordinator>, Trouble> {
    let version =
        wire.version::<FindCoordinatorRequest>(6).ok_or(Trouble::TooOld { api: "FindCoordinator" })?;
    if version >= 4 {
        let keys = groups.iter().map(|group| StrBytes::from_string((*group).clone())).collect();
        return Ok(wire
            .call(version, &FindCoordinatorRequest::default().with_coordinator_keys(keys))
            .await?
            .coordinators);
    }
    let mut found = Vec::new();
    for group in groups {
        let key = StrBytes::from_string((*group).clone());
        let answer = wire.call(version, &FindCoordinatorRequest::default().with_key(key.clone())).await?;
        found.push(
            Coordinator::default()
                .with_key(key)
                .with_node_id(answer.node_id)
                .with_host(answer.host)
                .with_port(answer.port)
                .with_error_code(answer.error_code),
        );
    }
    Ok(found)
}

/// Every commit of every group: `topics: None` asks for all. Without `require_stable`, because the last
/// commit counts also while a transaction is about to replace it.
async fn commits(wire: &mut Wire, groups: &[String]) -> Result<Groups, Trouble> {
    // From version 10 on topics have ids instead of names.
    let version = wire.version::<OffsetFetchRequest>(9).ok_or(Trouble::TooOld { api: "OffsetFetch" })?;
    let mut answers = Groups::new();
    if version >= 8 {
        let ask = |group: &String| {
            OffsetFetchRequestGroup::default()
                .with_group_id(GroupId(StrBytes::from_string(group.clone())))
                .with_member_epoch(-1)
                .with_topics(None)
        };
        let request = OffsetFetchRequest::default().with_groups(groups.iter().map(ask).collect());
        for answer in wire.call(version, &request).await?.groups {
            let cells = answer.topics.iter().flat_map(|topic| {
                topic.partitions.iter().map(|cell| {
                    (topic.name.to_string(), cell.partition_index, cell.committed_offset, cell.error_code)
                })
            });
            let group = answer.group_id.to_string();
            let answer = group_of(&group, answer.error_code, cells);
            answers.insert(group, answer);
        }
    } else if version >= 2 {
        for group in groups {
            let request = OffsetFetchRequest::default()
                .with_group_id(GroupId(StrBytes::from_string(group.clone())))
                .with_topics(None);
            let answer = wire.call(version, &request).await?;
            let cells = answer.topics.iter().flat_map(|topic| {
                topic.partitions.iter().map(|cell| {
                    (topic.name.to_string(), cell.partition_index, cell.committed_offset, cell.error_code)
                })
            });
            answers.insert(group.clone(), group_of(group, answer.error_code, cells));
        }
    } else {
        return Err(Trouble::TooOld { api: "OffsetFetch for all topics of a group (Kafka 0.10.2)" });
    }
    for group in groups {
        let left_out =
            || Err(Trouble::Group { group: group.clone(), error: "the broker left it out".into() });
        answers.entry(group.clone()).or_insert_with(left_out);
    }
    Ok(answers)
}

fn group_of(
    group: &str,
    error: i16,
    cells: impl Iterator<Item = (String, i32, i64, i16)>,
) -> Result<Group, Trouble> {
    if error != 0 {
        return Err(verdict(group, error));
    }
    let mut commits = BTreeMap::<String, BTreeMap<i32, Commit>>::new();
    for (topic, partition, offset, error) in cells {
        let commit = match (error, offset) {
            (0, 0..) => Commit::At(offset),
            (0, -1) => Commit::Nothing,
            _ => Commit::Unknown,
        };
        commits.entry(topic).or_default().insert(partition, commit);
    }
    Ok(Group { state: GroupState::Unknown, commits })
}

/// `None` where the broker is too old to list states (before Kafka 2.6) or does not list at the moment.
async fn states(wire: &mut Wire) -> Result<Option<BTreeMap<String, GroupState>>, Trouble> {
    let Some(version) = wire.version::<ListGroupsRequest>(5).filter(|version| *version >= 4) else {
        return Ok(None);
    };
    let answer = wire.call(version, &ListGroupsRequest::default()).await?;
    let states = answer.groups.iter().map(|group| (group.group_id.to_string(), state(group)));
    Ok((answer.error_code == 0).then(|| states.collect()))
}

/// Classic, KIP-848 and share groups have their own words for the same things.
fn state(group: &ListedGroup) -> GroupState {
    match &*group.group_state {
        "Stable" => GroupState::Stable,
        "PreparingRebalance" | "CompletingRebalance" | "Assigning" | "Reconciling" => GroupState::Rebalancing,
        "Empty" => GroupState::Empty,
        "Dead" => GroupState::Dead,
        _ => GroupState::Unknown,
    }
}

const MOVED: &str = "it has moved";

fn verdict(group: &str, error: i16) -> Trouble {
    let group = group.to_owned();
    match error {
        code::NOT_COORDINATOR => Trouble::Coordinator(MOVED),
        code::COORDINATOR_LOAD_IN_PROGRESS => Trouble::Coordinator("it is loading"),
        code::COORDINATOR_NOT_AVAILABLE => Trouble::Coordinator("it is not available"),
        code::GROUP_AUTHORIZATION_FAILED => Trouble::GroupForbidden { group },
        other => {
            let name = kafka_protocol::ResponseError::try_from_code(other)
                .map_or_else(|| format!("error {other}"), |error| format!("{error:?}"));
            Trouble::Group { group, error: name }
        }
    }
}

/// `host:port`, with brackets around an IPv6 address.
fn address(host: &str, port: i32) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
