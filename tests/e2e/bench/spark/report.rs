//! Tables and plot.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Result;

use super::contender::{Contender, MOST};
use super::course::Course;
use super::kept;
use super::record::{Figures, Record};
use crate::bench::plot::{Column, Line, svg};
use crate::bench::store::Store;
use crate::bench::{jar_version, publish, say, status};
use crate::support::place::Tools;
use crate::support::spark::Line as SparkLine;

/// One run in a line.
pub(super) fn line(record: &Record) -> String {
    let figures = record.figures();
    format!(
        "{} on {}: {} executors started, {} removed, {:.0} executor-seconds of which {:.0} busy, {} of {} batches over \
         the trigger, p95 {:.1} s, worst {:.1} s; {:.0} s late, oldest {:.1} s; load average {:.1} -> {:.1}",
        record.contender.name(),
        record.course.name(),
        figures.started,
        figures.removed,
        figures.executor_seconds,
        figures.busy_seconds,
        figures.missed,
        figures.batches,
        figures.p95,
        figures.worst,
        figures.late,
        figures.oldest,
        record.load_average[0],
        record.load_average[1],
    )
}

/// Writes `report.md` and `spark-bench.svg` beside the records, and, if asked to, into `docs/`.
pub(super) fn write(store: &Store, tools: &Tools, into_docs: bool) -> Result<()> {
    let runs: Vec<Record> = Course::ALL
        .into_iter()
        .flat_map(|course| Contender::ALL.map(|contender| (contender, course)))
        .filter_map(|(contender, course)| kept(store, contender, course))
        .collect();
    if runs.is_empty() {
        say("nothing has been measured");
        return Ok(());
    }
    let (text, picture) = (page(&runs, &versions(tools)?), plot(&runs));
    store.write("spark-bench.svg", &picture)?;
    let report = store.write("report.md", &text)?;
    for line in text.lines() {
        status(line);
    }
    say(&format!("written: {}", report.display()));
    if into_docs {
        publish("spark-bench.md", ("spark-bench.svg", &picture), &text)?;
    }
    Ok(())
}

fn versions(tools: &Tools) -> Result<String> {
    let kube = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/tools/kube/go.mod"))?;
    let kube = kube.lines().find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes ")).unwrap_or("?");
    Ok(format!(
        "Spark {}, Kafka {}, Kubernetes {}, Tidegate {}",
        jar_version(&tools.spark(SparkLine::Four).join("jars"), "spark-core_2.13")?,
        jar_version(&tools.kafka(), "kafka-clients")?,
        kube.split(' ').next().unwrap_or("?"),
        env!("CARGO_PKG_VERSION")
    ))
}

fn put(text: &mut String, line: &str) {
    // Writing to a String cannot fail.
    let (Ok(()) | Err(_)) = writeln!(text, "{line}");
}

fn page(runs: &[Record], versions: &str) -> String {
    let mut text = String::new();
    let minute = |record: &Record| record.at.get(..16).unwrap_or_default().to_owned();
    let (first, last) = (runs.iter().map(minute).min(), runs.iter().map(minute).max());
    let busy = runs.iter().flat_map(|record| record.load_average).fold(0.0, f64::max);
    put(
        &mut text,
        &format!(
            "Runs that ended from {} to {} UTC on {} cores, load average at most {busy:.1}; {versions}.\n",
            first.unwrap_or_default(),
            last.unwrap_or_default(),
            std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        ),
    );
    put(&mut text, "![Executors and age of the oldest record](spark-bench.svg)\n");
    put(
        &mut text,
        "| load | contender | seconds | executors started / removed | executor-seconds | of them busy | executors at last \
         | batches over the trigger interval | batch time p95 / worst, s | seconds over the objective | oldest record, s \
         | changes of direction per hour | load average |",
    );
    put(&mut text, "|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    for course in Course::ALL {
        let of = |contender| runs.iter().find(|run| run.contender == contender && run.course == course);
        let par = of(Contender::Stock).map(Record::figures);
        for record in Contender::ALL.into_iter().filter_map(of) {
            put(&mut text, &row(record, par.as_ref().filter(|_| record.contender != Contender::Stock)));
        }
    }
    text
}

/// In brackets: in parts of stock's.
fn row(record: &Record, par: Option<&Figures>) -> String {
    let own = record.figures();
    let ratio = |own: f64, par: Option<f64>| match par {
        Some(par) if par > 0.0 => format!("{own:.0} ({:.2})", own / par),
        _ => format!("{own:.0}"),
    };
    let settled = match own.settled {
        Some(second) => format!(", from second {second:.0} on at most 1.3 x the need"),
        None => String::new(),
    };
    format!(
        "| {} | {} | {:.0} | {} / {} | {} | {:.0} % | {:.1}{settled} | {} of {} | {:.1} / {:.1} | {} | {:.1} | {:.1} | {:.1}, {:.1} |",
        record.course.name(),
        record.contender.name(),
        record.seconds,
        own.started,
        own.removed,
        ratio(own.executor_seconds, par.map(|par| par.executor_seconds)),
        100.0 * own.busy_seconds / own.executor_seconds.max(1.0),
        own.at_last,
        own.missed,
        own.batches,
        own.p95,
        own.worst,
        ratio(own.late, par.map(|par| par.late)),
        own.oldest,
        own.turns_per_hour,
        record.load_average[0],
        record.load_average[1],
    )
}

fn plot(runs: &[Record]) -> String {
    let sizes: Vec<_> = runs.iter().map(Record::sizes).collect();
    let columns: Vec<Column<'_>> = Course::ALL
        .into_iter()
        .filter_map(|course| {
            let here: Vec<_> = runs.iter().zip(&sizes).filter(|(run, _)| run.course == course).collect();
            let (any, _) = here.first()?;
            Some(Column {
                title: format!("{}: executors; grey: busy all the time", course.name()),
                seconds: any.seconds,
                most: f64::from(MOST),
                demand: any.rates.iter().map(|(at, rate)| (*at, Course::busy(*rate))).collect(),
                objective: f64::from(course.objective()),
                lines: here
                    .iter()
                    .map(|(run, sizes)| Line {
                        place: Contender::ALL.iter().position(|one| *one == run.contender).unwrap_or(0),
                        sizes,
                        ages: &run.ages,
                    })
                    .collect(),
            })
        })
        .collect();
    svg(&Contender::ALL.map(Contender::name), &columns)
}
