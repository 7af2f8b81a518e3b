//! What a decision costs: time by criterion, and time and allocations in parts of what `benches/baseline.json`
//! remembers. `UPDATE_BASELINE=1` writes that file anew.

use std::io::Write;

use criterion::measurement::{Measurement, WallTime};
use criterion::{Criterion, Throughput};
use serde::{Deserialize, Serialize};
use tidegate::engine::{Memory, Observation, evaluate};
use tidegate::fluid::course::Course;
use tidegate::fluid::plant::Plant;
use tidegate::fluid::run::{by_engine, default_rules};
use tidegate::fluid::running::Running;
use tidegate::fluid::sight::{Eyes, Sight};
use tidegate::simulate::generate::generate;

const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/baseline.json");
/// Looks that are taken down and decided on again and again.
const LOOKS: usize = 400;

/// What is remembered.
#[derive(Debug, Serialize, Deserialize)]
struct Figures {
    /// One decision of the engine on a look at 24 partitions.
    nanoseconds_per_evaluate: f64,
    /// Allocations of the same.
    allocations_per_evaluate: f64,
    /// Decisions of the whole closed loop: plant, sight, readings, engine.
    decisions_per_second: f64,
}

fn day() -> Course {
    let spec = "daily:mean=1000,swing=600+spike:height=1500,width=10m,every=5h+noise:deviation=0.1";
    let trace = generate(spec, "2d".parse().expect("a duration"), 1).expect("a load");
    Course::new(&trace, &Plant::preset("consumer-eager").expect("a plant"), 1).expect("a course")
}

/// Looks as the loop would show them to the engine.
fn looks(course: &Course) -> Vec<Observation> {
    let rules = default_rules(course);
    let mut plant = Running::new(course, 0, 6);
    let (mut sight, mut eyes) = (Sight::new(course, 1), Eyes::new(course, rules.window().as_secs_f64()));
    (0..LOOKS)
        .map(|_| {
            let seen = sight.look(&plant);
            let observation = eyes.observe(&plant, seen).clone();
            sight.note(plant.advance());
            observation
        })
        .collect()
}

fn decide(course: &Course, looks: &[Observation]) -> Memory {
    let rules = default_rules(course);
    let turns = looks.iter().enumerate();
    turns.fold(Memory::default(), |memory, (step, look)| {
        let (memory, decision) = evaluate(&rules, memory, look, course.time(step));
        std::hint::black_box(decision);
        memory
    })
}

/// The best of some tries, in seconds: what else runs on the machine only ever adds.
fn best(tries: u32, work: impl Fn()) -> f64 {
    let measured = (0..tries).map(|_| {
        let began = WallTime.start();
        work();
        WallTime.to_f64(&WallTime.end(began)) / 1e9
    });
    measured.fold(f64::INFINITY, f64::min)
}

fn figures(course: &Course, looks: &[Observation]) -> Figures {
    let each = f64::from(u32::try_from(looks.len()).expect("a few"));
    let steps = f64::from(u32::try_from(course.steps()).expect("a few"));
    let counted = allocation_counter::measure(|| drop(decide(course, looks)));
    let rules = default_rules(course);
    let looped = best(9, || drop(by_engine(course, &rules, 1)));
    Figures {
        nanoseconds_per_evaluate: best(50, || drop(decide(course, looks))) / each * 1e9,
        allocations_per_evaluate: f64::from(u32::try_from(counted.count_total).expect("a few")) / each,
        decisions_per_second: steps / looped,
    }
}

fn compare(now: &Figures) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let before = std::fs::read_to_string(BASELINE).ok();
    let before: Option<Figures> = before.and_then(|text| serde_json::from_str(&text).ok());
    let mut line = |name: &str, now: f64, was: Option<f64>| match was {
        Some(was) => writeln!(out, "{name}: {now:.1}, {:.2} of the baseline's {was:.1}", now / was),
        None => writeln!(out, "{name}: {now:.1}"),
    };
    let was = |of: fn(&Figures) -> f64| before.as_ref().map(of);
    line("ns/evaluate", now.nanoseconds_per_evaluate, was(|one| one.nanoseconds_per_evaluate))?;
    line("allocations/evaluate", now.allocations_per_evaluate, was(|one| one.allocations_per_evaluate))?;
    line("decisions/s in the closed loop", now.decisions_per_second, was(|one| one.decisions_per_second))?;
    if std::env::var_os("UPDATE_BASELINE").is_some() {
        std::fs::write(BASELINE, serde_json::to_string_pretty(now)? + "\n")?;
    }
    Ok(())
}

fn main() -> std::io::Result<()> {
    let course = day();
    let looks = looks(&course);
    compare(&figures(&course, &looks))?;
    let mut criterion = Criterion::default().configure_from_args().sample_size(20);
    let mut group = criterion.benchmark_group("engine");
    group.throughput(Throughput::Elements(u64::try_from(looks.len()).unwrap_or(1)));
    group.bench_function("evaluate, 24 partitions", |bencher| bencher.iter(|| decide(&course, &looks)));
    group.throughput(Throughput::Elements(u64::try_from(course.steps()).unwrap_or(1)));
    let rules = default_rules(&course);
    group.bench_function("closed loop, two days", |bencher| bencher.iter(|| by_engine(&course, &rules, 1)));
    group.finish();
    criterion.final_summary();
    Ok(())
}
