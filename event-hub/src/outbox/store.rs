//! What the relay needs of a database.

use std::future::Future;

/// A database with an outbox in it.
pub(crate) trait Store: Send {
    type Session: Session;

    /// A session with the exclusive right to send; none while another relay has it.
    fn open(&mut self) -> impl Future<Output = Result<Option<Self::Session>, sqlx::Error>> + Send;
}

/// The right to send. It ends when the session fails or is dropped.
pub(crate) trait Session: Send {
    /// Makes confirmed rows wait again that an earlier life left unsettled; `keep` are this life's own.
    fn reset(&mut self, keep: &[i64]) -> impl Future<Output = Result<u64, sqlx::Error>> + Send;

    /// The oldest rows that may be sent now.
    fn load(&mut self, want: &Wanted<'_>) -> impl Future<Output = Result<Vec<Row>, sqlx::Error>> + Send;

    /// Writes down what became of rows. May be called again with the same changes.
    fn apply(&mut self, changes: &Changes) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Counts the rows.
    fn depth(&mut self) -> impl Future<Output = Result<Depth, sqlx::Error>> + Send;
}

/// Which rows to load. Never «after the last one»: a transaction that commits late has a low number.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) now: i64,
    /// Rows that the relay has already.
    pub(crate) except: &'a [i64],
    /// Keys of which it has enough.
    pub(crate) except_keys: &'a [String],
    pub(crate) limit: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) seq: i64,
    pub(crate) key: Option<String>,
    pub(crate) attempts: u32,
    pub(crate) body: Vec<u8>,
}

#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Nothing of them can be lost: the rows go.
    pub(crate) gone: Vec<i64>,
    /// Confirmed, not yet settled.
    pub(crate) confirmed: Vec<i64>,
    pub(crate) failed: Vec<Failed>,
    /// Cannot be read, with the reason.
    pub(crate) parked: Vec<(i64, String)>,
}

#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) seq: i64,
    pub(crate) due_at: i64,
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
