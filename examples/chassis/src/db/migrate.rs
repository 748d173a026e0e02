//! Schema changes.

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use sqlx::SqlSafeStr;

use super::{Conn, Db, DbError, Dialect};
use crate::args;

/// One step of a schema, in both dialects. Written with [`migration!`](crate::migration).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Migration {
    /// Its name, which orders and identifies it: `0001_init`.
    pub name: &'static str,
    /// Its text for PostgreSQL.
    pub postgres: &'static str,
    /// Its text for SQLite.
    pub sqlite: &'static str,
}

/// A [`Migration`](crate::db::Migration) from `migrations/postgres/NAME.sql` and `migrations/sqlite/NAME.sql`, or with
/// `both` from `migrations/NAME.sql`.
#[macro_export]
macro_rules! migration {
    ($name:literal) => {
        $crate::db::Migration::new(
            $name,
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/postgres/", $name, ".sql")),
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/sqlite/", $name, ".sql")),
        )
    };
    ($name:literal, both) => {{
        const TEXT: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/", $name, ".sql"));
        $crate::db::Migration::new($name, TEXT, TEXT)
    }};
}

/// The lock that all replicas take (`tramline` in hexadecimal).
const LOCK: i64 = 0x7472_616d_6c69_6e65;

const LEDGER: &str = "CREATE TABLE IF NOT EXISTS schema_migrations \
    (name TEXT PRIMARY KEY, checksum TEXT NOT NULL, applied_at BIGINT NOT NULL)";

// === impl Migration ===

impl Migration {
    /// A step with its two texts.
    #[must_use]
    pub const fn new(name: &'static str, postgres: &'static str, sqlite: &'static str) -> Self {
        Self { name, postgres, sqlite }
    }

    fn text(&self, dialect: Dialect) -> &'static str {
        dialect.pick(self.postgres, self.sqlite)
    }
}

/// All steps that are due, in one transaction: either the schema is whole afterwards, or as before.
pub(super) async fn run(db: &Db, migrations: &[Migration]) -> Result<(), DbError> {
    let mut tx = db.begin().await?;
    if tx.dialect() == Dialect::Postgres {
        // Another replica may be at it for longer than a request's statement may take.
        tx.execute("SET LOCAL lock_timeout = '60s'", args![]).await?;
        tx.execute("SET LOCAL statement_timeout = '120s'", args![]).await?;
        tx.query("SELECT pg_advisory_xact_lock($1)", args![LOCK]).await?;
    }
    tx.execute(LEDGER, args![]).await?;
    let dialect = tx.dialect();
    for migration in migrations {
        let text = migration.text(dialect);
        let checksum = checksum(text);
        let ran = tx
            .query_opt("SELECT checksum FROM schema_migrations WHERE name = $1", args![migration.name])
            .await?;
        match ran {
            Some(row) if row.get::<String>("checksum")? == checksum => continue,
            Some(_) => return Err(DbError::migration(migration.name)),
            None => {}
        }
        match tx.conn() {
            // As one text: a step has several statements, which prepared ones cannot.
            Conn::Postgres(conn) => sqlx::raw_sql(text.into_sql_str()).execute(conn).await.map(|_| ())?,
            Conn::Sqlite(conn) => sqlx::raw_sql(text.into_sql_str()).execute(conn).await.map(|_| ())?,
        }
        tx.execute(
            "INSERT INTO schema_migrations (name, checksum, applied_at) VALUES ($1, $2, $3)",
            args![migration.name, checksum, Timestamp::now()],
        )
        .await?;
        tracing::info!(migration = migration.name, "the schema is one step further");
    }
    tx.commit().await?;
    db.migrate_events().await
}

fn checksum(text: &str) -> String {
    // Line ends differ between checkouts, and mean nothing.
    let sum = Sha256::digest(text.replace("\r\n", "\n").as_bytes());
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}
