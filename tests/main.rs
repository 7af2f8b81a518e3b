//! t

mod policy;
