//! What becomes of a move: taken back where the job, or its checkpoints, fail since; and the checkpoint that is taken next to
//! it.

use std::sync::Arc;

use rstest::rstest;
use serde_json::{Value, json};
use tidegate::actuators::Actuator;
use tidegate::engine::observation::{LimitCause, TargetLimit};
use tidegate::policy::Replicas;

use super::{JobManager, SOURCE, WORK, change, now, policy};

/// A job that is asked for 4 instead of 2.
struct Moved {
    manager: JobManager,
    actuator: Arc<dyn Actuator>,
    job: String,
    /// Milliseconds of the JobManager's clock.
    at: i64,
}

impl Moved {
    async fn up() -> Self {
        let manager = JobManager::recorded("2.2").await;
        let actuator = manager.actuator(&policy());
        let job = format!("/jobs/{}", manager.jid());
        let fence = actuator.observe(now()).await.fence.unwrap();
        actuator.apply(&change(4), &fence).await.unwrap();
        let at = manager.answer(&job)["now"].as_i64().unwrap();
        let moved = Self { manager, actuator, job, at };
        moved.asks(4);
        moved
    }

    fn asks(&self, upper: u32) {
        self.manager.change(&format!("{}/resource-requirements", self.job), |it| {
            for vertex in [SOURCE, WORK] {
                it[vertex]["parallelism"]["upperBound"] = upper.into();
            }
        });
    }

    fn runs(&self, parallelism: u32) {
        self.manager.change(&self.job, |it| {
            for vertex in it["vertices"].as_array_mut().unwrap() {
                vertex["parallelism"] = parallelism.into();
            }
        });
    }

    fn is(&self, state: &str) {
        self.manager.change(&self.job, |it| it["state"] = state.into());
    }

    /// A turn that writes nothing by itself; what it may go up to.
    async fn turn(&self, second: i64) -> Option<TargetLimit> {
        let at = now() + jiff::SignedDuration::from_secs(second);
        let limit = self.actuator.observe(at).await.limit;
        self.actuator.tend(at).await.unwrap();
        limit
    }

    fn sent(&self) -> usize {
        self.manager.sent().len()
    }

    /// The second write gives back what there was.
    fn is_taken_back(&self) {
        let before = json!({"parallelism": {"lowerBound": 1, "upperBound": 2}});
        let path = format!("PUT {}/resource-requirements", self.job);
        assert_eq!(self.manager.sent()[1..], [(path, json!({SOURCE: before, WORK: before}))]);
    }
}

/// A job that goes on failing after a move up is given back what it had, and is not asked for as much again.
#[tokio::test]
async fn a_move_that_the_job_does_not_bear_is_taken_back() {
    let moved = Moved::up().await;
    moved.is("RESTARTING");
    let fails = |after: i64| {
        let failure = json!({"exceptionName": "java.io.IOException", "timestamp": moved.at + after});
        let answer = json!({"exceptionHistory": {"entries": [failure]}});
        moved.manager.on(&format!("{}/exceptions?", moved.job), 200, answer);
    };
    // An old failure; one before the move was carried out; then the new tasks fail, for less than a minute.
    for (second, after, parallelism) in [(15, -1000, 4), (30, 500, 2), (45, 1000, 4), (60, 50_000, 4)] {
        fails(after);
        moved.runs(parallelism);
        moved.turn(second).await;
        assert_eq!(moved.sent(), 1, "{after}: a TaskManager may be lost");
    }
    fails(61_000);
    moved.turn(75).await;
    moved.is_taken_back();
    moved.asks(2);
    moved.runs(2);
    moved.is("RUNNING");
    let limit = moved.turn(90).await;
    assert_eq!(limit, Some(TargetLimit { most: Replicas(3), cause: LimitCause::Quarantine }));
    assert_eq!(moved.sent(), 2);
    let limit = moved.turn(3700).await;
    assert_eq!(limit, Some(TargetLimit { most: Replicas(8), cause: LimitCause::Slots }), "an hour later");
}

/// The job goes on, and nothing of what it does is kept any more: three checkpoints and a minute without any are enough,
/// unless one is completed in between.
#[rstest]
#[case::all_of_them(0, true)]
#[case::one_in_between(1, false)]
#[tokio::test]
async fn a_move_that_the_checkpoints_do_not_bear_is_taken_back(#[case] completed: u64, #[case] back: bool) {
    let moved = Moved::up().await;
    let checkpoints = format!("{}/checkpoints", moved.job);
    let counts = moved.manager.answer(&checkpoints)["counts"].clone();
    let since = |second: i64, failed: u64, completed: u64| {
        moved.manager.change(&checkpoints, |it| {
            it["counts"]["failed"] = (counts["failed"].as_u64().unwrap() + failed).into();
            it["counts"]["completed"] = (counts["completed"].as_u64().unwrap() + completed).into();
        });
        moved.manager.change(&moved.job, |it| it["now"] = (moved.at + second * 1000).into());
    };
    // What fails before the new tasks are there is the move's own doing.
    since(15, 5, 0);
    moved.turn(15).await;
    moved.runs(4);
    for (second, failed, done) in [(30, 6, 0), (60, 8, completed), (85, 9, completed)] {
        since(second, failed, done);
        moved.turn(second).await;
        assert_eq!(moved.sent(), 1, "{second} s: not yet a minute");
    }
    since(100, 10, completed);
    moved.turn(100).await;
    assert_eq!(moved.sent() > 1, back);
    if !back {
        return;
    }
    moved.is_taken_back();
    moved.asks(2);
    moved.runs(2);
    let limit = moved.turn(115).await;
    assert_eq!(limit, Some(TargetLimit { most: Replicas(3), cause: LimitCause::Quarantine }));
}

