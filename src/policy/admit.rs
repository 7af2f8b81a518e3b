//! Which of all policies found are in force: who may name what, and who comes first.

use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use super::hints::{did_you_mean, one_of};
use super::problem::{Flaw, Problem};
use super::read::Parsed;
use super::settings::Settings;
use super::source::SourceSpec;
use super::target::TargetSpec;
use super::{Policy, WorkloadId};

/// Where a policy was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Origin {
    /// A mounted file: an administrator's, for any namespace.
    File {
        /// Its path.
        path: String,
    },
    /// A labelled ConfigMap: for its own namespace only.
    ConfigMap {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// The key in its data.
        key: String,
        /// When it was created.
        created: Timestamp,
    },
}

impl Origin {
    /// Whether it is the same place. A ConfigMap that was deleted and created again is.
    fn same_place(&self, other: &Self) -> bool {
        self.place() == other.place()
    }

    fn place(&self) -> (&str, &str, &str) {
        match self {
            Self::File { path } => ("", "", path),
            Self::ConfigMap { namespace, name, key, .. } => (namespace, name, key),
        }
    }

    /// Files first, then ConfigMaps by age; names break ties.
    fn seniority(&self) -> (Option<Timestamp>, (&str, &str, &str)) {
        match self {
            Self::File { .. } => (None, self.place()),
            Self::ConfigMap { created, .. } => (Some(*created), self.place()),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path } => f.write_str(path),
            Self::ConfigMap { namespace, name, key, .. } => write!(f, "configmap/{namespace}/{name}/{key}"),
        }
    }
}

/// A policy document that asks to be in force.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Where it was found.
    pub origin: Origin,
    /// What was found.
    pub parsed: Parsed,
}

impl Candidate {
    fn reject(&self, refusal: Refusal, problems: Vec<Problem>) -> Rejection {
        Rejection { id: self.parsed.id.clone(), origin: self.origin.clone(), refusal, problems }
    }
}

/// A policy in force.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Admitted {
    /// The policy.
    pub policy: Policy,
    /// Where it is from.
    pub origin: Origin,
    /// This is its last good version: what stands at its origin now is refused.
    pub stale: bool,
}

/// Why a document is refused.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, strum::Display, strum::IntoStaticStr,
)]
pub enum Refusal {
    /// The document has errors.
    Invalid,
    /// It names a connection that does not exist or is not for its namespace.
    ConnectionNotAllowed,
    /// It is from a ConfigMap of another namespace.
    NamespaceNotAllowed,
    /// Another policy has its name.
    NameTaken,
    /// Another policy has its target.
    TargetTaken,
}

/// A document that is refused.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rejection {
    /// Whose policy, where the document tells.
    pub id: Option<WorkloadId>,
    /// Where it was found.
    pub origin: Origin,
    /// Why.
    pub refusal: Refusal,
    /// All that is wrong.
    pub problems: Vec<Problem>,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.id {
            Some(id) => write!(f, "{id}: ")?,
            None => write!(f, "{}: ", self.origin)?,
        }
        let lines: Vec<String> = self.problems.iter().map(Problem::line).collect();
        f.write_str(&lines.join("; "))
    }
}

/// The policies in force, by name, and what was refused.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Admission {
    /// In force.
    pub policies: Vec<Admitted>,
    /// Refused.
    pub rejections: Vec<Rejection>,
}

impl Admission {
    fn of(&self, origin: &Origin, id: &WorkloadId) -> Option<&Admitted> {
        self.policies.iter().find(|held| held.policy.id == *id && held.origin.same_place(origin))
    }
}

/// Decides which policies are in force, given all that stand anywhere now and those in force so far.
///
/// - A policy from a ConfigMap moves only targets of the ConfigMap's namespace.
/// - A policy names only connections that the settings allow to its namespace.
/// - One name and one target have one policy: the one that has them already; else a file's before a
///   ConfigMap's, and the older ConfigMap's before the younger's.
/// - A policy whose text is refused keeps its last good version; one that is gone is out of force. Where
///   a document is too broken to tell whose it is, all policies of its origin count as still there.
pub fn admit(candidates: &[Candidate], settings: &Settings, previous: &Admission) -> Admission {
    let (mut contenders, mut rejections) = (Vec::new(), Vec::new());
    let mut refused = Vec::new();
    for candidate in candidates {
        match judge(candidate, settings) {
            Ok(policy) => contenders.push(Contender::new(candidate, policy, previous)),
            Err((refusal, problems)) => {
                refused.push(candidate);
                rejections.push(candidate.reject(refusal, problems));
            }
        }
    }
    for candidate in refused {
        for held in kept(candidate, candidates, previous) {
            if !contenders.iter().any(|contender| contender.is_version_of(held)) {
                contenders.push(Contender::last_good(candidate, held));
            }
        }
    }
    contenders.sort_by(|one, other| one.precedence().cmp(&other.precedence()));
    let mut policies: Vec<Admitted> = Vec::new();
    for contender in &contenders {
        let Contender { policy, candidate, stale, .. } = *contender;
        let origin = candidate.origin.clone();
        let Some(rejection) = conflict(candidate, policy, &policies) else {
            policies.push(Admitted { policy: policy.clone(), origin, stale });
            continue;
        };
        if stale {
            continue; // Its document is refused already.
        }
        let last_good = contender.held.filter(|held| conflict(candidate, &held.policy, &policies).is_none());
        policies.extend(last_good.map(|held| Admitted { policy: held.policy.clone(), origin, stale: true }));
        rejections.push(rejection);
    }
    policies.sort_by(|one, other| one.policy.id.cmp(&other.policy.id));
    Admission { policies, rejections }
}

