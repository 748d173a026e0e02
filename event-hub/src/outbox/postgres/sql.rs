//! The statements.

/// Insert and wake-up are one round trip. The server sends the wake-up at the commit, once per transaction and
/// partition.
pub(super) const ENQUEUE: &str = "WITH new AS ( \
        INSERT INTO outbox (event_id, ordering_key, body, created_at) VALUES ($1, $2, $3, $4) RETURNING part \
    ) SELECT pg_notify('tramline_outbox', part::text) FROM new";

/// What the session is known by. Whatever else runs where it was set is not this relay's session.
pub(super) const NAME: &str = "SELECT set_config('tramline.relay', $1, false)";

/// Settings of the relay's own session, where the server knows them.
///
/// A dead network shows itself within half a minute on both sides, and the server ends what a relay that is gone
/// or frozen left behind, so that another can take its partitions. Every statement here is a walk along an index,
/// also when the table has grown since the planner last looked. And each stands
/// for itself: under a stricter isolation than `read committed`, relays beside each other would fail by turns.
pub(super) const SETTINGS: &str = "SELECT set_config(s.name, s.value, false) FROM (VALUES \
        ('application_name', 'tramline outbox relay'), \
        ('tcp_keepalives_idle', '10'), ('tcp_keepalives_interval', '5'), ('tcp_keepalives_count', '3'), \
        ('client_connection_check_interval', '5s'), ('statement_timeout', $1), ('idle_session_timeout', $2), \
        ('default_transaction_isolation', 'read committed'), \
        ('enable_seqscan', 'off'), ('enable_bitmapscan', 'off'), ('enable_sort', 'off'), \
        ('enable_hashjoin', 'off'), ('enable_mergejoin', 'off'), ('jit', 'off'), \
        ('max_parallel_workers_per_gather', '0') \
    ) AS s (name, value) JOIN pg_settings USING (name)";

/// Relays of versions that knew no partitions take this lock for themselves, and send everything. Those that share
/// take it shared: so there are either the ones or the others.
pub(super) const OLD_LOCK: &str =
    "SELECT pg_try_advisory_lock_shared($1, hashtext(current_schema() || '.outbox'))";

/// The locks of one outbox: «tr», then the schema's number, then a partition's. A schema keeps its number.
pub(super) const BASE: &str = "SELECT (29810::bigint << 48) | (relnamespace::bigint << 16) \
    FROM pg_class WHERE oid = 'outbox'::regclass";

/// Counts this session among those that share, and lets them look.
pub(super) const JOIN: &str =
    "SELECT pg_advisory_lock_shared($1 | 65535), pg_notify('tramline_outbox', 'shares')";

pub(super) const RETIRE: &str = "SELECT pg_advisory_unlock_shared($1 | 65535)";

/// Who has which lock of this outbox.
pub(super) const VIEW: &str = "SELECT pid, \
        (((classid::bigint << 32) | objid::bigint) & 65535)::int4 AS part, \
        pid = pg_backend_pid() AND COALESCE(current_setting('tramline.relay', true) = $2, false) AS own \
    FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 \
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
        AND ((classid::bigint << 32) | objid::bigint) >> 16 = $1 >> 16";

pub(super) const TAKE: &str = "SELECT part FROM unnest($2::int4[]) AS part WHERE \
        CASE WHEN current_setting('tramline.relay', true) = $3 THEN pg_try_advisory_lock($1 | part) ELSE false END";

pub(super) const GIVE: &str = "SELECT pg_notify('tramline_outbox', 'shares') \
    FROM unnest($2::int4[]) AS part WHERE pg_advisory_unlock($1 | part)";

/// What an earlier owner left unsettled waits again; what is this relay's own does not.
pub(super) const RESET: &str =
    "UPDATE outbox SET state = 0 WHERE state = 1 AND part = ANY($1::smallint[]) AND seq <> ALL($2)";
pub(super) const KEEP: &str =
    "UPDATE outbox SET state = 1 WHERE state = 0 AND part = ANY($1::smallint[]) AND seq = ANY($2)";

