//! The job as a whole: what its vertices have and may have beside each other.

use std::collections::BTreeMap;

use super::super::answers::{Bounds, Requirement, Requirements, Vertex};
use super::super::graph::{Cap, Graph, Unit};
use super::super::resource::Overrides;
use super::{Sight, most_of};
use crate::policy::Replicas;

/// How the vertices of a job are moved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Manner {
    /// Names or ids of those that keep their parallelism.
    pub(crate) exclude: Vec<String>,
    /// Whether the others are all given the same.
    pub(crate) uniform: bool,
}

impl Sight {
    /// The job as a graph, by what is asked for its vertices.
    pub(crate) fn graph(&self, manner: &Manner) -> Option<Graph> {
        Some(self.graph_of(manner, &self.requirements.as_ref().ok()?.overrides()))
    }

    /// The same by what they are deployed with.
    pub(crate) fn deployed_graph(&self, manner: &Manner, overrides: &Overrides) -> Graph {
        self.graph_of(manner, &self.deployment(overrides))
    }

    fn graph_of(&self, manner: &Manner, has: &Overrides) -> Graph {
        let mut units: BTreeMap<usize, Vec<&Vertex>> = BTreeMap::new();
        for (vertex, bundle) in self.job.vertices.iter().zip(self.bundles()) {
            units.entry(bundle).or_default().push(vertex);
        }
        let units = units.into_values().map(|vertices| self.unit(manner, has, &vertices)).collect();
        Graph::new(units, manner.uniform)
    }

    /// Which vertices hand their records on one to one, by the place of the first: they keep one parallelism.
    fn bundles(&self) -> Vec<usize> {
        let vertices = &self.job.vertices;
        let place = |id: &str| vertices.iter().position(|vertex| vertex.id == id);
        let mut bundles: Vec<usize> = (0..vertices.len()).collect();
        for (node, input) in self.job.plan.edges().filter(|(_, input)| input.ship_strategy == "FORWARD") {
            let (Some(from), Some(to)) = (place(&input.id), place(&node.id)) else { continue };
            let pair = (bundles.get(from).copied(), bundles.get(to).copied());
            let (Some(one), Some(other)) = pair else { continue };
            let (least, most) = (one.min(other), one.max(other));
            bundles.iter_mut().filter(|bundle| **bundle == most).for_each(|bundle| *bundle = least);
        }
        bundles
    }

    fn unit(&self, manner: &Manner, has: &Overrides, vertices: &[&Vertex]) -> Unit {
        let most = vertices.iter().map(|vertex| most_of(vertex)).min().unwrap_or(1);
        let asked = |vertex: &&Vertex| has.get(&vertex.id).copied().unwrap_or(vertex.parallelism);
        let has = vertices.iter().map(asked).max().unwrap_or(1);
        let is_moved = !vertices.iter().any(|vertex| manner.names(vertex) || self.is_single(vertex));
        let read = vertices.iter().filter_map(|vertex| self.work.partitions.get(&vertex.id)).min().copied();
        let cap = match read.filter(|read| *read < most && !manner.uniform) {
            _ if !is_moved => Cap::Kept(has),
            Some(read) => Cap::Partitions(read),
            None => Cap::MaxParallelism(most),
        };
        let spent = vertices.iter().map(|vertex| self.work.of(&vertex.id));
        let known = !manner.uniform && spent.clone().all(|one| one.tasks().is_some());
        let heaviest = spent
            .filter(|_| known)
            .max_by(|one, other| one.tasks().unwrap_or(0.0).total_cmp(&other.tasks().unwrap_or(0.0)));
        Unit {
            vertices: vertices.iter().map(|vertex| (vertex.id.clone(), vertex.name.clone())).collect(),
            tasks: heaviest.and_then(|one| one.tasks()),
            true_rate: heaviest.and_then(|one| one.true_rate()),
            has,
            most: cap,
            key_groups: vertices.iter().any(|vertex| self.takes(vertex, "HASH")).then_some(most),
            is_source: vertices.iter().any(|vertex| self.is_source(vertex)),
            is_moved,
            group: vertices.first().map(|vertex| vertex.slot_sharing_group_id.clone()).unwrap_or_default(),
        }
    }

    /// Whether more tasks of a vertex would share no work: all records go to one of them, or every record to all.
    fn is_single(&self, vertex: &Vertex) -> bool {
        let mut ways = self.ways(vertex).peekable();
        ways.peek().is_some() && ways.all(|way| way == "GLOBAL" || way == "BROADCAST")
    }

