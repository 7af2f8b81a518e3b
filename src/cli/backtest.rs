//! `tidegate backtest`: what a policy would have made of the team's own past, before anything is enabled.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use jiff::{SignedDuration, Timestamp};

use super::output;
use super::setup::{self, Setup};
use super::simulate::{Show, read_policy};
use crate::daemon::clock;
use crate::fluid::trace::Trace;
use crate::policy::settings::Settings;
use crate::policy::source::{Meaning, SourceSpec};
use crate::policy::{Policy, TimeSpan};
use crate::sources::{Connections, History};

/// Stretches of the past up to this long may be unknown in between, and are joined by a straight line.
const BRIDGED: f64 = 600.0;

/// Run a policy against the past that Prometheus remembers, as `simulate` does it; writes nothing
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The policy; the first of the file
    #[arg(value_name = "POLICY")]
    policy: PathBuf,
    #[command(flatten)]
    setup: Setup,
    /// PromQL that yields the records per second that arrive; by default the policy's own arrivalRate
    #[arg(long, value_name = "PROMQL")]
    query: Option<String>,
    /// The Prometheus connection of the settings; by default the policy's own, or the only one
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// How far back to look
    #[arg(long, value_name = "TIME", default_value = "7d")]
    since: TimeSpan,
    /// The last moment to look at; now, unless it is named
    #[arg(long, value_name = "TIMESTAMP")]
    until: Option<Timestamp>,
    /// Seconds between two values
    #[arg(long, value_name = "TIME", default_value = "1m")]
    step: TimeSpan,
    /// Writes the past to a CSV file too, for `tidegate simulate --trace`
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    #[command(flatten)]
    show: Show,
}

/// Asks for the past, runs it, and writes the scorecard.
#[expect(clippy::needless_pass_by_value, reason = "commands own their arguments")]
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let policy = read_policy(&args.policy)?;
    let settings = args.setup.settings()?;
    let (server, query) = args.wanted(&policy, &settings)?;
    let history = setup::block_on(args.ask(&settings, &server, &query))?;
    let (trace, left_out) = trace(&query, &history)?;
    if left_out > 0 {
        output::say(&format!(
            "{left_out} of {} values lie before or after a stretch of which nothing is known: left out",
            history.values.len()
        ));
    }
    if let Some(file) = &args.save {
        std::fs::write(file, trace.to_csv()).with_context(|| file.display().to_string())?;
    }
    args.show.run(&trace, Some(policy.rules))
}

impl Args {
    /// The server and the query.
    fn wanted(&self, policy: &Policy, settings: &Settings) -> anyhow::Result<(String, String)> {
        let own = policy.sources.iter().find_map(|source| match source {
            SourceSpec::Prometheus(query) if query.means == Meaning::ArrivalRate => Some(query),
            SourceSpec::Prometheus(_)
            | SourceSpec::KafkaLag(_)
            | SourceSpec::FlinkJob(_)
            | SourceSpec::FlinkResource(_)
            | SourceSpec::SparkRuns(_)
            | SourceSpec::Spark(_) => None,
        });
        let names: Vec<&String> = settings.connections.prometheus.keys().collect();
        let server = match (&self.server, own, &names[..]) {
            (Some(named), _, _) => named.clone(),
            (None, Some(own), _) => own.server.clone(),
            (None, None, [only]) => (*only).clone(),
            (None, None, []) => bail!("the settings have no Prometheus connection to ask"),
            (None, None, _) => bail!("several Prometheus connections: name one with --server"),
        };
        let query = self.query.clone().or_else(|| own.map(|own| own.query.clone()));
        let query = query.context(
            "the policy has no source that means arrivalRate: name a query with --query, for example \
             'sum(rate(kafka_server_brokertopicmetrics_messagesin_total{topic=\"orders\"}[2m]))'",
        )?;
        Ok((server, query))
    }

    async fn ask(&self, settings: &Settings, server: &str, query: &str) -> anyhow::Result<History> {
        let until = self.until.unwrap_or_else(clock::now);
        let back = SignedDuration::try_from(self.since.0)?;
        let from = until.checked_sub(back).context("--since reaches back before the calendar")?;
        let connections = Connections::new(settings)?;
        Ok(connections.history(server, query, (from, until), self.step).await?)
    }
}

/// The longest stretch without a long gap, its short ones bridged, and how many values it leaves out.
/// Unknown is not zero.
fn trace(query: &str, history: &History) -> anyhow::Result<(Trace, usize)> {
    let known: Vec<(usize, f64)> =
        history.values.iter().enumerate().filter_map(|(at, value)| Some((at, (*value)?))).collect();
    let mut stretches: Vec<Vec<f64>> = Vec::new();
    let mut before: Option<(usize, f64)> = None;
    for (at, value) in known {
        match (before, stretches.last_mut()) {
            (Some((was, from)), Some(stretch)) if within(at - was, history.step) => {
                let steps = u32::try_from(at - was)?;
                let rise = (value - from) / f64::from(steps);
                stretch.extend((1..=steps).map(|step| from + rise * f64::from(step)));
            }
            _ => stretches.push(vec![value]),
        }
        before = Some((at, value));
    }
    let longest = stretches.into_iter().max_by_key(Vec::len).filter(|rates| rates.len() >= 2);
    let Some(rates) = longest else {
        bail!("`{query}` yields nothing in that time: check the query, --since and --step");
    };
    let left_out = history.values.len() - rates.len();
    Ok((Trace { name: query.to_owned(), step: history.step, rates }, left_out))
}

/// Whether so many steps from one known value to the next may be bridged.
fn within(steps: usize, step: f64) -> bool {
    u32::try_from(steps).is_ok_and(|steps| steps == 1 || f64::from(steps) * step <= BRIDGED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(values: &[Option<f64>]) -> (Vec<f64>, usize) {
        let history = History { from: Timestamp::UNIX_EPOCH, step: 60.0, values: values.to_vec() };
        let (trace, left_out) = trace("q", &history).unwrap();
        (trace.rates, left_out)
    }

    #[test]
    fn short_gaps_are_bridged_and_long_ones_cut() {
        let (rates, left_out) = found(&[None, Some(10.0), None, None, Some(40.0), Some(50.0), None]);
        assert_eq!((rates, left_out), (vec![10.0, 20.0, 30.0, 40.0, 50.0], 2));
        let mut values = vec![Some(1.0); 3];
        values.extend([None; 10]);
        values.extend([Some(2.0); 5]);
        assert_eq!(found(&values), (vec![2.0; 5], 13));
    }

    #[test]
    fn nothing_known_is_no_load_of_zero() {
        let history = History { from: Timestamp::UNIX_EPOCH, step: 60.0, values: vec![None; 9] };
        let said = trace("sum(x)", &history).unwrap_err().to_string();
        assert_eq!(said, "`sum(x)` yields nothing in that time: check the query, --since and --step");
    }
}