/// A job whose checkpoints lie ten minutes apart and take so many milliseconds, the last a minute ago; what is sent for a
/// move, in order.
async fn sent_with_checkpoints(
    line: &str,
    took: i64,
    in_progress: u64,
    status: Value,
) -> Vec<(String, Value)> {
    let manager = JobManager::recorded(line).await;
    let job = format!("/jobs/{}", manager.jid());
    let checkpoints = format!("{job}/checkpoints");
    let now_there = manager.answer(&job)["now"].as_i64().unwrap();
    let adaptive = json!([{"key": "jobmanager.scheduler", "value": "adaptive"}]);
    manager.on(&format!("{job}/jobmanager/config"), 200, adaptive);
    manager.change(&format!("{checkpoints}/config"), |it| it["interval"] = 600_000.into());
    manager.change(&checkpoints, |it| {
        it["counts"]["in_progress"] = in_progress.into();
        it["latest"]["completed"]["trigger_timestamp"] = (now_there - 60_000).into();
        it["latest"]["completed"]["end_to_end_duration"] = took.into();
    });
    manager.on(&format!("POST {checkpoints}"), 202, json!({"request-id": "r1"}));
    manager.on(&format!("{checkpoints}/r1"), 200, status);
    let actuator = manager.actuator(&policy());
    let fence = actuator.observe(now()).await.fence.unwrap();
    actuator.apply(&change(4), &fence).await.unwrap();
    let prefix = |call: &str| call.replace(&job, "");
    manager.sent().into_iter().map(|(call, body)| (prefix(&call), body)).collect()
}

/// New tasks go back to the last checkpoint, so that one is taken first; Flink 2 itself waits for the next one, so that it
/// is asked for afterwards, and comes at once.
#[rstest]
#[case::before("1.20", 200, 0, &["POST /checkpoints", "PUT /resource-requirements"])]
#[case::after("2.2", 200, 0, &["PUT /resource-requirements", "POST /checkpoints"])]
#[case::it_takes_long("1.20", 20_000, 0, &["PUT /resource-requirements"])]
#[case::it_takes_long_and_less_than_the_wait("2.2", 20_000, 0, &["PUT /resource-requirements", "POST /checkpoints"])]
#[case::it_is_under_way("2.2", 200, 1, &["PUT /resource-requirements"])]
#[tokio::test]
async fn a_checkpoint_is_taken_where_it_saves_more_than_it_takes(
    #[case] line: &str,
    #[case] took: i64,
    #[case] in_progress: u64,
    #[case] calls: &[&str],
) {
    let done = json!({"status": {"id": "COMPLETED"}, "operation": {"checkpointId": 7}});
    let sent = sent_with_checkpoints(line, took, in_progress, done).await;
    assert_eq!(sent.iter().map(|(call, _)| call.as_str()).collect::<Vec<_>>(), calls);
    let post = sent.iter().find(|(call, _)| call.starts_with("POST"));
    assert!(post.is_none_or(|(_, body)| *body == json!({"checkpointType": "CONFIGURED"})), "{sent:?}");
}

/// However the checkpoint fares, the move is made.
#[tokio::test]
async fn a_checkpoint_that_does_not_come_stops_no_move() {
    let sent = sent_with_checkpoints("1.20", 200, 0, json!({"status": {"id": "IN_PROGRESS"}})).await;
    assert_eq!(sent.len(), 2, "it was waited for no longer than a move may wait");
    assert_eq!(sent[1].0, "PUT /resource-requirements");
}

/// Flink 2 takes no notice of a checkpoint that was completed before it had the slots: it is asked for more, until it runs
/// with what was asked for.
#[tokio::test]
async fn another_checkpoint_is_asked_for_until_the_job_is_rescaled() {
    let moved = Moved::up().await;
    let adaptive = json!([{"key": "jobmanager.scheduler", "value": "adaptive"}]);
    moved.manager.on(&format!("{}/jobmanager/config", moved.job), 200, adaptive);
    moved.manager.change(&format!("{}/checkpoints", moved.job), |it| it["counts"]["in_progress"] = 0.into());
    moved.manager.change(&format!("{}/checkpoints/config", moved.job), |it| it["interval"] = 600_000.into());
    // What stays as it is is learnt again with another job's id alone.
    let actuator = moved.manager.actuator(&policy());
    let moved = Moved { actuator, ..moved };
    moved.asks(2);
    let fence = moved.actuator.observe(now()).await.fence.unwrap();
    moved.actuator.apply(&change(4), &fence).await.unwrap();
    moved.asks(4);
    let nudges = || moved.manager.sent().iter().filter(|(call, _)| call.starts_with("POST")).count();
    assert_eq!(nudges(), 1, "next to the move");
    moved.turn(15).await;
    assert_eq!(nudges(), 2);
    moved.runs(4);
    moved.turn(30).await;
    assert_eq!(nudges(), 2, "it runs so");
}