    pub(super) fn takes(&self, vertex: &Vertex, way: &str) -> bool {
        self.ways(vertex).any(|other| other == way)
    }

    fn is_source(&self, vertex: &Vertex) -> bool {
        self.ways(vertex).next().is_none()
    }

    /// How records come to a vertex.
    fn ways<'a>(&'a self, vertex: &'a Vertex) -> impl Iterator<Item = &'a str> {
        let edges = self.job.plan.edges().filter(|(node, _)| node.id == vertex.id);
        edges.map(|(_, input)| input.ship_strategy.as_str())
    }

    /// The scale that is asked for.
    pub(crate) fn scale(&self, manner: &Manner) -> Option<Replicas> {
        self.graph(manner)?.scale().map(Replicas)
    }

    /// How much of the scale that is asked for there is: less while a vertex has less than is asked for it.
    pub(crate) fn present(&self, manner: &Manner) -> Option<Replicas> {
        let graph = self.graph(manner)?;
        let asked = self.requirements.as_ref().ok()?.overrides();
        self.runs_at(graph.scale()?, manner, &asked)
    }

    /// The same of what it is deployed with.
    pub(crate) fn deployed_present(&self, manner: &Manner, overrides: &Overrides) -> Option<Replicas> {
        let scale = self.deployed_graph(manner, overrides).scale()?;
        self.runs_at(scale, manner, &self.deployment(overrides))
    }

    fn runs_at(&self, scale: u32, manner: &Manner, asked: &Overrides) -> Option<Replicas> {
        let runs = |vertex: &Vertex| {
            let asked = asked.get(&vertex.id).copied().unwrap_or(scale).max(1);
            let part = u64::from(scale) * u64::from(vertex.parallelism) / u64::from(asked);
            u32::try_from(part).unwrap_or(u32::MAX)
        };
        let moved = self.job.vertices.iter().filter(|vertex| !manner.names(vertex));
        moved.map(runs).min().map(Replicas)
    }

    /// The scale that the free slots and the job's own allow. `None` where slots are made on demand.
    pub(crate) fn feasible(&self, manner: &Manner) -> Option<Replicas> {
        if self.makes_slots() {
            return None;
        }
        let have = self.slots_in_reach();
        let graph = self.graph(manner)?;
        let (mut fits, mut exceeds) = (0, have.saturating_add(1));
        while exceeds - fits > 1 {
            let half = u32::midpoint(fits, exceeds);
            *(if graph.slots(half) <= have { &mut fits } else { &mut exceeds }) = half;
        }
        Some(Replicas(fits))
    }

    /// Slots that the job has, and those that are free.
    pub(super) fn slots_in_reach(&self) -> u32 {
        let mut groups: BTreeMap<&str, u32> = BTreeMap::new();
        for vertex in &self.job.vertices {
            let widest = groups.entry(&vertex.slot_sharing_group_id).or_default();
            *widest = vertex.parallelism.max(*widest);
        }
        groups.into_values().fold(self.overview.slots_available, u32::saturating_add)
    }

    /// The requirements for a scale. Lower bounds are never raised: a job that insists on more than there is does not
    /// survive the loss of a TaskManager.
    pub(crate) fn wanted(&self, manner: &Manner, scale: Replicas) -> Option<Requirements> {
        let mut asked = self.requirements.as_ref().ok()?.clone();
        for portion in self.graph(manner)?.portions(scale.0).into_iter().filter(|one| one.is_moved) {
            let bounds = &mut asked.0.get_mut(&portion.id)?.parallelism;
            bounds.upper_bound = portion.to;
            bounds.lower_bound = bounds.lower_bound.min(bounds.upper_bound).max(1);
        }
        Some(asked)
    }

    /// The overrides for a scale, as requirements.
    pub(crate) fn redeployed(&self, overrides: &Overrides, manner: &Manner, scale: Replicas) -> Requirements {
        let portions = self.deployed_graph(manner, overrides).portions(scale.0);
        let bounds = |upper_bound| Requirement { parallelism: Bounds { lower_bound: 1, upper_bound } };
        let mut all = self.deployment(overrides);
        all.extend(portions.into_iter().filter(|one| one.is_moved).map(|one| (one.id, one.to)));
        Requirements(all.into_iter().map(|(id, count)| (id, bounds(count))).collect())
    }
}

impl Manner {
    fn names(&self, vertex: &Vertex) -> bool {
        self.exclude.iter().any(|name| *name == vertex.name || *name == vertex.id)
    }
}
