//! Reproducible noise: `SplitMix64` (Steele, Lea and Flood, 2014), as a sequence and as a hash.

/// A sequence of pseudo-random numbers.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The sequence that `seed` names.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A draw from about the normal distribution, in thousandths of its standard deviation: the sum of
    /// twelve uniform draws, which is exact in whole numbers and never beyond six deviations.
    pub fn normal_permille(&mut self) -> i64 {
        (0..12).map(|_| between(self.bits(), 0, 1000)).sum::<i64>() - 6000
    }
}

/// Bits that belong to `seed`, `who` and `when`, whatever was drawn before.
pub fn hash(seed: u64, who: u64, when: i64) -> u64 {
    mix(mix(seed ^ who.wrapping_mul(0x9e37_79b9_7f4a_7c15)) ^ when.cast_unsigned())
}

/// Folds `bits` into `low..=high`.
pub fn between(bits: u64, low: i64, high: i64) -> i64 {
    let width = high.saturating_sub(low).saturating_add(1).max(1);
    low.saturating_add((bits >> 1).cast_signed() % width)
}

/// A draw from about the standard normal distribution.
pub fn normal(random: &mut Random) -> f64 {
    (0..12).map(|_| uniform(random)).sum::<f64>() - 6.0
}

/// A draw from above 0 to 1.
pub fn uniform(random: &mut Random) -> f64 {
    const SCALE: f64 = 4_294_967_296.0;
    (f64::from(u32::try_from(random.bits() >> 32).unwrap_or(0)) + 1.0) / SCALE
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_splitmix64() {
        let mut random = Random::new(1_234_567);
        assert_eq!(random.bits(), 6_457_827_717_110_365_317);
        assert_eq!(random.bits(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn draws_stay_in_their_range_and_centre_on_zero() {
        let mut random = Random::new(7);
        let draws: Vec<i64> = (0..10_000).map(|_| random.normal_permille()).collect();
        assert!(draws.iter().all(|draw| draw.abs() <= 6000));
        assert!((draws.iter().sum::<i64>() / 10_000).abs() < 50);
        assert!((0..1000).all(|when| (3..=5).contains(&between(hash(1, 2, when), 3, 5))));
    }
}