/// A policy that may be in force unless one of higher precedence has its name or target.
#[derive(Debug)]
struct Contender<'a> {
    policy: &'a Policy,
    candidate: &'a Candidate,
    /// What is in force of this document so far.
    held: Option<&'a Admitted>,
    stale: bool,
}

impl<'a> Contender<'a> {
    fn new(candidate: &'a Candidate, policy: &'a Policy, previous: &'a Admission) -> Self {
        Self { policy, candidate, held: previous.of(&candidate.origin, &policy.id), stale: false }
    }

    fn last_good(candidate: &'a Candidate, held: &'a Admitted) -> Self {
        Self { policy: &held.policy, candidate, held: Some(held), stale: true }
    }

    fn is_version_of(&self, held: &Admitted) -> bool {
        self.policy.id == held.policy.id && self.candidate.origin.same_place(&held.origin)
    }

    /// First who has the target, then who has the name, then by age.
    fn precedence(&self) -> impl Ord + '_ {
        let has_target = self.held.is_some_and(|held| same_target(&held.policy, self.policy));
        (!has_target, self.held.is_none(), self.candidate.origin.seniority(), self.candidate.parsed.line)
    }
}

/// The policies in force that a refused document stands for.
fn kept<'a>(refused: &Candidate, all: &[Candidate], previous: &'a Admission) -> Vec<&'a Admitted> {
    if let Some(id) = &refused.parsed.id {
        return previous.of(&refused.origin, id).into_iter().collect();
    }
    let here = |candidate: &&Candidate| candidate.origin.same_place(&refused.origin);
    let told: BTreeSet<_> = all.iter().filter(here).filter_map(|other| other.parsed.id.as_ref()).collect();
    let nameless =
        |held: &&Admitted| held.origin.same_place(&refused.origin) && !told.contains(&held.policy.id);
    previous.policies.iter().filter(nameless).collect()
}

/// What can be told of a document by itself.
fn judge<'a>(candidate: &'a Candidate, settings: &Settings) -> Result<&'a Policy, (Refusal, Vec<Problem>)> {
    let policy = candidate.parsed.result.as_ref().map_err(|all| (Refusal::Invalid, all.clone()))?;
    if let Origin::ConfigMap { namespace, .. } = &candidate.origin
        && *namespace != policy.id.namespace
    {
        let message =
            format!("a policy in a ConfigMap of namespace `{namespace}` moves no target of another");
        let problem = candidate.parsed.problem_at(&Flaw::new("metadata.namespace", message));
        return Err((Refusal::NamespaceNotAllowed, vec![problem]));
    }
    match forbidden_connections(policy, settings) {
        flaws if flaws.is_empty() => Ok(policy),
        flaws => {
            let problems = flaws.iter().map(|flaw| candidate.parsed.problem_at(flaw)).collect();
            Err((Refusal::ConnectionNotAllowed, problems))
        }
    }
}

