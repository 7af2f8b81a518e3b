//! Executors of a running application without dynamic allocation whose Pods a Deployment or a StatefulSet keeps
//! (`spark.kubernetes.allocation.pods.allocator`).
//!
//! Its driver asks for a number of executors once, when it starts, and takes in every executor that comes. So whoever
//! writes the set's replicas afterwards says how many there are, and nothing restarts. With dynamic allocation the
//! driver writes them again and again: then they are left alone.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::DynamicObject;
use serde_json::Value;

use super::quota::{self, Size};
use crate::actuators::ActuateError;
use crate::actuators::api::{ReadError, unreadable};
use crate::actuators::owners::Tenure;
use crate::actuators::pods::{self, Member};
use crate::actuators::progress::number;
use crate::actuators::rivals::Rivals;
use crate::actuators::scale::ScaleActuator;
use crate::engine::Change;
use crate::engine::observation::{Fence, LimitCause, TargetLimit, TargetReading};
use crate::policy::target::ScaleTargetRef;
use crate::policy::{Replicas, TimeSpan};
use crate::spark::App;
use crate::spark::driver::InForce;

/// What it takes to move the executors of one application.
pub(in crate::actuators) struct Allocator {
    app: Arc<App>,
    rivals: Arc<Rivals>,
    namespace: String,
    interval: TimeSpan,
    /// The set of the application that ran last, and what is known of who had its replicas before there is one.
    scale: Mutex<(Option<Arc<ScaleActuator>>, Tenure)>,
    known: Mutex<Option<Known>>,
}

impl std::fmt::Debug for Allocator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Allocator").field("app", &self.app.name).finish_non_exhaustive()
    }
}

/// What the last look showed.
#[derive(Debug, Clone)]
struct Known {
    set: Set,
    object: DynamicObject,
    /// Pods that nobody finds room for, in words.
    waiting: Option<String>,
}

/// The object that keeps an application's executors.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Set {
    kind: &'static str,
    name: String,
    /// Executors end their tasks before they leave.
    decommission: bool,
}

impl Set {
    /// Of a running application; or why its executors are left alone.
    fn of(driver: &InForce) -> Result<Self, String> {
        const ALLOCATOR: &str = "spark.kubernetes.allocation.pods.allocator";
        if driver.property("spark.dynamicAllocation.enabled") == Some("true") {
            return Err(
                "its driver runs with dynamic allocation, and would set the number of executors again".into(),
            );
        }
        if driver.profiles > 1 {
            return Err(format!(
                "it asks for {} kinds of executors (resource profiles), each in a set of its own: nothing says how to share",
                driver.profiles
            ));
        }
        let (kind, letter) = match driver.property(ALLOCATOR) {
            Some("deployment") => ("Deployment", 'd'),
            Some("statefulset") => ("StatefulSet", 's'),
            None | Some("direct") => {
                return Err(format!(
                    "its driver makes every executor's Pod itself: start it with {ALLOCATOR}=deployment (Spark 4.2 or \
                     later) or statefulset"
                ));
            }
            Some(other) => return Err(format!("nothing is known of {ALLOCATOR}={other}")),
        };
        let decommission = driver.property("spark.decommission.enabled") == Some("true");
        Ok(Self { kind, name: format!("spark-{letter}-{}-0", driver.app), decommission })
    }
}

impl Allocator {
    pub(in crate::actuators) fn new(
        app: Arc<App>,
        rivals: &Arc<Rivals>,
        namespace: &str,
        interval: TimeSpan,
        tenure: Tenure,
    ) -> Self {
        let (namespace, scale) = (namespace.to_owned(), Mutex::new((None, tenure)));
        Self { app, rivals: Arc::clone(rivals), namespace, interval, scale, known: Mutex::default() }
    }

    pub(super) fn tenure(&self) -> Tenure {
        use crate::actuators::Actuator as _;
        let scale = self.scale.lock().unwrap_or_else(PoisonError::into_inner);
        scale.0.as_ref().map_or_else(|| scale.1.clone(), |set| set.tenure())
    }

