//! What every vertex of a job is to have where the one that binds is given so much: pure.
//!
//! A job is moved by one number, its scale: the parallelism of the vertex that takes the most of its tasks' time, of
//! those that may be moved. The others follow in proportion to what they take.

use std::collections::BTreeMap;

use crate::policy::Replicas;

/// The share of its time that a task of a lighter vertex may take beside a task of the widest one: slots share a
/// processor, and one that does the work of two holds up all the others.
const BESIDE: f64 = 0.15;
/// The same where it has slots of its own: what is measured of it may be a little off.
const ALONE: f64 = 0.85;
/// A vertex that takes so much of what the heaviest one takes binds with it.
const BINDS: f64 = 0.8;
/// So much more parallelism is worth an even distribution of keys.
const EVEN: f64 = 1.1;

/// A vertex, or several that hand their records on one to one and therefore keep the same parallelism.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Unit {
    /// Ids and names of the vertices.
    pub(super) vertices: Vec<(String, String)>,
    /// Tasks' worth of time that the heaviest of them takes; `None` is unknown.
    pub(super) tasks: Option<f64>,
    /// Records that one task processes in a second that it is busy.
    pub(super) true_rate: Option<f64>,
    /// The parallelism that is asked for it.
    pub(super) has: u32,
    /// What can take part in its work: maxParallelism, or the partitions of a source.
    pub(super) most: Cap,
    /// Key groups, where its records are distributed by key.
    pub(super) key_groups: Option<u32>,
    /// Whether records come into the job here.
    pub(super) is_source: bool,
    /// Whether it may be given another parallelism, and shares its work among its tasks.
    pub(super) is_moved: bool,
    /// Its slot sharing group.
    pub(super) group: String,
}

/// The most parallelism of a vertex, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cap {
    /// State has so many key groups.
    MaxParallelism(u32),
    /// A source has so many partitions.
    Partitions(u32),
    /// It is excluded, or all of its records go to one task or to every task.
    Kept(u32),
}

impl Cap {
    pub(super) fn most(self) -> u32 {
        let (Self::MaxParallelism(most) | Self::Partitions(most) | Self::Kept(most)) = self;
        most.max(1)
    }
}

impl std::fmt::Display for Cap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::MaxParallelism(most) => write!(f, "maxParallelism is {most}"),
            Self::Partitions(most) => write!(f, "there are {most} partitions"),
            Self::Kept(most) => write!(f, "it keeps {most}"),
        }
    }
}

/// What the work of the vertices that bind is divided into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Division {
    /// As the sources' partitions.
    Partitions,
    /// So many key groups.
    KeyGroups(u32),
    /// Any parallelism shares it evenly.
    Even,
}

/// What one vertex is to have.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Portion {
    /// The vertex's id.
    pub(crate) id: String,
    /// Its name.
    pub(crate) name: String,
    /// What is asked for it now.
    pub(crate) from: u32,
    /// What it is to have.
    pub(crate) to: u32,
    /// Whether it is moved at all.
    pub(crate) is_moved: bool,
    /// Why, in words.
    pub(crate) why: String,
}

/// All of a job.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Graph {
    units: Vec<Unit>,
    uniform: bool,
    /// Tasks' worth of time that the heaviest vertex takes of those that are moved, where that is known.
    heaviest: Option<f64>,
    /// The scale that is asked for.
    scale: Option<u32>,
    /// By slot sharing group, what its heaviest vertex takes; infinite where that is not known.
    groups: BTreeMap<String, f64>,
}

impl Graph {
    pub(super) fn new(units: Vec<Unit>, uniform: bool) -> Self {
        let moved = units.iter().filter(|unit| unit.is_moved);
        let heaviest = moved.clone().filter_map(|unit| unit.tasks).reduce(f64::max);
        let scale = moved.map(|unit| unit.has).max();
        let mut groups: BTreeMap<String, f64> = BTreeMap::new();
        for unit in &units {
            let widest = groups.entry(unit.group.clone()).or_default();
            *widest = unit.tasks.unwrap_or(f64::INFINITY).max(*widest);
        }
        Self { units, uniform, heaviest, scale, groups }
    }

