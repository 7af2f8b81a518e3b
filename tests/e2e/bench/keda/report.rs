//! Table and plot.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Result;

use super::arena::CAPACITY;
use super::contender::{MAX_REPLICAS, OBJECTIVE, Tuning};
use super::record::{Figures, Record};
use super::{CONTENDERS, kept, tried};
use crate::bench::plot::{self, Column, Line};
use crate::bench::shape::Shape;
use crate::bench::store::Store;
use crate::bench::{self, say, status};
use crate::support::place::Tools;

/// Everybody is compared with it.
const PAR: &str = "keda-best";

/// One run in a line.
pub(super) fn line(name: &str, record: &Record) -> String {
    let Figures { replica_seconds, late_seconds, worst_age, ups, downs, reversals, rebalances, .. } =
        record.figures;
    format!(
        "{name}: {replica_seconds:.0} replica-seconds, {late_seconds:.0} s late, oldest {worst_age:.1} s, \
         {ups} up, {downs} down, {reversals} reversals, {rebalances} rebalances; cost {:.0}; \
         load average {:.1} -> {:.1}",
        record.figures.cost(record.compression),
        record.load_average[0],
        record.load_average[1],
    )
}

/// Writes `report.md` and `keda.svg` beside the records, and, if asked to, into `docs/`.
pub(super) fn write(store: &Store, tools: &Tools, tuned: Tuning, publish: bool) -> Result<()> {
    let runs: Vec<(&str, Record)> = Shape::CONSUMERS
        .into_iter()
        .flat_map(|shape| CONTENDERS.map(|name| (name, shape)))
        .filter_map(|(name, shape)| Some((name, kept(store, name, shape)?)))
        .collect();
    if runs.is_empty() {
        say("nothing has been measured");
        return Ok(());
    }
    let text = page(&runs, &tried(store), tuned, &versions(tools)?);
    let picture = plot::svg(&CONTENDERS, &columns(&runs));
    let page = store.write("report.md", &text)?;
    store.write("keda.svg", &picture)?;
    for line in text.lines() {
        status(line);
    }
    say(&format!("written: {}", page.display()));
    if publish { bench::publish("keda.md", ("keda.svg", &picture), &text) } else { Ok(()) }
}

/// What the plot shows.
fn columns<'a>(runs: &'a [(&str, Record)]) -> Vec<Column<'a>> {
    let column = |shape: Shape| {
        let here: Vec<_> = runs.iter().filter(|(_, record)| record.shape == shape).collect();
        let (_, any) = here.first()?;
        let worth = |rate: u64| f64::from(u32::try_from(rate).unwrap_or(0)) / f64::from(CAPACITY);
        let lines = here.iter().map(|(name, record)| Line {
            place: CONTENDERS.iter().position(|other| other == name).unwrap_or(0),
            sizes: &record.sizes,
            ages: &record.ages,
        });
        Some(Column {
            title: format!("{}: replicas; grey: replicas' worth of load", shape.name()),
            seconds: any.figures.seconds,
            most: f64::from(MAX_REPLICAS),
            demand: any.rates.iter().map(|(at, rate)| (*at, worth(*rate))).collect(),
            objective: f64::from(u32::try_from(OBJECTIVE / any.compression).unwrap_or(1)),
            lines: lines.collect(),
        })
    };
    Shape::CONSUMERS.into_iter().filter_map(column).collect()
}

/// KEDA's and Kafka's versions as installed.
fn versions(tools: &Tools) -> Result<String> {
    let keda = fs::read_to_string(tools.keda_definitions().with_file_name("version")).unwrap_or_default();
    let kafka = bench::jar_version(&tools.kafka(), "kafka-clients")?;
    let kube = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/tools/kube/go.mod"))?;
    let kube = kube.lines().find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes "));
    let kube = kube.and_then(|rest| rest.split_whitespace().next()).unwrap_or("?");
    Ok(format!(
        "KEDA {}, Kubernetes {kube}, Kafka {kafka}, Tidegate {}",
        keda.trim(),
        env!("CARGO_PKG_VERSION")
    ))
}

