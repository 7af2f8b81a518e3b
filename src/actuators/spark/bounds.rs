//! Where an application states its executor bounds, and why they are left alone. Pure.

use kube::ResourceExt as _;
use kube::api::DynamicObject;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Kind;
use crate::policy::Replicas;
use crate::policy::target::SparkApi;

/// What the keys of `sparkConf` begin with.
const PREFIX: &str = "spark.dynamicAllocation.";
/// A queue decides when such an application runs, and with how much.
const QUEUE: &str = "kueue.x-k8s.io/queue-name";
const LOWER: &str = "minExecutors";
const UPPER: &str = "maxExecutors";
const INITIAL: &str = "initialExecutors";

/// How many executors an application may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Range {
    pub(super) lower: Replicas,
    pub(super) upper: Replicas,
    /// What it starts with, where that is stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) initial: Option<Replicas>,
}

impl Range {
    /// With other bounds: a start that is stated moves along.
    pub(super) fn to(self, lower: Replicas, upper: Replicas) -> Self {
        let upper = upper.max(lower);
        Self { lower, upper, initial: self.initial.map(|initial| initial.clamp(lower, upper)) }
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} to {} executors", self.lower, self.upper)
    }
}

/// An application's executor bounds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bounds {
    pub(super) range: Range,
    /// The most that quotas leave room for.
    pub(super) room: Option<Replicas>,
    /// Stated in `dynamicAllocation`.
    typed: bool,
    /// Stated in `sparkConf`.
    conf: bool,
    /// The application's own spec.
    pub(super) spec: Value,
}

impl Bounds {
    /// Finds them, or says why they are left alone.
    pub(super) fn find(kind: Kind, object: &DynamicObject) -> Result<Self, String> {
        refuse(kind, object)?;
        Self::stated(kind, object)
    }

    /// Whether the application's spec turns dynamic allocation on.
    pub(super) fn is_dynamic(kind: Kind, object: &DynamicObject) -> bool {
        let spec = object.data.pointer(&format!("/{}", kind.path().join("/")));
        let typed = spec.and_then(|spec| spec.pointer("/dynamicAllocation/enabled"));
        let conf = spec.and_then(|spec| spec.get("sparkConf")?.get(format!("{PREFIX}enabled"))?.as_str());
        typed == Some(&true.into()) || conf == Some("true")
    }

    /// Finds them, whatever state the application is in.
    pub(super) fn stated(kind: Kind, object: &DynamicObject) -> Result<Self, String> {
        let spec = object.data.pointer(&format!("/{}", kind.path().join("/")));
        let spec = spec.ok_or_else(|| format!("it has no {}", kind.path().join(".")))?;
        let typed = spec.get("dynamicAllocation").filter(|typed| typed.get("enabled") == Some(&true.into()));
        let conf = |field: &str| spec.get("sparkConf")?.get(format!("{PREFIX}{field}"))?.as_str();
        if typed.is_none() && conf("enabled") != Some("true") {
            return Err(format!(
                "dynamic allocation is off, so it has no bounds: {} is all it gets",
                kind.instances()
            ));
        }
        let count = |field: &str| -> Result<Option<Replicas>, String> {
            let one = typed.and_then(|typed| typed.get(field)).filter(|value| !value.is_null());
            let one = one.map(|value| whole(value.as_u64(), field)).transpose()?;
            let other = conf(field).map(|text| whole(text.trim().parse().ok(), field)).transpose()?;
            match (one, other) {
                (Some(one), Some(other)) if one != other => Err(format!(
                    "two places disagree about {field}: dynamicAllocation says {one}, sparkConf {other}; state it once"
                )),
                (one, other) => Ok(one.or(other)),
            }
        };
        let (lower, upper, initial) = (count(LOWER)?, count(UPPER)?, count(INITIAL)?);
        let upper =
            upper.ok_or_else(|| format!("it states no {UPPER}, so it takes all there is: state one"))?;
        let conf = [LOWER, UPPER, INITIAL].iter().any(|field| conf(field).is_some());
        let range = Range { lower: lower.unwrap_or(Replicas(0)), upper, initial };
        Ok(Self { range, room: None, typed: typed.is_some(), conf, spec: spec.clone() })
    }

