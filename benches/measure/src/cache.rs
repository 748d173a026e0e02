//! What the programs about caches share: their rows, keys, clocks, crowds and children.
//!
//! Whoever is measured gives closures; what is done with them, and when, is the same for all.

mod clock;
mod crowd;
mod figures;
mod hits;
mod invalidate;
mod killed;
mod relatives;
mod stampede;
mod zipf;

pub use self::crowd::crowd;
pub use self::figures::Figures;
pub use self::hits::{Hits, Turn};
pub use self::invalidate::{invalidator, watcher};
pub use self::killed::{FRESH, STALE, Sides, killed};
pub use self::stampede::{Load, stampede, stampeding};
pub use self::zipf::{KEPT, Zipf, zipf};

/// Bytes of a value.
pub const VALUE: usize = 256;

/// How many keys one call of many asks for.
pub const MANY: usize = 100;

/// What `cargo dev bench` asks for.
#[derive(Clone, Debug, clap::Args)]
#[allow(clippy::exhaustive_structs, reason = "made by the programs of this repository alone")]
pub struct Ask {
    /// What to measure
    #[arg(value_enum)]
    pub row: Row,
    /// Redis
    #[arg(long, default_value = "redis://127.0.0.1/")]
    pub url: String,
    /// The process of Redis, in the row that kills it
    #[arg(long)]
    pub redis: Option<i32>,
    /// A tenth of it: a look, not a measurement
    #[arg(long)]
    pub quick: bool,
    /// Started by a program of the same row
    #[arg(long, hide = true)]
    pub child: bool,
}

/// The rows.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
#[allow(clippy::exhaustive_enums, reason = "read by the programs of this repository alone")]
pub enum Row {
    /// Hits in memory, one thread
    #[value(name = "hit-1")]
    HitOne,
    /// Hits in memory, two threads
    #[value(name = "hit-2")]
    HitTwo,
    /// What only Redis has, one by one
    #[value(name = "shared-1")]
    SharedOne,
    /// What only Redis has, 64 tasks
    #[value(name = "shared-64")]
    SharedCrowd,
    /// A hundred keys at once that only Redis has
    #[value(name = "many-100")]
    Many,
    /// A hundred keys at once that nobody has
    #[value(name = "nobody-100")]
    Nobody,
    /// 1,000 tasks in four processes ask for one cold key
    #[value(name = "stampede")]
    Stampede,
    /// A million keys, and memory for a tenth of them
    #[value(name = "zipf")]
    Zipf,
    /// Ended in one process, seen in another
    #[value(name = "invalidate")]
    Invalidate,
    /// Redis is killed
    #[value(name = "redis-killed")]
    RedisKilled,
}

// === impl Ask ===

impl Ask {
    /// So many, or fewer for a look.
    #[must_use]
    pub fn times(&self, full: usize) -> usize {
        if self.quick { full / 10 } else { full }
    }
}

/// The key of this number, as keys look.
#[must_use]
pub fn key(number: usize) -> String {
    format!("user:{number:08}:profile")
}

/// A value, of letters: as long in JSON as it is, but for two quotes.
#[must_use]
pub fn value() -> String {
    "v".repeat(VALUE)
}