    /// What a unit takes of what the heaviest one takes. `None` is unknown.
    fn share(&self, unit: &Unit) -> Option<f64> {
        Some(unit.tasks? / self.heaviest?)
    }

    /// The scale that is asked for.
    pub(crate) fn scale(&self) -> Option<u32> {
        self.scale
    }

    /// What the job's work is divided into: as for the coarsest of the vertices that bind, or of all while that is
    /// not known.
    pub(crate) fn division(&self) -> Division {
        let binds = |unit: &&Unit| unit.is_moved && self.share(unit).is_none_or(|share| share >= BINDS);
        let mut binding = self.units.iter().filter(binds);
        if self.heaviest.is_none() || binding.clone().any(|unit| unit.is_source) {
            return Division::Partitions;
        }
        let keyed = binding.by_ref().filter_map(|unit| unit.key_groups).min();
        keyed.map_or(Division::Even, Division::KeyGroups)
    }

    /// What the vertex is called that takes the most of its tasks' time, of those that are moved.
    pub(crate) fn binding(&self) -> Option<String> {
        let moved = self.units.iter().filter(|unit| unit.is_moved);
        let share = |unit: &Unit| unit.tasks.unwrap_or(0.0);
        let heaviest = moved.max_by(|one, other| share(one).total_cmp(&share(other)))?;
        self.heaviest.map(|_| heaviest.named())
    }

    /// The largest scale that every vertex can follow, and the vertex that can follow no further, with the reason.
    /// Where it is not known what a vertex takes, it takes as much as any, unless the job already goes beyond it.
    pub(crate) fn most(&self) -> Option<(u32, String, Cap)> {
        let scale = self.scale?;
        let caps = self.units.iter().filter_map(|unit| {
            let most = f64::from(unit.most.most());
            let follows = match (self.share(unit), unit.most) {
                (Some(share), Cap::Kept(_)) => whole((most / share).ceil()),
                (Some(share), _) => whole(most / share),
                (None, Cap::MaxParallelism(most)) if most >= scale => most,
                (None, _) => return None,
            };
            Some((follows.max(1), unit))
        });
        let (most, unit) = caps.min_by_key(|(follows, _)| *follows)?;
        Some((most, unit.named(), unit.most))
    }

    /// What a unit is to have at a scale, and why.
    fn portion(&self, unit: &Unit, scale: u32) -> (u32, String) {
        if !unit.is_moved {
            return (unit.has, unit.most.to_string());
        }
        let most = unit.most.most();
        let (wanted, why) = match self.share(unit) {
            _ if self.uniform => (scale, "as all of them".to_owned()),
            None => (scale, "what it takes is not known yet".to_owned()),
            Some(share) if share >= 1.0 => (scale, "it binds".to_owned()),
            Some(share) => {
                let widest =
                    self.groups.get(&unit.group).is_none_or(|most| unit.tasks.is_some_and(|it| it >= *most));
                let busy = if widest { ALONE } else { BESIDE };
                let fair = whole((f64::from(scale) * share / busy).ceil()).clamp(1, scale.max(1));
                let fair = unit.key_groups.map_or(fair, |groups| aligned(fair, groups).min(scale));
                (fair, format!("it takes {:.0} % of what binds", 100.0 * share))
            }
        };
        // On the way up nobody gets less.
        let floor = if self.scale.is_some_and(|now| scale >= now) { unit.has } else { 1 };
        let to = wanted.max(floor).min(most);
        if to < wanted { (to, unit.most.to_string()) } else { (to, why) }
    }

    /// What every vertex is to have at a scale.
    pub(crate) fn portions(&self, scale: u32) -> Vec<Portion> {
        let of = |unit: &Unit| -> Vec<Portion> {
            let (to, why) = self.portion(unit, scale);
            let one = |(id, name): &(String, String)| Portion {
                id: id.clone(),
                name: name.clone(),
                from: unit.has,
                to,
                is_moved: unit.is_moved,
                why: why.clone(),
            };
            unit.vertices.iter().map(one).collect()
        };
        self.units.iter().flat_map(of).collect()
    }