    /// Looks at the set of the `application` that runs.
    pub(super) async fn look(
        &self,
        application: &DynamicObject,
        now: Timestamp,
    ) -> Result<TargetReading, ReadError> {
        self.keep(None);
        let none = || format!("the settings name no `driver` of the application {}", self.app.name);
        let driver = self.app.in_force().await.ok_or_else(|| ReadError::Unfit(none()))?;
        let driver = driver.map_err(|trouble| ReadError::Unreadable(trouble.to_string()))?;
        same(application, &driver)?;
        let set = Set::of(&driver).map_err(ReadError::Unfit)?;
        let scale = self.scale(&set);
        let (mut reading, object) = scale.look(now).await.map_err(|error| match error {
            // The driver makes it when it starts.
            ReadError::NotFound => ReadError::Unreadable(format!("{}: {error}", scale.scaled())),
            ReadError::Unreadable(problem) => ReadError::Unreadable(format!("{}: {problem}", scale.scaled())),
            ReadError::Unfit(problem) => ReadError::Unfit(format!("{}: {problem}", scale.scaled())),
        })?;
        let quota = self.room(&object).await?;
        let (stuck, waiting) = pods::stuck(self.rivals.client(), &object, &reading, now).await;
        reading.limit = stuck.into_iter().chain(quota).min_by_key(|limit| limit.most);
        self.keep(Some(Known { set, object, waiting }));
        Ok(reading)
    }

    fn scale(&self, set: &Set) -> Arc<ScaleActuator> {
        let mut scale = self.scale.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |known: &&Arc<ScaleActuator>| {
            (known.scaled().kind, known.scaled().name) == (set.kind, set.name.as_str())
        };
        if let Some(known) = scale.0.as_ref().filter(same) {
            return Arc::clone(known);
        }
        let (api_version, kind, name) = ("apps/v1".to_owned(), set.kind.to_owned(), set.name.clone());
        let target = ScaleTargetRef { api_version, kind, name };
        // What is known of another application's set says nothing of this one: it goes by the object's uid.
        let new = ScaleActuator::new(
            Arc::clone(&self.rivals),
            self.namespace.clone(),
            target,
            self.interval,
            scale.1.clone(),
        );
        let new = Arc::new(new);
        scale.0 = Some(Arc::clone(&new));
        new
    }

    /// How many executors quotas leave room for.
    async fn room(&self, object: &DynamicObject) -> Result<Option<TargetLimit>, ReadError> {
        let quotas = super::quotas(self.rivals.client(), &self.namespace).await?;
        if quotas.is_empty() {
            return Ok(None);
        }
        let size = object.data.pointer("/spec/template/spec").and_then(Size::of_pod);
        let size = size.ok_or_else(|| ReadError::Unfit("its Pods' requests cannot be read".to_owned()))?;
        let present = number(&object.data, "/status/replicas").unwrap_or_default();
        let room = quota::room(&quotas, &size, Some(present));
        Ok(room.map(|room| TargetLimit { most: room.executors, cause: LimitCause::Quota }))
    }

