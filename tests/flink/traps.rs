//! What Flink is known to do to an autoscaler: see the table of this folder.

use std::sync::Arc;

use rstest::rstest;
use serde_json::{Value, json};
use tidegate::daemon::cycle::Workload;
use tidegate::engine::observation::{LimitCause, TargetHold};
use tidegate::engine::{Memory, Reason};
use tidegate::policy::{Mode, Policy, Replicas, TimeSpan};
use tidegate::record::{Outcome, Turn};
use tidegate::sources::{Connections, Source};

use super::{JobManager, SOURCE, WORK, change, now, policy};

/// One live turn of a policy that needs `least`, by what the job itself tells.
async fn turn(manager: &JobManager, least: u32) -> Turn {
    let mut policy = policy();
    (policy.rules.min_replicas, policy.rules.max_replicas) = (Replicas(least), Replicas(12));
    let connections = Connections::new(&manager.settings()).unwrap();
    let spec = policy.sources.last().unwrap().clone();
    let busy: Arc<dyn Source> =
        connections.source(&spec, TimeSpan::from_secs(20), policy.rules.interval).unwrap();
    let policy = Policy { sources: vec![spec], ..policy };
    let target = manager.actuator(&policy);
    let mode = Mode::Apply;
    let mut workload = Workload { policy, mode, sources: vec![busy], target, memory: Memory::default() };
    workload.turn(now(), std::time::Duration::from_mins(1)).await
}

fn bounds(lower: u32, upper: u32) -> Value {
    json!({"parallelism": {"lowerBound": lower, "upperBound": upper}})
}

/// FLINK-39925: a busy job whose counters are zero for the moment was made small by them.
#[tokio::test]
async fn zeros_of_new_tasks_are_unknown() {
    let manager = JobManager::recorded("2.2").await;
    manager.change(&format!("/jobs/{}", manager.jid()), |it| {
        for vertex in it["vertices"].as_array_mut().unwrap() {
            for (name, zero) in vertex["metrics"].as_object_mut().unwrap() {
                *zero = if name.ends_with("-complete") { false.into() } else { 0.into() };
            }
        }
    });
    let turn = turn(&manager, 1).await;
    assert_eq!((turn.outcome, turn.decision.change), (Outcome::Held, None));
    assert_eq!(turn.decision.reason, Reason::SignalMissing, "{}", turn.decision.sentence);
    let problem = turn.observation.sources[0].clone();
    let silent = "flink main/orders: not all tasks of Source: orders have told yet how busy they are";
    assert!(format!("{problem:?}").contains(silent), "{problem:?}");
    assert_eq!(manager.sent(), []);
}

/// The job's state is RUNNING all the while.
#[rstest]
#[case::created("CREATED")]
#[case::scheduled("SCHEDULED")]
#[case::deploying("DEPLOYING")]
#[case::initializing("INITIALIZING")]
#[tokio::test]
async fn a_job_that_is_being_rescaled_is_left_alone(#[case] status: &str) {
    let manager = JobManager::recorded("2.2").await;
    manager.change(&format!("/jobs/{}", manager.jid()), |it| it["vertices"][1]["status"] = status.into());
    let turn = turn(&manager, 4).await;
    assert_eq!((turn.outcome, turn.decision.reason), (Outcome::Held, Reason::TargetNotSettled));
    let why = format!("work -> sink: Writer is {status}");
    assert!(turn.decision.sentence.contains(&why), "{}", turn.decision.sentence);
    assert_eq!(manager.sent(), []);
}

#[tokio::test]
async fn accepted_is_not_carried_out() {
    let manager = JobManager::recorded("2.2").await;
    let actuator = manager.actuator(&policy());
    let fence = actuator.observe(now()).await.fence.unwrap();
    actuator.apply(&change(4), &fence).await.unwrap();
    let job = format!("/jobs/{}", manager.jid());
    manager.on(
        &format!("{job}/resource-requirements"),
        200,
        json!({SOURCE: bounds(1, 4), WORK: bounds(1, 4)}),
    );
    let read = async |second: i64| {
        let reading = actuator.observe(now() + jiff::SignedDuration::from_secs(second)).await;
        (reading.current, reading.ready, reading.settled)
    };
    assert_eq!(read(15).await, (Some(Replicas(4)), Some(Replicas(2)), false));
    manager.change(&job, |it| {
        for vertex in it["vertices"].as_array_mut().unwrap() {
            vertex["parallelism"] = 4.into();
        }
    });
    assert_eq!(read(30).await, (Some(Replicas(4)), Some(Replicas(4)), true));
}