    /// Slots that a scale takes: every slot sharing group as many as its widest vertex has tasks.
    pub(crate) fn slots(&self, scale: u32) -> u32 {
        let mut groups: BTreeMap<&str, u32> = BTreeMap::new();
        for unit in &self.units {
            let widest = groups.entry(&unit.group).or_default();
            *widest = self.portion(unit, scale).0.max(*widest);
        }
        groups.values().copied().fold(0, u32::saturating_add)
    }

    /// Whether a scale takes as many slots: all vertices share them.
    pub(crate) fn is_one_group(&self) -> bool {
        self.groups.len() == 1
    }

    /// What is known of the vertices, in words, the one that binds first.
    pub(crate) fn words(&self) -> Option<String> {
        self.heaviest?;
        let mut known: Vec<(f64, &Unit)> =
            self.units.iter().filter_map(|unit| Some((self.share(unit)?, unit))).collect();
        known.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        let one = |(share, unit): &(f64, &Unit)| {
            let rate = unit.true_rate.unwrap_or_default();
            format!("{} {:.0} % ({rate:.0} records per busy second)", unit.named(), 100.0 * share)
        };
        let all: Vec<String> = known.iter().map(one).collect();
        Some(format!("of the time that the vertex takes which binds: {}", all.join(", ")))
    }
}

impl Unit {
    fn named(&self) -> String {
        let names: Vec<&str> = self.vertices.iter().map(|(_, name)| name.as_str()).collect();
        names.join(" => ")
    }
}

/// The least parallelism from `count` on at which the busiest task has fewer of the key groups, where that costs
/// little; `count` otherwise.
fn aligned(count: u32, groups: u32) -> u32 {
    let share = groups.div_ceil(count.max(1));
    if share <= 1 || groups.is_multiple_of(count.max(1)) {
        return count;
    }
    let next = groups.div_ceil(share - 1);
    if f64::from(next) <= EVEN * f64::from(count) { next } else { count }
}

