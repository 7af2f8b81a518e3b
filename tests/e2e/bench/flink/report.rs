//! Table and plot.

use std::fmt::Write as _;

use anyhow::Result;

use super::arena::{CAPACITY, PARTITIONS};
use super::contender::{Contender, MOST, OBJECTIVE, Peer};
use super::kept;
use super::record::{Figures, Record};
use crate::bench::plot::{self, Column, Line};
use crate::bench::shape::Shape;
use crate::bench::store::Store;
use crate::bench::{self, say, status};
use crate::support::place::Tools;

/// Everybody is compared with it.
const PAR: Contender = Contender::PeerTight;

/// One run in a line.
pub(super) fn line(record: &Record) -> String {
    let figures = record.figures;
    let Figures { restarts, peak_lag, worst_age, excess, slot_seconds, ups, downs, .. } = figures;
    let Figures { decisions, in_vain, most_downs, .. } = figures;
    format!(
        "{}: {restarts} restarts, {}, {}, peak lag {peak_lag}, oldest {worst_age:.1} s, \
         {excess:.0} s² over, {slot_seconds:.0} slot-seconds, {ups} up, {downs} down (at most {most_downs} in 5 min), \
         {decisions} decisions, {in_vain} in vain; load average {:.1} -> {:.1}",
        record.contender.name(),
        first(figures),
        right(figures),
        record.load_average[0],
        record.load_average[1],
    )
}

fn first(figures: Figures) -> String {
    figures.first_up.map_or("no move up".to_owned(), |(at, size)| format!("to {size} after {at:.0} s"))
}

fn right(figures: Figures) -> String {
    figures.right.map_or("never large enough".to_owned(), |at| format!("enough after {at:.0} s"))
}

/// Writes `report.md` and `flink-bench.svg` beside the records, and, if asked to, into `docs/`.
pub(super) fn write(store: &Store, tools: &Tools, publish: bool) -> Result<()> {
    let all = Shape::JOBS.into_iter().flat_map(|shape| Contender::ALL.map(|contender| (contender, shape)));
    let runs: Vec<Record> = all.filter_map(|(contender, shape)| kept(store, contender, shape)).collect();
    let judged: Vec<Record> = runs.iter().filter(|record| record.shape != Shape::Hop).cloned().collect();
    // A look is shown as long as there is nothing better.
    let runs = if judged.is_empty() { runs } else { judged };
    if runs.is_empty() {
        say("nothing has been measured");
        return Ok(());
    }
    let (text, picture) =
        (page(&runs, &versions(tools)?), plot::svg(&Contender::ALL.map(Contender::name), &columns(&runs)));
    let page = store.write("report.md", &text)?;
    store.write("flink-bench.svg", &picture)?;
    for line in text.lines() {
        status(line);
    }
    say(&format!("written: {}", page.display()));
    if publish { bench::publish("flink-bench.md", ("flink-bench.svg", &picture), &text) } else { Ok(()) }
}

/// What the plot shows.
fn columns(runs: &[Record]) -> Vec<Column<'_>> {
    let column = |shape: Shape| {
        let here: Vec<_> = runs.iter().filter(|record| record.shape == shape).collect();
        let any = here.first()?;
        let worth = |rate: u64| f64::from(u32::try_from(rate).unwrap_or(0)) / CAPACITY;
        let lines = here.iter().map(|record| Line {
            place: Contender::ALL.iter().position(|other| *other == record.contender).unwrap_or(0),
            sizes: &record.sizes,
            ages: &record.ages,
        });
        Some(Column {
            title: format!("{}: parallelism; grey: slots' worth of load", shape.name()),
            seconds: any.figures.seconds,
            most: f64::from(MOST),
            demand: any.rates.iter().map(|(at, rate)| (*at, worth(*rate))).collect(),
            objective: f64::from(OBJECTIVE),
            lines: lines.collect(),
        })
    };
    Shape::JOBS.into_iter().filter_map(column).collect()
}

/// What ran, as installed.
fn versions(tools: &Tools) -> Result<String> {
    let flink = bench::jar_version(&tools.flink("2.2")?.join("lib"), "flink-runtime")?;
    let kafka = bench::jar_version(&tools.kafka(), "kafka-clients")?;
    let peer = Peer::find(tools)?.map_or("no peer".to_owned(), |peer| peer.version);
    Ok(format!("Flink {flink}, Kafka {kafka}, {peer}, Tidegate {}", env!("CARGO_PKG_VERSION")))
}

fn page(runs: &[Record], versions: &str) -> String {
    let days = || runs.iter().map(|record| record.at.get(..16).unwrap_or_default());
    let busy = runs.iter().flat_map(|record| record.load_average).fold(0.0, f64::max);
    let mut text = format!(
        "Measured {} to {} UTC on {} cores, load average at most {busy:.1}; {versions}. {PARTITIONS} partitions, \
         a slot does at most {CAPACITY:.0} records/s. In brackets: in parts of `{}`.\n\n\
         ![Parallelism and age of the oldest record](flink-bench.svg)\n\n",
        days().min().unwrap_or_default(),
        days().max().unwrap_or_default(),
        std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        PAR.name(),
    );
    put(
        &mut text,
        &format!(
            "| load | contender | restarts | first move up | large enough | peak lag, records | \
             oldest record, s | seconds over {OBJECTIVE} s | excess, s² | slot-seconds | decisions (in vain) | up / down | \
             down in 5 min | load average |"
        ),
    );
    put(&mut text, &format!("|{}", "---|".repeat(14)));
    for record in runs {
        let par = runs.iter().find(|other| other.contender == PAR && other.shape == record.shape);
        put(&mut text, &row(record, par.filter(|_| record.contender != PAR)));
    }
    text
}

fn put(text: &mut String, line: &str) {
    // Writing to a String cannot fail.
    let (Ok(()) | Err(_)) = writeln!(text, "{line}");
}

fn row(record: &Record, par: Option<&Record>) -> String {
    let own = record.figures;
    let ratio = |of: &dyn Fn(&Figures) -> f64| match par.map(|par| of(&par.figures)) {
        Some(par) if par > 0.0 => format!(" ({:.2})", of(&own) / par),
        _ => String::new(),
    };
    let steps = record.shape.rises().is_some();
    let backlog = |figures: &Figures| f64::from(i32::try_from(figures.peak_lag).unwrap_or(i32::MAX));
    format!(
        "| {} | {} | {}{} | {} | {} | {}{} | {:.1}{} | {:.0}{} | {:.0}{} | {:.0}{} | {} ({}) | {} / {} | {} | {:.1}, {:.1} |",
        record.shape.name(),
        record.contender.name(),
        own.restarts,
        ratio(&|figures| f64::from(figures.restarts)),
        if steps { first(own) } else { String::new() },
        if steps { right(own) } else { String::new() },
        own.peak_lag,
        ratio(&backlog),
        own.worst_age,
        ratio(&|figures| figures.worst_age),
        own.late,
        ratio(&|figures| figures.late),
        own.excess,
        ratio(&|figures| figures.excess),
        own.slot_seconds,
        ratio(&|figures| figures.slot_seconds),
        own.decisions,
        own.in_vain,
        own.ups,
        own.downs,
        own.most_downs,
        record.load_average[0],
        record.load_average[1],
    )
}
