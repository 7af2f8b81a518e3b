//! Loads made up: shapes that add up, `daily:mean=800+spike:height=2000,every=6h+noise:deviation=0.1`.

use std::collections::BTreeMap;
use std::f64::consts::TAU;

use crate::fluid::error::FluidError;
use crate::fluid::numbers::{count, real};
use crate::fluid::trace::Trace;
use crate::policy::TimeSpan;
use crate::random::{Random, hash, normal, uniform};

/// Seconds between the rates that are made.
const STEP: f64 = 15.0;
const DAY: f64 = 86_400.0;
/// The share of its deviation that the noise keeps from one step to the next: it hangs together over a
/// minute or two.
const MEMORY: f64 = 0.85;

/// The shapes and their figures, for the help and for errors.
pub const SHAPES: &str = "constant:rate=1000, ramp:from=200,to=2000, step:before=500,after=1000,at=1h, \
    spike:height=2000,width=5m,every=6h, sawtooth:low=200,high=2000,period=1h, \
    daily:mean=1000,swing=600,peak=20h, weekly:mean=1000,swing=600,peak=20h,weekend=0.6, \
    onoff:rate=1000,on=20m,off=40m, noise:deviation=0.1";

/// One shape with its figures, filled in where the spec says nothing.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Constant { rate: f64 },
    Ramp { from: f64, to: f64 },
    Step { before: f64, after: f64, at: f64 },
    Spike { height: f64, width: f64, every: f64 },
    Sawtooth { low: f64, high: f64, period: f64 },
    Daily { mean: f64, swing: f64, peak: f64, weekend: f64 },
    OnOff { rate: f64, on: f64, off: f64 },
    Noise { deviation: f64 },
}

/// The load that `spec` describes, for `length`, with the chance that `seed` names.
pub fn generate(spec: &str, length: TimeSpan, seed: u64) -> Result<Trace, FluidError> {
    let shapes = spec.split('+').map(|part| shape(part.trim())).collect::<Result<Vec<_>, _>>()?;
    let seconds = length.as_secs_f64();
    let steps = count((seconds / STEP).floor());
    if steps < 2 {
        let problem = format!("{length} is too short: expected at least 30s");
        return Err(FluidError::Generator { spec: spec.to_owned(), problem });
    }
    let mut rates = vec![0.0; steps];
    let mut factors = vec![1.0; steps];
    for (shape, who) in shapes.iter().zip(1..) {
        let mut random = Random::new(hash(seed, who, 0));
        if let Shape::Noise { deviation } = shape {
            roughen(&mut factors, *deviation, &mut random);
        } else {
            shape.add(&mut rates, seconds, &mut random);
        }
    }
    for (rate, factor) in rates.iter_mut().zip(factors) {
        *rate = (*rate * factor).max(0.0);
    }
    Ok(Trace { name: spec.to_owned(), step: STEP, rates })
}

impl Shape {
    fn add(self, rates: &mut [f64], seconds: f64, random: &mut Random) {
        let (mut is_on, mut until) = (false, 0.0);
        for (index, rate) in rates.iter_mut().enumerate() {
            let t = real(index) * STEP;
            *rate += match self {
                Self::Constant { rate } => rate,
                Self::Ramp { from, to } => from + (to - from) * t / seconds,
                Self::Step { before, after, at } => {
                    if t < at {
                        before
                    } else {
                        after
                    }
                }
                Self::Spike { height, width, every } => {
                    // In the middle of each stretch: a load does not begin with its exception.
                    if (t.rem_euclid(every) - every / 2.0).abs() <= width / 2.0 { height } else { 0.0 }
                }
                Self::Sawtooth { low, high, period } => low + (high - low) * t.rem_euclid(period) / period,
                Self::Daily { mean, swing, peak, weekend } => {
                    let wave = mean + swing * (TAU * (t - peak) / DAY).cos();
                    // Day 0 is a Monday.
                    if (t / DAY).floor().rem_euclid(7.0) >= 5.0 { wave * weekend } else { wave }
                }
                Self::OnOff { rate, on, off } => {
                    while t >= until {
                        is_on = !is_on;
                        let mean = if is_on { on } else { off };
                        until += (-mean * uniform(random).ln()).max(STEP);
                    }
                    if is_on { rate } else { 0.0 }
                }
                Self::Noise { .. } => 0.0,
            };
        }
    }
}

/// First-order autoregression around 1, of the deviation asked for.
fn roughen(factors: &mut [f64], deviation: f64, random: &mut Random) {
    let mut noise = 0.0;
    let fresh = (1.0 - MEMORY * MEMORY).sqrt();
    for factor in factors {
        noise = MEMORY * noise + fresh * normal(random);
        *factor *= (1.0 + deviation * noise).max(0.0);
    }
}

