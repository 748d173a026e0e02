//! The journal: what the application writes in the same transaction as a session's change.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use jiff::Timestamp;

use crate::error::BoxError;
use crate::session::{Reason, SessionView, User};

/// Writes what must be true exactly when a session's change is: events in an outbox, activity rows.
///
/// An error rolls the change back, so a journal can also refuse one: for example a sign-in whose
/// account was suspended a moment ago.
pub trait Journal: Send + Sync + 'static {
    /// Called inside the transaction of each change, before its commit.
    fn record<'a>(
        &'a self,
        conn: Conn<'a>,
        change: &'a SessionChange,
    ) -> impl Future<Output = Result<(), BoxError>> + Send + 'a;
}

/// The connection whose transaction the change is written in.
#[non_exhaustive]
pub enum Conn<'a> {
    /// The memory store has none: record as you like.
    Memory,
    /// PostgreSQL.
    #[cfg(feature = "postgres")]
    Postgres(&'a mut sqlx::PgConnection),
    /// SQLite.
    #[cfg(feature = "sqlite")]
    Sqlite(&'a mut sqlx::SqliteConnection),
    #[doc(hidden)]
    #[cfg(not(any(feature = "postgres", feature = "sqlite")))]
    Never(std::convert::Infallible, std::marker::PhantomData<&'a ()>),
}

/// A change of a session.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SessionChange {
    /// Someone signed in.
    #[non_exhaustive]
    Opened {
        /// The new session.
        session: SessionView,
        /// Its user.
        user: User,
    },
    /// The refresh token was rotated.
    #[non_exhaustive]
    Refreshed {
        /// The session, as it is now.
        session: SessionView,
        /// Its user, as looked up for this refresh.
        user: User,
    },
    /// The session ended.
    #[non_exhaustive]
    Revoked {
        /// The session, as it was.
        session: SessionView,
        /// Why.
        reason: Reason,
        /// When.
        at: Timestamp,
    },
}

/// No journal: for programs that need no events.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct NoJournal;

/// The erased journal that the handle holds.
#[derive(Clone)]
pub(crate) struct Journals(Arc<dyn ErasedJournal>);

trait ErasedJournal: Send + Sync {
    fn record<'a>(
        &'a self,
        conn: Conn<'a>,
        change: &'a SessionChange,
    ) -> Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send + 'a>>;
}

// === impl NoJournal ===

impl NoJournal {
    /// A journal that writes nothing.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

impl Journal for NoJournal {
    async fn record<'a>(&'a self, _conn: Conn<'a>, _change: &'a SessionChange) -> Result<(), BoxError> {
        Ok(())
    }
}

// === impl Conn ===

impl fmt::Debug for Conn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Conn")
    }
}

// === impl Journals ===

impl Journals {
    pub(crate) fn new(journal: impl Journal) -> Self {
        Self(Arc::new(journal))
    }

    pub(crate) async fn record(&self, conn: Conn<'_>, change: &SessionChange) -> Result<(), BoxError> {
        self.0.record(conn, change).await
    }
}

impl fmt::Debug for Journals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Journals")
    }
}

impl<J: Journal> ErasedJournal for J {
    fn record<'a>(
        &'a self,
        conn: Conn<'a>,
        change: &'a SessionChange,
    ) -> Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send + 'a>> {
        Box::pin(Journal::record(self, conn, change))
    }
}
