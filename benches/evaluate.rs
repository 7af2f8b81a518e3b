//! What a decision costs: time by criterion, and time and allocations beside what `benches/baseline.json` remembers.
//! Times are told in yardsticks, a fixed piece of work that is timed in the same run: so a baseline means the same on
//! another machine, or on a busy one. `UPDATE_BASELINE=1` writes that file anew.

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
use tidegate::random::Random;
use tidegate::simulate::generate::generate;

const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/baseline.json");
/// Looks that are taken down and decided on again and again.
const LOOKS: usize = 400;

/// What is remembered.
#[derive(Debug, Serialize, Deserialize)]
struct Figures {
    /// Nanoseconds of the yardstick: what the machine was worth.
    nanoseconds_per_yardstick: f64,
    /// One decision of the engine with all of its words, on a look at 24 partitions.
    yardsticks_per_evaluate: f64,
    /// Allocations of the same.
    allocations_per_evaluate: f64,
    /// One turn of the whole closed loop, where nobody reads the words: plant, sight, readings, engine.
    yardsticks_per_turn: f64,
    /// Allocations of the same.
    allocations_per_turn: f64,
    /// Turns per second on this machine, as busy as it was.
    turns_per_second: f64,
}

/// A thousand steps of hashing, dividing and branching: the kind of work that a decision is made of.
fn yardstick() -> f64 {
    let mut random = Random::new(7);
    (0..1000).fold(1.0, |sum, _| {
        let bits = random.bits();
        let part = f64::from(u32::try_from(bits >> 32).unwrap_or(1)) + 1.0;
        if bits & 1 == 0 { sum + 1.0 / part } else { (sum * part).sqrt() / part }
    })
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
    let many = |count: usize| f64::from(u32::try_from(count).expect("a few"));
    let (each, steps) = (many(looks.len()), many(course.steps()));
    let rules = default_rules(course);
    let allocations = |work: &dyn Fn()| {
        let counted = allocation_counter::measure(work);
        f64::from(u32::try_from(counted.count_total).expect("a few"))
    };
    let hundred_yardsticks = || {
        std::hint::black_box((0..100).map(|_| yardstick()).sum::<f64>());
    };
    let decided = || drop(decide(course, looks));
    let looped = || drop(by_engine(course, &rules, 1));
    // One after the other, again and again: whatever else the machine does disturbs all of them alike.
    let mut times = [f64::INFINITY; 3];
    for _ in 0..40 {
        let yard = best(1, hundred_yardsticks) / 100.0;
        let one = best(1, decided) / each;
        let turn = best(1, looped) / steps;
        for (time, now) in times.iter_mut().zip([yard, one, turn]) {
            *time = time.min(now);
        }
    }
    let [yard, one, turn] = times;
    Figures {
        nanoseconds_per_yardstick: yard * 1e9,
        yardsticks_per_evaluate: one / yard,
        allocations_per_evaluate: allocations(&decided) / each,
        yardsticks_per_turn: turn / yard,
        allocations_per_turn: allocations(&looped) / steps,
        turns_per_second: 1.0 / turn,
    }
}

fn compare(now: &Figures) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let before = std::fs::read_to_string(BASELINE).ok();
    let before: Option<Figures> = before.and_then(|text| serde_json::from_str(&text).ok());
    let mut line = |name: &str, figure: fn(&Figures) -> f64| match before.as_ref().map(figure) {
        Some(was) => {
            let is = figure(now);
            writeln!(out, "{name}: {is:.3}, {:.2} of the baseline's {was:.3}", is / was)
        }
        None => writeln!(out, "{name}: {:.3}", figure(now)),
    };
    line("ns/yardstick", |one| one.nanoseconds_per_yardstick)?;
    line("yardsticks/evaluate", |one| one.yardsticks_per_evaluate)?;
    line("allocations/evaluate", |one| one.allocations_per_evaluate)?;
    line("yardsticks/turn of the closed loop", |one| one.yardsticks_per_turn)?;
    line("allocations/turn of the closed loop", |one| one.allocations_per_turn)?;
    line("turns/s of the closed loop", |one| one.turns_per_second)?;
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
