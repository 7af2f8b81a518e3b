"""A Structured Streaming query over Kafka that takes a fixed time per record: what the end-to-end suite runs
on its Spark clusters.

    app.py NAME BOOTSTRAP TOPIC CHECKPOINT COUNTS COST_MS TRIGGER MOST_PER_BATCH COUNTED_BY

TRIGGER is a number of seconds, or `asap`. Counted by `executors`, a batch has a shuffle; counted by the `driver`, it
has one stage with a task for each partition. The time is slept in the executors' JVM: it needs a core of Spark's
and none of this machine's. Each batch leaves a file `COUNTS/BATCH.json` with the offsets that it processed of
every partition, written once or over itself when a batch is run again: so the files together say exactly what
was processed, and how often. What Spark says of each batch is a line of `COUNTS/progress.jsonl`.
"""

import json
import os
import sys

from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming import StreamingQueryListener

NAME, BOOTSTRAP, TOPIC, CHECKPOINT, COUNTS, COST_MS, TRIGGER, MOST, COUNTED_BY = sys.argv[1:10]


class Progress(StreamingQueryListener):
    def onQueryStarted(self, event):
        pass

    def onQueryProgress(self, event):
        with open(os.path.join(COUNTS, "progress.jsonl"), "a") as file:
            file.write(json.dumps(json.loads(event.progress.json)) + "\n")

    def onQueryIdle(self, event):
        pass

    def onQueryTerminated(self, event):
        pass


def count(batch, number):
    pause = "java_method('java.lang.Thread', 'sleep', %dL)" % int(COST_MS)
    rows = batch.selectExpr("partition", "offset", pause + " AS pause")
    if COUNTED_BY == "executors":
        rows = rows.groupBy("partition")
        rows = rows.agg(F.count(F.lit(1)), F.min("offset"), F.max("offset"), F.count("pause")).collect()
    else:
        offsets = {}
        for row in rows.collect():
            offsets.setdefault(row[0], []).append(row[1])
        rows = [(partition, len(all), min(all), max(all)) for partition, all in offsets.items()]
    done = [{"partition": row[0], "records": row[1], "first": row[2], "last": row[3]} for row in rows]
    fresh = os.path.join(COUNTS, ".%d.tmp" % number)
    with open(fresh, "w") as file:
        json.dump(done, file)
    os.replace(fresh, os.path.join(COUNTS, "%d.json" % number))


os.makedirs(COUNTS, exist_ok=True)
spark = SparkSession.builder.getOrCreate()
spark.streams.addListener(Progress())
records = (
    spark.readStream.format("kafka")
    .option("kafka.bootstrap.servers", BOOTSTRAP)
    .option("subscribe", TOPIC)
    .option("startingOffsets", "earliest")
    .option("maxOffsetsPerTrigger", MOST)
    .load()
)
query = records.writeStream.queryName(NAME).foreachBatch(count).option("checkpointLocation", CHECKPOINT)
if TRIGGER != "asap":
    query = query.trigger(processingTime=TRIGGER + " seconds")
query.start().awaitTermination()
