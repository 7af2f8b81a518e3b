//! The Flink Kubernetes Operator's autoscaler for a job of one vertex that reads Kafka.
//! Source: apache/flink-kubernetes-operator, flink-autoscaler (`ScalingMetricEvaluator`, `JobVertexScaler`,
//! `DelayedScaleDown`), 1.16, at its default options.
//!
//! With the window's arrival rate T, backlog K per catch-up time, true rate R of the present size and
//! restart time D, a size is right while R lies between `K + T/max` and `K + T D/catch-up + T/min`.
//! Outside of that the new size is that for `K + T D/catch-up + T/target`. Shrinking waits for an interval
//! and takes the highest recommendation of it; any restart forgets the wish. Sizes are aligned to the partitions as
//! in `BuiltInAlignmentMode.BALANCED`. In its favour, rates are not rounded to whole records a second, the size is
//! capped at the partitions, and a restart is noticed at once.

use std::collections::VecDeque;

use super::{Candidate, Rule, Signals, covering};
use crate::fluid::course::Course;
use crate::fluid::numbers::real;
use crate::fluid::sight::Snapshot;

/// The options, most of them by their names below `job.autoscaler.`.
#[derive(Debug, Clone, Copy)]
struct Options {
    /// Seconds between two looks: the operator's `reconcile.interval`.
    every: f64,
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
    every: 60.0,
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

/// The autoscaler's state; all of it is forgotten at a restart.
#[derive(Debug)]
struct Autoscaler {
    options: Options,
    /// Source partitions: sizes are aligned to them.
    partitions: u32,
    most: u32,
    /// The latest look: it looks once in a while, not at every turn.
    looked: Option<f64>,
    /// The size and the second since which it has been running.
    running: Option<(u32, f64)>,
    samples: VecDeque<(f64, Snapshot)>,
    /// When shrinking was first wished for, and what was wished since.
    wish: Option<f64>,
    wished: VecDeque<(f64, u32)>,
}

/// What a full window amounts to.
#[derive(Debug, Clone, Copy)]
struct Advice {
    size: u32,
    /// Whether the true rate lies outside of its band; else nothing moves, whatever the size.
    outside: bool,
}

impl Autoscaler {
    fn new(course: &Course, options: Options) -> Self {
        Self {
            options,
            partitions: course.plant.partitions,
            most: course.plant.max_replicas,
            looked: None,
            running: None,
            samples: VecDeque::new(),
            wish: None,
            wished: VecDeque::new(),
        }
    }

    /// Keeps the samples of one run of the job; a restart makes blind again. Whether they fill a window.
    fn collect(&mut self, second: f64, size: u32, seen: Snapshot) -> bool {
        let since = match self.running {
            Some((was, since)) if was == size && !seen.stopped => since,
            _ => {
                self.samples.clear();
                self.wish = None;
                self.wished.clear();
                self.running = (!seen.stopped).then_some((size, second));
                return false;
            }
        };
        self.samples.push_back((second, seen));
        let stable = since + self.options.stabilization;
        let first = self.samples.iter().map(|(at, _)| *at).find(|at| *at >= stable);
        if first.is_none_or(|first| second < first + self.options.window) {
            return false;
        }
        while self.samples.front().is_some_and(|(at, _)| *at < second - self.options.window) {
            self.samples.pop_front();
        }
        true
    }

    /// What the samples of the window ask for.
    fn evaluate(&self, size: u32) -> Option<Advice> {
        let (first, last) = (self.samples.front()?, self.samples.back()?);
        let seconds = last.0 - first.0;
        if seconds <= 0.0 {
            return None;
        }
        let options = &self.options;
        let busy = self.samples.iter().map(|(_, seen)| seen.busy).sum::<f64>() / real(self.samples.len());
        let processed = (last.1.position - first.1.position).max(0.0) / seconds;
        let lag = last.1.backlog;
        let target = (processed + (lag - first.1.backlog) / seconds).max(0.0);
        if processed <= 0.0 || busy <= 0.0 {
            // Nothing comes in: an infinite true rate.
            return Some(Advice {
                size: covering(f64::from(size) * (1.0 - MOST_DOWN)).max(1),
                outside: true,
            });
        }
        let rate = processed / busy;
        let behind = lag > BACKLOG * processed;
        let catch_up = lag / options.catch_up;
        let restart = target * options.restart / options.catch_up;
        let capacity = |utilisation: f64, restart: f64| catch_up + restart + target / utilisation;
        let highest = if behind { 1.0 } else { options.highest };
        let up_below = capacity(highest, 0.0);
        let down_above = if behind { f64::INFINITY } else { capacity(options.lowest, restart) };
        let factor = (capacity(options.target, restart) / rate).max(1.0 - MOST_DOWN);
        // A billionth forgives rounding.
        let raw = covering(factor * f64::from(size) - 1e-9).clamp(1, self.most);
        Some(Advice { size: self.aligned(size, raw), outside: rate < up_below || rate > down_above })
    }