    /// The range for other bounds, no larger than there is room for.
    pub(super) fn moved(&self, lower: Replicas, upper: Option<Replicas>) -> Range {
        let most = self.room.unwrap_or(Replicas(u32::MAX));
        self.range.to(lower.min(most), upper.unwrap_or(self.range.upper).min(most))
    }

    /// The application's spec with other bounds: in the places where it states them already.
    pub(super) fn to(&self, Range { lower, upper, initial }: Range) -> Value {
        let all = [(LOWER, Some(lower)), (UPPER, Some(upper)), (INITIAL, initial)];
        let all = || all.into_iter().filter_map(|(field, count)| Some((field, count?)));
        let mut spec = Map::new();
        if self.typed {
            let typed = all().map(|(field, count)| (field.to_owned(), count.0.into()));
            spec.insert("dynamicAllocation".to_owned(), Value::Object(typed.collect()));
        }
        if self.conf {
            let conf = all().map(|(field, count)| (format!("{PREFIX}{field}"), count.to_string().into()));
            spec.insert("sparkConf".to_owned(), Value::Object(conf.collect()));
        }
        spec.extend(self.thresholds(lower));
        Value::Object(spec)
    }

    /// The Apache operator calls an application unhealthy that has fewer executors than these, whatever its bounds
    /// say: none of them may be above the lower one.
    fn thresholds(&self, lower: Replicas) -> Option<(String, Value)> {
        let stated = self.spec.pointer("/applicationTolerations/instanceConfig")?;
        let above = |field: &&str| {
            stated.get(*field).and_then(Value::as_u64).is_some_and(|it| it > u64::from(lower.0))
        };
        let lowered: Map<String, Value> = ["initExecutors", "minExecutors"]
            .iter()
            .filter(|field| above(field))
            .map(|field| ((*field).to_owned(), lower.0.into()))
            .collect();
        let patch = serde_json::json!({ "instanceConfig": lowered });
        (!lowered.is_empty()).then(|| ("applicationTolerations".to_owned(), patch))
    }

    /// The fields that hold the bounds.
    pub(super) fn paths(&self, kind: Kind) -> Vec<Vec<String>> {
        let path = |tail: [&str; 2]| kind.path().iter().copied().chain(tail).map(str::to_owned).collect();
        let typed = [LOWER, UPPER].map(|field| path(["dynamicAllocation", field]));
        let conf = [LOWER, UPPER].map(|field| path(["sparkConf", &format!("{PREFIX}{field}")]));
        let typed = typed.into_iter().filter(|_| self.typed);
        typed.chain(conf.into_iter().filter(|_| self.conf)).collect()
    }
}

fn whole(count: Option<u64>, field: &str) -> Result<Replicas, String> {
    let count = count.and_then(|count| u32::try_from(count).ok());
    count.map(Replicas).ok_or_else(|| format!("its {field} is not a count"))
}

/// Why the application must be left alone, if it must.
pub(super) fn refuse(kind: Kind, object: &DynamicObject) -> Result<(), String> {
    refuse_owned(object)?;
    let state = |pointer: &str| object.data.pointer(pointer).and_then(Value::as_str);
    match kind {
        Kind::Scheduled => Ok(()),
        Kind::Application(SparkApi::Kubeflow) => match state("/status/applicationState/state") {
            Some(state @ ("COMPLETED" | "FAILED" | "SUBMISSION_FAILED")) => {
                Err(format!("it has ended ({state}): any change would run it again"))
            }
            Some(state) if !matches!(state, "" | "SUBMITTED" | "RUNNING") => {
                Err(format!("it is on its way from one state to another ({state})"))
            }
            Some(_) | None => Ok(()),
        },
        Kind::Application(SparkApi::Apache | SparkApi::ApacheBeta) => {
            match state("/status/currentState/currentStateSummary") {
                Some(state @ ("Succeeded" | "ResourceReleased" | "TerminatedWithoutReleaseResources")) => {
                    Err(format!("it has ended ({state}): no attempt follows that new bounds would hold for"))
                }
                Some(state) if !ALIVE.contains(&state) => {
                    Err(format!("it failed, or is on its way from one attempt to the next ({state})"))
                }
                Some(_) | None => Ok(()),
            }
        }
    }
}

