//! The store in PostgreSQL: what differs from SQLite.

use sqlx::PgPool;

use crate::error::Error;
use crate::store::failed;
use crate::store::sql::SqlTx;

pub(crate) async fn read(pool: &PgPool) -> Result<SqlTx, Error> {
    Ok(SqlTx::Postgres { tx: pool.begin().await.map_err(failed)?, locking: false })
}

pub(crate) async fn write(pool: &PgPool) -> Result<SqlTx, Error> {
    Ok(SqlTx::Postgres { tx: pool.begin().await.map_err(failed)?, locking: true })
}
