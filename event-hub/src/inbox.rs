//! Marks of handled events, written in the transaction of their effect.
//!
//! Delivery is at least once; `record` makes it one effect. Call it first in the handler's transaction: it
//! answers whether this consumer sees the event for the first time. When it does not, acknowledge and do
//! nothing. When the transaction is rolled back the mark goes with it, and the next delivery is a first one.
//!
//! Marks are kept for [`RETENTION`] and removed with `prune`.

use std::time::Duration;

#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "sqlite")]
pub mod sqlite;

/// How long marks are to be kept.
///
/// Seven days: longer than every retry, and than a dead letter lies before someone sends it again.
pub const RETENTION: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How many marks one statement removes: a long delete would hold up the handlers.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
const BATCH: i64 = 1_000;

/// The time before which marks go.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
fn cutoff(retention: Duration) -> i64 {
    let micros = i64::try_from(retention.as_micros()).unwrap_or(i64::MAX);
    jiff::Timestamp::now().as_microsecond().saturating_sub(micros)
}