/// Walks from key to key and takes the first rows of each: a key that is held, or of which there is enough, costs
/// one step of the index, however many rows wait behind it. Rows without a key come by the time they are due.
///
/// Elsewhere than in the relay's session it finds nothing, since the locks are not there.
///
/// The recursion ends as soon as the outer limit is reached: PostgreSQL computes no more of it than is fetched.
pub(super) const LOAD: &str = "(SELECT r.* FROM unnest( \
        CASE WHEN current_setting('tramline.relay', true) = $9 THEN $1::smallint[] END, $2::text[]) AS way (part, start) \
    CROSS JOIN LATERAL ( \
        WITH RECURSIVE keys (key) AS ( \
            (SELECT ordering_key FROM outbox \
                WHERE state = 0 AND part = way.part AND ordering_key >= way.start ORDER BY ordering_key LIMIT 1) \
            UNION ALL \
            SELECT (SELECT ordering_key FROM outbox \
                WHERE state = 0 AND part = way.part AND ordering_key > keys.key ORDER BY ordering_key LIMIT 1) \
            FROM keys WHERE keys.key IS NOT NULL \
        ) \
        SELECT lane.* FROM keys CROSS JOIN LATERAL ( \
            SELECT seq, part, ordering_key, body, created_at, attempts, refused, refused_since FROM outbox \
            WHERE state = 0 AND part = way.part AND ordering_key = keys.key AND due_at <= $3 AND seq <> ALL($4) \
              AND seq < COALESCE((SELECT min(held.seq) FROM outbox AS held \
                    WHERE held.state = 0 AND held.due_at > 0 AND held.due_at > $3 \
                      AND held.ordering_key = keys.key), 9223372036854775807) \
            ORDER BY seq LIMIT $6 \
        ) AS lane WHERE keys.key <> ALL($5) \
    ) AS r LIMIT $7) \
    UNION ALL \
    SELECT r.* FROM unnest( \
        CASE WHEN current_setting('tramline.relay', true) = $9 THEN $1::smallint[] END) AS way (part) CROSS JOIN LATERAL ( \
        SELECT seq, part, ordering_key, body, created_at, attempts, refused, refused_since FROM outbox \
        WHERE state = 0 AND part = way.part AND ordering_key IS NULL AND due_at <= $3 AND seq <> ALL($4) \
        ORDER BY due_at, seq LIMIT $8 \
    ) AS r";

pub(super) const GONE: &str = "DELETE FROM outbox WHERE seq = ANY($1)";
pub(super) const SENT: &str =
    "UPDATE outbox SET state = 3, due_at = 0, sent_at = $2 WHERE seq = ANY($1) AND state <> 3";
pub(super) const CONFIRMED: &str = "UPDATE outbox SET state = 1 WHERE seq = ANY($1) AND state = 0";

/// The condition that is there twice keeps the planner from reading the whole index to join it.
pub(super) const FAIL: &str = "UPDATE outbox SET attempts = attempts + 1, due_at = f.due_at, last_error = f.error, \
        refused = f.refused, refused_since = f.refused_since \
    FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::int4[], $5::bigint[]) \
        AS f (seq, due_at, error, refused, refused_since) \
    WHERE outbox.seq = ANY($1) AND outbox.seq = f.seq AND outbox.state = 0";

pub(super) const PARK: &str = "UPDATE outbox SET state = 2, last_error = f.error \
    FROM unnest($1::bigint[], $2::text[]) AS f (seq, error) \
    WHERE outbox.seq = ANY($1) AND outbox.seq = f.seq AND outbox.state = 0";

pub(super) const DEPTH: &str = "SELECT \
    (SELECT count(*) FROM (SELECT 1 FROM outbox WHERE state = 0 LIMIT $1) AS waiting), \
    (SELECT count(*) FROM (SELECT 1 FROM outbox WHERE state = 1 LIMIT $1) AS unsettled), \
    (SELECT count(*) FROM (SELECT 1 FROM outbox WHERE state = 2 LIMIT $1) AS parked), \
    (SELECT created_at FROM outbox WHERE state = 0 ORDER BY seq LIMIT 1)";

/// Rows that another relay removes at this moment are left to it.
pub(super) const PRUNE: &str = "DELETE FROM outbox WHERE seq IN (SELECT seq FROM outbox \
    WHERE state = 3 AND sent_at < $1 ORDER BY sent_at LIMIT $2 FOR UPDATE SKIP LOCKED)";
