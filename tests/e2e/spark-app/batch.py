"""A batch that is run several times in a row: what the end-to-end suite's history server remembers.

    batch.py NAME FIRST RUNS TASKS TASK_MS

Run number N is an application of its own called NAME-N, with an id and an event log of its own. It has one stage of
TASKS tasks that take TASK_MS each, and then one of a single task.
"""

import sys

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

NAME = sys.argv[1]
FIRST, RUNS, TASKS, TASK_MS = map(int, sys.argv[2:6])

for number in range(FIRST, FIRST + RUNS):
    spark = SparkSession.builder.appName("%s-%d" % (NAME, number)).getOrCreate()
    pause = "java_method('java.lang.Thread', 'sleep', %dL) AS pause" % TASK_MS
    rows = spark.range(0, TASKS, 1, TASKS).selectExpr("id % 2 AS key", pause)
    rows.groupBy("key").agg(F.count("pause")).collect()
    spark.stop()
