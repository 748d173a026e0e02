//! Rows that were put aside, for people to look at.

use jiff::Timestamp;

/// A row that no relay sends: it is no event, or the hub refused it too often.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Parked {
    /// Its number: what [`Selection::Rows`] names it by, and the cursor of the next page.
    pub row: i64,
    /// The id of its event, as it was enqueued.
    pub event_id: String,
    /// The key that it had its order in.
    pub key: Option<String>,
    /// Why it was put aside.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was enqueued.
    pub enqueued_at: Timestamp,
    /// The event as JSON, if it is that.
    pub body: Vec<u8>,
}

/// Which parked rows.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Selection<'a> {
    /// All that are parked now.
    All,
    /// Those with these numbers; others among them are passed over.
    Rows(&'a [i64]),
}

/// The most rows of one page.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) const MAX_PAGE: u32 = 1_000;

// === impl Parked ===

#[cfg(any(feature = "postgres", feature = "sqlite"))]
impl Parked {
    pub(crate) fn enqueued_at(micros: i64) -> Timestamp {
        // What no clock can have written is shown as the epoch, not refused: the rest of the row is worth seeing.
        Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}
