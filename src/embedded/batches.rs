//! Micro-batches: what one takes when its trigger fires is all that may be processed until it is committed.

use super::log::Partition;

/// The batches of one query.
#[derive(Debug, Clone, Default)]
pub struct Batches {
    /// When the batch under way began.
    began: Option<i64>,
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
    /// Seconds that it took; a part of one counts as one.
    pub seconds: i64,
    /// The offset that it ended at, by partition.
    pub offsets: Vec<i64>,
}

impl Batches {
    /// Plans the next batch where the last is done and `triggered`.
    pub fn plan(&mut self, second: i64, triggered: bool, partitions: &mut [Partition]) {
        if !self.running() && triggered {
            self.began = Some(second);
            partitions.iter_mut().for_each(Partition::take_batch);
        }
    }

    /// Commits the batch under way once nothing of it is left.
    pub fn commit(&mut self, second: i64, partitions: &mut [Partition]) {
        let Some(began) = self.began.filter(|_| partitions.iter().all(|partition| partition.open() <= 0))
        else {
            return;
        };
        partitions.iter_mut().for_each(Partition::commit);
        let offsets = partitions.iter().map(Partition::committed).collect();
        let seconds = second - began + 1;
        self.before = self.last.replace(Batch { number: self.next(), second, seconds, offsets });
        self.began = None;
    }

    /// Whether a batch is under way.
    pub fn running(&self) -> bool {
        self.began.is_some()
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
        batches.plan(1, false, &mut partitions);
        assert_eq!((batches.running(), partitions[0].open()), (false, 0));
        batches.plan(2, true, &mut partitions);
        partitions[0].append(7000);
        assert_eq!((partitions[0].open(), partitions[0].backlog()), (5, 12));
        assert_eq!(partitions[0].process(9), 5);
        batches.commit(3, &mut partitions);
        assert_eq!(batches.last(), Some(&Batch { number: 0, second: 3, seconds: 2, offsets: vec![5] }));
        assert_eq!((batches.next(), partitions[0].committed(), partitions[0].open()), (1, 5, 0));
    }
}
