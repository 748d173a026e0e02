//! What the relay needs of a database.

use std::future::Future;

use crate::outbox::parts::Parts;
use crate::outbox::shares::View;

/// A database with an outbox in it.
pub(crate) trait Store: Send {
    type Session: Session;

    /// A session that may have partitions; none while a relay of another kind has the whole outbox.
    fn open(&mut self) -> impl Future<Output = Result<Option<Self::Session>, sqlx::Error>> + Send;
}

/// The right to send some partitions. It ends when the session fails or is dropped.
pub(crate) trait Session: Send {
    /// Who has what, while this session shares the work.
    fn view(&mut self) -> impl Future<Output = Result<View, sqlx::Error>> + Send;

    /// Takes those of `parts` that are still free. Confirmed rows in them that an earlier owner left unsettled
    /// wait again, but for `keep`, which are this relay's own.
    fn take(&mut self, parts: Parts, keep: &[i64])
    -> impl Future<Output = Result<Taken, sqlx::Error>> + Send;

    /// Gives partitions back, and tells the others.
    fn give(&mut self, parts: Parts) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Does not share the work any more: what it has still is its own, and counts for no share.
    fn retire(&mut self) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Rows that may be sent now.
    fn load(&mut self, want: &Wanted<'_>) -> impl Future<Output = Result<Vec<Row>, sqlx::Error>> + Send;

    /// Writes down what became of rows. May be called again with the same changes.
    fn apply(&mut self, changes: &Changes) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Counts the rows of the whole outbox, each state up to `limit`.
    fn depth(&mut self, limit: i64) -> impl Future<Output = Result<Depth, sqlx::Error>> + Send;

    /// Removes up to `limit` rows that were sent before `before`.
    fn prune(&mut self, before: i64, limit: i64) -> impl Future<Output = Result<u64, sqlx::Error>> + Send;
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Taken {
    pub(crate) parts: Parts,
    /// How many rows wait again.
    pub(crate) again: u64,
}

/// Which rows to load. Never «after the last one»: a transaction that commits late has a low number.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) now: i64,
    /// Where to look, in this order, and at which key to begin in each.
    pub(crate) from: &'a [(u8, String)],
    /// Rows that the relay has already.
    pub(crate) except: &'a [i64],
    /// Keys of which it has enough.
    pub(crate) except_keys: &'a [String],
    /// How many rows of one key.
    pub(crate) lane: i64,
    /// How many rows with a key.
    pub(crate) keyed: i64,
    /// How many rows without one, of each partition.
    pub(crate) keyless: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) seq: i64,
    pub(crate) part: u8,
    pub(crate) key: Option<String>,
    pub(crate) body: Vec<u8>,
    pub(crate) created_at: i64,
    /// Failures of any kind.
    pub(crate) attempts: u32,
    /// Those that were the hub's refusal of this event, and when the first was; 0: never.
    pub(crate) refused: u32,
    pub(crate) refused_since: i64,
}

#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Nothing of them can be lost: the rows go.
    pub(crate) gone: Vec<i64>,
    /// Confirmed, not yet settled.
    pub(crate) confirmed: Vec<i64>,
    pub(crate) failed: Vec<Failed>,
    /// Put aside, with the reason.
    pub(crate) parked: Vec<(i64, String)>,
}

#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) seq: i64,
    pub(crate) due_at: i64,
    pub(crate) refused: u32,
    pub(crate) refused_since: i64,
    pub(crate) error: String,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Depth {
    pub(crate) waiting: i64,
    pub(crate) unsettled: i64,
    pub(crate) parked: i64,
    /// When the oldest row that waits was written.
    pub(crate) oldest: Option<i64>,
}

// === impl Changes ===

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        self.gone.is_empty() && self.confirmed.is_empty() && self.failed.is_empty() && self.parked.is_empty()
    }
}

/// The clock of the table: microseconds since the epoch.
pub(crate) fn now() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}
