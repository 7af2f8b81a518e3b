//! The Pods of a set: which of them go when it is made smaller, and which of them nobody finds room for.

use std::cmp::Reverse;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::{DynamicObject, ListParams, Patch, PatchParams};
use kube::core::Selector;
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

use super::ActuateError;
use super::api::{ReadError, refusal};
use super::owners::MANAGER;
use crate::engine::observation::{LimitCause, TargetLimit, TargetReading};

/// Of a `ReplicaSet`'s Pods, the one that costs least goes first; without it, every Pod costs 0.
const COST: &str = "controller.kubernetes.io/pod-deletion-cost";
/// What we say that those cost which are to go. A number that nobody else would think of tells them again.
const FIRST: &str = "-1900514";
/// The label by which a driver tells its executors.
const EXECUTOR: &str = "spark-exec-id";
/// Seconds that a Pod may wait for a node, its image and its volumes.
const PATIENT: f64 = 60.0;

/// One Pod that is there to stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: String,
    uid: String,
    version: String,
    created: Option<Timestamp>,
    ready: bool,
    /// It has not started, and what the scheduler says of that.
    pending: Option<String>,
    cost: Option<String>,
    /// The executor that it is, once the driver has taken it in.
    pub(super) executor: Option<String>,
    pub(super) ip: Option<String>,
}

impl Member {
    fn of(pod: &Pod) -> Option<Self> {
        let status = pod.status.clone().unwrap_or_default();
        let phase = status.phase.unwrap_or_default();
        if pod.metadata.deletion_timestamp.is_some() || matches!(phase.as_str(), "Succeeded" | "Failed") {
            return None;
        }
        let conditions = status.conditions.unwrap_or_default();
        let condition = |kind: &str| conditions.iter().find(|one| one.type_ == kind);
        let waits = condition("PodScheduled").filter(|one| one.status == "False");
        let words = waits.and_then(|one| one.message.clone()).unwrap_or_default();
        let executor = pod.labels().get(EXECUTOR).filter(|id| id.parse::<u64>().is_ok());
        Some(Self {
            name: pod.name_any(),
            uid: pod.metadata.uid.clone()?,
            version: pod.metadata.resource_version.clone()?,
            created: pod.metadata.creation_timestamp.as_ref().map(|time| time.0),
            ready: condition("Ready").is_some_and(|one| one.status == "True"),
            pending: (phase == "Pending").then_some(words),
            cost: pod.annotations().get(COST).cloned(),
            executor: executor.cloned(),
            ip: status.pod_ip,
        })
    }

    /// Its number in a StatefulSet.
    fn ordinal(&self) -> Option<u32> {
        self.name.rsplit_once('-')?.1.parse().ok()
    }
}

/// The Pods that a Deployment or a StatefulSet selects.
pub(super) async fn members(client: &Client, set: &DynamicObject) -> Result<Vec<Member>, ReadError> {
    let unfit = |_| ReadError::Unfit("its selector cannot be read".to_owned());
    let selector = set.data.pointer("/spec/selector").cloned().unwrap_or_default();
    let selector: LabelSelector = serde_json::from_value(selector).map_err(unfit)?;
    let selector = Selector::try_from(selector)
        .map_err(|_| ReadError::Unfit("its selector cannot be read".to_owned()))?;
    let api: Api<Pod> = Api::namespaced(client.clone(), &set.namespace().unwrap_or_default());
    let pods = api.list(&ListParams::default().labels_from(&selector)).await?;
    Ok(pods.items.iter().filter_map(Member::of).collect())
}

/// How much would be lost with a Pod: what it does now, and what it keeps.
pub(super) type Load = (u64, u64);

/// The `count` Pods that a Deployment had best lose: those that do nothing yet, then those with the least load, then
/// the youngest. Those that were chosen before stay chosen where it makes no difference.
pub(super) fn easiest(members: &[Member], count: usize, load: impl Fn(&Member) -> Load) -> Vec<&Member> {
    let mut all: Vec<&Member> = members.iter().collect();
    all.sort_by_key(|one| {
        let chosen = one.cost.as_deref() == Some(FIRST);
        (one.ready, load(one), !chosen, Reverse(one.created), one.name.clone())
    });
    all.truncate(count);
    all
}

/// The `count` Pods that a StatefulSet will lose: those with the highest numbers.
pub(super) fn highest(members: &[Member], count: usize) -> Vec<&Member> {
    let mut all: Vec<&Member> = members.iter().collect();
    all.sort_by_key(|one| Reverse(one.ordinal()));
    all.truncate(count);
    all
}

/// How far a set may grow that is still short of Pods, and why, in words. That its Pods cannot be listed is no reason to
/// hold it back.
pub(super) async fn stuck(
    client: &Client,
    set: &DynamicObject,
    reading: &TargetReading,
    now: Timestamp,
) -> (Option<TargetLimit>, Option<String>) {
    if reading.settled || reading.ready >= reading.current {
        return (None, None);
    }
    match members(client, set).await {
        Err(error) => (None, Some(format!("which of its Pods are Pending is not known: {error}"))),
        Ok(members) => {
            let waiting = waiting(&members, now);
            let most = reading.current.filter(|_| waiting.is_some());
            (most.map(|most| TargetLimit { most, cause: LimitCause::Pending }), waiting)
        }
    }
}

