//! Real servers, the processes behind Pods, and the suite's own eyes.

pub(crate) mod audit;
pub(crate) mod cluster;
pub(crate) mod container;
pub(crate) mod daemon;
pub(crate) mod flink;
pub(crate) mod flink_operator;
pub(crate) mod kafka;
pub(crate) mod keda;
pub(crate) mod kubelet;
pub(crate) mod load;
pub(crate) mod objects;
pub(crate) mod place;
pub(crate) mod probe;
pub(crate) mod process;
pub(crate) mod prometheus;
pub(crate) mod replicas;
pub(crate) mod spark;
pub(crate) mod spark_history;
pub(crate) mod spark_operator;
pub(crate) mod tls;
pub(crate) mod topics;
pub(crate) mod waiting;
pub(crate) mod world;
