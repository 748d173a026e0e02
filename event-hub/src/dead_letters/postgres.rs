//! The dead letters in PostgreSQL.

use std::collections::HashSet;

use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection as _, PgConnection, PgPool, Row as _};

use crate::dead_letters::DeadLetters;
use crate::dead_letters::filter::Filter;
use crate::dead_letters::handle::{CONNECTIONS, Tables, now};
use crate::dead_letters::letter::{Content, Letter};
use crate::dead_letters::record::{Claimed, Record, object};
use crate::dead_letters::store::{
    Claim, Database, Depth, Engine, Taken, bind_filter, bind_letter, failed, insert_letter, letter_columns,
    matching, read_letter,
};
use crate::error::Error;
#[allow(unused_imports, reason = "the docs below name its kinds")]
use crate::error::ErrorKind;
use crate::outbox::postgres::lease::Lease;
use crate::outbox::schema::{self, Part};

const PART: Part =
    Part { name: "dead_letters", steps: &[include_str!("../../migrations/postgres/dead_letters_0001.sql")] };

const MARK: &str = "INSERT INTO tramline_dead_letter_marks (death, stored_at) \
    SELECT death, $2 FROM unnest($1::text[]) AS new (death) ORDER BY death ON CONFLICT DO NOTHING RETURNING death";

const INSERT: &str = insert_letter!();

const LIST: &str = concat!(
    "SELECT ",
    letter_columns!(),
    " FROM tramline_dead_letters WHERE ",
    matching!("id = ANY($1)"),
    " AND id < $10 ORDER BY id DESC LIMIT $11"
);

const SHOW: &str = concat!(
    "SELECT ",
    letter_columns!(),
    ", body, headers, properties FROM tramline_dead_letters WHERE id = $1"
);

const CLAIM: &str = concat!(
    "UPDATE tramline_dead_letters AS this SET claim = $10, claimed_until = $11 FROM ( \
        SELECT id AS picked FROM tramline_dead_letters WHERE ",
    matching!("id = ANY($1)"),
    " AND id > $12 AND id <= $13 AND claimed_until <= $14 ORDER BY id LIMIT $15 FOR UPDATE SKIP LOCKED) AS free \
     WHERE this.id = free.picked RETURNING this.id, this.queue, this.properties, this.headers, this.body, \
        LEAST(this.first_failed_at, this.died_at) AS failed_at"
);

const DELETE: &str = concat!(
    "DELETE FROM tramline_dead_letters WHERE id IN (SELECT id FROM tramline_dead_letters WHERE ",
    matching!("id = ANY($1)"),
    " AND id <= $10 AND claimed_until <= $11 ORDER BY id LIMIT $12 FOR UPDATE SKIP LOCKED)"
);

const DEPTH: &str = concat!(
    "SELECT count(*), count(*) FILTER (WHERE claimed_until > $11) FROM tramline_dead_letters WHERE ",
    matching!("id = ANY($1)"),
    " AND id <= $10"
);

const PRUNE: &str = "DELETE FROM tramline_dead_letter_marks WHERE death IN ( \
    SELECT death FROM tramline_dead_letter_marks WHERE stored_at < $1 ORDER BY stored_at LIMIT $2)";

/// Makes or upgrades the tables `tramline_dead_letters` and `tramline_dead_letter_marks`. Safe with several
/// replicas at once.
///
/// # Errors
///
/// [`ErrorKind::Store`] when the database fails.
pub async fn migrate(pool: &PgPool) -> Result<(), Error> {
    schema::postgres(pool, &PART).await
}

/// The dead letters in the database of `pool`, where [`migrate`] has been.
#[must_use]
pub fn open(pool: PgPool) -> DeadLetters {
    DeadLetters { database: Database::new(Engine::Postgres(Store { pool })) }
}

/// The dead letters in the database at a URL, on a small pool of its own. Their tables are made when `make` says so.
///
/// # Errors
///
/// [`ErrorKind::Store`] when the database cannot be reached, or has no such tables.
pub async fn connect(url: &str, make: Tables) -> Result<DeadLetters, Error> {
    let pool = PgPoolOptions::new().max_connections(CONNECTIONS).connect(url).await;
    let pool = pool.map_err(|e| failed("connecting to", e))?;
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
    pool: PgPool,
}

impl Store {
    pub(crate) async fn insert(&self, records: &[Record]) -> Result<u64, sqlx::Error> {
        let mut conn = self.conn().await?;
        let new = Self::insert_with(&mut conn, records).await;
        conn.back();
        new
    }

