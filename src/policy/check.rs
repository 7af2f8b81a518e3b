//! From a document to a policy: the rules that tie several fields together.

use super::document::{ApiVersion, FallbackSpec, ObjectiveSpec, PolicyDocument, PolicyKind, PolicySpec};
use super::notches::{Notches, SelfTuning};
use super::preset::Preset;
use super::problem::Flaw;
use super::rules::{Fallback, Objective, Rules};
use super::schedule::{Lasts, Schedule, ScheduleSpec};
use super::settings::Settings;
use super::source::{Meaning, SourceSpec};
use super::target::{Rung, SparkApi, TargetSpec};
use super::units::TimeSpan;
use super::{Policy, WorkloadId};

/// The checked policy, or everything that is wrong with the document beyond its shape.
///
/// `home` is the namespace of the ConfigMap that holds the document, if one does; `interval` the
/// settings'.
pub(crate) fn policy(
    document: PolicyDocument,
    home: Option<&str>,
    interval: TimeSpan,
) -> Result<Policy, Vec<Flaw>> {
    let mut flaws = Vec::new();
    if let Err(report) = garde::Validate::validate(&document) {
        flaws.extend(of_report(report));
    }
    let PolicyDocument { api_version: ApiVersion::V1alpha1, kind: PolicyKind::ScalingPolicy, metadata, spec } =
        document;
    let namespace = namespace(metadata.namespace, home).map_err(|flaw| flaws.push(flaw)).ok();
    let objective = objective(&spec.objective).map_err(|flaw| flaws.push(flaw)).ok();
    flaws.extend(bounds(&spec));
    flaws.extend(weighing(&spec, objective));
    let schedules = schedules(&spec).unwrap_or_else(|found| {
        flaws.extend(found);
        Vec::new()
    });
    flaws.extend(sources(&spec, objective));
    match (namespace, objective) {
        (Some(namespace), Some(objective)) if flaws.is_empty() => {
            Ok(build(WorkloadId { namespace, name: metadata.name }, spec, (objective, schedules), interval))
        }
        _ => Err(flaws),
    }
}

/// Everything that is wrong with the settings beyond their shape.
pub(crate) fn settings(settings: &Settings) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    if let Err(report) = garde::Validate::validate(settings) {
        flaws.extend(of_report(report));
    }
    for (path, span) in
        [("interval", settings.interval), ("limits.sourceTimeout", settings.limits.source_timeout)]
    {
        if span < TimeSpan(std::time::Duration::from_millis(100)) {
            flaws.push(Flaw::new(path, format!("`{span}` is too short")).expected("at least 100ms"));
        }
    }
    for (name, cluster) in &settings.connections.kafka {
        if let Some(tls) = &cluster.tls
            && tls.certificate_file.is_some() != tls.key_file.is_some()
        {
            flaws.push(
                Flaw::new(format!("connections.kafka.{name}.tls"), "half a client certificate")
                    .hint("certificateFile and keyFile go together"),
            );
        }
    }
    flaws
}

fn of_report(report: garde::Report) -> impl Iterator<Item = Flaw> {
    report.into_inner().into_iter().map(|(path, error)| {
        let path = path.to_string();
        let field = path.rsplit('.').next().unwrap_or_default();
        let field = super::tree::camel_case(field.split('[').next().unwrap_or_default());
        let (message, expected) = match error.message().split_once("; expected ") {
            Some((message, expected)) => (message, Some(expected.to_owned())),
            None => (error.message(), None),
        };
        // Our own rules name the value that they refuse; garde's do not.
        let message =
            if message.starts_with('`') { message.to_owned() } else { format!("`{field}` is {message}") };
        Flaw { path, message, expected, hint: None }
    })
}

