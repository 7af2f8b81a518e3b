//! What producers send: a day curve with pulses on top and noise that hangs together over a minute or two.

use crate::random::Random;

/// Seconds of a day.
pub const DAY: i64 = 86_400;

/// Extra load for a while.
#[derive(Debug, Clone, Copy)]
pub struct Pulse {
    /// Second of the day at which it starts to rise.
    pub from: i64,
    /// Second of the day at which it has gone.
    pub until: i64,
    /// Records per second at its height.
    pub height: i64,
    /// Seconds that it takes to rise, and to fall.
    pub ramp: i64,
}

impl Pulse {
    /// Thousandths of a record per second at `second` of the day.
    fn milli(&self, second: i64) -> i64 {
        let rise = (second - self.from).min(self.until - second).clamp(0, self.ramp);
        self.height * 1000 * rise / self.ramp.max(1)
    }
}

/// The load of one topic, second by second. The same for everybody who consumes it.
#[derive(Debug, Clone)]
pub struct Load {
    /// Records per second at every full hour, in between on straight lines.
    hourly: [i64; 24],
    pulses: Vec<Pulse>,
    /// Deviation of the noise's steps, in thousandths of the load.
    roughness: i64,
    noise: i64,
    random: Random,
}

impl Load {
    /// A load with its noise at rest.
    pub fn new(hourly: [i64; 24], pulses: Vec<Pulse>, roughness: i64, seed: u64) -> Self {
        Self { hourly, pulses, roughness, noise: 0, random: Random::new(seed) }
    }

    /// Thousandths of a record for the coming second. To be called once for every second.
    pub fn next_milli(&mut self, second_of_day: i64) -> i64 {
        if second_of_day % 10 == 0 {
            // A first-order autoregression: a tenth of the deviation is forgotten every ten seconds.
            self.noise = self.noise * 9 / 10 + self.random.normal_permille() * self.roughness / 1000;
        }
        let calm = self.calm_milli(second_of_day);
        (calm + calm * self.noise / 1000).max(0)
    }

    /// The load without its noise.
    pub fn calm_milli(&self, second_of_day: i64) -> i64 {
        let second = second_of_day.rem_euclid(DAY);
        let (hour, into) = (second / 3600, second % 3600);
        let at = |hour: i64| {
            usize::try_from(hour % 24).ok().and_then(|hour| self.hourly.get(hour)).copied().unwrap_or(0)
        };
        let (from, to) = (at(hour), at(hour + 1));
        from * 1000
            + (to - from) * 1000 * into / 3600
            + self.pulses.iter().map(|p| p.milli(second)).sum::<i64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pulse_rises_stays_and_falls() {
        let pulse = Pulse { from: 100, until: 200, height: 50, ramp: 10 };
        let heights: Vec<i64> = [99, 100, 105, 110, 150, 195, 200, 201].map(|s| pulse.milli(s)).to_vec();
        assert_eq!(heights, [0, 0, 25_000, 50_000, 50_000, 25_000, 0, 0]);
    }

    #[test]
    fn the_curve_runs_through_its_hours_and_round_the_clock() {
        let mut hourly = [0; 24];
        hourly[23] = 100;
        let load = Load::new(hourly, Vec::new(), 0, 1);
        assert_eq!(load.calm_milli(22 * 3600 + 1800), 50_000);
        assert_eq!(load.calm_milli(23 * 3600 + 1800), 50_000);
        assert_eq!(load.calm_milli(DAY + 12 * 3600), 0);
    }
}
