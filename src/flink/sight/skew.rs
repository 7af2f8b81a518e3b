//! Tasks of one vertex that are busier than the others: the busiest one bounds what all of them can do.

use super::{Sight, most_of};
use crate::flink::answers::{Spread, Vertex};

/// Milliseconds of a second that tasks must be busy on average: of idle ones it says little which is the idlest.
const BUSY_FROM: f64 = 100.0;
/// So many times what even keys would bring about is more than chance.
const UNEVEN: f64 = 1.05;
/// So much is worth a word.
const TOLD: f64 = 1.2;

/// How many times as busy as all tasks on average the busiest one is. Both come from the same gauge
/// (`busyTimeMsPerSecond`, over the last minute). `None` where it cannot be told.
pub(in crate::flink) fn skew(told: &Spread) -> Option<f64> {
    let (most, mean) = (told.max?, told.avg.filter(|mean| *mean >= BUSY_FROM)?);
    Some((most / mean).max(1.0))
}

impl Sight {
    /// How many times as busy as it would be if its work lay evenly in key groups or partitions the busiest task of a
    /// vertex is: 1 where that is next to nothing, or not known. What whole groups and partitions bring about is left
    /// out, for other sizes divide them otherwise.
    pub(super) fn unevenness(&self, vertex: &Vertex) -> f64 {
        let parts = if self.takes(vertex, "HASH") {
            Some(most_of(vertex))
        } else {
            self.work.partitions.get(&vertex.id).copied()
        };
        let tasks = vertex.parallelism.max(1);
        let whole = parts
            .filter(|parts| *parts > 0)
            .map_or(1.0, |parts| f64::from(parts.div_ceil(tasks)) * f64::from(tasks) / f64::from(parts));
        let beyond = self.skews.get(&vertex.id).map_or(1.0, |skew| skew / whole);
        if beyond >= UNEVEN { beyond } else { 1.0 }
    }

    /// Vertices whose busiest task is much busier than the others, in words.
    pub(crate) fn uneven(&self) -> Option<String> {
        let one = |vertex: &Vertex| {
            let beyond = self.unevenness(vertex);
            let told = format!("its busiest task of {} has {beyond:.1} times its share", vertex.parallelism);
            (beyond >= TOLD).then(|| format!("{}: {told}", vertex.name))
        };
        let all: Vec<String> = self.job.vertices.iter().filter_map(one).collect();
        (!all.is_empty()).then(|| {
            format!(
                "keys lie unevenly, and a size counts as what keeps the busiest task up: {}",
                all.join(", ")
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{recorded, sight};
    use super::*;

    fn told(max: f64, avg: f64) -> Spread {
        Spread { max: Some(max), avg: Some(avg) }
    }

    #[test]
    fn both_lines_tell_how_busy_the_busiest_task_is() {
        for line in ["1.20", "2.2"] {
            let told: Vec<Spread> = recorded(line, "busy");
            let skew = skew(&told[0]).unwrap();
            assert!((1.0..1.3).contains(&skew), "{line}: {skew}, of keys that lie evenly");
        }
        assert_eq!(skew(&told(90.0, 30.0)), None, "hardly busy");
        assert_eq!(skew(&told(1000.0, 400.0)), Some(2.5));
        assert_eq!(skew(&Spread { max: None, avg: Some(400.0) }), None, "unknown is not even");
    }

    /// A hot key: the tasks are busy for 40 % of the time together, and one of them always.
    #[test]
    fn the_busiest_task_of_a_vertex_bounds_what_it_can_do() {
        let before = sight("2.2", "job");
        let mut after = before.later([100.0, 400.0]);
        let work = after.job.vertices[1].id.clone();
        let busy = |after: &Sight| format!("{:.2}", after.busy_since(&before).unwrap().0);
        assert_eq!(busy(&after), "0.40");
        assert_eq!(after.uneven(), None);
        after.skews = [(work.clone(), 1.6)].into();
        assert_eq!(busy(&after), "0.64");
        let words = after.uneven().unwrap();
        assert!(
            words.ends_with("work -> sink: Writer: its busiest task of 2 has 1.6 times its share"),
            "{words}"
        );
        after.skews = [(work.clone(), 4.0)].into();
        assert_eq!(busy(&after), "1.00", "no more than always");
        after.skews = [(work.clone(), 1.04)].into();
        assert_eq!(busy(&after), "0.40", "that is chance");
        after.skews = [(work.clone(), 1.1)].into();
        assert_eq!((busy(&after).as_str(), after.uneven()), ("0.44", None), "counted, and not worth a word");
        // 80 tasks on 120 key groups: some have two, others one. That is no skew of the keys.
        after.job.vertices[1].parallelism = 80;
        after.skews = [(work, 4.0 / 3.0)].into();
        assert_eq!(after.uneven(), None);
    }
}
