//! `tidegate recommend`: one look that writes nothing.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::output::{self, Format};
use super::setup::{self, Setup};
use crate::daemon::clock;
use crate::daemon::look::Look;
use crate::daemon::reload::Known;
use crate::record::report::WorkloadList;
use crate::record::{Outcome, Turn};

/// Exit code for "something should change".
const CHANGE: u8 = 2;

/// Arguments of `tidegate recommend`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Policies, as files or directories; by default those that the daemon would use
    #[arg(value_name = "POLICY")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    setup: Setup,
    /// How to write the answer
    #[arg(long, short, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Look again at every interval, until interrupted
    #[arg(long, conflicts_with = "exit_code")]
    watch: bool,
    /// Look so many times, an interval apart, and answer with the last: rates need two looks where the
    /// broker's time index does not tell them
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    looks: u32,
    /// End with 0 if nothing should change, 2 if something should, 1 if that cannot be told
    #[arg(long)]
    exit_code: bool,
}

/// Looks, and says what should change.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    setup::must_exist(&args.paths)?;
    setup::block_on(recommend(args))
}

async fn recommend(args: Args) -> anyhow::Result<ExitCode> {
    let settings = args.setup.settings()?;
    let real = args.setup.equip(&settings).await?;
    let known = setup::policies(&args.paths, &settings, &real).await?;
    let refused = complain(&known);
    let (memories, tuners) = tokio::join!(setup::memories(&real, &settings), setup::tuners(&real, &settings));
    let policies = known.admission.policies.iter().map(|admitted| &admitted.policy);
    let patience = settings.limits.source_timeout.0;
    let mut look = Look::new(policies, &real, (&memories, &tuners), settings.mode, patience);
    let mut taken = 1;
    loop {
        let started = Instant::now();
        let now = clock::now();
        let turns = with_patience(look.look(now), known.admission.policies.len()).await;
        if args.watch || taken >= args.looks {
            if args.watch && args.format == Format::Table {
                output::print(&format!("\n{now:.0}\n"))?;
            }
            let list: WorkloadList = turns.iter().collect();
            output::print(&output::render(&list, args.format)?)?;
            if !args.watch {
                return Ok(code(&turns, refused, args.exit_code));
            }
        }
        taken += 1;
        sleep(settings.interval.0.saturating_sub(started.elapsed())).await;
    }
}

/// Says what was refused. Whether anything was.
fn complain(known: &Known) -> bool {
    for rejection in &known.admission.rejections {
        for problem in &rejection.problems {
            output::say(&problem.to_string());
        }
    }
    for problem in &known.problems {
        output::say(&format!("error: {problem}"));
    }
    !known.admission.rejections.is_empty() || !known.problems.is_empty()
}

fn code(turns: &[Turn], refused: bool, asked: bool) -> ExitCode {
    if refused || (asked && turns.iter().any(blind)) {
        return ExitCode::FAILURE;
    }
    if asked && turns.iter().any(|turn| turn.outcome == Outcome::Recommended) {
        return ExitCode::from(CHANGE);
    }
    ExitCode::SUCCESS
}

/// Whether it could not be told if anything should change.
fn blind(turn: &Turn) -> bool {
    turn.outcome != Outcome::Recommended && turn.decision.reason.is_unknown()
}

/// Says what is waited for where the wait gets noticeable and somebody watches.
pub(super) async fn with_patience<T>(work: impl Future<Output = T>, workloads: usize) -> T {
    let mut work = std::pin::pin!(work);
    tokio::select! {
        biased;
        result = &mut work => return result,
        () = sleep(Duration::from_secs(2)) => {
            if std::io::stderr().is_terminal() {
                output::say(&format!("looking at {workloads} workloads ..."));
            }
        }
    }
    work.await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Reason;
    use crate::record::samples;

    /// The exit code for one workload that ended so.
    fn ended(outcome: Outcome, reason: Reason, refused: bool, asked: bool) -> ExitCode {
        let mut turn = samples::turn("orders");
        turn.outcome = outcome;
        turn.decision.reason = reason;
        code(&[turn], refused, asked)
    }

    #[test]
    fn the_exit_code_tells_something_nothing_and_unknown_apart() {
        use Outcome::{Held, Recommended};
        assert_eq!(ended(Held, Reason::AtNeed, false, true), ExitCode::SUCCESS);
        assert_eq!(ended(Recommended, Reason::LoadNeedsMore, false, true), ExitCode::from(2));
        assert_eq!(ended(Held, Reason::SignalMissing, false, true), ExitCode::FAILURE);
        assert_eq!(ended(Recommended, Reason::LoadNeedsMore, true, true), ExitCode::FAILURE);
        for unknown in [
            Reason::SignalPartial,
            Reason::WarmingUp,
            Reason::GroupRebalancing,
            Reason::GroupWithoutMembers,
            Reason::OwnedByOther,
        ] {
            assert_eq!(ended(Held, unknown, false, true), ExitCode::FAILURE, "{unknown}");
        }
        assert_eq!(ended(Held, Reason::Paused, false, true), ExitCode::SUCCESS);
        assert_eq!(ended(Recommended, Reason::Fallback, false, true), ExitCode::from(2));
    }

    #[test]
    fn unasked_only_a_refused_policy_is_a_failure() {
        assert_eq!(ended(Outcome::Held, Reason::SignalMissing, false, false), ExitCode::SUCCESS);
        let refused = ended(Outcome::Held, Reason::AtNeed, true, false);
        assert_eq!(refused, ExitCode::FAILURE);
    }
}
