//! `tidegate demo`: a day in a minute, nothing to install.

mod charts;
mod plain;
mod screen;
mod serve;
mod story;
mod summary;
mod view;

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::output;
use crate::embedded::day::{Day, INTERVAL};
use screen::Screen;
use serve::Endpoints;
use story::Story;
use tokio_util::sync::CancellationToken;

/// Turns between two looks at the clock and the screen, and the time that they take: a day a minute.
const TURNS: i64 = 5;
const PACE: Duration = Duration::from_millis(52);

/// A Monday, 06:00.
const STARTS: i64 = 1_772_431_200;

/// Run the daemon over a simulated Kafka and cluster: a day in a minute, beside the usual rules
///
/// Two consumer groups, a Flink job and a Spark query live through a working day with a deploy, a flash
/// sale and a broker outage. Tidegate, the usual rule (KEDA's lag rule with an HPA, or Spark's dynamic
/// allocation) and a fixed size each run a copy of the same world. Nothing outside this process is
/// touched, and the same seed gives the same day.
#[derive(Debug, Clone, Copy, clap::Args)]
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
    /// The daemon's HTTP endpoints at this address; they stay up when the day is over.
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, default_missing_value = "127.0.0.1:8080")]
    serve: Option<SocketAddr>,
}

/// Runs the demo.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    match Runtime::new()?.block_on(play(args)) {
        // `tidegate demo | head` has seen enough.
        Err(error) if broken_pipe(&error) => Ok(ExitCode::SUCCESS),
        other => other.map(|()| ExitCode::SUCCESS),
    }
}

async fn play(args: Args) -> anyhow::Result<()> {
    let terminal = io::stdout().is_terminal();
    let starts = Timestamp::from_second(STARTS).context("the demo's first moment")?;
    let day = Day::new(starts, args.seed)?;
    let endpoints = match args.serve {
        Some(address) => Some(Endpoints::open(address, &day, starts).await?),
        None => None,
    };
    let story = Story::new(&day, starts, i64::from(args.hours) * 3600);
    let pace = (terminal && !args.fast).then(|| {
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        pace
    });
    let mut show = Show { day, story, pace, endpoints };
    if terminal && !args.plain {
        show.live().await?;
    } else {
        show.lines(args.seed).await?;
    }
    summary::print(&mut io::stdout().lock(), &show.day)?;
    match show.endpoints {
        Some(endpoints) => {
            writeln!(
                io::stdout(),
                "\nhttp://{}/api/v1/workloads stays up: Ctrl-C ends.",
                endpoints.address()
            )?;
            endpoints.stay().await
        }
        None => Ok(()),
    }
}

/// A day being shown.
struct Show {
    day: Day,
    story: Story,
    pace: Option<Interval>,
    endpoints: Option<Endpoints>,
}

impl Show {
    /// The live view, until the day is over or somebody has seen enough.
    async fn live(&mut self) -> anyhow::Result<()> {
        let colour = output::colour();
        let mut screen = Screen::open().context("opening the terminal for the live view (try --plain)")?;
        let terminated = terminated()?;
        while !self.story.over() && !terminated.is_cancelled() && !screen.left()? {
            for _ in 0..TURNS {
                self.turn().await;
            }
            screen.draw(&self.day, &self.story, colour)?;
            self.wait().await;
        }
        Ok(())
    }

    /// One line for everything that happens, and one an hour.
    async fn lines(&mut self, seed: u64) -> anyhow::Result<()> {
        plain::open(
            &mut io::stdout().lock(),
            &self.day,
            self.endpoints.as_ref().map(Endpoints::address),
            seed,
        )?;
        while !self.story.over() {
            let fresh = self.turn().await;
            plain::print(&mut io::stdout().lock(), &self.day, &self.story, fresh)?;
            if self.day.second() % (TURNS * INTERVAL) == 0 {
                self.wait().await;
            }
        }
        Ok(())
    }

    /// Takes one turn of everybody and says how many news it brought.
    async fn turn(&mut self) -> usize {
        let tick = self.day.turn().await;
        if let Some(endpoints) = &self.endpoints {
            endpoints.record(&tick);
        }
        self.story.take(&self.day, tick).len()
    }

    async fn wait(&mut self) {
        match &mut self.pace {
            Some(pace) => drop(pace.tick().await),
            // Lets the endpoints answer.
            None => tokio::task::yield_now().await,
        }
    }
}

/// Cancelled by SIGTERM, so that the terminal is given back before the process ends.
fn terminated() -> anyhow::Result<CancellationToken> {
    let token = CancellationToken::new();
    let mut signals = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let heard = token.clone();
    tokio::spawn(async move {
        signals.recv().await;
        heard.cancel();
    });
    Ok(token)
}

fn broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
    })
}