fn forbidden_connections(policy: &Policy, settings: &Settings) -> Vec<Flaw> {
    let connections = &settings.connections;
    let kafka: Vec<_> = connections.kafka.iter().map(|(name, it)| (name.as_str(), &it.namespaces)).collect();
    let prometheus: Vec<_> =
        connections.prometheus.iter().map(|(name, it)| (name.as_str(), &it.namespaces)).collect();
    let flink: Vec<_> = connections.flink.iter().map(|(name, it)| (name.as_str(), &it.namespaces)).collect();
    let spark: Vec<_> = connections.spark.iter().map(|(name, it)| (name.as_str(), &it.namespaces)).collect();
    let history: Vec<_> =
        connections.spark_history.iter().map(|(name, it)| (name.as_str(), &it.namespaces)).collect();
    let namespace = &policy.id.namespace;
    let mut flaws = Vec::new();
    let own = policy.target.flink();
    let named = match &policy.target {
        TargetSpec::FlinkCluster(target) => Some(("flinkCluster", &target.cluster)),
        TargetSpec::FlinkDeployment(target) => {
            target.cluster.as_ref().map(|named| ("flinkDeployment", named))
        }
        TargetSpec::FlinkSessionJob(target) => {
            target.cluster.as_ref().map(|named| ("flinkSessionJob", named))
        }
        TargetSpec::ScaleTargetRef(_)
        | TargetSpec::HorizontalPodAutoscaler(_)
        | TargetSpec::ScaledObject(_)
        | TargetSpec::ScheduledSparkApplication(_)
        | TargetSpec::SparkApplication(_)
        | TargetSpec::SparkCluster(_) => None,
    };
    let named = named.map(|(kind, named)| ("Flink", format!("spec.target.{kind}.cluster"), named, &flink));
    let by_sources = policy.sources.iter().enumerate().flat_map(|(index, source)| {
        let at = |path: &str| format!("spec.sources[{index}].{path}");
        match source {
            SourceSpec::KafkaLag(lag) => vec![("Kafka", at("kafkaLag.cluster"), &lag.cluster, &kafka)],
            SourceSpec::Prometheus(query) => {
                vec![("Prometheus", at("prometheus.server"), &query.server, &prometheus)]
            }
            SourceSpec::Spark(query) => vec![
                ("Spark", at("spark.app"), &query.app, &spark),
                ("Kafka", at("spark.cluster"), &query.cluster, &kafka),
            ],
            // The one that the target brought along has no place in the document.
            source if own.as_ref() == Some(source) => Vec::new(),
            SourceSpec::FlinkResource(job) => {
                let named = job.cluster.iter();
                named.map(|cluster| ("Flink", at("flinkResource.cluster"), cluster, &flink)).collect()
            }
            SourceSpec::SparkRuns(runs) => {
                vec![("Spark history", at("sparkRuns.history"), &runs.history, &history)]
            }
            SourceSpec::FlinkJob(job) => vec![("Flink", at("flinkJob.cluster"), &job.cluster, &flink)],
        }
    });
    for (kind, path, wanted, known) in named.into_iter().chain(by_sources) {
        let allowed = |namespaces: &[String]| namespaces.iter().any(|each| each == "*" || each == namespace);
        // Connections of other namespaces are nobody's business here: they are not suggested.
        let usable: Vec<&str> =
            known.iter().filter(|(_, namespaces)| allowed(namespaces)).map(|(name, _)| *name).collect();
        if usable.contains(&wanted.as_str()) {
            continue;
        }
        let exists = known.iter().any(|(name, _)| name == wanted);
        let flaw = if exists {
            Flaw::new(path, format!("the {kind} connection `{wanted}` is not for namespace `{namespace}`"))
                .hint("its `namespaces` in the settings say who may name it")
        } else {
            let hint = did_you_mean(wanted, &usable).unwrap_or_else(|| match usable.as_slice() {
                [] => format!("the settings have no {kind} connection for namespace `{namespace}`"),
                names => format!("the settings have {}", one_of(names)),
            });
            Flaw::new(path, format!("unknown {kind} connection `{wanted}`")).hint(hint)
        };
        flaws.push(flaw);
    }
    flaws
}

fn same_target(one: &Policy, other: &Policy) -> bool {
    if let (Some(SourceSpec::FlinkJob(one)), Some(SourceSpec::FlinkJob(other))) =
        (one.target.flink(), other.target.flink())
    {
        // A job belongs to no namespace: whoever may name its cluster may name it.
        return one == other;
    }
    let same_name = one.target.kind() == other.target.kind() && one.target.name() == other.target.name();
    let scaled = one.target.scaled();
    let same_scale = scaled.is_some_and(|scaled| {
        let other = other.target.scaled();
        other.is_some_and(|other| (scaled.kind, scaled.name) == (other.kind, other.name))
    });
    one.id.namespace == other.id.namespace && (same_name || same_scale)
}

/// Why a policy cannot be in force beside those that already are.
fn conflict(candidate: &Candidate, policy: &Policy, in_force: &[Admitted]) -> Option<Rejection> {
    let id = &policy.id;
    let (refusal, flaw) = if let Some(other) = in_force.iter().find(|other| other.policy.id == *id) {
        let message = format!("a policy `{id}` is in force already: from {}", other.origin);
        (Refusal::NameTaken, Flaw::new("metadata.name", message).hint("give one of them another name"))
    } else {
        let other = in_force.iter().find(|other| same_target(&other.policy, policy))?;
        let scaled = policy
            .target
            .scaled()
            .filter(|_| policy.target.flink().is_some() != other.policy.target.flink().is_some());
        let target = match scaled {
            Some(scaled) => format!("{} `{}`", scaled.kind, scaled.name),
            None => format!("{} `{}`", policy.target.kind(), policy.target.name()),
        };
        let message = format!("{target} is moved by policy `{}` already: `{id}` is refused", other.policy.id);
        let hint = format!("remove one of them: the other is from {}", other.origin);
        (Refusal::TargetTaken, Flaw::new("spec.target", message).hint(hint))
    };
    let problems = vec![candidate.parsed.problem_at(&flaw)];
    Some(candidate.reject(refusal, problems))
}
