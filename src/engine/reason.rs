//! The one closed list of reasons. It feeds logs, events, metric labels, the API and `docs/reasons.md`.

use serde::{Deserialize, Serialize};

/// What sort of reason it is: the one place that tells who should be told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReasonKind {
    /// All is well, or as the operator asked.
    Routine,
    /// More is needed than something allows: the objective is at risk.
    Limit,
    /// It cannot be told yet what should be, as after every start, rollout or rebalance.
    Passing,
    /// The inputs cannot be trusted.
    Blind,
    /// The target or its consumers are not ours to size as they are.
    Stuck,
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident($kind:ident): $cure:literal,)+) => {
        /// Why a decision came out as it did.
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
            strum::Display, strum::IntoStaticStr, strum::EnumIter,
        )]
        pub enum Reason { $($(#[doc = $doc])+ $name,)+ }

        impl Reason {
            /// What the reason means, in one line.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim_ascii(),)+ }
            }

            /// What its reader may do about it.
            pub fn cure(self) -> &'static str {
                match self { $(Self::$name => $cure,)+ }
            }

            /// What sort of reason it is.
            pub fn kind(self) -> ReasonKind {
                match self { $(Self::$name => ReasonKind::$kind,)+ }
            }
        }
    };
}

reasons! {
    /// The load needs more replicas than there are.
    LoadNeedsMore(Routine): "Nothing: the target is raised.",
    /// The load has needed fewer replicas for long enough.
    LoadNeedsFewer(Routine): "Nothing: the target is lowered.",
    /// The current size fits the load.
    AtNeed(Routine): "Nothing.",
    /// The objective holds for long enough at the current size: a short deficit is cheaper than a move.
    ObjectiveHolds(Routine): "Nothing.",
    /// The capacity of one replica has not been measured yet: a step, to learn.
    Probing(Routine): "State capacityPerReplica in the policy to skip the probe.",
    /// Records stay overdue although the size should be enough: a quarter more than there are.
    StillOverdue(Limit): "Look for what holds the consumers up: a slow dependency, a poisoned record, a stuck Pod.",
    /// Work arrived for a workload that rests at 0 replicas.
    Activated(Routine): "Nothing.",
    /// The workload is idle, and the cooldown has passed: the last replica goes.
    Idle(Routine): "Nothing.",
    /// The workload is idle, but its cooldown has not passed yet.
    CooldownActive(Routine): "Shorten cooldown if the last replica should go earlier.",
    /// The difference is within the tolerance.
    WithinTolerance(Routine): "Lower behavior.*.tolerance to act on smaller differences.",
    /// A higher recommendation within the scale-down window holds the size, or a fall that may not be over yet.
    DownStabilizing(Routine): "Shorten behavior.scaleDown.stabilizationWindowSeconds if this is too slow.",
    /// A lower recommendation within the scale-up window holds the size.
    UpStabilizing(Routine): "Shorten behavior.scaleUp.stabilizationWindowSeconds if this is too slow.",
    /// The capacity to be saved has not yet paid for the move.
    NotPaidBack(Routine): "Nothing: it is looked at again as the waste adds up.",
    /// A backlog is being cleared: no replica goes before that is done.
    CatchingUp(Routine): "Nothing.",
    /// Recent reversals hold moves down for a while.
    FlapPenalty(Routine): "Widen the bounds or the windows if the load really swings like this.",
    /// The step is limited by behavior.policies, or the direction is disabled.
    StepLimited(Routine): "Raise behavior.*.policies if this is too slow.",
    /// The changes allowed within an hour are used up.
    BudgetExhausted(Limit): "Raise budget.changesPerHour if the load really needs more.",
    /// The need lies under minReplicas.
    AtMinReplicas(Routine): "Lower minReplicas to save more.",
    /// A schedule asks for more than the load needs.
    AtScheduledMinimum(Routine): "Lower the schedule's minReplicas, or shorten it, to save more.",
    /// The need lies over maxReplicas.
    AtMaxReplicas(Limit): "Raise maxReplicas: the objective is at risk.",
    /// More replicas than partitions would idle.
    ClampedToPartitions(Limit): "Add partitions, or make one replica faster.",
    /// A Spark batch is split into no more tasks: further executors would idle.
    ClampedToTasks(Limit): "Raise minPartitions; with state, start from a new checkpoint with more spark.sql.shuffle.partitions.",
    /// One partition alone brings more than one replica processes: replicas will not help.
    HotPartition(Limit): "Spread the keys, or make one replica faster.",
    /// The Flink cluster has too few free slots for what the load needs.
    SlotsMissing(Limit): "Add TaskManagers, or stop other jobs: it is asked for as soon as slots appear.",
    /// The Flink job cannot have more than its maxParallelism.
    AtMaxParallelism(Limit): "Restart the job from a savepoint with a higher maxParallelism.",
    /// A vertex of the Flink job can follow no further: its partitions, or that it is left alone, bind all of the job.
    AtVertexLimit(Limit): "Add partitions, or take the vertex that is named out of exclude and give it more.",
    /// With more parallelism the Flink job, or its checkpoints, failed again and again; it has been given back what it had.
    Quarantined(Limit): "See the job's exceptions and its failed checkpoints: network buffers, memory, too many writers. It is tried again after an hour.",
    /// A ResourceQuota leaves no room for what the load needs.
    QuotaReached(Limit): "Raise the namespace's ResourceQuota, or lower maxReplicas.",
    /// Pods that were asked for still wait for a node, and more of them would wait too.
    PodsPending(Limit): "See the Pods' events: room on the nodes, an image, a volume.",
    /// More replicas were seen to do no more: what lies downstream, or one partition, is the limit.
    NoGain(Limit): "Look at what the consumers write to or wait for, and at how the keys are spread: replicas will not help.",
    /// No replica count can hold the objective: a move takes longer than maxLag.
    ObjectiveInfeasible(Limit): "Raise maxLag, or speed up start and rebalance.",
    /// A source gave nothing.
    SignalMissing(Blind): "See the source's problem.",
    /// A source's reading is too old.
    SignalStale(Blind): "See the source's problem.",
    /// A source could not tell all of it.
    SignalPartial(Blind): "See the source's problem, and which partitions are unknown.",
    /// A source gave a value that cannot be.
    SignalRejected(Blind): "Correct the query or the exporter.",
    /// Two sources contradict each other.
    SignalsDisagree(Blind): "Find out which one is wrong.",
    /// No rate is known yet: it takes two looks, or a source that tells it.
    WarmingUp(Passing): "Nothing at first; if it lasts, see whether the sources tell a rate.",
    /// The consumer group is rebalancing.
    GroupRebalancing(Passing): "Nothing, unless it lasts: then look at the consumers' logs.",
    /// The broker did not say what the consumer group is doing.
    GroupUnknown(Blind): "Check that the group's coordinator can be reached, and that Tidegate may describe the group.",
    /// The consumer group has replicas but no members.
    GroupWithoutMembers(Stuck): "Check that the consumers use the policy's group and can reach Kafka.",
    /// The target's replicas are not all ready, or a rollout is under way.
    TargetNotSettled(Passing): "Nothing, unless it lasts: then look at the target's Pods.",
    /// The target does not exist.
    TargetNotFound(Stuck): "Correct the policy's target, or create it.",
    /// The target could not be read.
    TargetUnreadable(Stuck): "See the target's problem.",
    /// The target cannot be moved as it is set up, or is in a state that nobody else should touch.
    TargetUnfit(Stuck): "See the decision's words: they say what is in the way.",
    /// Somebody else moves this target.
    OwnedByOther(Stuck): "Remove the other owner, or point the policy at it (an HPA, a ScaledObject).",
    /// The policy is paused.
    Paused(Routine): "Set paused: false to go on.",
    /// The inputs have been silent or doubtful for too long: raised to the fallback floor.
    Fallback(Blind): "Restore the source.",
    /// Time ran backwards, or an input is not a number.
    InputRejected(Blind): "Check the clocks of this machine and of the brokers.",
}