fn namespace(stated: Option<String>, home: Option<&str>) -> Result<String, Flaw> {
    match (stated, home) {
        (Some(stated), Some(home)) if stated != home => {
            let message = format!("namespace `{stated}` is not that of the ConfigMap, `{home}`");
            Err(Flaw::new("metadata.namespace", message)
                .hint("a policy in a ConfigMap moves targets of its own namespace only: leave the line out"))
        }
        (Some(namespace), _) => Ok(namespace),
        (None, Some(home)) => Ok(home.to_owned()),
        (None, None) => Err(Flaw::new("metadata.namespace", "`namespace` is missing in `metadata`")
            .hint("state the target's namespace: only a policy in a ConfigMap may leave it out")),
    }
}

/// What weighs freshness against replicas has nothing to weigh where the backlog alone counts.
fn weighing(spec: &PolicySpec, objective: Option<Objective>) -> Vec<Flaw> {
    let Some(Objective::LagPerReplica { .. }) = objective else { return Vec::new() };
    let named = [
        ("preset", spec.preset != Preset::Balanced),
        ("knobs", !spec.knobs.is_empty()),
        ("tuning", spec.tuning == SelfTuning::Auto),
    ];
    let flaw = |(field, _): &(&str, bool)| {
        Flaw::new(format!("spec.{field}"), format!("`{field}` goes with `maxLag`, not with `lagPerReplica`"))
            .hint(
                "by records per replica the backlog alone decides: `lagPerReplica` itself is what to change",
            )
    };
    named.iter().filter(|(_, stated)| *stated).map(flaw).collect()
}

/// The schedules, or all that is wrong with any.
fn schedules(spec: &PolicySpec) -> Result<Vec<Schedule>, Vec<Flaw>> {
    let (mut schedules, mut flaws) = (Vec::new(), Vec::new());
    for (index, one) in spec.schedules.iter().enumerate() {
        let at = |field: &str| format!("spec.schedules[{index}]{field}");
        if spec.schedules.iter().take(index).any(|earlier| earlier.name == one.name) {
            flaws.push(
                Flaw::new(at(".name"), format!("two schedules are called `{}`", one.name))
                    .hint("decisions mention a schedule by its name: give each its own"),
            );
        }
        if one.min_replicas > spec.max_replicas {
            let message =
                format!("`minReplicas` {} is above `maxReplicas` {}", one.min_replicas, spec.max_replicas);
            flaws.push(Flaw::new(at(".minReplicas"), message));
        }
        match schedule(one) {
            Ok(schedule) => schedules.push(schedule),
            Err((field, message, cure)) => flaws.push(Flaw::new(at(field), message).hint(cure)),
        }
    }
    if flaws.is_empty() { Ok(schedules) } else { Err(flaws) }
}

/// A schedule that comes and goes; or the field, what is wrong with it, and the cure.
fn schedule(spec: &ScheduleSpec) -> Result<Schedule, (&'static str, String, &'static str)> {
    let ScheduleSpec { name, time_zone, start, end, duration, min_replicas } = spec.clone();
    let lasts = match (end, duration) {
        (Some(end), None) if end == start => {
            let cure =
                "to hold at all times, raise `spec.minReplicas`; for a day from each start: `duration: 1d`";
            return Err((".end", format!("`end` is `start`, `{end}`"), cure));
        }
        (None, Some(span)) if span.0.is_zero() => {
            return Err((".duration", "`duration` is no time at all".to_owned(), "leave the schedule out"));
        }
        (Some(end), None) => Lasts::Until(end),
        (None, Some(span)) => Lasts::For(span),
        (Some(_), Some(_)) => {
            return Err((
                ".duration",
                format!("schedule `{name}` states both `end` and `duration`"),
                "keep one",
            ));
        }
        (None, None) => {
            let cure = "add `end` (a cron expression) or `duration` (such as 10h)";
            return Err(("", format!("schedule `{name}` never ends"), cure));
        }
    };
    // Any moment will do: what comes at all comes within the eight years between two leap days at most.
    let some_time = jiff::Timestamp::UNIX_EPOCH;
    let never = |field, text| Err((field, format!("`{text}` never comes"), "no such day is in any calendar"));
    match &lasts {
        _ if start.next(&time_zone, some_time).is_none() => never(".start", &start),
        Lasts::Until(end) if end.next(&time_zone, some_time).is_none() => never(".end", end),
        Lasts::Until(_) | Lasts::For(_) => Ok(Schedule { name, time_zone, start, lasts, min_replicas }),
    }
}

