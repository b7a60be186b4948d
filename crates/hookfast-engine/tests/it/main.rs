//! The engine against a model of the store's queue and a scripted sink, on paused time.

#![allow(clippy::unwrap_used, reason = "a failed test is how a test speaks")]

mod admission;
mod chaos;
mod failing;
mod fairness;
mod lifecycle;
mod model;
mod rig;
mod sharing;
mod throttling;
mod trouble;
