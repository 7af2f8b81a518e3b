//! Pareto sets of labels: what it has cost to get to a size with a backlog.

use super::trail::Node;

/// One way to get to a size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Label {
    /// Records that wait.
    pub(super) backlog: f64,
    /// What it has cost, in replica-hours.
    pub(super) cost: f64,
    /// The latest change of size that is written down.
    pub(super) node: Node,
    /// The step of a change since then, which is written down once the label is known to survive.
    pub(super) changed: Option<usize>,
}

/// By rising backlog and strictly falling cost: none is worse in both than another.
pub(super) type Labels = Vec<Label>;

/// Whether a backlog counts as equal to a lesser one. Buckets of equal width up to a thousand of them, and
/// then of equal ratio: how far a hopeless backlog lies beyond the objective matters little.
fn is_same(less: f64, more: f64, bucket: f64) -> bool {
    const EVEN: f64 = 1000.0;
    let place = |backlog: f64| {
        let place = backlog / bucket;
        if place <= EVEN { place.floor() } else { (EVEN * (1.0 + (place / EVEN).ln())).floor() }
    };
    more <= less || (bucket > 0.0 && less > 0.0 && place(less) >= place(more))
}

/// Adds `label`, which has no less backlog than those before it, where it costs less than they do. Of
/// several within one `bucket` of records only the cheapest stays; 0: all stay.
fn add(labels: &mut Labels, label: Label, bucket: f64) {
    if let Some(last) = labels.last_mut() {
        if label.cost >= last.cost - 1e-12 {
            return;
        }
        if is_same(last.backlog, label.backlog, bucket) {
            *last = label;
            return;
        }
    }
    labels.push(label);
}

/// Two sets made one, in `into`.
pub(super) fn merge(left: &[Label], right: &[Label], bucket: f64, into: &mut Labels) {
    into.clear();
    let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
    loop {
        let next = match (left.peek(), right.peek()) {
            (Some(a), Some(b)) if a.backlog <= b.backlog => left.next(),
            (_, Some(_)) => right.next(),
            (Some(_), None) => left.next(),
            (None, None) => return,
        };
        if let Some(label) = next {
            add(into, *label, bucket);
        }
    }
}

/// Changes every label without changing their order of backlogs, and drops those that are worse now.
pub(super) fn advance(labels: &mut Labels, bucket: f64, change: impl Fn(&mut Label)) {
    let mut kept: usize = 0;
    for index in 0..labels.len() {
        let Some(mut label) = labels.get(index).copied() else { break };
        change(&mut label);
        // In place: what is kept never overtakes what is read.
        let last = kept.checked_sub(1).and_then(|last| labels.get(last).copied());
        let slot = match last {
            Some(last) if label.cost >= last.cost - 1e-12 => continue,
            Some(last) if is_same(last.backlog, label.backlog, bucket) => kept - 1,
            _ => {
                kept += 1;
                kept - 1
            }
        };
        if let Some(place) = labels.get_mut(slot) {
            *place = label;
        }
    }
    labels.truncate(kept);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(f64, f64)]) -> Labels {
        let node = Node::default();
        pairs
            .iter()
            .map(|(backlog, cost)| Label { backlog: *backlog, cost: *cost, node, changed: None })
            .collect()
    }

    fn pairs(labels: &Labels) -> Vec<(u32, u32)> {
        let whole = |value: f64| crate::policy::Replicas::covering(value).unwrap().0;
        labels.iter().map(|label| (whole(label.backlog), whole(label.cost))).collect()
    }

    #[test]
    fn merging_keeps_what_nothing_else_beats() {
        let mut merged = Labels::new();
        let left = labels(&[(0.0, 9.0), (5.0, 6.0), (8.0, 1.0)]);
        let right = labels(&[(0.0, 8.0), (4.0, 7.0), (6.0, 6.0), (9.0, 0.0)]);
        merge(&left, &right, 0.0, &mut merged);
        assert_eq!(pairs(&merged), [(0, 8), (4, 7), (5, 6), (8, 1), (9, 0)]);
        merge(&left, &right, 10.0, &mut merged);
        assert_eq!(pairs(&merged), [(0, 8), (9, 0)]);
    }

    #[test]
    fn buckets_widen_with_the_backlog() {
        assert!(is_same(3.1, 3.9, 1.0) && !is_same(3.9, 4.1, 1.0) && !is_same(0.0, 0.1, 1.0));
        assert!(is_same(100_000.0, 100_001.0, 1.0) && !is_same(100_000.0, 100_200.0, 1.0));
        assert!(is_same(5.0, 5.0, 0.0) && !is_same(5.0, 5.1, 0.0));
    }

    #[test]
    fn advancing_drops_what_has_become_worse() {
        let mut set = labels(&[(0.0, 9.0), (5.0, 6.0), (8.0, 5.0)]);
        advance(&mut set, 0.0, |label| label.backlog = (label.backlog - 5.0).max(0.0));
        assert_eq!(pairs(&set), [(0, 6), (3, 5)]);
        advance(&mut set, 0.0, |label| label.cost += label.backlog);
        assert_eq!(pairs(&set), [(0, 6)]);
    }
}
