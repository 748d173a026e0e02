-- Events that wait to be sent. A row goes when nothing of its event can be lost any more.
CREATE TABLE outbox (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id     TEXT    NOT NULL,
    ordering_key TEXT,
    body         TEXT    NOT NULL,
    -- 0 waits, 1 confirmed but not settled (memory hub), 2 parked: cannot be read
    state        INTEGER NOT NULL DEFAULT 0,
    attempts     INTEGER NOT NULL DEFAULT 0,
    -- microseconds since the epoch
    created_at   INTEGER NOT NULL,
    due_at       INTEGER NOT NULL DEFAULT 0,
    last_error   TEXT
);
CREATE INDEX outbox_waiting ON outbox (seq) WHERE state = 0;
-- Only rows that failed once: what holds back the later events of their key.
CREATE INDEX outbox_held ON outbox (ordering_key, seq) WHERE state = 0 AND due_at > 0;
