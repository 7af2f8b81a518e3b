//! `tidegate import`: what other autoscalers are told, as policies, with all that is lost on the way.

mod connections;
mod keda;
mod map;
mod notes;
mod object;
mod options;
mod write;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::{PossibleValuesParser, TypedValueParser as _};

use self::connections::Connections;
pub use self::connections::NamedServer;
use self::keda::ScaledObject;
use self::notes::{Notes, Refusal};
use self::object::{Object, objects};
use super::output;
use super::setup::block_on;
use super::validate::{self, Input};
use crate::actuators::scaled_object;
use crate::daemon::clients::{self, Access};
use crate::policy::TimeSpan;
use crate::policy::document::PolicyDocument;
use crate::policy::problem::Problem;
use crate::policy::read::read_policies;
use crate::policy::source::Meaning;

/// Turn what another autoscaler is told into policies.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    from: From,
}

#[derive(Debug, clap::Subcommand)]
enum From {
    Keda(KedaArgs),
}

/// KEDA's objects with kafka, apache-kafka and prometheus triggers: policies on standard output, ready for
/// `tidegate validate -`; what could not be carried over, line by line, on standard error and above each
/// policy
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code: 0 all is carried over, 1 something is lost or refused, 2 something could not be read."
)]
struct KedaArgs {
    /// Files, directories (their .yaml, .yml and .json files), or - for standard input
    #[arg(
        value_name = "FILE|DIR",
        required_unless_present = "from_cluster",
        conflicts_with = "from_cluster"
    )]
    paths: Vec<PathBuf>,
    /// List what the cluster has instead of reading files; writes nothing to it
    #[arg(long)]
    from_cluster: bool,
    /// The kubeconfig file; by default what kubectl would use, or the cluster around this Pod
    #[arg(long, value_name = "FILE", requires = "from_cluster")]
    kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context; by default its current one
    #[arg(long, value_name = "NAME", requires = "from_cluster")]
    context: Option<String>,
    #[command(flatten)]
    choices: Choices,
}

/// What the objects do not say.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Choices {
    /// With --from-cluster: only the objects of this namespace. With files: the namespace of objects that
    /// name none
    #[arg(long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Whether Tidegate takes KEDA's place, or moves the bounds of a ScaledObject that stays
    #[arg(long, value_enum, default_value_t)]
    pub target: Style,
    /// The name to give to a server; may be repeated. By default after its first host
    #[arg(long = "connection", value_name = "NAME=BOOTSTRAP|URL")]
    pub connections: Vec<NamedServer>,
    /// What the value of prometheus queries is; by default `backlog`, and `demand` beside other triggers
    #[arg(long, value_name = "MEANING", value_parser = PossibleValuesParser::new(
        ["arrivalRate", "backlog", "backlogAge", "busyShare", "demand"],
    ).try_map(|name| serde_json::from_value::<Meaning>(name.into())))]
    pub prometheus_means: Option<Meaning>,
    /// Hold this age of the oldest unprocessed record instead of KEDA's records per replica
    #[arg(long, value_name = "DURATION")]
    pub max_lag: Option<TimeSpan>,
    /// Carry over objects of which some triggers have to be refused
    #[arg(long)]
    pub partial: bool,
}

/// What becomes of KEDA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Style {
    /// Tidegate moves the replicas, and the ScaledObject goes
    #[default]
    Scale,
    /// KEDA moves the replicas, within bounds that Tidegate moves
    ScaledObject,
}

/// Exit code for "not all could be read".
const UNREADABLE: u8 = 2;

/// What an import gives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// For standard output.
    pub documents: String,
    /// For standard error.
    pub messages: Vec<String>,
    /// The exit code: 0, 1 or 2.
    pub code: u8,
}

/// What became of one object.
#[derive(Debug)]
struct Entry {
    /// Kind, namespace and name.
    name: String,
    object: Object,
    /// As a document and as text.
    policy: Option<(PolicyDocument, String)>,
    notes: Notes,
    /// Whether it scales something.
    is_workload: bool,
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let From::Keda(args) = args.from;
    let report = if args.from_cluster {
        match block_on(of_cluster(args)) {
            Ok(report) => report,
            Err(error) => {
                output::complain(&error);
                return Ok(ExitCode::from(UNREADABLE));
            }
        }
    } else {
        of_files(&args)?
    };
    output::print(&report.documents)?;
    for line in &report.messages {
        output::say(line);
    }
    Ok(ExitCode::from(report.code))
}

fn of_files(args: &KedaArgs) -> anyhow::Result<Report> {
    let (mut inputs, mut unreadable) = (Vec::new(), Vec::new());
    for path in &args.paths {
        if let Err(error) = validate::gather(path, &mut inputs) {
            unreadable.push(format!("cannot read {error:#}"));
        }
    }
    let mut report = import(&inputs, &args.choices)?;
    if !unreadable.is_empty() {
        report.code = UNREADABLE;
        report.messages.extend(unreadable);
    }
    Ok(report)
}