    /// Upwards to the first size that divides the partitions or leaves each instance with fewer of them;
    /// never above them, nor back over the present size.
    fn aligned(&self, size: u32, raw: u32) -> u32 {
        let all = self.partitions;
        let end = if raw < size { size } else { all.min(self.most) };
        let fits = |next: &u32| all.is_multiple_of(*next) || all / next < all / raw;
        if all == 0 { raw } else { (raw..=end).find(fits).unwrap_or(raw) }
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
        self.wished.iter().map(|(_, wanted)| *wanted).max().unwrap_or(wanted)
    }
}

impl Rule for Autoscaler {
    fn desired(&mut self, signals: &Signals) -> u32 {
        let size = signals.asked;
        let Some(seen) = signals.seen else { return size };
        if signals.ready != size {
            self.running = None;
            return size;
        }
        // A restart is noticed whenever it happens; metrics are looked at once per reconciliation.
        let is_due = self.looked.is_none_or(|at| signals.second >= at + self.options.every);
        if !is_due && !seen.stopped {
            return size;
        }
        self.looked = Some(signals.second);
        if !self.collect(signals.second, size, seen) {
            return size;
        }
        let Some(advice) = self.evaluate(size) else { return size };
        let wanted = self.delay(signals.second, size, advice.size);
        if advice.outside { wanted } else { size }
    }
}

/// Release 1.6 at a target of 0.35, a window of a minute and two minutes of stabilization: no delay before
/// shrinking, and a tenth on either side of the target.
pub(super) fn of_release_1_6(course: &Course) -> Candidate {
    let options = Options {
        window: 60.0,
        stabilization: 120.0,
        down_interval: 0.0,
        target: 0.35,
        highest: 0.45,
        lowest: 0.25,
        catch_up: 600.0,
        ..DEFAULTS
    };
    Candidate::new("release 1.6, target 0.35", Autoscaler::new(course, options))
}

pub(super) fn grid(course: &Course) -> Vec<Candidate> {
    let stop = course.plant.stop_seconds.max(30.0);
    let mut grid = vec![Candidate::new("defaults", Autoscaler::new(course, DEFAULTS))];
    for (window, stabilization, down_interval) in
        [(60.0, 0.0, 0.0), (60.0, 0.0, 600.0), (180.0, 60.0, 600.0), (300.0, 60.0, 1800.0)]
    {
        for target in [0.6, 0.7, 0.8] {
            let options = Options {
                every: 15.0,
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
            grid.push(Candidate::new(setting, Autoscaler::new(course, options)));
        }
    }
    grid
}

#[cfg(test)]
mod tests {
    use super::super::tests::{snapshot, turn};
    use super::*;
    use crate::fluid::plant::Plant;
    use crate::fluid::trace::Trace;

    const FAST: Options =
        Options { every: 15.0, window: 60.0, stabilization: 0.0, down_interval: 0.0, ..DEFAULTS };

    fn rule(options: Options) -> Autoscaler {
        let plant = Plant { capacity: 100.0, ..Plant::preset("flink").unwrap() };
        let trace = Trace { name: "t".to_owned(), step: 15.0, rates: vec![100.0; 4] };
        Autoscaler::new(&Course::new(&trace, &plant, 1).unwrap(), options)
    }

    /// Holds the same look from second 0 until the answer changes or `until` has come.
    fn settle(rule: &mut Autoscaler, size: u32, seen: Snapshot, until: u32) -> (u32, u32) {
        for second in (0..=until).step_by(15) {
            let position = f64::from(second) * seen.processing_rate;
            let wanted = rule.desired(&turn(f64::from(second), size, Some(Snapshot { position, ..seen })));
            if wanted != size {
                return (second, wanted);
            }
        }
        (until, size)
    }

    #[test]
    fn nothing_is_decided_before_a_full_window_after_the_stabilization() {
        let seen = snapshot(4, 400.0, 1.0, 100_000.0);
        let (second, _) = settle(&mut rule(DEFAULTS), 4, seen, 3600);
        assert_eq!(second, 1200);
        let (second, _) = settle(&mut rule(FAST), 4, seen, 3600);
        assert!((60..=90).contains(&second), "{second}");
    }

    #[test]
    fn the_new_size_covers_load_restart_and_backlog() {
        // 100 records/s a replica, 400 arrive, 90,000 wait:
        // (90,000 / 1800 + 400 x 300 / 1800 + 400 / 0.7) / 400 x 4 = 6.9: 8 of 24 partitions' divisors.
        let (_, wanted) = settle(&mut rule(FAST), 4, snapshot(4, 400.0, 1.0, 90_000.0), 600);
        assert_eq!(wanted, 8);
    }

    #[test]
    fn within_its_band_nothing_moves() {
        // 8 replicas at 0.6: true rate 800, band from 480 to 480 / 0.4 + 80.
        let (_, wanted) = settle(&mut rule(FAST), 8, snapshot(8, 480.0, 0.6, 0.0), 3600);
        assert_eq!(wanted, 8);
    }

    #[test]
    fn sizes_are_aligned_as_balanced_has_it() {
        let rule = rule(DEFAULTS);
        let aligned = |size: u32, raw: u32| rule.aligned(size, raw);
        // 24 / 9 is 2 partitions at least; 12 and 24 divide; 11 leaves no instance with fewer.
        assert_eq!([aligned(4, 7), aligned(4, 9), aligned(4, 13), aligned(4, 5)], [8, 12, 24, 6]);
        // On the way down not back over the present size.
        assert_eq!([aligned(7, 5), aligned(11, 9), aligned(10, 4)], [6, 9, 4]);
    }

    #[test]
    fn a_wish_within_the_band_waits_too_but_moves_nothing() {
        // 10 at 0.45: the target asks for 8, and the band begins at 0.4.
        let seen = snapshot(10, 450.0, 0.45, 0.0);
        assert_eq!(settle(&mut rule(FAST), 10, seen, 7200), (7200, 10));
        let mut rule = rule(DEFAULTS);
        settle(&mut rule, 10, seen, 7200);
        assert!(rule.wish.is_some());
    }

    #[test]
    fn shrinking_waits_for_its_interval() {
        let seen = snapshot(10, 100.0, 0.1, 0.0);
        assert_eq!(settle(&mut rule(FAST), 10, seen, 7200).1, 4);
        let (second, wanted) = settle(&mut rule(DEFAULTS), 10, seen, 7200);
        assert_eq!((second, wanted), (4800, 4));
    }
}
