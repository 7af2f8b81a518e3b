//! Micro-batches: what one takes when its trigger fires is all that may be processed until it is committed.

use super::log::Partition;

/// The batches of one query.
#[derive(Debug, Clone, Default)]
pub struct Batches {
    running: bool,
    last: Option<Batch>,
    before: Option<Batch>,
}

/// A batch that was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Its number, from 0 on.
    pub number: u64,
    /// When it was committed.
    pub second: i64,
    /// The offset that it ended at, by partition.
    pub offsets: Vec<i64>,
}

impl Batches {
    /// Plans the next batch where the last is done and `triggered`.
    pub fn plan(&mut self, triggered: bool, partitions: &mut [Partition]) {
        if !self.running && triggered {
            self.running = true;
            partitions.iter_mut().for_each(Partition::take_batch);
        }
    }

    /// Commits the batch under way once nothing of it is left.
    pub fn commit(&mut self, second: i64, partitions: &mut [Partition]) {
        if !self.running || partitions.iter().any(|partition| partition.open() > 0) {
            return;
        }
        partitions.iter_mut().for_each(Partition::commit);
        let offsets = partitions.iter().map(Partition::committed).collect();
        self.before = self.last.replace(Batch { number: self.next(), second, offsets });
        self.running = false;
    }

    /// Whether a batch is under way.
    pub fn running(&self) -> bool {
        self.running
    }

    /// The number of the batch under way, or of the next.
    pub fn next(&self) -> u64 {
        self.last.as_ref().map_or(0, |last| last.number + 1)
    }

    /// The last batch that was committed.
    pub fn last(&self) -> Option<&Batch> {
        self.last.as_ref()
    }

    /// The one before the last.
    pub fn before(&self) -> Option<&Batch> {
        self.before.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_during_a_batch_is_for_the_next() {
        let mut partitions = [Partition::new(1_000_000)];
        let mut batches = Batches::default();
        partitions[0].wait_for_batch();
        partitions[0].append(5000);
        batches.plan(false, &mut partitions);
        assert_eq!((batches.running(), partitions[0].open()), (false, 0));
        batches.plan(true, &mut partitions);
        partitions[0].append(7000);
        assert_eq!((partitions[0].open(), partitions[0].backlog()), (5, 12));
        assert_eq!(partitions[0].process(9), 5);
        batches.commit(3, &mut partitions);
        assert_eq!(batches.last(), Some(&Batch { number: 0, second: 3, offsets: vec![5] }));
        assert_eq!((batches.next(), partitions[0].committed(), partitions[0].open()), (1, 5, 0));
    }
}
