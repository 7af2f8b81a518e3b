//! How a job can be moved, and what follows from that: pure.

use crate::actuators::progress::Progress;
use crate::engine::observation::{self, Binding, LimitCause, Price, TargetLimit};
use crate::flink::{Cap, Division, Graph, Manner, Overrides, Phase, Resource, Sight};
use crate::policy::Replicas;
use crate::policy::source::FlinkKind;

/// One way to move a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display)]
pub(super) enum Route {
    /// The adaptive scheduler is asked for other resources, and restarts the tasks alone.
    InPlace,
    /// The operator's object is given other overrides, and the operator deploys the job anew.
    Redeploy,
    /// The operator's object is given other TaskManagers, and reactive mode takes all their slots.
    TaskManagers,
}

impl Route {
    /// The way that is open, or why none is.
    /// `fleet`: the policy says what keeps the TaskManagers.
    pub(super) fn of(sight: &Sight, fleet: bool) -> Result<Self, String> {
        match sight.resource() {
            None if sight.is_reactive() && fleet => Ok(Self::TaskManagers),
            Some(resource) if sight.is_reactive() && resource.has_own_taskmanagers() => {
                Ok(Self::TaskManagers)
            }
            // Without requirements of an adaptive scheduler: a refusal of one may pass, and is no reason to redeploy.
            Some(resource) if !sight.is_reactive() && !sight.is_adaptive() && !sight.has_requirements() => {
                redeployable(resource).map(|()| Self::Redeploy)
            }
            Some(_) | None => sight.unfit().map_or(Ok(Self::InPlace), Err),
        }
    }

    /// What is done, in words.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::InPlace => "rescaled in place",
            Self::Redeploy => "deployed anew with other overrides",
            Self::TaskManagers => "given other TaskManagers",
        }
    }

    /// The job as a graph, by what is asked for its vertices this way.
    pub(super) fn graph(self, sight: &Sight, manner: &Manner) -> Option<Graph> {
        match self {
            Self::InPlace => sight.graph(manner),
            Self::Redeploy => Some(sight.deployed_graph(manner, &overrides(sight))),
            // It gives every vertex all slots.
            Self::TaskManagers => {
                let uniform = Manner { uniform: true, ..manner.clone() };
                Some(sight.deployed_graph(&uniform, &Overrides::default()))
            }
        }
    }

    /// What is asked for; of a fleet, that is known beside the job.
    pub(super) fn current(self, sight: &Sight, manner: &Manner, fleet: Option<Replicas>) -> Option<Replicas> {
        match self {
            Self::InPlace | Self::Redeploy => self.graph(sight, manner)?.scale().map(Replicas),
            Self::TaskManagers => match sight.resource() {
                Some(resource) => Some(resource.taskmanagers().unwrap_or_else(|| sight.taskmanagers())),
                None => fleet,
            },
        }
    }

    /// How far the job is.
    pub(super) fn progress(self, sight: &Sight, manner: &Manner, current: Option<Replicas>) -> Progress {
        let running = sight.phase() == Phase::Running;
        let (ready, reached) = match self {
            Self::InPlace => (sight.present(manner), sight.reached()),
            Self::Redeploy => {
                let overrides = overrides(sight);
                (sight.deployed_present(manner, &overrides), sight.runs_with(&overrides))
            }
            Self::TaskManagers => {
                let ready = Some(sight.taskmanagers());
                (ready, ready == current && sight.slots_are_all_taken())
            }
        };
        Progress { ready: ready.filter(|_| running), settled: running && reached, rolling_out: false }
    }

    /// The lesser of what the slots, unless they can be `made`, and what the vertices allow.
    pub(super) fn limit(self, sight: &Sight, manner: &Manner, made: bool) -> Option<TargetLimit> {
        let slots = sight.feasible(manner).filter(|_| self == Self::InPlace && !made);
        let slots = slots.map(|most| TargetLimit { most, cause: LimitCause::Slots });
        let each =
            if self == Self::TaskManagers { sight.slots_of_a_taskmanager().unwrap_or(1).max(1) } else { 1 };
        let own =
            self.graph(sight, manner).and_then(|graph| graph.most()).map(|(most, _, cap)| TargetLimit {
                most: Replicas(most.div_ceil(each)),
                cause: match cap {
                    Cap::MaxParallelism(_) => LimitCause::MaxParallelism,
                    Cap::Partitions(_) | Cap::Kept(_) => LimitCause::Vertex,
                },
            });
        slots.into_iter().chain(own).min_by_key(|limit| limit.most)
    }

    /// Which vertex decides what the job can do, where it is known.
    pub(super) fn binding(self, sight: &Sight, manner: &Manner) -> Option<Binding> {
        let graph = self.graph(sight, manner)?;
        let limited_by = graph.most().map(|(_, vertex, cap)| format!("{vertex}: {cap}"));
        let division = match graph.division() {
            Division::Partitions => observation::Division::Partitions,
            Division::KeyGroups(groups) => observation::Division::Parts(groups),
            Division::Even => observation::Division::Even,
        };
        let fill =
            sight.slots_of_a_taskmanager().filter(|_| self != Self::TaskManagers && sight.has_all_slots());
        let fill = fill.filter(|_| graph.is_one_group());
        Some(Binding { name: graph.binding()?, division, fill, limited_by })
    }

    /// What a move costs until one was measured: what was processed since the last checkpoint is read again in any
    /// case. In place the tasks stop for as long as the JobManager says that they last did, or else for half a second as
    /// with small state, after a wait for the next checkpoint; a TaskManager takes five seconds to a minute to be used,
    /// and two to be let go; a redeploy takes minutes.
    pub(super) fn price(self, sight: &Sight) -> Price {
        let interval = sight.checkpoint_seconds().unwrap_or(0.0).min(60.0);
        let (wait, again) = sight.checkpoint_price();
        let (raise, lower) = match self {
            Self::InPlace => {
                let (all, stop) = sight.rescaled_since(0).unwrap_or((3.0 + wait, 1.0));
                return Price { raise_seconds: all.max(stop + again), lower_seconds: stop + again };
            }
            Self::Redeploy => (120.0 + interval, 120.0),
            Self::TaskManagers => (30.0 + interval, 3.0),
        };
        Price { raise_seconds: raise, lower_seconds: lower + interval / 2.0 }
    }
}

/// What the operator's object keeps.
fn overrides(sight: &Sight) -> Overrides {
    sight.resource().map(|resource| resource.overrides()).unwrap_or_default()
}

/// Whether a redeploy keeps the job's state and takes what it is given.
fn redeployable(resource: &Resource) -> Result<(), String> {
    let without = "its scheduler is not adaptive, so that only a redeploy moves it";
    if resource.kind == FlinkKind::FlinkSessionJob {
        return Err(format!("{without}, and a session job does not take overrides when it is submitted"));
    }
    if !resource.is_native() {
        return Err(format!("{without}, and in standalone mode its TaskManagers would have to follow"));
    }
    if resource.ignores_overrides() {
        return Err(format!(
            "{without}, and Flink 2 in application mode ignores overrides (FLINK-38770): set jobmanager.scheduler: \
             adaptive"
        ));
    }
    if resource.loses_state() {
        return Err(format!("{without}, and spec.job.upgradeMode stateless would throw its state away"));
    }
    Ok(())
}
