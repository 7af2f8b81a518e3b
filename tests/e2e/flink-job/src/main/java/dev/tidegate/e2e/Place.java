package dev.tidegate.e2e;

import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.consumer.ConsumerRecord;

/** A record as one number made of its place in the topic: the suite's records have no keys. */
final class Place implements KafkaRecordDeserializationSchema<Long> {
    private static final long serialVersionUID = 1;
    private static final long MOST_PARTITIONS = 1000;

    @Override
    public void deserialize(ConsumerRecord<byte[], byte[]> record, Collector<Long> out) {
        out.collect(record.offset() * MOST_PARTITIONS + record.partition());
    }

    @Override
    public TypeInformation<Long> getProducedType() {
        return Types.LONG;
    }
}
