//! Executor bounds of the two operators' applications (sparkoperator.k8s.io, spark.apache.org).
//!
//! Spark reads them once, when an application starts. The kubeflow operator answers any change of a `SparkApplication`
//! by starting it again, a finished one too; the Apache operator by nothing, until the next attempt. So bounds are
//! written to the template of a `ScheduledSparkApplication`, which its next run copies; for a `SparkApplication` the
//! patch is shown, or, where the policy allows it, written to [`restart`] it. How many executors there are can be
//! moved while it runs where an [`allocator`] keeps them.

pub(super) mod allocator;
pub(super) mod batch;
mod bounds;
pub(super) mod cluster;
mod hygiene;
mod ledger;
mod quota;
pub(super) mod restart;
pub(super) mod running;
mod verdict;
pub(super) mod workers;

use std::sync::{Mutex, PoisonError};

use futures::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ResourceQuota;
use kube::api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::{Value, json};

use self::batch::{Batch, CHANGES};
use self::bounds::{Bounds, Range};
use self::hygiene::{Habits, advice};
use self::ledger::{Ledger, RESTARTS};
use self::quota::{Room, Size};
use self::restart::Restart;
use self::verdict::Verdict;
use super::api::{ReadError, refusal};
use super::owners::{MANAGER, Standing, owners, standing, we_own};
use super::progress::Progress;
use super::reading::{self, Parts};
use super::scaled::Scaled;
use super::sighting::{LastSeen, Sighting, fence};
use super::{ActuateError, Actuator};
use crate::engine::Change;
use crate::engine::observation::{Fence, LimitCause, Price, TargetLimit, TargetReading};
use crate::policy::target::SparkApi;
use crate::policy::{Policy, Replicas, WorkloadId};

/// Says which policy moves the bounds; our mark that we have had them.
const POLICY: &str = "tidegate.dev/policy";

/// Which kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One application, running or not.
    Application(SparkApi),
    /// What makes applications by a clock: the kubeflow operator's alone.
    Scheduled,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Application(_) => "SparkApplication",
            Self::Scheduled => "ScheduledSparkApplication",
        }
    }

    fn api_version(self) -> &'static str {
        match self {
            Self::Application(api) => api.into(),
            Self::Scheduled => SparkApi::Kubeflow.into(),
        }
    }

    /// As a command line names it: both operators have a SparkApplication.
    fn resource(self) -> &'static str {
        match self {
            Self::Application(SparkApi::Kubeflow) | Self::Scheduled => self.name(),
            Self::Application(SparkApi::Apache | SparkApi::ApacheBeta) => {
                "sparkapplications.spark.apache.org"
            }
        }
    }

    /// Where the application's own spec lies in the object's.
    fn path(self) -> &'static [&'static str] {
        match self {
            Self::Application(_) => &["spec"],
            Self::Scheduled => &["spec", "template"],
        }
    }

    /// What says how many executors it has without dynamic allocation.
    fn instances(self) -> &'static str {
        match self {
            Self::Application(SparkApi::Kubeflow) | Self::Scheduled => "spec.executor.instances",
            Self::Application(SparkApi::Apache | SparkApi::ApacheBeta) => "spark.executor.instances",
        }
    }
}

/// Moves one application's executor bounds, or says what they should be.
#[derive(Debug)]
pub struct SparkBounds {
    client: ClientOf,
    kind: Kind,
    policy: WorkloadId,
    name: String,
    /// Nothing is written.
    advisory: bool,
    /// Where it may be restarted.
    restart: Option<Restart>,
    /// Where it goes by its last runs.
    batch: Option<Batch>,
    /// Seconds between two triggers of the stream that it is, where the policy tells.
    trigger_seconds: Option<f64>,
    seen: LastSeen,
    bounds: Mutex<Option<Bounds>>,
}

/// A client, which says nothing of itself.
struct ClientOf(Client);

impl std::fmt::Debug for ClientOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

impl SparkBounds {
    /// Asks nothing yet. With the means to `restart` it, a running application is moved, too.
    pub(super) fn new(
        client: &Client,
        policy: &Policy,
        (kind, name): (Kind, &str),
        (restart, batch): (Option<Restart>, Option<Batch>),
    ) -> Self {
        // A running application's bounds are only ever written to restart it.
        let advisory = policy.target.is_advisory() || kind != Kind::Scheduled && restart.is_none();
        Self {
            client: ClientOf(client.clone()),
            kind,
            policy: policy.id.clone(),
            name: name.to_owned(),
            advisory,
            restart,
            batch,
            trigger_seconds: super::query(policy).map(|query| query.trigger_interval.as_secs_f64()),
            seen: LastSeen::default(),
            bounds: Mutex::default(),
        }
    }