fn shape(part: &str) -> Result<Shape, FluidError> {
    let wrong = |problem: String| FluidError::Generator { spec: part.to_owned(), problem };
    let (name, figures) = part.split_once(':').unwrap_or((part, ""));
    let mut given = BTreeMap::new();
    for figure in figures.split(',').filter(|figure| !figure.is_empty()) {
        let (key, text) =
            figure.split_once('=').ok_or_else(|| wrong(format!("`{figure}`: expected name=value")))?;
        let value = number(text).ok_or_else(|| wrong(format!("`{text}` is no number and no duration")))?;
        given.insert(key.trim(), value);
    }
    let mut take = |key: &str, otherwise: f64| given.remove(key).unwrap_or(otherwise);
    let shape = match name {
        "constant" => Shape::Constant { rate: take("rate", 1000.0) },
        "ramp" => Shape::Ramp { from: take("from", 200.0), to: take("to", 2000.0) },
        "step" => Shape::Step {
            before: take("before", 500.0),
            after: take("after", 1000.0),
            at: take("at", 3600.0),
        },
        "spike" => Shape::Spike {
            height: take("height", 2000.0),
            width: take("width", 300.0),
            every: take("every", 21_600.0).max(STEP),
        },
        "sawtooth" => Shape::Sawtooth {
            low: take("low", 200.0),
            high: take("high", 2000.0),
            period: take("period", 3600.0).max(STEP),
        },
        "daily" | "weekly" => Shape::Daily {
            mean: take("mean", 1000.0),
            swing: take("swing", 600.0),
            peak: take("peak", 72_000.0),
            weekend: if name == "weekly" { take("weekend", 0.6) } else { 1.0 },
        },
        "onoff" => {
            Shape::OnOff { rate: take("rate", 1000.0), on: take("on", 1200.0), off: take("off", 2400.0) }
        }
        "noise" => Shape::Noise { deviation: take("deviation", 0.1) },
        _ => return Err(wrong(format!("no such shape: expected one of {SHAPES}"))),
    };
    match given.keys().next() {
        Some(key) => Err(wrong(format!("{name} has no figure `{key}`: expected one of {SHAPES}"))),
        None => Ok(shape),
    }
}

/// A number, or a length of time in seconds. Never negative, never infinite.
fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    let plain = text.parse::<f64>().ok();
    plain.or_else(|| text.parse::<TimeSpan>().ok().map(TimeSpan::as_secs_f64)).filter(|value| {
        // Also turns NaN away.
        (0.0..1e12).contains(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(spec: &str, hours: u64) -> Trace {
        generate(spec, TimeSpan::from_secs(hours * 3600), 7).unwrap()
    }

    #[test]
    fn every_shape_is_what_it_says() {
        let at = |trace: &Trace, second: usize| trace.rates[second / 15];
        let close = |value: f64, expected: f64| assert!((value - expected).abs() < 1e-6, "{value}");
        close(made("constant:rate=7", 1).mean(), 7.0);
        let ramp = made("ramp:from=100,to=200", 1);
        close(at(&ramp, 0), 100.0);
        close(at(&ramp, 1800), 150.0);
        let step = made("step:before=1,after=9,at=30m", 1);
        close(at(&step, 1785), 1.0);
        close(at(&step, 1800), 9.0);
        let spike = made("spike:height=50,width=60s,every=1h", 2);
        close(at(&spike, 1800), 50.0);
        close(at(&spike, 5400), 50.0);
        close(at(&spike, 3600), 0.0);
        let saw = made("sawtooth:low=0,high=60,period=30m", 1);
        close(at(&saw, 900), 30.0);
        close(at(&saw, 1800), 0.0);
        let daily = made("daily:mean=100,swing=40,peak=6h", 24);
        close(at(&daily, 6 * 3600), 140.0);
        close(at(&daily, 18 * 3600), 60.0);
        let weekly = made("weekly:mean=100,swing=0,weekend=0.5", 7 * 24);
        close(at(&weekly, 4 * 86_400), 100.0);
        close(at(&weekly, 5 * 86_400), 50.0);
    }

    #[test]
    fn on_and_off_share_the_time_as_asked() {
        let trace = made("onoff:rate=10,on=10m,off=30m", 24 * 30);
        assert!(trace.rates.iter().all(|rate| *rate < 1e-9 || (rate - 10.0).abs() < 1e-9));
        assert!((2.0..3.0).contains(&trace.mean()), "{}", trace.mean());
    }

    #[test]
    fn noise_keeps_the_mean_and_has_its_deviation() {
        let trace = made("constant:rate=100+noise:deviation=0.2", 24 * 7);
        let mean = trace.mean();
        let variance = trace.rates.iter().map(|rate| (rate - mean).powi(2)).sum::<f64>() / 40_320.0;
        assert!((mean - 100.0).abs() < 2.0, "{mean}");
        assert!((variance.sqrt() - 20.0).abs() < 1.5, "{}", variance.sqrt());
    }

    #[test]
    fn shapes_add_up_and_only_the_seed_decides_about_chance() {
        let spec = "daily:mean=500,swing=100+spike:height=900+noise:deviation=0.1";
        assert_eq!(made(spec, 48), made(spec, 48));
        let other = generate(spec, TimeSpan::from_secs(48 * 3600), 8).unwrap();
        assert_ne!(made(spec, 48), other);
        assert!((made("constant:rate=3+constant:rate=4", 1).mean() - 7.0).abs() < 1e-9);
    }

    #[test]
    fn a_wrong_spec_is_told_what_there_is() {
        let said = |spec: &str| generate(spec, TimeSpan::from_secs(3600), 1).unwrap_err().to_string();
        assert!(said("wave").starts_with("generator `wave`: no such shape: expected one of constant:rate"));
        assert!(said("ramp:up=3").starts_with("generator `ramp:up=3`: ramp has no figure `up`"));
        assert_eq!(said("ramp:from"), "generator `ramp:from`: `from`: expected name=value");
        assert_eq!(said("ramp:to=-3"), "generator `ramp:to=-3`: `-3` is no number and no duration");
        let short = generate("ramp", TimeSpan::from_secs(15), 1).unwrap_err().to_string();
        assert_eq!(short, "generator `ramp`: 15s is too short: expected at least 30s");
    }
}
