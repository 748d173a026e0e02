//! What all load programs have in common: their command line, their clocks and their report.
//!
//! A load program runs one row of the table for one client, on queues that stand ready, and prints one line
//! of JSON. `cargo dev bench` starts the programs in turns and compares the lines. What a program does before
//! its measured section (connecting, opening channels) is not in its figures.

mod args;
#[cfg(feature = "cache")]
pub mod cache;
mod latency;
mod meter;
mod report;
pub mod truth;

pub use crate::args::{Args, Style};
pub use crate::latency::Latency;
pub use crate::meter::Meter;
pub use crate::report::{Percentiles, Report, Wrong};

/// The exchange that every program publishes to.
pub const EXCHANGE: &str = "bench.events";

/// The key that every program publishes with, which is the type of our events.
pub const KEY: &str = "bench.order.placed";

/// A key that leads nowhere.
pub const NOWHERE: &str = "bench.order.lost";

/// The size of every body, in bytes.
pub const BODY: usize = 256;
