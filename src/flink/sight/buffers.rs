//! What a job's sources have read and nobody has processed yet: it stands in the buffers between the vertices.

use super::Sight;

impl Sight {
    /// Records of the sources that stand between vertices: what the vertex before has written, less what the one after
    /// has read. Told of edges that are the one way out of a vertex and the one way into the next; counted in records of
    /// the sources, by what the vertex makes of them. `None` while any counter is incomplete.
    ///
    /// Buffers hold megabytes: with small records that is many seconds of input, which a source's own position passes
    /// over, and which a checkpoint has to get through before anything is committed.
    pub(crate) fn under_way(&self) -> Option<u64> {
        let metrics =
            |id: &str| self.job.vertices.iter().find(|vertex| vertex.id == id).map(|one| one.metrics);
        let mut read: u64 = 0;
        for source in self.job.plan.nodes.iter().filter(|node| node.inputs.is_empty()) {
            let told = metrics(&source.id)?;
            if !told.are_complete() {
                return None;
            }
            // Older lines do not count what a source reads.
            let records = if told.read_records > 0 { told.read_records } else { told.write_records };
            read = read.saturating_add(records);
        }
        let ways_out = |id: &str| self.job.plan.edges().filter(|(_, input)| input.id == id).count();
        let mut waiting: u64 = 0;
        for (node, input) in self.job.plan.edges() {
            if node.inputs.len() != 1 || ways_out(&input.id) != 1 {
                continue;
            }
            let (from, to) = (metrics(&input.id)?, metrics(&node.id)?);
            if !from.are_complete() || !to.are_complete() {
                return None;
            }
            let stands = u128::from(from.write_records.saturating_sub(to.read_records));
            let of_sources = (stands * u128::from(read)).checked_div(u128::from(from.write_records));
            waiting = waiting.saturating_add(u64::try_from(of_sources.unwrap_or(0)).ok()?);
        }
        Some(waiting)
    }

    /// What of it every partition that the sources read has part in, taken as equal.
    pub(super) fn under_way_each(&self) -> i64 {
        let partitions = u64::try_from(self.positions.len()).unwrap_or(u64::MAX);
        let each = self.under_way().and_then(|waiting| waiting.checked_div(partitions));
        each.and_then(|each| i64::try_from(each).ok()).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::sight;
    use super::*;

    /// A job whose source has written so many records, of which the vertex after it has read so many.
    fn job(line: &str, written: u64, read: u64) -> Sight {
        let mut sight = sight(line, "job");
        let source = sight.job.plan.nodes.iter().find(|node| node.inputs.is_empty()).unwrap().id.clone();
        for vertex in &mut sight.job.vertices {
            if vertex.id == source {
                vertex.metrics.read_records = written;
                vertex.metrics.write_records = written;
            } else {
                vertex.metrics.read_records = read;
            }
        }
        sight
    }

    #[test]
    fn what_stands_in_buffers_is_not_processed() {
        for line in ["1.20", "2.2"] {
            let (through, stuck) = (job(line, 5000, 5000), job(line, 5000, 1000));
            assert_eq!((through.under_way(), stuck.under_way()), (Some(0), Some(4000)), "{line}");
            let read = through.position("orders", 0).unwrap();
            assert_eq!(stuck.position("orders", 0), Some(read - 4000 / 4), "four partitions: {line}");
        }
    }

    #[test]
    fn incomplete_counters_tell_nothing_of_it() {
        let stuck = job("2.2", 5000, 1000);
        let position = job("2.2", 5000, 5000).position("orders", 0);
        let silent = stuck.without_counters();
        assert_eq!((silent.under_way(), silent.position("orders", 0)), (None, position));
    }

    #[test]
    fn what_stands_is_counted_in_records_of_the_source() {
        let mut sight = job("2.2", 5000, 1000);
        let source = sight.job.plan.nodes.iter().find(|node| node.inputs.is_empty()).unwrap().id.clone();
        let vertex = sight.job.vertices.iter_mut().find(|vertex| vertex.id == source).unwrap();
        vertex.metrics.read_records = 500;
        vertex.metrics.write_records = 5000;
        assert_eq!(sight.under_way(), Some(400), "its chain makes ten of each");
        let vertex = sight.job.vertices.iter_mut().find(|vertex| vertex.id == source).unwrap();
        vertex.metrics.read_records = 50_000;
        assert_eq!(sight.under_way(), Some(40_000), "its chain keeps one of ten");
    }
}
