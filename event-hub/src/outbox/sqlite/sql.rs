//! The statements.

pub(super) const ENQUEUE: &str =
    "INSERT INTO outbox (event_id, ordering_key, body, created_at) VALUES (?, ?, ?, ?)";

pub(super) const RESET: &str =
    "UPDATE outbox SET state = 0 WHERE state = 1 AND seq NOT IN (SELECT value FROM json_each(?))";
pub(super) const KEEP: &str =
    "UPDATE outbox SET state = 1 WHERE state = 0 AND seq IN (SELECT value FROM json_each(?))";

/// Walks from key to key and takes the first rows of each: a key that is held, or of which there is enough, costs
/// one step of the index, however many rows wait behind it. Rows without a key come by the time they are due.
///
/// The indexes are named, since the planner takes one for another where they begin alike.
///
/// The casts: a column's type is only a wish here, and one odd row must not keep all others from loading.
pub(super) const LOAD: &str = "SELECT * FROM ( \
    WITH RECURSIVE keys (key) AS ( \
        SELECT (SELECT ordering_key FROM outbox INDEXED BY outbox_lanes WHERE state = 0 AND ordering_key >= ?1 ORDER BY ordering_key LIMIT 1) \
        UNION ALL \
        SELECT (SELECT ordering_key FROM outbox INDEXED BY outbox_lanes WHERE state = 0 AND ordering_key > keys.key \
            ORDER BY ordering_key LIMIT 1) FROM keys WHERE keys.key IS NOT NULL \
    ) \
    SELECT lane.seq, lane.ordering_key, CAST(lane.body AS BLOB) AS body, lane.created_at, lane.attempts, \
        lane.refused, lane.refused_since \
    FROM keys CROSS JOIN outbox AS lane ON lane.seq IN ( \
        SELECT seq FROM outbox AS this INDEXED BY outbox_lanes \
        WHERE this.state = 0 AND this.ordering_key = keys.key AND this.due_at <= ?2 \
          AND this.seq NOT IN (SELECT value FROM json_each(?3)) \
          AND this.seq < COALESCE((SELECT min(held.seq) FROM outbox AS held INDEXED BY outbox_held \
                WHERE held.state = 0 AND held.due_at > 0 AND held.due_at > ?2 \
                  AND held.ordering_key = keys.key), 9223372036854775807) \
        ORDER BY this.seq LIMIT ?5) \
    WHERE keys.key IS NOT NULL AND keys.key NOT IN (SELECT value FROM json_each(?4)) LIMIT ?6) \
    UNION ALL \
    SELECT * FROM ( \
        SELECT seq, ordering_key, CAST(body AS BLOB) AS body, created_at, attempts, refused, refused_since \
        FROM outbox INDEXED BY outbox_keyless WHERE state = 0 AND ordering_key IS NULL AND due_at <= ?2 \
          AND seq NOT IN (SELECT value FROM json_each(?3)) \
        ORDER BY due_at, seq LIMIT ?7)";

pub(super) const GONE: &str = "DELETE FROM outbox WHERE seq IN (SELECT value FROM json_each(?))";
pub(super) const SENT: &str = "UPDATE outbox SET state = 3, due_at = 0, sent_at = ?2 \
    WHERE state <> 3 AND seq IN (SELECT value FROM json_each(?1))";
pub(super) const CONFIRMED: &str =
    "UPDATE outbox SET state = 1 WHERE state = 0 AND seq IN (SELECT value FROM json_each(?))";
pub(super) const FAIL: &str = "UPDATE outbox SET attempts = attempts + 1, due_at = ?2, last_error = ?3, refused = ?4, \
    refused_since = ?5 WHERE seq = ?1 AND state = 0";
pub(super) const PARK: &str = "UPDATE outbox SET state = 2, last_error = ?2 WHERE seq = ?1 AND state = 0";

pub(super) const DEPTH: &str = "SELECT \
    (SELECT count(*) FROM (SELECT 1 FROM outbox WHERE state = 0 LIMIT ?1) AS waiting), \
    (SELECT count(*) FROM (SELECT 1 FROM outbox WHERE state = 1 LIMIT ?1) AS unsettled), \
    (SELECT count(*) FROM (SELECT 1 FROM outbox WHERE state = 2 LIMIT ?1) AS parked), \
    (SELECT created_at FROM outbox WHERE state = 0 ORDER BY seq LIMIT 1)";

pub(super) const PRUNE: &str = "DELETE FROM outbox WHERE seq IN ( \
    SELECT seq FROM outbox WHERE state = 3 AND sent_at < ?1 ORDER BY sent_at LIMIT ?2)";