/// What is held, if the document says exactly one thing.
fn objective(spec: &ObjectiveSpec) -> Result<Objective, Flaw> {
    let flaw = |field: &str, message: &str| Flaw::new(format!("spec.objective{field}"), message);
    match (spec.max_lag, spec.catch_up, spec.lag_per_replica) {
        (Some(_), _, Some(_)) => {
            Err(flaw(".lagPerReplica", "`objective` states both `maxLag` and `lagPerReplica`")
                .expected("one of them"))
        }
        (None, Some(_), Some(_)) => {
            Err(flaw(".catchUp", "`catchUp` goes with `maxLag`, not with `lagPerReplica`"))
        }
        (None, _, None) => Err(flaw("", "`objective` states nothing to hold")
            .expected("`maxLag` (a duration) or `lagPerReplica` (records)")),
        (Some(max_lag), _, None) if max_lag.0.is_zero() => {
            Err(flaw(".maxLag", "`maxLag` is no time at all").expected("a duration above 0s"))
        }
        (Some(_), Some(catch_up), None) if catch_up.0.is_zero() => {
            Err(flaw(".catchUp", "`catchUp` is no time at all").expected("a duration above 0s"))
        }
        (Some(max_lag), catch_up, None) => {
            let catch_up = catch_up.unwrap_or(TimeSpan(max_lag.0.saturating_mul(5)));
            Ok(Objective::MaxLag { max_lag, catch_up })
        }
        (None, None, Some(records)) => Ok(Objective::LagPerReplica { records }),
    }
}

fn bounds(spec: &PolicySpec) -> Vec<Flaw> {
    let PolicySpec { min_replicas: min, max_replicas: max, fallback, target, .. } = spec;
    let mut flaws = Vec::new();
    if max.0 == 0 {
        flaws.push(
            Flaw::new("spec.maxReplicas", "`maxReplicas` must be at least 1")
                .hint("to stop moving it: `paused: true`"),
        );
    } else if min > max {
        let message = format!("`minReplicas` {min} is above `maxReplicas` {max}");
        flaws.push(Flaw::new("spec.minReplicas", message));
    }
    if min.0 == 0 && matches!(target, TargetSpec::HorizontalPodAutoscaler(_)) {
        flaws.push(
            Flaw::new("spec.minReplicas", "`minReplicas` 0 is not for a `horizontalPodAutoscaler`")
                .expected("at least 1")
                .hint("the API server refuses an HPA that may rest at 0; a `scaledObject` or a `scaleTargetRef` may"),
        );
    }
    if min.0 == 0 && target.flink().is_some() {
        flaws.push(
            Flaw::new("spec.minReplicas", "`minReplicas` 0 is not for a Flink job")
                .expected("at least 1")
                .hint("a job without parallelism is a stopped one, and stopping it is not ours to do"),
        );
    }
    if min.0 == 0 && matches!(target, TargetSpec::SparkCluster(_)) {
        flaws.push(
            Flaw::new("spec.minReplicas", "`minReplicas` 0 is not for a `sparkCluster`")
                .expected("at least 1")
                .hint("its HPA, where it has one, may not rest at 0"),
        );
    }
    if let Some(FallbackSpec { replicas, .. }) = fallback
        && replicas > max
    {
        let message = format!("`fallback.replicas` {replicas} is above `maxReplicas` {max}");
        flaws.push(Flaw::new("spec.fallback.replicas", message));
    }
    flaws
}