/// States in which the Apache operator's application has a driver, or will have one.
const ALIVE: [&str; 8] = [
    "Submitted",
    "DriverRequested",
    "DriverStarted",
    "DriverReady",
    "InitializedBelowThresholdExecutors",
    "RunningHealthy",
    "RunningWithPartialCapacity",
    "RunningWithBelowThresholdExecutors",
];

/// Who else says when the application runs, and how large.
pub(super) fn refuse_owned(object: &DynamicObject) -> Result<(), String> {
    if let Some(queue) = object.labels().get(QUEUE) {
        return Err(format!(
            "the queue {queue} admits it by what it asks for: its bounds are the queue's matter"
        ));
    }
    if object.data.pointer("/spec/suspend") == Some(&true.into()) {
        return Err("it is suspended".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const KUBEFLOW: Kind = Kind::Application(SparkApi::Kubeflow);
    const APACHE: Kind = Kind::Application(SparkApi::Apache);

    fn object(kind: Kind, spec: Value, further: &Value) -> DynamicObject {
        let spec = if kind == Kind::Scheduled { json!({"template": spec}) } else { spec };
        let mut object = json!({
            "apiVersion": kind.api_version(), "kind": kind.name(), "metadata": {"name": "a"}, "spec": spec,
        });
        for (pointer, value) in further.as_object().unwrap() {
            let (holder, field) = pointer.rsplit_once('/').unwrap();
            let holder = holder.split('/').skip(1).fold(&mut object, |at, name| &mut at[name]);
            holder[field] = value.clone();
        }
        serde_json::from_value(object).unwrap()
    }

    fn typed(lower: u32, upper: u32) -> Value {
        json!({"dynamicAllocation": {"enabled": true, "minExecutors": lower, "maxExecutors": upper, "initialExecutors": lower}})
    }

    fn refused(kind: Kind, spec: Value, further: &Value) -> String {
        Bounds::find(kind, &object(kind, spec, further)).unwrap_err()
    }

    #[test]
    fn bounds_are_written_where_they_stand() {
        let find =
            |spec: Value| Bounds::find(Kind::Scheduled, &object(Kind::Scheduled, spec, &json!({}))).unwrap();
        let bounds = find(typed(2, 8));
        assert_eq!((bounds.range.lower, bounds.range.upper), (Replicas(2), Replicas(8)));
        assert_eq!(
            bounds.to(bounds.range.to(Replicas(4), Replicas(6))),
            json!({"dynamicAllocation": {"minExecutors": 4, "maxExecutors": 6, "initialExecutors": 4}})
        );
        assert_eq!(
            bounds.paths(Kind::Scheduled)[1].join("."),
            "spec.template.dynamicAllocation.maxExecutors"
        );

        let conf = json!({"sparkConf": {"spark.dynamicAllocation.enabled": "true", "spark.dynamicAllocation.maxExecutors": "8"}});
        let bounds = find(conf.clone());
        assert_eq!((bounds.range.lower, bounds.range.upper), (Replicas(0), Replicas(8)));
        assert_eq!(
            bounds.to(bounds.range.to(Replicas(4), Replicas(6))),
            json!({"sparkConf": {"spark.dynamicAllocation.minExecutors": "4", "spark.dynamicAllocation.maxExecutors": "6"}})
        );
        let mut both = typed(2, 8);
        both["sparkConf"] = conf["sparkConf"].clone();
        let both = find(both);
        let both = both.to(both.range.to(Replicas(3), Replicas(9)));
        assert_eq!(both["dynamicAllocation"]["maxExecutors"], 9);
        assert_eq!(both["sparkConf"]["spark.dynamicAllocation.maxExecutors"], "9");
    }

    #[test]
    fn every_refusal_says_why() {
        let none = &json!({});
        for kind in [KUBEFLOW, Kind::Scheduled] {
            assert!(
                refused(kind, json!({"executor": {"instances": 2}}), none)
                    .starts_with("dynamic allocation is off")
            );
            let mut torn = typed(2, 8);
            torn["sparkConf"] = json!({"spark.dynamicAllocation.maxExecutors": "9"});
            assert_eq!(
                refused(kind, torn, none),
                "two places disagree about maxExecutors: dynamicAllocation says 8, sparkConf 9; state it once"
            );
            assert!(
                refused(kind, json!({"dynamicAllocation": {"enabled": true}}), none)
                    .contains("no maxExecutors")
            );
            let odd = json!({"dynamicAllocation": {"enabled": true, "maxExecutors": -1}});
            assert_eq!(refused(kind, odd, none), "its maxExecutors is not a count");
            assert_eq!(refused(kind, typed(1, 2), &json!({"/spec/suspend": true})), "it is suspended");
            let queued = &json!({"/metadata/labels": {QUEUE: "team-a"}});
            assert!(refused(kind, typed(1, 2), queued).starts_with("the queue team-a admits it"));
        }
        let state = |state: &str| json!({"/status": {"applicationState": {"state": state}}});
        for ended in ["COMPLETED", "FAILED", "SUBMISSION_FAILED"] {
            let why = refused(KUBEFLOW, typed(1, 2), &state(ended));
            assert_eq!(why, format!("it has ended ({ended}): any change would run it again"));
        }
        for moving in [
            "PENDING_RERUN",
            "INVALIDATING",
            "SUCCEEDING",
            "FAILING",
            "SUSPENDING",
            "SUSPENDED",
            "RESUMING",
            "UNKNOWN",
        ] {
            assert!(refused(KUBEFLOW, typed(1, 2), &state(moving)).contains(moving));
        }
        for alive in ["", "SUBMITTED", "RUNNING"] {
            let object = object(KUBEFLOW, typed(1, 2), &state(alive));
            assert!(Bounds::find(KUBEFLOW, &object).is_ok());
        }
    }

    fn apache(state: Option<&str>, thresholds: &Value) -> DynamicObject {
        let spec = json!({
            "sparkConf": {
                "spark.dynamicAllocation.enabled": "true",
                "spark.dynamicAllocation.minExecutors": "4", "spark.dynamicAllocation.maxExecutors": "8",
            },
            "applicationTolerations": {"instanceConfig": thresholds},
        });
        let status =
            state.map_or_else(|| json!({}), |state| json!({"currentState": {"currentStateSummary": state}}));
        object(APACHE, spec, &json!({"/status": status}))
    }

    #[test]
    fn thresholds_of_health_stay_below_the_lower_bound() {
        let to = |thresholds: Value, lower: u32| {
            let bounds = Bounds::find(APACHE, &apache(None, &thresholds)).unwrap();
            let mut patch = bounds.to(bounds.range.to(Replicas(lower), Replicas(8)));
            assert_eq!(patch["sparkConf"]["spark.dynamicAllocation.minExecutors"], lower.to_string());
            patch["applicationTolerations"]["instanceConfig"].take()
        };
        let thresholds = || json!({"initExecutors": 2, "minExecutors": 4, "maxExecutors": 8});
        assert_eq!(to(thresholds(), 2), json!({"minExecutors": 2}));
        assert_eq!(to(thresholds(), 1), json!({"initExecutors": 1, "minExecutors": 1}));
        assert_eq!(to(thresholds(), 4), Value::Null);
        assert_eq!(to(json!({}), 1), Value::Null);
    }

    #[test]
    fn an_application_of_the_apache_operator_is_refused_by_its_state() {
        let refused = |state: &str| Bounds::find(APACHE, &apache(Some(state), &json!({}))).unwrap_err();
        for ended in ["Succeeded", "ResourceReleased", "TerminatedWithoutReleaseResources"] {
            let why = format!("it has ended ({ended}): no attempt follows that new bounds would hold for");
            assert_eq!(refused(ended), why);
        }
        let others = [
            "ScheduledToRestart",
            "DriverStartTimedOut",
            "ExecutorsStartTimedOut",
            "DriverReadyTimedOut",
            "Failed",
            "SchedulingFailure",
            "DriverEvicted",
        ];
        for state in others {
            assert!(refused(state).ends_with(&format!("({state})")), "{}", refused(state));
        }
        for alive in ALIVE {
            assert!(Bounds::find(APACHE, &apache(Some(alive), &json!({}))).is_ok());
        }
        let fixed = object(APACHE, json!({"sparkConf": {}}), &json!({}));
        let why = "dynamic allocation is off, so it has no bounds: spark.executor.instances is all it gets";
        assert_eq!(Bounds::find(APACHE, &fixed).unwrap_err(), why);
    }
}
