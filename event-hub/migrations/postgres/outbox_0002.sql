-- Order by bytes: the relay walks from key to key, and no locale has a say in where the next one stands.
ALTER TABLE outbox ALTER COLUMN ordering_key TYPE TEXT COLLATE "C";
-- The share that an event belongs to: its key's, or any when it has none. Made by the database, so that the
-- code of an older version, which does not know of it, writes it too. A key of one collation hashes the same
-- wherever this table is carried, since a stored column is computed again when it is loaded.
ALTER TABLE outbox ADD COLUMN part SMALLINT NOT NULL GENERATED ALWAYS AS
    ((CASE WHEN ordering_key IS NULL THEN seq ELSE hashtextextended(ordering_key, 0) END & 15)::smallint) STORED;
-- How often the hub refused it (returned, nacked), and since when in microseconds; 0: never.
ALTER TABLE outbox ADD COLUMN refused INTEGER NOT NULL DEFAULT 0;
ALTER TABLE outbox ADD COLUMN refused_since BIGINT NOT NULL DEFAULT 0;
-- State 3: sent, and kept for a while. When it was sent, in microseconds.
ALTER TABLE outbox ADD COLUMN sent_at BIGINT;
-- From key to key, and within a key in order: a key that waits costs one look, however long its queue is.
CREATE INDEX outbox_lanes ON outbox (part, ordering_key, seq) WHERE state = 0;
CREATE INDEX outbox_keyless ON outbox (part, due_at, seq) WHERE state = 0 AND ordering_key IS NULL;
CREATE INDEX outbox_aside ON outbox (state, seq) WHERE state > 0;
CREATE INDEX outbox_sent ON outbox (sent_at) WHERE state = 3;
