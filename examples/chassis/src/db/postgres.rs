//! The PostgreSQL driver.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgArguments, PgConnectOptions, PgPoolOptions};
use sqlx::query::Query;
use sqlx::{PgExecutor, PgPool, Postgres, SqlStr};

use super::{Args, DbConfig, DbError, Row, Value};

/// How long a statement waits for a row that another transaction holds: longer means a stuck peer.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
/// A transaction of ours that does nothing for this long has lost its owner.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(30);
/// Connections are renewed, so that a failover or a new address is noticed.
const MAX_LIFETIME: Duration = Duration::from_secs(30 * 60);
const IDLE_TIMEOUT: Duration = Duration::from_secs(5 * 60);

pub(super) fn options(url: &str, config: &DbConfig) -> Result<PgConnectOptions, String> {
    // The driver's own text may repeat parts of the URL, password included.
    let options = PgConnectOptions::from_str(url).map_err(|_| "is no PostgreSQL URL".to_owned())?;
    let millis = |d: Duration| d.as_millis().to_string();
    Ok(options.application_name(&config.name).options([
        ("statement_timeout", millis(config.statement_timeout)),
        ("lock_timeout", millis(LOCK_TIMEOUT)),
        ("idle_in_transaction_session_timeout", millis(IDLE_IN_TRANSACTION)),
    ]))
}

pub(super) fn open(url: &str, config: &DbConfig) -> Result<PgPool, String> {
    Ok(PgPoolOptions::new()
        .max_connections(config.connections)
        .acquire_timeout(config.acquire_timeout)
        .max_lifetime(MAX_LIFETIME)
        .idle_timeout(IDLE_TIMEOUT)
        .connect_lazy_with(options(url, config)?))
}

pub(super) async fn query(exec: impl PgExecutor<'_>, sql: SqlStr, args: Args) -> Result<Vec<Row>, DbError> {
    let rows = bind(sql, args).fetch_all(exec).await?;
    Ok(rows.into_iter().map(Row::postgres).collect())
}

pub(super) async fn execute(exec: impl PgExecutor<'_>, sql: SqlStr, args: Args) -> Result<u64, DbError> {
    Ok(bind(sql, args).execute(exec).await?.rows_affected())
}

fn bind(sql: SqlStr, args: Args) -> Query<'static, Postgres, PgArguments> {
    let mut query = sqlx::query::<Postgres>(sql);
    for value in args {
        query = match value {
            Value::Text(v) => query.bind(v),
            Value::Int(v) => query.bind(v),
            Value::Real(v) => query.bind(v),
            Value::Bool(v) => query.bind(v),
            Value::Bytes(v) => query.bind(v),
            Value::Uuid(v) => query.bind(v),
        };
    }
    query
}
