-- Events that wait to be sent. A row goes when nothing of its event can be lost any more.
CREATE TABLE outbox (
    seq          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id     TEXT     NOT NULL,
    ordering_key TEXT,
    body         TEXT     NOT NULL,
    -- 0 waits, 1 confirmed but not settled (memory hub), 2 parked: cannot be read
    state        SMALLINT NOT NULL DEFAULT 0,
    attempts     INTEGER  NOT NULL DEFAULT 0,
    -- microseconds since the epoch
    created_at   BIGINT   NOT NULL,
    due_at       BIGINT   NOT NULL DEFAULT 0,
    last_error   TEXT
);
CREATE INDEX outbox_waiting ON outbox (seq) WHERE state = 0;
-- Only rows that failed once: what holds back the later events of their key.
CREATE INDEX outbox_held ON outbox (ordering_key, seq) WHERE state = 0 AND due_at > 0;
-- A queue-like table: few rows live, many die. The default threshold, a share of the table, comes too late.
ALTER TABLE outbox SET (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 1000);
