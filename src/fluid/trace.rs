//! Arrivals over time: a CSV file, or what a generator makes.

use super::error::FluidError;
use super::numbers::{count, quantile, real};

/// The first line of every trace.
const HEADER: &str = "t_seconds,events_per_second";
/// Times and rates beyond this are mistakes, and sums of them would be.
const MOST: f64 = 1e12;
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
    pub fn read(name: &str, text: &str) -> Result<Self, FluidError> {
        let wrong = |line: usize, problem: String| FluidError::Line { file: name.to_owned(), line, problem };
        let mut lines = text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line.trim()))
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let (number, header) = lines.next().ok_or_else(|| wrong(1, format!("empty: expected `{HEADER}`")))?;
        if !is_header(header) {
            let problem = format!("`{header}` is not the header: put `{HEADER}` as the first line");
            return Err(wrong(number, problem));
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
            let problem = "at least two rows are needed to tell the step: add the next one";
            return Err(wrong(last, problem.to_owned()));
        };
        Ok(Self { name: name.to_owned(), step: second - first, rates })
    }

    /// The trace as a file that can be read again.
    pub fn to_csv(&self) -> String {
        let row = |(place, rate): (usize, &f64)| format!("{},{rate}\n", self.step * real(place));
        let rows: Vec<String> = self.rates.iter().enumerate().map(row).collect();
        format!("{HEADER}\n{}", rows.concat())
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
        if steps == 0 {
            // Less than a step is a step at its mean.
            return vec![self.mean() * dt];
        }
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

/// Capitals, quotes and blanks make no other header.
fn is_header(line: &str) -> bool {
    let bare = |text: &str| text.trim().trim_matches('"').trim().to_lowercase();
    let line = line.trim_start_matches('\u{feff}');
    line.split(',').map(bare).eq(HEADER.split(',').map(str::to_owned))
}

fn row(line: &str) -> Result<(f64, f64), String> {
    const UNKNOWN: &str = "a rate that is not known has to be filled in, with that before it for example";
    let number = |text: &str, what: &str, cure: &str| {
        let text = text.trim().trim_matches('"');
        match text.parse::<f64>() {
            Ok(value) if (-MOST..=MOST).contains(&value) => Ok(value),
            Ok(value) if value.is_nan() || text.is_empty() => Err(format!("`{text}` is no {what}: {cure}")),
            Ok(_) => Err(format!("`{text}` is no {what}: expected at most {MOST:e}")),
            Err(_) => Err(format!("`{text}` is no {what}: {cure}")),
        }
    };
    let mut fields = line.split(',');
    let (Some(time), Some(rate), None) = (fields.next(), fields.next(), fields.next()) else {
        return Err(format!("`{line}` has not the two fields of `{HEADER}`"));
    };
    let time = number(time, "time in seconds", "expected a number such as 0, 15, 30")?;
    let rate = number(rate, "rate", UNKNOWN)?;
    if rate < 0.0 {
        return Err(format!("{rate} events/s: a rate cannot be negative: {UNKNOWN}"));
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
    let after = time - last;
    if (after - step).abs() <= step * 1e-3 {
        return Ok(());
    }
    let cure = match after / step {
        ratio if ratio > 1.5 => {
            format!("rows are missing: add those from {} s on, with their rates", last + step)
        }
        ratio if ratio <= 0.0 => "sort the rows by time, each time once".to_owned(),
        _ => "resample the trace to a fixed step".to_owned(),
    };
    Err(format!("{time} s comes {after} s after {last} s, but the step is {step} s: {cure}"))
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
    fn what_is_written_is_read_back() {
        let trace = Trace { name: "t".to_owned(), step: 20.0, rates: vec![0.125, 3e9, 0.0] };
        assert_eq!(Trace::read("t", &trace.to_csv()).unwrap(), trace);
    }

    #[test]
    fn long_rows_are_joined_between_their_middles() {
        let trace = Trace::read("t", "t_seconds,events_per_second\n0,10\n120,20\n").unwrap();
        close(&trace.arrivals(60.0), &[600.0, 60.0 * 12.5, 60.0 * 17.5, 60.0 * 20.0]);
    }

    #[test]
    fn a_header_is_one_in_capitals_and_quotes_too() {
        for header in ["T_Seconds,Events_Per_Second", "\"t_seconds\", \"events_per_second\"", "\u{feff}# a\n"]
        {
            let header =
                if header.ends_with('\n') { format!("# ours\r\n{HEADER}") } else { header.to_owned() };
            let trace = Trace::read("t", &format!("{header}\r\n0,10\r\n20,\"40\"\r\n")).unwrap();
            close(&trace.rates, &[10.0, 40.0]);
        }
    }

    #[test]
    fn what_is_shorter_than_a_step_is_one_at_its_mean() {
        let trace = Trace::read("t", "t_seconds,events_per_second\n0,10\n1,20\n2,30\n").unwrap();
        close(&trace.arrivals(15.0), &[300.0]);
    }

    #[test]
    fn errors_name_the_line_and_what_was_expected() {
        let said = |text: &str| Trace::read("x.csv", text).unwrap_err().to_string();
        assert_eq!(said(""), "x.csv:1: empty: expected `t_seconds,events_per_second`");
        assert_eq!(
            said("time,rate\n"),
            "x.csv:1: `time,rate` is not the header: put `t_seconds,events_per_second` as the first line"
        );
        let rows = |rows: &str| said(&format!("{HEADER}\n{rows}"));
        let cure = "a rate that is not known has to be filled in, with that before it for example";
        assert_eq!(rows("0,1\n15,many\n"), format!("x.csv:3: `many` is no rate: {cure}"));
        assert_eq!(rows("0,1\n15,NaN\n"), format!("x.csv:3: `NaN` is no rate: {cure}"));
        assert_eq!(rows("0,1\n15,\n"), format!("x.csv:3: `` is no rate: {cure}"));
        assert_eq!(rows("0,1\n15,inf\n"), "x.csv:3: `inf` is no rate: expected at most 1e12");
        assert_eq!(
            rows("0,1\n\n15,-2\n"),
            format!("x.csv:4: -2 events/s: a rate cannot be negative: {cure}")
        );
        assert_eq!(
            rows("0,1\n15,2\n45,2\n"),
            "x.csv:4: 45 s comes 30 s after 15 s, but the step is 15 s: rows are missing: \
             add those from 30 s on, with their rates"
        );
        assert_eq!(
            rows("0,1\n15,2\n15,2\n"),
            "x.csv:4: 15 s comes 0 s after 15 s, but the step is 15 s: sort the rows by time, each time once"
        );
        assert_eq!(
            rows("5,1\n5,2\n"),
            "x.csv:3: 5 s does not come after 5 s: times must rise by a fixed step"
        );
        assert_eq!(
            rows("0,1,2\n"),
            "x.csv:2: `0,1,2` has not the two fields of `t_seconds,events_per_second`"
        );
        assert_eq!(rows("0,1\n"), "x.csv:2: at least two rows are needed to tell the step: add the next one");
    }
}
