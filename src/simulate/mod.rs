//! The same daemon without a cluster: an embedded simulated Kafka and Kubernetes with a fast clock.
