//! The SQL that both databases share, and the few places where they differ.

use sqlx::{AssertSqlSafe, Row as _};

use crate::error::Error;
use crate::journal::Conn;
use crate::store::failed;

mod housekeeping;
mod keys;
mod sessions;
mod tokens;

/// A transaction on either database.
pub(crate) enum SqlTx {
    #[cfg(feature = "postgres")]
    Postgres {
        tx: sqlx::Transaction<'static, sqlx::Postgres>,
        /// Whether sessions read are locked until the end.
        locking: bool,
    },
    #[cfg(feature = "sqlite")]
    Sqlite(sqlx::Transaction<'static, sqlx::Sqlite>),
}

/// A value bound to a statement.
pub(super) enum Arg {
    Int(i64),
    MaybeInt(Option<i64>),
    Text(String),
    MaybeText(Option<String>),
    Bytes(Vec<u8>),
    MaybeBytes(Option<Vec<u8>>),
}

/// A row of either database.
pub(super) enum Row {
    #[cfg(feature = "postgres")]
    Postgres(sqlx::postgres::PgRow),
    #[cfg(feature = "sqlite")]
    Sqlite(sqlx::sqlite::SqliteRow),
}

/// Makes the arguments of a statement, in the order of their numbers.
macro_rules! args {
    ($($value:expr),* $(,)?) => { vec![$(crate::store::sql::Arg::from($value)),*] };
}
use args;

pub(crate) async fn migrate(mut tx: SqlTx) -> Result<(), Error> {
    apply(&mut tx).await.map_err(failed)?;
    tx.commit().await.map_err(failed)
}

async fn apply(tx: &mut SqlTx) -> sqlx::Result<()> {
    #[cfg(feature = "postgres")]
    if matches!(tx, SqlTx::Postgres { .. }) {
        // Two replicas that create a table together would fail; SQLite's lock is the transaction.
        tx.rows("SELECT pg_advisory_xact_lock($1)", args![MIGRATION_LOCK]).await?;
    }
    tx.run(MIGRATIONS_TABLE, args![]).await?;
    let rows = tx.rows("SELECT COALESCE(MAX(version), 0) FROM session_sync_migrations", args![]).await?;
    let done = rows.first().map_or(Ok(0), |row| row.int(0))?;
    for (version, script) in (1_i64..).zip(MIGRATIONS) {
        if version <= done {
            continue;
        }
        for statement in script.split(';') {
            let statement = statement.replace("$BYTES", tx.bytes_type());
            if !statement.trim().is_empty() {
                tx.run(&statement, args![]).await?;
            }
        }
        tx.run(
            "INSERT INTO session_sync_migrations (version, applied_at) VALUES ($1, $2)",
            args![version, jiff::Timestamp::now().as_microsecond()],
        )
        .await?;
    }
    Ok(())
}

// === impl SqlTx ===

impl SqlTx {
    pub(crate) fn conn(&mut self) -> Conn<'_> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres { tx, .. } => Conn::Postgres(tx),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(tx) => Conn::Sqlite(tx),
        }
    }

    pub(crate) async fn commit(self) -> sqlx::Result<()> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres { tx, .. } => tx.commit().await,
            #[cfg(feature = "sqlite")]
            Self::Sqlite(tx) => tx.commit().await,
        }
    }

    /// Runs a statement; returns how many rows it touched.
    ///
    /// The texts are constants of this module: no value is ever part of one.
    pub(super) async fn run(&mut self, sql: &str, args: Vec<Arg>) -> sqlx::Result<u64> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres { tx, .. } => {
                let query = bind!(sqlx::query(AssertSqlSafe(sql)), args);
                Ok(query.execute(&mut **tx).await?.rows_affected())
            }
            #[cfg(feature = "sqlite")]
            Self::Sqlite(tx) => {
                let query = bind!(sqlx::query(AssertSqlSafe(sql)), args);
                Ok(query.execute(&mut **tx).await?.rows_affected())
            }
        }
    }

    /// Runs a query.
    pub(super) async fn rows(&mut self, sql: &str, args: Vec<Arg>) -> sqlx::Result<Vec<Row>> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres { tx, .. } => {
                let query = bind!(sqlx::query(AssertSqlSafe(sql)), args);
                let rows = query.fetch_all(&mut **tx).await?;
                Ok(rows.into_iter().map(Row::Postgres).collect())
            }
            #[cfg(feature = "sqlite")]
            Self::Sqlite(tx) => {
                let query = bind!(sqlx::query(AssertSqlSafe(sql)), args);
                let rows = query.fetch_all(&mut **tx).await?;
                Ok(rows.into_iter().map(Row::Sqlite).collect())
            }
        }
    }

    /// What ends a query whose rows of `table` must stay as they are until the commit.
    pub(super) fn lock(&self, table: &str) -> String {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres { locking: true, .. } => format!(" FOR UPDATE OF {table}"),
            #[cfg(feature = "postgres")]
            Self::Postgres { locking: false, .. } => String::new(),
            #[cfg(feature = "sqlite")]
            // The writing transaction has the database to itself.
            Self::Sqlite(_) => {
                let _ = table;
                String::new()
            }
        }
    }

    fn bytes_type(&self) -> &'static str {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres { .. } => "BYTEA",
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => "BLOB",
        }
    }
}

