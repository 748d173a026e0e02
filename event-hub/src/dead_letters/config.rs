//! Settings of draining and redriving, with the reason beside each default.

use std::time::Duration;

use crate::inbox::RETENTION;

/// How letters are taken out of their queue.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DrainConfig {
    /// The name that the broker's lists and the health show. Default `dead-letters`.
    pub name: String,
    /// How many letters may be out of the queue and not stored yet. Default 200: two batches.
    pub prefetch: u16,
    /// How many letters one transaction stores. Default 100: more gain little, and one that fails is tried alone.
    pub batch: usize,
    /// Ends when the queue is empty, instead of waiting for more. Letters that the database refuses are tried a few
    /// times, and go back into the queue at the end, see [`Drained::held`](crate::dead_letters::Drained::held).
    /// Default false.
    pub until_empty: bool,
    /// The first pause after the store failed; it doubles, and the upper half of each is drawn. Default 200 ms.
    pub first_pause: Duration,
    /// The bound of the pauses. Default 30 s: a store that is back is found soon, and costs nothing meanwhile.
    pub max_pause: Duration,
    /// How long a letter that cannot be stored is held before it goes to the end of its queue, so that the others
    /// get their turn. Default 10 min, a third of the broker's own patience with a consumer.
    pub hold: Duration,
}

/// How letters are sent back.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RedriveConfig {
    /// How many letters a second. Default 100: whoever has just recovered shall not be drowned.
    pub per_second: f64,
    /// For how long a letter is this redrive's alone; after a crash others must wait it out. At least three times
    /// the hub's `publish_timeout` counts. Default 1 min.
    pub lease: Duration,
    /// Letters that failed longer ago stay, with that as their reason.
    ///
    /// The default is the inbox's [`RETENTION`], seven days: an event that had its effect before it died, as after
    /// crashes between commit and acknowledgement, is known to an inbox for so long, and would have it again later.
    /// None sends them all: for handlers whose effects do not depend on an inbox.
    pub max_age: Option<Duration>,
}

// === impl DrainConfig ===

impl Default for DrainConfig {
    fn default() -> Self {
        Self {
            name: "dead-letters".to_owned(),
            prefetch: 200,
            batch: 100,
            until_empty: false,
            first_pause: Duration::from_millis(200),
            max_pause: Duration::from_secs(30),
            hold: Duration::from_mins(10),
        }
    }
}

// === impl RedriveConfig ===

impl Default for RedriveConfig {
    fn default() -> Self {
        Self { per_second: 100.0, lease: Duration::from_mins(1), max_age: Some(RETENTION) }
    }
}
