//! Where sessions live: one set of operations, three engines.
//!
//! The rules of sessions are written once, in [`Sessions`](crate::Sessions), over the operations
//! of a transaction. An engine only keeps rows.

#[cfg(any(feature = "postgres", feature = "sqlite"))]
use crate::error::BoxError;
use crate::error::{Error, ErrorKind};
use crate::journal::{Journals, SessionChange};

mod memory;
#[cfg(feature = "postgres")]
mod postgres;
pub(crate) mod rows;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;

use self::rows::{DeviceRow, KeyRow, MarkRow, SessionRow, TokenRow};

/// A handle to a store. Clones share it.
#[derive(Clone, Debug)]
pub struct Store(Engine);

#[derive(Clone, Debug)]
enum Engine {
    Memory(memory::MemoryStore),
    #[cfg(feature = "postgres")]
    Postgres(sqlx::PgPool),
    #[cfg(feature = "sqlite")]
    Sqlite(sqlx::SqlitePool),
}

/// A transaction. Dropped, it is rolled back.
pub(crate) enum Tx {
    Memory(memory::MemoryTx),
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    Sql(sql::SqlTx),
}

// === impl Store ===

impl Store {
    /// A store that is gone with the process.
    #[must_use]
    pub fn memory() -> Self {
        Self(Engine::Memory(memory::MemoryStore::default()))
    }

    /// A store in PostgreSQL. Call [`migrate`](Self::migrate) before use.
    #[cfg(feature = "postgres")]
    #[must_use]
    pub fn postgres(pool: sqlx::PgPool) -> Self {
        Self(Engine::Postgres(pool))
    }

    /// A store in SQLite. Call [`migrate`](Self::migrate) before use.
    #[cfg(feature = "sqlite")]
    #[must_use]
    pub fn sqlite(pool: sqlx::SqlitePool) -> Self {
        Self(Engine::Sqlite(pool))
    }

    /// Brings the tables up to date, under a lock: replicas may start together.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`] when the database fails.
    ///
    /// # Cancel safety
    ///
    /// One transaction: dropped, nothing has changed.
    pub async fn migrate(&self) -> Result<(), Error> {
        match &self.0 {
            Engine::Memory(_) => Ok(()),
            #[cfg(feature = "postgres")]
            Engine::Postgres(pool) => sql::migrate(postgres::write(pool).await?).await,
            #[cfg(feature = "sqlite")]
            Engine::Sqlite(pool) => sql::migrate(sqlite::write(pool).await?).await,
        }
    }

    /// Begins a transaction that only reads.
    pub(crate) async fn read(&self) -> Result<Tx, Error> {
        match &self.0 {
            Engine::Memory(store) => Ok(Tx::Memory(store.begin().await)),
            #[cfg(feature = "postgres")]
            Engine::Postgres(pool) => Ok(Tx::Sql(postgres::read(pool).await?)),
            #[cfg(feature = "sqlite")]
            Engine::Sqlite(pool) => Ok(Tx::Sql(sqlite::read(pool).await?)),
        }
    }

    /// Begins a transaction that writes. The sessions it reads are locked.
    pub(crate) async fn write(&self) -> Result<Tx, Error> {
        match &self.0 {
            Engine::Memory(store) => Ok(Tx::Memory(store.begin().await)),
            #[cfg(feature = "postgres")]
            Engine::Postgres(pool) => Ok(Tx::Sql(postgres::write(pool).await?)),
            #[cfg(feature = "sqlite")]
            Engine::Sqlite(pool) => Ok(Tx::Sql(sqlite::write(pool).await?)),
        }
    }
}

// === impl Tx ===

