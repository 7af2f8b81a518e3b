//! Arrivals over time: a CSV file, or what a generator makes.

use super::error::SimulateError;
use super::numbers::{count, quantile, real};

/// The first line of every trace.
const HEADER: &str = "t_seconds,events_per_second";
/// Rows up to this length hold their value; longer ones are only means, and are joined by straight lines.
const HELD_SECONDS: f64 = 60.0;

/// Mean arrival rates over steps of equal length.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// What it is called in reports.
    pub name: String,
    /// Seconds that each rate is the mean of.
    pub step: f64,
    /// Records per second.
    pub rates: Vec<f64>,
}

impl Trace {
    /// Reads a trace: the header, then rows with a fixed step. Blank lines and those that start with `#`
    /// do not count.
    pub fn read(name: &str, text: &str) -> Result<Self, SimulateError> {
        let wrong =
            |line: usize, problem: String| SimulateError::Line { file: name.to_owned(), line, problem };
        let mut lines = text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line.trim()))
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let (number, header) = lines.next().ok_or_else(|| wrong(1, format!("empty: expected `{HEADER}`")))?;
        if header.trim_start_matches('\u{feff}') != HEADER {
            return Err(wrong(number, format!("`{header}` is not the header `{HEADER}`")));
        }
        let (mut times, mut rates, mut last) = (Vec::new(), Vec::new(), number);
        for (number, line) in lines {
            let (time, rate) = row(line).map_err(|problem| wrong(number, problem))?;
            fits(&times, time).map_err(|problem| wrong(number, problem))?;
            times.push(time);
            rates.push(rate);
            last = number;
        }
        let [first, second, ..] = times[..] else {
            return Err(wrong(last, "at least two rows are needed to tell the step".to_owned()));
        };
        Ok(Self { name: name.to_owned(), step: second - first, rates })
    }

    /// Seconds from start to end.
    pub fn seconds(&self) -> f64 {
        self.step * real(self.rates.len())
    }

    /// Records per second on average.
    pub fn mean(&self) -> f64 {
        self.rates.iter().sum::<f64>() / real(self.rates.len()).max(1.0)
    }

    /// The highest rate.
    pub fn peak(&self) -> f64 {
        self.rates.iter().copied().fold(0.0, f64::max)
    }

    /// The rate that all but half a percent of the rows lie under.
    pub fn high(&self) -> f64 {
        quantile(&self.rates, 0.995)
    }

    /// Records that arrive in each whole step of `dt` seconds.
    pub fn arrivals(&self, dt: f64) -> Vec<f64> {
        let steps = count((self.seconds() / dt + 1e-6).floor());
        (0..steps)
            .map(|step| {
                let from = real(step) * dt;
                if self.step > HELD_SECONDS {
                    self.between_means(from + dt / 2.0) * dt
                } else {
                    self.held(from, from + dt)
                }
            })
            .collect()
    }

    /// Records between two seconds where every row holds its value.
    fn held(&self, from: f64, until: f64) -> f64 {
        let first = count((from / self.step).floor());
        let mut records = 0.0;
        for (row, rate) in self.rates.iter().enumerate().skip(first) {
            let (starts, ends) = (real(row) * self.step, real(row + 1) * self.step);
            if starts >= until {
                break;
            }
            records += rate * (ends.min(until) - starts.max(from)).max(0.0);
        }
        records
    }

    /// The rate at a second where straight lines join the middles of the rows.
    fn between_means(&self, second: f64) -> f64 {
        let place = (second / self.step - 0.5).max(0.0);
        let row = count(place.floor());
        let rate = |row: usize| self.rates.get(row).or(self.rates.last()).copied().unwrap_or(0.0);
        rate(row) + (rate(row + 1) - rate(row)) * (place - real(row))
    }
}

fn row(line: &str) -> Result<(f64, f64), String> {
    let number = |text: &str, what: &str| match text.trim().parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        _ => Err(format!("`{}` is no {what}", text.trim())),
    };
    let mut fields = line.split(',');
    let (Some(time), Some(rate), None) = (fields.next(), fields.next(), fields.next()) else {
        return Err(format!("`{line}` has not the two fields of `{HEADER}`"));
    };
    let (time, rate) = (number(time, "time in seconds")?, number(rate, "rate")?);
    if rate < 0.0 {
        return Err(format!("{rate} events/s: a rate cannot be negative"));
    }
    Ok((time, rate))
}

/// Whether a time lies one step after the last.
fn fits(times: &[f64], time: f64) -> Result<(), String> {
    let [first, rest @ ..] = times else { return Ok(()) };
    let last = rest.last().unwrap_or(first);
    let Some(second) = rest.first() else {
        return if time > *first {
            Ok(())
        } else {
            Err(format!("{time} s does not come after {first} s: times must rise by a fixed step"))
        };
    };
    let step = second - first;
    if (time - last - step).abs() > step * 1e-3 {
        return Err(format!("{time} s comes {} s after {last} s, but the step is {step} s", time - last));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(left: &[f64], right: &[f64]) {
        assert_eq!(left.len(), right.len());
        for (left, right) in left.iter().zip(right) {
            assert!((left - right).abs() < 1e-6, "{left} is not {right}");
        }
    }

    #[test]
    fn short_rows_hold_their_value() {
        let trace = Trace::read("t", "t_seconds,events_per_second\n0,10\n20,40\n40,100\n").unwrap();
        close(&trace.arrivals(15.0), &[150.0, 5.0 * 10.0 + 10.0 * 40.0, 10.0 * 40.0 + 5.0 * 100.0, 1500.0]);
        assert!((trace.seconds() - 60.0).abs() < 1e-9);
        assert!((trace.peak() - 100.0).abs() < 1e-9);
    }

    #[test]
    fn long_rows_are_joined_between_their_middles() {
        let trace = Trace::read("t", "t_seconds,events_per_second\n0,10\n120,20\n").unwrap();
        close(&trace.arrivals(60.0), &[600.0, 60.0 * 12.5, 60.0 * 17.5, 60.0 * 20.0]);
    }

    #[test]
    fn errors_name_the_line_and_what_was_expected() {
        let said = |text: &str| Trace::read("x.csv", text).unwrap_err().to_string();
        assert_eq!(said(""), "x.csv:1: empty: expected `t_seconds,events_per_second`");
        assert_eq!(
            said("time,rate\n"),
            "x.csv:1: `time,rate` is not the header `t_seconds,events_per_second`"
        );
        let rows = |rows: &str| said(&format!("{HEADER}\n{rows}"));
        assert_eq!(rows("0,1\n15,many\n"), "x.csv:3: `many` is no rate");
        assert_eq!(rows("0,1\n\n15,-2\n"), "x.csv:4: -2 events/s: a rate cannot be negative");
        assert_eq!(rows("0,1\n15,2\n45,2\n"), "x.csv:4: 45 s comes 30 s after 15 s, but the step is 15 s");
        assert_eq!(
            rows("5,1\n5,2\n"),
            "x.csv:3: 5 s does not come after 5 s: times must rise by a fixed step"
        );
        assert_eq!(
            rows("0,1,2\n"),
            "x.csv:2: `0,1,2` has not the two fields of `t_seconds,events_per_second`"
        );
        assert_eq!(rows("0,1\n"), "x.csv:2: at least two rows are needed to tell the step");
    }
}
