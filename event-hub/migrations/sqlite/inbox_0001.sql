-- Events whose effect is there. The mark is written in the transaction of the effect.
CREATE TABLE inbox (
    consumer   TEXT    NOT NULL,
    event_id   TEXT    NOT NULL,
    -- microseconds since the epoch
    handled_at INTEGER NOT NULL,
    PRIMARY KEY (consumer, event_id)
);
CREATE INDEX inbox_handled_at ON inbox (handled_at);
