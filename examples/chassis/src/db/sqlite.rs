//! The SQLite driver.

use std::str::FromStr;
use std::time::Duration;

use sqlx::query::Query;
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{SqlStr, Sqlite, SqliteExecutor, SqlitePool};

use super::{Args, DbConfig, DbError, Row, Value};

/// How long a connection waits for a lock that another process holds (a backup, a shell).
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) fn options(url: &str, config: &DbConfig) -> Result<SqliteConnectOptions, String> {
    if url.contains(":memory:") || url.contains("mode=memory") {
        return Err("is in memory, which is another database for each connection: name a file".to_owned());
    }
    let options = SqliteConnectOptions::from_str(url).map_err(|_| "is no SQLite URL".to_owned())?;
    if options.get_filename().as_os_str().is_empty() {
        return Err("names no file".to_owned());
    }
    let synchronous = if config.durable { SqliteSynchronous::Full } else { SqliteSynchronous::Off };
    Ok(options
        .create_if_missing(true)
        .foreign_keys(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous)
        .busy_timeout(BUSY_TIMEOUT))
}

/// The writer and the readers.
pub(super) fn open(url: &str, config: &DbConfig) -> Result<(SqlitePool, SqlitePool), String> {
    let options = options(url, config)?;
    if let Some(folder) = options.get_filename().parent().filter(|f| !f.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|e| format!("its folder cannot be made: {e}"))?;
    }
    let pool = |connections: u32| {
        SqlitePoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(config.acquire_timeout)
            // A file does not go away like a server does: no need to renew or to try it.
            .max_lifetime(None)
            .idle_timeout(None)
            .test_before_acquire(false)
    };
    let writer = pool(1).connect_lazy_with(options.clone());
    // Four: readers are threads, and a disk is not faster with more of them.
    let readers = pool(config.connections.min(4)).connect_lazy_with(options.pragma("query_only", "ON"));
    Ok((writer, readers))
}

pub(super) async fn query(
    exec: impl SqliteExecutor<'_>,
    sql: SqlStr,
    args: Args,
) -> Result<Vec<Row>, DbError> {
    let rows = bind(sql, args).fetch_all(exec).await?;
    Ok(rows.into_iter().map(Row::sqlite).collect())
}

pub(super) async fn execute(exec: impl SqliteExecutor<'_>, sql: SqlStr, args: Args) -> Result<u64, DbError> {
    Ok(bind(sql, args).execute(exec).await?.rows_affected())
}

fn bind(sql: SqlStr, args: Args) -> Query<'static, Sqlite, SqliteArguments> {
    let mut query = sqlx::query::<Sqlite>(sql);
    for value in args {
        query = match value {
            Value::Text(v) => query.bind(v),
            Value::Int(v) => query.bind(v),
            Value::Real(v) => query.bind(v),
            Value::Bool(v) => query.bind(v),
            Value::Bytes(v) => query.bind(v),
            Value::Uuid(v) => query.bind(v.map(|id| id.hyphenated().to_string())),
        };
    }
    query
}
