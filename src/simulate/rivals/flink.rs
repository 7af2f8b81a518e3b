//! The Flink Kubernetes Operator's autoscaler for a job of one vertex that reads Kafka.
//! Source: apache/flink-kubernetes-operator, flink-autoscaler (`ScalingMetricEvaluator`, `JobVertexScaler`,
//! `DelayedScaleDown`), 1.16.
//!
//! With the window's arrival rate T, backlog K per catch-up time, true rate R of the present size and
//! restart time D, a size is right while R lies between `K + T/max` and `K + T D/catch-up + T/min`.
//! Outside of that the new size is that for `K + T D/catch-up + T/target`. Shrinking waits for an interval
//! and takes the highest recommendation of it.

use std::collections::VecDeque;

use super::{Candidate, Rule, Signals, covering};
use crate::simulate::course::Course;
use crate::simulate::sight::Snapshot;

/// The options, by their names below `job.autoscaler.`.
#[derive(Debug, Clone, Copy)]
struct Options {
    /// `metrics.window`.
    window: f64,
    /// `stabilization.interval`.
    stabilization: f64,
    /// `scale-down.interval`.
    down_interval: f64,
    /// `utilization.target`.
    target: f64,
    /// `utilization.max`.
    highest: f64,
    /// `utilization.min`.
    lowest: f64,
    /// `catch-up.duration`.
    catch_up: f64,
    /// `restart.time`.
    restart: f64,
}

const DEFAULTS: Options = Options {
    window: 900.0,
    stabilization: 300.0,
    down_interval: 3600.0,
    target: 0.7,
    highest: 1.0,
    lowest: 0.4,
    catch_up: 1800.0,
    restart: 300.0,
};

/// Shrinking never takes more than this share away at once (`scale-down.max-factor`).
const MOST_DOWN: f64 = 0.6;
/// With more backlog than so many seconds of arrivals nothing shrinks (`backlog-processing.lag-threshold`).
const BACKLOG: f64 = 300.0;

/// The autoscaler's state; all of it is forgotten at a restart but the wish to shrink.
#[derive(Debug)]
struct Autoscaler {
    options: Options,
    /// The size and the second since which it has been running.
    running: Option<(u32, f64)>,
    samples: VecDeque<(f64, Snapshot)>,
    /// When shrinking was first wished for, and what was wished since.
    wish: Option<f64>,
    wished: VecDeque<(f64, u32)>,
}

impl Autoscaler {
    fn new(options: Options) -> Self {
        Self { options, running: None, samples: VecDeque::new(), wish: None, wished: VecDeque::new() }
    }

    /// The size by the metrics of a full window; `None` before there is one.
    fn recommend(&mut self, second: f64, size: u32, seen: Snapshot) -> Option<u32> {
        let since = match self.running {
            Some((was, since)) if was == size && !seen.stopped => since,
            _ => {
                self.samples.clear();
                self.running = (!seen.stopped).then_some((size, second));
                return None;
            }
        };
        if second < since + self.options.stabilization {
            return None;
        }
        self.samples.push_back((second, seen));
        let (first, _) = *self.samples.front()?;
        if second < first + self.options.window {
            return None;
        }
        while self.samples.front().is_some_and(|(at, _)| *at < second - self.options.window) {
            self.samples.pop_front();
        }
        self.evaluate(size, seen.backlog)
    }

    fn evaluate(&self, size: u32, lag: f64) -> Option<u32> {
        let options = &self.options;
        let all = f64::from(u32::try_from(self.samples.len()).ok()?);
        let mean = |figure: fn(&Snapshot) -> f64| {
            self.samples.iter().map(|(_, seen)| figure(seen)).sum::<f64>() / all
        };
        let arriving = mean(|seen| seen.arrival_rate);
        let busy = mean(|seen| seen.busy);
        let processed = mean(|seen| seen.processing_rate);
        if busy <= 0.0 {
            return Some(1);
        }
        let rate = processed / busy;
        let behind = lag > BACKLOG * processed;
        let catch_up = lag / options.catch_up;
        let restart = arriving * options.restart / options.catch_up;
        let capacity = |utilisation: f64, restart: f64| catch_up + restart + arriving / utilisation;
        let highest = if behind { 1.0 } else { options.highest };
        let up_below = capacity(highest, 0.0);
        let down_above = if behind { f64::INFINITY } else { capacity(options.lowest, restart) };
        if (up_below..=down_above).contains(&rate) {
            return Some(size);
        }
        let factor = (capacity(options.target, restart) / rate).max(1.0 - MOST_DOWN);
        Some(covering(factor * f64::from(size)).max(1))
    }

