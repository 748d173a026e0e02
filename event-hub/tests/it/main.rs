//! The public face, on the memory hub and on a real broker.
#![allow(clippy::unwrap_used, reason = "tests: clippy knows test functions only, not their helpers")]

#[cfg(feature = "cli")]
mod cli;
mod consume;
mod database;
mod dead_letters;
mod faults;
mod foreign;
mod guide;
mod harness;
mod inbox;
mod memory;
mod outbox;
mod rabbit;
mod recovery;
mod redis;
mod support;
mod telemetry;
mod topology;
mod truth;