fn sources(spec: &PolicySpec, objective: Option<Objective>) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    for (index, source) in spec.sources.iter().enumerate() {
        flaws.extend(trigger(index, source, objective));
        if spec.sources.iter().take(index).any(|earlier| overlaps(earlier, source)) {
            let message = "the same source twice: its records would count twice";
            flaws.push(Flaw::new(format!("spec.sources[{index}]"), message).hint("leave one out"));
        }
    }
    flaws.extend(running(spec));
    flaws.extend(runs(spec, objective));
    let has_kafka =
        spec.sources.iter().any(|source| matches!(source, SourceSpec::KafkaLag(_) | SourceSpec::Spark(_)));
    let gives = |wanted: &[Meaning]| {
        spec.sources.iter().any(|source| match source {
            SourceSpec::KafkaLag(_) | SourceSpec::Spark(_) => true,
            SourceSpec::Prometheus(query) => wanted.contains(&query.means),
            SourceSpec::FlinkJob(_) | SourceSpec::FlinkResource(_) => wanted.contains(&Meaning::BusyShare),
            SourceSpec::SparkRuns(_) => wanted.contains(&Meaning::Backlog),
        })
    };
    if matches!(objective, Some(Objective::LagPerReplica { .. }))
        && !spec.sources.is_empty()
        && !gives(&[Meaning::Backlog])
    {
        flaws.push(
            Flaw::new("spec.objective.lagPerReplica", "`lagPerReplica` counts records, and no source does")
                .hint("add a `kafkaLag` source, or a `prometheus` one that means `backlog`"),
        );
    }
    if matches!(objective, Some(Objective::MaxLag { .. })) && !spec.sources.is_empty() && !has_kafka {
        flaws.extend(max_lag_by_metrics(spec, gives(&[Meaning::ArrivalRate]), gives(&[Meaning::Demand])));
    }
    let waking = [Meaning::Backlog, Meaning::ArrivalRate, Meaning::Demand];
    if spec.min_replicas.0 == 0 && !spec.sources.is_empty() && !gives(&waking) {
        flaws.push(
            Flaw::new("spec.minReplicas", "at 0 replicas nothing would tell that work has arrived")
                .hint("add a `kafkaLag` source, or a `prometheus` one that means `backlog` or `arrivalRate`"),
        );
    }
    flaws
}

/// A batch that goes by its last runs goes by nothing else. A run's work is counted in executors: one is for one.
fn runs(spec: &PolicySpec, objective: Option<Objective>) -> Option<Flaw> {
    let is_runs = |source: &SourceSpec| matches!(source, SourceSpec::SparkRuns(_));
    let index = spec.sources.iter().position(is_runs)?;
    let path = format!("spec.sources[{index}].sparkRuns");
    if !matches!(spec.target, TargetSpec::ScheduledSparkApplication(_)) || spec.sources.len() > 1 {
        let message = "`sparkRuns` is for a `scheduledSparkApplication`, and its only source";
        return Some(Flaw::new(path, message).hint("what a run needed says nothing about anything else"));
    }
    let one = objective.is_none_or(|objective| objective == Objective::LagPerReplica { records: 1 });
    (!one).then(|| {
        let message = "`sparkRuns` counts executors, so one of them is for one";
        Flaw::new("spec.objective", message).expected("`lagPerReplica: 1`")
    })
}

/// What is done to a running application is only as safe as what is known of it: its driver, and the checkpoint of its
/// query.
fn running(spec: &PolicySpec) -> Option<Flaw> {
    let TargetSpec::SparkApplication(target) = &spec.target else { return None };
    let flaw = |message: String| Flaw::new("spec.target.sparkApplication.maxRung", message);
    let (rung, hint) = match target.max_rung {
        Rung::Recommend | Rung::NextRun => return None,
        Rung::Restart if target.api_version != SparkApi::Kubeflow => {
            let message = format!("`maxRung` restart is not for {}", target.api_version);
            return Some(flaw(message).expected("recommend or scaleAllocator").hint(
                "the Apache operator starts nothing again for a change: it holds from the next attempt on",
            ));
        }
        Rung::Restart => ("restart", "its checkpoint says when a restart is safe, and whether it went well"),
        Rung::ScaleAllocator => {
            ("scaleAllocator", "its driver says what keeps the executors, and which of them are idle")
        }
    };
    let queries = spec.sources.iter().filter(|source| matches!(source, SourceSpec::Spark(_))).count();
    (queries != 1).then(|| {
        flaw(format!("`maxRung` {rung} needs to know the query, and {queries} `spark` sources tell"))
            .expected("exactly one `spark` source")
            .hint(hint)
    })
}