fn page(runs: &[(&str, Record)], tried: &[(Tuning, Record)], tuned: Tuning, versions: &str) -> String {
    let mut text = String::new();
    let compression = runs.first().map_or(1, |(_, record)| record.compression);
    let hint = runs.iter().find_map(|(name, record)| record.hint.filter(|_| *name != PAR));
    let (first, last) = (
        runs.iter().map(|(_, record)| record.at.get(..16).unwrap_or_default()).min(),
        runs.iter().map(|(_, record)| record.at.get(..16).unwrap_or_default()).max(),
    );
    let busy = runs.iter().flat_map(|(_, record)| record.load_average).fold(0.0, f64::max);
    put(
        &mut text,
        &format!(
            "Measured {} to {} UTC on {} cores, load average at most {busy:.1}; {versions}. All times are seconds of the \
         bench; one stands for {compression}.\n",
            first.unwrap_or_default(),
            last.unwrap_or_default(),
            std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        ),
    );
    put(&mut text, &format!("KEDA at its best here: {}.\n", tuned.words()));
    if let Some(hint) = hint {
        put(&mut text, &format!("Tidegate was told that a replica processes {hint} records/s.\n"));
    }
    put(&mut text, "![Replicas and age of the oldest record](keda.svg)\n");
    put(
        &mut text,
        &format!(
            "| load | contender | replica-seconds | seconds over {} s | oldest record, s | up / down | reversals | rebalances | cost | load average |",
            (OBJECTIVE / compression).max(1)
        ),
    );
    put(&mut text, "|---|---|---|---|---|---|---|---|---|---|");
    for shape in Shape::CONSUMERS {
        let of = |name: &str| {
            runs.iter()
                .find(|(other, record)| *other == name && record.shape == shape)
                .map(|(_, record)| record)
        };
        for (name, record) in CONTENDERS.iter().filter_map(|name| Some((name, of(name)?))) {
            put(&mut text, &row(shape.name(), name, record, of(PAR)));
        }
    }
    put(&mut text, &totals(runs));
    if !tried.is_empty() {
        put(&mut text, "KEDA's grid, on the load that nobody is judged by, the best first:\n");
        put(
            &mut text,
            "| settings | replica-seconds | seconds late | oldest record, s | up / down | reversals | cost |",
        );
        put(&mut text, "|---|---|---|---|---|---|---|");
        for (tuning, record) in tried {
            let Figures { replica_seconds, late_seconds, worst_age, ups, downs, reversals, .. } =
                record.figures;
            put(
                &mut text,
                &format!(
                    "| {} | {replica_seconds:.0} | {late_seconds:.0} | {worst_age:.0} | {ups} / {downs} | {reversals} | {:.0} |",
                    tuning.words(),
                    record.figures.cost(record.compression)
                ),
            );
        }
    }
    text
}

fn put(text: &mut String, line: &str) {
    // Writing to a String cannot fail.
    let (Ok(()) | Err(_)) = writeln!(text, "{line}");
}

fn row(shape: &str, name: &str, record: &Record, par: Option<&Record>) -> String {
    let own = record.figures;
    let against = par.filter(|_| name != PAR).map(|par| par.figures);
    let ratio = |own: f64, par: fn(&Figures) -> f64| match against.as_ref().map(par) {
        Some(par) if par > 0.0 => format!(" ({:.2})", own / par),
        _ => String::new(),
    };
    let cost = own.cost(record.compression);
    let par_cost = par.filter(|_| name != PAR).map(|par| par.figures.cost(par.compression));
    format!(
        "| {shape} | {name} | {:.0}{} | {:.0}{} | {:.1}{} | {} / {} | {} | {} | {cost:.0}{} | {:.1}, {:.1} |",
        own.replica_seconds,
        ratio(own.replica_seconds, |par| par.replica_seconds),
        own.late_seconds,
        ratio(own.late_seconds, |par| par.late_seconds),
        own.worst_age,
        ratio(own.worst_age, |par| par.worst_age),
        own.ups,
        own.downs,
        own.reversals,
        own.rebalances,
        par_cost.map_or_else(String::new, |par| format!(" ({:.2})", cost / par)),
        record.load_average[0],
        record.load_average[1],
    )
}

/// All loads together, in parts of KEDA's best; only where every load was run.
fn totals(runs: &[(&str, Record)]) -> String {
    let sum = |name: &str, part: &dyn Fn(&Record) -> f64| -> f64 {
        runs.iter().filter(|(other, _)| *other == name).map(|(_, record)| part(record)).sum()
    };
    let mut text = String::from("\nAll loads together, in brackets in parts of KEDA's best:\n\n");
    put(&mut text, "| contender | replica-seconds | seconds late | moves | reversals | rebalances | cost |");
    put(&mut text, "|---|---|---|---|---|---|---|");
    let parts: [&dyn Fn(&Record) -> f64; 6] = [
        &|record| record.figures.replica_seconds,
        &|record| record.figures.late_seconds,
        &|record| f64::from(record.figures.ups + record.figures.downs),
        &|record| f64::from(record.figures.reversals),
        &|record| f64::from(u32::try_from(record.figures.rebalances).unwrap_or(u32::MAX)),
        &|record| record.figures.cost(record.compression),
    ];
    for name in CONTENDERS {
        let count = runs.iter().filter(|(other, _)| *other == name).count();
        if count < Shape::CONSUMERS.len() {
            continue;
        }
        let cells = parts.map(|part| {
            let (own, par) = (sum(name, part), sum(PAR, part));
            if par > 0.0 { format!("{own:.0} ({:.2})", own / par) } else { format!("{own:.0}") }
        });
        put(&mut text, &format!("| {name} | {} |", cells.join(" | ")));
    }
    text
}
