//! The store in SQLite: what differs from PostgreSQL.

use sqlx::SqlitePool;

use crate::error::Error;
use crate::store::failed;
use crate::store::sql::SqlTx;

pub(crate) async fn read(pool: &SqlitePool) -> Result<SqlTx, Error> {
    Ok(SqlTx::Sqlite(pool.begin().await.map_err(failed)?))
}

/// SQLite has one writer. Taking the lock at once avoids the upgrade that would fail half-way.
pub(crate) async fn write(pool: &SqlitePool) -> Result<SqlTx, Error> {
    let tx = pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
    Ok(SqlTx::Sqlite(tx))
}