async fn of_cluster(args: KedaArgs) -> anyhow::Result<Report> {
    let access = Access { kubeconfig: args.kubeconfig, context: args.context };
    let client = clients::connect(&access, 20).await?;
    let listed = scaled_object::list(&client, args.choices.namespace.as_deref()).await?;
    let objects = listed.iter().map(|object| Ok(Object::of_cluster(serde_json::to_value(object)?)));
    carry(objects.collect::<anyhow::Result<_>>()?, &[], &args.choices)
}

/// The policies for the objects of some texts. Reads nothing else.
pub fn import(inputs: &[Input], choices: &Choices) -> anyhow::Result<Report> {
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    for object in inputs.iter().flat_map(|Input { file, text }| objects(file, text)) {
        match object {
            Ok(object) => found.push(object),
            Err(problem) => problems.push(*problem),
        }
    }
    carry(found, &problems, choices)
}

fn carry(objects: Vec<Object>, problems: &[Problem], choices: &Choices) -> anyhow::Result<Report> {
    let mut connections = Connections::named(&choices.connections);
    let mut entries = Vec::new();
    let mut names = BTreeSet::new();
    for object in objects.into_iter().filter(|object| object.text("/apiVersion").starts_with("keda.sh/")) {
        let mut entry = entry(object, choices, &mut connections)?;
        if entry.policy.is_some() && !names.insert(entry.name.clone()) {
            entry.policy = None;
            entry.notes.refused(Refusal::new("metadata.name", "the same object once more"));
        }
        entries.push(entry);
    }
    // A line of a manifest may hold a secret: only the place and the words.
    let mut messages: Vec<String> = problems.iter().map(Problem::line).collect();
    messages.extend(write::messages(&entries));
    let complete =
        entries.iter().all(|entry| entry.notes.complete()) && entries.iter().any(|one| one.is_workload);
    let code = match (problems.is_empty(), complete) {
        (false, _) => UNREADABLE,
        (true, false) => 1,
        (true, true) => 0,
    };
    Ok(Report { documents: write::documents(&entries, &connections)?, messages, code })
}

fn entry(object: Object, choices: &Choices, connections: &mut Connections) -> anyhow::Result<Entry> {
    let mut notes = Notes::default();
    let kind = object.text("/kind");
    let stated = object.text("/metadata/namespace");
    let namespace =
        if stated.is_empty() { choices.namespace.as_deref().unwrap_or("default") } else { stated };
    let name = format!("{kind} {namespace}/{}", object.text("/metadata/name"));
    let policy = match kind {
        "ScaledObject" => {
            if stated.is_empty() && choices.namespace.is_none() {
                notes
                    .task("metadata", "no namespace here: taken to be `default`; say which with --namespace");
            }
            policy(&object, namespace, choices, connections, &mut notes)?
        }
        "ScaledJob" => {
            let text = "it starts Jobs; Tidegate moves the replicas of something that stays";
            notes.refused(Refusal::new("kind", text));
            None
        }
        _ => {
            credentials(&object, &mut notes);
            None
        }
    };
    if policy.is_none() && kind == "ScaledObject" {
        notes.keep_refusals();
    }
    let is_workload = matches!(kind, "ScaledObject" | "ScaledJob");
    Ok(Entry { name, object, policy, notes, is_workload })
}

/// The policy, as a document and as text that reads back without a problem.
fn policy(
    object: &Object,
    namespace: &str,
    choices: &Choices,
    connections: &mut Connections,
    notes: &mut Notes,
) -> anyhow::Result<Option<(PolicyDocument, String)>> {
    let typed: ScaledObject = match serde_json::from_value(object.json.clone()) {
        Ok(typed) => typed,
        Err(error) => {
            notes.refused(Refusal::new("spec", format!("not as KEDA spells it: {error}")));
            return Ok(None);
        }
    };
    let Some(document) = map::map(&typed, namespace, choices, connections, notes) else { return Ok(None) };
    let text = write::policy(&document)?;
    let parsed = read_policies("policy", &text, None, TimeSpan::from_secs(15));
    let problems: Vec<Problem> = parsed.into_iter().filter_map(|one| one.result.err()).flatten().collect();
    for problem in &problems {
        notes.refused(Refusal::new("spec", format!("no policy can say this: {}", problem.message)));
    }
    Ok(problems.is_empty().then_some((document, text)))
}

/// Which of its Secrets' keys a TriggerAuthentication gives to which option; never their values.
fn credentials(object: &Object, notes: &mut Notes) {
    let references = object.json.pointer("/spec/secretTargetRef").and_then(serde_json::Value::as_array);
    for (index, reference) in references.into_iter().flatten().enumerate() {
        let text = |name| reference.get(name).and_then(serde_json::Value::as_str).unwrap_or("?");
        notes.task(
            format!("spec.secretTargetRef[{index}]"),
            format!(
                "`{}` is key `{}` of Secret `{}`: mount it as a file",
                text("parameter"),
                text("key"),
                text("name")
            ),
        );
    }
    if notes.iter().next().is_none() {
        notes.task("spec", "credentials go into files that the settings name");
    }
}
