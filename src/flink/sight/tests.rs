//! On what real JobManagers answered: see `tests/fixtures/flink/record.sh`.

use serde::de::DeserializeOwned;
use serde_json::json;

use super::super::answers::{CheckpointConfig, Exceptions, Greatest, Jobs, Name, Overview};
use super::super::graph::Cap;
use super::*;
use crate::policy::Replicas;

const LINES: [&str; 2] = ["1.20", "2.2"];
const ALL: [&str; 3] = ["1.20", "2.2", "2.3"];

pub(super) fn recorded<T: DeserializeOwned>(line: &str, name: &str) -> T {
    let path = format!("{}/tests/fixtures/flink/{line}/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(&path).unwrap())
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub(crate) fn sight(line: &str, job: &str) -> Sight {
    let overview: Overview = recorded(line, "overview");
    let offsets: Vec<Greatest> = recorded(line, "offsets");
    let config: CheckpointConfig = recorded(line, "checkpoint-config");
    let position =
        |one: Greatest| Some((position_of(&one.id)?, format!("{:.0}", one.max?).parse::<i64>().ok()? + 1));
    Sight {
        at: Timestamp::UNIX_EPOCH,
        fresh_at: Timestamp::UNIX_EPOCH,
        version: overview.flink_version.clone(),
        overview,
        job: recorded(line, job),
        requirements: Ok(recorded(line, "requirements")),
        config: recorded(line, "job-jobmanager-config"),
        interval: Some(config.interval),
        rescale: None,
        failure: None,
        checkpoints: Some(recorded(line, "checkpoints")),
        positions: offsets.into_iter().filter_map(position).collect(),
        partitions: BTreeMap::new(),
        work: Work::default(),
        skews: std::collections::BTreeMap::new(),
        resource: None,
    }
}

#[test]
fn what_all_lines_answer_is_understood() {
    for line in ALL {
        let seen = sight(line, "job");
        assert_eq!(seen.phase(), Phase::Running, "{line}");
        assert_eq!(seen.unfit(), None, "{line}");
        let all = Manner::default();
        assert_eq!((seen.scale(&all), seen.present(&all)), (Some(Replicas(2)), Some(Replicas(2))), "{line}");
        assert!(seen.reached(), "{line}");
        let (most, _, cap) = seen.graph(&all).unwrap().most().unwrap();
        assert_eq!((most, cap), (120, Cap::MaxParallelism(120)), "{line}");
        assert_eq!(seen.feasible(&all), Some(Replicas(8)), "two slots of its own and six free ones: {line}");
        assert!(
            (0..4).all(|partition| seen.position("orders", partition).is_some_and(|next| next > 0)),
            "{line}"
        );
        assert!(seen.uncommitted_seconds().is_some_and(|seconds| seconds <= 2.0), "{line}");
        let jobs: Jobs = recorded(line, "jobs");
        assert_eq!(
            (jobs.jobs[0].name.as_str(), jobs.jobs[0].state.as_str()),
            ("orders", "RUNNING"),
            "{line}"
        );
    }
}

#[test]
fn one_unknown_name_empties_the_answer_so_names_are_listed_first() {
    for line in ALL {
        assert_eq!(recorded::<Vec<Greatest>>(line, "unknown-name").len(), 0, "{line}");
        let names: Vec<Name> = recorded(line, "names");
        let mut places: Vec<_> = names.iter().filter_map(|name| position_of(&name.id)).collect();
        places.sort();
        let all: Vec<_> = (0..4).map(|partition| ("orders".to_owned(), partition)).collect();
        assert_eq!(places, all, "{line}");
    }
}

#[test]
fn zeros_of_a_job_that_just_started_say_nothing() {
    for line in LINES {
        let first = sight(line, "job-first");
        let after = sight(line, "job");
        assert!(after.same_attempt(&first), "{line}");
        assert_eq!(
            after.busy_since(&first),
            None,
            "what was not a number, or not complete, cannot count: {line}"
        );
    }
}

#[test]
fn the_busiest_vertex_tells_the_share() {
    let before = sight("2.2", "job");
    let after = before.later([100.0, 750.0]);
    let (share, vertex) = after.busy_since(&before).unwrap();
    assert!((share - 0.75).abs() < 1e-9, "{share}");
    assert_eq!(vertex, "work -> sink: Writer");
    assert!(after.is_news(&before));
    assert!(!before.clone().is_news(&before));
    assert_eq!(before.busy_since(&before), None, "no time has passed on the tasks' clocks");
}

#[test]
fn tasks_are_asked_themselves_where_the_jobs_details_are_silent() {
    let metrics = |count: f64| -> Vec<Summed> {
        let one = |(name, sum): (&str, f64)| json!({"id": name, "sum": sum, "avg": sum / count});
        let all: Vec<_> = CLOCKS.into_iter().zip([1500.0, 500.0, 0.0]).map(one).collect();
        serde_json::from_value(all.into()).unwrap()
    };
    let silent = sight("2.2", "job").without_counters().job.vertices[0].metrics;
    let told = |metrics: &[Summed]| {
        let mut counters = silent;
        counters.by_tasks(metrics, 2);
        counters
    };
    let all = told(&metrics(2.0));
    assert!(all.are_complete());
    assert_eq!((all.accumulated_busy_time, all.time()), (Some(1500.0), Some(2000.0)));
    assert_eq!(told(&metrics(1.0)), silent, "one of two tasks");
    assert_eq!(told(&metrics(2.0)[..2]), silent, "not all clocks");
    assert_eq!(told(&[]), silent);
}

/// As seen of a real source in front of a slow vertex: its busy time goes to and fro while the whole goes on.
#[test]
fn a_source_that_waits_silences_nobody() {
    let before = sight("2.2", "job");
    let mut after = before.later([0.0, 750.0]);
    let waits = &mut after.job.vertices[0].metrics;
    waits.accumulated_busy_time = waits.accumulated_busy_time.map(|time| time - 29.0);
    waits.accumulated_backpressured_time = waits.accumulated_backpressured_time.map(|time| time + 2122.0);
    assert!(before.leads_to(&after));
    assert_eq!(after.busy_since(&before), Some((0.75, "work -> sink: Writer")));
}

#[test]
fn counters_of_another_attempt_or_incomplete_ones_cannot_be_compared() {
    let before = sight("2.2", "job");
    let mut restarted = before.later([100.0, 750.0]);
    restarted.job.timestamps.insert("RUNNING".to_owned(), 1);
    assert_eq!(restarted.busy_since(&before), None);
    let mut incomplete = before.later([100.0, 750.0]);
    for vertex in &mut incomplete.job.vertices {
        vertex.metrics.read_records_complete = false;
    }
    assert_eq!(incomplete.busy_since(&before), None);
    let mut reset = before.clone();
    for vertex in &mut reset.job.vertices {
        vertex.metrics.accumulated_busy_time = Some(0.0);
        vertex.metrics.accumulated_idle_time = Some(0.0);
    }
    assert_eq!(reset.busy_since(&before), None, "a counter that went back");
}

#[test]
fn what_stands_in_the_way_is_named() {
    let unfit = |change: &dyn Fn(&mut Sight)| {
        let mut seen = sight("2.2", "job");
        change(&mut seen);
        seen.unfit().unwrap()
    };
    let config = |key: &str, value: &str| -> Config {
        serde_json::from_value(json!([{"key": key, "value": value}])).unwrap()
    };
    let old = unfit(&|seen| "1.17.2".clone_into(&mut seen.version));
    assert_eq!(old, "Flink 1.17.2 cannot rescale a running job: 1.18 or later can");
    let reactive = unfit(&|seen| seen.config = config("scheduler-mode", "REACTIVE"));
    assert_eq!(reactive, "reactive mode takes all slots there are: move the TaskManagers instead");
    let default = unfit(&|seen| seen.config = config("jobmanager.scheduler", "Default"));
    assert_eq!(default, "jobmanager.scheduler is Default: only adaptive rescales a running job");
    let refused = unfit(&|seen| seen.requirements = Err("not supported".to_owned()));
    assert_eq!(refused, "not supported");
    let partial = unfit(&|seen| seen.requirements = Ok(Requirements::default()));
    assert_eq!(partial, "nothing is said of what Source: orders may have");
}

#[test]
fn the_scheduler_rests_after_a_rescale() {
    let mut seen = sight("2.2", "job");
    let running = seen.job.timestamps["RUNNING"];
    seen.config = Config::default();
    seen.job.now = running + 10_000;
    assert!((seen.cooldown() - 20.0).abs() < 1e-9, "thirty seconds unless told otherwise");
    seen.job.now = running + 40_000;
    assert!(seen.cooldown() < 1e-9);
    for (text, seconds) in [("2 s", 2.0), ("500ms", 0.5), ("1 min", 60.0), ("PT30S", 30.0), ("7000", 7.0)] {
        assert!(duration(text).is_some_and(|read| (read - seconds).abs() < 1e-9), "{text}");
    }
    assert_eq!(duration("soon"), None);
}

#[test]
fn slots_are_counted_by_sharing_group() {
    let mut seen = sight("2.2", "job");
    seen.job.vertices[0].slot_sharing_group_id = "other".to_owned();
    let all = Manner::default();
    assert_eq!(seen.feasible(&all), Some(Replicas(5)), "two groups of two and six free: ten for both");
    let kept = Manner { exclude: vec!["Source: orders".to_owned()], ..Manner::default() };
    assert_eq!(seen.feasible(&kept), Some(Replicas(8)), "two stay with the source");
    seen.config = serde_json::from_value(json!([{"key": "kubernetes.cluster-id", "value": "x"}])).unwrap();
    assert_eq!(seen.feasible(&all), None, "slots are made on demand");
}

#[test]
fn every_vertex_is_written_and_no_lower_bound_is_raised() {
    let mut seen = sight("2.2", "job");
    let source = seen.job.vertices[0].id.clone();
    let Ok(asked) = &mut seen.requirements else { panic!("no requirements") };
    asked.0.get_mut(&source).unwrap().parallelism.lower_bound = 2;
    let all = Manner::default();
    let kept = Manner { exclude: vec!["Source: orders".to_owned()], ..Manner::default() };
    let bounds = |wanted: &Requirements| -> Vec<(u32, u32)> {
        let vertices = seen.job.vertices.iter().map(|vertex| wanted.0[&vertex.id].parallelism);
        vertices.map(|bounds| (bounds.lower_bound, bounds.upper_bound)).collect()
    };
    assert_eq!(bounds(&seen.wanted(&all, Replicas(4)).unwrap()), [(2, 4), (1, 4)]);
    assert_eq!(bounds(&seen.wanted(&all, Replicas(1)).unwrap()), [(1, 1), (1, 1)]);
    assert_eq!(bounds(&seen.wanted(&all, Replicas(500)).unwrap()), [(2, 120), (1, 120)]);
    assert_eq!(bounds(&seen.wanted(&kept, Replicas(4)).unwrap()), [(2, 2), (1, 4)]);
    assert_eq!(seen.strangers(&["Source: orders".to_owned(), "sorce".to_owned()]), ["sorce"]);
}

#[test]
fn positions_are_found_by_topics_as_metrics_spell_them() {
    let place = |name: &str| position_of(name);
    assert_eq!(
        place("Source__a.KafkaSourceReader.topic.or_ders.partition.12.currentOffset"),
        Some(("or_ders".to_owned(), 12))
    );
    assert_eq!(
        place("Source__a.KafkaSourceReader.kafkaCluster.main.topic.x.partition.0.currentOffset"),
        Some(("x".to_owned(), 0))
    );
    assert_eq!(place("Source__a.KafkaSourceReader.topic.x.partition.0.committedOffset"), None);
    assert_eq!(topic_key("or.ders"), "or_ders");
}

#[test]
fn a_failure_of_late_is_told_with_what_it_led_to() {
    let packages = "org.apache.flink.runtime";
    for (line, lost) in [
        ("1.20", format!("{packages}.resourcemanager.exceptions.ResourceManagerException")),
        ("2.2", format!("{packages}.jobmaster.JobMasterException")),
    ] {
        let failed: Exceptions = recorded(line, "exceptions-lost");
        let mut seen = sight(line, "job");
        seen.job.state = "RESTARTING".to_owned();
        seen.failure = failed.exception_history.entries.into_iter().next();
        let at = seen.failure.as_ref().unwrap().timestamp;
        seen.job.now = at + 1000;
        let Phase::Passing(what) = seen.phase() else { panic!("{line}: {:?}", seen.phase()) };
        assert_eq!(what, format!("the job is RESTARTING after {lost}"), "{line}");
        seen.job.now = at + 301_000;
        assert_eq!(seen.phase(), Phase::Passing("the job is RESTARTING".to_owned()), "{line}");
    }
}

#[test]
fn another_autoscaler_is_told_by_the_configuration() {
    let rival = |options: &[(&str, &str)]| {
        let settings: Vec<_> =
            options.iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
        let mut seen = sight("2.2", "job");
        seen.config = serde_json::from_value(settings.into()).unwrap();
        seen.rival()
    };
    let on = ("job.autoscaler.enabled", "true");
    assert_eq!(rival(&[on]).as_deref(), Some("Flink's autoscaler (job.autoscaler.enabled: true)"));
    let old = ("kubernetes.operator.job.autoscaler.enabled", "TRUE");
    assert_eq!(
        rival(&[old]).as_deref(),
        Some("Flink's autoscaler (kubernetes.operator.job.autoscaler.enabled: true)")
    );
    assert_eq!(rival(&[on, ("job.autoscaler.scaling.enabled", "false")]), None, "it only advises");
    assert_eq!(rival(&[("job.autoscaler.enabled", "false")]), None);
    assert_eq!(rival(&[]), None);
}
