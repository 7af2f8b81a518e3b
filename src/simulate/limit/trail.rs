//! The changes of size that lead to each label, as a tree that is pruned while it grows.

/// A place in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Node(usize);

#[derive(Debug, Clone, Copy)]
struct Change {
    step: usize,
    replicas: u32,
    before: Option<Node>,
}

/// The tree.
#[derive(Debug, Default)]
pub(super) struct Trail {
    changes: Vec<Change>,
    /// What was left by the last pruning.
    alive: usize,
}

impl Trail {
    /// Writes a change down.
    pub(super) fn add(&mut self, step: usize, replicas: u32, before: Option<Node>) -> Node {
        self.changes.push(Change { step, replicas, before });
        Node(self.changes.len() - 1)
    }

    /// Whether pruning is worth its while.
    pub(super) fn is_long(&self) -> bool {
        self.changes.len() > 2 * self.alive + 100_000
    }

    /// Drops all that does not lead to one of the nodes, which are given their new places.
    pub(super) fn prune<'a>(&mut self, nodes: impl Iterator<Item = &'a mut Node>) {
        let nodes: Vec<&mut Node> = nodes.collect();
        let mut used = vec![false; self.changes.len()];
        for node in &nodes {
            let mut next = Some(**node);
            while let Some(Node(place)) = next {
                match used.get_mut(place) {
                    Some(seen) if !*seen => *seen = true,
                    _ => break,
                }
                next = self.changes.get(place).and_then(|change| change.before);
            }
        }
        // Parents lie before their children, so they have moved already.
        let mut places = vec![0; self.changes.len()];
        let mut kept: Vec<Change> = Vec::new();
        for ((change, used), place) in self.changes.iter().zip(&used).zip(0..) {
            if *used {
                if let Some(moved) = places.get_mut(place) {
                    *moved = kept.len();
                }
                let before = change.before.and_then(|Node(place)| places.get(place).copied()).map(Node);
                kept.push(Change { before, ..*change });
            }
        }
        for node in nodes {
            node.0 = places.get(node.0).copied().unwrap_or(0);
        }
        self.alive = kept.len();
        self.changes = kept;
    }

    /// Steps and sizes on the way to a node, oldest first.
    pub(super) fn path(&self, to: Node) -> Vec<(usize, u32)> {
        let mut path = Vec::new();
        let mut next = Some(to);
        while let Some(change) = next.and_then(|Node(place)| self.changes.get(place)) {
            path.push((change.step, change.replicas));
            next = change.before;
        }
        path.reverse();
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pruning_keeps_the_ways_that_are_asked_for() {
        let mut trail = Trail::default();
        let root = trail.add(0, 1, None);
        let dead = trail.add(1, 2, Some(root));
        let mut left = trail.add(2, 3, Some(root));
        trail.add(3, 4, Some(dead));
        let mut right = trail.add(4, 5, Some(left));
        trail.prune([&mut left, &mut right].into_iter());
        assert_eq!(trail.changes.len(), 3);
        assert_eq!(trail.path(left), [(0, 1), (2, 3)]);
        assert_eq!(trail.path(right), [(0, 1), (2, 3), (4, 5)]);
    }
}
