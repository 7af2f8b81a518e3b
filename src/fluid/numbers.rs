//! Conversions between counts and floats that the contest needs, all of them in range by construction.

use crate::policy::units::{records_covering, records_f64};

/// A count as a float.
pub(crate) fn real(count: usize) -> f64 {
    records_f64(u64::try_from(count).unwrap_or(u64::MAX))
}

/// The least count that covers `value`; 0 for what is negative or no number.
pub(crate) fn count(value: f64) -> usize {
    // A billionth forgives rounding: 4.0000000001 steps are 4.
    let covering = records_covering(value - 1e-9 * value.abs().max(1.0));
    covering.and_then(|whole| usize::try_from(whole).ok()).unwrap_or(0)
}

/// The value that a share of all values lies at or under; 0 without values.
pub(crate) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = count(real(sorted.len()) * share).max(1) - 1;
    sorted.get(rank).or(sorted.last()).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_cover_without_rounding_noise() {
        assert_eq!([count(4.000_000_000_1), count(4.1), count(-3.0), count(f64::NAN)], [4, 5, 0, 0]);
    }

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let values: Vec<f64> = (1..=1000).map(real).rev().collect();
        assert!((quantile(&values, 0.995) - 995.0).abs() < 1e-9);
        assert!((quantile(&values, 1.0) - 1000.0).abs() < 1e-9);
        assert!(quantile(&[], 0.5).abs() < 1e-9);
    }
}