/// Pods that have been waiting for longer than they should, in words; `None` where there are none.
fn waiting(members: &[Member], now: Timestamp) -> Option<String> {
    let long = |one: &&Member| {
        let since = one.created.filter(|_| one.pending.is_some());
        since.is_some_and(|since| now.duration_since(since).as_secs_f64() > PATIENT)
    };
    let pending: Vec<&Member> = members.iter().filter(long).collect();
    let first = pending.first()?;
    let words = first.pending.as_ref().filter(|words| !words.is_empty());
    let words = words.map_or_else(String::new, |words| format!(" ({words})"));
    Some(format!("{} Pods have been Pending for over {PATIENT:.0} s{words}", pending.len()))
}

/// Has the chosen Pods go first, and no others. Writes nothing where that stands already.
pub(super) async fn mark(
    client: &Client,
    namespace: &str,
    members: &[Member],
    chosen: &[&Member],
) -> Result<(), ActuateError> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    for one in members {
        let wanted = chosen.contains(&one);
        let marked = one.cost.as_deref() == Some(FIRST);
        if wanted == marked {
            continue;
        }
        let patch = json!({"metadata": {
            "uid": one.uid, "resourceVersion": one.version,
            "annotations": {COST: if wanted { FIRST } else { "0" }},
        }});
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let written = api.patch_metadata(&one.name, &params, &Patch::Merge(&patch)).await;
        written.map(drop).map_err(|error| refusal(&error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn pod(name: &str, second: i64, further: &Value) -> Option<Member> {
        let created = Timestamp::from_second(1_000_000 + second).unwrap();
        let mut pod = json!({
            "metadata": {"name": name, "uid": name, "resourceVersion": "1", "creationTimestamp": created, "labels": {EXECUTOR: "7"}},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        });
        for (pointer, value) in further.as_object().unwrap() {
            let (holder, field) = pointer.rsplit_once('/').unwrap();
            let holder = holder.split('/').skip(1).fold(&mut pod, |at, name| &mut at[name]);
            holder[field] = value.clone();
        }
        Member::of(&serde_json::from_value(pod).unwrap())
    }

    fn names<'a>(chosen: &[&'a Member]) -> Vec<&'a str> {
        chosen.iter().map(|one| one.name.as_str()).collect()
    }

    #[test]
    fn what_is_idle_goes_before_what_works() {
        let none = json!({});
        let starting = json!({"/status/conditions": []});
        let marked = json!({"/metadata/annotations": {COST: FIRST}});
        let all: Vec<Member> =
            [("old", 0, &none), ("starting", 1, &starting), ("young", 9, &none), ("busy", 20, &none)]
                .into_iter()
                .filter_map(|(name, second, further)| pod(name, second, further))
                .collect();
        let load = |one: &Member| if one.name == "busy" { (1, 0) } else { (0, 0) };
        assert_eq!(names(&easiest(&all, 3, load)), ["starting", "young", "old"]);
        let again = [all.clone(), vec![pod("chosen", 2, &marked).unwrap()]].concat();
        assert_eq!(names(&easiest(&again, 2, load)), ["starting", "chosen"], "whatever its age");
        let caches = |one: &Member| (0, u64::from(one.name == "young"));
        assert_eq!(names(&easiest(&all, 4, caches)), ["starting", "busy", "old", "young"]);
    }

    #[test]
    fn a_stateful_set_loses_its_highest_numbers() {
        let all: Vec<Member> =
            ["w-2", "w-10", "w-9"].into_iter().filter_map(|name| pod(name, 0, &json!({}))).collect();
        assert_eq!(names(&highest(&all, 2)), ["w-10", "w-9"]);
    }

    #[test]
    fn pods_that_end_are_no_members_and_unnamed_executors_are_none() {
        assert_eq!(pod("a", 0, &json!({"/status/phase": "Failed"})), None);
        assert_eq!(pod("a", 0, &json!({"/metadata/deletionTimestamp": "2026-01-01T00:00:00Z"})), None);
        let named = |id: &str| pod("a", 0, &json!({"/metadata/labels": {EXECUTOR: id}})).unwrap().executor;
        assert_eq!((named("12"), named("EXECID")), (Some("12".to_owned()), None));
    }

    #[test]
    fn a_pod_may_be_pending_for_a_minute() {
        let condition =
            json!([{"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}]);
        let pending = json!({"/status/phase": "Pending", "/status/conditions": condition});
        let all = [pod("a", 0, &pending).unwrap(), pod("b", 0, &json!({})).unwrap()];
        let at = |second: i64| Timestamp::from_second(1_000_000 + second).unwrap();
        assert_eq!(waiting(&all, at(60)), None);
        let told = "1 Pods have been Pending for over 60 s (0/3 nodes are available)";
        assert_eq!(waiting(&all, at(61)).as_deref(), Some(told));
    }
}
