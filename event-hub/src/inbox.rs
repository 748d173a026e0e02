//! Marks of handled events, written in the transaction of their effect.
//!
//! Delivery is at least once; `record` makes it one effect. Call it first in the handler's transaction: it
//! answers whether this consumer sees the event for the first time. When it does not, acknowledge and do
//! nothing. When the transaction is rolled back the mark goes with it, and the next delivery is a first one.
//!
//! Two counters tell of it: `event_hub.inbox.repeated` (label `consumer`), events that `record` knew, and
//! `event_hub.inbox.pruned`, marks that were removed.
//!
//! Marks are kept for [`RETENTION`] and removed with `prune`; `run` does so for as long as a service lives.

#[cfg(any(feature = "postgres", feature = "sqlite"))]
use std::future::Future;
use std::time::Duration;

#[cfg(any(feature = "postgres", feature = "sqlite"))]
use crate::error::Error;

#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "sqlite")]
pub mod sqlite;

/// How long marks are to be kept.
///
/// Seven days: longer than every retry. A redrive leaves letters that are older, unless it is told that no effect
/// hangs on the inbox (`RedriveConfig::max_age`).
pub const RETENTION: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How often to prune.
///
/// An hour: marks are kept for a week, and one that stays an hour longer costs nothing.
pub const PRUNE_EVERY: Duration = Duration::from_secs(60 * 60);

/// How many marks one statement removes: a long delete would hold up the handlers.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
const BATCH: i64 = 1_000;

/// The time before which marks go.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
fn cutoff(retention: Duration) -> i64 {
    let micros = i64::try_from(retention.as_micros()).unwrap_or(i64::MAX);
    jiff::Timestamp::now().as_microsecond().saturating_sub(micros)
}

/// Counts an answer of `record`, which it gives back.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
fn first_time(consumer: &str, rows: u64) -> bool {
    let first = rows == 1;
    if !first {
        metrics::counter!("event_hub.inbox.repeated", "consumer" => consumer.to_owned()).increment(1);
    }
    first
}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
fn pruned(rows: u64) {
    metrics::counter!("event_hub.inbox.pruned").increment(rows);
}

/// Prunes every `every` until `shutdown`; the first time after a drawn part of it, so that replicas that start
/// together do not all prune at once, and one that is restarted often prunes at all.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
async fn run<F>(prune: impl Fn() -> F + Send, every: Duration, shutdown: impl Future<Output = ()> + Send)
where
    F: Future<Output = Result<u64, Error>> + Send,
{
    // One second: a zero would prune without an end.
    let every = every.max(Duration::from_secs(1));
    let mut pause = every.mul_f64(rand::random_range(0.0..1.0));
    let work = async {
        loop {
            tokio::time::sleep(pause).await;
            pause = every;
            match prune().await {
                Ok(0) => {}
                Ok(removed) => tracing::debug!(removed, "the inbox was pruned"),
                Err(error) => {
                    tracing::warn!(%error, cause = ?std::error::Error::source(&error), "the inbox was not pruned");
                }
            }
        }
    };
    tokio::select! {
        biased;
        () = shutdown => {}
        () = work => {}
    }
}
