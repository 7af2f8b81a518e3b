//! `tidegate explain`: why a workload has the size it has.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::StatusCode;
use serde::Deserialize;

use super::output;
use super::recommend::with_patience;
use super::setup::{self, Setup};
use crate::daemon::clock;
use crate::daemon::look::Look;
use crate::engine::explain;
use crate::policy::WorkloadId;
use crate::record::report::WorkloadDetail;

/// Arguments of `tidegate explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The workload: the namespace and name of its policy
    #[arg(value_name = "NAMESPACE/NAME", value_parser = workload)]
    workload: WorkloadId,
    /// Ask the daemon at this address (in a cluster: through kubectl port-forward, or inside its Pod)
    #[arg(long, env = "TIDEGATE_DAEMON", value_name = "URL", default_value = "http://127.0.0.1:8080")]
    daemon: String,
    /// With --look: policies, as files or directories; by default those that the daemon would use
    #[arg(value_name = "POLICY", requires = "look")]
    paths: Vec<PathBuf>,
    /// Ask no daemon: look at the cluster once
    #[arg(long, conflicts_with = "daemon")]
    look: bool,
    #[command(flatten)]
    setup: Setup,
    /// How to write the answer
    #[arg(long, short, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// How an explanation is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Text,
    /// The documented contract (docs/api.md)
    Json,
}

fn workload(text: &str) -> Result<WorkloadId, String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok(WorkloadId { namespace: namespace.to_owned(), name: name.to_owned() })
        }
        _ => Err("expected NAMESPACE/NAME, as `tidegate recommend` lists them".to_owned()),
    }
}

/// Explains one workload's last decision, or one made on the spot.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    setup::block_on(async move {
        let detail = if args.look {
            look(&args.setup, &args.workload, &args.paths).await?
        } else {
            ask(&args.daemon, &args.workload).await?
        };
        output::print(&match args.format {
            Format::Text => text(&detail),
            Format::Json => serde_json::to_string_pretty(&detail)? + "\n",
        })?;
        Ok(ExitCode::SUCCESS)
    })
}

/// What the API says in place of an answer.
#[derive(Debug, Deserialize)]
struct Refusal {
    error: String,
    #[serde(default)]
    nearby: Vec<String>,
}

async fn ask(daemon: &str, id: &WorkloadId) -> anyhow::Result<WorkloadDetail> {
    let url = format!("{}/api/v1/workloads/{}/{}", daemon.trim_end_matches('/'), id.namespace, id.name);
    let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build()?;
    let response = client.get(&url).send().await.with_context(|| {
        format!(
            "no daemon answers at {daemon}: name it with --daemon URL \
             (for example after `kubectl port-forward deploy/tidegate 8080`), or look without one with --look"
        )
    })?;
    let status = response.status();
    let body = response.text().await.with_context(|| format!("the answer of {url} broke off"))?;
    if status == StatusCode::OK {
        return serde_json::from_str(&body)
            .with_context(|| format!("the answer of {url} is not understood: is it this version's daemon?"));
    }
    match serde_json::from_str::<Refusal>(&body) {
        Ok(Refusal { error, nearby }) => bail!("{error}{}", suggestion(&nearby)),
        Err(_) => bail!("{url} answered {status}: is it a tidegate daemon?"),
    }
}

fn suggestion(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!(": did you mean {}?", names.join(", ")) }
}