    async fn insert_with(conn: &mut PgConnection, records: &[Record]) -> Result<u64, sqlx::Error> {
        let mut tx = conn.begin().await?;
        // ORDER: the marks first and by name, as every drain does, so that two never wait for each other; then the
        // letters as they came.
        let names: Vec<&str> = records.iter().map(|record| record.death.as_str()).collect();
        let marked: Vec<String> =
            sqlx::query_scalar(MARK).bind(names).bind(now()).fetch_all(&mut *tx).await?;
        let mut fresh: HashSet<String> = marked.into_iter().collect();
        let mut new = 0;
        for record in records {
            // One batch may hold a letter twice.
            if fresh.remove(&record.death) {
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
        let query = bind_filter!(sqlx::query(LIST), filter, filter.ids.as_deref());
        let mut conn = self.conn().await?;
        let rows = query.bind(below).bind(limit).fetch_all(&mut *conn).await;
        conn.back();
        rows?.iter().map(|row| Ok(read_letter!(row))).collect()
    }

    pub(crate) async fn show(&self, id: i64) -> Result<Option<(Letter, Content)>, sqlx::Error> {
        let mut conn = self.conn().await?;
        let row = sqlx::query(SHOW).bind(id).fetch_optional(&mut *conn).await;
        conn.back();
        let Some(row) = row? else { return Ok(None) };
        let content = Content {
            body: row.try_get::<Vec<u8>, _>("body")?.into(),
            headers: object(row.try_get("headers")?),
            properties: object(row.try_get("properties")?),
        };
        Ok(Some((read_letter!(&row), content)))
    }

    pub(crate) async fn top(&self) -> Result<i64, sqlx::Error> {
        let mut conn = self.conn().await?;
        let top = sqlx::query_scalar("SELECT coalesce(max(id), 0) FROM tramline_dead_letters")
            .fetch_one(&mut *conn)
            .await;
        conn.back();
        top
    }

    pub(crate) async fn claim(&self, claim: &Claim<'_>) -> Result<Vec<Taken>, sqlx::Error> {
        let query = bind_filter!(sqlx::query(CLAIM), claim.filter, claim.filter.ids.as_deref());
        let mut conn = self.conn().await?;
        let rows = query
            .bind(claim.token)
            .bind(claim.until)
            .bind(claim.after)
            .bind(claim.upto)
            .bind(claim.now)
            .bind(claim.limit)
            .fetch_all(&mut *conn)
            .await;
        conn.back();
        let read = |row: &sqlx::postgres::PgRow| {
            let letter = Claimed {
                id: row.try_get("id")?,
                queue: row.try_get("queue")?,
                properties: row.try_get("properties")?,
                headers: row.try_get("headers")?,
                body: row.try_get("body")?,
            };
            Ok(Taken { letter, failed_at: row.try_get("failed_at")? })
        };
        let mut letters = rows?.iter().map(read).collect::<Result<Vec<_>, sqlx::Error>>()?;
        letters.sort_by_key(|taken| taken.letter.id);
        Ok(letters)
    }

    pub(crate) async fn release(&self, id: i64, token: &str, error: &str) -> Result<u64, sqlx::Error> {
        let mut conn = self.conn().await?;
        let done = sqlx::query(
            "UPDATE tramline_dead_letters SET claim = NULL, claimed_until = 0, redrive_error = $3 \
             WHERE id = $1 AND claim = $2",
        )
        .bind(id)
        .bind(token)
        .bind(error)
        .execute(&mut *conn)
        .await;
        conn.back();
        done.map(|done| done.rows_affected())
    }

    pub(crate) async fn remove(&self, ids: &[i64]) -> Result<u64, sqlx::Error> {
        let mut conn = self.conn().await?;
        let done = sqlx::query("DELETE FROM tramline_dead_letters WHERE id = ANY($1)")
            .bind(ids)
            .execute(&mut *conn)
            .await;
        conn.back();
        done.map(|done| done.rows_affected())
    }

    pub(crate) async fn delete(
        &self,
        filter: &Filter,
        upto: i64,
        now: i64,
        limit: i64,
    ) -> Result<u64, sqlx::Error> {
        let query = bind_filter!(sqlx::query(DELETE), filter, filter.ids.as_deref());
        let mut conn = self.conn().await?;
        let done = query.bind(upto).bind(now).bind(limit).execute(&mut *conn).await;
        conn.back();
        done.map(|done| done.rows_affected())
    }

    pub(crate) async fn depth(&self, filter: &Filter, upto: i64, now: i64) -> Result<Depth, sqlx::Error> {
        let query = bind_filter!(sqlx::query(DEPTH), filter, filter.ids.as_deref());
        let mut conn = self.conn().await?;
        let row = query.bind(upto).bind(now).fetch_one(&mut *conn).await;
        conn.back();
        let row = row?;
        Ok(Depth { letters: row.try_get(0)?, claimed: row.try_get(1)? })
    }

    pub(crate) async fn prune(&self, before: i64, limit: i64) -> Result<u64, sqlx::Error> {
        let mut conn = self.conn().await?;
        let done = sqlx::query(PRUNE).bind(before).bind(limit).execute(&mut *conn).await;
        conn.back();
        done.map(|done| done.rows_affected())
    }

    async fn conn(&self) -> Result<Lease, sqlx::Error> {
        Lease::of(&self.pool).await
    }
}
