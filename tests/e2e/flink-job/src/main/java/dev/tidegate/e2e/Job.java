package dev.tidegate.e2e;

import java.util.HashMap;
import java.util.Map;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink;
import org.apache.kafka.clients.consumer.OffsetResetStrategy;

/**
 * Kafka, a shuffle by key, work that takes its time, and a count that survives every restart.
 *
 * <p>Arguments in pairs: {@code --bootstrap}, {@code --topic}, {@code --group}, {@code --name}, {@code --cost}
 * (microseconds a record), {@code --checkpoint} (milliseconds between checkpoints), {@code --max-parallelism}.
 */
public final class Job {
    private static final int KEYS = 6000;

    private Job() {}

    /** One of {@link #KEYS} keys, well mixed: neighbours in a partition have nothing in common. */
    static int key(long place) {
        return (int) Long.remainderUnsigned((place * 0x9E3779B97F4A7C15L) >>> 20, KEYS);
    }

    public static void main(String[] arguments) throws Exception {
        Map<String, String> options = new HashMap<>();
        for (int at = 0; at + 1 < arguments.length; at += 2) {
            options.put(arguments[at].substring(2), arguments[at + 1]);
        }
        StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment();
        env.enableCheckpointing(Long.parseLong(options.getOrDefault("checkpoint", "2000")));
        env.setMaxParallelism(Integer.parseInt(options.getOrDefault("max-parallelism", "120")));
        KafkaSource<Long> source =
                KafkaSource.<Long>builder()
                        .setBootstrapServers(options.get("bootstrap"))
                        .setTopics(options.get("topic"))
                        .setGroupId(options.get("group"))
                        .setStartingOffsets(OffsetsInitializer.committedOffsets(OffsetResetStrategy.EARLIEST))
                        .setDeserializer(new Place())
                        .build();
        env.fromSource(source, WatermarkStrategy.noWatermarks(), "orders")
                .uid("source")
                .keyBy(Job::key)
                .map(new Work(Long.parseLong(options.getOrDefault("cost", "5000"))))
                .name("work")
                .uid("work")
                .sinkTo(new DiscardingSink<>())
                .name("sink")
                .uid("sink");
        env.execute(options.getOrDefault("name", "job"));
    }
}
