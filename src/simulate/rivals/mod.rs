//! The rules in use elsewhere, re-implemented from their documentation and code, one file each.
//!
//! Every rule runs at its defaults and at the best of a small grid of settings, so that it is not beaten
//! for want of care. What a rule needs to know of a replica's capacity it is told exactly.

mod dataflow;
mod dataproc;
mod ds2;
mod flink;
mod hpa;
mod hpa_cpu;
mod keda_lag;
mod managed_flink;
mod panw;
mod spark_dynamic;
mod spark_streaming;
mod static_peak;

use crate::fluid::course::Course;
use crate::fluid::sight::Snapshot;

/// What a rule sees at one turn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Signals {
    /// Seconds since the start.
    pub second: f64,
    /// Replicas asked for.
    pub asked: u32,
    /// Replicas that are ready.
    pub ready: u32,
    /// What its metrics say; `None` where they do not answer.
    pub seen: Option<Snapshot>,
}

/// A rule that sizes a workload.
pub trait Rule: std::fmt::Debug {
    /// The replicas to ask for; the plant keeps them within its bounds.
    fn desired(&mut self, signals: &Signals) -> u32;
}

/// A rule with one choice of its settings.
#[derive(Debug)]
pub struct Candidate {
    /// The settings, in words.
    pub setting: String,
    /// The rule, before its first turn.
    pub rule: Box<dyn Rule>,
}

impl Candidate {
    fn new(setting: impl Into<String>, rule: impl Rule + 'static) -> Self {
        Self { setting: setting.into(), rule: Box::new(rule) }
    }
}

/// One of the rules.
#[derive(Debug, Clone, Copy)]
pub struct Rival {
    /// Its name in reports.
    pub name: &'static str,
    /// Its grid for a course; the first are its defaults.
    pub grid: fn(&Course) -> Vec<Candidate>,
}

/// All of them, in the order of reports.
pub const RIVALS: [Rival; 11] = [
    Rival { name: "static-peak", grid: static_peak::grid },
    Rival { name: "hpa-cpu", grid: hpa_cpu::grid },
    Rival { name: "keda-lag", grid: keda_lag::grid },
    Rival { name: "flink-autoscaler", grid: flink::grid },
    Rival { name: "ds2", grid: ds2::grid },
    Rival { name: "dataflow", grid: dataflow::grid },
    Rival { name: "dataproc", grid: dataproc::grid },
    Rival { name: "palo-alto", grid: panw::grid },
    Rival { name: "managed-flink", grid: managed_flink::grid },
    Rival { name: "spark-streaming", grid: spark_streaming::grid },
    Rival { name: "spark-dynamic-allocation", grid: spark_dynamic::grid },
];

/// The two rules of the measured runs that [`super::validity`] holds the plant against: an HPA on CPU at 35 %, and the
/// operator's autoscaler of its release 1.6, at a target of 0.35, as those runs had it.
pub(super) fn measured(course: &Course) -> [Candidate; 2] {
    [hpa_cpu::at(course, 0.35, 300.0), flink::of_release_1_6(course)]
}

/// The least whole number of replicas that covers a share.
fn covering(share: f64) -> u32 {
    crate::policy::Replicas::covering(share).map_or(u32::MAX, |replicas| replicas.0)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A turn at which `ready` replicas are all there is.
    pub(crate) fn turn(second: f64, ready: u32, seen: Option<Snapshot>) -> Signals {
        Signals { second, asked: ready, ready, seen }
    }

    /// What is seen of replicas that process `rate` with so much backlog.
    pub(crate) fn snapshot(members: u32, rate: f64, busy: f64, backlog: f64) -> Snapshot {
        Snapshot {
            step: 1,
            position: 0.0,
            backlog,
            arrival_rate: rate,
            processing_rate: rate,
            busy,
            stopped: false,
            members,
        }
    }

    #[test]
    fn names_are_unique() {
        let mut names = RIVALS.map(|rival| rival.name);
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
