//! Rows that were put aside: seen, sent after all, or thrown away.

use sqlx::SqlitePool;

use crate::error::{Error, ErrorKind};
use crate::outbox::parked::{MAX_PAGE, Parked, Selection};
use crate::outbox::sqlite::session::json;

type Found = (i64, String, Option<String>, Option<String>, u32, i64, Vec<u8>);

const LIST: &str = "SELECT seq, event_id, ordering_key, last_error, attempts, created_at, CAST(body AS BLOB) \
    FROM outbox WHERE state = 2 AND seq > ?1 ORDER BY seq LIMIT ?2";

const RESUME: &str = "UPDATE outbox SET state = 0, due_at = 0, attempts = 0, refused = 0, refused_since = 0 \
    WHERE state = 2 AND (?1 IS NULL OR seq IN (SELECT value FROM json_each(?1)))";

const DISCARD: &str =
    "DELETE FROM outbox WHERE state = 2 AND (?1 IS NULL OR seq IN (SELECT value FROM json_each(?1)))";

/// The parked rows after number `after` (0: from the first on), oldest first, at most `limit` and 1,000.
///
/// # Errors
///
/// [`ErrorKind::Store`] when the database fails.
pub async fn parked(pool: &SqlitePool, after: i64, limit: u32) -> Result<Vec<Parked>, Error> {
    let found: Vec<Found> = sqlx::query_as(LIST)
        .bind(after)
        .bind(i64::from(limit.min(MAX_PAGE)))
        .fetch_all(pool)
        .await
        .map_err(|e| Error::new(ErrorKind::Store, "listing parked rows").with_source(e))?;
    Ok(found
        .into_iter()
        .map(|(row, event_id, key, reason, attempts, created_at, body)| Parked {
            row,
            event_id,
            key,
            reason: reason.unwrap_or_default(),
            attempts,
            enqueued_at: Parked::enqueued_at(created_at),
            body,
        })
        .collect())
}

/// Makes parked rows wait again, with their attempts counted anew; answers how many. Later events of their keys
/// may have gone meanwhile: they come after those. Wake the relay, or it finds them with its next look.
///
/// # Errors
///
/// [`ErrorKind::Store`] when the database fails; then none is resumed.
///
/// # Cancel safety
///
/// When dropped, all or none are resumed.
pub async fn resume(pool: &SqlitePool, which: Selection<'_>) -> Result<u64, Error> {
    change(pool, RESUME, which, "resuming parked rows").await
}

/// Throws parked rows away for good; answers how many.
///
/// # Errors
///
/// [`ErrorKind::Store`] when the database fails; then none is gone.
///
/// # Cancel safety
///
/// When dropped, all or none are gone.
pub async fn discard(pool: &SqlitePool, which: Selection<'_>) -> Result<u64, Error> {
    change(pool, DISCARD, which, "discarding parked rows").await
}

async fn change(
    pool: &SqlitePool,
    sql: &'static str,
    which: Selection<'_>,
    what: &'static str,
) -> Result<u64, Error> {
    let rows = match which {
        Selection::All => None,
        Selection::Rows(rows) => Some(json(rows)),
    };
    let done = sqlx::query(sql).bind(rows).execute(pool).await;
    done.map(|done| done.rows_affected()).map_err(|e| Error::new(ErrorKind::Store, what).with_source(e))
}