impl Reason {
    /// Whether somebody should look.
    pub fn is_trouble(self) -> bool {
        matches!(self.kind(), ReasonKind::Limit | ReasonKind::Blind | ReasonKind::Stuck)
    }

    /// Whether a hold for it says nothing on what the size should be.
    pub fn is_unknown(self) -> bool {
        matches!(self.kind(), ReasonKind::Passing | ReasonKind::Blind | ReasonKind::Stuck)
    }

    /// Every reason with its meaning and cure, as the page of the documentation.
    pub fn page() -> String {
        use strum::IntoEnumIterator as _;
        let mut page = String::from(
            "# Reasons\n\nEvery decision carries one of these: in the log, in Kubernetes Events, as a metric's label, in\n\
             the API and in `explain`. This page is generated from `src/engine/reason.rs`.\n\n\
             | reason | what it means | what to do |\n|---|---|---|\n",
        );
        for reason in Self::iter() {
            page.extend(["| `", reason.into(), "` | ", reason.meaning(), " | ", reason.cure(), " |\n"]);
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_reasons_is_the_list() {
        let page = Reason::page();
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reasons.md");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(file, &page).unwrap();
        }
        let written = std::fs::read_to_string(file).unwrap();
        assert_eq!(written, page, "docs/reasons.md differs: `make golden` writes it");
    }

    #[test]
    fn every_reason_has_a_meaning_and_a_cure() {
        use strum::IntoEnumIterator as _;
        for reason in Reason::iter() {
            assert!(reason.meaning().ends_with('.') && reason.cure().ends_with('.'), "{reason}");
        }
    }
}
