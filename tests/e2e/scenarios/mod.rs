//! The scenarios.

mod chart;
mod closed_loop;
mod dry_run;
mod faults;
mod fleet;
mod hpa;
mod keda;
mod secure;
mod servers;
mod spark;
mod spark_bounds;
mod steady;
mod storm;

use anyhow::Result;
use futures::future::BoxFuture;

use crate::support::world::Case;

/// One scenario.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// How much of this machine it takes: 1 mostly waits, 4 starts several brokers.
    pub(crate) weight: u32,
    pub(crate) run: fn(Case) -> BoxFuture<'static, Result<()>>,
}

macro_rules! scenarios {
    ($($name:literal: $weight:literal, $run:path;)+) => {
        /// Every scenario, the longest first.
        pub(crate) const ALL: [Scenario; [$($name),+].len()] =
            [$(Scenario { name: $name, weight: $weight, run: |case| Box::pin($run(case)) }),+];
    };
}

scenarios! {
    "servers": 1, servers::people_can_do_it_by_hand;
    "closed-loop": 2, closed_loop::load_steps_up_and_down;
    "spark-workers": 3, spark::workers_follow_a_streaming_query;
    "storm": 3, storm::the_coordinator_fails_again_and_again;
    "fleet": 2, fleet::two_thousand_partitions_and_a_hundred_groups;
    "secure": 2, secure::describe_rights_are_enough;
    "chart-installed": 1, chart::installed_by_helm;
    "chart-renderings": 1, chart::renderings;
    "api-outage": 1, faults::the_api_server_stops;
    "broker-outage": 2, faults::the_broker_stops;
    "prometheus-outage": 1, faults::prometheus_goes;
    "killed-mid-change": 1, faults::the_daemon_is_killed_mid_change;
    "broken-policy": 1, faults::a_policy_is_broken_by_an_edit;
    "topic-recreated": 1, faults::a_topic_is_deleted_and_recreated;
    "retention": 1, faults::retention_passes_the_commit;
    "hpa": 1, hpa::bounds_beside_the_real_controller;
    "spark-bounds": 1, spark_bounds::bounds_of_the_next_run;
    "dry-run": 1, dry_run::nothing_is_written_and_the_decisions_are_the_same;
    "keda-earliest": 1, keda::earliest;
    "keda-latest": 1, keda::latest;
    "keda-multi-topic": 1, keda::multi_topic;
    "keda-zero-invalid-latest": 1, keda::zero_on_invalid_offset_latest;
    "keda-zero-invalid-earliest": 1, keda::zero_on_invalid_offset_earliest;
    "keda-one-invalid-latest": 1, keda::one_on_invalid_offset_latest;
    "keda-one-invalid-earliest": 1, keda::one_on_invalid_offset_earliest;
    "keda-persistent-lag": 1, keda::persistent_lag;
    "keda-only-lagging": 1, keda::only_lagging_partitions;
    "keda-even-distribution": 1, keda::even_distribution;
}