/// A count that is not negative, rounded down.
fn whole(value: f64) -> u32 {
    Replicas::covering(value.floor()).map_or(u32::MAX, |count| count.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(name: &str, has: u32, tasks: Option<f64>) -> Unit {
        Unit {
            vertices: vec![(name.to_owned(), name.to_owned())],
            tasks,
            true_rate: tasks.map(|_| 100.0),
            has,
            most: Cap::MaxParallelism(120),
            key_groups: None,
            is_source: false,
            is_moved: true,
            group: "all".to_owned(),
        }
    }

    fn source(has: u32, tasks: Option<f64>, partitions: u32) -> Unit {
        Unit { most: Cap::Partitions(partitions), is_source: true, ..unit("source", has, tasks) }
    }

    fn plan(units: &[Unit], scale: u32) -> Vec<u32> {
        Graph::new(units.to_vec(), false).portions(scale).iter().map(|portion| portion.to).collect()
    }

    #[test]
    fn light_vertices_follow_in_proportion_and_what_is_not_known_is_as_wide_as_any() {
        let work = unit("work", 2, Some(4.0));
        let light = unit("sink", 2, Some(0.2));
        assert_eq!(plan(&[work.clone(), light.clone()], 30), [30, 10], "5 % each of a third of the slots");
        assert_eq!(plan(&[work.clone(), unit("sink", 2, None)], 30), [30, 30]);
        assert_eq!(
            plan(&[work.clone(), Unit { has: 20, ..light.clone() }], 30),
            [30, 20],
            "nobody gets less on the way up"
        );
        let down = [Unit { has: 40, ..work.clone() }, Unit { has: 40, ..light.clone() }];
        assert_eq!(plan(&down, 30), [30, 10]);
        let apart = Unit { group: "own".to_owned(), ..light };
        assert_eq!(plan(&[work.clone(), apart], 40), [40, 3], "slots of its own are filled");
        let uniform = Graph::new(down.to_vec(), true);
        assert!(uniform.portions(30).iter().all(|portion| portion.to == 30));
        for scale in 1..120 {
            let (less, more) = (plan(&down, scale), plan(&down, scale + 1));
            assert!(less.iter().zip(&more).all(|(less, more)| less <= more), "{less:?} {more:?}");
        }
    }

    #[test]
    fn nobody_gets_more_than_can_share_its_work() {
        let units = [source(2, None, 4), unit("work", 2, None)];
        assert_eq!(plan(&units, 15), [4, 15], "a source has no use for more than its partitions");
        let kept = Unit { is_moved: false, most: Cap::Kept(3), ..unit("window", 3, Some(1.0)) };
        assert_eq!(plan(&[kept, unit("work", 2, Some(4.0))], 15), [3, 15]);
        let many = unit("work", 2, Some(4.0));
        assert_eq!(plan(&[many], 500), [120]);
    }

    /// A bottleneck that cannot be widened binds all of the job, whichever end of it it is at.
    #[test]
    fn the_vertex_that_can_follow_no_further_is_the_limit() {
        let most = |units: &[Unit]| {
            let (scale, name, cap) = Graph::new(units.to_vec(), false).most().unwrap();
            (scale, name, cap.to_string())
        };
        let work = || unit("work", 8, Some(4.0));
        let sink = Unit { is_moved: false, most: Cap::Kept(2), ..unit("sink", 2, Some(1.0)) };
        assert_eq!(most(&[work(), sink.clone()]), (8, "sink".to_owned(), "it keeps 2".to_owned()));
        assert_eq!(
            most(&[work(), source(4, Some(2.0), 12)]),
            (24, "source".to_owned(), "there are 12 partitions".to_owned())
        );
        assert_eq!(
            most(&[work(), source(4, Some(0.1), 12)]),
            (120, "work".to_owned(), "maxParallelism is 120".to_owned())
        );
        let unknown = Unit { tasks: None, ..sink };
        assert_eq!(most(&[work(), unknown]).0, 120, "what it takes is not known, and not all of it");
        let single = Unit { most: Cap::MaxParallelism(1), ..unit("single", 1, None) };
        assert_eq!(most(&[work(), single.clone()]).0, 120, "the job goes beyond it already");
        assert_eq!(most(&[work(), Unit { tasks: Some(0.5), ..single }]).0, 8, "an eighth of the heaviest");
    }

    #[test]
    fn the_work_is_divided_as_that_of_the_vertices_that_bind() {
        let division = |units: &[Unit]| Graph::new(units.to_vec(), false).division();
        let keyed = |tasks| Unit { key_groups: Some(120), ..unit("work", 2, tasks) };
        assert_eq!(division(&[source(2, Some(0.1), 4), keyed(Some(4.0))]), Division::KeyGroups(120));
        assert_eq!(division(&[source(2, Some(3.5), 4), keyed(Some(4.0))]), Division::Partitions);
        assert_eq!(division(&[source(2, None, 4), keyed(Some(4.0))]), Division::Partitions, "not known");
        assert_eq!(division(&[source(2, None, 4), keyed(None)]), Division::Partitions);
        assert_eq!(division(&[source(2, Some(0.1), 4), unit("work", 2, Some(4.0))]), Division::Even);
    }

    #[test]
    fn slots_are_those_of_the_widest_vertex_of_every_group() {
        let apart = Unit { group: "own".to_owned(), ..unit("sink", 2, Some(0.4)) };
        let graph = Graph::new(vec![unit("work", 2, Some(4.0)), unit("map", 2, Some(0.2)), apart], false);
        assert_eq!((graph.slots(10), graph.slots(0)), (10 + 2, 1 + 1));
    }

    #[test]
    fn keys_are_spread_evenly_where_that_costs_little() {
        for (count, groups, aligned_to) in [
            (58, 120, 60),
            (50, 120, 50),
            (60, 120, 60),
            (119, 120, 120),
            (9, 120, 9),
            (12, 128, 13),
            (1, 1, 1),
        ] {
            assert_eq!(aligned(count, groups), aligned_to, "{count} of {groups}");
        }
    }
}
