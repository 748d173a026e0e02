//! The dead letters in SQLite.

use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use sqlx::{Row as _, SqlitePool};

use crate::dead_letters::DeadLetters;
use crate::dead_letters::filter::Filter;
use crate::dead_letters::handle::{CONNECTIONS, Tables};
use crate::dead_letters::letter::{Content, Letter};
use crate::dead_letters::record::{Claimed, Record, object};
use crate::dead_letters::store::{
    Claim, Database, Depth, Engine, Taken, bind_filter, bind_letter, failed, insert_letter, letter_columns,
    matching, read_letter,
};
use crate::error::Error;
#[allow(unused_imports, reason = "the docs below name its kinds")]
use crate::error::ErrorKind;
use crate::outbox::schema::{self, Part};

const PART: Part =
    Part { name: "dead_letters", steps: &[include_str!("../../migrations/sqlite/dead_letters_0001.sql")] };

/// How long another process may write before we give up: longer than any transaction here.
const PATIENCE: Duration = Duration::from_secs(10);

const MARK: &str =
    "INSERT INTO tramline_dead_letter_marks (death, stored_at) VALUES ($1, $2) ON CONFLICT DO NOTHING";

const INSERT: &str = insert_letter!();

const LIST: &str = concat!(
    "SELECT ",
    letter_columns!(),
    " FROM tramline_dead_letters WHERE ",
    matching!("id IN (SELECT value FROM json_each($1))"),
    " AND id < $10 ORDER BY id DESC LIMIT $11"
);

const SHOW: &str = concat!(
    "SELECT ",
    letter_columns!(),
    ", body, headers, properties FROM tramline_dead_letters WHERE id = $1"
);

const CLAIM: &str = concat!(
    "UPDATE tramline_dead_letters SET claim = $10, claimed_until = $11 WHERE id IN ( \
        SELECT id FROM tramline_dead_letters WHERE ",
    matching!("id IN (SELECT value FROM json_each($1))"),
    " AND id > $12 AND id <= $13 AND claimed_until <= $14 ORDER BY id LIMIT $15) RETURNING id, queue, properties, headers, body, \
     min(coalesce(first_failed_at, died_at), died_at) AS failed_at"
);

const DELETE: &str = concat!(
    "DELETE FROM tramline_dead_letters WHERE id IN (SELECT id FROM tramline_dead_letters WHERE ",
    matching!("id IN (SELECT value FROM json_each($1))"),
    " AND id <= $10 AND claimed_until <= $11 ORDER BY id LIMIT $12)"
);

const DEPTH: &str = concat!(
    "SELECT count(*), count(*) FILTER (WHERE claimed_until > $11) FROM tramline_dead_letters WHERE ",
    matching!("id IN (SELECT value FROM json_each($1))"),
    " AND id <= $10"
);

const PRUNE: &str = "DELETE FROM tramline_dead_letter_marks WHERE death IN ( \
    SELECT death FROM tramline_dead_letter_marks WHERE stored_at < $1 ORDER BY stored_at LIMIT $2)";

/// Makes or upgrades the tables `tramline_dead_letters` and `tramline_dead_letter_marks`. Safe with several
/// processes at once.
///
/// # Errors
///
/// [`ErrorKind::Store`] when the database fails.
pub async fn migrate(pool: &SqlitePool) -> Result<(), Error> {
    schema::sqlite(pool, &PART).await
}

/// The dead letters in the database of `pool`, where [`migrate`] has been.
#[must_use]
pub fn open(pool: SqlitePool) -> DeadLetters {
    DeadLetters { database: Database::new(Engine::Sqlite(Store { pool })) }
}

/// The dead letters in the file of a URL, on a small pool of its own. File and tables are made when `make` says so.
///
/// # Errors
///
/// [`ErrorKind::Store`] when the file cannot be opened, or has no such tables.
pub async fn connect(url: &str, make: Tables) -> Result<DeadLetters, Error> {
    let connected = async {
        let options = url.parse::<SqliteConnectOptions>()?.busy_timeout(PATIENCE);
        let options = match make {
            Tables::Make => options.create_if_missing(true).journal_mode(SqliteJournalMode::Wal),
            Tables::Expect => options,
        };
        SqlitePoolOptions::new().max_connections(CONNECTIONS).connect_with(options).await
    };
    let pool = connected.await.map_err(|e| failed("connecting to", e))?;
    if make == Tables::Make {
        migrate(&pool).await?;
    }
    let letters = open(pool);
    letters.database.top().await.map_err(|e| failed("looking for", e))?;
    Ok(letters)
}

/// The database.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pool: SqlitePool,
}

