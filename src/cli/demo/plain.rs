//! The day as lines: one for everything that happens, one an hour for how it stands.

use std::io::{self, Write};
use std::net::SocketAddr;

use jiff::Timestamp;

use super::story::{Kind, Moment, News, Story, span};
use crate::embedded::day::{Day, Lane};
use crate::embedded::scenario::Tone;

/// What the lines are about.
pub(super) fn open(out: &mut impl Write, day: &Day, served: Option<SocketAddr>, seed: u64) -> io::Result<()> {
    writeln!(
        out,
        "Tidegate's daemon over a simulated Kafka and Kubernetes, with a fast clock (seed {seed})."
    )?;
    writeln!(
        out,
        "Beside it, each in its own copy of the same world: a lag rule (as KEDA and an HPA apply it) or"
    )?;
    writeln!(out, "Spark's dynamic allocation, and a fixed size.")?;
    for lane in day.lanes() {
        let name = lane.name();
        let what = lane.what();
        writeln!(out, "  {name:<9} {what:<26} objective: no record older than {}", span(lane.max_lag()))?;
    }
    if let Some(address) = served {
        writeln!(out, "  http://{address}/metrics and http://{address}/api/v1/workloads show every turn")?;
    }
    writeln!(out)
}

/// Prints what is new, and on the hour how it stands.
pub(super) fn print(out: &mut impl Write, day: &Day, story: &Story, fresh: usize) -> io::Result<()> {
    for news in story.news.iter().skip(story.news.len() - fresh) {
        print_news(out, news)?;
    }
    if day.second() % 3600 == 0 {
        for (lane, told) in day.lanes().iter().zip(&story.lanes) {
            if let Some(moment) = told.last.as_ref().filter(|moment| !moment.idle()) {
                print_state(out, story.now, lane, moment)?;
            }
        }
    }
    Ok(())
}

fn print_news(out: &mut impl Write, news: &News) -> io::Result<()> {
    let mark = match news.kind {
        Kind::World(Tone::Trouble) => "!",
        Kind::World(Tone::Relief) => "+",
        Kind::Decision => ">",
    };
    writeln!(out, "{} {mark} {:<9} {}", clock(news.at), news.who.unwrap_or_default(), news.text)
}

fn print_state(out: &mut impl Write, now: Timestamp, lane: &Lane, moment: &Moment) -> io::Result<()> {
    let [ours, naive, _] = moment.sides;
    let [_, rule, _] = lane.scores();
    writeln!(
        out,
        "{}   {:<9} {:>5.0}/s   Tidegate {:>2} replicas, oldest {:<6}  {} {:>2}, oldest {:<6} {:>3} moves",
        clock(now),
        lane.name(),
        moment.load,
        ours.replicas,
        span(ours.age),
        lane.rule().name(),
        naive.replicas,
        span(naive.age),
        rule.moves(),
    )
}

/// Simulated time as a clock shows it.
pub(super) fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M").to_string()
}
