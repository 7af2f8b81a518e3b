//! A workload as a fluid, so that months take seconds: what arrives ([`course`]), what its replicas process
//! ([`plant`], [`running`]), what is seen of it ([`sight`]), and the engine that decides about it ([`run`]).

pub mod course;
pub mod error;
pub(crate) mod numbers;
pub mod plant;
pub mod run;
pub mod running;
pub mod sight;
pub mod trace;
