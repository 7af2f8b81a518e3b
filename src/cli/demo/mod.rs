//! `tidegate demo`: a day in a minute, nothing to install.

mod plain;
mod screen;
mod story;
mod summary;
mod view;

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use tokio::time::{MissedTickBehavior, interval};

use crate::simulate::day::{Day, INTERVAL};
use screen::Screen;
use story::Story;

/// Turns between two looks at the clock and the screen, and the time that they take: a day a minute.
const TURNS: i64 = 5;
const PACE: Duration = Duration::from_millis(52);

/// A Monday, 06:00.
const STARTS: i64 = 1_772_431_200;

/// Run the daemon over a simulated Kafka and cluster: a day in a minute, beside a lag rule
///
/// Two consumer groups live through a working day with a deploy, a flash sale and a broker outage.
/// Tidegate, a lag rule as KEDA and an HPA apply it, and a fixed size each run a copy of the same
/// world. Nothing outside this process is touched, and the same seed gives the same day.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Simulated hours, from 06:00 on.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=168))]
    hours: u32,
    /// Names the day's noise.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// As fast as this machine can, instead of a day a minute.
    #[arg(long)]
    fast: bool,
    /// Lines instead of the live view, also on a terminal.
    #[arg(long)]
    plain: bool,
}

/// Runs the demo.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match play(&args).await {
        // `tidegate demo | head` has seen enough.
        Err(error) if broken_pipe(&error) => Ok(ExitCode::SUCCESS),
        other => other.map(|()| ExitCode::SUCCESS),
    }
}

async fn play(args: &Args) -> anyhow::Result<()> {
    let terminal = io::stdout().is_terminal();
    let starts = Timestamp::from_second(STARTS).context("the demo's first moment")?;
    let mut day = Day::new(starts, args.seed)?;
    let mut story = Story::new(&day, starts, i64::from(args.hours) * 3600);
    let mut pace = (terminal && !args.fast).then(|| interval(PACE));
    if let Some(pace) = &mut pace {
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    if terminal && !args.plain {
        live(&mut day, &mut story, pace.as_mut()).await?;
    } else {
        lines(&mut day, &mut story, pace.as_mut(), args.seed).await?;
    }
    let mut out = io::stdout().lock();
    summary::print(&mut out, &day, &story)?;
    out.flush()?;
    Ok(())
}

/// The live view, until the day is over or somebody has seen enough.
async fn live(
    day: &mut Day,
    story: &mut Story,
    mut pace: Option<&mut tokio::time::Interval>,
) -> anyhow::Result<()> {
    let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let mut screen = Screen::open().context("opening the terminal for the live view (try --plain)")?;
    while !story.over() {
        for _ in 0..TURNS {
            let tick = day.turn().await;
            story.take(day, tick);
        }
        screen.draw(day, story, colour)?;
        if screen.left()? {
            break;
        }
        wait(pace.as_deref_mut()).await;
    }
    Ok(())
}

/// One line for everything that happens, and one an hour.
async fn lines(
    day: &mut Day,
    story: &mut Story,
    mut pace: Option<&mut tokio::time::Interval>,
    seed: u64,
) -> anyhow::Result<()> {
    plain::open(&mut io::stdout().lock(), day, seed)?;
    while !story.over() {
        let tick = day.turn().await;
        let fresh = story.take(day, tick).len();
        plain::print(&mut io::stdout().lock(), day, story, fresh)?;
        if day.second() % (TURNS * INTERVAL) == 0 {
            wait(pace.as_deref_mut()).await;
        }
    }
    Ok(())
}

async fn wait(pace: Option<&mut tokio::time::Interval>) {
    if let Some(pace) = pace {
        pace.tick().await;
    }
}

fn broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
    })
}