    fn keep(&self, known: Option<Known>) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = known;
    }

    fn known(&self) -> Option<Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks for so many executors. Of fewer, those that are idle go first.
    pub(super) async fn write(&self, change: &Change, fence: &Fence) -> Result<(), ActuateError> {
        let unknown = || ActuateError::Failed { problem: "its executors are not known".to_owned() };
        let known = self.known().ok_or_else(unknown)?;
        let asked = number(&known.object.data, "/spec/replicas").ok_or_else(unknown)?;
        if change.replicas < asked {
            self.choose(&known, (asked.0 - change.replicas.0) as usize).await?;
        }
        self.scale(&known.set).write(change, fence).await
    }

    /// Says which executors go, and makes sure that no work is lost with them.
    async fn choose(&self, known: &Known, fewer: usize) -> Result<(), ActuateError> {
        let client = self.rivals.client();
        let members = pods::members(client, &known.object).await.map_err(|error| unreadable(&error))?;
        let told = self.app.ask(None).await.and_then(Result::ok);
        let told = told.ok_or_else(|| ActuateError::Deferred {
            problem: "its driver does not say which executors are idle".to_owned(),
        })?;
        let load = |member: &Member| {
            let of = |executor: &&crate::spark::driver::Executor| {
                executor.is_active && member.executor.as_ref() == Some(&executor.id)
            };
            told.executors
                .iter()
                .find(of)
                .map_or((0, 0), |executor| (u64::from(executor.active_tasks), executor.rdd_blocks))
        };
        let by_number = known.set.kind == "StatefulSet";
        let going =
            if by_number { pods::highest(&members, fewer) } else { pods::easiest(&members, fewer, load) };
        let busy = going.iter().filter(|member| load(member).0 > 0).count();
        if busy > 0 && !known.set.decommission {
            return Err(ActuateError::Deferred {
                problem: format!(
                    "{busy} of the executors that would go are at work, and would lose it: set \
                     spark.decommission.enabled=true, or wait until they are idle"
                ),
            });
        }
        if by_number { Ok(()) } else { pods::mark(client, &self.namespace, &members, &going).await }
    }

    /// What keeps the executors, as people name it.
    fn named(&self) -> Option<(Set, Option<String>)> {
        self.known().map(|known| (known.set, known.waiting))
    }

    pub(super) fn on_rung(&self) -> String {
        match self.named() {
            Some((set, waiting)) => {
                let leave = match (set.decommission, set.kind) {
                    (true, "Deployment") => "idle executors go first, and end their tasks before they leave",
                    (true, _) => "the highest numbers go first, and end their tasks before they leave",
                    (false, _) => "only idle executors go, for spark.decommission.enabled is off",
                };
                let waiting = waiting.map_or_else(String::new, |waiting| format!("; {waiting}"));
                format!(
                    "rung scaleAllocator: replicas of the {} {}, while it runs; {leave}{waiting}",
                    set.kind, set.name
                )
            }
            None => "rung recommend: not scaleAllocator, because it is not known what keeps its executors"
                .to_owned(),
        }
    }

    pub(super) fn plan(&self, replicas: Replicas) -> Option<String> {
        let (set, _) = self.named()?;
        Some(format!("kubectl scale {} {} --replicas={replicas}", set.kind.to_lowercase(), set.name))
    }
}

/// Whether the driver that answers is the one that the operator means, where it tells.
fn same(application: &DynamicObject, driver: &InForce) -> Result<(), ReadError> {
    let told = application.data.pointer("/status/sparkApplicationId").and_then(Value::as_str);
    match told.filter(|told| !told.is_empty() && *told != driver.app) {
        None => Ok(()),
        Some(told) => Err(ReadError::Unreadable(format!(
            "the operator says {told} of {}, and the driver that answers is {}",
            application.name_any(),
            driver.app
        ))),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const ALLOCATOR: &str = "spark.kubernetes.allocation.pods.allocator";

    fn set(profiles: usize, properties: &[(&str, &str)]) -> Result<Set, String> {
        let properties = properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Set::of(&InForce::new("spark-1", None, profiles, properties))
    }

    #[test]
    fn the_set_is_named_by_allocator_and_application() {
        let deployment = set(1, &[(ALLOCATOR, "deployment"), ("spark.decommission.enabled", "true")]);
        assert_eq!(
            deployment,
            Ok(Set { kind: "Deployment", name: "spark-d-spark-1-0".to_owned(), decommission: true })
        );
        let stateful = set(1, &[(ALLOCATOR, "statefulset"), ("spark.dynamicAllocation.enabled", "false")]);
        assert_eq!(
            stateful,
            Ok(Set { kind: "StatefulSet", name: "spark-s-spark-1-0".to_owned(), decommission: false })
        );
    }

    #[rstest]
    #[case::dynamic(1, &[("spark.dynamicAllocation.enabled", "true"), (ALLOCATOR, "deployment")], "dynamic allocation")]
    #[case::profiles(2, &[(ALLOCATOR, "deployment")], "2 kinds of executors")]
    #[case::direct(1, &[(ALLOCATOR, "direct")], "makes every executor's Pod itself")]
    #[case::unsaid(1, &[], "makes every executor's Pod itself")]
    #[case::other(1, &[(ALLOCATOR, "com.example.Own")], "nothing is known of spark.kubernetes.allocation.pods.allocator=com.example.Own")]
    fn others_are_left_alone(
        #[case] profiles: usize,
        #[case] properties: &[(&str, &str)],
        #[case] why: &str,
    ) {
        let refused = set(profiles, properties).unwrap_err();
        assert!(refused.contains(why), "{refused}");
    }
}
