package dev.tidegate.e2e;

import java.util.concurrent.locks.LockSupport;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.functions.RichMapFunction;
import org.apache.flink.api.common.state.ListState;
import org.apache.flink.api.common.state.ListStateDescriptor;
import org.apache.flink.runtime.state.FunctionInitializationContext;
import org.apache.flink.runtime.state.FunctionSnapshotContext;
import org.apache.flink.streaming.api.checkpoint.CheckpointedFunction;

/**
 * Takes its time for each record, and counts. The counts are state: however the job is restarted and rescaled,
 * the gauge {@code counted} summed over the subtasks is the number of records processed, no more and no less.
 */
final class Work extends RichMapFunction<Long, Long> implements CheckpointedFunction {
    private static final long serialVersionUID = 1;
    /** Shorter waits than this are not exact: they are owed. */
    private static final long LEAST_WAIT = 1_000_000;

    private final long cost;
    private transient long owed;
    private transient long counted;
    private transient ListState<Long> counts;

    Work(long microseconds) {
        cost = microseconds * 1000;
    }

    @Override
    public void open(OpenContext context) {
        getRuntimeContext().getMetricGroup().gauge("counted", () -> counted);
    }

    @Override
    public Long map(Long record) {
        owed += cost;
        if (owed >= LEAST_WAIT) {
            long begin = System.nanoTime();
            LockSupport.parkNanos(owed);
            owed -= System.nanoTime() - begin;
        }
        counted++;
        return record;
    }

    @Override
    public void initializeState(FunctionInitializationContext context) throws Exception {
        counts = context.getOperatorStateStore().getListState(new ListStateDescriptor<>("counts", Long.class));
        for (long count : counts.get()) {
            counted += count;
        }
    }

    @Override
    public void snapshotState(FunctionSnapshotContext context) throws Exception {
        counts.clear();
        counts.add(counted);
    }
}
