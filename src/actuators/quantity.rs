//! Kubernetes quantities (`500m`, `1k`, `2Ki`, `1.5e3`): just enough for a metric's target value. Pure.

/// Reads a quantity; `None` where it is not one.
pub fn read(text: &str) -> Option<f64> {
    let unit = |(at, c): (usize, char)| (c.is_alphabetic() && !is_exponent(text, at)).then_some(at);
    let (number, suffix) = text.split_at(text.char_indices().find_map(unit).unwrap_or(text.len()));
    if number.is_empty() || !number.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let value = number.parse::<f64>().ok()? * factor(suffix)?;
    value.is_finite().then_some(value)
}

/// Writes a positive value plainly, to three significant digits and no finer than a thousandth, which is
/// as fine as an HPA computes. `None` where nothing positive is left.
pub fn write(value: f64) -> Option<String> {
    let rounded: f64 = format!("{value:.2e}").parse().ok()?;
    if !rounded.is_finite() || rounded < 0.001 {
        return None;
    }
    let text = format!("{rounded:.3}");
    Some(text.trim_end_matches('0').trim_end_matches('.').to_owned())
}

/// An `e` or `E` with digits behind it is an exponent; a lone `E` is a suffix.
fn is_exponent(text: &str, at: usize) -> bool {
    let mut rest = text.get(at..).unwrap_or_default().chars();
    matches!(rest.next(), Some('e' | 'E'))
        && rest.next().is_some_and(|c| c.is_ascii_digit() || matches!(c, '+' | '-'))
}

fn factor(suffix: &str) -> Option<f64> {
    Some(match suffix {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1024.0_f64.powi(2),
        "Gi" => 1024.0_f64.powi(3),
        "Ti" => 1024.0_f64.powi(4),
        "Pi" => 1024.0_f64.powi(5),
        "Ei" => 1024.0_f64.powi(6),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("100", 100.0)]
    #[case("500m", 0.5)]
    #[case("240500m", 240.5)]
    #[case("1k", 1000.0)]
    #[case("1.5k", 1500.0)]
    #[case("2Ki", 2048.0)]
    #[case("1E", 1e18)]
    #[case("1e3", 1000.0)]
    #[case("1E-3", 0.001)]
    #[case("12e+2", 1200.0)]
    #[case("+5", 5.0)]
    #[case(".5", 0.5)]
    fn reads_what_the_api_server_writes(#[case] text: &str, #[case] value: f64) {
        let read = read(text).unwrap();
        assert!((read - value).abs() <= value * 1e-12, "{text}: {read}");
    }

    #[rstest]
    fn refuses_what_is_no_quantity(
        #[values("", "m", "k1", "5x", "1 k", "inf", "NaN", "1e", "--1", "1e400")] text: &str,
    ) {
        assert_eq!(read(text), None);
    }

    #[rstest]
    #[case(240.0, "240")]
    #[case(240.5, "240")]
    #[case(123_456.0, "123000")]
    #[case(1000.0, "1000")]
    #[case(99.95, "100")]
    #[case(2.4142, "2.41")]
    #[case(0.5, "0.5")]
    #[case(0.000_6, "")]
    #[case(0.0, "")]
    #[case(-4.0, "")]
    #[case(f64::NAN, "")]
    #[case(f64::INFINITY, "")]
    fn writes_plainly_to_three_digits(#[case] value: f64, #[case] text: &str) {
        assert_eq!(write(value).unwrap_or_default(), text);
    }

    #[rstest]
    fn writing_what_was_read_changes_nothing(#[values("240", "2.41", "123000", "0.005")] text: &str) {
        assert_eq!(write(read(text).unwrap()).as_deref(), Some(text));
    }
}
