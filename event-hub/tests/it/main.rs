//! The public face, on the memory hub and on a real broker.
#![allow(clippy::unwrap_used, reason = "tests: clippy knows test functions only, not their helpers")]

mod consume;
mod database;
mod faults;
mod inbox;
mod memory;
mod outbox;
mod rabbit;
mod support;
mod topology;