/// Binds the arguments to a query of either database.
macro_rules! bind {
    ($query:expr, $args:expr) => {{
        let mut query = $query;
        for arg in $args {
            query = match arg {
                Arg::Int(value) => query.bind(value),
                Arg::MaybeInt(value) => query.bind(value),
                Arg::Text(value) => query.bind(value),
                Arg::MaybeText(value) => query.bind(value),
                Arg::Bytes(value) => query.bind(value),
                Arg::MaybeBytes(value) => query.bind(value),
            };
        }
        query
    }};
}
use bind;

// === impl Row ===

/// Declares a typed reader of columns.
macro_rules! column {
    ($name:ident, $ty:ty) => {
        pub(super) fn $name(&self, index: usize) -> sqlx::Result<$ty> {
            match self {
                #[cfg(feature = "postgres")]
                Self::Postgres(row) => row.try_get(index),
                #[cfg(feature = "sqlite")]
                Self::Sqlite(row) => row.try_get(index),
            }
        }
    };
}

impl Row {
    column!(int, i64);
    column!(maybe_int, Option<i64>);
    column!(text, String);
    column!(maybe_text, Option<String>);
    column!(bytes, Vec<u8>);
    column!(maybe_bytes, Option<Vec<u8>>);
}

// === impl Arg ===

/// Declares which Rust type becomes which argument.
macro_rules! arg {
    ($($ty:ty => $variant:ident),*) => {
        $(impl From<$ty> for Arg {
            fn from(value: $ty) -> Self {
                Self::$variant(value.to_owned())
            }
        })*
    };
}
arg!(i64 => Int, Option<i64> => MaybeInt, &str => Text, &String => Text,
    &Option<String> => MaybeText, &[u8] => Bytes, &Vec<u8> => Bytes, &Option<Vec<u8>> => MaybeBytes);

/// Any number, as long as nobody else on the database takes it: `tramline` read as hexadecimal-ish.
#[cfg(feature = "postgres")]
const MIGRATION_LOCK: i64 = 0x7472_616d_5353_0001;

const MIGRATIONS_TABLE: &str = "CREATE TABLE IF NOT EXISTS session_sync_migrations \
    (version BIGINT PRIMARY KEY, applied_at BIGINT NOT NULL)";

/// One script a version, never changed once released. `$BYTES` is the database's type of bytes.
const MIGRATIONS: [&str; 1] = [include_str!("migrations/0001_sessions.sql")];
