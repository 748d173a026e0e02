//! What draining and redriving need of a database, and the two that give it.
//!
//! A database answers with the driver's own error; the public methods make the crate's of it.

use std::time::Duration;

use tokio::time::timeout;

use crate::dead_letters::filter::Filter;
use crate::dead_letters::letter::{Content, Letter};
use crate::dead_letters::record::{Claimed, Record};
use crate::error::{Error, ErrorKind};
use crate::outbox::schema::{STATEMENT_LIMIT, timed_out};

/// The database behind the handle.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    engine: Engine,
    /// How long one statement, or one transaction, may take.
    limit: Duration,
}

#[derive(Clone, Debug)]
pub(crate) enum Engine {
    #[cfg(feature = "postgres")]
    Postgres(crate::dead_letters::postgres::Store),
    #[cfg(feature = "sqlite")]
    Sqlite(crate::dead_letters::sqlite::Store),
}

/// Which letters to take for oneself.
#[derive(Debug)]
pub(crate) struct Claim<'a> {
    pub(crate) filter: &'a Filter,
    /// Numbers above this one.
    pub(crate) after: i64,
    /// Numbers up to this one, so that what dies again meanwhile is not sent round and round.
    pub(crate) upto: i64,
    pub(crate) limit: i64,
    /// Names the redrive.
    pub(crate) token: &'a str,
    pub(crate) now: i64,
    /// When others may take it, if it is still there.
    pub(crate) until: i64,
}

/// A letter that was taken, and when it failed first, or died, as far as is known.
pub(crate) struct Taken {
    pub(crate) letter: Claimed,
    pub(crate) failed_at: i64,
}

/// How many letters there are.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Depth {
    pub(crate) letters: i64,
    /// Those among them that someone is sending back.
    pub(crate) claimed: i64,
}

/// A failure of the database, as the crate's error.
pub(crate) fn failed(what: &str, error: sqlx::Error) -> Error {
    Error::new(ErrorKind::Store, format!("{what} dead letters")).with_source(error)
}

// === impl Database ===

impl Database {
    pub(crate) fn new(engine: Engine) -> Self {
        Self { engine, limit: STATEMENT_LIMIT }
    }

    pub(crate) fn limited(self, limit: Duration) -> Self {
        Self { limit: limit.max(Duration::from_millis(1)), ..self }
    }
}

macro_rules! dispatch {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $type:ty),*) -> $answer:ty;)*) => {
        impl Database {
            $($(#[$doc])*
            pub(crate) async fn $name(&self, $($arg: $type),*) -> Result<$answer, sqlx::Error> {
                let work = async {
                    match &self.engine {
                        #[cfg(feature = "postgres")]
                        Engine::Postgres(store) => store.$name($($arg),*).await,
                        #[cfg(feature = "sqlite")]
                        Engine::Sqlite(store) => store.$name($($arg),*).await,
                    }
                };
                // Boxed: the largest of them would be in every future that asks.
                timeout(self.limit, Box::pin(work)).await.unwrap_or_else(|_| Err(timed_out()))
            })*
        }
    };
}

