-- How often the hub refused it (returned, nacked), and since when in microseconds; 0: never.
ALTER TABLE outbox ADD COLUMN refused INTEGER NOT NULL DEFAULT 0;
ALTER TABLE outbox ADD COLUMN refused_since INTEGER NOT NULL DEFAULT 0;
-- State 3: sent, and kept for a while. When it was sent, in microseconds.
ALTER TABLE outbox ADD COLUMN sent_at INTEGER;
-- From key to key, and within a key in order: a key that waits costs one look, however long its queue is.
CREATE INDEX outbox_lanes ON outbox (ordering_key, seq) WHERE state = 0;
CREATE INDEX outbox_keyless ON outbox (due_at, seq) WHERE state = 0 AND ordering_key IS NULL;
CREATE INDEX outbox_aside ON outbox (state, seq) WHERE state > 0;
CREATE INDEX outbox_sent ON outbox (sent_at) WHERE state = 3;