/// Declares the operations that every engine has.
macro_rules! operations {
    ($($(#[$meta:meta])* fn $name:ident($($arg:ident: $ty:ty),*) -> $out:ty;)*) => {
        impl Tx {
            $($(#[$meta])*
            pub(crate) async fn $name(&mut self, $($arg: $ty),*) -> Result<$out, Error> {
                match self {
                    Self::Memory(tx) => tx.$name($($arg),*),
                    #[cfg(any(feature = "postgres", feature = "sqlite"))]
                    Self::Sql(tx) => tx.$name($($arg),*).await.map_err(failed),
                }
            })*
        }
    };
}

operations! {
    /// Waits until no other transaction has locked this user. Once per transaction, and first.
    fn lock_user(user_id: &str) -> ();
    /// A session, live or ended; locked in a writing transaction.
    fn session(id: &str) -> Option<SessionRow>;
    /// A user's sessions that have not ended, the latest used first.
    fn live_sessions(user_id: &str) -> Vec<SessionRow>;
    /// Sessions that have not ended and whose time is up.
    fn overdue_sessions(now: i64, limit: i64) -> Vec<SessionRow>;
    /// Sessions that ended after `since`, the latest first.
    fn ended_since(since: i64, limit: i64) -> Vec<SessionRow>;
    /// Adds a session.
    fn insert_session(row: &SessionRow) -> ();
    /// Overwrites what may change in a session.
    fn update_session(row: &SessionRow) -> ();
    /// Adds a device, or sees it again.
    fn upsert_device(row: &DeviceRow) -> ();
    /// A refresh token by its hash.
    fn token(hash: &[u8]) -> Option<TokenRow>;
    /// Adds a refresh token.
    fn insert_token(row: &TokenRow) -> ();
    /// Marks a token as superseded and keeps its sealed successor; its own parent loses its one.
    fn supersede_token(row: &TokenRow) -> ();
    /// Forgets a session's tokens below a generation.
    fn forget_tokens(session_id: &str, below: i64) -> ();
    /// Drops the sealed successors of tokens superseded before `before`.
    fn drop_sealed(before: i64) -> ();
    /// Deletes sessions that ended before `before`, with their tokens. Returns how many.
    fn delete_ended(before: i64, limit: i64) -> u64;
    /// Deletes devices not seen since `before` that no session names.
    fn delete_devices(before: i64, limit: i64) -> u64;
    /// Sets what a user's older tokens are worth.
    fn put_mark(row: &MarkRow) -> ();
    /// Marks set after `since`.
    fn marks_since(since: i64, limit: i64) -> Vec<MarkRow>;
    /// Deletes marks set before `before`.
    fn delete_marks(before: i64) -> ();
    /// All signing keys, oldest first; locked in a writing transaction.
    fn keys() -> Vec<KeyRow>;
    /// Adds a signing key unless it is there.
    fn insert_key(row: &KeyRow) -> ();
    /// Says from when on a key no longer signs.
    fn retire_key(kid: &str, at: i64) -> ();
    /// Deletes keys retired before `before`.
    fn delete_keys(before: i64) -> ();
}

impl Tx {
    /// Lets the journal write into this transaction.
    #[allow(
        clippy::needless_pass_by_ref_mut,
        reason = "without a database the memory store's transaction is all there is, and it lends no connection"
    )]
    pub(crate) async fn record(&mut self, journal: &Journals, change: &SessionChange) -> Result<(), Error> {
        let conn = match self {
            Self::Memory(_) => crate::journal::Conn::Memory,
            #[cfg(any(feature = "postgres", feature = "sqlite"))]
            Self::Sql(tx) => tx.conn(),
        };
        journal.record(conn, change).await.map_err(|error| Error::with(ErrorKind::Journal, error))
    }

    /// Makes the transaction's writes true.
    pub(crate) async fn commit(self) -> Result<(), Error> {
        match self {
            Self::Memory(tx) => {
                tx.commit();
                Ok(())
            }
            #[cfg(any(feature = "postgres", feature = "sqlite"))]
            Self::Sql(tx) => tx.commit().await.map_err(failed),
        }
    }
}

/// A failure of the database.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) fn failed(error: impl Into<BoxError>) -> Error {
    Error::with(ErrorKind::Store, error)
}