async fn look(setup: &Setup, id: &WorkloadId, paths: &[PathBuf]) -> anyhow::Result<WorkloadDetail> {
    setup::must_exist(paths)?;
    let settings = setup.settings()?;
    let real = setup.equip(&settings).await?;
    let known = setup::policies(paths, &settings, &real).await?;
    let policies = known.admission.policies.iter().map(|admitted| &admitted.policy);
    let Some(policy) = policies.clone().find(|policy| policy.id == *id) else {
        let refused = known.admission.rejections.iter().filter(|rejection| rejection.id.as_ref() == Some(id));
        let problems: Vec<_> =
            refused.flat_map(|rejection| &rejection.problems).map(ToString::to_string).collect();
        if !problems.is_empty() {
            bail!("the policy of {id} is refused\n{}", problems.join("\n"));
        }
        let mut names: Vec<_> = policies.map(|policy| policy.id.to_string()).collect();
        names.sort_by_cached_key(|name| strsim::damerau_levenshtein(name, &id.to_string()));
        names.truncate(3);
        bail!("no policy {id}{}", suggestion(&names));
    };
    let (memories, tuners) = tokio::join!(setup::memories(&real, &settings), setup::tuners(&real, &settings));
    let patience = settings.limits.source_timeout.0;
    let mut look = Look::new([policy], &real, (&memories, &tuners), settings.mode, patience);
    let turns = with_patience(look.look(clock::now()), 1).await;
    let turn = turns.first().context("the look gave no answer")?;
    Ok(WorkloadDetail::from(turn))
}

/// Which workload, the engine's own words, what may be done about it, and how far the inputs can be
/// trusted.
fn text(detail: &WorkloadDetail) -> String {
    let (report, decision) = (&detail.report, &detail.decision);
    let mut lines = vec![
        format!(
            "{}/{}  {}  mode {}  at {:.0}",
            report.namespace, report.name, report.target, report.mode, report.at
        ),
        String::new(),
        explain::render(decision),
        format!("What you may do ({}): {}", decision.reason, decision.reason.cure()),
    ];
    lines
        .extend(report.rung.iter().filter(|_| report.plan.is_none()).map(|rung| format!("Moved by: {rung}")));
    let plan = if decision.change.is_some() { "To be written" } else { "What would help" };
    lines.extend(report.plan.iter().map(|text| format!("{plan}: {text}")));
    lines.extend(report.tuning.iter().map(ToString::to_string));
    if let Some(problem) = detail.outcome.problem() {
        lines.push(format!("Not written: {problem}"));
    }
    lines.push("What was seen:".to_owned());
    lines.extend(detail.signals.iter().map(|signal| {
        let problem = signal.problem.as_ref().map(|problem| format!(": {problem}")).unwrap_or_default();
        format!(
            "  {}  {}, {} old{problem}",
            signal.source,
            signal.quality,
            explain::seconds(signal.age_seconds)
        )
    }));
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::record::samples;

    #[test]
    fn says_who_why_what_to_do_and_what_was_seen() {
        let text = text(&WorkloadDetail::from(&samples::turn("orders")));
        let first = text.lines().next().unwrap();
        assert!(first.starts_with("shop/orders  Deployment/orders  mode "), "{first}");
        for part in ["What you may do (LoadNeedsMore): Nothing: the target is raised.", "main/orders  "] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    }

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn a_look_takes_the_workload_from_either_side_and_policies_after_it() {
        for line in
            ["--look shop/orders a.yaml b", "shop/orders --look a.yaml b", "shop/orders a.yaml b --look"]
        {
            let words = ["explain"].into_iter().chain(line.split(' '));
            let args = Line::try_parse_from(words).unwrap().args;
            assert_eq!(args.workload.to_string(), "shop/orders", "{line}");
            assert!(args.look && args.paths == [PathBuf::from("a.yaml"), PathBuf::from("b")], "{line}");
        }
        assert!(Line::try_parse_from(["explain", "--look", "shop/orders"]).unwrap().args.look);
        assert!(
            Line::try_parse_from(["explain", "shop/orders", "a.yaml"]).is_err(),
            "policies without --look"
        );
    }

    #[test]
    fn a_workload_is_named_by_namespace_and_name() {
        assert_eq!(workload("shop/orders").unwrap().to_string(), "shop/orders");
        for wrong in ["orders", "/orders", "shop/", "a/b/c", ""] {
            assert!(workload(wrong).is_err(), "{wrong}");
        }
    }
}
