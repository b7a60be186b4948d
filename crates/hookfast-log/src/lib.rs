//! The log: an optional durable buffer in front of the store. What it promises stands at the ports
//! `hookfast_core::ports::{Log, LogReaders}`. Knows neither the store nor what its records mean.
//!
//! The back-end is Kafka, behind the feature `kafka`.

#[cfg(feature = "kafka")]
pub mod kafka;
