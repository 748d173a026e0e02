//! Rows that were put aside: seen, sent after all, or thrown away.

use sqlx::PgPool;

use crate::error::{Error, ErrorKind};
use crate::outbox::parked::{MAX_PAGE, Parked, Selection};

type Found = (i64, String, Option<String>, Option<String>, i32, i64, String);

const LIST: &str = "SELECT seq, event_id, ordering_key, last_error, attempts, created_at, body FROM outbox \
    WHERE state = 2 AND seq > $1 ORDER BY seq LIMIT $2";

/// The wake-up goes to every relay: whose the rows are is not worth a second look.
const RESUME: &str = "WITH resumed AS (UPDATE outbox SET state = 0, due_at = 0, attempts = 0, refused = 0, \
        refused_since = 0 WHERE state = 2 AND ($1::bigint[] IS NULL OR seq = ANY($1)) RETURNING 1), \
    told AS (SELECT pg_notify('tramline_outbox', '')) SELECT count(*) FROM resumed CROSS JOIN told";

const DISCARD: &str = "DELETE FROM outbox WHERE state = 2 AND ($1::bigint[] IS NULL OR seq = ANY($1))";

/// The parked rows after number `after` (0: from the first on), oldest first, at most `limit` and 1,000.
///
/// # Errors
///
/// [`ErrorKind::Store`] when the database fails.
pub async fn parked(pool: &PgPool, after: i64, limit: u32) -> Result<Vec<Parked>, Error> {
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
            attempts: attempts.unsigned_abs(),
            enqueued_at: Parked::enqueued_at(created_at),
            body: body.into_bytes(),
        })
        .collect())
}

/// Makes parked rows wait again, with their attempts counted anew; answers how many. Later events of their keys
/// may have gone meanwhile: they come after those.
///
/// # Errors
///
/// [`ErrorKind::Store`] when the database fails; then none is resumed.
///
/// # Cancel safety
///
/// When dropped, all or none are resumed.
pub async fn resume(pool: &PgPool, which: Selection<'_>) -> Result<u64, Error> {
    let resumed: i64 = sqlx::query_scalar(RESUME)
        .bind(rows(which))
        .fetch_one(pool)
        .await
        .map_err(|e| Error::new(ErrorKind::Store, "resuming parked rows").with_source(e))?;
    Ok(resumed.unsigned_abs())
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
pub async fn discard(pool: &PgPool, which: Selection<'_>) -> Result<u64, Error> {
    let done = sqlx::query(DISCARD)
        .bind(rows(which))
        .execute(pool)
        .await
        .map_err(|e| Error::new(ErrorKind::Store, "discarding parked rows").with_source(e))?;
    Ok(done.rows_affected())
}

fn rows(which: Selection<'_>) -> Option<&[i64]> {
    match which {
        Selection::All => None,
        Selection::Rows(rows) => Some(rows),
    }
}
