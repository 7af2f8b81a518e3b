#!/usr/bin/env bash
# conf.sh FOLDER PORT [RPC-PORT]: a Flink configuration for loopback, small memory and quick answers; everything that the
# servers write goes below FOLDER. It suits both lines. A JobManager fetches the metrics of all TaskManagers at once and
# fetches none until each of them has answered or web.timeout is over: ten minutes of silence after the loss of one,
# unless it is told otherwise.
set -euo pipefail
cat <<E
jobmanager.rpc.address: 127.0.0.1
jobmanager.rpc.port: ${3:-$(($2 + 1))}
jobmanager.bind-host: 127.0.0.1
rest.address: 127.0.0.1
rest.bind-address: 127.0.0.1
rest.port: $2
rest.bind-port: $2
taskmanager.host: 127.0.0.1
taskmanager.bind-host: 127.0.0.1
io.tmp.dirs: $1/tmp
web.tmpdir: $1/tmp
blob.storage.directory: $1/tmp
jobmanager.scheduler: adaptive
taskmanager.cpu.cores: 1
taskmanager.memory.framework.heap.size: 64m
taskmanager.memory.task.heap.size: 96m
taskmanager.memory.framework.off-heap.size: 32m
taskmanager.memory.task.off-heap.size: 0m
taskmanager.memory.managed.size: 0m
taskmanager.memory.network.min: 32m
taskmanager.memory.network.max: 32m
taskmanager.memory.segment-size: 4kb
taskmanager.memory.jvm-metaspace.size: 160m
taskmanager.memory.jvm-overhead.min: 64m
taskmanager.memory.jvm-overhead.max: 64m
state.backend.type: hashmap
execution.checkpointing.dir: file://$1/checkpoints
state.checkpoints.dir: file://$1/checkpoints
state.savepoints.dir: file://$1/savepoints
cluster.registration.error-delay: 500
heartbeat.interval: 2000
heartbeat.timeout: 8000
restart-strategy.type: fixed-delay
restart-strategy.fixed-delay.attempts: 2147483647
restart-strategy.fixed-delay.delay: 1 s
metrics.fetcher.update-interval: 1000
web.adaptive-scheduler.rescale-history.size: 20
web.timeout: 5000
web.upload.dir: $1/upload
jobmanager.adaptive-scheduler.executing.cooldown-after-rescaling: 2 s
jobmanager.adaptive-scheduler.executing.resource-stabilization-timeout: 2 s
jobmanager.adaptive-scheduler.rescale-trigger.max-delay: 2 s
jobmanager.adaptive-scheduler.scaling-interval.min: 2 s
E
