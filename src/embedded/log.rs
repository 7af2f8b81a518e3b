//! One partition: its log with a time index, and how far the group has come.

use std::collections::VecDeque;

/// Seconds that the time index reaches back. No backlog of the demo gets near it.
const REACH: usize = 6 * 3600;

/// One partition of a topic.
#[derive(Debug, Clone)]
pub struct Partition {
    /// Millionths of the topic's records.
    share: i64,
    /// Thousandths of a record that have not made up a whole one yet.
    carry: i64,
    /// The end offset after every second from `first` on: the broker's time index.
    ends: VecDeque<i64>,
    first: i64,
    /// Offset of the next record to process: the truth, which only its consumer knows.
    position: i64,
    /// Offset of the next record to process, as committed.
    committed: i64,
    /// Where the batch under way ends, or the last one did; `None` where there are no batches.
    until: Option<i64>,
    /// The second at which the record at `position` arrived, once there is one.
    oldest: i64,
}

impl Partition {
    /// An empty partition that gets `share` millionths of its topic's records.
    pub fn new(share: i64) -> Self {
        Self {
            share,
            carry: 0,
            ends: VecDeque::from([0]),
            first: 0,
            position: 0,
            committed: 0,
            until: None,
            oldest: 0,
        }
    }

    /// Millionths of the topic's records.
    pub fn share(&self) -> i64 {
        self.share
    }

    /// Appends one second's worth of `milli` thousandths of a record.
    pub fn append(&mut self, milli: i64) {
        self.carry += milli;
        let whole = self.carry / 1000;
        self.carry -= whole * 1000;
        self.ends.push_back(self.end() + whole);
        if self.ends.len() > REACH {
            self.ends.pop_front();
            self.first += 1;
        }
    }

    /// End offset.
    pub fn end(&self) -> i64 {
        self.ends.back().copied().unwrap_or(0)
    }

    /// The end offset as it was after `second`.
    pub fn end_at(&self, second: i64) -> i64 {
        let index = usize::try_from(second - self.first).unwrap_or(0);
        self.ends.get(index).copied().unwrap_or_else(|| self.end())
    }

    /// The second in which the record at `offset` arrived; `None` where it has not.
    pub fn arrived_at(&self, offset: i64) -> Option<i64> {
        let before = self.ends.partition_point(|end| *end <= offset);
        (before < self.ends.len()).then(|| self.first + i64::try_from(before).unwrap_or(i64::MAX))
    }

    /// Offset of the next record to process, as committed.
    pub fn committed(&self) -> i64 {
        self.committed
    }

    /// Offset of the next record to process.
    pub fn position(&self) -> i64 {
        self.position
    }

    /// Records that nobody has processed.
    pub fn backlog(&self) -> i64 {
        self.end() - self.position
    }

    /// Those of them that may be processed now.
    pub fn open(&self) -> i64 {
        self.until.unwrap_or_else(|| self.end()) - self.position
    }

    /// Works in batches from here on; none is under way.
    pub fn wait_for_batch(&mut self) {
        self.until = Some(self.position);
    }

    /// Takes all that is there into the next batch.
    pub fn take_batch(&mut self) {
        self.until = Some(self.end());
    }

    /// Processes up to `records` and says how many there were.
    pub fn process(&mut self, records: i64) -> i64 {
        let done = records.clamp(0, self.open());
        self.position += done;
        done
    }

    /// Commits what was processed.
    pub fn commit(&mut self) {
        self.committed = self.position;
    }

    /// Goes back to what was committed: what was processed since is processed again.
    pub fn rewind(&mut self, now: i64) {
        self.position = self.committed;
        self.oldest = self.arrived_at(self.position).unwrap_or(now);
    }

    /// Seconds since the oldest unprocessed record arrived, at `now`; 0 without one.
    pub fn age(&mut self, now: i64) -> i64 {
        if self.backlog() == 0 {
            self.oldest = now;
            return 0;
        }
        self.oldest = self.oldest.max(self.first);
        while self.oldest < now && self.end_at(self.oldest) <= self.position {
            self.oldest += 1;
        }
        now - self.oldest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ten_a_second(seconds: i64) -> Partition {
        let mut partition = Partition::new(1_000_000);
        for _ in 0..seconds {
            partition.append(10_000);
        }
        partition
    }

    #[test]
    fn the_time_index_tells_when_a_record_arrived() {
        let partition = ten_a_second(60);
        assert_eq!(partition.end(), 600);
        assert_eq!(partition.end_at(30), 300);
        assert_eq!(partition.arrived_at(0), Some(1));
        assert_eq!(partition.arrived_at(299), Some(30));
        assert_eq!(partition.arrived_at(300), Some(31));
        assert_eq!(partition.arrived_at(600), None);
    }

    #[test]
    fn the_age_is_that_of_the_oldest_unprocessed_record() {
        let mut partition = ten_a_second(60);
        assert_eq!(partition.age(60), 59);
        assert_eq!(partition.process(300), 300);
        assert_eq!(partition.age(60), 29);
        assert_eq!(partition.process(1000), 300);
        assert_eq!(partition.age(60), 0);
        assert_eq!((partition.committed(), partition.backlog()), (0, 0));
    }

    #[test]
    fn fractions_of_a_record_are_not_lost() {
        let mut partition = Partition::new(1);
        for _ in 0..1000 {
            partition.append(333);
        }
        assert_eq!(partition.end(), 333);
    }

    #[test]
    fn the_index_forgets_the_far_past_and_stays_right() {
        let seconds = i64::try_from(REACH).unwrap() + 500;
        let mut partition = ten_a_second(seconds);
        partition.process(partition.end() - 5);
        assert_eq!(partition.age(seconds), 0);
        assert_eq!(partition.arrived_at(partition.end() - 100), Some(seconds - 9));
    }
}
