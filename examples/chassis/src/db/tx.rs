//! Transactions.

use sqlx::{PgConnection, Postgres, SqlSafeStr, Sqlite, SqliteConnection, Transaction};

use super::{Args, Db, DbError, Dialect, Row, postgres, sqlite};

/// A transaction: rolled back when dropped before [`commit`](Self::commit).
pub struct Tx {
    driver: Driver,
    db: Db,
    /// Whether events were enqueued, so that the commit wakes the relay.
    pub(super) wakes: bool,
}

/// The connection of a [`Tx`], for libraries that take the driver's.
#[expect(clippy::exhaustive_enums, reason = "callers serve both databases")]
#[derive(Debug)]
pub enum Conn<'tx> {
    /// PostgreSQL's.
    Postgres(&'tx mut PgConnection),
    /// SQLite's.
    Sqlite(&'tx mut SqliteConnection),
}

enum Driver {
    Postgres(Transaction<'static, Postgres>),
    Sqlite(Transaction<'static, Sqlite>),
}

// === impl Conn ===

impl<'tx> Conn<'tx> {
    /// The connection that `session-sync` lends its journal; none from its memory store.
    #[must_use]
    pub fn of_journal(conn: tramline_session_sync::Conn<'tx>) -> Option<Self> {
        match conn {
            tramline_session_sync::Conn::Postgres(conn) => Some(Self::Postgres(conn)),
            tramline_session_sync::Conn::Sqlite(conn) => Some(Self::Sqlite(conn)),
            _ => None,
        }
    }
}

// === impl Tx ===

impl Tx {
    pub(super) fn postgres(db: Db, tx: Transaction<'static, Postgres>) -> Self {
        Self { driver: Driver::Postgres(tx), db, wakes: false }
    }

    pub(super) fn sqlite(db: Db, tx: Transaction<'static, Sqlite>) -> Self {
        Self { driver: Driver::Sqlite(tx), db, wakes: false }
    }

    /// Runs a statement and gives its rows: `SELECT`, or anything with `RETURNING`.
    ///
    /// # Errors
    ///
    /// The database's. In PostgreSQL the transaction can only be rolled back then.
    pub async fn query(&mut self, sql: impl SqlSafeStr + Send, args: Args) -> Result<Vec<Row>, DbError> {
        let sql = sql.into_sql_str();
        match &mut self.driver {
            Driver::Postgres(tx) => postgres::query(&mut **tx, sql, args).await,
            Driver::Sqlite(tx) => sqlite::query(&mut **tx, sql, args).await,
        }
    }

    /// Like [`query`](Self::query), for at most one row.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn query_opt(
        &mut self,
        sql: impl SqlSafeStr + Send,
        args: Args,
    ) -> Result<Option<Row>, DbError> {
        Ok(self.query(sql, args).await?.into_iter().next())
    }

    /// Like [`query`](Self::query), for one row that must be there.
    ///
    /// # Errors
    ///
    /// The database's, or that there was no row.
    pub async fn query_one(&mut self, sql: impl SqlSafeStr + Send, args: Args) -> Result<Row, DbError> {
        self.query_opt(sql, args).await?.ok_or_else(DbError::no_row)
    }

    /// Runs a statement that writes, and gives the number of rows it changed.
    ///
    /// # Errors
    ///
    /// The database's. In PostgreSQL the transaction can only be rolled back then; where a clash is expected, write
    /// `ON CONFLICT DO NOTHING` and look at the number.
    pub async fn execute(&mut self, sql: impl SqlSafeStr + Send, args: Args) -> Result<u64, DbError> {
        let sql = sql.into_sql_str();
        match &mut self.driver {
            Driver::Postgres(tx) => postgres::execute(&mut **tx, sql, args).await,
            Driver::Sqlite(tx) => sqlite::execute(&mut **tx, sql, args).await,
        }
    }

    /// Which database it is.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        match self.driver {
            Driver::Postgres(_) => Dialect::Postgres,
            Driver::Sqlite(_) => Dialect::Sqlite,
        }
    }

    /// ` FOR UPDATE` in PostgreSQL, nothing in SQLite, whose transactions are alone anyway. For a
    /// [`SqlBuilder`](super::SqlBuilder)'s last piece.
    #[must_use]
    pub fn for_update(&self) -> &'static str {
        self.dialect().pick(" FOR UPDATE", "")
    }

    /// The driver's connection.
    pub fn conn(&mut self) -> Conn<'_> {
        match &mut self.driver {
            Driver::Postgres(tx) => Conn::Postgres(&mut *tx),
            Driver::Sqlite(tx) => Conn::Sqlite(&mut *tx),
        }
    }

    /// Makes everything permanent.
    ///
    /// # Errors
    ///
    /// The database's. Whether it was made permanent is then unknown if the connection was lost.
    ///
    /// # Cancel safety
    ///
    /// When dropped, it may or may not have been made permanent.
    pub async fn commit(self) -> Result<(), DbError> {
        match self.driver {
            Driver::Postgres(tx) => tx.commit().await?,
            Driver::Sqlite(tx) => tx.commit().await?,
        }
        if self.wakes {
            self.db.wake_outbox();
        }
        Ok(())
    }

    /// Takes everything back, now rather than at the drop.
    ///
    /// # Errors
    ///
    /// The database's; nothing of it stays either way.
    pub async fn rollback(self) -> Result<(), DbError> {
        match self.driver {
            Driver::Postgres(tx) => tx.rollback().await?,
            Driver::Sqlite(tx) => tx.rollback().await?,
        }
        Ok(())
    }
}

impl std::fmt::Debug for Tx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Tx").field(&self.dialect()).finish()
    }
}
