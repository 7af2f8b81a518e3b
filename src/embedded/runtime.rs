//! What runs in the replicas: what a new one takes to start, what a change of their number stops, and when progress
//! is committed. Figures in seconds.

/// A way of consuming a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runtime {
    /// A consumer group with an eager assignor: every change of its members stops all of them.
    Consumers,
    /// A Flink job that is rescaled in place. Slots are free; all of it stops for a moment, and goes on from the last
    /// checkpoint.
    FlinkJob,
    /// A Structured Streaming query of Spark on a standalone cluster: batches, with a task for each partition. Workers
    /// come and go without a stop.
    SparkQuery,
}

impl Runtime {
    /// In words.
    pub fn what(self) -> &'static str {
        match self {
            Self::Consumers => "Kafka consumers",
            Self::FlinkJob => "a Flink job, in place",
            Self::SparkQuery => "a Spark query's workers",
        }
    }

    /// From asking for a replica until it is ready, at the least and at the most.
    pub fn start(self) -> (i64, i64) {
        match self {
            Self::Consumers => (25, 45),
            Self::FlinkJob => (0, 0),
            Self::SparkQuery => (30, 60),
        }
    }

    /// For how long a change of the replicas stops all of them, at the least and at the most.
    pub fn stop(self) -> (i64, i64) {
        match self {
            Self::Consumers => (15, 30),
            Self::FlinkJob => (1, 4),
            Self::SparkQuery => (0, 0),
        }
    }

    /// From one commit to the next: the automatic commits of Kafka's consumers, checkpoints, triggers.
    pub fn commit_interval(self) -> i64 {
        match self {
            Self::Consumers => 5,
            Self::FlinkJob | Self::SparkQuery => 10,
        }
    }
}