dispatch! {
    /// Stores letters in one transaction; answers how many of their deaths were not known yet.
    insert(records: &[Record]) -> u64;
    /// The latest letters below a number.
    list(filter: &Filter, below: i64, limit: i64) -> Vec<Letter>;
    show(id: i64) -> Option<(Letter, Content)>;
    /// The highest number, 0 when there is none.
    top() -> i64;
    /// Takes letters that are nobody's, in order.
    claim(claim: &Claim<'_>) -> Vec<Taken>;
    /// Leaves a letter to others, with the reason why it could not go.
    release(id: i64, token: &str, error: &str) -> u64;
    /// Removes letters that are back in their queues.
    remove(ids: &[i64]) -> u64;
    /// Removes some of the letters that are nobody's.
    delete(filter: &Filter, upto: i64, now: i64, limit: i64) -> u64;
    depth(filter: &Filter, upto: i64, now: i64) -> Depth;
    /// Forgets some of the deaths that were stored before a time.
    prune(before: i64, limit: i64) -> u64;
}

/// The order of a filter's parameters, which come first in every statement: ids, queue, event type, key, reason,
/// handler, event id, from, to. Only the ids are written differently in the two dialects.
macro_rules! matching {
    ($ids:literal) => {
        concat!(
            "($1 IS NULL OR ",
            $ids,
            ") AND ($2 IS NULL OR queue = $2) AND ($3 IS NULL OR event_type = $3) \
             AND ($4 IS NULL OR routing_key = $4) AND ($5 IS NULL OR reason = $5) \
             AND ($6 IS NULL OR handler = $6) AND ($7 IS NULL OR event_id = $7) \
             AND ($8 IS NULL OR died_at >= $8) AND ($9 IS NULL OR died_at < $9)"
        )
    };
}

/// Binds a filter; its ids in the form that the dialect reads.
macro_rules! bind_filter {
    ($query:expr, $filter:expr, $ids:expr) => {
        $query
            .bind($ids)
            .bind($filter.queue.as_deref())
            .bind($filter.event_type.as_deref())
            .bind($filter.routing_key.as_deref())
            .bind($filter.reason.as_deref())
            .bind($filter.handler.as_deref())
            .bind($filter.event_id.as_deref())
            .bind($filter.from.map(jiff::Timestamp::as_microsecond))
            .bind($filter.to.map(jiff::Timestamp::as_microsecond))
    };
}

/// The statement that stores a letter, without its end.
macro_rules! insert_letter {
    () => {
        "INSERT INTO tramline_dead_letters (death, found_in, queue, exchange, routing_key, event_id, event_type, \
         reason, error, handler, attempts, first_failed_at, last_failed_at, died_at, stored_at, redrives, \
         previous_reason, content_type, properties, headers, body) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21) \
         ON CONFLICT (death) DO NOTHING"
    };
}

macro_rules! bind_letter {
    ($query:expr, $record:expr) => {
        $query
            .bind(&$record.death)
            .bind(&$record.found_in)
            .bind(&$record.queue)
            .bind(&$record.exchange)
            .bind(&$record.routing_key)
            .bind(&$record.event_id)
            .bind(&$record.event_type)
            .bind(&$record.reason)
            .bind(&$record.error)
            .bind(&$record.handler)
            .bind($record.attempts)
            .bind($record.first_failed_at)
            .bind($record.last_failed_at)
            .bind($record.died_at)
            .bind($record.stored_at)
            .bind($record.redrives)
            .bind(&$record.previous_reason)
            .bind(&$record.content_type)
            .bind(&$record.properties)
            .bind(&$record.headers)
            .bind(&$record.body)
    };
}

macro_rules! letter_columns {
    () => {
        "id, found_in, queue, exchange, routing_key, event_id, event_type, reason, error, handler, attempts, \
         first_failed_at, last_failed_at, died_at, stored_at, redrives, previous_reason, content_type, \
         CAST(length(body) AS BIGINT) AS size, redrive_error"
    };
}

/// Reads the columns of [`letter_columns`].
macro_rules! read_letter {
    ($row:expr) => {{
        let row = $row;
        let time = |name: &str| {
            row.try_get::<Option<i64>, _>(name)
                .map(|at| at.and_then(|at| jiff::Timestamp::from_microsecond(at).ok()))
        };
        let count = |name: &str| row.try_get::<i64, _>(name).map(|n| u32::try_from(n).unwrap_or(u32::MAX));
        Letter {
            id: row.try_get("id")?,
            found_in: row.try_get("found_in")?,
            queue: row.try_get("queue")?,
            exchange: row.try_get("exchange")?,
            routing_key: row.try_get("routing_key")?,
            event_id: row.try_get("event_id")?,
            event_type: row.try_get("event_type")?,
            reason: row.try_get("reason")?,
            error: row.try_get("error")?,
            handler: row.try_get("handler")?,
            attempts: count("attempts")?,
            first_failed_at: time("first_failed_at")?,
            last_failed_at: time("last_failed_at")?,
            died_at: time("died_at")?.unwrap_or_default(),
            stored_at: time("stored_at")?.unwrap_or_default(),
            redrives: count("redrives")?,
            previous_reason: row.try_get("previous_reason")?,
            content_type: row.try_get("content_type")?,
            size: row.try_get::<i64, _>("size")?.unsigned_abs(),
            redrive_error: row.try_get("redrive_error")?,
        }
    }};
}

pub(crate) use {bind_filter, bind_letter, insert_letter, letter_columns, matching, read_letter};