    fn api(&self) -> Api<DynamicObject> {
        let (group, version) = self.kind.api_version().split_once('/').unwrap_or_default();
        let kind = GroupVersionKind::gvk(group, version, self.kind.name());
        Api::namespaced_with(self.client.0.clone(), &self.policy.namespace, &ApiResource::from_gvk(&kind))
    }

    /// What is moved.
    fn what(&self) -> Scaled<'_> {
        let (namespace, name) = (self.policy.namespace.as_str(), self.name.as_str());
        Scaled { namespace, api_version: self.kind.api_version(), kind: self.kind.name(), name }
    }

    /// The object.
    async fn fetch(&self) -> Result<DynamicObject, ReadError> {
        self.forget();
        self.api().get_opt(&self.name).await?.ok_or(ReadError::NotFound)
    }

    fn known(&self) -> Option<Bounds> {
        self.bounds.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads its bounds, and all that stands against moving them.
    async fn read(&self, object: &DynamicObject, now: Timestamp) -> Result<TargetReading, ReadError> {
        let mut bounds = self.find(object).map_err(ReadError::Unfit)?;
        let room = self.room(object).await?;
        if let Some(Room { executors, what }) =
            room.as_ref().filter(|room| room.executors < bounds.range.upper)
        {
            return Err(ReadError::Unfit(format!(
                "{what} leaves room for {executors} executors of {}: Spark asks for the rest until its driver ends; lower maxExecutors or raise the quota",
                bounds.range.upper
            )));
        }
        bounds.room = room.map(|room| room.executors);
        self.keep(Some(&bounds));
        let known = match &self.restart {
            Some(restart) => Some(restart.look(object, &bounds, now).await),
            None => None,
        };
        if let Some(batch) = &self.batch {
            let known = batch.look(object, &bounds, now).await.map_err(ReadError::Unreadable)?;
            return Ok(self.read_batch(object, &bounds, &known, now));
        }
        let standing = self.standing(object, &bounds, now);
        let settled = known.as_ref().is_none_or(|known| known.hold().is_none());
        let progress = Progress { ready: running(object), settled, rolling_out: false };
        let hold = reading::hold(&standing, progress).or_else(|| known.as_ref()?.hold());
        self.seen.set(Sighting::of(object, standing == Standing::Adopt, hold.as_ref()));
        let (current, ceiling) = (Some(bounds.range.lower), Some(bounds.range.upper));
        let parts = Parts { current, ceiling, hold, fence: fence(object), ..Parts::default() };
        let price = known.map(|known| known.price());
        let limit = bounds.room.map(|most| TargetLimit { most, cause: LimitCause::Quota });
        Ok(TargetReading { limit, price, ..reading::reading(now, parts, progress) })
    }

    /// A batch's size is how many executors it may have, and to move it costs nothing before the next run.
    fn read_batch(
        &self,
        object: &DynamicObject,
        bounds: &Bounds,
        known: &batch::Known,
        now: Timestamp,
    ) -> TargetReading {
        let standing = self.standing(object, bounds, now);
        let progress = Progress { ready: None, settled: true, rolling_out: false };
        let hold = reading::hold(&standing, progress).or_else(|| known.hold());
        self.seen.set(Sighting::of(object, standing == Standing::Adopt, hold.as_ref()));
        let parts =
            Parts { current: Some(bounds.range.upper), hold, fence: fence(object), ..Parts::default() };
        let limit = bounds.room.map(|most| TargetLimit { most, cause: LimitCause::Quota });
        let price = Some(Price { raise_seconds: 0.0, lower_seconds: 0.0 });
        TargetReading { limit, price, ..reading::reading(now, parts, progress) }
    }

    /// How many executors the namespace's quotas leave room for.
    async fn room(&self, object: &DynamicObject) -> Result<Option<Room>, ReadError> {
        let quotas = quotas(&self.client.0, &self.policy.namespace).await?;
        if quotas.is_empty() {
            return Ok(None);
        }
        let spec = object.data.pointer(&format!("/{}", self.kind.path().join("/")));
        let (size, running) = match self.kind {
            Kind::Scheduled => (spec.and_then(Size::of), None),
            Kind::Application(SparkApi::Kubeflow) => {
                (spec.and_then(Size::of), Some(running(object).unwrap_or_default()))
            }
            Kind::Application(SparkApi::Apache | SparkApi::ApacheBeta) => {
                let conf = spec.map(|spec| spec.get("sparkConf").cloned().unwrap_or_default());
                (conf.as_ref().and_then(Size::of_conf), None)
            }
        };
        let size =
            size.ok_or_else(|| ReadError::Unfit("its spec does not say how large an executor is".into()))?;
        Ok(quota::room(&quotas, &size, running))
    }

    fn forget(&self) {
        self.keep(None);
        if let Some(restart) = &self.restart {
            restart.forget();
        }
        if let Some(batch) = &self.batch {
            batch.forget();
        }
    }

    fn keep(&self, bounds: Option<&Bounds>) {
        *self.bounds.lock().unwrap_or_else(PoisonError::into_inner) = bounds.cloned();
    }

    /// Its bounds. An application that we restarted is ours to follow to the end, whatever its state.
    fn find(&self, object: &DynamicObject) -> Result<Bounds, String> {
        if self.restart.is_some() && Ledger::of(object)?.is_open() {
            return Bounds::stated(self.kind, object);
        }
        Bounds::find(self.kind, object)
    }

    /// Who else states the bounds.
    fn standing(&self, object: &DynamicObject, bounds: &Bounds, now: Timestamp) -> Standing {
        let claimed = we_own(&object.metadata, "Update", &["metadata", "annotations", POLICY]);
        let mut all = Standing::Free;
        for path in bounds.paths(self.kind) {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            let field = format!(".{}", path.join("."));
            all = all.and(standing(&field, &owners(&object.metadata, &path), claimed, now));
        }
        all
    }

    async fn write(&self, change: &Change, fence: &Fence) -> Result<(), ActuateError> {
        let failed = |problem: &str| ActuateError::Failed { problem: problem.to_owned() };
        if self.advisory {
            return Err(failed("only shown: nothing of this target is ever written"));
        }
        let bounds = self.known().ok_or_else(|| failed("its bounds are not known"))?;
        let (to, mark) = match (&self.restart, &self.batch) {
            (None, None) => (bounds.moved(change.replicas, change.ceiling), None),
            (Some(restart), _) => {
                let begun = restart.begin(&bounds, change).await;
                let (to, ledger) = begun.map_err(|problem| ActuateError::Deferred { problem })?;
                (to, Some((RESTARTS, ledger.text())))
            }
            (None, Some(batch)) => {
                let moved = batch.moved(&bounds, change.replicas);
                let (to, changed) = moved.ok_or_else(|| failed("its runs are not known"))?;
                (to, Some((CHANGES, changed.text())))
            }
        };
        self.send(fence, |fenced| self.patch(Some((&bounds, to)), mark.as_ref(), fenced)).await
    }

    /// Writes down what became of the last change, or undoes it.
    async fn follow(&self) -> Result<(), ActuateError> {
        let Some((mark, back, why)) = self.due() else { return Ok(()) };
        let Some(fence) = self.seen.last() else { return Ok(()) };
        let bounds = self.known();
        let spec = bounds.as_ref().zip(back);
        self.send(&fence, |fenced| self.patch(spec, Some(&mark), fenced)).await?;
        self.forget();
        tracing::info!(workload = %self.policy, "{}: {why}", self.name);
        Ok(())
    }

    /// The mark to be written, the bounds that are to be back, and why.
    fn due(&self) -> Option<((&'static str, String), Option<Range>, String)> {
        if let Some(known) = self.restart.as_ref().and_then(Restart::known) {
            return match known.verdict {
                Verdict::Free | Verdict::Wait(_) | Verdict::Unfit(_) => None,
                Verdict::Note(ledger, why) => Some(((RESTARTS, ledger.text()), None, why)),
                Verdict::Undo(ledger, back, why) => Some(((RESTARTS, ledger.text()), Some(back), why)),
            };
        }
        match self.batch.as_ref()?.known()?.verdict {
            batch::Verdict::Free | batch::Verdict::Wait(_) => None,
            batch::Verdict::Note(changed, why) => Some(((CHANGES, changed.text()), None, why)),
            batch::Verdict::Undo(changed, back, why) => Some(((CHANGES, changed.text()), Some(back), why)),
        }
    }

    async fn send(
        &self,
        fence: &Fence,
        patch: impl Fn(Value) -> Value + Send + Sync,
    ) -> Result<(), ActuateError> {
        let (api, seen) = (&self.api(), self.seen.at(fence));
        let write = |fence: Fence| {
            let patch = patch(json!({"uid": fence.uid, "resourceVersion": fence.resource_version}));
            async move {
                let params =
                    PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
                let written = api.patch(&self.name, &params, &Patch::Merge(&patch)).await;
                written.map(drop).map_err(|error| refusal(&error))
            }
        };
        seen.write(api, &self.name, write).await
    }

    /// The whole of what is written. Our marks go with `metadata`.
    fn patch(
        &self,
        spec: Option<(&Bounds, Range)>,
        mark: Option<&(&str, String)>,
        mut metadata: Value,
    ) -> Value {
        if let Some(metadata) = metadata.as_object_mut() {
            let mut marks = json!({POLICY: self.policy.to_string()});
            if let (Some((name, text)), Some(marks)) = (mark, marks.as_object_mut()) {
                marks.insert((*name).to_owned(), text.as_str().into());
            }
            metadata.insert("annotations".to_owned(), marks);
        }
        let spec = spec.map(|(bounds, to)| bounds.to(to));
        match (self.kind, spec) {
            (_, None) => json!({"metadata": metadata}),
            (Kind::Application(_), Some(spec)) => json!({"metadata": metadata, "spec": spec}),
            (Kind::Scheduled, Some(spec)) => json!({"metadata": metadata, "spec": {"template": spec}}),
        }
    }

    /// What would make dynamic allocation behave.
    fn advice(&self, bounds: &Bounds) -> Vec<String> {
        let task_seconds = self.batch.as_ref().and_then(Batch::task_seconds);
        let habits = Habits { trigger_seconds: self.trigger_seconds, task_seconds };
        advice(&bounds.spec, bounds.range, habits)
    }

    /// Which rung it is on, and why on no higher one.
    fn on_rung(&self) -> String {
        match (self.kind, &self.restart) {
            (Kind::Scheduled, _) if self.advisory => {
                "rung recommend: maxRung allows no more; nextRun would write the template".to_owned()
            }
            (Kind::Scheduled, _) if self.batch.is_some() => {
                "rung nextRun, by what its last runs needed: holds from the next run on, and disturbs none"
                    .to_owned()
            }
            (Kind::Scheduled, _) => "rung nextRun: holds from the next run on, and disturbs none; \
                 restart is only for a sparkApplication that streams"
                .to_owned(),
            (Kind::Application(SparkApi::Apache | SparkApi::ApacheBeta), _) => {
                "rung recommend: Spark takes no new bounds while it runs, and the operator reads them for its next \
                 attempt only"
                    .to_owned()
            }
            (Kind::Application(SparkApi::Kubeflow), None) => "rung recommend: Spark takes no new bounds while it runs, and the \
                 operator would start it again; maxRung does not allow restart"
                .to_owned(),
            (Kind::Application(SparkApi::Kubeflow), Some(restart)) => match restart.known().map(|known| known.verdict) {
                Some(Verdict::Unfit(why)) => format!("rung recommend: not restart, because {why}"),
                Some(Verdict::Wait(why)) => format!("rung restart, not now: {why}"),
                Some(Verdict::Free | Verdict::Note(..) | Verdict::Undo(..)) => {
                    "rung restart: one restart for new bounds, at a safe point; not scaleAllocator, because \
                     dynamic allocation is on"
                        .to_owned()
                }
                None => "rung recommend: not restart, because it is not known what runs".to_owned(),
            },
        }
    }
}

async fn quotas(client: &Client, namespace: &str) -> Result<Vec<ResourceQuota>, ReadError> {
    let quotas: Api<ResourceQuota> = Api::namespaced(client.clone(), namespace);
    Ok(quotas.list(&ListParams::default()).await?.items)
}

/// Executors that run, where the object tells.
fn running(object: &DynamicObject) -> Option<Replicas> {
    let states = object.data.pointer("/status/executorState")?.as_object()?;
    let running = states.values().filter(|state| *state == "RUNNING").count();
    u32::try_from(running).ok().map(Replicas)
}

impl Actuator for SparkBounds {
    fn observe(&self, now: Timestamp) -> BoxFuture<'_, TargetReading> {
        let read = async move { self.read(&self.fetch().await?, now).await };
        Box::pin(reading::look(now, self.what(), read))
    }

    fn apply<'a>(&'a self, change: &'a Change, fence: &'a Fence) -> BoxFuture<'a, Result<(), ActuateError>> {
        Box::pin(self.write(change, fence))
    }

    fn tend(&self, _now: Timestamp) -> BoxFuture<'_, Result<(), ActuateError>> {
        Box::pin(self.follow())
    }

    fn rung(&self) -> Option<String> {
        let bounds = self.known()?;
        let lines: Vec<String> = [self.on_rung()].into_iter().chain(self.advice(&bounds)).collect();
        Some(lines.join("; "))
    }

    fn plan(&self, change: &Change) -> Option<String> {
        let bounds = self.known()?;
        let worth = self.restart.as_ref().map(|restart| restart.worth(&bounds, change));
        let note = worth.as_ref().and_then(|worth| worth.clone().err());
        let to = match &self.batch {
            Some(batch) => batch.moved(&bounds, change.replicas)?.0,
            None => bounds.moved(change.replicas, change.ceiling),
        };
        let patch = self.patch(Some((&bounds, to)), None, json!({}));
        let command =
            format!("kubectl patch {} {} --type merge -p '{patch}'", self.kind.resource(), self.name);
        let lines = [Some(self.on_rung()), note, Some(command)].into_iter().flatten();
        Some(lines.chain(self.advice(&bounds)).collect::<Vec<_>>().join("; "))
    }
}