    /// Shrinking waits; anything else forgets the wish.
    fn delay(&mut self, second: f64, size: u32, wanted: u32) -> u32 {
        if wanted >= size {
            self.wish = None;
            self.wished.clear();
            return wanted;
        }
        let since = *self.wish.get_or_insert(second);
        let interval = self.options.down_interval;
        self.wished.push_back((second, wanted));
        while self.wished.front().is_some_and(|(at, _)| *at < second - interval) {
            self.wished.pop_front();
        }
        if second < since + interval {
            return size;
        }
        self.wish = None;
        self.wished.drain(..).map(|(_, wanted)| wanted).max().unwrap_or(wanted)
    }
}

impl Rule for Autoscaler {
    fn desired(&mut self, signals: &Signals) -> u32 {
        let Some(seen) = signals.seen else { return signals.asked };
        if signals.ready != signals.asked {
            self.running = None;
            return signals.asked;
        }
        match self.recommend(signals.second, signals.asked, seen) {
            Some(wanted) => self.delay(signals.second, signals.asked, wanted),
            None => signals.asked,
        }
    }
}

pub(super) fn grid(course: &Course) -> Vec<Candidate> {
    let stop = course.plant.stop_seconds.max(30.0);
    let mut grid = vec![Candidate::new("defaults", Autoscaler::new(DEFAULTS))];
    for (window, stabilization, down_interval) in
        [(60.0, 0.0, 0.0), (60.0, 0.0, 600.0), (180.0, 60.0, 600.0), (300.0, 60.0, 1800.0)]
    {
        for target in [0.6, 0.7, 0.8] {
            let options = Options {
                window,
                stabilization,
                down_interval,
                target,
                lowest: target - 0.3,
                catch_up: 600.0,
                restart: stop,
                ..DEFAULTS
            };
            let setting = format!(
                "window {window} s, stabilization {stabilization} s, down after {down_interval} s, target {target}"
            );
            grid.push(Candidate::new(setting, Autoscaler::new(options)));
        }
    }
    grid
}

#[cfg(test)]
mod tests {
    use super::super::tests::{snapshot, turn};
    use super::*;

    const FAST: Options = Options { window: 60.0, stabilization: 0.0, down_interval: 0.0, ..DEFAULTS };

    /// Holds the same look from second 0 until the answer changes or `until` has come.
    fn settle(rule: &mut Autoscaler, size: u32, seen: Snapshot, until: u32) -> (u32, u32) {
        for second in (0..=until).step_by(15) {
            let wanted = rule.desired(&turn(f64::from(second), size, Some(seen)));
            if wanted != size {
                return (second, wanted);
            }
        }
        (until, size)
    }

    #[test]
    fn nothing_is_decided_before_a_full_window_after_the_stabilization() {
        let seen = snapshot(4, 400.0, 1.0, 100_000.0);
        let (second, _) = settle(&mut Autoscaler::new(DEFAULTS), 4, seen, 3600);
        assert_eq!(second, 1200);
        let (second, _) = settle(&mut Autoscaler::new(FAST), 4, seen, 3600);
        assert!((60..=90).contains(&second), "{second}");
    }

    #[test]
    fn the_new_size_covers_load_restart_and_backlog() {
        // 100 records/s a replica, 400 arrive, 90,000 wait:
        // (90,000 / 1800 + 400 x 300 / 1800 + 400 / 0.7) / 400 x 4 = 6.9.
        let (_, wanted) = settle(&mut Autoscaler::new(FAST), 4, snapshot(4, 400.0, 1.0, 90_000.0), 600);
        assert_eq!(wanted, 7);
    }

    #[test]
    fn within_its_band_nothing_moves() {
        // 8 replicas at 0.6: true rate 800, band from 480 to 480 / 0.4 + 80.
        let (_, wanted) = settle(&mut Autoscaler::new(FAST), 8, snapshot(8, 480.0, 0.6, 0.0), 3600);
        assert_eq!(wanted, 8);
    }

    #[test]
    fn shrinking_waits_for_its_interval() {
        let seen = snapshot(10, 100.0, 0.1, 0.0);
        assert_eq!(settle(&mut Autoscaler::new(FAST), 10, seen, 7200).1, 4);
        let (second, wanted) = settle(&mut Autoscaler::new(DEFAULTS), 10, seen, 7200);
        assert_eq!((second, wanted), (4800, 4));
    }
}