/// A record may wait for a whole trigger interval before its batch even starts.
fn trigger(index: usize, source: &SourceSpec, objective: Option<Objective>) -> Option<Flaw> {
    let (SourceSpec::Spark(query), Some(Objective::MaxLag { max_lag, .. })) = (source, objective) else {
        return None;
    };
    (query.trigger_interval >= max_lag).then(|| {
        let path = format!("spec.sources[{index}].spark.triggerInterval");
        let message =
            format!("`triggerInterval` {} leaves no time to hold `maxLag` {max_lag}", query.trigger_interval);
        Flaw::new(path, message).hint("records wait for a trigger before they are read: allow more than that")
    })
}

/// What `maxLag` lacks where only metrics tell of the work: a rate to size by, and what a replica can do, for that
/// is learnt from a consumer group's commits alone. A demand that somebody else has worked out needs neither.
fn max_lag_by_metrics(spec: &PolicySpec, rate: bool, demand: bool) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    if !rate && !demand {
        flaws.push(
            Flaw::new("spec.objective.maxLag", "`maxLag` is sized by a rate, and no source tells one").hint(
                "add a `kafkaLag` source, or a `prometheus` one that means `arrivalRate`; or use `lagPerReplica`",
            ),
        );
    }
    if rate && !demand && spec.capacity_per_replica.is_none() {
        flaws.push(
            Flaw::new("spec", "`capacityPerReplica` is missing in `spec`")
                .expected("records per second that one replica processes")
                .hint("without a `kafkaLag` source nobody can measure it"),
        );
    }
    flaws
}

/// Whether two sources count some of the same records.
fn overlaps(one: &SourceSpec, other: &SourceSpec) -> bool {
    match (one, other) {
        (SourceSpec::KafkaLag(one), SourceSpec::KafkaLag(other)) => {
            let all = one.topics.is_empty() || other.topics.is_empty();
            let shared = || one.topics.iter().any(|topic| other.topics.contains(topic));
            one.cluster == other.cluster && one.group == other.group && (all || shared())
        }
        (SourceSpec::Spark(one), SourceSpec::Spark(other)) => {
            (&one.app, &one.checkpoint) == (&other.app, &other.checkpoint)
                && one.topics.iter().any(|topic| other.topics.contains(topic))
        }
        (one, other) => one == other,
    }
}

/// The sources, and the one that a target brings along.
fn with_own(target: &TargetSpec, mut sources: Vec<SourceSpec>) -> Vec<SourceSpec> {
    let own = target.flink().filter(|own| !sources.contains(own));
    sources.extend(own);
    sources
}

fn build(
    id: WorkloadId,
    spec: PolicySpec,
    (objective, schedules): (Objective, Vec<Schedule>),
    interval: TimeSpan,
) -> Policy {
    let metric_target = spec.target.metric_target();
    let sources = with_own(&spec.target, spec.sources);
    Policy {
        id,
        mode: spec.mode,
        target: spec.target,
        sources,
        rules: Rules {
            objective,
            preset: spec.preset,
            knobs: spec.knobs,
            tuning: spec.tuning,
            notches: Notches::default(),
            min_replicas: spec.min_replicas,
            max_replicas: spec.max_replicas,
            schedules,
            activation_lag: spec.activation.lag,
            cooldown: spec.cooldown,
            behavior: spec.behavior,
            changes_per_hour: spec.budget.changes_per_hour,
            fallback: spec.fallback.map(|floor| Fallback {
                after: TimeSpan::from_secs(floor.after_seconds.into()),
                replicas: floor.replicas,
            }),
            capacity_per_replica: spec.capacity_per_replica,
            partitions: spec.partitions,
            interval,
            paused: spec.paused,
            metric_target,
        },
    }
}