impl Store {
    pub(crate) async fn insert(&self, records: &[Record]) -> Result<u64, sqlx::Error> {
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let mut new = 0;
        for record in records {
            let mark = sqlx::query(MARK).bind(&record.death).bind(record.stored_at).execute(&mut *tx).await?;
            if mark.rows_affected() == 1 {
                new += bind_letter!(sqlx::query(INSERT), record).execute(&mut *tx).await?.rows_affected();
            }
        }
        tx.commit().await?;
        Ok(new)
    }

    pub(crate) async fn list(
        &self,
        filter: &Filter,
        below: i64,
        limit: i64,
    ) -> Result<Vec<Letter>, sqlx::Error> {
        let query = bind_filter!(sqlx::query(LIST), filter, ids(filter));
        let rows = query.bind(below).bind(limit).fetch_all(&self.pool).await?;
        rows.iter().map(|row| Ok(read_letter!(row))).collect()
    }

    pub(crate) async fn show(&self, id: i64) -> Result<Option<(Letter, Content)>, sqlx::Error> {
        let Some(row) = sqlx::query(SHOW).bind(id).fetch_optional(&self.pool).await? else { return Ok(None) };
        let content = Content {
            body: row.try_get::<Vec<u8>, _>("body")?.into(),
            headers: object(row.try_get("headers")?),
            properties: object(row.try_get("properties")?),
        };
        Ok(Some((read_letter!(&row), content)))
    }

    pub(crate) async fn top(&self) -> Result<i64, sqlx::Error> {
        sqlx::query_scalar("SELECT coalesce(max(id), 0) FROM tramline_dead_letters")
            .fetch_one(&self.pool)
            .await
    }

    pub(crate) async fn claim(&self, claim: &Claim<'_>) -> Result<Vec<Taken>, sqlx::Error> {
        let query = bind_filter!(sqlx::query(CLAIM), claim.filter, ids(claim.filter));
        let rows = query
            .bind(claim.token)
            .bind(claim.until)
            .bind(claim.after)
            .bind(claim.upto)
            .bind(claim.now)
            .bind(claim.limit)
            .fetch_all(&self.pool)
            .await?;
        let read = |row: &sqlx::sqlite::SqliteRow| {
            let letter = Claimed {
                id: row.try_get("id")?,
                queue: row.try_get("queue")?,
                properties: row.try_get("properties")?,
                headers: row.try_get("headers")?,
                body: row.try_get("body")?,
            };
            Ok(Taken { letter, failed_at: row.try_get("failed_at")? })
        };
        let mut letters = rows.iter().map(read).collect::<Result<Vec<_>, sqlx::Error>>()?;
        letters.sort_by_key(|taken| taken.letter.id);
        Ok(letters)
    }

    pub(crate) async fn release(&self, id: i64, token: &str, error: &str) -> Result<u64, sqlx::Error> {
        sqlx::query(
            "UPDATE tramline_dead_letters SET claim = NULL, claimed_until = 0, redrive_error = $3 \
             WHERE id = $1 AND claim = $2",
        )
        .bind(id)
        .bind(token)
        .bind(error)
        .execute(&self.pool)
        .await
        .map(|done| done.rows_affected())
    }

    pub(crate) async fn remove(&self, ids: &[i64]) -> Result<u64, sqlx::Error> {
        sqlx::query("DELETE FROM tramline_dead_letters WHERE id IN (SELECT value FROM json_each($1))")
            .bind(json(ids))
            .execute(&self.pool)
            .await
            .map(|done| done.rows_affected())
    }

    pub(crate) async fn delete(
        &self,
        filter: &Filter,
        upto: i64,
        now: i64,
        limit: i64,
    ) -> Result<u64, sqlx::Error> {
        let query = bind_filter!(sqlx::query(DELETE), filter, ids(filter));
        let done = query.bind(upto).bind(now).bind(limit).execute(&self.pool).await?;
        Ok(done.rows_affected())
    }

    pub(crate) async fn depth(&self, filter: &Filter, upto: i64, now: i64) -> Result<Depth, sqlx::Error> {
        let query = bind_filter!(sqlx::query(DEPTH), filter, ids(filter));
        let row = query.bind(upto).bind(now).fetch_one(&self.pool).await?;
        Ok(Depth { letters: row.try_get(0)?, claimed: row.try_get(1)? })
    }

    pub(crate) async fn prune(&self, before: i64, limit: i64) -> Result<u64, sqlx::Error> {
        sqlx::query(PRUNE).bind(before).bind(limit).execute(&self.pool).await.map(|done| done.rows_affected())
    }
}

/// A list as a parameter: SQLite has no arrays.
fn ids(filter: &Filter) -> Option<String> {
    filter.ids.as_deref().map(json)
}

fn json(ids: &[i64]) -> String {
    serde_json::to_string(ids).expect("numbers always serialize")
}