#[rstest]
#[case::as_flink_2_calls_it("executing.cooldown-after-rescaling")]
#[case::as_flink_1_calls_it("scaling-interval.min")]
#[tokio::test]
async fn the_schedulers_rest_is_not_fought(#[case] option: &str) {
    let manager = JobManager::recorded("2.2").await;
    let job = format!("/jobs/{}", manager.jid());
    let options = json!([
        {"key": "jobmanager.scheduler", "value": "adaptive"},
        {"key": format!("jobmanager.adaptive-scheduler.{option}"), "value": "2 min"},
    ]);
    manager.on(&format!("{job}/jobmanager/config"), 200, options);
    manager.change(&job, |it| it["now"] = (it["timestamps"]["RUNNING"].as_i64().unwrap() + 30_000).into());
    let turn = turn(&manager, 4).await;
    assert_eq!((turn.outcome, turn.decision.reason), (Outcome::Held, Reason::TargetNotSettled));
    let why = "the adaptive scheduler rests for 90 s more after its last rescale";
    assert!(turn.decision.sentence.contains(why), "{}", turn.decision.sentence);
    assert_eq!(manager.sent(), []);
}

/// Asking for more stalls the scheduler for up to a minute before it takes what there is.
#[tokio::test]
async fn no_more_is_asked_for_than_there_are_slots() {
    let manager = JobManager::recorded("2.2").await;
    let turn = turn(&manager, 12).await;
    assert_eq!(turn.observation.target.limit.map(|limit| limit.cause), Some(LimitCause::Slots));
    assert_eq!((turn.outcome, turn.decision.reason), (Outcome::Applied, Reason::SlotsMissing));
    assert!(
        turn.decision.sentence.contains("12 needed, there are slots for 8"),
        "{}",
        turn.decision.sentence
    );
    // The source has four partitions.
    assert_eq!(manager.sent()[0].1, json!({SOURCE: bounds(1, 4), WORK: bounds(1, 8)}));
}

/// A job that insists on its parallelism does not survive the loss of a TaskManager.
#[tokio::test]
async fn no_lower_bound_is_raised() {
    for (lower, kept) in [(1, 1), (2, 2)] {
        let manager = JobManager::recorded("2.2").await;
        let asked = format!("/jobs/{}/resource-requirements", manager.jid());
        manager.on(&asked, 200, json!({SOURCE: bounds(lower, 2), WORK: bounds(lower, 2)}));
        turn(&manager, 6).await;
        assert_eq!(manager.sent()[0].1, json!({SOURCE: bounds(kept, 4), WORK: bounds(kept, 6)}));
    }
}

/// New tasks go back to the last checkpoint. Where there is none, they begin without the job's state.
#[tokio::test]
async fn a_job_with_nothing_to_go_back_to_is_left_alone() {
    let manager = JobManager::recorded("2.2").await;
    let job = format!("/jobs/{}", manager.jid());
    let hold = async || manager.actuator(&policy()).observe(now()).await.hold;
    manager.change(&format!("{job}/checkpoints"), |it| it["latest"]["completed"] = Value::Null);
    let what = "no checkpoint is completed yet, and new tasks would begin where the job began".to_owned();
    assert_eq!(hold().await, Some(TargetHold::Unsettled { what }));
    let restored = json!({"id": 7, "restore_timestamp": 1, "is_savepoint": true});
    manager.change(&format!("{job}/checkpoints"), |it| it["latest"]["restored"] = restored);
    assert_eq!(hold().await, None, "it was started from a savepoint");
    for path in ["checkpoints", "checkpoints/config"] {
        manager.on(
            &format!("{job}/{path}"),
            404,
            json!({"errors": ["Checkpointing is not enabled for this job"]}),
        );
    }
    let problem = "it takes no checkpoints, and new tasks would begin without its state: set \
                   execution.checkpointing.interval"
        .to_owned();
    assert_eq!(hold().await, Some(TargetHold::Unfit { problem }));
}
