//! Benches: Tidegate and others on the same servers and under the same loads, one after the other.

pub(crate) mod keda;
mod plot;
mod shape;
pub(crate) mod spark;
mod store;

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::time::{Instant, sleep};

use crate::support::load::Load;
use shape::Shape;

/// Drives the load along its shape, and says how it goes; the rates, by seconds of the bench.
async fn drive(
    load: &Load,
    shape: Shape,
    compression: u64,
    begin: Instant,
    tell: impl Fn() -> String,
) -> Vec<(f64, u64)> {
    let length = Duration::from_secs((shape.seconds() / compression).max(1));
    let (mut rates, mut told) = (Vec::new(), 0);
    while begin.elapsed() < length {
        let at = begin.elapsed();
        let rate = shape.rate(at.as_secs() * compression);
        load.set(rate);
        rates.push((at.as_secs_f64(), rate));
        if at.as_secs() >= told {
            told = at.as_secs() + 15;
            let (at, length) = (at.as_secs(), length.as_secs());
            status(&format!("{at:>4} of {length} s  {rate:>5} records/s  {}", tell()));
        }
        sleep(Duration::from_millis(500)).await;
    }
    rates
}

/// Puts `text` between the markers of `docs/NAME.md`, and the picture into `docs/`.
fn publish(page: &str, picture: (&str, &str), text: &str) -> Result<()> {
    const BEGIN: &str = "<!-- figures: begin (written by make ";
    const END: &str = "<!-- figures: end -->";
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let whole = fs::read_to_string(docs.join(page))?;
    let parts = || {
        let (before, rest) = whole.split_once(BEGIN)?;
        let (marker, rest) = rest.split_once('\n')?;
        Some((before, marker, rest.split_once(END)?.1))
    };
    let (before, marker, after) = parts().with_context(|| format!("docs/{page} has no place for figures"))?;
    fs::write(docs.join(page), format!("{before}{BEGIN}{marker}\n{text}{END}{after}"))?;
    fs::write(docs.join(picture.0), picture.1)?;
    say(&format!("published in docs/{page}"));
    Ok(())
}

/// The version of a jar in a folder, by its file's name.
fn jar_version(folder: &Path, artifact: &str) -> Result<String> {
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let version = name.strip_prefix(artifact).and_then(|rest| rest.strip_prefix('-'));
        if let Some(version) = version.filter(|version| version.starts_with(|c: char| c.is_ascii_digit())) {
            return Ok(version.trim_end_matches(".jar").to_owned());
        }
    }
    Ok("?".to_owned())
}

/// Of the last minute.
fn load_average() -> Result<f64> {
    let text = fs::read_to_string("/proc/loadavg")?;
    Ok(text.split(' ').next().context("an empty /proc/loadavg")?.parse()?)
}

#[expect(clippy::print_stdout, reason = "this is the bench's progress")]
fn say(text: &str) {
    println!("bench: {text}");
}

#[expect(clippy::print_stdout, reason = "this is the bench's progress")]
fn status(text: &str) {
    println!("  {text}");
}
