//! The sessions and their keys, which exist once the database has its schema.

use std::sync::{Arc, OnceLock};

use chassis::db::{Db, DbError};
use chassis::problem::Problem;
use tramline_session_sync::{
    KeyFile, KeyRing, KeyRingConfig, Sessions, SessionsConfig, Store as SessionStore,
};

use crate::journal::EventJournal;
use crate::store;

/// Opens the sessions when the database lets it. Clones share them.
#[derive(Clone)]
pub(crate) struct Issuer(Arc<Inner>);

struct Inner {
    db: Db,
    key_file: KeyFile,
    /// Set once, by the migration that succeeds.
    sessions: OnceLock<Sessions>,
}

/// The database is not there yet.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the sessions are not there yet")]
pub(crate) struct NotYet;

impl Issuer {
    pub(crate) fn new(db: Db, key_file: KeyFile) -> Self {
        Self(Arc::new(Inner { db, key_file, sessions: OnceLock::new() }))
    }

    /// Brings the schema up to date, reads or makes the keys, and opens the sessions. Safe to repeat.
    pub(crate) async fn open(&self) -> Result<(), DbError> {
        let db = &self.0.db;
        db.migrate(store::MIGRATIONS).await?;
        let store = match (db.as_postgres(), db.as_sqlite()) {
            (Some(pool), _) => SessionStore::postgres(pool.clone()),
            (_, Some(pool)) => SessionStore::sqlite(pool.clone()),
            (None, None) => SessionStore::memory(),
        };
        store.migrate().await.map_err(DbError::foreign)?;
        let keys = KeyRing::open(&store, &self.0.key_file, KeyRingConfig::default())
            .await
            .map_err(DbError::foreign)?;
        let sessions = Sessions::with_journal(SessionsConfig::default(), store, keys, EventJournal);
        // Set before: a second open changes nothing.
        let _ = self.0.sessions.set(sessions);
        Ok(())
    }

    /// The sessions.
    pub(crate) fn sessions(&self) -> Result<&Sessions, NotYet> {
        self.0.sessions.get().ok_or(NotYet)
    }

    /// Wakes the relay after a change of a session: its events were written by the journal.
    pub(crate) fn wake(&self) {
        self.0.db.wake_outbox();
    }
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Issuer")
    }
}

impl From<NotYet> for Problem {
    fn from(error: NotYet) -> Self {
        Self::unavailable(error.to_string())
    }
}
