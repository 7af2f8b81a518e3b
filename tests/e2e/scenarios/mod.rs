//! The scenarios.

mod backtest;
mod beside_keda;
mod chart;
mod closed_loop;
mod credentials;
mod dry_run;
mod faults;
mod fleet;
mod flink;
mod flink_application;
mod flink_checkpoint;
mod flink_operator;
mod hpa;
mod keda;
mod lag_truth;
mod secure;
mod servers;
mod spark;
mod spark_allocator;
mod spark_apache;
mod spark_bounds;
mod spark_history;
mod spark_lines;
mod spark_restart;
mod steady;
mod storm;
mod takeover;
mod transactions;

use std::time::Duration;

use anyhow::Result;
use futures::future::BoxFuture;

use crate::support::world::Case;

/// One scenario.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// How much of this machine it takes: 1 mostly waits, 4 starts several brokers.
    pub(crate) weight: u32,
    /// Run only by name.
    pub(crate) by_name: bool,
    /// Skipped unless KEDA is installed.
    pub(crate) needs_keda: bool,
    pub(crate) run: fn(Case) -> BoxFuture<'static, Result<()>>,
}

macro_rules! scenarios {
    ($($name:literal: $weight:literal, $run:path $(, $needs:ident)?;)+) => {
        /// Every scenario, the longest first.
        pub(crate) const ALL: [Scenario; [$($name),+].len()] =
            [$(Scenario {
                name: $name,
                weight: $weight,
                by_name: scenarios!(@by_name $($needs)?),
                needs_keda: scenarios!(@needs $($needs)?),
                run: |case| Box::pin($run(case)),
            }),+];
    };
    (@by_name) => { false };
    (@by_name $needs:ident) => { true };
    (@needs needs_keda) => { true };
    (@needs $($other:ident)?) => { false };
}

scenarios! {
    "servers": 1, servers::people_can_do_it_by_hand;
    "closed-loop": 2, closed_loop::load_steps_up_and_down;
    "spark-workers": 3, spark::workers_follow_a_streaming_query;
    "flink-steps": 2, flink::in_place_up_and_down;
    "spark-restart": 3, spark_restart::proved_or_rolled_back;
    "spark-allocator": 3, spark_allocator::executors_that_nobody_asked_for;
    // Its runs are short: on a busy machine they do not take the same time twice, and the bounds follow.
    "spark-history": 2, spark_history::bounds_from_real_runs, by_name;
    // Spark's older line is installed on request.
    "spark-workers-older": 3, spark::on_the_older_line, by_name;
    "spark-answers": 2, spark_lines::record, by_name;
    "flink-slots": 2, flink::too_few_slots;
    "flink-deployment": 2, flink_operator::in_place;
    "flink-redeploy": 2, flink_operator::redeploy;
    "flink-application": 2, flink_application::starts_without_what_is_kept;
    "flink-application-older": 2, flink_application::starts_with_what_is_kept;
    "flink-reactive": 2, flink_application::reactive;
    "flink-workload": 2, flink_application::on_a_workload_of_taskmanagers, by_name;
    "flink-session-job": 2, flink_application::session_job;
    "flink-taskmanager": 2, flink::a_taskmanager_is_killed;
    "flink-jobmanager": 2, flink::the_jobmanager_is_killed;
    "flink-checkpoint": 2, flink_checkpoint::comes_at_once, by_name;
    "flink-checkpoint-older": 2, flink_checkpoint::comes_first, by_name;
    // A newer line is installed on request.
    "flink-history": 2, flink_checkpoint::history, by_name;
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
    "backtest": 1, backtest::the_past_of_a_real_server;
    "hpa": 1, hpa::bounds_beside_the_real_controller;
    "spark-bounds": 1, spark_bounds::bounds_of_the_next_run;
    "spark-apache": 1, spark_apache::clusters_and_applications;
    "dry-run": 1, dry_run::nothing_is_written_and_the_decisions_are_the_same;
    "transactions": 1, transactions::a_marker_stays_behind_a_consumer_of_librdkafka;
    "kafka-credentials": 1, credentials::every_way_into_kafka;
    "prometheus-credentials": 1, credentials::into_prometheus_over_tls;
    "taken-over": 1, takeover::a_yield_outlives_the_daemon;
    "beside-keda-bounds": 1, beside_keda::its_bounds_are_moved, needs_keda;
    "beside-keda-owned": 1, beside_keda::what_it_owns_is_left_alone, needs_keda;
    "beside-keda-lag": 1, lag_truth::three_readers_of_the_same_offsets, needs_keda;
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

/// Waits for several JVMs to start and to warm up, which takes minutes where they have to share a core.
pub(crate) async fn patiently<T, F: Future<Output = Result<T>>>(wait: impl Fn() -> F) -> Result<T> {
    for _ in 0..3 {
        if let Ok(done) = wait().await {
            return Ok(done);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    wait().await
}
