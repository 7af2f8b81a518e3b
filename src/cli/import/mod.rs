//! `tidegate import`: what other autoscalers are told, as policies, with all that is lost on the way.

mod carry;
mod connections;
mod keda;
mod map;
mod notes;
mod object;
mod options;
mod write;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::{PossibleValuesParser, TypedValueParser as _};

use self::carry::carry;
pub use self::connections::NamedServer;
use self::object::{Object, objects};
use super::output;
use super::setup::block_on;
use super::validate::{self, Input};
use crate::actuators::scaled_object;
use crate::daemon::clients::{self, Access};
use crate::policy::TimeSpan;
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
    import_cluster(&client, &args.choices).await
}

/// The policies for the objects of a cluster, which is only read.
pub async fn import_cluster(client: &kube::Client, choices: &Choices) -> anyhow::Result<Report> {
    let listed = scaled_object::list(client, choices.namespace.as_deref()).await?;
    let objects = listed.iter().map(|object| Ok(Object::of_cluster(serde_json::to_value(object)?)));
    carry(objects.collect::<anyhow::Result<_>>()?, &[], choices)
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
